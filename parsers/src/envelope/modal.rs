//! Owns the prefix that Modal's CLI prints: a time and ids, in any combination.
//! Refuses a time without zone and ids without their two-letter kinds.
//! Invariant: the prefix ends behind exactly one space, so that what follows keeps its own blanks.

use std::borrow::Cow;

use memchr::memchr_iter;

use crate::bytes::every_byte;
use crate::record::{Envelope, Precision, Timestamp};
use crate::timestamp;

/// `YYYY-MM-DD HH:MM:SS` has its first colon here.
const COLON: usize = 13;
/// Modal's ids are so many letters and digits.
const ULID: usize = 26;

/// A prefix and the text behind it.
pub(crate) struct Prefix<'a> {
    pub(crate) envelope: Envelope<'a>,
    pub(crate) rest: &'a str,
}

/// Reads the prefix at the start of a text: a time, ids, or both.
pub(crate) fn modal_prefix(text: &str) -> Option<Prefix<'_>> {
    let mut envelope = Envelope::default();
    let mut rest = text;
    if let Some((time, tail)) = modal_time(text) {
        envelope.timestamp = Some(time);
        rest = tail;
    }
    let timed = rest;
    while let Some((id, tail)) = id(rest) {
        match id.as_bytes().first() {
            Some(b'f') if id.starts_with("fu") => envelope.function_id = Some(Cow::Borrowed(id)),
            Some(b'f') => envelope.function_call_id = Some(Cow::Borrowed(id)),
            Some(b't') => envelope.container_id = Some(Cow::Borrowed(id)),
            _ => {}
        }
        rest = tail;
    }
    // Modal prints a blank between date and time; with a `T` the line is somebody else's.
    let known = rest.len() < timed.len() || (envelope.timestamp.is_some() && is_blank_time(text));
    known.then_some(Prefix { envelope, rest })
}

fn is_blank_time(text: &str) -> bool {
    text.as_bytes().get(10) == Some(&b' ')
}

/// A time with zone and one blank. Lines come in runs of one second, in one of two spellings; what
/// the general parser costs is left to `timestamp`.
fn modal_time(text: &str) -> Option<(Timestamp, &str)> {
    if !text.as_bytes().first().is_some_and(u8::is_ascii_digit) {
        return None;
    }
    let (rest, time) = timestamp::zoned_datetime(text).ok()?;
    let rest = rest
        .strip_prefix(' ')
        .or_else(|| rest.is_empty().then_some(rest))?;
    Some((time, rest))
}

/// `fu-…`, `fc-…`, `ta-…`, and the `ap-` and `in-` of other flags, each with one blank behind it.
fn id(text: &str) -> Option<(&str, &str)> {
    let bytes = text.as_bytes();
    if !matches!(
        bytes.get(..3),
        Some(b"fu-" | b"fc-" | b"ta-" | b"ap-" | b"in-")
    ) {
        return None;
    }
    let word = bytes.get(3..)?;
    let ulid = word
        .first_chunk::<ULID>()
        .filter(|_| word.get(ULID) == Some(&b' '));
    let end = if ulid.is_some_and(|ulid| every_byte(ulid, |b| b.is_ascii_alphanumeric())) {
        ULID
    } else {
        let end = word.iter().position(|b| !b.is_ascii_alphanumeric());
        end.unwrap_or(word.len())
    };
    let end = 3 + end;
    let id = text.get(..end).filter(|_| end > 3)?;
    let tail = text.get(end..)?;
    Some((
        id,
        tail.strip_prefix(' ')
            .or_else(|| tail.is_empty().then_some(tail))?,
    ))
}

/// Finds the first whole-second Modal prefix with a time in a text that stands behind a prefix (or
/// has none): a line that the CLI glued on. Gives where it begins.
pub(crate) fn find_second(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    memchr_iter(b':', bytes).find_map(|colon| {
        if bytes.get(colon + 3) != Some(&b':') {
            return None;
        }
        let start = colon.checked_sub(COLON)?;
        if bytes.get(start + 10) != Some(&b' ') {
            return None;
        }
        let (time, _) = modal_time(text.get(start..)?)?;
        (time.precision == Precision::Second).then_some(start)
    })
}
