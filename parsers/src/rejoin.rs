//! Owns lines that came in halves: a trace line that evidently lacks its end waits for it.
//! Refuses to guess: what does not read better when joined is handed out as it came.
//! Invariant: what waits is bounded in number, and by the lines and bytes that passed since.

use std::collections::VecDeque;

use memchr::memchr;

use crate::fields::Value;
use crate::header::{self, Header};
use crate::payload;
use crate::record::{Envelope, Phase, TraceLine};
use crate::trace_line::{self, KEYWORDS, MARKER};

/// Half lines that may wait at a time: more than containers write in one instant.
const WAITING_MAX: usize = 32;
/// Lines of the same source that may come between the halves (the other output's, mostly).
const MISFITS_MAX: u8 = 3;
/// Pieces that one line may come in.
const PIECES_MAX: u8 = 8;
/// Names that a payload can be cut in; longer words are prose.
const KEY_MAX: usize = 24;

/// How a line shows that it lacks its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    Header,
    Keyword,
    Started,
    Separator,
    Key,
    Value,
    Unit,
    Quote,
}

/// A half line, and where it stood.
pub(crate) struct Half {
    pub(crate) envelope: Envelope<'static>,
    pub(crate) message: String,
    pub(crate) start: u64,
    pub(crate) end: u64,
    cut: Cut,
    line: u64,
    misfits: u8,
    pieces: u8,
}

/// The half lines that wait, the oldest first.
#[derive(Default)]
pub(crate) struct Waiting {
    halves: VecDeque<Half>,
}

/// What a line does to the half that waits for it.
pub(crate) enum Fit {
    /// Nothing waits for it.
    Unrelated,
    /// It is the rest: the joined line, which may itself lack its end.
    Rest(Half),
    /// It is not, and nothing will be: the half as it came.
    Never(Half),
}

impl Waiting {
    pub(crate) fn is_empty(&self) -> bool {
        self.halves.is_empty()
    }

    /// Where the oldest half begins.
    pub(crate) fn start(&self) -> Option<u64> {
        self.halves.iter().map(|half| half.start).min()
    }

    /// Lets a half wait; gives back another one when there are too many.
    pub(crate) fn hold(&mut self, half: Half) -> Option<Half> {
        self.halves.push_back(half);
        if self.halves.len() > WAITING_MAX {
            self.halves.pop_front()
        } else {
            None
        }
    }

    /// Gives back the oldest half when it began before `start` or `line`.
    pub(crate) fn expired(&mut self, start: u64, line: u64) -> Option<Half> {
        let oldest = self.halves.front()?;
        if oldest.start < start || oldest.line < line {
            self.halves.pop_front()
        } else {
            None
        }
    }

    /// Gives back the oldest half, whatever its age.
    pub(crate) fn release(&mut self) -> Option<Half> {
        self.halves.pop_front()
    }

    /// Offers a line to the half of the same source. Without ids only the directly following line
    /// is taken for the rest.
    pub(crate) fn offer(
        &mut self,
        envelope: &Envelope<'_>,
        message: &str,
        is_header: bool,
        line: u64,
        end: u64,
    ) -> Fit {
        let same = |half: &Half| same_source(&half.envelope, envelope);
        let Some(index) = self.halves.iter().position(same) else {
            return Fit::Unrelated;
        };
        let Some(mut half) = self.halves.remove(index) else {
            return Fit::Unrelated;
        };
        let adjoins = has_source(envelope) || half.line + 1 >= line;
        if is_header || !adjoins || half.pieces >= PIECES_MAX {
            return Fit::Never(half);
        }
        let joined = [half.message.as_str(), message].concat();
        if reads_better(&half.message, half.cut, message, &joined) {
            half.message = joined;
            half.pieces += 1;
            (half.end, half.line) = (end, line);
            return Fit::Rest(half);
        }
        half.misfits += 1;
        if half.misfits > MISFITS_MAX || !has_source(envelope) {
            return Fit::Never(half);
        }
        self.halves.insert(index, half);
        Fit::Unrelated
    }
}

impl Half {
    pub(crate) fn new(
        envelope: &Envelope<'_>,
        message: &str,
        cut: Cut,
        (start, end): (u64, u64),
        line: u64,
    ) -> Self {
        let envelope = envelope.clone().into_owned();
        Self {
            envelope,
            message: message.to_owned(),
            start,
            end,
            cut,
            line,
            misfits: 0,
            pieces: 1,
        }
    }

    pub(crate) fn cut_again(self, cut: Cut) -> Self {
        Self { cut, ..self }
    }
}

/// Whether two lines come from the same container and call.
pub(crate) fn same_source(a: &Envelope<'_>, b: &Envelope<'_>) -> bool {
    a.container_id == b.container_id && a.function_call_id == b.function_call_id
}

pub(crate) fn has_source(envelope: &Envelope<'_>) -> bool {
    envelope.container_id.is_some() || envelope.function_call_id.is_some()
}

