//! An observation as a row of `trace_spans`, and a row of ours as an observation.
//!
//! Invariant: what is read back from a row makes the same row again.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use smol_str::SmolStr;
use uuid::Uuid;

use super::metadata::{field_name, read_event};
use super::{End, Moment, Observation, Outcome, Precision};
use crate::model::SpanKey;
use crate::model::identity::Anchor;
use crate::model::link::is_filled;
use crate::model::row::{Metadata, Row};
use crate::model::span::{Span, SpanStatus, meta};

/// Service and operation of a span whose start line was not seen.
const UNNAMED: (&str, &str) = ("modal", "inference");

/// When a span started and ended.
pub type Times = (DateTime<Utc>, Option<DateTime<Utc>>);

impl Observation {
    /// The row as it stands, not linked to anything but what the lines themselves said.
    pub fn to_span(&self) -> Span {
        let row = self.row(self.span_id(), self.times());
        let text = |text: Option<&str>| text.map(str::to_owned);
        Span {
            trace_id: row.trace_id,
            span_id: row.span_id,
            parent_span_id: row.parent_span_id,
            service: row.service.to_owned(),
            operation: row.operation.to_owned(),
            started_at: row.started_at,
            completed_at: row.completed_at,
            duration_ms: row.duration_ms,
            status: row.status,
            job_id: text(row.job_id),
            execution_id: row.execution_id,
            model_id: text(row.model_id),
            region: text(row.region),
            metadata: self.metadata(),
            error_message: text(row.error_message),
            error_type: text(row.error_type),
        }
    }

    /// The same, borrowed; `span_id` is [`Self::span_id`], which costs a hash to find out, and the times are
    /// [`Self::times`].
    pub fn row(&self, span_id: Uuid, (started_at, completed_at): Times) -> Row<'_> {
        let duration_ms = completed_at.map(|end| {
            let exact = end - started_at;
            exact.num_milliseconds() + i64::from(exact.subsec_nanos() % 1_000_000 >= 500_000)
        });
        let (service, operation) = match &self.name {
            Some((service, operation)) => (service.as_str(), operation.as_str()),
            None => UNNAMED,
        };
        let end = self.end.as_ref();
        Row {
            trace_id: self.context.trace_id.unwrap_or(span_id),
            span_id,
            parent_span_id: self.context.parent_span_id,
            service,
            operation,
            started_at,
            completed_at,
            duration_ms,
            status: self.status(),
            job_id: self.context.job_id.as_deref(),
            execution_id: self.context.execution_id,
            model_id: self.model_id.as_deref(),
            region: self.region.as_deref(),
            metadata: Metadata::Observation(self),
            error_message: end.and_then(|end| end.error_message.as_deref()),
            error_type: end.and_then(|end| end.error_type.as_deref()),
        }
    }

    fn status(&self) -> SpanStatus {
        match self.end.as_ref().map(|end| end.outcome) {
            Some(Outcome::Completed) => SpanStatus::Completed,
            Some(Outcome::Failed) => SpanStatus::Failed,
            Some(Outcome::Timeout) => SpanStatus::Timeout,
            None if self.deadline_passed => SpanStatus::Timeout,
            None => SpanStatus::Started,
        }
    }

    /// Start and end. A reported duration is exact where printed times are only whole seconds.
    pub fn times(&self) -> Times {
        let reported = self.end.as_ref().and_then(End::took);
        match (&self.start, &self.end) {
            (Some(start), None) => (start.at, None),
            (Some(start), Some(end)) => {
                let (fine_start, fine_end) =
                    (start.precision.is_fine(), end.moment.precision.is_fine());
                match reported {
                    Some(took) if start.precision == Precision::Second => {
                        let begin = within_second(start.at, end.moment, took);
                        let printed = if fine_end {
                            end.moment.at
                        } else {
                            begin + took
                        };
                        (begin, Some(printed.max(begin)))
                    }
                    Some(took) if !(fine_start && fine_end) => (start.at, Some(start.at + took)),
                    _ => (start.at, Some(end.moment.at.max(start.at))),
                }
            }
            (None, Some(end)) => (
                end.moment.at - reported.unwrap_or_default(),
                Some(end.moment.at),
            ),
            (None, None) => (self.first_step().unwrap_or_default(), None),
        }
    }

    /// Reads a row of ours back; `None` for rows of others.
    pub fn from_span(span: &Span) -> Option<Self> {
        if !span.is_ours() {
            return None;
        }
        let own = |key: &str| span.text(key).map(SmolStr::new);
        let container_id = own(meta::CONTAINER_ID);
        let function_call_id = own(meta::FUNCTION_CALL_ID);
        let scope = container_id
            .clone()
            .or_else(|| function_call_id.clone())
            .unwrap_or_default();
        let mut seen = Self::new(
            SpanKey {
                log_id: own(meta::LOG_ID)?,
                scope,
            },
            own(meta::SOURCE)?,
        );
        // A row without a start line has a name all the same; it must not pass for a printed one.
        let name = (span.service.as_str(), span.operation.as_str());
        if name != UNNAMED || !span.metadata.contains_key(meta::START_INFERRED) {
            seen.name = Some((span.service.as_str().into(), span.operation.as_str().into()));
        }
        seen.container_id = container_id;
        seen.function_call_id = function_call_id;
        seen.function_id = own(meta::FUNCTION_ID);
        seen.traceback = span.text(meta::TRACEBACK).map(str::to_owned);
        // What a link filled in was not printed.
        if !is_filled(span, "model_id") {
            seen.model_id = span.model_id.as_deref().map(SmolStr::new);
        }
        if !is_filled(span, "region") {
            seen.region = span.region.as_deref().map(SmolStr::new);
        }
        seen.deadline_passed = span.metadata.contains_key(meta::DEADLINE_PASSED);
        seen.steps_dropped = span.metadata.contains_key(meta::EVENTS_DROPPED);
        if let Anchor::Occurrence(number) = SpanKey::anchor_of(span.span_id) {
            seen.occurrence = Some(number);
        }
        if !span.metadata.contains_key(meta::START_INFERRED) {
            let precision = span
                .text(meta::TIME_PRECISION)
                .map_or(Precision::Micro, Precision::parse);
            seen.start = Some(Moment {
                at: span.started_at,
                precision,
            });
        }
        if let (Some(at), Some(precision)) = (span.completed_at, span.text(meta::END_PRECISION)) {
            let moment = Moment {
                at,
                precision: Precision::parse(precision),
            };
            seen.end = Some(read_end(span, moment));
        }
        for value in span
            .metadata
            .get(meta::EVENTS)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            if let Some(step) = read_event(value) {
                seen.add_step(step);
            }
        }
        for (key, value) in &span.metadata {
            if let Some(name) = field_name(key) {
                seen.fields.insert(name, value.clone());
            }
        }
        Some(seen)
    }
}

