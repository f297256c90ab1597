//! What has been observed of one printed span: its start line, its end line, its steps, in any
//! combination and any order.
//!
//! Invariant: [`Observation::merge`] is commutative, associative and idempotent for lines of one
//! span, so lines may come twice, late, out of order, over several transports or be split between
//! memory and the store, and the row that results is the same.

use std::cmp::Ordering;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::SpanKey;
use super::identity::Anchor;
use super::link::is_filled;
use super::span::{COLLECTOR, Span, SpanStatus, meta};

/// Steps kept for one span, the earliest, so that one chatty span stays one row.
const MAX_STEPS: usize = 64;

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
    pub error_type: Option<String>,
    /// Text of the failure.
    pub error_message: Option<String>,
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
    pub job_id: Option<String>,
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
    pub source: String,
    /// Service and operation, from the start line.
    pub name: Option<(String, String)>,
    /// Modal container.
    pub container_id: Option<String>,
    /// Modal function call.
    pub function_call_id: Option<String>,
    /// Modal function.
    pub function_id: Option<String>,
    /// The start line.
    pub start: Option<Moment>,
    /// The closing line.
    pub end: Option<End>,
    /// Steps, in time order.
    pub steps: Vec<Step>,
    /// Whether there were steps beyond the bound. Not how many: a step that was left out can't be told
    /// from the same one read again.
    pub steps_dropped: bool,
    /// Python traceback that followed the failure.
    pub traceback: Option<String>,
    /// Explicit context.
    pub context: Context,
    /// `model=`.
    pub model_id: Option<String>,
    /// `region=`.
    pub region: Option<String>,
    /// The payload's other keys.
    pub fields: Map<String, Value>,
    /// The deadline passed without an end.
    pub deadline_passed: bool,
}

