//! An observation as a row of `trace_spans`, and a row of ours as an observation.
//!
//! Invariant: what is read back from a row makes the same row again.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value};
use smol_str::SmolStr;
use uuid::Uuid;

use super::{End, Moment, Observation, Outcome, Precision, Step};
use crate::model::fields::in_jsonb;
use crate::model::identity::Anchor;
use crate::model::link::is_filled;
use crate::model::row::{Metadata, Row};
use crate::model::span::{COLLECTOR, Span, SpanStatus, meta};
use crate::model::{Fields, SpanKey};

/// Service and operation of a span whose start line was not seen.
const UNNAMED: (&str, &str) = ("modal", "inference");

/// A value of `metadata`.
pub(in crate::model) enum Said<'a> {
    Text(&'a str),
    /// One of ours: nothing in it needs to be escaped.
    Word(&'static str),
    Truth,
    Number(f64),
    Field(&'a Value),
    Events(Vec<Value>),
}

/// A key of `metadata`.
#[derive(Clone, Copy)]
pub(in crate::model) enum Key<'a> {
    /// One of ours, and how it stands in JSON text behind another pair.
    Own(&'static str, &'static [u8]),
    Field(&'a str),
}

impl<'a> Key<'a> {
    fn name(self) -> &'a str {
        match self {
            Self::Own(name, _) => name,
            Self::Field(name) => name,
        }
    }
}

macro_rules! own {
    ($name:expr) => {{
        const IN_JSON: [u8; $name.len() + 4] = in_json($name);
        Key::Own($name, &IN_JSON)
    }};
}

/// `,"key":`, put together when compiled: every row has the same keys.
const fn in_json<const N: usize>(key: &str) -> [u8; N] {
    let key = key.as_bytes();
    let mut text = [b'"'; N];
    text[0] = b',';
    let mut at = 0;
    while at < key.len() {
        text[at + 2] = key[at];
        at += 1;
    }
    text[N - 1] = b':';
    text
}

fn said(text: &Option<SmolStr>) -> Option<Said<'_>> {
    text.as_deref().map(Said::Text)
}

impl From<Said<'_>> for Value {
    fn from(said: Said<'_>) -> Self {
        match said {
            Said::Text(text) | Said::Word(text) => text.into(),
            Said::Truth => true.into(),
            Said::Number(number) => number.into(),
            Said::Field(value) => value.clone(),
            Said::Events(events) => events.into(),
        }
    }
}

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

    fn metadata(&self) -> Map<String, Value> {
        let mut map = Map::new();
        self.each_metadata(|key, value| {
            map.insert(key.name().to_owned(), value.into());
        });
        map
    }

    /// Shows what stands in `metadata`, each key once and in the order of [`in_jsonb`].
    pub(in crate::model) fn each_metadata(&self, mut show: impl FnMut(Key<'_>, Said<'_>)) {
        let renamed;
        let mut fields = if self.fields.iter().any(|(key, _)| is_own_key(key)) {
            renamed = self.fields.iter().map(renamed_field).collect::<Fields>();
            renamed.iter().peekable()
        } else {
            self.fields.iter().peekable()
        };
        let mut put = |key: Key<'_>, value: Option<Said<'_>>| {
            let Some(value) = value else {
                return;
            };
            while let Some((field, value)) =
                fields.next_if(|(field, _)| in_jsonb(field, key.name()).is_lt())
            {
                show(Key::Field(field), Said::Field(value));
            }
            show(key, value);
        };
        let truth = |is_true: bool| is_true.then_some(Said::Truth);
        let end = self.end.as_ref();
        let is_late = end.is_none() && self.deadline_passed;
        let precision = |moment: &Moment| Said::Word(moment.precision.as_str());
        if !self.steps.is_empty() {
            let events = self.steps.iter().map(event).collect();
            put(own!(meta::EVENTS), Some(Said::Events(events)));
        }
        put(own!(meta::LOG_ID), Some(Said::Text(&self.key.log_id)));
        put(own!(meta::SOURCE), Some(Said::Text(&self.source)));
        put(own!(meta::COLLECTOR), Some(Said::Word(COLLECTOR)));
        let traceback = self.traceback.as_deref();
        put(own!(meta::TRACEBACK), traceback.map(Said::Text));
        put(own!(meta::FUNCTION_ID), said(&self.function_id));
        put(own!(meta::CONTAINER_ID), said(&self.container_id));
        let end_precision = end.map(|end| precision(&end.moment));
        put(own!(meta::END_PRECISION), end_precision);
        put(own!(meta::EVENTS_DROPPED), truth(self.steps_dropped));
        put(own!(meta::START_INFERRED), truth(self.start.is_none()));
        put(
            own!(meta::TIME_PRECISION),
            self.start.as_ref().map(precision),
        );
        put(own!(meta::DEADLINE_PASSED), truth(is_late));
        put(own!(meta::FUNCTION_CALL_ID), said(&self.function_call_id));
        let reported = end.and_then(|end| end.reported_us);
        let reported = reported.map(|us| Said::Number(us as f64 / 1000.0));
        put(own!(meta::REPORTED_DURATION_MS), reported);
        for (name, field) in fields {
            show(Key::Field(name), Said::Field(field));
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
            if let Some(key) = key.strip_prefix(PAYLOAD_PREFIX) {
                seen.fields.insert(key, value.clone());
            } else if !is_own_key(key) {
                seen.fields.insert(key.as_str(), value.clone());
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

/// Stands before a payload key that has the name of one of our own keys.
const PAYLOAD_PREFIX: &str = "payload_";

fn is_own_key(key: &str) -> bool {
    const OWN: [&str; 15] = [
        meta::COLLECTOR,
        meta::LOG_ID,
        meta::CONTAINER_ID,
        meta::FUNCTION_CALL_ID,
        meta::FUNCTION_ID,
        meta::SOURCE,
        meta::REPORTED_DURATION_MS,
        meta::START_INFERRED,
        meta::TIME_PRECISION,
        meta::EVENTS,
        meta::EVENTS_DROPPED,
        meta::TRACEBACK,
        meta::DEADLINE_PASSED,
        meta::LINK,
        meta::END_PRECISION,
    ];
    OWN.contains(&key) || key.starts_with(PAYLOAD_PREFIX)
}

/// A field under a name that is none of ours.
fn renamed_field((key, value): (&str, &Value)) -> (SmolStr, Value) {
    let key = if is_own_key(key) {
        smol_str::format_smolstr!("{PAYLOAD_PREFIX}{key}")
    } else {
        key.into()
    };
    (key, value.clone())
}

fn event(step: &Step) -> Value {
    let mut map = Map::new();
    map.insert(
        "at".into(),
        step.at
            .to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
            .into(),
    );
    map.insert("name".into(), step.name.as_str().into());
    if !step.fields.is_empty() {
        map.insert("fields".into(), step.fields.clone().into());
    }
    map.into()
}

fn read_event(value: &Value) -> Option<Step> {
    let at = DateTime::parse_from_rfc3339(value.get("at")?.as_str()?)
        .ok()?
        .to_utc();
    let fields = value
        .get("fields")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    Some(Step {
        at,
        name: value.get("name")?.as_str()?.to_owned(),
        fields,
    })
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