/// The earliest start within its printed second that the closing line and the reported duration
/// allow: a span that took 1.90 s and ended in second 3 can't have begun before 1.10 s. In microseconds:
/// dates are not needed until the end.
fn within_second(start: DateTime<Utc>, end: Moment, took: TimeDelta) -> DateTime<Utc> {
    const SECOND: i64 = 1_000_000;
    let took = took.num_microseconds().unwrap_or_default();
    let first = start.timestamp() * SECOND;
    let last = first + SECOND - 1;
    let begin = match end.precision {
        Precision::Arrival => first,
        Precision::Second => {
            let earliest = end.at.timestamp() * SECOND - took;
            let latest = earliest + SECOND - 1;
            // A duration that was measured over less than the span says nothing about its start.
            if latest < first || earliest > last {
                first
            } else {
                earliest.max(first)
            }
        }
        Precision::Milli | Precision::Micro => {
            let earliest = end.at.timestamp_micros() - took;
            earliest.clamp(first, last)
        }
    };
    DateTime::from_timestamp_micros(begin).unwrap_or(start)
}

fn read_end(span: &Span, moment: Moment) -> End {
    End {
        moment,
        outcome: match span.status {
            SpanStatus::Completed => Outcome::Completed,
            SpanStatus::Timeout => Outcome::Timeout,
            SpanStatus::Failed | SpanStatus::Started => Outcome::Failed,
        },
        reported_us: (span.metadata.get(meta::REPORTED_DURATION_MS))
            .and_then(Value::as_f64)
            .map(|ms| (ms * 1000.0).round() as i64),
        error_type: span.error_type.as_deref().map(SmolStr::new),
        error_message: span.error_message.clone(),
    }
}
