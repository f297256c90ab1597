//! Every cause in a hand-made trace, told by structure and timing: the texts say "error" unless the
//! cause is one that only a text can tell. Then what there is besides whole traces.

use std::time::{Duration, Instant};

use serde_json::json;

use super::*;
use crate::analysis::report::EvidenceKind;
use crate::analysis::scene::{
    Said, at, baselines, ended, failed, healthy, modal, router, row, runner, span,
};
use crate::model::{ExecutionLink, LossEntry, Span, SpanStatus, meta};

/// Long after everything.
fn later() -> chrono::DateTime<chrono::Utc> {
    at(100_000_000)
}

fn diagnosis(case: &ExecutionCase) -> Diagnosis {
    diagnose(case, &baselines(), later())
}

#[track_caller]
fn assert_cause(case: &ExecutionCase, cause: RootCause) -> Diagnosis {
    let found = diagnosis(case);
    assert_eq!(found.root_cause_code, cause, "{found:#?}");
    assert!(!found.explanation.is_empty() && found.confidence > 0.4);
    if cause != RootCause::None {
        assert!(!found.evidence.is_empty() && !found.recommendations.is_empty());
    }
    found
}

fn error(span: Span) -> Span {
    span.failed("error", "error")
}

/// The whole trace with the given spans failed.
fn with_errors(mut spans: Vec<Span>, ids: &[u128]) -> Vec<Span> {
    for span in &mut spans {
        if ids.contains(&span.span_id.as_u128()) {
            *span = error(span.clone());
        }
    }
    spans
}

/// A trace in which Modal failed with a text.
fn modal_failed(kind: &str, message: &str) -> ExecutionCase {
    let mut spans = with_errors(healthy(), &[1, 2, 3, 4]);
    spans[4] = spans[4].clone().failed(kind, message);
    failed(spans)
}

#[test]
fn a_runner_that_fails_at_once_and_calls_nobody_has_no_executor() {
    let case = failed(vec![error(span(1, "runner", "execute_question", 0, 14))]);
    let found = assert_cause(&case, RootCause::ExecutorMissing);
    assert_eq!(found.timing_breakdown["router"], "missing");
    assert_eq!(found.timing_breakdown["runner"], "14ms");
    assert!(found.confidence > 0.8);
}

#[test]
fn a_call_that_fails_at_once_and_leaves_no_trace_at_the_router_never_reached_it() {
    assert_cause(
        &failed(with_errors(runner(25), &[1, 2])),
        RootCause::RouterUnreachable,
    );
}

#[test]
fn a_router_that_fails_at_once_without_calling_anybody_has_no_provider() {
    let mut spans = runner(25);
    spans.push(span(3, "router", "inference_request", 8, 20).under(2));
    assert_cause(
        &failed(with_errors(spans, &[1, 2, 3])),
        RootCause::NoHealthyProvider,
    );
}

#[test]
fn a_call_to_modal_that_fails_at_once_without_a_function_was_refused() {
    let mut spans = runner(180);
    spans.extend(router(20, 170));
    assert_cause(
        &failed(with_errors(spans, &[1, 2, 3, 4])),
        RootCause::ModalEndpointDown,
    );
}

#[test]
fn a_function_that_fails_within_milliseconds_refused_the_model() {
    let mut spans = runner(420);
    spans.extend(router(20, 410));
    spans.push(modal(350, 354));
    assert_cause(
        &failed(with_errors(spans, &[1, 2, 3, 4, 5])),
        RootCause::ModalUnknownModel,
    );
}

#[test]
fn what_a_function_failed_by_is_told_by_its_text() {
    let found = assert_cause(
        &modal_failed(
            "OutOfMemoryError",
            "CUDA out of memory. Tried to allocate 2.00 GiB",
        ),
        RootCause::ModalOutOfMemory,
    );
    let quoted = found
        .evidence
        .iter()
        .filter_map(|evidence| evidence.quoted_log.as_deref());
    assert!(quoted.clone().any(|text| text.contains("2.00 GiB")));
    let load = modal_failed("OSError", "model.safetensors: no such file");
    assert_cause(&load, RootCause::ModalModelLoad);
    let exception = modal_failed("TypeError", "unsupported operand type(s)");
    assert_cause(&exception, RootCause::ModalException);
}

