//! Owns the text prefixes of other log shippers.
//! Refuses guesses: a prefix that is not wholly recognised is left to the message, where the
//! header's own rule still finds a trace line.
//! Invariant: the message begins behind the prefix's last separator.

use std::borrow::Cow;

use nom::Parser;
use nom::branch::alt;
use nom::bytes::complete::{tag, take_while1};
use nom::character::complete::{char, digit1, one_of, space0, space1};
use nom::combinator::{map_opt, opt, peek, recognize, verify};
use nom::sequence::{delimited, preceded, terminated};

use super::{Form, Opened};
use crate::record::{Envelope, Severity, Stream, Timestamp};
use crate::timestamp::{self, Parsed, digits};

/// Recognises one prefix.
pub(super) fn open(line: &str) -> Option<Opened<'_>> {
    alt((
        syslog_5424,
        syslog_3164,
        kubernetes,
        fly,
        journal_iso,
        timestamped,
        compose,
    ))
    .parse(line)
    .ok()
    .map(|(_, opened)| opened)
}

fn opened<'a>(envelope: Envelope<'a>, message: &'a str, form: Form) -> Parsed<'a, Opened<'a>> {
    Ok((
        "",
        Opened {
            envelope,
            message: Cow::Borrowed(message),
            form,
        },
    ))
}

fn at(timestamp: Option<Timestamp>) -> Envelope<'static> {
    Envelope {
        timestamp,
        ..Envelope::default()
    }
}

fn word(input: &str) -> Parsed<'_, &str> {
    take_while1(|c: char| c.is_ascii_graphic()).parse(input)
}

fn time(input: &str) -> Parsed<'_, Timestamp> {
    terminated(timestamp::zoned_datetime, space1).parse(input)
}

/// `<34>1 2026-11-23T12:00:00.003Z host app 123 ID [data] message`
fn syslog_5424(input: &str) -> Parsed<'_, Opened<'_>> {
    let (rest, severity) = terminated(priority, (digit1, char(' '))).parse(input)?;
    let unknown_time = tag("-").map(|_| None);
    let (rest, time) = terminated(
        alt((timestamp::datetime.map(Some), unknown_time)),
        char(' '),
    )
    .parse(rest)?;
    let (mut rest, _) = (
        word,
        char(' '),
        word,
        char(' '),
        word,
        char(' '),
        word,
        char(' '),
    )
        .parse(rest)?;
    if let Some(tail) = rest.strip_prefix("- ") {
        rest = tail;
    } else {
        while rest.starts_with('[') {
            rest = structured_data(rest).ok_or(nom::Err::Error(()))?;
        }
        rest = rest.strip_prefix(' ').unwrap_or(rest);
    }
    opened(
        Envelope {
            severity,
            ..at(time)
        },
        rest.trim_start_matches('\u{feff}'),
        Form::Syslog,
    )
}

/// Behind one `[id key="value"]`; in a value `]` is escaped.
fn structured_data(input: &str) -> Option<&str> {
    let mut escaped = false;
    for (at, byte) in input.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b']' => return input.get(at + 1..),
            _ => {}
        }
    }
    None
}

/// `<34>Nov 23 12:00:00 host app[123]: message`, and the same without priority from the journal.
/// The year is missing, so the time is not known.
fn syslog_3164(input: &str) -> Parsed<'_, Opened<'_>> {
    let (rest, severity) = opt(priority).parse(input)?;
    let (rest, _) = (month, space1, digit1, space1, clock, char(' ')).parse(rest)?;
    let (rest, _) = (word, char(' '), program).parse(rest)?;
    opened(
        Envelope {
            severity: severity.flatten(),
            ..at(None)
        },
        rest,
        Form::Syslog,
    )
}

fn priority(input: &str) -> Parsed<'_, Option<Severity>> {
    delimited(char('<'), digit1, char('>'))
        .map(|number: &str| number.parse().ok().and_then(syslog_severity))
        .parse(input)
}

/// syslog's priority is facility times eight plus severity.
pub(super) fn syslog_severity(priority: u32) -> Option<Severity> {
    Some(match priority % 8 {
        0..=2 => Severity::Fatal,
        3 => Severity::Error,
        4 => Severity::Warn,
        5 | 6 => Severity::Info,
        _ => Severity::Debug,
    })
}

fn month(input: &str) -> Parsed<'_, &str> {
    const MONTHS: &str = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec";
    verify(nom::bytes::complete::take(3_usize), |name: &str| {
        name.is_ascii() && !name.contains(' ') && MONTHS.split(' ').any(|month| month == name)
    })
    .parse(input)
}

