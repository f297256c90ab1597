//! Owns the trace grammar: `TRACE[id]: <what happened> - <payload>`.
//! Refuses to look for the header: the caller says where it stands.
//! Invariant: a line that is refused says the reason and the byte.

use std::borrow::Cow;

use memchr::memchr_iter;
use nom::Parser;
use nom::bytes::complete::tag;
use nom::character::complete::{char, space0};

use crate::bytes::Class;
use crate::error::{LineError, LineErrorKind};
use crate::header::{self, Header};
use crate::payload;
use crate::record::{Phase, TraceLine};
use crate::text;
use crate::timestamp::Parsed;

pub(crate) const MARKER: &str = "TRACE[";
const ID_LENGTH: std::ops::RangeInclusive<usize> = 4..=64;

/// Keywords, each with what it says.
pub(crate) const KEYWORDS: [(&str, Phase<'static>); 5] = [
    ("SUCCESS", Phase::Succeeded),
    ("FAILED", Phase::Failed),
    ("FAILURE", Phase::Failed),
    ("ERROR", Phase::Failed),
    ("TIMEOUT", Phase::TimedOut),
];

/// Reads one message that came without an envelope of its own; of several lines, the first.
///
/// # Errors
/// Says why the message is no trace line, and at which byte.
pub fn parse_message(message: &str) -> Result<TraceLine<'_>, LineError> {
    let line = message.split(['\n', '\r']).next().unwrap_or(message);
    match text::clean(line) {
        Cow::Borrowed(message) => find_and_parse(message),
        Cow::Owned(message) => find_and_parse(&message).map(TraceLine::into_owned),
    }
}

fn find_and_parse(message: &str) -> Result<TraceLine<'_>, LineError> {
    match header::find(message) {
        Header::At(start) => parse_at(message, start),
        Header::Quoted(at) => Err(LineError::new(LineErrorKind::Quoted, at)),
        Header::Absent => Err(LineError::new(LineErrorKind::NoHeader, 0)),
    }
}

/// Reads the trace line whose `TRACE[` stands at `start`; offsets count from the message's start.
#[inline]
pub(crate) fn parse_at(message: &str, start: usize) -> Result<TraceLine<'_>, LineError> {
    let text = message.get(start..).unwrap_or("").trim_ascii_end();
    let (rest, id) = match header(text) {
        Ok(found) => found,
        Err(error) => return Err(LineError::new(error.kind, error.offset + start)),
    };
    if rest.is_empty() {
        return Err(LineError::new(LineErrorKind::Empty, start + text.len()));
    }
    let (phase, payload, free_key) = what_happened(rest);
    Ok(TraceLine {
        id: normal_id(id),
        phase,
        fields: payload::read(payload, free_key),
        text: Cow::Borrowed(text),
    })
}

/// `TRACE[id]: `; gives what follows, and the id.
pub(crate) fn header(text: &str) -> Result<(&str, &str), LineError> {
    let at = |kind, rest: &str| LineError::new(kind, text.len() - rest.len());
    let opened: Parsed<'_, &str> = tag(MARKER).parse(text);
    let Ok((rest, _)) = opened else {
        return Err(at(LineErrorKind::NoHeader, text));
    };
    let Ok((behind, id)) = id(rest) else {
        return Err(at(LineErrorKind::IdCharacter, rest));
    };
    if behind.is_empty() {
        return Err(at(LineErrorKind::UnclosedId, behind));
    }
    if !behind.starts_with(']') {
        return Err(at(LineErrorKind::IdCharacter, behind));
    }
    if id.len() < *ID_LENGTH.start() {
        return Err(at(LineErrorKind::IdTooShort, behind));
    }
    if id.len() > *ID_LENGTH.end() {
        return Err(at(LineErrorKind::IdTooLong, behind));
    }
    let behind = behind.get(1..).unwrap_or("");
    let colon: Parsed<'_, _> = (char(':'), space0).parse(behind);
    match colon {
        Ok((rest, _)) => Ok((rest, id)),
        Err(_) => Err(at(LineErrorKind::MissingColon, behind)),
    }
}

/// Letters, digits, `_` and `-`, by bytes: a scan by characters shows in the time for a line.
fn id(input: &str) -> Parsed<'_, &str> {
    const IN_IDS: Class = Class::alphanumeric_or(b"_-");
    let end = input.bytes().take_while(|byte| IN_IDS.has(*byte)).count();
    let (id, rest) = input.split_at_checked(end).ok_or(nom::Err::Error(()))?;
    Ok((rest, id))
}

/// Hexadecimal ids compare without case; words keep theirs.
fn normal_id(id: &str) -> Cow<'_, str> {
    const IN_LOWER_HEX: Class = Class::of(b"0123456789abcdef-");
    let is_lower = id.bytes().all(|byte| IN_LOWER_HEX.has(byte));
    let is_hex = |byte: u8| IN_LOWER_HEX.has(byte.to_ascii_lowercase());
    if !is_lower && id.bytes().all(is_hex) {
        Cow::Owned(id.to_ascii_lowercase())
    } else {
        Cow::Borrowed(id)
    }
}

/// The phase, the payload behind it, and the key for a payload's text that has none.
fn what_happened(rest: &str) -> (Phase<'_>, &str, &'static str) {
    if let Some((phase, payload)) = keyword(rest) {
        let free_key = if phase == Phase::Succeeded {
            "message"
        } else {
            "error"
        };
        return (phase, payload, free_key);
    }
    let (text, payload) = split_payload(rest);
    let phase = match text.strip_suffix("started") {
        Some("") => Phase::Started {
            name: Cow::Borrowed(""),
        },
        Some(name) if name.ends_with([' ', '\t']) => Phase::Started {
            name: Cow::Borrowed(name.trim_ascii_end()),
        },
        _ => Phase::Step {
            text: Cow::Borrowed(text),
        },
    };
    (phase, payload, "message")
}

/// A keyword is a whole upper-case word at the start; what separates it from the rest goes.
fn keyword(rest: &str) -> Option<(Phase<'static>, &str)> {
    let (word, phase) = KEYWORDS.iter().find(|(word, _)| rest.starts_with(word))?;
    let tail = rest.get(word.len()..)?;
    if tail.starts_with(|c: char| c.is_alphanumeric() || c == '_') {
        return None;
    }
    Some((phase.clone(), tail.trim_start_matches(separates)))
}

fn separates(c: char) -> bool {
    matches!(c, ' ' | '\t' | '-' | '–' | '—' | ':' | ',')
}

/// The first ` - ` that a key follows begins the payload.
fn split_payload(rest: &str) -> (&str, &str) {
    for dash in memchr_iter(b'-', rest.as_bytes()) {
        let (before, behind) = (rest.get(..dash), rest.get(dash + 1..));
        let (Some(before), Some(behind)) = (before, behind) else {
            continue;
        };
        if !before.ends_with(' ') || !behind.starts_with(' ') {
            continue;
        }
        let payload = behind.trim_ascii_start();
        if payload::key(payload).is_some() {
            return (before.trim_ascii_end(), payload);
        }
    }
    (rest, "")
}
