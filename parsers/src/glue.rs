//! Owns the taking apart of glued lines: Modal's CLI flushes a partial line at the end of a poll, and
//! the next line follows without a newline between.
//! Refuses to split inside quotes: an answer may quote a whole line.
//! Invariant: every byte of the line but the prefixes ends up in exactly one piece.

use std::borrow::Cow;

use memchr::{memchr2_iter, memmem};

use crate::envelope::{Prefix, find_second, modal_prefix};
use crate::fields::Value;
use crate::header::{self, Header};
use crate::quotes::Quotes;
use crate::record::{Envelope, Phase};
use crate::rejoin;
use crate::trace_line::{self, MARKER};

/// Headers in a line that are considered, and bytes before a time without ids that are read again:
/// real lines have a handful and some hundred, and both bounds keep hostile ones linear.
const HEADERS_MAX: usize = 64;
const BEFORE_MAX: usize = 4096;

/// A part of a line that is a line of its own.
#[derive(Debug)]
pub(crate) struct Piece<'a> {
    pub(crate) envelope: Envelope<'a>,
    pub(crate) message: Cow<'a, str>,
}

/// Takes apart what stands behind a line's first prefix. `None`, the common case, means that it is
/// one line.
pub(crate) fn split<'a>(envelope: &Envelope<'a>, message: &'a str) -> Option<Vec<Piece<'a>>> {
    if is_surely_one(message) {
        return None;
    }
    let lines = match find_second(message) {
        Some(first) => split_at_prefixes(envelope, message, first),
        None => vec![Piece {
            envelope: envelope.clone(),
            message: Cow::Borrowed(message),
        }],
    };
    let pieces: Vec<_> = lines.into_iter().flat_map(split_at_header).collect();
    let changed = pieces.len() > 1 || pieces.iter().any(|piece| piece.message != message);
    changed.then_some(pieces)
}

fn split_at_prefixes<'a>(
    envelope: &Envelope<'a>,
    message: &'a str,
    first: usize,
) -> Vec<Piece<'a>> {
    let mut quotes = Quotes::new(message);
    let mut pieces = Vec::new();
    // The current piece: its envelope, what was joined to it, and the part that is still growing.
    let mut envelope = envelope.clone();
    let mut joined = String::new();
    let (mut from, mut at) = (0, Some(first));
    while let Some(start) = at {
        let Some(Prefix {
            envelope: next,
            rest,
        }) = message.get(start..).and_then(modal_prefix)
        else {
            break;
        };
        let behind = message.len() - rest.len();
        let following = find_second(rest).map(|found| behind + found);
        let text = message
            .get(behind..following.unwrap_or(message.len()))
            .unwrap_or("");
        let part = message.get(from..start).unwrap_or("");
        at = following;
        if quotes.cover(start) || !is_glue(&envelope, &next, part, text) {
            continue;
        }
        let bare = envelope.is_empty();
        let starts_line = header_begins(text);
        joined.push_str(part);
        from = behind;
        if (bare || rejoin::same_source(&envelope, &next)) && !starts_line {
            if bare {
                envelope = next;
            }
            continue;
        }
        let message = Cow::Owned(std::mem::take(&mut joined));
        pieces.push(Piece {
            envelope: std::mem::replace(&mut envelope, next),
            message,
        });
    }
    let tail = message.get(from..).unwrap_or("");
    let message = if joined.is_empty() {
        Cow::Borrowed(tail)
    } else {
        Cow::Owned(joined + tail)
    };
    pieces.push(Piece { envelope, message });
    pieces
}

/// Whether what looks like a prefix is one. Ids make it certain. A time alone may stand in a
/// sentence, so then the text around it must speak for it.
fn is_glue(envelope: &Envelope<'_>, next: &Envelope<'_>, before: &str, text: &str) -> bool {
    if next.container_id.is_some() || next.function_call_id.is_some() || next.function_id.is_some()
    {
        return true;
    }
    let has_ids = envelope.container_id.is_some() || envelope.function_call_id.is_some();
    let adjoins = before.ends_with(|c: char| c.is_alphanumeric() || c == '|');
    header_begins(text)
        || text.trim().is_empty()
        || (!has_ids
            && (adjoins
                || before.is_empty()
                || (before.len() < BEFORE_MAX && rejoin::is_cut(before))))
}

fn header_begins(text: &str) -> bool {
    matches!(header::find(text), Header::At(_))
}

/// Whether there are neither the two colons of a time in a message nor two markers. Asked of every line, so
/// both are looked for at once; brackets are rare in a trace line, so looking at each is cheaper than setting
/// up a search for the word.
fn is_surely_one(message: &str) -> bool {
    let bytes = message.as_bytes();
    let mut markers = 0;
    memchr2_iter(b':', b'[', bytes).all(|at| {
        if bytes.get(at) == Some(&b':') {
            return bytes.get(at + 3) != Some(&b':');
        }
        let head = bytes.get(..=at);
        let ends_marker = head.is_some_and(|head| head.ends_with(MARKER.as_bytes()));
        markers += usize::from(ends_marker);
        markers < 2
    })
}

/// Splits a piece at a second header, as often as there is one.
fn split_at_header(piece: Piece<'_>) -> Vec<Piece<'_>> {
    let cuts = header_cuts(&piece.message);
    if cuts.is_empty() {
        return vec![piece];
    }
    let mut pieces = Vec::with_capacity(cuts.len() + 1);
    let mut from = 0;
    for cut in cuts.into_iter().chain([piece.message.len()]) {
        let text = piece.message.get(from..cut).unwrap_or("").to_owned();
        pieces.push(Piece {
            envelope: piece.envelope.clone(),
            message: Cow::Owned(text),
        });
        from = cut;
    }
    pieces
}

fn header_cuts(message: &str) -> Vec<usize> {
    let mut cuts = Vec::new();
    let Header::At(mut start) = header::find(message) else {
        return cuts;
    };
    let mut quotes = Quotes::new(message);
    for at in memmem::find_iter(message.as_bytes(), MARKER).take(HEADERS_MAX) {
        if at <= start || quotes.cover(at) {
            continue;
        }
        let before = message.get(start..at).unwrap_or("");
        let line = header::without_glyph(before);
        let well_formed = message
            .get(at..)
            .is_some_and(|text| trace_line::header(text).is_ok());
        if well_formed
            && ends_line(
                line,
                before.len() > before.trim_end().len() && line.len() == before.trim_end().len(),
            )
        {
            cuts.push(start + line.len());
            start = at;
        }
    }
    cuts
}

/// Whether a trace line can end here: behind a keyword or a complete payload. Behind free text it
/// can only where nothing, not even a blank, separates it from the next header.
fn ends_line(line: &str, spaced: bool) -> bool {
    let Ok(parsed) = trace_line::parse_at(line, 0) else {
        return false;
    };
    match parsed.fields.last() {
        Some(last) => match &last.value {
            Value::Text(text) => !text.contains(' ') || line.ends_with(['"', '\'']),
            _ => true,
        },
        None => !matches!(parsed.phase, Phase::Step { .. }) || !spaced,
    }
}
