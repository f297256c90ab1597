//! Owns the payload grammar: `key=value, key=value`, and where one value ends and the next begins.
//! Refuses nothing: every text is some payload, at worst one value under the caller's key.
//! Invariant: reading takes time linear in the payload, whatever its quotes and brackets do.

use std::borrow::Cow;

use memchr::{memchr, memchr_iter, memrchr};

use crate::bytes::Class;
use crate::fields::{Fields, Value};
use crate::values::{bare, quoted};

/// Keys whose unquoted value is prose that may hold commas, `=` and look-alikes of further fields.
const PROSE_KEYS: [&str; 5] = ["error", "error_message", "message", "reason", "detail"];

/// Keys that may follow unquoted prose. A closed list, because `, b=2` may as well be prose.
const TAIL_KEYS: [&str; 18] = [
    "duration",
    "duration_ms",
    "elapsed",
    "elapsed_ms",
    "latency",
    "latency_ms",
    "tokens",
    "model",
    "region",
    "trace_id",
    "execution_id",
    "job_id",
    "parent",
    "attempt",
    "attempts",
    "retries",
    "error_type",
    "container",
];

/// Unclosed openers that are tried as ordinary text before the rest of a payload is read without
/// regard to quotes and brackets. Each costs a look at the whole rest.
const UNCLOSED_MAX: usize = 8;

/// A key and what stands behind its `=`.
type Pair<'a> = (&'a str, &'a str);

/// Where a value ends and where the next key begins (the payload's end when there is none), and that key.
struct Boundary<'a> {
    end: usize,
    next: usize,
    pair: Option<Pair<'a>>,
}

/// Reads a payload; text before the first key becomes the value of `free_key`.
pub(crate) fn read<'a>(payload: &'a str, free_key: &'static str) -> Fields<'a> {
    let mut fields = Fields::default();
    let rest = payload.trim_ascii();
    let mut next = key(rest);
    if next.is_none() && !rest.is_empty() {
        let boundary = prose_end(rest);
        let text = rest.get(..boundary.end).unwrap_or(rest).trim_ascii_end();
        fields.push(Cow::Borrowed(free_key), Value::Text(Cow::Borrowed(text)));
        next = boundary.pair;
    }
    let mut unclosed = 0;
    while let Some((name, rest)) = next {
        let (value, behind) = field_value(name, rest, &mut unclosed);
        fields.push(Cow::Borrowed(name), value);
        next = behind;
    }
    fields
}

/// The key that a text begins with.
pub(crate) fn key(text: &str) -> Option<Pair<'_>> {
    let bytes = text.as_bytes();
    if !bytes
        .first()
        .is_some_and(|b| b.is_ascii_alphabetic() || *b == b'_')
    {
        return None;
    }
    let end = bytes.iter().position(|b| !is_key_byte(*b))?;
    // `==` is a comparison in a message.
    if bytes.get(end) != Some(&b'=') || bytes.get(end + 1) == Some(&b'=') {
        return None;
    }
    Some((text.get(..end)?, text.get(end + 1..)?))
}

/// Whether a word is the beginning, or the whole, of a key that lines usually carry.
pub(crate) fn begins_common_key(word: &str) -> bool {
    !word.is_empty()
        && PROSE_KEYS
            .iter()
            .chain(&TAIL_KEYS)
            .any(|key| key.starts_with(word))
}

pub(crate) fn is_key_byte(byte: u8) -> bool {
    const IN_KEYS: Class = Class::alphanumeric_or(b"_.-");
    IN_KEYS.has(byte)
}

/// What an emitter prints without quotes.
fn is_simple(value: &str) -> bool {
    const SIMPLE: Class = Class::alphanumeric_or(b"_.:/@+-");
    value.bytes().all(|byte| SIMPLE.has(byte))
}

/// The value that a text begins with, and the next key.
fn field_value<'a>(
    name: &str,
    text: &'a str,
    unclosed: &mut usize,
) -> (Value<'a>, Option<Pair<'a>>) {
    if text.starts_with(['"', '\''])
        && let Ok((rest, value)) = quoted(text)
        && let Some(next) = behind_quoted(rest)
    {
        return (Value::Text(value), next);
    }
    let mut boundary = next_key(text, 0).unwrap_or(whole(text));
    let raw = text.get(..boundary.end).unwrap_or(text);
    if !is_simple(raw) {
        boundary = if PROSE_KEYS.contains(&name) {
            prose_end(text)
        } else {
            value_end(text, unclosed)
        };
    }
    let raw = text.get(..boundary.end).unwrap_or(text).trim_ascii_end();
    (bare(raw), boundary.pair)
}