fn clock(input: &str) -> Parsed<'_, &str> {
    let fraction = opt((char('.'), digit1));
    recognize((
        digits::<2>,
        char(':'),
        digits::<2>,
        char(':'),
        digits::<2>,
        fraction,
    ))
    .parse(input)
}

/// `python[123]: `
fn program(input: &str) -> Parsed<'_, &str> {
    let name = take_while1(|c: char| c.is_ascii_graphic() && !"[]:".contains(c));
    let pid = opt((char('['), digit1, char(']')));
    recognize((name, pid, char(':'), one_of(" \t"))).parse(input)
}

/// `2026-11-23T12:00:00.123456789Z stdout F message`
fn kubernetes(input: &str) -> Parsed<'_, Opened<'_>> {
    let (rest, time) = time(input)?;
    let stream = alt((
        tag("stdout").map(|_| Stream::Stdout),
        tag("stderr").map(|_| Stream::Stderr),
    ));
    let (rest, stream) = terminated(stream, (char(' '), one_of("FP"), char(' '))).parse(rest)?;
    opened(
        Envelope {
            stream: Some(stream),
            ..at(Some(time))
        },
        rest,
        Form::Kubernetes,
    )
}

/// `2026-11-23T12:00:00Z app[148e21] iad [info] message`
fn fly(input: &str) -> Parsed<'_, Opened<'_>> {
    // flyctl prints times without a zone in some versions; they are UTC.
    let (rest, time) = terminated(timestamp::datetime, space1).parse(input)?;
    let machine = take_while1(|c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    let name = take_while1(|c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    let (rest, machine) = preceded(name, delimited(char('['), machine, char(']'))).parse(rest)?;
    let region = verify(word, |region: &str| {
        region.len() == 3 && region.bytes().all(|b| b.is_ascii_lowercase())
    });
    let (rest, _) = delimited(space1, region, space1).parse(rest)?;
    let (rest, severity) = terminated(bracketed_level, space0).parse(rest)?;
    let container_id = Some(Cow::Borrowed(machine));
    opened(
        Envelope {
            container_id,
            severity: Some(severity),
            ..at(Some(time))
        },
        rest,
        Form::Fly,
    )
}

/// `[info]`, `[err]`
fn bracketed_level(input: &str) -> Parsed<'_, Severity> {
    let level = take_while1(|c: char| c.is_ascii_alphabetic());
    map_opt(delimited(char('['), level, char(']')), severity).parse(input)
}

/// `2026-11-23T12:00:00+0000 host python[123]: message`
fn journal_iso(input: &str) -> Parsed<'_, Opened<'_>> {
    let (rest, time) = time(input)?;
    let (rest, _) = (
        word,
        char(' '),
        peek(verify(word, |w: &str| w.ends_with("]:"))),
        program,
    )
        .parse(rest)?;
    opened(at(Some(time)), rest, Form::Syslog)
}

/// `2026-11-23T12:00:00.123456789Z message`, with railway's `[inf]` where it stands.
fn timestamped(input: &str) -> Parsed<'_, Opened<'_>> {
    let (rest, time) = terminated(timestamp::zoned_datetime, opt(char(' '))).parse(input)?;
    let (rest, severity) =
        opt(terminated(preceded(space0, bracketed_level), space0)).parse(rest)?;
    opened(
        Envelope {
            severity,
            ..at(Some(time))
        },
        rest,
        Form::Timestamp,
    )
}

/// `web-1  | message`
fn compose(input: &str) -> Parsed<'_, Opened<'_>> {
    let name = take_while1(|c: char| c.is_ascii_alphanumeric() || "-_.".contains(c));
    let (rest, name) = terminated(name, (space1, tag("| "))).parse(input)?;
    let container_id = Some(Cow::Borrowed(name));
    opened(
        Envelope {
            container_id,
            ..Envelope::default()
        },
        rest,
        Form::Compose,
    )
}

/// A level by name, in any case.
pub(super) fn severity(name: &str) -> Option<Severity> {
    const NAMES: [(Severity, &[&str]); 6] = [
        (
            Severity::Info,
            &[
                "info",
                "inf",
                "information",
                "notice",
                "informational",
                "default",
            ],
        ),
        (Severity::Warn, &["warn", "warning", "wrn"]),
        (Severity::Error, &["error", "err", "eror"]),
        (Severity::Debug, &["debug", "dbg"]),
        (
            Severity::Fatal,
            &[
                "fatal",
                "critical",
                "crit",
                "panic",
                "alert",
                "emerg",
                "emergency",
            ],
        ),
        (Severity::Trace, &["trace", "trc", "verbose"]),
    ];
    NAMES
        .iter()
        .find(|(_, names)| names.iter().any(|known| known.eq_ignore_ascii_case(name)))
        .map(|(severity, _)| *severity)
}
