//! Owns the spellings of time: RFC 3339 and its relatives, and epoch numbers.
//! Refuses local time: a time without zone counts as UTC, which is what containers run in.
//! Invariant: a date that does not exist is no timestamp.

use nom::IResult;
use nom::Parser;
use nom::branch::alt;
use nom::character::complete::{char, one_of};
use nom::combinator::{map_opt, opt, value};
use nom::sequence::{preceded, separated_pair};

use crate::record::{Precision, Timestamp};

/// What a parser here gives; no reason is kept because another form may still fit.
pub(crate) type Parsed<'a, T> = IResult<&'a str, T, ()>;

/// `2026-11-23 12:00:00+00:00`, `2026-11-23T12:00:00.123456789Z`, `2025-01-01 10:00:00,123`.
pub(crate) fn datetime(input: &str) -> Parsed<'_, Timestamp> {
    let (input, day) = date(input)?;
    let (input, _) = one_of(" Tt_").parse(input)?;
    let (input, seconds) = time_of_day(input)?;
    let (input, (micros, precision)) = fraction(input)?;
    let (input, offset) = opt(zone).parse(input)?;
    let unix = day * 86_400 + seconds - offset.unwrap_or(0);
    Ok((
        input,
        Timestamp {
            unix_micros: unix * 1_000_000 + micros,
            precision,
        },
    ))
}

/// The same with a zone that is not optional: what tells a machine's timestamp from prose.
pub(crate) fn zoned_datetime(input: &str) -> Parsed<'_, Timestamp> {
    if let Some((time, rest)) = modal_form(input) {
        return Ok((rest, time));
    }
    let (rest, timestamp) = datetime(input)?;
    let read = input.len() - rest.len();
    let zoned = input
        .as_bytes()
        .get(19..read)
        .is_some_and(|tail| tail.iter().any(|b| matches!(b, b'Z' | b'z' | b'+' | b'-')));
    if zoned {
        Ok((rest, timestamp))
    } else {
        Err(nom::Err::Error(()))
    }
}

/// The one form that Modal's CLI prints, `2026-11-23 12:00:00+00:00`. Nearly every line begins with
/// it, and the general grammar takes a twentieth of the time for a line.
fn modal_form(input: &str) -> Option<(Timestamp, &str)> {
    const SHAPE: &[u8; 25] = b"0000-00-00 00:00:00+00:00";
    let (head, rest) = input.split_at_checked(SHAPE.len())?;
    let head: &[u8; 25] = head.as_bytes().try_into().ok()?;
    let mut fits = true;
    for (byte, shape) in head.iter().zip(SHAPE) {
        fits &= match shape {
            b'0' => byte.is_ascii_digit(),
            b'+' => matches!(byte, b'+' | b'-'),
            other => byte == other,
        };
    }
    let at = |i: usize| head.get(i).map_or(0, |byte| i64::from(*byte & 0x0f));
    let pair = |i: usize| at(i) * 10 + at(i + 1);
    let (hour, minute, second) = (pair(11), pair(14), pair(17));
    let (zone_hour, zone_minute) = (pair(20), pair(23));
    if !fits || hour > 23 || minute > 59 || second > 60 || zone_hour > 23 || zone_minute > 59 {
        return None;
    }
    let day = days_from_civil(pair(0) * 100 + pair(2), pair(5), pair(8))?;
    let east = zone_hour * 3600 + zone_minute * 60;
    let offset = if head.get(19) == Some(&b'-') {
        -east
    } else {
        east
    };
    let unix = day * 86_400 + hour * 3600 + minute * 60 + second - offset;
    Some((
        Timestamp {
            unix_micros: unix * 1_000_000,
            precision: Precision::Second,
        },
        rest,
    ))
}

/// A number of seconds, milliseconds, microseconds or nanoseconds since the epoch, told apart by
/// magnitude: each unit is a thousand times the other, and log lines are not from before 1980.
pub(crate) fn from_epoch(number: f64) -> Option<Timestamp> {
    let (scale, precision) = match number {
        n if !n.is_finite() || n < 3e8 => return None,
        n if n < 3e11 && n.fract() == 0.0 => (1e6, Precision::Second),
        n if n < 3e11 => (1e6, Precision::Micro),
        n if n < 3e14 => (1e3, Precision::Milli),
        n if n < 3e17 => (1.0, Precision::Micro),
        n if n < 3e20 => (1e-3, Precision::Micro),
        _ => return None,
    };
    #[expect(
        clippy::cast_possible_truncation,
        reason = "bounded by the match above"
    )]
    Some(Timestamp {
        unix_micros: (number * scale).round() as i64,
        precision,
    })
}

/// Exactly `N` decimal digits.
pub(crate) fn digits<const N: usize>(input: &str) -> Parsed<'_, i64> {
    let miss = nom::Err::Error(());
    let (head, rest) = input.split_at_checked(N).ok_or(miss)?;
    let mut number = 0;
    for byte in head.bytes() {
        if !byte.is_ascii_digit() {
            return Err(nom::Err::Error(()));
        }
        number = number * 10 + i64::from(byte - b'0');
    }
    Ok((rest, number))
}

