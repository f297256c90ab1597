//! Owns the account of one line, stage by stage, for a person who asks why it is a span or is not.
//! Refuses state: what a line means to those around it (halves, tracebacks) is only hinted at.
//! Invariant: it reads with the decoder's own stages, so it cannot disagree with them.

use std::fmt;

use serde::Serialize;

use crate::envelope::{self, Form, Opened};
use crate::error::LineError;
use crate::fields::Value;
use crate::glue;
use crate::header::{self, Header};
use crate::record::{Envelope, Phase, Severity, Stream, Timestamp, TraceLine};
use crate::rejoin;
use crate::text;
use crate::trace_line;
use crate::traceback;

/// How every stage reads one line.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// Whether the bytes were valid UTF-8.
    pub valid_utf8: bool,
    /// Whether control characters or colours were removed.
    pub cleaned: bool,
    /// The form of the envelope.
    pub form: Form,
    /// The lines in it: more than one when it is glued together, or a JSON message of several.
    pub pieces: Vec<PieceExplanation>,
}

/// One line, or one of several that were glued together.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PieceExplanation {
    /// The time in the envelope.
    pub timestamp: Option<Timestamp>,
    /// `fu-…`
    pub function_id: Option<String>,
    /// `fc-…`
    pub function_call_id: Option<String>,
    /// `ta-…`
    pub container_id: Option<String>,
    /// Which output it came from.
    pub stream: Option<Stream>,
    /// How severe the writer called it.
    pub severity: Option<Severity>,
    /// What stands behind the envelope.
    pub message: String,
    /// What that is.
    pub reading: Reading,
}

/// What a message turned out to be.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Reading {
    /// A trace line.
    TraceLine {
        /// Where `TRACE[` stands in the message.
        header_at: usize,
        /// The span's id.
        id: String,
        /// `started`, `success`, `failed`, `timeout` or `step`.
        phase: &'static str,
        /// The name of a started span, or the text of a step.
        text: Option<String>,
        /// The payload.
        fields: Vec<FieldExplanation>,
        /// Whether the line evidently lacks its end, and would wait for it.
        incomplete: bool,
    },
    /// A header in its place, but malformed.
    Rejected {
        /// What is wrong, and where.
        error: LineError,
        /// Whether the line was perhaps cut inside its header, and would wait for its rest.
        incomplete: bool,
    },
    /// `TRACE[` inside quotes or behind prose.
    Quoted {
        /// Where it stands in the message.
        header_at: usize,
        /// Why it is no header.
        because: &'static str,
    },
    /// The first line of a traceback.
    Traceback,
    /// Anything else.
    Other,
}

/// One field of a payload.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FieldExplanation {
    /// The key.
    pub key: String,
    /// `text`, `int`, `float`, `bool`, `none` or `duration`.
    pub kind: &'static str,
    /// The value, printed.
    pub value: String,
}

/// Reads one line as every stage does.
pub fn explain(line: &[u8]) -> Explanation {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line));
    let cleaned = text::clean(&line);
    let Opened {
        envelope,
        message,
        form,
    } = envelope::open(&cleaned);
    let pieces = message
        .split('\n')
        .flat_map(|message| match glue::split(&envelope, message) {
            None => vec![piece(&envelope, message)],
            Some(pieces) => pieces
                .iter()
                .map(|p| piece(&p.envelope, &p.message))
                .collect(),
        });
    let pieces = pieces.collect();
    Explanation {
        valid_utf8: matches!(line, std::borrow::Cow::Borrowed(_)),
        cleaned: matches!(cleaned, std::borrow::Cow::Owned(_)),
        form,
        pieces,
    }
}

fn piece(envelope: &Envelope<'_>, message: &str) -> PieceExplanation {
    let text = |id: &Option<std::borrow::Cow<'_, str>>| id.as_deref().map(str::to_owned);
    PieceExplanation {
        timestamp: envelope.timestamp,
        function_id: text(&envelope.function_id),
        function_call_id: text(&envelope.function_call_id),
        container_id: text(&envelope.container_id),
        stream: envelope.stream,
        severity: envelope.severity,
        message: message.to_owned(),
        reading: reading(message),
    }
}

