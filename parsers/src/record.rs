//! Owns the records that a decoder hands out: an envelope and what stood inside it.
//! Refuses to interpret them: pairing, identity and correlation are the reader's business.
//! Invariant: a record borrows from the decoder and is valid for one call of the sink.

use std::borrow::Cow;

use serde::Serialize;

use crate::fields::Fields;

/// One finding in the stream.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Record<'a> {
    /// Stream offset just behind the (last) line that the record was read from.
    pub end_offset: u64,
    /// What the line was wrapped in.
    pub envelope: &'a Envelope<'a>,
    /// What the line said.
    pub body: Body<'a>,
}

/// What a record holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Body<'a> {
    /// A line of the trace grammar.
    Trace(&'a TraceLine<'a>),
    /// A Python traceback that followed a failure in the same container.
    Traceback(&'a Traceback<'a>),
}

/// What stood before (or, in JSON, around) a message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// When the line was written; `None` when the envelope does not say.
    pub timestamp: Option<Timestamp>,
    /// Modal's `fu-…`.
    pub function_id: Option<Cow<'a, str>>,
    /// Modal's `fc-…`.
    pub function_call_id: Option<Cow<'a, str>>,
    /// Modal's `ta-…`, or another runtime's container id.
    pub container_id: Option<Cow<'a, str>>,
    /// Which output the line came from.
    pub stream: Option<Stream>,
    /// How severe the writer called it.
    pub severity: Option<Severity>,
}

impl Envelope<'_> {
    /// Copies what is borrowed.
    pub fn into_owned(self) -> Envelope<'static> {
        Envelope {
            timestamp: self.timestamp,
            function_id: self.function_id.map(own),
            function_call_id: self.function_call_id.map(own),
            container_id: self.container_id.map(own),
            stream: self.stream,
            severity: self.severity,
        }
    }

    /// The same, borrowed.
    pub(crate) fn borrowed(&self) -> Envelope<'_> {
        Envelope {
            timestamp: self.timestamp,
            function_id: self.function_id.as_deref().map(Cow::Borrowed),
            function_call_id: self.function_call_id.as_deref().map(Cow::Borrowed),
            container_id: self.container_id.as_deref().map(Cow::Borrowed),
            stream: self.stream,
            severity: self.severity,
        }
    }

    /// Whether nothing at all is known.
    pub fn is_empty(&self) -> bool {
        *self == Envelope::default()
    }
}

pub(crate) fn own(text: Cow<'_, str>) -> Cow<'static, str> {
    Cow::Owned(text.into_owned())
}

/// A point in time, and how finely the text gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Timestamp {
    /// Microseconds since 1970-01-01T00:00:00Z.
    pub unix_micros: i64,
    /// What the text resolved to.
    pub precision: Precision,
}

/// How finely a timestamp was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// Whole seconds.
    Second,
    /// Milliseconds.
    Milli,
    /// Microseconds or finer.
    Micro,
}

/// Which output of the process a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// File descriptor 1.
    Stdout,
    /// File descriptor 2.
    Stderr,
    /// The platform itself.
    System,
}

/// OpenTelemetry's severity ranges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Finer than debug.
    Trace,
    /// For developers.
    Debug,
    /// Normal operation, syslog's notice included.
    Info,
    /// Something may be wrong.
    Warn,
    /// Something is wrong.
    Error,
    /// The process or the system cannot go on.
    Fatal,
}

/// One line of the trace grammar.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceLine<'a> {
    /// The id in the brackets, lower-cased when it is hexadecimal.
    pub id: Cow<'a, str>,
    /// What happened to the span.
    pub phase: Phase<'a>,
    /// The payload, in its order.
    pub fields: Fields<'a>,
    /// The message from `TRACE[` on, for quoting.
    pub text: Cow<'a, str>,
}

/// What a trace line says about its span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase<'a> {
    /// `<name> started`.
    Started {
        /// The text before ` started`.
        name: Cow<'a, str>,
    },
    /// `SUCCESS`.
    Succeeded,
    /// `FAILED`, `FAILURE` or `ERROR`.
    Failed,
    /// `TIMEOUT`.
    TimedOut,
    /// Anything else: a step of the span.
    Step {
        /// The text before the payload.
        text: Cow<'a, str>,
    },
}

impl Phase<'_> {
    /// Copies what is borrowed.
    pub fn into_owned(self) -> Phase<'static> {
        match self {
            Phase::Started { name } => Phase::Started { name: own(name) },
            Phase::Step { text } => Phase::Step { text: own(text) },
            Phase::Succeeded => Phase::Succeeded,
            Phase::Failed => Phase::Failed,
            Phase::TimedOut => Phase::TimedOut,
        }
    }
}

/// A Python traceback, all of its chained parts included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traceback<'a> {
    /// The lines as printed, without their envelopes, joined by line feeds.
    pub text: Cow<'a, str>,
    /// The type in the last exception line, such as `torch.OutOfMemoryError`.
    pub error_type: Option<Cow<'a, str>>,
    /// The message in the last exception line.
    pub error_message: Option<Cow<'a, str>>,
    /// Whether it was cut off before its exception line, or for its size.
    pub truncated: bool,
}

impl TraceLine<'_> {
    /// Copies what is borrowed.
    pub fn into_owned(self) -> TraceLine<'static> {
        TraceLine {
            id: own(self.id),
            phase: self.phase.into_owned(),
            fields: self.fields.into_owned(),
            text: own(self.text),
        }
    }

    /// The failure that the payload names: its type, where it has one, and its message.
    pub fn error(&self) -> Option<(Option<&str>, &str)> {
        let text = self
            .fields
            .text("error")
            .or_else(|| self.fields.text("error_message"))?;
        let (error_type, message) = split_error(text);
        Some((
            error_type.or_else(|| self.fields.text("error_type")),
            message,
        ))
    }

    /// How long the span says that it took. A `duration` without unit counts as seconds.
    pub fn reported_duration_micros(&self) -> Option<i64> {
        ["duration", "elapsed", "latency"]
            .iter()
            .find_map(|key| self.fields.get(key)?.micros(1_000_000.0))
            .or_else(|| {
                ["duration_ms", "elapsed_ms", "latency_ms"]
                    .iter()
                    .find_map(|key| self.fields.get(key)?.micros(1_000.0))
            })
    }
}

/// Splits `Type: message`, where the part before the colon can be the name of an error type.
pub(crate) fn split_error(text: &str) -> (Option<&str>, &str) {
    match text.split_once(':') {
        Some((name, message))
            if is_error_type(name) && (message.is_empty() || message.starts_with(' ')) =>
        {
            (Some(name), message.trim())
        }
        None if is_error_type(text) => (Some(text), ""),
        _ => (None, text),
    }
}

/// Type names are dotted identifiers whose last part begins with a capital (`torch.OutOfMemoryError`)
/// or that carry an underscore (`router_error`); an ordinary lower-case word is part of a message.
pub(crate) fn is_error_type(name: &str) -> bool {
    let mut last = "";
    for part in name.split('.') {
        let mut bytes = part.bytes();
        let starts = bytes
            .next()
            .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
        if !starts || !bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return false;
        }
        last = part;
    }
    last.starts_with(|c: char| c.is_ascii_uppercase()) || last.contains('_')
}
