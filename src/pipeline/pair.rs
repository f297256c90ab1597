//! Joins the lines of one stream to spans: start, steps, end and traceback of one log id in one
//! container (or function call).
//!
//! Pure and synchronous. Memory is bounded: a span leaves it once its end is handed on, and beyond
//! [`MAX_OPEN`] the oldest open ones leave early. That costs no correctness, because the store joins
//! a late line with the stored row by the same rules ([`crate::model::reconcile`]).

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use beacon_parsers::{Body, Envelope, Phase, Record, TraceLine, Traceback, Value};
use chrono::{DateTime, Utc};
use serde_json::Value as Json;
use uuid::Uuid;

use crate::model::{
    End, Moment, Observation, Outcome, Precision, SpanKey, Step, find_slot, span_id_of_otlp,
};
use crate::untrusted::{MAX_TEXT, MAX_TRACEBACK, clean};

/// Open spans kept in memory for one stream; about 1.5 KB each.
const MAX_OPEN: usize = 10_000;
/// Drains for which a failed span stays, so that the traceback behind it finds it.
const FAILED_STAYS: u64 = 20;
/// Log ids without times whose running number is remembered, twice.
const MAX_TIMELESS: usize = 20_000;
/// Fixed cost of a row in the estimate of a batch's size, beside its text.
const ROW_OVERHEAD: usize = 300;

/// Pairing state of one stream.
#[derive(Debug)]
pub struct Pairer {
    source: Arc<str>,
    spans: HashMap<SpanKey, Vec<Tracked>>,
    /// Keys with something to hand on, each once per change of state.
    dirty: Vec<SpanKey>,
    dirty_bytes: usize,
    /// Keys in the order in which they were first seen, for eviction.
    order: VecDeque<SpanKey>,
    /// Failed spans that were handed on and wait for a traceback: (drain in which they leave, key).
    leaving: VecDeque<(u64, SpanKey)>,
    /// The last failed span of each container and function call.
    last_failed: HashMap<(String, Option<String>), SpanKey>,
    timeless: Timeless,
    drains: u64,
    unmatched: u64,
    evicted: u64,
}

#[derive(Debug)]
struct Tracked {
    seen: Observation,
    dirty: bool,
}

impl Pairer {
    /// A pairer for a stream of this source.
    pub fn new(source: Arc<str>) -> Self {
        Self {
            source,
            spans: HashMap::new(),
            dirty: Vec::new(),
            dirty_bytes: 0,
            order: VecDeque::new(),
            leaving: VecDeque::new(),
            last_failed: HashMap::new(),
            timeless: Timeless::default(),
            drains: 0,
            unmatched: 0,
            evicted: 0,
        }
    }

    /// Takes in a record that was read at `arrival`.
    pub fn observe(&mut self, record: &Record<'_>, arrival: DateTime<Utc>) {
        match &record.body {
            Body::Trace(line) => self.observe_line(&record.envelope, line, arrival),
            Body::Traceback(traceback) => self.attach(&record.envelope, traceback),
        }
    }

    /// Spans that changed since the last drain.
    pub fn dirty_rows(&self) -> usize {
        self.dirty.len()
    }

    /// Estimated size of what changed since the last drain, in bytes.
    pub fn dirty_bytes(&self) -> usize {
        self.dirty_bytes
    }

    /// Ends and steps so far whose start was not in memory.
    pub fn unmatched(&self) -> u64 {
        self.unmatched
    }

    /// Open spans that had to leave memory so far.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Hands on everything that changed.
    pub fn drain(&mut self, mut emit: impl FnMut(Observation)) {
        self.drains += 1;
        self.dirty_bytes = 0;
        for key in std::mem::take(&mut self.dirty) {
            let Some(tracked) = self.spans.get_mut(&key) else {
                continue;
            };
            let mut failed = false;
            tracked.retain_mut(|span| {
                if !std::mem::take(&mut span.dirty) {
                    return true;
                }
                let outcome = span.seen.end.as_ref().map(|end| end.outcome);
                failed |= outcome == Some(Outcome::Failed);
                if matches!(outcome, None | Some(Outcome::Failed)) {
                    emit(span.seen.clone());
                    return true;
                }
                let key = span.seen.key.clone();
                emit(std::mem::replace(&mut span.seen, Observation::new(key, "")));
                false
            });
            if tracked.is_empty() {
                self.spans.remove(&key);
            } else if failed {
                self.leaving.push_back((self.drains + FAILED_STAYS, key));
            }
        }
        self.forget();
    }