fn reading(message: &str) -> Reading {
    match header::find(message) {
        Header::At(start) => match trace_line::parse_at(message, start) {
            Ok(line) => trace_reading(&line, start),
            Err(error) => Reading::Rejected {
                error,
                incomplete: rejoin::cut_header(message, Some(start)),
            },
        },
        Header::Quoted(at) => Reading::Quoted {
            header_at: at,
            because: quoted_because(message, at),
        },
        Header::Absent if traceback::begins(message).is_some() => Reading::Traceback,
        Header::Absent => Reading::Other,
    }
}

fn quoted_because(message: &str, at: usize) -> &'static str {
    if message
        .get(..at)
        .is_some_and(|prefix| prefix.contains(['"', '\'', '`']))
    {
        "a quote precedes it"
    } else {
        "prose precedes it"
    }
}

fn trace_reading(line: &TraceLine<'_>, header_at: usize) -> Reading {
    let (phase, text) = match &line.phase {
        Phase::Started { name } => ("started", Some(name.to_string())),
        Phase::Step { text } => ("step", Some(text.to_string())),
        Phase::Succeeded => ("success", None),
        Phase::Failed => ("failed", None),
        Phase::TimedOut => ("timeout", None),
    };
    let fields = line
        .fields
        .iter()
        .map(|(key, value)| field(key, value))
        .collect();
    let incomplete = rejoin::cut(line).is_some();
    Reading::TraceLine {
        header_at,
        id: line.id.to_string(),
        phase,
        text,
        fields,
        incomplete,
    }
}

fn field(key: &str, value: &Value<'_>) -> FieldExplanation {
    let (kind, value) = match value {
        Value::Text(text) => ("text", text.to_string()),
        Value::Int(n) => ("int", n.to_string()),
        Value::Float(n) => ("float", n.to_string()),
        Value::Bool(b) => ("bool", b.to_string()),
        Value::None => ("none", "None".to_owned()),
        Value::Duration { micros, raw } => ("duration", format!("{raw} ({micros} µs)")),
    };
    FieldExplanation {
        key: key.to_owned(),
        kind,
        value,
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "envelope   {:?}", self.form)?;
        if !self.valid_utf8 {
            writeln!(f, "           invalid UTF-8 was replaced")?;
        }
        if self.cleaned {
            writeln!(f, "           control characters were removed")?;
        }
        if self.pieces.len() > 1 {
            writeln!(f, "lines      {} in one", self.pieces.len())?;
        }
        self.pieces.iter().try_for_each(|piece| piece.fmt(f))
    }
}

impl fmt::Display for PieceExplanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(time) = self.timestamp {
            writeln!(
                f,
                "time       {} µs since the epoch, to the {:?}",
                time.unix_micros, time.precision
            )?;
        }
        let ids = [
            ("function", &self.function_id),
            ("call", &self.function_call_id),
            ("container", &self.container_id),
        ];
        for (name, id) in ids {
            if let Some(id) = id {
                writeln!(f, "{name:10} {id}")?;
            }
        }
        writeln!(f, "message    {}", self.message)?;
        self.reading.fmt(f)
    }
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TraceLine {
                header_at,
                id,
                phase,
                text,
                fields,
                incomplete,
            } => {
                writeln!(f, "header     at byte {header_at}, id {id}")?;
                writeln!(f, "phase      {phase} {}", text.as_deref().unwrap_or(""))?;
                for field in fields {
                    writeln!(
                        f,
                        "field      {} = {} ({})",
                        field.key, field.value, field.kind
                    )?;
                }
                let verdict = if *incomplete {
                    "its end is missing"
                } else {
                    "a trace line"
                };
                writeln!(f, "result     {verdict}")
            }
            Self::Rejected { error, .. } => writeln!(f, "result     rejected: {error}"),
            Self::Quoted { header_at, because } => {
                writeln!(
                    f,
                    "result     TRACE[ at byte {header_at} is only quoted: {because}"
                )
            }
            Self::Traceback => writeln!(f, "result     a traceback begins"),
            Self::Other => writeln!(f, "result     no trace line"),
        }
    }
}
