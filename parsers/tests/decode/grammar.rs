//! Owns the trace grammar, form by form, through `parse_message`.
//! Refuses streams: one message at a time.
//! Invariant: what an emitter quotes comes back exactly.

use beacon_parsers::{LineErrorKind, Phase, Record, Value, parse_message};
use insta::assert_snapshot;
use proptest::prelude::*;

use crate::support::print;

fn read(message: &str) -> String {
    match parse_message(message) {
        Ok(line) => print(&Record {
            end_offset: 0,
            envelope: &beacon_parsers::Envelope::default(),
            body: beacon_parsers::Body::Trace(&line),
        }),
        Err(error) => error.to_string(),
    }
}

fn payload(payload: &str) -> String {
    read(&format!("TRACE[ab12]: SUCCESS - {payload}")).replacen("ab12 Succeeded ", "", 1)
}

#[test]
fn every_phase_has_its_form() {
    assert_snapshot!(read("🔍 TRACE[abc123de]: Modal inference started - model=llama3.2-1b, region=us-east"), @r#"abc123de started<Modal inference> model="llama3.2-1b" region="us-east""#);
    assert_snapshot!(read("TRACE[abc123de]: started"), @"abc123de started<>");
    assert_snapshot!(read("TRACE[abc123de]: SUCCESS - duration=2.45s, tokens=156"), @"abc123de Succeeded duration=2450000µs tokens=156");
    assert_snapshot!(read("TRACE[abc123de]: FAILED - error=OSError: x"), @r#"abc123de Failed error="OSError: x""#);
    assert_snapshot!(read("TRACE[abc123de]: FAILURE: out of disk"), @r#"abc123de Failed error="out of disk""#);
    assert_snapshot!(read("TRACE[abc123de]: ERROR"), @"abc123de Failed");
    assert_snapshot!(read("TRACE[abc123de]: TIMEOUT after 300s"), @r#"abc123de TimedOut error="after 300s""#);
    assert_snapshot!(read("TRACE[abc123de]: Model validated - model=m"), @r#"abc123de step<Model validated> model="m""#);
    assert_snapshot!(read("TRACE[abc123de]: Failed over - to eu-west - region=eu-west"), @r#"abc123de step<Failed over - to eu-west> region="eu-west""#);
    assert_snapshot!(read("TRACE[abc123de]: SUCCESSION planned"), @"abc123de step<SUCCESSION planned>");
    assert_snapshot!(read("TRACE[abc123de]: FAILED - Unknown model: gpt-oss-20b"), @r#"abc123de Failed error="Unknown model: gpt-oss-20b""#);
}

#[test]
fn ids_are_hexadecimal_uuids_or_words() {
    assert_snapshot!(read("TRACE[ABC123DE]: SUCCESS"), @"abc123de Succeeded");
    assert_snapshot!(read("TRACE[7F9C24E8-3B12-4D0F-9C1A-1E2D3C4B5A69]: SUCCESS"), @"7f9c24e8-3b12-4d0f-9c1a-1e2d3c4b5a69 Succeeded");
    assert_snapshot!(read("TRACE[Batch_7-x]: SUCCESS"), @"Batch_7-x Succeeded");
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    assert_snapshot!(read("hello"), @"no trace header at byte 0");
    assert_snapshot!(read("say \"TRACE[abcd]: SUCCESS\""), @"trace header is only quoted at byte 5");
    assert_snapshot!(read("TRACE[abc]: SUCCESS"), @"trace id shorter than 4 characters at byte 9");
    assert_snapshot!(read("INFO TRACE[ab cd]: SUCCESS"), @"character not allowed in a trace id at byte 13");
    assert_snapshot!(read("TRACE[abcd"), @"trace id without closing bracket at byte 10");
    assert_snapshot!(read("TRACE[abcd] SUCCESS"), @"no colon after the trace id at byte 11");
    assert_snapshot!(read("TRACE[abcd]:  "), @"nothing after the trace id at byte 12");
    let long = format!("TRACE[{}]: x", "a".repeat(65));
    assert_eq!(
        parse_message(&long).map_err(|e| e.kind),
        Err(LineErrorKind::IdTooLong)
    );
}

#[test]
fn values_have_the_types_that_they_look_like() {
    assert_snapshot!(payload("a=1, b=-2, c=2.5, d=1e-05, e=True, f=false, g=None, h=inf"), @"a=1 b=-2 c=2.5 d=1e-5 e=true f=false g=None h=inf");
    assert_snapshot!(payload("a=10µs, b=10us, c=156ms, d=2.45s, e=3m, f=1h, g=1h2m3.5s, h=7ns"), @"a=10µs b=10µs c=156000µs d=2450000µs e=180000000µs f=3600000000µs g=3723500000µs h=0µs");
    assert_snapshot!(payload("a=007, b=+1, c=12e45678, d=1.2.3, e=5x, f=-, g="), @r#"a="007" b="+1" c="12e45678" d="1.2.3" e="5x" f="-" g="""#);
    assert_snapshot!(payload(r#"a="1", b="None", c='2.45s', d="""#), @r#"a="1" b="None" c="2.45s" d="""#);
}

#[test]
fn a_text_ends_at_the_next_key_outside_quotes_and_brackets() {
    assert_snapshot!(payload("a=x y, z, b=2"), @r#"a="x y, z" b=2"#);
    assert_snapshot!(payload("args=(a=1, b=2), c={x, y=3}, d=4"), @r#"args="(a=1, b=2)" c="{x, y=3}" d=4"#);
    assert_snapshot!(payload("a=say \"x, b=1\" now, c=2"), @r#"a="say \"x, b=1\" now" c=2"#);
    assert_snapshot!(payload("a=can't (unclosed, b=2"), @r#"a="can't (unclosed" b=2"#);
    assert_snapshot!(payload("url=http://h/p?a=1&b=2, c=1"), @r#"url="http://h/p?a=1&b=2" c=1"#);
    assert_snapshot!(payload("all good, tokens=5"), @r#"message="all good" tokens=5"#);
    assert_snapshot!(payload("a=x == y, b==c, d=1"), @r#"a="x == y, b==c" d=1"#);
}

#[test]
fn quoted_values_lose_their_quotes_and_escapes() {
    assert_snapshot!(payload(r#"a="x, y=\"1\" \\ \n\t é 🌍", b=1"#), @r#"a="x, y=\"1\" \\ \n\t é 🌍" b=1"#);
    assert_snapshot!(payload(r#"a="\u00e9\ud83c\udf0d\ud83c\q""#), @r#"a="é🌍�\\q""#);
    assert_snapshot!(payload(r"a='it\'s', b='\x41\U0001F30D'"), @r#"a="it's" b="A🌍""#);
    assert_snapshot!(payload(r#"a="x" y, b=1"#), @r#"a="\"x\" y" b=1"#);
}

#[test]
fn an_error_may_hold_what_looks_like_fields() {
    let failed = |payload: &str| read(&format!("TRACE[ab12]: FAILED - {payload}"));
    assert_snapshot!(failed("error=ValueError: got a=1, b=2, c, duration=2s, tokens=3"), @r#"ab12 Failed error="ValueError: got a=1, b=2, c" duration=2000000µs tokens=3"#);
    assert_snapshot!(failed("error=E: x=1, y=2"), @r#"ab12 Failed error="E: x=1, y=2""#);
    assert_snapshot!(failed("error=KeyError, foo=bar, duration=2s"), @r#"ab12 Failed error="KeyError" foo="bar" duration=2000000µs"#);
    assert_snapshot!(failed("error=OSError: gated, duration=2s, gpu=A100"), @r#"ab12 Failed error="OSError: gated" duration=2000000µs gpu="A100""#);
    assert_snapshot!(failed("Unknown model: x, y, duration=1s"), @r#"ab12 Failed error="Unknown model: x, y" duration=1000000µs"#);
}

#[test]
fn an_error_has_type_and_message() {
    for (payload, expected) in [
        (
            "error=OSError: gated, 401: no",
            (Some("OSError"), "gated, 401: no"),
        ),
        (
            "error=\"torch.OutOfMemoryError: CUDA\"",
            (Some("torch.OutOfMemoryError"), "CUDA"),
        ),
        ("error=TimeoutError: ", (Some("TimeoutError"), "")),
        ("error=KeyError", (Some("KeyError"), "")),
        ("error=router_error: 503", (Some("router_error"), "503")),
        ("error=Unknown model: x", (None, "Unknown model: x")),
        ("error=https://x", (None, "https://x")),
        ("error=timeout", (None, "timeout")),
        ("error=None of it, error_type=E", (Some("E"), "None of it")),
    ] {
        let message = format!("TRACE[ab12]: FAILED - {payload}, duration=1s");
        assert_eq!(
            parse_message(&message).unwrap().error(),
            Some(expected),
            "{payload}"
        );
    }
}

#[test]
fn a_reported_duration_is_found_under_its_names() {
    for (payload, micros) in [
        ("duration=2.45s", Some(2_450_000)),
        ("duration=2.45", Some(2_450_000)),
        ("duration_ms=2450", Some(2_450_000)),
        ("elapsed=3ms", Some(3000)),
        ("duration=soon", None),
    ] {
        let message = format!("TRACE[ab12]: SUCCESS - {payload}");
        let line = parse_message(&message).unwrap();
        assert_eq!(line.reported_duration_micros(), micros, "{payload}");
    }
}

#[test]
fn an_owned_line_equals_the_borrowed_one() {
    let line =
        parse_message("TRACE[AB12]: x started - a=1, b=2, c=3, d=4, e=5, f=\"\\n\"").unwrap();
    assert_eq!(line.clone().into_owned(), line);
    assert_eq!(line.fields.len(), 6);
}

/// Prints a value as an emitter does.
fn spell(value: &Value<'_>) -> String {
    match value {
        Value::Text(text) => {
            let mut out = String::from("\"");
            for c in text.chars() {
                match c {
                    '"' | '\\' => out.extend(['\\', c]),
                    '\n' => out.push_str("\\n"),
                    '\r' => out.push_str("\\r"),
                    '\t' => out.push_str("\\t"),
                    c if c.is_control() => out.push_str(&format!("\\u{:04x}", c as u32)),
                    c => out.push(c),
                }
            }
            out + "\""
        }
        Value::Int(n) => n.to_string(),
        Value::Float(n) => format!("{n:?}"),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::None => "None".to_owned(),
        Value::Duration { raw, .. } => raw.to_string(),
    }
}

fn any_value() -> impl Strategy<Value = Value<'static>> {
    prop_oneof![
        any::<String>().prop_map(|text| Value::Text(text.into())),
        any::<i64>().prop_map(Value::Int),
        (-1e6..1e6).prop_map(Value::Float),
        any::<bool>().prop_map(Value::Bool),
        Just(Value::None),
        (0..10_000_000_i64).prop_map(|hundredths| Value::Duration {
            micros: hundredths * 10_000,
            raw: format!("{}.{:02}s", hundredths / 100, hundredths % 100).into(),
        }),
    ]
}

proptest! {
    #[test]
    fn a_quoted_text_never_becomes_a_line_of_its_own(
        text in prop::collection::vec(
            prop::sample::select(vec![
                "🔍 ", "TRACE[dead]: SUCCESS", "2026-11-23 12:00:00+00:00 ", "fc-1 ta-9 ", "'", "it's",
                "\"", "\\", ", error=", " - ", "x", "Traceback (most recent call last)", "{", "(",
            ]),
            0..8,
        )
    ) {
        let text = text.concat();
        let value = spell(&Value::Text(text.clone().into()));
        let line = format!("2026-11-23 12:00:00+00:00 ta-1 TRACE[aaaa1111]: FAILED - a={value}, error={value}, b=1\n");
        let mut read = Vec::new();
        let mut decoder = beacon_parsers::Decoder::new();
        decoder.push(line.as_bytes(), &mut |record| {
            let beacon_parsers::Body::Trace(line) = record.body else { return };
            read.push((line.id.to_string(), line.fields.clone().into_owned()));
        });
        let text = Value::Text(text.into());
        let fields = [("a", text.clone()), ("error", text), ("b", Value::Int(1))];
        prop_assert_eq!(read, [("aaaa1111".to_owned(), fields.into_iter().collect())]);
    }

    #[test]
    fn a_printed_line_reads_back_equal(
        id in "[0-9a-f]{8}",
        text in "[A-Z][a-z]{1,8}( [a-z]{1,8}){0,3}",
        started in any::<bool>(),
        fields in prop::collection::vec(("[a-z_][a-z0-9_.-]{0,8}", any_value()), 0..8),
    ) {
        let payload: Vec<_> = fields.iter().map(|(k, v)| format!("{k}={}", spell(v))).collect();
        let dash = if payload.is_empty() { "" } else { " - " };
        let head = if started { " started" } else { " done" };
        let message = format!("🔍 TRACE[{id}]: {text}{head}{dash}{}", payload.join(", "));
        let line = parse_message(&message).unwrap();
        let phase = if started {
            Phase::Started { name: text.into() }
        } else {
            Phase::Step { text: format!("{text} done").into() }
        };
        prop_assert_eq!(line.id, id);
        prop_assert_eq!(line.phase, phase);
        prop_assert_eq!(line.fields, fields.into_iter().collect());
    }
}