    fn forget(&mut self) {
        while self
            .leaving
            .front()
            .is_some_and(|(drain, _)| *drain <= self.drains)
        {
            let Some((_, key)) = self.leaving.pop_front() else {
                break;
            };
            if let Some(tracked) = self.spans.get_mut(&key) {
                tracked.retain(|span| span.seen.end.is_none());
                if tracked.is_empty() {
                    self.spans.remove(&key);
                }
            }
        }
        while self.spans.len() > MAX_OPEN {
            let Some(key) = self.order.pop_front() else {
                break;
            };
            if self.spans.remove(&key).is_some() {
                self.evicted += 1;
            }
        }
        // Keys that left long ago would pile up in front of one that stays open.
        if self.order.len() > 4 * MAX_OPEN {
            self.order.retain(|key| self.spans.contains_key(key));
        }
    }

    fn observe_line(
        &mut self,
        envelope: &Envelope<'_>,
        line: &TraceLine<'_>,
        arrival: DateTime<Utc>,
    ) {
        let key = key_of(envelope, line);
        self.dirty_bytes += line.text.len();
        let started = matches!(line.phase, Phase::Started { .. });
        let ended = !started && !matches!(line.phase, Phase::Step { .. });
        let (moment, occurrence) = match envelope.timestamp {
            Some(time) => {
                let at = DateTime::from_timestamp_micros(time.unix_micros).unwrap_or(arrival);
                (
                    Moment {
                        at,
                        precision: precision(time.precision),
                    },
                    None,
                )
            }
            None => {
                let number = self.timeless.number(&key, started, ended);
                (
                    Moment {
                        at: arrival,
                        precision: Precision::Arrival,
                    },
                    Some(number),
                )
            }
        };
        let mut seen = observation(key, &self.source, envelope, line, moment);
        seen.occurrence = occurrence;
        self.resolve_parent(&mut seen, line);
        if ended
            && seen
                .end
                .as_ref()
                .is_some_and(|end| end.outcome == Outcome::Failed)
        {
            if self.last_failed.len() >= 1024 {
                self.last_failed.clear();
            }
            self.last_failed
                .insert(origin_of(envelope), seen.key.clone());
        }
        self.take_in(seen);
    }

    /// A span printed inside another one names it by its log id; both are of one container.
    fn resolve_parent(&self, seen: &mut Observation, line: &TraceLine<'_>) {
        let Some(parent) = line.fields.text("parent") else {
            return;
        };
        if seen.context.parent_span_id.is_some() {
            return;
        }
        let key = SpanKey {
            log_id: parent.to_lowercase(),
            scope: seen.key.scope.clone(),
        };
        let open = self.spans.get(&key).into_iter().flatten();
        let Some(parent) = open
            .map(|span| &span.seen)
            .rfind(|span| span.start.is_some())
        else {
            return;
        };
        let span_id = parent.span_id();
        seen.context.parent_span_id = Some(span_id);
        seen.context
            .trace_id
            .get_or_insert(parent.context.trace_id.unwrap_or(span_id));
        seen.fields.remove("parent");
    }

    fn take_in(&mut self, seen: Observation) {
        let key = seen.key.clone();
        let tracked = self.spans.entry(key.clone()).or_insert_with(|| {
            self.order.push_back(key.clone());
            Vec::new()
        });
        let at = find_slot(tracked.iter().map(|span| &span.seen), &seen);
        let span = if let Some(at) = at {
            tracked[at].seen.merge(seen);
            &mut tracked[at]
        } else {
            self.unmatched += u64::from(seen.start.is_none());
            tracked.push(Tracked { seen, dirty: false });
            let last = tracked.len() - 1;
            &mut tracked[last]
        };
        if !std::mem::replace(&mut span.dirty, true) {
            self.dirty_bytes += ROW_OVERHEAD;
            self.dirty.push(key);
        }
    }

    fn attach(&mut self, envelope: &Envelope<'_>, traceback: &Traceback<'_>) {
        let Some(key) = self.last_failed.get(&origin_of(envelope)) else {
            return;
        };
        let failed = |span: &&mut Tracked| {
            span.seen
                .end
                .as_ref()
                .is_some_and(|end| end.outcome == Outcome::Failed)
        };
        let tracked = self.spans.get_mut(key).into_iter().flatten();
        let Some(span) = tracked.filter(failed).last() else {
            return;
        };
        let text = clean(&traceback.text, MAX_TRACEBACK);
        self.dirty_bytes += text.len();
        span.seen.traceback = Some(text);
        if let (Some(end), Some(error_type)) = (&mut span.seen.end, &traceback.error_type) {
            end.error_type
                .get_or_insert_with(|| clean(error_type, MAX_TEXT));
        }
        if !std::mem::replace(&mut span.dirty, true) {
            self.dirty.push(key.clone());
        }
    }
}

