//! One trace line as an observation of its span: which column, context or payload key each part of it is.
//!
//! What lines repeat (containers, names, models, regions) is cleaned once and shared.

use std::borrow::Cow;

use beacon_parsers::{Envelope, Phase, TraceLine, Value};
use serde_json::Value as Json;
use smol_str::SmolStr;
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64;

use crate::model::{End, Moment, Observation, Outcome, Precision, SpanKey, Step, span_id_of_otlp};
use crate::untrusted::{MAX_TEXT, clean, cleaned};

/// Reads the lines of one stream.
#[derive(Debug)]
pub(super) struct Reader {
    source: SmolStr,
    containers: Memory<SmolStr>,
    names: Memory<(SmolStr, SmolStr)>,
    /// Models and regions.
    words: Memory<SmolStr>,
}

impl Reader {
    pub(super) fn new(source: SmolStr) -> Self {
        Self {
            source,
            containers: Memory::new(),
            names: Memory::new(),
            words: Memory::new(),
        }
    }

    /// The span of a line, of which nothing is known yet but its log id.
    pub(super) fn observation(&self, line: &TraceLine<'_>) -> Observation {
        let key = SpanKey {
            log_id: SmolStr::new(&line.id),
            scope: SmolStr::default(),
        };
        Observation::new(key, self.source.clone())
    }

    /// Enters what a line says of its span, but not yet where that ran: see [`Self::locate`].
    pub(super) fn read(&mut self, seen: &mut Observation, line: &TraceLine<'_>, moment: Moment) {
        match &line.phase {
            Phase::Started { name } => {
                seen.name = Some(self.names.get(name, service_and_operation));
                seen.start = Some(moment);
            }
            Phase::Succeeded => seen.end = Some(end(line, moment, Outcome::Completed)),
            Phase::Failed => seen.end = Some(end(line, moment, Outcome::Failed)),
            Phase::TimedOut => seen.end = Some(end(line, moment, Outcome::Timeout)),
            Phase::Step { text } => {
                let fields = line.fields.iter();
                return seen.add_step(Step {
                    at: moment.at,
                    name: clean(text, MAX_TEXT),
                    fields: fields.map(|(k, v)| (k.to_owned(), json(v))).collect(),
                });
            }
        }
        for (name, value) in line.fields.iter() {
            self.take_field(seen, name, value);
        }
    }

    /// Puts a payload field where it belongs: into a column, the context, or `metadata`.
    fn take_field(&mut self, seen: &mut Observation, name: &str, value: &Value<'_>) {
        let text = || match value {
            Value::Text(text) => Some(SmolStr::from(cleaned(text, MAX_TEXT))),
            Value::Int(number) => Some(SmolStr::from(number.to_string())),
            _ => None,
        };
        let mut word = || match value {
            Value::Text(word) => Some(self.words.get(word, |word| cleaned(word, MAX_TEXT).into())),
            _ => text(),
        };
        let taken = match name {
            "model" | "model_id" => word().map(|model| seen.model_id = Some(model)),
            "region" => word().map(|region| seen.region = Some(region)),
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
            seen.fields.insert(name, json(value));
        }
    }

    /// Enters where a line comes from, as far as that is not known of the span that it is joined to.
    pub(super) fn locate(
        &mut self,
        seen: &mut Observation,
        envelope: &Envelope<'_>,
        known: Option<&Observation>,
    ) {
        let new = |id: &Option<Cow<'_, str>>, known: Option<&SmolStr>| {
            let id = id
                .as_deref()
                .filter(|id| known.is_none_or(|known| known != id));
            id.map(SmolStr::new)
        };
        let calls = known.and_then(|known| known.function_call_id.as_ref());
        seen.function_call_id = new(&envelope.function_call_id, calls);
        let functions = known.and_then(|known| known.function_id.as_ref());
        seen.function_id = new(&envelope.function_id, functions);
        // Lines of one key come from one container, or none name any.
        if known.is_none() {
            let scope = scope_of(envelope);
            seen.key.scope = self.containers.get(scope, |scope| scope.into());
            let in_container = envelope.container_id.is_some();
            seen.container_id = in_container.then(|| seen.key.scope.clone());
        }
    }
}

/// What was made of texts that lines repeat: as many as there are places, the last one in each.
#[derive(Debug)]
struct Memory<T> {
    places: Vec<Option<(Box<str>, T)>>,
}

impl<T: Clone> Memory<T> {
    /// About one application's containers, or names.
    const PLACES: usize = 64;
    /// Longer texts are rarely repeated.
    const LONGEST: usize = 64;

    fn new() -> Self {
        Self {
            places: std::iter::repeat_with(|| None).take(Self::PLACES).collect(),
        }
    }

    fn get(&mut self, text: &str, make: impl FnOnce(&str) -> T) -> T {
        if text.len() > Self::LONGEST {
            return make(text);
        }
        let place = &mut self.places[xxh3_64(text.as_bytes()) as usize % Self::PLACES];
        match place {
            Some((known, made)) if **known == *text => made.clone(),
            _ => {
                let made = make(text);
                *place = Some((text.into(), made.clone()));
                made
            }
        }
    }
}

/// The container that printed a line, else the function call; empty where the line names neither.
pub(super) fn scope_of<'a>(envelope: &'a Envelope<'_>) -> &'a str {
    let scope = envelope
        .container_id
        .as_deref()
        .or(envelope.function_call_id.as_deref());
    scope.unwrap_or_default()
}

pub(super) const fn precision(written: beacon_parsers::Precision) -> Precision {
    match written {
        beacon_parsers::Precision::Second => Precision::Second,
        beacon_parsers::Precision::Milli => Precision::Milli,
        beacon_parsers::Precision::Micro => Precision::Micro,
    }
}

fn end(line: &TraceLine<'_>, moment: Moment, outcome: Outcome) -> End {
    let (error_type, error_message) = match line.error() {
        Some((kind, message)) => (kind, Some(message).filter(|text| !text.is_empty())),
        None => (None, None),
    };
    End {
        moment,
        outcome,
        reported_us: line.reported_duration_micros().filter(|us| *us >= 0),
        error_type: error_type.map(|text| cleaned(text, MAX_TEXT).into()),
        error_message: error_message.map(|text| clean(text, MAX_TEXT)),
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
fn service_and_operation(name: &str) -> (SmolStr, SmolStr) {
    const SERVICES: [&str; 4] = ["runner", "router", "modal", "backend"];
    let name = clean(name, 100).to_lowercase();
    let mut words = name.split_whitespace().peekable();
    let service = words
        .next_if(|word| SERVICES.contains(word))
        .unwrap_or("modal");
    let operation = words.collect::<Vec<_>>().join("_");
    let operation = if operation.is_empty() {
        "inference".into()
    } else {
        operation.into()
    };
    (service.into(), operation)
}
