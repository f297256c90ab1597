//! Behaviour of the whole: hand-made rows in, findings out.

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::*;
use crate::model::{
    End, Moment, Observation, Outcome, Precision, SpanKey, SpanLink, SpanStatus, meta,
};

/// Milliseconds after a fixed moment.
fn at(ms: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_760_000_000, 0).unwrap() + TimeDelta::milliseconds(ms)
}

/// A printed span: what the lines of one call leave in our table.
fn printed(log_id: &str, from: i64, took: Option<i64>) -> Observation {
    let container = format!("ta-{log_id}");
    let key = SpanKey {
        log_id: log_id.into(),
        scope: container.as_str().into(),
    };
    let moment = |ms: i64| Moment {
        at: at(ms.div_euclid(1000) * 1000),
        precision: Precision::Second,
    };
    let mut seen = Observation::new(key, "test");
    seen.container_id = Some(container.into());
    seen.start = Some(moment(from));
    seen.end = took.map(|took| End {
        moment: moment(from + took),
        outcome: Outcome::Completed,
        reported_us: Some(took * 1000),
        error_type: None,
        error_message: None,
    });
    seen.model_id = Some("llama".into());
    seen.region = Some("us-east".into());
    seen
}

/// A span of others. The trace is the tens of its number, the span the number itself.
fn span(number: u128, service: &str, operation: &str, from: i64, to: Option<i64>) -> Span {
    Span {
        trace_id: Uuid::from_u128(number / 10),
        span_id: Uuid::from_u128(number),
        parent_span_id: None,
        service: service.into(),
        operation: operation.into(),
        started_at: at(from),
        completed_at: to.map(at),
        duration_ms: to.map(|to| to - from),
        status: if to.is_some() {
            SpanStatus::Completed
        } else {
            SpanStatus::Started
        },
        job_id: None,
        execution_id: None,
        model_id: None,
        region: None,
        metadata: serde_json::Map::new(),
        error_message: None,
        error_type: None,
    }
}

fn with(mut span: Span, metadata: Value) -> Span {
    span.metadata = metadata.as_object().unwrap().clone();
    span
}

/// A whole call: runner, router, and the router's call to Modal from `from` to `to`.
fn call(trace: u128, from: i64, to: i64) -> Vec<Span> {
    let id = trace * 10;
    let runner = json!({"job_id": format!("job-{trace}"), "model_id": "llama", "region": "US", "question_id": "q1"});
    let router = json!({"model": "llama", "region": "US"});
    let mut spans = vec![
        with(
            span(id, "runner", "execute_question", from - 40, Some(to + 40)),
            runner.clone(),
        ),
        with(
            span(
                id + 1,
                "runner",
                "hybrid_router_call",
                from - 30,
                Some(to + 30),
            ),
            runner,
        ),
        with(
            span(
                id + 2,
                "router",
                "inference_request",
                from - 10,
                Some(to + 10),
            ),
            router.clone(),
        ),
        with(span(id + 3, "router", "modal_call", from, Some(to)), router),
    ];
    for at in 1..4 {
        spans[at].parent_span_id = Some(spans[at - 1].span_id);
    }
    spans
}

fn execution(trace: u128, from: i64, to: i64) -> Execution {
    Execution {
        id: trace as i64 + 1000,
        job_key: Some(1),
        job_id: Some(format!("job-{trace}")),
        provider_id: "modal-us-east".into(),
        region: "US".into(),
        status: "completed".into(),
        started_at: Some(at(from - 40)),
        completed_at: Some(at(to + 40)),
        created_at: Some(at(to + 50)),
        model_id: Some("llama".into()),
        question_id: Some("q1".into()),
        output_data: None,
    }
}

fn links(modal: &[Span], others: &[Span], executions: &[Execution]) -> Vec<SpanLink> {
    let regions = Regions::default();
    let traces = traces(others);
    let known = super::executions(&traces, executions, &regions);
    let correlation = Correlation::new(modal, &traces, &known, executions, &regions);
    let knowledge = correlation.learn(DateTime::UNIX_EPOCH, &Knowledge::default());
    let found = correlation.links(&knowledge).into_iter();
    found.map(|finding| finding.link).collect()
}

fn trace_of(found: &[SpanLink], span: &Span) -> Option<u128> {
    let link = found.iter().find(|link| link.span_id == span.span_id)?;
    Some(link.trace_id.as_u128())
}