impl Observation {
    /// An observation of nothing yet.
    pub fn new(key: SpanKey, source: impl Into<String>) -> Self {
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
            steps: Vec::new(),
            steps_dropped: false,
            traceback: None,
            context: Context::default(),
            model_id: None,
            region: None,
            fields: Map::new(),
            deadline_passed: false,
        }
    }

    /// The id of its row. It changes at most twice, when an earlier line turns up.
    pub fn span_id(&self) -> Uuid {
        self.key.span_id(self.anchor())
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
        self.context.trace_id = pick(self.context.trace_id, other.context.trace_id, Ord::min);
        self.context.parent_span_id = pick(
            self.context.parent_span_id,
            other.context.parent_span_id,
            Ord::min,
        );
        self.context.execution_id = pick(
            self.context.execution_id,
            other.context.execution_id,
            Ord::min,
        );
        self.context.job_id = pick(self.context.job_id.take(), other.context.job_id, fuller);
        self.source = std::mem::take(&mut self.source).min(other.source);
        self.steps_dropped |= other.steps_dropped;
        self.deadline_passed |= other.deadline_passed;
        for step in other.steps {
            self.add_step(step);
        }
        for (key, value) in other.fields {
            let known = self.fields.remove(&key);
            let value = known.map_or(value.clone(), |known| fuller_value(known, value));
            self.fields.insert(key, value);
        }
    }

    /// The row as it stands, not linked to anything but what the lines themselves said.
    pub fn to_span(&self) -> Span {
        let span_id = self.span_id();
        let (started_at, completed_at) = self.times();
        let duration_ms = completed_at.map(|end| {
            let exact = end - started_at;
            exact.num_milliseconds() + i64::from(exact.subsec_nanos() % 1_000_000 >= 500_000)
        });
        let (service, operation) = self
            .name
            .clone()
            .unwrap_or_else(|| (UNNAMED.0.to_owned(), UNNAMED.1.to_owned()));
        Span {
            trace_id: self.context.trace_id.unwrap_or(span_id),
            span_id,
            parent_span_id: self.context.parent_span_id,
            service,
            operation,
            started_at,
            completed_at,
            duration_ms,
            status: self.status(),
            job_id: self.context.job_id.clone(),
            execution_id: self.context.execution_id,
            model_id: self.model_id.clone(),
            region: self.region.clone(),
            metadata: self.metadata(),
            error_message: self.end.as_ref().and_then(|end| end.error_message.clone()),
            error_type: self.end.as_ref().and_then(|end| end.error_type.clone()),
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
    fn times(&self) -> (DateTime<Utc>, Option<DateTime<Utc>>) {
        let reported = self
            .end
            .as_ref()
            .and_then(|end| end.reported_us)
            .map(TimeDelta::microseconds);
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
        for (key, value) in &self.fields {
            let own = is_own_key(key);
            map.insert(
                if own {
                    format!("{PAYLOAD_PREFIX}{key}")
                } else {
                    key.clone()
                },
                value.clone(),
            );
        }
        let mut put = |key: &str, value: Value| map.insert(key.to_owned(), value);
        put(meta::COLLECTOR, COLLECTOR.into());
        put(meta::LOG_ID, self.key.log_id.as_str().into());
        put(meta::SOURCE, self.source.as_str().into());
        let texts = [
            (meta::CONTAINER_ID, &self.container_id),
            (meta::FUNCTION_CALL_ID, &self.function_call_id),
            (meta::FUNCTION_ID, &self.function_id),
            (meta::TRACEBACK, &self.traceback),
        ];
        for (key, text) in texts {
            if let Some(text) = text {
                put(key, text.as_str().into());
            }
        }
        if let Some(start) = &self.start {
            put(meta::TIME_PRECISION, start.precision.as_str().into());
        } else {
            put(meta::START_INFERRED, true.into());
        }
        if let Some(end) = &self.end {
            put(meta::END_PRECISION, end.moment.precision.as_str().into());
            if let Some(us) = end.reported_us {
                put(meta::REPORTED_DURATION_MS, json!(us as f64 / 1000.0));
            }
        } else if self.deadline_passed {
            put(meta::DEADLINE_PASSED, true.into());
        }
        if !self.steps.is_empty() {
            put(meta::EVENTS, self.steps.iter().map(event).collect());
        }
        if self.steps_dropped {
            put(meta::EVENTS_DROPPED, true.into());
        }
        map
    }

    /// Reads a row of ours back; `None` for rows of others.
    pub fn from_span(span: &Span) -> Option<Self> {
        if !span.is_ours() {
            return None;
        }
        let own = |key: &str| span.text(key).map(str::to_owned);
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
            seen.name = Some((span.service.clone(), span.operation.clone()));
        }
        seen.container_id = container_id;
        seen.function_call_id = function_call_id;
        seen.function_id = own(meta::FUNCTION_ID);
        seen.traceback = own(meta::TRACEBACK);
        // What a link filled in was not printed.
        if !is_filled(span, "model_id") {
            seen.model_id.clone_from(&span.model_id);
        }
        if !is_filled(span, "region") {
            seen.region.clone_from(&span.region);
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
                seen.fields.insert(key.to_owned(), value.clone());
            } else if !is_own_key(key) {
                seen.fields.insert(key.clone(), value.clone());
            }
        }
        Some(seen)
    }
}

/// The earliest start within its printed second that the closing line and the reported duration
/// allow: a span that took 1.90 s and ended in second 3 can't have begun before 1.10 s.
fn within_second(start: DateTime<Utc>, end: Moment, took: TimeDelta) -> DateTime<Utc> {
    let whole = |at: DateTime<Utc>| at.duration_trunc(TimeDelta::seconds(1)).unwrap_or(at);
    let (first, last) = (
        whole(start),
        whole(start) + TimeDelta::microseconds(999_999),
    );
    match end.precision {
        Precision::Arrival => first,
        Precision::Second => {
            let earliest = whole(end.at) - took;
            let latest = earliest + TimeDelta::microseconds(999_999);
            // A duration that was measured over less than the span says nothing about its start.
            if latest < first || earliest > last {
                first
            } else {
                earliest.max(first)
            }
        }
        Precision::Milli | Precision::Micro => (end.at - took).clamp(first, last),
    }
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
        error_type: span.error_type.clone(),
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
fn fuller(a: String, b: String) -> String {
    if (a.len(), &a) >= (b.len(), &b) { a } else { b }
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
