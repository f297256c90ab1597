//! Owns the spelling of single values: quoted text, numbers, durations, booleans and `None`.
//! Refuses nothing: what is no other value is text.
//! Invariant: a quoted value is always text, exactly the one that was quoted.

use std::borrow::Cow;

use memchr::memchr2;
use nom::Parser;
use nom::branch::alt;
use nom::bytes::complete::{tag, take_while, take_while1};
use nom::character::complete::{char, one_of};
use nom::combinator::{all_consuming, opt, recognize, value, verify};
use nom::multi::fold_many1;

use crate::fields::Value;
use crate::timestamp::Parsed;

/// A value that stands without quotes.
pub(crate) fn bare(raw: &str) -> Value<'_> {
    let typed = match raw.as_bytes().first() {
        Some(b'0'..=b'9' | b'-' | b'.') => number_or_duration(raw),
        Some(b'T' | b'F' | b't' | b'f' | b'N' | b'i' | b'n') => word(raw),
        _ => None,
    };
    typed.unwrap_or(Value::Text(Cow::Borrowed(raw)))
}

fn word(raw: &str) -> Option<Value<'_>> {
    match raw {
        "True" | "true" => Some(Value::Bool(true)),
        "False" | "false" => Some(Value::Bool(false)),
        "None" => Some(Value::None),
        "inf" => Some(Value::Float(f64::INFINITY)),
        "nan" => Some(Value::Float(f64::NAN)),
        _ => None,
    }
}

fn number_or_duration(raw: &str) -> Option<Value<'_>> {
    if raw == "-inf" {
        return Some(Value::Float(f64::NEG_INFINITY));
    }
    if let Some(n) = integer(raw) {
        return Some(Value::Int(n));
    }
    if let Some(micros) = duration(raw) {
        return Some(Value::Duration {
            micros,
            raw: Cow::Borrowed(raw),
        });
    }
    all_consuming(float)
        .parse(raw)
        .ok()
        .and_then(|(_, text)| text.parse().ok().map(Value::Float))
}

/// No sign but minus and no leading zeros: `007` and `+1` are somebody's text, and a number must
/// print as it was written.
fn integer(raw: &str) -> Option<i64> {
    let digits = raw.strip_prefix('-').unwrap_or(raw);
    let plain = digits.bytes().all(|b| b.is_ascii_digit());
    let padded = digits.len() > 1 && digits.starts_with('0');
    if plain && !padded && raw != "-0" {
        raw.parse().ok()
    } else {
        None
    }
}

/// Needs a point, or a sign in the exponent: `12e45678` is the head of a hash.
fn float(input: &str) -> Parsed<'_, &str> {
    let exponent = (one_of("eE"), opt(one_of("+-")), digits);
    let signed_exponent = (one_of("eE"), one_of("+-"), digits);
    alt((
        recognize((opt(char('-')), digits, char('.'), digits, opt(exponent))),
        recognize((opt(char('-')), digits, signed_exponent)),
        recognize((
            opt(char('-')),
            digits,
            tag("e"),
            verify(digits, |d: &str| d.len() <= 3),
        )),
    ))
    .parse(input)
}

fn digits(input: &str) -> Parsed<'_, &str> {
    take_while1(|c: char| c.is_ascii_digit()).parse(input)
}

/// One or more numbers with units, such as `2.45s`, `156ms` or `1h2m3.5s`, in microseconds.
pub(crate) fn duration(raw: &str) -> Option<i64> {
    let (negative, body) = match raw.strip_prefix('-') {
        Some(body) => (true, body),
        None => (false, raw),
    };
    let (_, micros) = all_consuming(fold_many1(part, || 0.0, |sum, part| sum + part))
        .parse(body)
        .ok()?;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "saturates, which no real span reaches"
    )]
    let micros = micros.round() as i64;
    Some(if negative { -micros } else { micros })
}

fn part(input: &str) -> Parsed<'_, f64> {
    let (rest, number) = amount(input)?;
    let (rest, unit) = alt((
        value(0.001, tag("ns")),
        value(1.0, alt((tag("µs"), tag("μs"), tag("us")))),
        value(1_000.0, tag("ms")),
        value(1_000_000.0, tag("s")),
        value(60_000_000.0, tag("m")),
        value(3_600_000_000.0, tag("h")),
    ))
    .parse(rest)?;
    Ok((rest, number * unit))
}