/// Running numbers for spans whose lines carry no time; the older half is forgotten when full.
#[derive(Debug, Default)]
struct Timeless {
    young: HashMap<SpanKey, (u32, bool)>,
    old: HashMap<SpanKey, (u32, bool)>,
}

impl Timeless {
    /// Which span of its key a line belongs to: a start behind an end begins the next one.
    fn number(&mut self, key: &SpanKey, started: bool, ended: bool) -> u32 {
        let known = self.young.get(key).or_else(|| self.old.get(key)).copied();
        let (mut number, mut closed) = known.unwrap_or((0, false));
        if started && closed {
            number += 1;
            closed = false;
        }
        if self.young.len() >= MAX_TIMELESS {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key.clone(), (number, closed || ended));
        number
    }
}

const fn precision(written: beacon_parsers::Precision) -> Precision {
    match written {
        beacon_parsers::Precision::Second => Precision::Second,
        beacon_parsers::Precision::Milli => Precision::Milli,
        beacon_parsers::Precision::Micro => Precision::Micro,
    }
}

fn scope_of(envelope: &Envelope<'_>) -> String {
    let scope = envelope
        .container_id
        .as_ref()
        .or(envelope.function_call_id.as_ref());
    scope.map(|scope| scope.to_string()).unwrap_or_default()
}

/// Container and function call: a container goes on to other calls while a traceback is printed.
fn origin_of(envelope: &Envelope<'_>) -> (String, Option<String>) {
    let call = envelope.function_call_id.as_ref().map(ToString::to_string);
    (scope_of(envelope), call)
}

fn key_of(envelope: &Envelope<'_>, line: &TraceLine<'_>) -> SpanKey {
    SpanKey {
        log_id: line.id.to_string(),
        scope: scope_of(envelope),
    }
}

fn observation(
    key: SpanKey,
    source: &str,
    envelope: &Envelope<'_>,
    line: &TraceLine<'_>,
    moment: Moment,
) -> Observation {
    let mut seen = Observation::new(key, source);
    seen.container_id = envelope.container_id.as_ref().map(ToString::to_string);
    seen.function_call_id = envelope.function_call_id.as_ref().map(ToString::to_string);
    seen.function_id = envelope.function_id.as_ref().map(ToString::to_string);
    let mut end = |outcome| {
        let (error_type, error_message) = match line.error() {
            Some((kind, message)) => (kind, Some(message).filter(|text| !text.is_empty())),
            None => (None, None),
        };
        seen.end = Some(End {
            moment,
            outcome,
            reported_us: line.reported_duration_micros().filter(|us| *us >= 0),
            error_type: error_type.map(|text| clean(text, MAX_TEXT)),
            error_message: error_message.map(|text| clean(text, MAX_TEXT)),
        });
    };
    match &line.phase {
        Phase::Started { name } => {
            seen.name = Some(service_and_operation(name));
            seen.start = Some(moment);
        }
        Phase::Succeeded => end(Outcome::Completed),
        Phase::Failed => end(Outcome::Failed),
        Phase::TimedOut => end(Outcome::Timeout),
        Phase::Step { text } => {
            let fields = line
                .fields
                .iter()
                .map(|(k, v)| (k.to_owned(), json(v)))
                .collect();
            seen.add_step(Step {
                at: moment.at,
                name: clean(text, MAX_TEXT),
                fields,
            });
            return seen;
        }
    }
    for (name, value) in line.fields.iter() {
        take_field(&mut seen, name, value);
    }
    seen
}