#[test]
fn a_traceback_tells_what_was_being_done_and_not_where_the_program_lies() {
    let with_traceback = |function: &str| {
        let mut case = modal_failed("RuntimeError", "something is off");
        let traceback = format!(
            "Traceback (most recent call last):\n  File \"/pkg/hf_models/checkpoint.py\", line 3, in {function}\n    x = y\nRuntimeError: something is off"
        );
        case.spans[4] = case.spans[4]
            .clone()
            .with(meta::TRACEBACK, json!(traceback));
        case
    };
    assert_cause(&with_traceback("run_step"), RootCause::ModalException);
    assert_cause(
        &with_traceback("load_state_dict"),
        RootCause::ModalModelLoad,
    );
}

#[test]
fn a_function_that_failed_without_saying_why_is_no_certain_case() {
    let found = diagnosis(&modal_failed("error", "error"));
    assert!(found.confidence < 0.6, "{found:#?}");
    assert_eq!(found.affected_service.as_deref(), Some("modal"));
}

#[test]
fn a_function_that_never_ends_while_the_router_gives_up_timed_out() {
    let mut spans = runner(60_060);
    spans.extend(router(20, 60_040));
    spans.push(
        modal(300, 400)
            .open()
            .with(meta::DEADLINE_PASSED, json!(true)),
    );
    spans[4].status = SpanStatus::Timeout;
    let found = assert_cause(
        &failed(with_errors(spans, &[1, 2, 3, 4])),
        RootCause::ModalTimeout,
    );
    assert_eq!(found.data_quality.open_spans.len(), 1);
    assert!(
        found
            .evidence
            .iter()
            .any(|evidence| evidence.kind == EvidenceKind::SpanOpen)
    );
}

#[test]
fn a_function_that_finishes_after_the_router_gave_up_was_given_too_little_time() {
    let mut spans = runner(60_060);
    spans.extend(router(20, 60_040));
    spans.push(modal(300, 82_000));
    assert_cause(
        &failed(with_errors(spans, &[1, 2, 3, 4])),
        RootCause::RouterTimeout,
    );
}

#[test]
fn an_answer_that_the_runner_waits_for_in_vain_was_lost() {
    let mut spans = runner(140_000);
    spans.extend(router(20, 2_480));
    spans.push(modal(300, 2_400));
    assert_cause(
        &failed(with_errors(spans, &[1, 2])),
        RootCause::ResponseLost,
    );
}

#[test]
fn a_runner_that_fails_though_everybody_below_completed_refused_the_answer() {
    assert_cause(
        &failed(with_errors(healthy(), &[1])),
        RootCause::ResultRejected,
    );
}

#[test]
fn a_call_that_ends_neither_at_once_nor_at_a_limit_was_called_off() {
    assert_cause(
        &failed(with_errors(runner(3_700), &[1, 2])),
        RootCause::Cancelled,
    );
}

#[test]
fn a_status_that_says_cancelled_is_believed() {
    let mut case = failed(with_errors(runner(3_700), &[1, 2]));
    case.execution.status = "cancelled".to_owned();
    assert!(assert_cause(&case, RootCause::Cancelled).confidence > 0.9);
}

#[test]
fn a_completed_execution_is_measured_with_its_own_kind() {
    let slow = |queue: i64, boot: i64, inference: i64| {
        let mut spans = runner(queue + boot + inference + 100);
        spans.extend(router(queue, queue + boot + inference + 80));
        spans.push(modal(queue + boot, queue + boot + inference));
        ended("completed", spans)
    };
    assert_cause(&slow(20, 280, 2_100), RootCause::None);
    assert_cause(&slow(20, 40_000, 2_100), RootCause::ColdStart);
    assert_cause(&slow(30_000, 280, 2_100), RootCause::QueueWait);
    let found = assert_cause(&slow(20, 280, 25_000), RootCause::SlowInference);
    assert!(
        found
            .anomalies
            .iter()
            .any(|anomaly| anomaly.what.contains("inference"))
    );
    assert!(found.explanation.contains("usual"), "{}", found.explanation);
}