fn method(link: &SpanLink) -> &str {
    link.link["method"].as_str().unwrap()
}

#[test]
fn a_span_inside_the_only_call_that_runs_is_linked_to_it_and_to_its_execution() {
    let modal = [printed("00000001", 1_200, Some(1_850)).to_span()];
    let found = links(
        &modal,
        &call(1, 1_000, 3_150),
        &[execution(1, 1_000, 3_150)],
    );
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].trace_id, Uuid::from_u128(1));
    assert_eq!(found[0].parent_span_id, Some(Uuid::from_u128(13)));
    assert_eq!(found[0].execution_id, Some(1001));
    assert_eq!(found[0].job_id.as_deref(), Some("job-1"));
    assert_eq!(method(&found[0]), "evidence");
}

#[test]
fn the_parent_is_the_deepest_enclosing_span_that_there_is() {
    let modal = [printed("00000001", 1_200, Some(1_850)).to_span()];
    let all = call(1, 1_000, 3_150);
    for (spans, parent) in [(&all[..3], 12), (&all[..2], 11), (&all[..1], 10)] {
        let found = links(&modal, spans, &[]);
        assert_eq!(found[0].parent_span_id, Some(Uuid::from_u128(parent)));
    }
}

#[test]
fn a_span_without_callers_around_it_has_no_finding() {
    let modal = [printed("00000001", 1_200, Some(1_850)).to_span()];
    assert_eq!(links(&modal, &[], &[]), []);
    assert_eq!(links(&modal, &call(1, 900_000, 903_000), &[]), []);
}

#[test]
fn another_model_or_region_is_never_the_caller() {
    let mut elsewhere = printed("00000001", 1_200, Some(1_850));
    elsewhere.region = Some("eu-west".into());
    let mut other = printed("00000002", 1_200, Some(1_850));
    other.model_id = Some("mistral".into());
    let modal = [elsewhere.to_span(), other.to_span()];
    assert_eq!(links(&modal, &call(1, 1_000, 3_150), &[]), []);
}

#[test]
fn two_callers_that_fit_equally_well_leave_the_span_unlinked_with_the_reason() {
    let modal = [
        printed("00000001", 1_200, Some(1_850)).to_span(),
        printed("00000002", 1_210, Some(1_850)).to_span(),
    ];
    let mut others = call(1, 1_000, 3_150);
    others.extend(call(2, 1_010, 3_160));
    let found = links(&modal, &others, &[]);
    assert_eq!(found.len(), 2);
    for (link, span) in found.iter().zip(&modal) {
        assert_eq!(link.trace_id, span.span_id);
        assert_eq!(method(link), "none");
        assert!(link.link["reason"].as_str().unwrap().contains("equally"));
    }
}

#[test]
fn concurrent_spans_are_told_apart_by_how_long_they_took() {
    let modal = [
        printed("00000001", 1_200, Some(1_850)).to_span(),
        printed("00000002", 1_210, Some(7_400)).to_span(),
    ];
    let mut others = call(1, 1_000, 3_150);
    others.extend(call(2, 1_010, 8_700));
    let found = links(&modal, &others, &[]);
    for (span, trace) in modal.iter().zip([1, 2]) {
        assert_eq!(trace_of(&found, span), Some(trace));
    }
}

#[test]
fn a_host_whose_clock_is_seconds_off_is_linked_all_the_same() {
    for skew in [-4_000, 3_500] {
        let (mut modal, mut others) = (Vec::new(), Vec::new());
        for number in 0..12_i64 {
            // Calls follow each other closely, so that without the skew the next one would fit.
            let from = number * 5_000 + 130 * number;
            let took = 1_500 + 137 * (number * number * 5 % 17);
            modal.push(printed(&format!("{number:08}"), from + 200 + skew, Some(took)).to_span());
            others.extend(call(number as u128 + 1, from, from + 300 + took));
        }
        let found = links(&modal, &others, &[]);
        for (number, span) in modal.iter().enumerate() {
            assert_eq!(
                trace_of(&found, span),
                Some(number as u128 + 1),
                "skew {skew}"
            );
        }
    }
}

#[test]
fn a_span_that_outlives_the_call_that_gave_up_on_it_is_linked() {
    let modal = [printed("00000001", 1_200, Some(75_000)).to_span()];
    let mut others = call(1, 1_000, 61_000);
    for span in &mut others {
        span.status = SpanStatus::Failed;
    }
    let found = links(&modal, &others, &[]);
    assert_eq!(found[0].trace_id, Uuid::from_u128(1));
}