/// Puts a payload field where it belongs: into a column, the context, or `metadata`.
fn take_field(seen: &mut Observation, name: &str, value: &Value<'_>) {
    let text = || match value {
        Value::Text(text) => Some(clean(text, MAX_TEXT)),
        Value::Int(number) => Some(number.to_string()),
        _ => None,
    };
    let taken = match name {
        "model" | "model_id" => text().map(|model| seen.model_id = Some(model)),
        "region" => text().map(|region| seen.region = Some(region)),
        "job_id" => text().map(|job| seen.context.job_id = Some(job)),
        "execution_id" => text()
            .and_then(|id| id.parse().ok())
            .map(|id| seen.context.execution_id = Some(id)),
        "trace_id" => text()
            .and_then(|id| Uuid::parse_str(&id).ok())
            .map(|id| seen.context.trace_id = Some(id)),
        "parent" | "parent_span_id" => text()
            .and_then(|id| parent_id(&id))
            .map(|id| seen.context.parent_span_id = Some(id)),
        // Held by the end of the span in their own columns.
        "duration" | "error" if seen.end.is_some() => Some(()),
        _ => None,
    };
    if taken.is_none() {
        seen.fields.insert(name.to_owned(), json(value));
    }
}

/// A parent is named by a UUID, or by the 16 hex digits that OpenTelemetry gives a span.
fn parent_id(text: &str) -> Option<Uuid> {
    if text.len() == 16 {
        return u64::from_str_radix(text, 16)
            .ok()
            .map(|id| span_id_of_otlp(id.to_be_bytes()));
    }
    Uuid::parse_str(text).ok()
}

fn json(value: &Value<'_>) -> Json {
    match value {
        Value::Text(text) => clean(text, MAX_TEXT).into(),
        Value::Int(number) => (*number).into(),
        Value::Float(number) => (*number).into(),
        Value::Bool(truth) => (*truth).into(),
        Value::None => Json::Null,
        Value::Duration { raw, .. } => clean(raw, MAX_TEXT).into(),
    }
}

/// "Modal inference" → (modal, inference): the first word names the service when it is one.
fn service_and_operation(name: &str) -> (String, String) {
    const SERVICES: [&str; 4] = ["runner", "router", "modal", "backend"];
    let name = clean(name, 100).to_lowercase();
    let mut words = name.split_whitespace().peekable();
    let service = words
        .next_if(|word| SERVICES.contains(word))
        .unwrap_or("modal")
        .to_owned();
    let operation = words.collect::<Vec<_>>().join("_");
    (
        service,
        if operation.is_empty() {
            "inference".to_owned()
        } else {
            operation
        },
    )
}

#[cfg(test)]
mod tests {
    use beacon_parsers::Decoder;

    use super::*;
    use crate::model::Span;

    fn spans_of(log: &str) -> Vec<Span> {
        let mut decoder = Decoder::new();
        let mut pairer = Pairer::new("test".into());
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        decoder.push(log.as_bytes(), &mut |record| pairer.observe(&record, now));
        decoder.finish(&mut |record| pairer.observe(&record, now));
        let mut spans = Vec::new();
        pairer.drain(|seen| spans.push(seen.to_span()));
        spans
    }

    #[test]
    fn a_span_inside_another_one_is_its_child() {
        let spans = spans_of(
            "ta-1 🔍 TRACE[aaaaaaaa]: Modal inference started - model=m\n\
             ta-1 🔍 TRACE[bbbbbbbb]: Modal model load started - parent=aaaaaaaa\n\
             ta-1 🔍 TRACE[bbbbbbbb]: SUCCESS - duration=1.00s\n\
             ta-1 🔍 TRACE[aaaaaaaa]: SUCCESS - duration=2.00s\n",
        );
        let child = spans
            .iter()
            .find(|span| span.operation == "model_load")
            .unwrap();
        let parent = spans
            .iter()
            .find(|span| span.operation == "inference")
            .unwrap();
        assert_eq!(child.parent_span_id, Some(parent.span_id));
        assert_eq!(child.trace_id, parent.trace_id);
    }

    #[test]
    fn a_traceback_behind_a_failure_stays_with_its_span() {
        let spans = spans_of(
            "2025-10-22 13:00:00+00:00 ta-1 🔍 TRACE[abc123de]: Modal inference started - model=m\n\
             2025-10-22 13:00:02+00:00 ta-1 🔍 TRACE[abc123de]: FAILED - error=OSError: no, duration=2.00s\n\
             2025-10-22 13:00:02+00:00 ta-1 Traceback (most recent call last):\n\
             2025-10-22 13:00:02+00:00 ta-1   File \"x.py\", line 1, in f\n\
             2025-10-22 13:00:02+00:00 ta-1 OSError: no\n\
             2025-10-22 13:00:03+00:00 ta-2 something else\n",
        );
        let text = spans[0].text(crate::model::meta::TRACEBACK).unwrap();
        assert!(text.ends_with("OSError: no"), "{text}");
    }
}