#[test]
fn a_healthy_execution_whose_modal_log_was_lost_is_healthy() {
    let case = ended("completed", healthy()[..4].to_vec());
    let found = assert_cause(&case, RootCause::None);
    assert_eq!(found.data_quality.missing_spans.len(), 1);
}

#[test]
fn a_slow_execution_whose_modal_log_was_lost_is_not_explained() {
    let mut spans = runner(60_000);
    spans.extend(router(20, 59_980));
    let found = diagnosis(&ended("completed", spans));
    assert_eq!(found.root_cause_code, RootCause::Undetermined);
}

#[test]
fn what_was_lost_or_not_linked_matters_only_where_it_is_asked_for() {
    let baselines = baselines();
    let loss = LossEntry {
        source: "modal".to_owned(),
        from: at(0),
        to: at(60_000),
        reason: "restart".to_owned(),
        lost: 5,
    };
    let cause = |case: &ExecutionCase| {
        let tree = Tree::build(&case.spans, &baselines.skews);
        cause_of(case, &tree, &baselines, later())
    };
    let mut changed = 0;
    for kept in 0..32_u128 {
        for failing in 0..32_u128 {
            let ids = |mask: u128| (1..=5).filter(move |id| mask >> (id - 1) & 1 == 1);
            let failing: Vec<u128> = ids(failing).collect();
            let mut spans = with_errors(healthy(), &failing);
            spans.retain(|span| ids(kept).any(|id| id == span.span_id.as_u128()));
            for case in [failed(spans.clone()), ended("completed", spans)] {
                let surrounded = ExecutionCase {
                    losses: [loss.clone()].into(),
                    unlinked: [modal(0, 1_000)].into(),
                    ..case.clone()
                };
                let same = cause(&case) == cause(&surrounded);
                let asked = hangs_on_surroundings(&case, &baselines, later());
                assert!(same || asked, "kept {kept:b}, failing {failing:?}");
                changed += usize::from(!same);
            }
        }
    }
    assert!(changed > 0);
}

#[test]
fn an_attempt_that_was_repeated_with_success_is_not_the_cause() {
    let mut spans = with_errors(healthy(), &[1]);
    spans.push(error(
        span(20, "runner", "hybrid_router_call", 1, 4).under(1),
    ));
    assert_cause(&failed(spans), RootCause::ResultRejected);
}

#[test]
fn an_execution_that_still_runs_is_said_to_and_for_how_long() {
    let mut case = ended("running", with_errors(runner(100), &[]));
    case.spans
        .iter_mut()
        .for_each(|span| *span = span.clone().open());
    case.execution.completed_at = None;
    let found = diagnose(&case, &baselines(), at(90_000));
    assert_eq!(found.root_cause_code, RootCause::Undetermined);
    assert_eq!(found.running_for_ms, Some(90_000));
    assert!(
        found.explanation.contains("still running for 90.00s"),
        "{}",
        found.explanation
    );
    assert!(
        found.explanation.contains("hybrid_router_call"),
        "{}",
        found.explanation
    );
}

#[test]
fn a_row_alone_tells_what_its_duration_and_its_output_tell() {
    let alone = |took: i64| ExecutionCase::new(row(7, "failed", took), Vec::new());
    let at_once = assert_cause(&alone(13), RootCause::ExecutorMissing);
    assert!(at_once.confidence < 0.8, "{at_once:#?}");
    assert_eq!(
        (at_once.trace_id, at_once.timing_breakdown["modal"].as_str()),
        (None, "missing")
    );
    let waited = diagnosis(&alone(60_020));
    assert_eq!(waited.root_cause_code, RootCause::Undetermined);
    assert!(
        waited.explanation.contains("modal_timeout"),
        "{}",
        waited.explanation
    );
    let mut said = alone(4_000);
    said.execution.output_data = Some(json!({"error": {"message": "CUDA out of memory"}}));
    assert_cause(&said, RootCause::ModalOutOfMemory);
}

