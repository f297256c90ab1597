//! What has been observed of one printed span: its start line, its end line, its steps, in any
//! combination and any order.
//!
//! Invariant: [`Observation::merge`] is commutative, associative and idempotent for lines of one
//! span, so lines may come twice, late, out of order, over several transports or be split between
//! memory and the store, and the row that results is the same.

mod metadata;
mod stored;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use smol_str::SmolStr;
use uuid::Uuid;

pub(super) use self::metadata::{Key, Said};
pub use self::stored::Times;
use super::identity::Anchor;
use super::{Fields, Nothing, Rare, SpanKey};

/// Steps kept for one span, the earliest, so that one chatty span stays one row.
const MAX_STEPS: usize = 64;

/// A longer reported duration is a mistake, and reaches beyond the calendar at last.
const LONGEST_REPORT: TimeDelta = TimeDelta::days(36_500);

/// How exact a time is, coarsest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Precision {
    /// The line carried no time; it is when the line was read.
    Arrival,
    /// Whole seconds, truncated.
    Second,
    /// Milliseconds.
    Milli,
    /// Microseconds or better.
    Micro,
}

impl Precision {
    /// The word stored under [`meta::TIME_PRECISION`].
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Arrival => "arrival",
            Self::Second => "s",
            Self::Milli => "ms",
            Self::Micro => "us",
        }
    }

    fn parse(word: &str) -> Self {
        match word {
            "arrival" => Self::Arrival,
            "s" => Self::Second,
            "ms" => Self::Milli,
            _ => Self::Micro,
        }
    }

    fn is_fine(self) -> bool {
        self >= Self::Milli
    }
}

/// When a line was printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// The time.
    pub at: DateTime<Utc>,
    /// How exact it is.
    pub precision: Precision,
}

/// How a span ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Outcome {
    /// `SUCCESS`.
    Completed,
    /// `TIMEOUT`.
    Timeout,
    /// `FAILED`, `FAILURE`, `ERROR`.
    Failed,
}

/// The closing line of a span.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct End {
    /// When it was printed.
    pub moment: Moment,
    /// What it said.
    pub outcome: Outcome,
    /// Reported duration in µs.
    pub reported_us: Option<i64>,
    /// Class of the failure.
    pub error_type: Option<SmolStr>,
    /// Text of the failure.
    pub error_message: Option<String>,
}

impl End {
    /// The reported duration; none where it is longer than anything that a line can be about.
    pub(super) fn took(&self) -> Option<TimeDelta> {
        let took = TimeDelta::microseconds(self.reported_us?);
        (took.abs() <= LONGEST_REPORT).then_some(took)
    }
}

/// Something that happened inside a span.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// When it was printed.
    pub at: DateTime<Utc>,
    /// What it said, without its payload.
    pub name: String,
    /// Its payload.
    pub fields: Map<String, Value>,
}

impl Step {
    /// The order of steps: by time, and by all else they say where that is the same.
    fn is_before(&self, other: &Self) -> bool {
        let order = self.at.cmp(&other.at);
        match order.then_with(|| self.name.cmp(&other.name)) {
            Ordering::Equal => {
                let text = |step: &Self| json!(step.fields).to_string();
                text(self) < text(other)
            }
            order => order.is_lt(),
        }
    }
}

/// Context that a line carried explicitly.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Context {
    /// `trace_id=`.
    pub trace_id: Option<Uuid>,
    /// `parent=`.
    pub parent_span_id: Option<Uuid>,
    /// `execution_id=`.
    pub execution_id: Option<i64>,
    /// `job_id=`.
    pub job_id: Option<SmolStr>,
}

impl Nothing for Context {
    fn nothing() -> &'static Self {
        static NOTHING: Context = Context {
            trace_id: None,
            parent_span_id: None,
            execution_id: None,
            job_id: None,
        };
        &NOTHING
    }
}

impl Nothing for Vec<Step> {
    fn nothing() -> &'static Self {
        static NOTHING: Vec<Step> = Vec::new();
        &NOTHING
    }
}

/// All that is known of one printed span.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// Log id and scope.
    pub key: SpanKey,
    /// Which span of its key this is in its stream, counted from 0, when the lines carry no time;
    /// absent when they do, because then the time tells.
    pub occurrence: Option<u32>,
    /// Name of the source.
    pub source: SmolStr,
    /// Service and operation, from the start line.
    pub name: Option<(SmolStr, SmolStr)>,
    /// Modal container.
    pub container_id: Option<SmolStr>,
    /// Modal function call.
    pub function_call_id: Option<SmolStr>,
    /// Modal function.
    pub function_id: Option<SmolStr>,
    /// The start line.
    pub start: Option<Moment>,
    /// The closing line.
    pub end: Option<End>,
    /// Steps, in time order.
    pub steps: Rare<Vec<Step>>,
    /// Whether there were steps beyond the bound. Not how many: a step that was left out can't be told
    /// from the same one read again.
    pub steps_dropped: bool,
    /// Python traceback that followed the failure.
    pub traceback: Option<String>,
    /// Explicit context.
    pub context: Rare<Context>,
    /// `model=`.
    pub model_id: Option<SmolStr>,
    /// `region=`.
    pub region: Option<SmolStr>,
    /// The payload's other keys.
    pub fields: Fields,
    /// The deadline passed without an end.
    pub deadline_passed: bool,
}

impl Observation {
    /// An observation of nothing yet.
    pub fn new(key: SpanKey, source: impl Into<SmolStr>) -> Self {
        Self {
            key,
            occurrence: None,
            source: source.into(),
            name: None,
            container_id: None,
            function_call_id: None,
            function_id: None,
            start: None,
            end: None,
            steps: Rare::default(),
            steps_dropped: false,
            traceback: None,
            context: Rare::default(),
            model_id: None,
            region: None,
            fields: Fields::default(),
            deadline_passed: false,
        }
    }

