//! Section `[retention]`: how long rows are kept.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use serde::Deserialize;

use super::ConfigError;
use crate::pipeline::{Keep, Retention};

/// Section `[retention]`; nothing is ever deleted without it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetentionFile {
    /// Days that the collector's spans are kept.
    pub days: Option<u32>,
    /// Days that they are kept where something in their trace failed or timed out; as `days` unless set.
    pub failed_days: Option<u32>,
    /// Other times for the spans of sources, by their name.
    pub sources: BTreeMap<String, DaysFile>,
    /// Times for spans that other services wrote; kept for ever unless set.
    pub others: DaysFile,
}

/// How long some of the rows are kept.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DaysFile {
    /// Days.
    pub days: Option<u32>,
    /// Days where something failed; as `days` unless set.
    pub failed_days: Option<u32>,
}

/// Checks the section.
pub(super) fn checked(written: &RetentionFile) -> Result<Retention, ConfigError> {
    let ours = keep("retention", written.days, written.failed_days)?;
    let sources = written.sources.iter().map(|(name, days)| {
        let keep = keep(name, days.days, days.failed_days)?;
        Ok((name.clone(), keep))
    });
    Ok(Retention {
        ours,
        sources: sources.collect::<Result<_, ConfigError>>()?,
        others: keep("others", written.others.days, written.others.failed_days)?,
    })
}

fn keep(section: &str, days: Option<u32>, failed: Option<u32>) -> Result<Keep, ConfigError> {
    let wrong = |reason: &str| {
        Err(ConfigError::Value {
            what: "retention of",
            value: section.to_owned(),
            reason: reason.to_owned(),
        })
    };
    match (days, failed) {
        (Some(0), _) | (_, Some(0)) => {
            return wrong("expected at least 1 day; leave it out to keep rows for ever");
        }
        (Some(days), Some(failed)) if failed < days => {
            return wrong("failed_days must not be less than days");
        }
        (None, Some(_)) => return wrong("failed_days goes with days"),
        _ => {}
    }
    let age = |days: u32| TimeDelta::days(days.into());
    Ok(Keep {
        ended: days.map(age),
        failed: failed.or(days).map(age),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Retention, ConfigError> {
        checked(&toml::from_str(text).unwrap())
    }

    #[test]
    fn nothing_is_deleted_unless_configured() {
        assert!(!read("").unwrap().is_on());
        let retention = read("days = 30").unwrap();
        assert!(retention.is_on());
        assert_eq!(retention.others, Keep::default());
    }

    #[test]
    fn failures_are_kept_as_long_as_the_rest_unless_longer() {
        let days = |days| Some(TimeDelta::days(days));
        let retention =
            read("days = 30\nfailed_days = 90\n[sources.\"modal:app\"]\ndays = 7").unwrap();
        assert_eq!(
            (retention.ours.ended, retention.ours.failed),
            (days(30), days(90))
        );
        let (_, source) = &retention.sources[0];
        assert_eq!((source.ended, source.failed), (days(7), days(7)));
    }

    #[test]
    fn times_that_make_no_sense_are_refused() {
        for text in ["days = 0", "days = 30\nfailed_days = 7", "failed_days = 7"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
