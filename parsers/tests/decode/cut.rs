//! Owns the cases in which one line arrived as two.
//! Refuses glue: see `glued`.
//! Invariant: a half that finds no rest comes out as it came.

use crate::support::{decode, decode_bytes, print};
use beacon_parsers::Decoder;
use insta::assert_snapshot;

const T: &str = "2026-11-23 12:00:00+00:00";

#[test]
fn a_keyword_cut_in_two_is_joined() {
    let log = format!(
        "{T} fc-1 ta-1 🔍 TRACE[75045e5a]: SUCC\n2026-11-23 12:00:01+00:00 fc-1 ta-1 ESS - duration=1.40s, tokens=88\n"
    );
    assert_snapshot!(decode(&log), @"1795435200000000/Second fc-1 ta-1 75045e5a Succeeded duration=1400000µs tokens=88");
}

#[test]
fn lines_of_other_containers_may_stand_between_the_halves() {
    let log = format!(
        "{T} fc-1 ta-1 🔍 TRACE[585d1f1e]: SUCCESS - dur\n\
         {T} fc-2 ta-2 [INFERENCE] Using preloaded llama3.2-1b\n\
         {T} fc-2 ta-2 🔍 TRACE[bbbb2222]: SUCCESS - duration=1s\n\
         {T} fc-1 ta-1 ation=0.90s, tokens=40\n"
    );
    assert_snapshot!(decode(&log), @"
    1795435200000000/Second fc-2 ta-2 bbbb2222 Succeeded duration=1000000µs
    1795435200000000/Second fc-1 ta-1 585d1f1e Succeeded duration=900000µs tokens=40
    ");
}

#[test]
fn a_line_cut_at_any_byte_of_its_head_is_joined() {
    let line = "🔍 TRACE[75045e5a]: FAILED - error=\"OSError: gated repo, 401\", duration=1.40s";
    let whole = decode(&format!("{T} fc-1 ta-1 {line}\n"));
    // Behind the keyword and behind complete values a cut cannot be seen.
    let unseen = ["FAILED", "FAILED ", "401\"", "duration=1.40s"];
    for (at, _) in line.char_indices().skip(1) {
        let (head, tail) = line.split_at(at);
        if unseen.iter().any(|end| head.ends_with(end)) {
            continue;
        }
        let log = format!("{T} fc-1 ta-1 {head}\n{T} fc-1 ta-1 {tail}\n");
        assert_eq!(decode(&log), whole, "cut behind {head:?}");
    }
}

#[test]
fn a_name_cut_inside_started_is_joined() {
    let log = format!(
        "{T} ta-1 TRACE[75045e5a]: Modal inference sta\n{T} ta-1 rted - model=m, region=r\n"
    );
    assert_snapshot!(decode(&log), @r#"1795435200000000/Second ta-1 75045e5a started<Modal inference> model="m" region="r""#);
}

#[test]
fn without_ids_only_the_directly_following_line_is_the_rest() {
    let log = "🔍 TRACE[aaaa1111]: SUCC\nESS - duration=1s\n\
               🔍 TRACE[bbbb2222]: SUCC\nnoise\nESS - duration=1s\n";
    assert_snapshot!(decode(log), @"
    aaaa1111 Succeeded duration=1000000µs
    bbbb2222 step<SUCC>
    ");
}

#[test]
fn a_half_whose_source_goes_on_comes_out_as_it_came() {
    let log = format!(
        "{T} ta-1 🔍 TRACE[aaaa1111]: SUCCESS - dur\n{T} ta-1 🔍 TRACE[bbbb2222]: SUCCESS - duration=1s\n"
    );
    assert_snapshot!(decode(&log), @r#"
    1795435200000000/Second ta-1 aaaa1111 Succeeded message="dur"
    1795435200000000/Second ta-1 bbbb2222 Succeeded duration=1000000µs
    "#);
}

#[test]
fn a_half_holds_the_resume_offset_until_it_is_flushed() {
    let mut decoder = Decoder::new();
    let mut records = Vec::new();
    let log = format!("{T} ta-1 one\n{T} ta-1 🔍 TRACE[aaaa1111]: SUCC\n{T} ta-2 two\nthr");
    decoder.push(log.as_bytes(), &mut |record| records.push(print(&record)));
    assert_eq!(decoder.resume_offset(), 35);
    assert!(records.is_empty());
    decoder.flush(&mut |record| records.push(print(&record)));
    assert_eq!(decoder.resume_offset(), log.len() as u64 - 3);
    assert_eq!(records.len(), 1);
}

#[test]
fn a_half_waits_for_a_bounded_number_of_lines() {
    let mut log = format!("{T} ta-1 🔍 TRACE[aaaa1111]: SUCC\n");
    log.extend(std::iter::repeat_n(
        "2026-11-23 12:00:00+00:00 ta-2 other\n",
        2000,
    ));
    let mut decoder = Decoder::new();
    let mut records = 0;
    decoder.push(log.as_bytes(), &mut |_| records += 1);
    assert_eq!((records, decoder.resume_offset()), (1, log.len() as u64));
}

#[test]
fn joined_and_malformed_lines_are_counted() {
    let log = "🔍 TRACE[aaaa1111]: SUCC\nESS\n🔍 TRACE[x]: SUCCESS\n🔍 TRACE[aaaa1111] SUCCESS\n";
    let (_, counts) = decode_bytes(log.as_bytes());
    assert_eq!(
        (counts.rejoined, counts.rejected, counts.trace_lines),
        (1, 2, 1)
    );
}

#[test]
fn a_complete_line_never_waits() {
    let mut decoder = Decoder::new();
    for line in [
        "FAILED - timeout",
        "FAILED - OOM",
        "FAILED - error=KeyError, attempt=2",
        "FAILED - error=\"\\\"x\\\" y\"",
        "SUCCESS",
        "SUCCESS - tokens=1, model=m",
        "Model validated",
        "Model loaded - fine",
        "Modal inference started",
    ] {
        let mut records = 0;
        let line = format!("{T} ta-1 🔍 TRACE[aaaa1111]: {line}\n");
        decoder.push(line.as_bytes(), &mut |_| records += 1);
        assert_eq!(records, 1, "{line}");
    }
}
