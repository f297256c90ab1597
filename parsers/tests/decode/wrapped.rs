//! Owns the envelopes that a line can come in, and the framing under them.
//! Refuses glue and halves.
//! Invariant: whatever the envelope, the same trace line is found in it.

use crate::support::{decode, decode_bytes};
use beacon_parsers::{Body, Decoder, Envelope};
use insta::assert_snapshot;

#[test]
fn modal_prefixes_come_in_any_combination() {
    let log = "2026-11-23 12:00:00+00:00 fu-01F fc-01C ta-01AAA TRACE[aaaa1111]: SUCCESS\n\
               2026-11-23 07:00:00-05:00 fu-01F ta-01BBB TRACE[aaaa1111]: SUCCESS\n\
               ta-01CCC TRACE[aaaa1111]: SUCCESS\n\
               2026-11-23 17:30:00+05:30 TRACE[aaaa1111]: SUCCESS\n";
    assert_snapshot!(decode(log), @"
    1795435200000000/Second fu-01F fc-01C ta-01AAA aaaa1111 Succeeded
    1795435200000000/Second fu-01F ta-01BBB aaaa1111 Succeeded
    ta-01CCC aaaa1111 Succeeded
    1795435200000000/Second aaaa1111 Succeeded
    ");
}

#[test]
fn other_shippers_prefixes_give_time_severity_and_stream() {
    let log = "2026-11-23T12:00:00.123456789Z TRACE[aaaa1111]: SUCCESS\n\
               2026-11-23T12:00:00.123456789Z stderr F TRACE[aaaa1111]: SUCCESS\n\
               2026-11-23T12:00:00Z app[148e21] iad [error] TRACE[aaaa1111]: SUCCESS\n\
               2026-11-23T12:00:00+0000 host python[12]: TRACE[aaaa1111]: SUCCESS\n\
               Nov 23 12:00:00 host python[12]: TRACE[aaaa1111]: SUCCESS\n\
               <11>Nov  3 12:00:00 host python[12]: TRACE[aaaa1111]: SUCCESS\n\
               <14>1 2026-11-23T12:00:00.003Z host app 12 ID [a b=\"\\]\"] TRACE[aaaa1111]: SUCCESS\n\
               2026-11-23T12:00:00.5Z [inf]  TRACE[aaaa1111]: SUCCESS\n\
               web-1  | TRACE[aaaa1111]: SUCCESS\n\
               2026-11-23T12:00:00.9Z 2026-11-23 12:00:00+00:00 ta-1 TRACE[aaaa1111]: SUCCESS\n";
    assert_snapshot!(decode(log), @"
    1795435200123456/Micro aaaa1111 Succeeded
    1795435200123456/Micro Stderr aaaa1111 Succeeded
    1795435200000000/Second 148e21 Error aaaa1111 Succeeded
    1795435200000000/Second aaaa1111 Succeeded
    aaaa1111 Succeeded
    Error aaaa1111 Succeeded
    1795435200003000/Milli Info aaaa1111 Succeeded
    1795435200500000/Milli Info aaaa1111 Succeeded
    web-1 aaaa1111 Succeeded
    1795435200900000/Milli ta-1 aaaa1111 Succeeded
    ");
}

#[test]
fn json_lines_give_what_their_keys_say() {
    let log = r#"{"message":"🔍 TRACE[aaaa1111]: SUCCESS - tokens=1","timestamp":"2026-11-23T12:00:00.5Z","severity":"INFO","container_id":"ta-1","function_call_id":"fc-1","stream":"stdout"}
{"log":"2026-11-23 12:00:00+00:00 fc-2 ta-2 TRACE[aaaa1111]: SUCCESS\n","stream":"stderr","time":"2026-11-23T12:00:01.123456789Z"}
{"MESSAGE":"\u001b[1mTRACE\u001b[0m[aaaa1111]: SUCCESS","__REALTIME_TIMESTAMP":"1795435200000001","PRIORITY":"3"}
{"ts":1795435200.25,"level":"warning","msg":"TRACE[aaaa1111]: SUCCESS","kubernetes":{"container_id":"c1"}}
{"body":"TRACE[aaaa1111]: FAILED - error=E: x\nTraceback (most recent call last):\n  File\nE: x","fd":2}
{"message":"he said \"TRACE[deadbeef]: SUCCESS\""}
{"broken":"TRACE[deadbeef]: SUCCESS"
"#;
    assert_snapshot!(decode(log), @r#"
    1795435200500000/Milli fc-1 ta-1 Stdout Info aaaa1111 Succeeded tokens=1
    1795435200000000/Second fc-2 ta-2 Stderr aaaa1111 Succeeded
    1795435200000001/Micro Error aaaa1111 Succeeded
    1795435200250000/Micro c1 Warn aaaa1111 Succeeded
    Stderr aaaa1111 Failed error="E: x"
    Stderr traceback Some("E") Some("x")
    Traceback (most recent call last):
      File
    E: x
    "#);
}

#[test]
fn lines_end_in_lf_crlf_or_a_lone_cr() {
    let log = " 50%|#  |\r100%|###|\rTRACE[aaaa1111]: SUCCESS\r\n\r\nTRACE[bbbb2222]: SUCCESS\n\rTRACE[cccc3333]: SUCCESS";
    let (records, counts) = decode_bytes(log.as_bytes());
    assert_eq!(
        records,
        [
            "aaaa1111 Succeeded",
            "bbbb2222 Succeeded",
            "cccc3333 Succeeded"
        ]
    );
    assert_eq!((counts.lines, counts.bytes), (7, log.len() as u64));
}

#[test]
fn invalid_utf8_and_nul_bytes_are_kept_out_and_counted() {
    let log = b"\xff\xfe noise\nTRACE[aaaa\x001111]: step \xf0\x9f - model=a\xffb\nTRACE[bbbb2222]: SUCCESS\n";
    let (records, counts) = decode_bytes(log);
    assert_eq!(
        records,
        [
            "aaaa1111 step<step \u{fffd}> model=\"a\u{fffd}b\"",
            "bbbb2222 Succeeded"
        ]
    );
    assert_eq!(counts.invalid_utf8, 4);
}

#[test]
fn a_line_over_the_limit_is_cut_and_counted() {
    let long = "x".repeat(300 * 1024);
    let log = format!(
        "TRACE[aaaa1111]: step - model={long}\n{long}\n{long}TRACE[x\nTRACE[bbbb2222]: SUCCESS\n"
    );
    let (records, counts) = decode_bytes(log.as_bytes());
    assert_eq!(records.len(), 2);
    assert_eq!((counts.lines, counts.cut_lines), (4, 3));
}

#[test]
fn messages_that_come_apart_from_their_metadata_share_the_grammar() {
    let mut decoder = Decoder::new();
    let mut ids = Vec::new();
    let envelope = Envelope {
        container_id: Some("ta-1".into()),
        ..Envelope::default()
    };
    let mut sink = |record: beacon_parsers::Record<'_>| {
        if let Body::Trace(line) = record.body {
            ids.push((line.id.to_string(), record.end_offset));
        }
    };
    for message in [
        "[x]\n🔍 TRACE[aaaa1111]: SUCC",
        "ESS\n",
        "🔍 TRACE[bbbb2222]: SUCCESS\n",
    ] {
        decoder.push_message(envelope.clone(), message, &mut sink);
    }
    assert_eq!(decoder.resume_offset(), 3);
    assert_eq!(
        ids,
        [("aaaa1111".to_owned(), 2), ("bbbb2222".to_owned(), 3)]
    );
}

#[test]
fn hostile_lines_take_no_longer_than_others() {
    let modal = "2026-11-23 12:00:00+00:00 ";
    for (head, part) in [
        ("TRACE[aaaa1111]: SUCCESS - ", "a=( x, "),
        ("TRACE[aaaa1111]: SUCCESS - ", "a=\"x y, "),
        ("TRACE[aaaa1111]: SUCCESS - a=", "'a "),
        ("TRACE[aaaa1111]: FAILED - error=x ", ", a=b c"),
        ("TRACE[aaaa1111]: step ", "TRACE[aaaa1111]: step "),
        ("TRACE[aaaa1111]: step (", modal),
        ("TRACE[aaaa1111]: step ", "2026-11-23 12:00:00+00:00 ta-1 "),
        ("'", "TRACE[aaaa1111] 'a"),
        ("TRACE[", "\u{1b}]"),
        ("TRACE[", "\u{1b}["),
        ("TRACE[aaaa1111", "\n"),
        ("{\"message\":\"TRACE[", "[[[["),
        ("", "🔍"),
        ("", "🔍 TRACE[aaaa1111\nta-1 bbb\n"),
    ] {
        let log = format!("{head}{}\n", part.repeat(256 * 1024 / part.len()));
        let mut decoder = Decoder::new();
        decoder.push(log.as_bytes(), &mut |_| {});
        decoder.finish(&mut |_| {});
        assert_eq!(decoder.counts().bytes, log.len() as u64, "{part:?}");
    }
}