fn date(input: &str) -> Parsed<'_, i64> {
    let (input, year) = digits::<4>(input)?;
    let (input, month) = preceded(one_of("-/"), digits::<2>).parse(input)?;
    map_opt(preceded(one_of("-/"), digits::<2>), |day| {
        days_from_civil(year, month, day)
    })
    .parse(input)
}

fn time_of_day(input: &str) -> Parsed<'_, i64> {
    let (input, hour) = digits::<2>(input)?;
    let (input, minute) = preceded(char(':'), digits::<2>).parse(input)?;
    // 60 is a leap second.
    map_opt(preceded(char(':'), digits::<2>), |second| {
        (hour < 24 && minute < 60 && second <= 60).then_some(hour * 3600 + minute * 60 + second)
    })
    .parse(input)
}

fn fraction(input: &str) -> Parsed<'_, (i64, Precision)> {
    let Some(tail) = input.strip_prefix(['.', ',']) else {
        return Ok((input, (0, Precision::Second)));
    };
    let width = tail.bytes().take_while(u8::is_ascii_digit).count();
    let micros = tail
        .bytes()
        .take(width)
        .chain(std::iter::repeat(b'0'))
        .take(6)
        .fold(0, |micros, digit| micros * 10 + i64::from(digit - b'0'));
    match width {
        0 => Ok((input, (0, Precision::Second))),
        1..=3 => Ok((tail.get(width..).unwrap_or(""), (micros, Precision::Milli))),
        _ => Ok((tail.get(width..).unwrap_or(""), (micros, Precision::Micro))),
    }
}

fn zone(input: &str) -> Parsed<'_, i64> {
    let hours_minutes = alt((
        separated_pair(digits::<2>, char(':'), digits::<2>),
        (digits::<2>, digits::<2>),
    ));
    let sign = alt((value(1, char('+')), value(-1, char('-'))));
    alt((
        value(0, one_of("Zz")),
        map_opt((sign, hours_minutes), |(sign, (hours, minutes))| {
            (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
        }),
    ))
    .parse(input)
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar; years are counted from March so that
/// the leap day is the last.
fn days_from_civil(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if day < 1 || day > length {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(text: &str) -> Option<(i64, Precision)> {
        datetime(text)
            .ok()
            .map(|(_, t)| (t.unix_micros, t.precision))
    }

    #[test]
    fn zones_fractions_and_separators_are_understood() {
        let noon = 1_795_435_200_000_000;
        assert_eq!(
            micros("2026-11-23 12:00:00+00:00"),
            Some((noon, Precision::Second))
        );
        assert_eq!(
            micros("2026-11-23 07:00:00-05:00"),
            Some((noon, Precision::Second))
        );
        assert_eq!(
            micros("2026-11-23T17:30:00+0530"),
            Some((noon, Precision::Second))
        );
        assert_eq!(
            micros("2026-11-23T12:00:00.123456789Z"),
            Some((noon + 123_456, Precision::Micro))
        );
        assert_eq!(
            micros("2026-11-23 12:00:00,12"),
            Some((noon + 120_000, Precision::Milli))
        );
        assert_eq!(
            micros("1969-12-31T23:59:59Z"),
            Some((-1_000_000, Precision::Second))
        );
        assert_eq!(
            micros("2024-02-29T00:00:00Z"),
            Some((1_709_164_800_000_000, Precision::Second))
        );
    }

    #[test]
    fn dates_that_do_not_exist_are_refused() {
        for text in [
            "2026-02-29 00:00:00Z",
            "2026-13-01 00:00:00Z",
            "2026-01-01 24:00:00Z",
            "2026-1-1",
        ] {
            assert_eq!(micros(text), None, "{text}");
        }
    }

    #[test]
    fn modals_form_is_read_as_the_general_grammar_reads_it() {
        let form = "2026-11-23 12:00:00+00:00";
        assert!(modal_form(form).is_some());
        for at in 0..form.len() {
            for byte in 0..128 {
                let mut text = form.as_bytes().to_vec();
                text[at] = byte;
                let text = String::from_utf8(text).unwrap();
                if let Some((time, rest)) = modal_form(&text) {
                    assert_eq!(datetime(&text), Ok((rest, time)), "{text}");
                }
            }
        }
    }

    #[test]
    fn a_zone_can_be_asked_for() {
        assert!(zoned_datetime("2026-11-23 12:00:00Z x").is_ok());
        assert!(zoned_datetime("2026-11-23 12:00:00 x").is_err());
    }

    #[test]
    fn epoch_numbers_are_told_apart_by_magnitude() {
        for number in [
            1_795_435_200.0,
            1_795_435_200e3,
            1_795_435_200e6,
            1_795_435_200e9,
        ] {
            assert_eq!(
                from_epoch(number).map(|t| t.unix_micros),
                Some(1_795_435_200_000_000)
            );
        }
        assert_eq!(from_epoch(12.0), None);
        assert_eq!(from_epoch(f64::NAN), None);
    }
}