#[test]
fn an_open_span_is_linked_to_the_open_call_that_it_began_in() {
    let modal = [printed("00000001", 1_200, None).to_span()];
    let mut others = call(1, 1_000, 3_150);
    for span in &mut others {
        span.status = SpanStatus::Started;
        span.completed_at = None;
    }
    let found = links(&modal, &others, &[]);
    assert_eq!(found[0].trace_id, Uuid::from_u128(1));
}

#[test]
fn rows_that_a_retrying_writer_left_twice_count_once() {
    let modal = [printed("00000001", 1_200, Some(1_850)).to_span()];
    let mut others = call(1, 1_000, 3_150);
    let mut started = others[3].clone();
    started.status = SpanStatus::Started;
    started.completed_at = None;
    others.insert(0, started);
    others.extend(call(1, 1_000, 3_150));
    let found = links(&modal, &others, &[]);
    assert_eq!(found[0].parent_span_id, Some(Uuid::from_u128(13)));
    assert!(found[0].link["confidence"].as_f64().unwrap() > 0.95);
}

#[test]
fn the_trace_that_a_line_names_is_taken_whatever_the_times_say() {
    let mut seen = printed("00000001", 30_000, Some(1_850));
    seen.context.trace_id = Some(Uuid::from_u128(1));
    let modal = [seen.to_span()];
    let mut others = call(1, 29_000, 60_000);
    others.extend(call(2, 29_800, 32_000));
    let found = links(&modal, &others, &[execution(1, 29_000, 60_000)]);
    assert_eq!(method(&found[0]), "context");
    assert_eq!(found[0].parent_span_id, Some(Uuid::from_u128(13)));
    assert_eq!(found[0].execution_id, Some(1001));
}

#[test]
fn the_execution_that_a_line_names_leaves_only_its_own_trace_in_question() {
    let mut seen = printed("00000001", 1_200, Some(1_850));
    seen.context.execution_id = Some(1002);
    let modal = [seen.to_span()];
    let mut others = call(1, 1_000, 3_150);
    others.extend(call(2, 1_010, 3_160));
    let executions = [execution(1, 1_000, 3_150), execution(2, 1_010, 3_160)];
    let found = links(&modal, &others, &executions);
    assert_eq!(found[0].trace_id, Uuid::from_u128(2));
}

#[test]
fn a_second_attempt_of_a_linked_function_call_belongs_to_the_same_caller() {
    let mut first = printed("00000001", 1_200, Some(900));
    let mut second = printed("00000002", 2_500, Some(7_450));
    for seen in [&mut first, &mut second] {
        seen.function_call_id = Some("fc-1".into());
    }
    let modal = [first.to_span(), second.to_span()];
    let found = links(&modal, &call(1, 1_000, 10_050), &[]);
    let parents: Vec<_> = found.iter().map(|link| link.parent_span_id).collect();
    assert_eq!(parents, [Some(Uuid::from_u128(13)); 2]);
    assert!(found.iter().any(|link| method(link) == "same_call"));
}

#[test]
fn a_row_that_is_linked_reads_as_the_same_evidence_again() {
    let mut row = printed("00000001", 1_200, Some(1_850)).to_span();
    let others = call(1, 1_000, 3_150);
    let executions = [execution(1, 1_000, 3_150)];
    let found = links(&[row.clone()], &others, &executions);
    found[0].apply(&mut row);
    assert!(row.metadata.contains_key(meta::LINK));
    let again = links(&[row.clone()], &others, &executions);
    assert_eq!(again, found);
    assert!(!again[0].changes(&row));
}

#[test]
fn a_link_is_taken_back_when_the_true_caller_turns_up_late() {
    let mut row = printed("00000001", 1_200, Some(1_850)).to_span();
    let wrong = call(1, 500, 4_600);
    let found = links(&[row.clone()], &wrong, &[]);
    assert_eq!(found[0].trace_id, Uuid::from_u128(1));
    found[0].apply(&mut row);
    let mut all = wrong;
    all.extend(call(2, 1_000, 3_150));
    let found = links(&[row.clone()], &all, &[]);
    assert_ne!(found[0].trace_id, Uuid::from_u128(1));
}