/// Read by hand: the general conversion of text to float costs more than the rest of a short line.
fn amount(input: &str) -> Parsed<'_, f64> {
    let bytes = input.as_bytes();
    let (mut mantissa, mut scale, mut at, mut point) = (0.0_f64, 1.0_f64, 0, false);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'0'..=b'9' => {
                mantissa = mantissa * 10.0 + f64::from(byte - b'0');
                if point {
                    scale *= 10.0;
                }
            }
            b'.' if at > 0 && !point => point = true,
            _ => break,
        }
        at += 1;
    }
    match (at, input.split_at_checked(at)) {
        (1.., Some((_, rest))) => Ok((rest, mantissa / scale)),
        _ => Err(nom::Err::Error(())),
    }
}

/// Text between double quotes (JSON's escapes) or single quotes (Python's).
pub(crate) fn quoted(input: &str) -> Parsed<'_, Cow<'_, str>> {
    let (mut rest, quote) = one_of("\"'").parse(input)?;
    let mut unescaped: Option<String> = None;
    loop {
        let stop = memchr2(quote as u8, b'\\', rest.as_bytes()).ok_or(nom::Err::Error(()))?;
        let (plain, tail) = rest.split_at_checked(stop).ok_or(nom::Err::Error(()))?;
        if tail.starts_with(quote) {
            let text = match unescaped {
                None => Cow::Borrowed(plain),
                Some(mut text) => {
                    text.push_str(plain);
                    Cow::Owned(text)
                }
            };
            return Ok((tail.get(1..).unwrap_or(""), text));
        }
        let text = unescaped.get_or_insert_default();
        text.push_str(plain);
        rest = escape(tail, text)?;
    }
}

/// One escape. An unknown one stays as it is, backslash included, as in Python.
fn escape<'a>(input: &'a str, text: &mut String) -> Result<&'a str, nom::Err<()>> {
    let mut chars = input.chars();
    chars.next();
    let letter = chars.next().ok_or(nom::Err::Error(()))?;
    match letter {
        'n' => text.push('\n'),
        'r' => text.push('\r'),
        't' => text.push('\t'),
        'b' => text.push('\u{8}'),
        'f' => text.push('\u{c}'),
        '\\' | '"' | '\'' | '/' => text.push(letter),
        'x' | 'u' | 'U' => {
            let width = match letter {
                'x' => 2,
                'u' => 4,
                _ => 8,
            };
            match hex_escape(chars.as_str(), width) {
                Some((c, rest)) => {
                    text.push(c);
                    return Ok(rest);
                }
                None => text.extend(['\\', letter]),
            }
        }
        _ => text.extend(['\\', letter]),
    }
    Ok(chars.as_str())
}

/// The character of a hexadecimal escape. Two halves of a surrogate pair are one character, a half
/// alone is the replacement character.
fn hex_escape(input: &str, width: usize) -> Option<(char, &str)> {
    let (code, rest) = hex(input, width)?;
    if let 0xd800..=0xdbff = code
        && let Some((low @ 0xdc00..=0xdfff, rest)) =
            rest.strip_prefix("\\u").and_then(|rest| hex(rest, 4))
    {
        let c = char::from_u32(0x1_0000 + ((code - 0xd800) << 10) + (low - 0xdc00))?;
        return Some((c, rest));
    }
    match code {
        0xd800..=0xdfff => Some((char::REPLACEMENT_CHARACTER, rest)),
        _ => Some((char::from_u32(code)?, rest)),
    }
}

fn hex(input: &str, width: usize) -> Option<(u32, &str)> {
    let (digits, rest) = input.split_at_checked(width)?;
    let plain: Parsed<'_, &str> =
        all_consuming(take_while(|c: char| c.is_ascii_hexdigit())).parse(digits);
    plain.ok()?;
    Some((u32::from_str_radix(digits, 16).ok()?, rest))
}
