//! Gaps and missing spans of tiny traces.

use std::time::{Duration, Instant};

use super::*;
use crate::analysis::baseline::Settings;
use crate::analysis::report::MissingReason;
use crate::analysis::scene::{
    Said, at, baselines, healthy, healthy_traces, modal, router, runner, span,
};

fn gaps_of(spans: &[Span]) -> TraceGaps {
    find(Uuid::from_u128(1), spans, &baselines(), &[], &[])
}

/// Kind, length in ms and enclosing operation of each gap.
fn found(spans: &[Span]) -> Vec<(GapKind, i64, String)> {
    let inside = |id: &str| {
        let all = spans.iter().find(|span| span.span_id.to_string() == id);
        all.map_or_else(String::new, |span| span.operation.clone())
    };
    let gaps = gaps_of(spans).gaps;
    gaps.iter()
        .map(|gap| (gap.kind, gap.gap_ms, inside(&gap.inside)))
        .collect()
}

#[test]
fn nested_and_overlapping_spans_make_no_gap() {
    let spans = [
        span(1, "runner", "root", 0, 1_000),
        span(2, "runner", "outer", 0, 600).under(1),
        span(3, "runner", "inner", 50, 550).under(2),
        span(4, "runner", "overlapping", 400, 1_000).under(1),
    ];
    assert_eq!(found(&spans), []);
}

#[test]
fn a_gap_is_longer_than_a_tenth_of_a_second() {
    let with_pause = |pause: i64| {
        [
            span(1, "runner", "root", 0, 1_000 + pause),
            span(2, "runner", "first", 0, 500).under(1),
            span(3, "runner", "second", 500 + pause, 1_000 + pause).under(1),
        ]
    };
    assert_eq!(found(&with_pause(100)), []);
    let gap = (GapKind::Unexplained, 101, "root".to_owned());
    assert_eq!(found(&with_pause(101)), [gap]);
}

#[test]
fn waits_are_told_by_what_they_end_with() {
    let mut spans = runner(80_000);
    spans.extend(router(30_005, 78_000));
    spans.push(modal(50_010, 77_895));
    let expected = [
        (GapKind::Queue, 30_000, "hybrid_router_call".to_owned()),
        (GapKind::Boot, 20_000, "modal_call".to_owned()),
        (GapKind::Network, 2_000, "hybrid_router_call".to_owned()),
    ];
    assert_eq!(found(&spans), expected);
}

#[test]
fn a_span_without_children_and_a_trace_with_one_span_have_no_gaps() {
    let report = gaps_of(&[span(1, "runner", "execute_question", 0, 60_000)]);
    assert_eq!((report.total_spans, report.gaps.len()), (1, 0));
    assert!(
        report.notes.iter().any(|note| note.contains("single span")),
        "{:?}",
        report.notes
    );
}

#[test]
fn time_that_only_a_grandchild_covers_is_no_gap() {
    let spans = [
        span(1, "runner", "root", 0, 1_000),
        span(2, "runner", "short", 0, 300).under(1),
        span(3, "runner", "outlives its parent", 100, 1_000).under(2),
    ];
    assert_eq!(found(&spans), []);
}

#[test]
fn skewed_clocks_make_no_gap_longer_than_what_the_call_leaves() {
    let mut spans = healthy();
    let behind = chrono::TimeDelta::milliseconds(-1_900);
    spans[4].started_at += behind;
    spans[4].completed_at = spans[4].completed_at.map(|end| end + behind);
    let longest = found(&spans).into_iter().map(|(_, ms, _)| ms).max();
    // The call took 2450 ms, the inference 2100 ms.
    assert!(longest <= Some(350), "{longest:?}");
}

/// Why Modal's span is missing from a trace.
fn why(spans: &[Span], losses: &[LossEntry]) -> MissingReason {
    let report = find(Uuid::from_u128(1), spans, &baselines(), losses, &[]);
    let modal = report
        .missing_spans
        .iter()
        .find(|missing| missing.service == "modal");
    modal
        .map(|missing| missing.why)
        .expect("Modal's span is missed")
}

#[test]
fn a_missing_span_under_a_call_that_completed_ran_and_lost_its_log() {
    let spans = &healthy()[..4];
    assert_eq!(why(spans, &[]), MissingReason::LogLost);
}

#[test]
fn a_missing_span_under_a_call_that_failed_never_ran() {
    let mut spans = healthy()[..4].to_vec();
    for span in &mut spans {
        *span = span.clone().failed("ConnectError", "refused");
    }
    assert_eq!(why(&spans, &[]), MissingReason::NeverRan);
    assert_eq!(why(&spans[..2], &[]), MissingReason::NeverRan);
    let lost = LossEntry {
        source: "modal:app".to_owned(),
        from: at(-1_000),
        to: at(10_000),
        reason: "spool full".to_owned(),
        lost: 40,
    };
    assert_eq!(why(&spans, &[lost]), MissingReason::LogLost);
}

#[test]
fn a_span_that_no_success_has_is_not_instrumented() {
    let all = healthy_traces(20);
    let without: Vec<Span> = all
        .into_iter()
        .filter(|span| span.service != "modal")
        .collect();
    let baselines = Baselines::from_spans(&without, Settings::default(), at(60_000));
    let report = find(Uuid::from_u128(1), &healthy()[..4], &baselines, &[], &[]);
    let whys: Vec<_> = report
        .missing_spans
        .iter()
        .map(|missing| missing.why)
        .collect();
    assert_eq!(whys, [MissingReason::NotInstrumented]);
}

#[test]
fn a_whole_trace_misses_nothing() {
    assert_eq!(gaps_of(&healthy()).missing_spans, []);
}

#[test]
fn no_span_at_all_is_said_so() {
    let report = gaps_of(&[]);
    assert_eq!(report.total_spans, 0);
    assert!(report.notes.iter().any(|note| note.contains("no span")));
}

#[test]
fn fifty_thousand_spans_are_answered_within_seconds() {
    let mut spans = vec![span(1, "runner", "root", 0, 10_000_000)];
    spans.extend((2..50_000_u128).map(|id| {
        let from = id as i64 * 200;
        let parent = if id % 3 == 0 { id - 1 } else { 1 };
        span(id, "runner", "step", from, from + 50).under(parent)
    }));
    let baselines = baselines();
    let begun = Instant::now();
    let report = find(Uuid::from_u128(1), &spans, &baselines, &[], &[]);
    assert_eq!(report.total_spans, 49_999);
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
}
