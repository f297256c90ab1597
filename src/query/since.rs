//! Times as people and models write them: RFC 3339, a date, `now-1h`, or `7d` for that long ago.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use super::QueryError;

/// What a malformed time is answered with.
const FORMS: &str = "expected RFC 3339 such as 2026-01-31T12:00:00Z, a date, now-1h, or an age such as 30m, 12h, 7d, 2w";

/// Reads a time; ages count back from `now`. Times without a zone are UTC.
pub fn parse_time(
    argument: &'static str,
    text: &str,
    now: DateTime<Utc>,
) -> Result<DateTime<Utc>, QueryError> {
    let text = text.trim();
    // Nothing was stored before 1970, and time can be counted with from there on.
    let time = read(text, now).map(|time| time.max(DateTime::UNIX_EPOCH));
    time.ok_or_else(|| QueryError::Argument {
        argument,
        value: crate::untrusted::clean(text, 80),
        reason: FORMS.to_owned(),
    })
}

fn read(text: &str, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    if text.eq_ignore_ascii_case("now") {
        return Some(now);
    }
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.to_utc());
    }
    if let Ok(time) = text.parse::<chrono::NaiveDateTime>() {
        return Some(time.and_utc());
    }
    if let Ok(date) = text.parse::<NaiveDate>() {
        return Some(date.and_hms_opt(0, 0, 0)?.and_utc());
    }
    let age = text.strip_prefix("now-").unwrap_or(text);
    now.checked_sub_signed(duration(age)?)
}

/// `90s`, `15m`, `12h`, `7d`, `2w`.
fn duration(text: &str) -> Option<TimeDelta> {
    let unit = text.chars().next_back()?;
    let number: i64 = text.strip_suffix(unit)?.trim().parse().ok()?;
    let seconds = match unit.to_ascii_lowercase() {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        'w' => 604_800,
        _ => return None,
    };
    TimeDelta::try_seconds(number.checked_mul(seconds)?).filter(|_| number >= 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_761_138_000, 0).unwrap_or_default()
    }

    #[test]
    fn every_form_of_a_time_is_understood() {
        let hour_ago = now() - TimeDelta::hours(1);
        for text in ["1h", "now-1h", "60m", "3600s", "2025-10-22T12:00:00Z"] {
            assert_eq!(
                parse_time("since", text, now()).ok(),
                Some(hour_ago),
                "{text}"
            );
        }
        let day = NaiveDate::from_ymd_opt(2025, 10, 22).and_then(|day| day.and_hms_opt(0, 0, 0));
        assert_eq!(
            parse_time("since", "2025-10-22", now()).ok(),
            day.map(|day| day.and_utc())
        );
    }

    #[test]
    fn a_malformed_time_says_which_forms_there_are() {
        for text in [
            "",
            "yesterday",
            "-1h",
            "now-",
            "9999999999999999d",
            "1y",
            "' or 1=1 --",
        ] {
            let refused = parse_time("since", text, now()).map_err(|error| error.to_string());
            assert!(
                matches!(&refused, Err(text) if text.contains("RFC 3339")),
                "{refused:?}"
            );
        }
    }
}