/// After a closing quote only the next field or the end may follow; otherwise the quotes were part
/// of a longer text.
fn behind_quoted(rest: &str) -> Option<Option<Pair<'_>>> {
    let rest = rest.trim_ascii_start();
    if rest.is_empty() {
        return Some(None);
    }
    let rest = rest.strip_prefix(',')?.trim_ascii_start();
    let next = key(rest);
    (rest.is_empty() || next.is_some()).then_some(next)
}

const fn whole(text: &str) -> Boundary<'_> {
    Boundary {
        end: text.len(),
        next: text.len(),
        pair: None,
    }
}

/// The first `, key=` at or after `from`.
fn next_key(text: &str, from: usize) -> Option<Boundary<'_>> {
    let bytes = text.as_bytes();
    let mut at = from;
    loop {
        at += memchr(b',', bytes.get(at..)?)?;
        if let Some(boundary) = boundary_at(text, at) {
            return Some(boundary);
        }
        at += 1;
    }
}

/// Whether the comma at `comma` is followed by blanks and a key.
fn boundary_at(text: &str, comma: usize) -> Option<Boundary<'_>> {
    let behind = text.get(comma + 1..)?;
    let rest = behind.trim_ascii_start();
    if rest.len() == behind.len() {
        return None;
    }
    Some(Boundary {
        end: comma,
        next: text.len() - rest.len(),
        pair: Some(key(rest)?),
    })
}

/// The end of a text value: the next `, key=` outside quotes and brackets. An opener that is never
/// closed is ordinary text.
fn value_end<'a>(text: &'a str, unclosed: &mut usize) -> Boundary<'a> {
    let mut literal_before = 0;
    while *unclosed < UNCLOSED_MAX {
        match balanced_end(text, literal_before) {
            Ok(boundary) => return boundary,
            Err(opener) => literal_before = opener + 1,
        }
        *unclosed += 1;
    }
    next_key(text, 0).unwrap_or(whole(text))
}

/// Fails with the position of an opener that nothing closes.
fn balanced_end(text: &str, literal_before: usize) -> Result<Boundary<'_>, usize> {
    let bytes = text.as_bytes();
    let (mut depth, mut outermost) = (0_usize, 0);
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' | b'\'' if at >= literal_before && opens_quote(bytes, at) => {
                at = closing_quote(bytes, at).ok_or(at)?;
            }
            b'(' | b'[' | b'{' if at >= literal_before => {
                if depth == 0 {
                    outermost = at;
                }
                depth += 1;
            }
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => {
                if let Some(boundary) = boundary_at(text, at) {
                    return Ok(boundary);
                }
            }
            _ => {}
        }
        at += 1;
    }
    if depth > 0 {
        Err(outermost)
    } else {
        Ok(whole(text))
    }
}

/// A quote opens where no word precedes it: the apostrophe of `can't` does not.
pub(crate) fn opens_quote(bytes: &[u8], at: usize) -> bool {
    let before = at.checked_sub(1).and_then(|i| bytes.get(i));
    !before.is_some_and(|b| b.is_ascii_alphanumeric() || *b >= 0x80 || *b == b'\\')
}

/// The matching quote: unescaped, and in the case of `'` not in the middle of a word.
pub(crate) fn closing_quote(bytes: &[u8], open: usize) -> Option<usize> {
    let quote = *bytes.get(open)?;
    memchr_iter(quote, bytes.get(open + 1..)?)
        .map(|i| open + 1 + i)
        .find(|&at| {
            let escapes = bytes.get(open + 1..at).map_or(0, |inside| {
                inside.iter().rev().take_while(|b| **b == b'\\').count()
            });
            let in_word = quote == b'\''
                && bytes
                    .get(at + 1)
                    .is_some_and(|b| b.is_ascii_alphanumeric() || *b >= 0x80);
            escapes % 2 == 0 && !in_word
        })
}

/// The end of unquoted prose. The fields behind it are read from the right as long as they are
/// plain; the leftmost key among them that may follow prose ends it.
fn prose_end(text: &str) -> Boundary<'_> {
    let (mut boundary, mut end) = (whole(text), text.len());
    while let Some(comma) = text
        .as_bytes()
        .get(..end)
        .and_then(|head| memrchr(b',', head))
    {
        let Some(found) = boundary_at(text, comma) else {
            break;
        };
        let Some((name, value)) = text.get(found.next..end).and_then(key) else {
            break;
        };
        let quoted = quoted(value).is_ok_and(|(rest, _)| rest.trim_ascii().is_empty());
        if !is_simple(value.trim_ascii_end()) && !quoted {
            break;
        }
        if TAIL_KEYS.contains(&name) {
            boundary = found;
        }
        end = comma;
    }
    boundary
}
