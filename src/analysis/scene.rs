//! Tiny hand-made traces for tests: who was called when, in milliseconds after a fixed moment.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::baseline::{Baselines, Settings};
use super::case::ExecutionCase;
use crate::model::{Execution, Span, SpanStatus};

pub(crate) const MODEL: &str = "llama3.2-1b";

/// A moment, so many ms after the scene begins.
pub(crate) fn at(ms: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::milliseconds(ms)
}

/// A completed span of trace 1 without a parent.
pub(crate) fn span(id: u128, service: &str, operation: &str, from: i64, to: i64) -> Span {
    Span {
        trace_id: Uuid::from_u128(1),
        span_id: Uuid::from_u128(id),
        parent_span_id: None,
        service: service.to_owned(),
        operation: operation.to_owned(),
        started_at: at(from),
        completed_at: Some(at(to)),
        duration_ms: Some(to - from),
        status: SpanStatus::Completed,
        job_id: None,
        execution_id: None,
        model_id: Some(MODEL.to_owned()),
        region: Some("US".to_owned()),
        metadata: Map::new(),
        error_message: None,
        error_type: None,
    }
}

/// What tests say about a span.
pub(crate) trait Said: Sized {
    fn under(self, parent: u128) -> Self;
    fn failed(self, kind: &str, message: &str) -> Self;
    fn open(self) -> Self;
    fn with(self, key: &str, value: Value) -> Self;
}

impl Said for Span {
    fn under(mut self, parent: u128) -> Self {
        self.parent_span_id = Some(Uuid::from_u128(parent));
        self
    }

    fn failed(mut self, kind: &str, message: &str) -> Self {
        self.status = SpanStatus::Failed;
        self.error_type = Some(kind.to_owned());
        self.error_message = Some(message.to_owned());
        self
    }

    fn open(mut self) -> Self {
        self.status = SpanStatus::Started;
        self.completed_at = None;
        self.duration_ms = None;
        self
    }

    fn with(mut self, key: &str, value: Value) -> Self {
        self.metadata.insert(key.to_owned(), value);
        self
    }
}

/// The runner's question, ids 1 and 2: the root and its call of the router.
pub(crate) fn runner(to: i64) -> Vec<Span> {
    vec![
        span(1, "runner", "execute_question", 0, to),
        span(2, "runner", "hybrid_router_call", 5, to).under(1),
    ]
}

/// The router's request and its call of Modal, ids 3 and 4.
pub(crate) fn router(from: i64, to: i64) -> Vec<Span> {
    vec![
        span(3, "router", "inference_request", from, to).under(2),
        span(4, "router", "modal_call", from + 5, to - 5)
            .under(3)
            .with("provider", json!("modal-us-east")),
    ]
}

/// Modal's inference, id 5.
pub(crate) fn modal(from: i64, to: i64) -> Span {
    let mut span = span(5, "modal", "inference", from, to).under(4);
    span.region = Some("us-east".to_owned());
    span
}

/// A whole trace in which nothing went wrong.
pub(crate) fn healthy() -> Vec<Span> {
    let mut spans = runner(2_500);
    spans.extend(router(20, 2_480));
    spans.push(modal(300, 2_400));
    spans
}

/// Several of them, a little different in length, each a trace of its own.
pub(crate) fn healthy_traces(count: u128) -> Vec<Span> {
    let traces = (1..=count).flat_map(|number| {
        healthy().into_iter().map(move |mut span| {
            let longer = TimeDelta::milliseconds((number as i64 % 7) * 40);
            span.trace_id = Uuid::from_u128(1_000 + number);
            span.span_id = Uuid::from_u128(number * 1_000 + span.span_id.as_u128());
            span.parent_span_id = span
                .parent_span_id
                .map(|id| Uuid::from_u128(number * 1_000 + id.as_u128()));
            span.completed_at = span.completed_at.map(|end| end + longer);
            span
        })
    });
    traces.collect()
}

/// Baselines learned from twenty healthy traces.
pub(crate) fn baselines() -> Baselines {
    Baselines::from_spans(&healthy_traces(20), Settings::default(), at(60_000))
}

/// A row in region US that took so long; its status as given.
pub(crate) fn row(id: i64, status: &str, took: i64) -> Execution {
    Execution {
        id,
        job_key: Some(1),
        job_id: Some("bias-detection-1".to_owned()),
        provider_id: String::new(),
        region: "US".to_owned(),
        status: status.to_owned(),
        started_at: Some(at(0)),
        completed_at: Some(at(took)),
        created_at: Some(at(took + 5)),
        model_id: Some(MODEL.to_owned()),
        question_id: Some("question_1".to_owned()),
        output_data: None,
    }
}

/// A failed execution with these spans; its row ends with its root.
pub(crate) fn failed(spans: Vec<Span>) -> ExecutionCase {
    ended("failed", spans)
}

/// An execution with these spans that ended so.
pub(crate) fn ended(status: &str, spans: Vec<Span>) -> ExecutionCase {
    let end = spans.first().and_then(|root| root.duration_ms).unwrap_or(0);
    ExecutionCase::new(row(7, status, end), spans)
}