    /// The id of its row. It changes at most twice, when an earlier line turns up.
    pub fn span_id(&self) -> Uuid {
        self.key.span_id(self.anchor())
    }

    /// The same for who knows its key's first id, which costs a hash to find out.
    pub fn span_id_from(&self, first: Uuid) -> Uuid {
        SpanKey::span_id_from(first, self.anchor())
    }

    pub(super) fn anchor(&self) -> Anchor {
        match (self.occurrence, &self.start, &self.end) {
            (Some(number), ..) => Anchor::Occurrence(number),
            (None, Some(start), _) => Anchor::Start(start.at.timestamp()),
            (None, None, Some(end)) => Anchor::End(end.moment.at.timestamp()),
            (None, None, None) => Anchor::Step(self.first_step().map_or(0, |at| at.timestamp())),
        }
    }

    /// Time of the earliest step.
    pub fn first_step(&self) -> Option<DateTime<Utc>> {
        self.steps.first().map(|step| step.at)
    }

    /// Bytes of the texts that can be long.
    pub fn long_texts(&self) -> usize {
        let message = self.end.as_ref().and_then(|end| end.error_message.as_ref());
        let texts = [self.traceback.as_ref(), message];
        texts.into_iter().flatten().map(String::len).sum()
    }

    /// Adds a step in its place; an equal one in the same second is the same step.
    pub fn add_step(&mut self, mut step: Step) {
        let same = |known: &Step| {
            known.name == step.name
                && known.at.timestamp() == step.at.timestamp()
                && known.fields == step.fields
        };
        if let Some(at) = self.steps.iter().position(same) {
            // The finer of two renderings of one time has a fraction, the coarser is cut to zero; its
            // place among the others can change with it.
            step.at = step.at.max(self.steps.remove(at).at);
        }
        let place = self.steps.partition_point(|known| known.is_before(&step));
        self.steps.insert(place, step);
        if self.steps.len() > MAX_STEPS {
            self.steps.pop();
            self.steps_dropped = true;
        }
    }

    /// Takes over what `other` knows of the same span.
    pub fn merge(&mut self, other: Self) {
        join(&mut self.start, other.start, finer);
        join(&mut self.end, other.end, merge_ends);
        join(&mut self.name, other.name, Ord::min);
        join(&mut self.container_id, other.container_id, Ord::min);
        join(&mut self.function_call_id, other.function_call_id, Ord::min);
        join(&mut self.function_id, other.function_id, Ord::min);
        join(&mut self.traceback, other.traceback, fuller);
        join(&mut self.model_id, other.model_id, fuller);
        join(&mut self.region, other.region, fuller);
        if let Some(other) = other.context.into_inner() {
            let known = &mut *self.context;
            join(&mut known.trace_id, other.trace_id, Ord::min);
            join(&mut known.parent_span_id, other.parent_span_id, Ord::min);
            join(&mut known.execution_id, other.execution_id, Ord::min);
            join(&mut known.job_id, other.job_id, fuller);
        }
        if other.source < self.source {
            self.source = other.source;
        }
        self.steps_dropped |= other.steps_dropped;
        self.deadline_passed |= other.deadline_passed;
        for step in other.steps.into_inner().unwrap_or_default() {
            self.add_step(step);
        }
        if self.fields.is_empty() {
            self.fields = other.fields;
            return;
        }
        for (key, value) in other.fields {
            let known = self.fields.remove(&key);
            let value = match known {
                Some(known) => fuller_value(known, value),
                None => value,
            };
            self.fields.insert(key, value);
        }
    }
}

/// Takes over what another line says, if it says anything.
fn join<T>(known: &mut Option<T>, other: Option<T>, choose: impl FnOnce(T, T) -> T) {
    if let Some(other) = other {
        *known = Some(match known.take() {
            Some(known) => choose(known, other),
            None => other,
        });
    }
}

/// The finer of two times of one line; the earlier of two that are equally fine.
fn finer(a: Moment, b: Moment) -> Moment {
    match a.precision.cmp(&b.precision) {
        Ordering::Greater => a,
        Ordering::Less => b,
        Ordering::Equal if b.at < a.at => b,
        Ordering::Equal => a,
    }
}

/// Two closing lines of one span: the same one twice, or a contradiction, which the earlier wins.
fn merge_ends(mut a: End, b: End) -> End {
    if a.outcome != b.outcome {
        let order = |end: &End| (end.moment.at.timestamp(), std::cmp::Reverse(end.outcome));
        return if order(&a) <= order(&b) { a } else { b };
    }
    a.moment = finer(a.moment, b.moment);
    join(&mut a.reported_us, b.reported_us, Ord::max);
    join(&mut a.error_type, b.error_type, fuller);
    join(&mut a.error_message, b.error_message, fuller);
    a
}

/// The longer text: the other one is the same text cut short.
fn fuller<T: AsRef<str>>(a: T, b: T) -> T {
    let (text_a, text_b) = (a.as_ref(), b.as_ref());
    if (text_a.len(), text_a) >= (text_b.len(), text_b) {
        a
    } else {
        b
    }
}

fn fuller_value(a: Value, b: Value) -> Value {
    if a == b {
        return a;
    }
    let (text_a, text_b) = (a.to_string(), b.to_string());
    if (text_a.len(), &text_a) >= (text_b.len(), &text_b) {
        a
    } else {
        b
    }
}
