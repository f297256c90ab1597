//! What stands in the `metadata` of a printed span, and in which order.

use chrono::DateTime;
use serde_json::{Map, Value};
use smol_str::SmolStr;

use super::{Observation, Precision, Step};
use crate::model::Fields;
use crate::model::fields::in_jsonb;
use crate::model::span::{COLLECTOR, meta};

/// A value of `metadata`.
pub(in crate::model) enum Said<'a> {
    Text(&'a str),
    /// One of ours. In JSON text it stands with its key.
    Word(&'static str),
    Truth,
    Number(f64),
    Field(&'a Value),
    Events(Vec<Value>),
}

/// A key of `metadata`.
#[derive(Clone, Copy)]
pub(in crate::model) enum Key<'a> {
    /// One of ours, and how it stands in JSON text behind another pair: with its value where that is a word.
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
        const IN_JSON: [u8; $name.len() + 4] = in_json($name, None);
        Key::Own($name, &IN_JSON)
    }};
    ($name:expr, $word:expr) => {{
        const IN_JSON: [u8; $name.len() + $word.len() + 6] = in_json($name, Some($word));
        (Key::Own($name, &IN_JSON), Said::Word($word))
    }};
}

/// A key with how fine a time is.
macro_rules! precision {
    ($name:expr, $moment:expr) => {
        match $moment.precision {
            Precision::Arrival => own!($name, Precision::Arrival.as_str()),
            Precision::Second => own!($name, Precision::Second.as_str()),
            Precision::Milli => own!($name, Precision::Milli.as_str()),
            Precision::Micro => own!($name, Precision::Micro.as_str()),
        }
    };
}

/// `,"key":` or `,"key":"word"`, put together when compiled: every row has the same keys. Nothing in them needs
/// to be escaped.
const fn in_json<const N: usize>(key: &str, word: Option<&str>) -> [u8; N] {
    let mut text = [b'"'; N];
    text[0] = b',';
    fill(&mut text, 2, key);
    text[key.len() + 3] = b':';
    if let Some(word) = word {
        fill(&mut text, key.len() + 5, word);
    }
    text
}

const fn fill(text: &mut [u8], from: usize, part: &str) {
    let part = part.as_bytes();
    let mut at = 0;
    while at < part.len() {
        text[from + at] = part[at];
        at += 1;
    }
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

impl Observation {
    pub(super) fn metadata(&self) -> Map<String, Value> {
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
        if !self.steps.is_empty() {
            let events = self.steps.iter().map(event).collect();
            put(own!(meta::EVENTS), Some(Said::Events(events)));
        }
        put(own!(meta::LOG_ID), Some(Said::Text(&self.key.log_id)));
        put(own!(meta::SOURCE), Some(Said::Text(&self.source)));
        let (collector, name) = own!(meta::COLLECTOR, COLLECTOR);
        put(collector, Some(name));
        let traceback = self.traceback.as_deref();
        put(own!(meta::TRACEBACK), traceback.map(Said::Text));
        put(own!(meta::FUNCTION_ID), said(&self.function_id));
        put(own!(meta::CONTAINER_ID), said(&self.container_id));
        if let Some(end) = end {
            let (key, word) = precision!(meta::END_PRECISION, end.moment);
            put(key, Some(word));
        }
        put(own!(meta::EVENTS_DROPPED), truth(self.steps_dropped));
        put(own!(meta::START_INFERRED), truth(self.start.is_none()));
        if let Some(start) = self.start {
            let (key, word) = precision!(meta::TIME_PRECISION, start);
            put(key, Some(word));
        }
        put(own!(meta::DEADLINE_PASSED), truth(is_late));
        put(own!(meta::FUNCTION_CALL_ID), said(&self.function_call_id));
        let reported = end.and_then(|end| end.reported_us);
        let reported = reported.map(|us| Said::Number(us as f64 / 1000.0));
        put(own!(meta::REPORTED_DURATION_MS), reported);
        for (name, field) in fields {
            show(Key::Field(name), Said::Field(field));
        }
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

/// The name under which the payload had what stands under this key; none where the key is one of ours.
pub(super) fn field_name(key: &str) -> Option<&str> {
    match key.strip_prefix(PAYLOAD_PREFIX) {
        Some(name) => Some(name),
        None => (!is_own_key(key)).then_some(key),
    }
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

pub(super) fn read_event(value: &Value) -> Option<Step> {
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