#[test]
fn a_trace_that_tells_nothing_determines_nothing() {
    let found = diagnosis(&failed(vec![error(span(1, "backend", "cron", 0, 700))]));
    assert_eq!(found.root_cause_code, RootCause::Undetermined);
    assert!(!found.ruled_out.is_empty());
}

#[test]
fn copies_cycles_and_backward_spans_are_reported_and_change_no_answer() {
    let mut case = failed(with_errors(healthy(), &[1]));
    case.spans.push(case.spans[3].clone());
    case.spans.push(span(30, "runner", "x", 10, 5).under(31));
    case.spans.push(span(31, "runner", "y", 10, 20).under(30));
    let quality = assert_cause(&case, RootCause::ResultRejected).data_quality;
    assert_eq!(quality.duplicates_removed, 1);
    assert!(
        quality.notes.iter().any(|note| note.contains("circle")),
        "{:?}",
        quality.notes
    );
    assert!(
        quality
            .notes
            .iter()
            .any(|note| note.contains("end before they start"))
    );
}

#[test]
fn how_the_trace_was_found_is_told_and_counts() {
    let mut case = failed(with_errors(runner(25), &[1, 2]));
    case.link = Some(ExecutionLink {
        trace_id: uuid::Uuid::from_u128(1),
        execution_id: 7,
        method: "time".to_owned(),
        confidence: 0.97,
    });
    let quality = diagnosis(&case).data_quality;
    assert_eq!(
        (quality.linked_by.as_deref(), quality.link_confidence),
        (Some("time"), Some(0.97))
    );
}

#[test]
fn no_baseline_at_all_still_tells_a_failure_by_its_structure() {
    let nothing = Baselines::empty();
    let cause = |case: &ExecutionCase| diagnose(case, &nothing, later()).root_cause_code;
    assert_eq!(
        cause(&failed(with_errors(runner(25), &[1, 2]))),
        RootCause::RouterUnreachable
    );
    assert_eq!(
        cause(&failed(with_errors(healthy(), &[1]))),
        RootCause::ResultRejected
    );
    assert_eq!(cause(&ended("completed", healthy())), RootCause::None);
}

#[test]
fn fifty_thousand_spans_are_diagnosed_within_seconds() {
    let mut spans = with_errors(healthy(), &[1]);
    spans.extend((100..50_000_u128).map(|id| {
        let from = 10 + id as i64 % 2_000;
        span(id, "runner", "step", from, from + 3).under(1)
    }));
    let begun = Instant::now();
    let found = diagnosis(&failed(spans));
    assert_eq!(found.root_cause_code, RootCause::ResultRejected);
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn fifty_thousand_failures_with_texts_are_diagnosed_within_seconds() {
    let mut spans = with_errors(healthy(), &[1]);
    spans.extend((100..50_000_u128).map(|id| {
        let from = 10 + id as i64 % 2_000;
        let text = format!("step {id} failed: connection refused");
        span(id, "runner", "step", from, from + 3)
            .under(1)
            .failed("error", &text)
    }));
    let begun = Instant::now();
    let found = diagnosis(&failed(spans));
    assert_eq!(found.root_cause_code, RootCause::ResultRejected);
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn an_execution_of_which_only_the_row_is_known_misses_its_runner_and_claims_no_more() {
    let case = crate::analysis::case::ExecutionCase::new(
        crate::analysis::scene::row(7, "failed", 5_200),
        Vec::new(),
    );
    let missing = diagnosis(&case).data_quality.missing_spans;
    assert_eq!(missing.len(), 1, "{missing:#?}");
    assert_eq!(missing[0].service, "runner");
    let case = crate::analysis::case::ExecutionCase::new(
        crate::analysis::scene::row(7, "completed", 2_500),
        Vec::new(),
    );
    let missing = diagnosis(&case).data_quality.missing_spans;
    assert!(
        missing.len() == 3
            && missing
                .iter()
                .all(|span| span.why == crate::analysis::report::MissingReason::LogLost),
        "{missing:#?}"
    );
}
