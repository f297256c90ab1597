//! How times, durations and quoted text are written in reports.
//!
//! Invariant: quoted text is clean and short, so that no log line can take over a terminal or an answer.

use chrono::{DateTime, SecondsFormat, Utc};

use crate::model::Span;
use crate::untrusted::clean;

/// Longest quotation in a report, in bytes.
const MAX_QUOTE: usize = 400;

/// RFC 3339 in UTC with a `Z`, to the microsecond where there is a fraction.
pub(crate) fn rfc3339(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// A duration for people: `13ms`, `2.45s`, `4m05s`.
pub(crate) fn duration(ms: f64) -> String {
    let ms = ms.max(0.0);
    if ms < 999.5 {
        format!("{ms:.0}ms")
    } else {
        format!("{:.2}s", ms / 1000.0)
    }
}

/// Whole milliseconds; reports have no use for less.
pub(crate) fn whole_ms(ms: f64) -> i64 {
    ms.round() as i64
}

/// Text of others as it may stand in a report.
pub(crate) fn quote(text: &str) -> String {
    clean(text.trim(), MAX_QUOTE)
}

/// What a span says about its failure, quoted; `None` when it says nothing.
pub(crate) fn quoted_error(span: &Span) -> Option<String> {
    let part = |text: &Option<String>| text.clone().filter(|text| !text.trim().is_empty());
    match (part(&span.error_type), part(&span.error_message)) {
        (Some(kind), Some(message)) => Some(quote(&format!("{kind}: {message}"))),
        (one, other) => one.or(other).as_deref().map(quote),
    }
}

/// A share between 0 and 1, to three digits: reports don't pretend to know more.
pub(crate) fn rounded(share: f64) -> f64 {
    (share * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_write_them() {
        let written: Vec<_> = [0.4, 13.0, 999.6, 2_450.0, -5.0].map(duration).to_vec();
        assert_eq!(written, ["0ms", "13ms", "1.00s", "2.45s", "0ms"]);
    }

    #[test]
    fn quotations_are_clean_and_short() {
        let quoted = quote(&format!("  \u{1b}[31mred{}", "x".repeat(2 * MAX_QUOTE)));
        assert!(quoted.starts_with("[31mred"), "{quoted}");
        assert!(quoted.len() < MAX_QUOTE + 40);
    }
}
