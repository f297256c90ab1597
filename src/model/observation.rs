//! What has been observed of one printed span: its start line, its end line, its steps, in any
//! combination and any order.
//!
//! Invariant: [`Observation::merge`] is commutative, associative and idempotent for lines of one
//! span, so lines may come twice, late, out of order, over several transports or be split between
//! memory and the store, and the row that results is the same.

use std::cmp::Ordering;
use std::convert::Infallible;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use smol_str::SmolStr;
use uuid::Uuid;

use super::fields::in_jsonb;
use super::identity::Anchor;
use super::link::is_filled;
use super::row::{Metadata, Row};
use super::span::{COLLECTOR, Span, SpanStatus, meta};
use super::{Fields, Nothing, Rare, SpanKey};

/// Steps kept for one span, the earliest, so that one chatty span stays one row.
const MAX_STEPS: usize = 64;

/// A longer reported duration is a mistake, and reaches beyond the calendar at last.
const LONGEST_REPORT: TimeDelta = TimeDelta::days(36_500);

/// Service and operation of a span whose start line was not seen.
const UNNAMED: (&str, &str) = ("modal", "inference");

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

/// A value of `metadata`.
pub(super) enum Said<'a> {
    Text(&'a str),
    /// One of ours: nothing in it needs to be escaped.
    Word(&'static str),
    Truth,
    Number(f64),
    Field(&'a Value),
    Events(Vec<Value>),
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
        self.start = pick(self.start.take(), other.start, finer);
        self.end = pick(self.end.take(), other.end, merge_ends);
        self.name = pick(self.name.take(), other.name, Ord::min);
        self.container_id = pick(self.container_id.take(), other.container_id, Ord::min);
        self.function_call_id = pick(
            self.function_call_id.take(),
            other.function_call_id,
            Ord::min,
        );
        self.function_id = pick(self.function_id.take(), other.function_id, Ord::min);
        self.traceback = pick(self.traceback.take(), other.traceback, fuller);
        self.model_id = pick(self.model_id.take(), other.model_id, fuller);
        self.region = pick(self.region.take(), other.region, fuller);
        if let Some(other) = other.context.into_inner() {
            let known = &mut *self.context;
            known.trace_id = pick(known.trace_id, other.trace_id, Ord::min);
            known.parent_span_id = pick(known.parent_span_id, other.parent_span_id, Ord::min);
            known.execution_id = pick(known.execution_id, other.execution_id, Ord::min);
            known.job_id = pick(known.job_id.take(), other.job_id, fuller);
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
        let Ok(()) = self.each_metadata::<Infallible>(|key, value| {
            map.insert(key.to_owned(), value.into());
            Ok(())
        });
        map
    }

    /// Shows what stands in `metadata`, each key once and in the order of [`in_jsonb`].
    pub(super) fn each_metadata<E>(
        &self,
        mut show: impl FnMut(&str, Said<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let renamed;
        let mut fields = if self.fields.iter().any(|(key, _)| is_own_key(key)) {
            renamed = self.fields.iter().map(renamed_field).collect::<Fields>();
            renamed.iter().peekable()
        } else {
            self.fields.iter().peekable()
        };
        let mut put = |key: &str, value: Option<Said<'_>>| -> Result<(), E> {
            while let Some((name, field)) = fields.next_if(|(name, _)| in_jsonb(name, key).is_lt())
            {
                show(name, Said::Field(field))?;
            }
            value.map_or(Ok(()), |value| show(key, value))
        };
        let truth = |is_true: bool| is_true.then_some(Said::Truth);
        let end = self.end.as_ref();
        let is_late = end.is_none() && self.deadline_passed;
        let precision = |moment: &Moment| Said::Word(moment.precision.as_str());
        if !self.steps.is_empty() {
            let events = self.steps.iter().map(event).collect();
            put(meta::EVENTS, Some(Said::Events(events)))?;
        }
        put(meta::LOG_ID, Some(Said::Text(&self.key.log_id)))?;
        put(meta::SOURCE, Some(Said::Text(&self.source)))?;
        put(meta::COLLECTOR, Some(Said::Word(COLLECTOR)))?;
        let traceback = self.traceback.as_deref();
        put(meta::TRACEBACK, traceback.map(Said::Text))?;
        put(
            meta::FUNCTION_ID,
            self.function_id.as_deref().map(Said::Text),
        )?;
        put(
            meta::CONTAINER_ID,
            self.container_id.as_deref().map(Said::Text),
        )?;
        put(meta::END_PRECISION, end.map(|end| precision(&end.moment)))?;
        put(meta::EVENTS_DROPPED, truth(self.steps_dropped))?;
        put(meta::START_INFERRED, truth(self.start.is_none()))?;
        put(meta::TIME_PRECISION, self.start.as_ref().map(precision))?;
        put(meta::DEADLINE_PASSED, truth(is_late))?;
        put(
            meta::FUNCTION_CALL_ID,
            self.function_call_id.as_deref().map(Said::Text),
        )?;
        let reported = end.and_then(|end| end.reported_us);
        let reported = reported.map(|us| Said::Number(us as f64 / 1000.0));
        put(meta::REPORTED_DURATION_MS, reported)?;
        fields.try_for_each(|(name, field)| show(name, Said::Field(field)))
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

fn pick<T>(a: Option<T>, b: Option<T>, choose: impl FnOnce(T, T) -> T) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(choose(a, b)),
        (a, b) => a.or(b),
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
fn merge_ends(a: End, b: End) -> End {
    if a.outcome != b.outcome {
        let order = |end: &End| (end.moment.at.timestamp(), std::cmp::Reverse(end.outcome));
        return if order(&a) <= order(&b) { a } else { b };
    }
    End {
        moment: finer(a.moment, b.moment),
        outcome: a.outcome,
        reported_us: pick(a.reported_us, b.reported_us, Ord::max),
        error_type: pick(a.error_type, b.error_type, fuller),
        error_message: pick(a.error_message, b.error_message, fuller),
    }
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

#[cfg(test)]
mod tests {
    use super::super::find_slot;
    use super::*;

    const SECOND: i64 = 1_760_000_000;

    fn printed(ends_in: i64, took_ms: i64) -> Observation {
        let key = SpanKey {
            log_id: "abc123de".into(),
            scope: "ta-1".into(),
        };
        let moment = |second: i64| Moment {
            at: DateTime::from_timestamp(SECOND + second, 0).unwrap(),
            precision: Precision::Second,
        };
        let mut seen = Observation::new(key, "test");
        seen.container_id = Some("ta-1".into());
        seen.start = Some(moment(0));
        seen.end = Some(End {
            moment: moment(ends_in),
            outcome: Outcome::Completed,
            reported_us: Some(took_ms * 1000),
            error_type: None,
            error_message: None,
        });
        seen
    }

    fn started_ms(seen: &Observation) -> i64 {
        seen.to_span().started_at.timestamp_millis() - SECOND * 1000
    }

    #[test]
    fn whole_seconds_of_both_lines_narrow_the_start() {
        // It can't have begun before 0.10 to have ended in second 2 after 1.90 s.
        assert_eq!(started_ms(&printed(2, 1_900)), 100);
        // Ended in second 1: it began by 0.09.
        assert_eq!(started_ms(&printed(1, 1_900)), 0);
    }

    #[test]
    fn a_duration_that_does_not_cover_the_span_leaves_the_start_alone() {
        assert_eq!(started_ms(&printed(30, 1_900)), 0);
        assert_eq!(started_ms(&printed(0, 1_900)), 0);
    }

    #[test]
    fn a_duration_beyond_the_calendar_says_nothing_and_harms_nothing() {
        let mut seen = printed(5, i64::MAX / 1000);
        assert_eq!(started_ms(&seen), 0);
        assert_eq!(seen.to_span().duration_ms, Some(5_000));
        seen.start = None;
        assert_eq!(started_ms(&seen), 5_000);
        let mut tail = Observation::new(seen.key.clone(), "test");
        tail.add_step(Step {
            at: DateTime::from_timestamp(SECOND, 0).unwrap(),
            name: "step".into(),
            fields: Map::new(),
        });
        assert_eq!(find_slot([&tail].into_iter(), &seen), Some(0));
        tail.start = printed(0, 0).start;
        assert_eq!(find_slot([&tail].into_iter(), &seen), Some(0));
    }

    #[test]
    fn a_narrowed_row_reads_back_to_itself() {
        for (ends_in, took_ms) in [(2, 1_900), (1, 1_900), (30, 1_900), (0, 1_900), (1, 10)] {
            let fresh = printed(ends_in, took_ms);
            let row = fresh.to_span();
            let mut again = Observation::from_span(&row).unwrap();
            assert_eq!(again.to_span(), row);
            again.merge(fresh);
            assert_eq!(again.to_span(), row);
        }
    }
}
