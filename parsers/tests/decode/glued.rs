//! Owns the cases in which the CLI printed two lines as one.
//! Refuses halves on lines of their own: see `cut`.
//! Invariant: each fixture has the shape of real output.

use crate::support::{decode, decode_bytes};
use insta::assert_snapshot;

#[test]
fn a_poll_that_ends_before_the_newline_leaves_the_number_whole() {
    let log = "2026-11-23 13:33:41+00:00 fc-1 ta-1 🔍 TRACE[c172bff9]: SUCCESS - duration=0.70s, \
               tokens=1562026-11-23 13:33:41+00:00 fc-1 ta-1 \n";
    assert_snapshot!(decode(log), @"1795440821000000/Second fc-1 ta-1 c172bff9 Succeeded duration=700000µs tokens=156");
}

#[test]
fn a_poll_that_ends_in_mid_line_is_continued_by_the_same_ids() {
    let log = "2026-11-23 13:33:41+00:00 fc-1 ta-1 🔍 TRACE[c3139311]: SUCCESS2026-11-23 \
               13:33:42+00:00 fc-1 ta-1  - duration=0.60s, tokens=10\n";
    assert_snapshot!(decode(log), @"1795440821000000/Second fc-1 ta-1 c3139311 Succeeded duration=600000µs tokens=10");
}

#[test]
fn a_line_of_another_container_that_was_glued_on_is_its_own() {
    let log = "2026-11-23 13:33:41+00:00 fc-1 ta-1 🔍 TRACE[aaaa1111]: SUCCESS - duration=0.70s, \
               tokens=1562026-11-23 13:33:41+00:00 fc-2 ta-2 🔍 TRACE[bbbb2222]: Modal inference \
               started - model=mistral-7b, region=eu-west\n";
    assert_snapshot!(decode(log), @r#"
    1795440821000000/Second fc-1 ta-1 aaaa1111 Succeeded duration=700000µs tokens=156
    1795440821000000/Second fc-2 ta-2 bbbb2222 started<Modal inference> model="mistral-7b" region="eu-west"
    "#);
}

#[test]
fn noise_without_newline_does_not_hide_the_trace_line_glued_on() {
    let log = "2026-11-23 13:33:41+00:00 fc-1 ta-1 [DEBUG] Full response: 'half2026-11-23 \
               13:33:42+00:00 fc-2 ta-2 🔍 TRACE[bbbb2222]: SUCCESS - duration=1s\n";
    assert_snapshot!(decode(log), @"1795440822000000/Second fc-2 ta-2 bbbb2222 Succeeded duration=1000000µs");
}

#[test]
fn an_old_cli_flushes_without_any_prefix() {
    let log = "🔍 TRACE[aaaa1111]: SUCC2026-11-23 13:08:07+00:00 ESS - duration=2s\n\
               2026-11-23 13:08:07+00:00 half 2026-11-23 13:08:08+00:00 🔍 TRACE[bbbb2222]: SUCCESS\n";
    assert_snapshot!(decode(log), @"
    1795439287000000/Second aaaa1111 Succeeded duration=2000000µs
    1795439288000000/Second bbbb2222 Succeeded
    ");
}

#[test]
fn a_progress_bar_in_follow_mode_repeats_the_prefix_and_ends_in_a_trace_line() {
    let p = "2026-11-23 13:33:41+00:00 fc-1 ta-1 ";
    let log = format!("{p}{p}  0%|   |{p} 50%|#  |{p}100%|###|\n{p}🔍 TRACE[aaaa1111]: SUCCESS\n");
    assert_snapshot!(decode(&log), @"1795440821000000/Second fc-1 ta-1 aaaa1111 Succeeded");
}

#[test]
fn a_time_in_the_text_is_not_a_second_line() {
    let log = "2026-11-23 13:33:41+00:00 🔍 TRACE[aaaa1111]: Restarted at 2026-11-23 13:00:00+00:00 \
               because - model=x\n🔍 TRACE[aaaa1111]: seen - at=2026-11-23 13:00:00+00:00, x=1\n";
    assert_snapshot!(decode(log), @r#"
    1795440821000000/Second aaaa1111 step<Restarted at 2026-11-23 13:00:00+00:00 because> model="x"
    aaaa1111 step<seen> at="2026-11-23 13:00:00+00:00" x=1
    "#);
}

#[test]
fn two_headers_in_a_line_are_two_lines() {
    let log = "🔍 TRACE[aaaa1111]: SUCCESS - duration=1s, tokens=156🔍 TRACE[bbbb2222]: Modal inference \
               started - model=m, region=us-east🔍 TRACE[bbbb2222]: SUCCESS\n\
               TRACE[cccc3333]: FAILED - error=OSError: gated, duration=2s 🔍 TRACE[dddd4444]: SUCCESS\n";
    assert_snapshot!(decode(log), @r#"
    aaaa1111 Succeeded duration=1000000µs tokens=156
    bbbb2222 started<Modal inference> model="m" region="us-east"
    bbbb2222 Succeeded
    cccc3333 Failed error="OSError: gated" duration=2000000µs
    dddd4444 Succeeded
    "#);
}

#[test]
fn an_error_that_quotes_a_header_is_one_line() {
    let log = "🔍 TRACE[aaaa1111]: FAILED - error=ValueError: unexpected TRACE[deadbeef]: SUCCESS in \
               output\n🔍 TRACE[aaaa1111]: FAILED - error=\"V: 🔍 TRACE[deadbeef]: SUCCESS\"\n";
    assert_snapshot!(decode(log), @r#"
    aaaa1111 Failed error="ValueError: unexpected TRACE[deadbeef]: SUCCESS in output"
    aaaa1111 Failed error="V: 🔍 TRACE[deadbeef]: SUCCESS"
    "#);
}

#[test]
fn glued_lines_are_counted() {
    let log = "2026-11-23 13:33:41+00:00 ta-1 🔍 TRACE[aaaa1111]: SUCCESS2026-11-23 13:33:41+00:00 ta-1 \n";
    let (records, counts) = decode_bytes(log.as_bytes());
    assert_eq!((records.len(), counts.glued, counts.lines), (1, 1, 1));
}