/// Whether a message is a trace line without its end.
pub(crate) fn is_cut(message: &str) -> bool {
    match header::find(message) {
        Header::At(start) => match trace_line::parse_at(message, start) {
            Ok(line) => cut(&line).is_some(),
            Err(_) => cut_header(message, Some(start)),
        },
        _ => cut_header(message, None),
    }
}

/// Whether a message that is no trace line ends inside a header.
pub(crate) fn cut_header(message: &str, start: Option<usize>) -> bool {
    if let Some(start) = start {
        let text = message.get(start..).unwrap_or("").trim_end();
        let id = text.strip_prefix(MARKER).unwrap_or(text);
        let word = id.trim_end_matches(':').trim_end_matches(']');
        return id.len() - word.len() <= 2
            && word
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    }
    let message = message.trim();
    match message.strip_prefix(['🔍', '🔎']) {
        Some(rest) => MARKER.starts_with(rest.trim_start_matches('\u{fe0f}').trim_start()),
        None => false,
    }
}

/// Whether, and how, a trace line lacks its end.
pub(crate) fn cut(line: &TraceLine<'_>) -> Option<Cut> {
    let text = line.text.as_ref();
    let last = line.fields.last();
    if last
        .and_then(|last| last.value.as_text())
        .is_some_and(|value| quote_is_open(text, value))
    {
        return Some(Cut::Quote);
    }
    if text.ends_with(',') || text.ends_with(" -") {
        return Some(Cut::Separator);
    }
    let Some(last) = last else {
        return match &line.phase {
            Phase::Step { text } => cut_step(text),
            _ => None,
        };
    };
    match &last.value {
        Value::Int(_) | Value::Float(_) if last.key == "duration" => Some(Cut::Unit),
        Value::Text(value) if last.key == "duration" && starts_number(value) => Some(Cut::Unit),
        Value::Text(value) if value.is_empty() && text.ends_with('=') => Some(Cut::Value),
        Value::Text(value) => (cut_key(text, value)).then_some(Cut::Key),
        _ => None,
    }
}

/// An opening quote can only be part of a value when nothing closed it.
fn quote_is_open(text: &str, value: &str) -> bool {
    value.starts_with('"')
        && text
            .strip_suffix(value)
            .is_some_and(|head| head.ends_with('='))
}

fn starts_number(value: &str) -> bool {
    value.starts_with(|c: char| c.is_ascii_digit()) && value.len() < KEY_MAX
}

fn cut_step(text: &str) -> Option<Cut> {
    if KEYWORDS
        .iter()
        .any(|(word, _)| word.len() > text.len() && word.starts_with(text))
    {
        return Some(Cut::Keyword);
    }
    let (before, last) = text.rsplit_once(' ').unwrap_or(("", text));
    if before.ends_with(" -") && payload::begins_common_key(last) {
        return Some(Cut::Key);
    }
    (last.len() >= 2 && last.len() < 7 && "started".starts_with(last)).then_some(Cut::Started)
}

/// The last segment of the text is the beginning of a key: a word behind a comma, or the only word
/// behind ` - ` when it begins a key that lines usually carry (`FAILED - timeout` is complete).
fn cut_key(text: &str, value: &str) -> bool {
    let only = || {
        text.strip_suffix(value)
            .is_some_and(|head| head.ends_with(" - "))
            && payload::begins_common_key(value)
    };
    (memchr(b',', value.as_bytes()).is_some() || only()) && is_key(last_segment(text))
}

fn last_segment(text: &str) -> &str {
    let comma = text.rfind(", ").map(|at| at + 2);
    let dash = text.rfind(" - ").map(|at| at + 3);
    text.get(comma.max(dash).unwrap_or(text.len())..)
        .unwrap_or("")
}

fn is_key(word: &str) -> bool {
    (1..=KEY_MAX).contains(&word.len()) && word.bytes().all(payload::is_key_byte)
}

fn reads_better(first: &str, cut_first: Cut, rest: &str, joined: &str) -> bool {
    let Header::At(start) = header::find(joined) else {
        return cut_first == Cut::Header && !rest.is_empty() && cut_header(joined, None);
    };
    let Ok(line) = trace_line::parse_at(joined, start) else {
        return cut_first == Cut::Header && !rest.is_empty() && cut_header(joined, Some(start));
    };
    let now = cut(&line);
    match cut_first {
        Cut::Header => true,
        Cut::Keyword => !matches!(line.phase, Phase::Step { .. }) || now == Some(Cut::Keyword),
        Cut::Started => matches!(line.phase, Phase::Started { .. }) || now == Some(Cut::Started),
        Cut::Separator => {
            payload::key(rest.trim_start()).is_some()
                || (is_key(rest.trim()) && now == Some(Cut::Key))
        }
        Cut::Key => {
            let key = [last_segment(first), rest].concat();
            payload::key(&key).is_some()
        }
        Cut::Value => !rest.is_empty() && !rest.starts_with(['[', ' ', '\t']),
        Cut::Unit => matches!(line.fields.get("duration"), Some(Value::Duration { .. })),
        Cut::Quote => now != Some(Cut::Quote),
    }
}
