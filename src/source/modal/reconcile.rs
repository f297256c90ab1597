//! Fetches what following may have missed, window by window, and moves the checkpoint behind it.

use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::run;
use super::said::{explain, is_too_much};
use super::tool::Tool;
use super::{Backoff, ModalOptions};
use crate::source::{Outlet, SourceError};

/// How far printed times of one app run backwards, and how late a line can become fetchable.
const OVERLAP: TimeDelta = TimeDelta::seconds(60);
/// The same for stragglers, once in [`DEEP_EVERY`].
const DEEP_OVERLAP: TimeDelta = TimeDelta::hours(1);
const DEEP_EVERY: Duration = Duration::from_secs(3600);
/// Lines younger than this may still be half, or not fetchable yet.
const SETTLE: TimeDelta = TimeDelta::seconds(5);
/// A half line older than this gets no rest any more.
const SETTLED: TimeDelta = TimeDelta::seconds(30);
/// First, shortest and longest window: the wider it is the coarser Modal counts, and too many lines
/// in one of its counts refuse the whole window.
const WINDOW: TimeDelta = TimeDelta::minutes(10);
const NARROWEST: TimeDelta = TimeDelta::seconds(2);
const WIDEST: TimeDelta = TimeDelta::hours(6);
/// Modal keeps 35 days; an hour less, so that no window begins before that while it is fetched.
const KEPT: TimeDelta = TimeDelta::hours(35 * 24 - 1);
/// First and longest pause after a failed fetch.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Keeps what is stored equal to what Modal has.
pub(super) struct Reconciler<'a> {
    options: &'a ModalOptions,
    tool: &'a Tool,
    out: &'a Outlet,
    missed: &'a Notify,
    window: TimeDelta,
}

enum Fetched {
    All,
    TooMuch,
    Failed(String),
}

impl<'a> Reconciler<'a> {
    pub(super) fn new(
        options: &'a ModalOptions,
        tool: &'a Tool,
        out: &'a Outlet,
        missed: &'a Notify,
    ) -> Self {
        Self {
            options,
            tool,
            out,
            missed,
            window: WINDOW,
        }
    }

    /// Reconciles when something may have been missed, and every now and then, until told to stop.
    pub(super) async fn run(mut self) -> Result<(), SourceError> {
        let stored = self.out.position(self.out.name()).await?;
        let checkpoint = stored.as_ref().and_then(parse);
        let mut until = checkpoint.unwrap_or_else(|| Utc::now() - self.options.backfill);
        tracing::info!(
            source = %self.out.name(),
            since = until.to_rfc3339_opts(SecondsFormat::AutoSi, true),
            resumes = checkpoint.is_some(),
            "fetching what was printed"
        );
        let mut backoff = Backoff::new(RETRY.0, RETRY.1);
        let mut deep_at = Instant::now() + DEEP_EVERY;
        loop {
            backoff.begin();
            let deep = Instant::now() >= deep_at;
            let overlap = if deep { DEEP_OVERLAP } else { OVERLAP };
            match self.fetch_from(&mut until, overlap).await? {
                Ok(()) => {
                    if deep {
                        deep_at = Instant::now() + DEEP_EVERY;
                    }
                    backoff = Backoff::new(RETRY.0, RETRY.1);
                    self.wait().await?;
                }
                Err(reason) => {
                    // The follower says in the status what is wrong; this is the same trouble.
                    tracing::warn!(source = %self.out.name(), reason, "cannot fetch logs; trying again");
                    self.out.pause(backoff.pause()).await?;
                }
            }
        }
    }

    /// Waits for the next occasion, and long enough that what was missed can be fetched.
    async fn wait(&self) -> Result<(), SourceError> {
        // An error: nothing was missed, it is only time again.
        let missed = tokio::time::timeout(self.options.reconcile_every, self.missed.notified());
        tokio::select! {
            _ = missed => {}
            () = self.out.stop.cancelled() => return Err(SourceError::Stopped),
        }
        self.out.pause(SETTLE.to_std().unwrap_or_default()).await
    }

    /// Fetches everything since `until` and moves it to now.
    async fn fetch_from(
        &mut self,
        until: &mut DateTime<Utc>,
        overlap: TimeDelta,
    ) -> Result<Result<(), String>, SourceError> {
        let now = Utc::now();
        let goal = now - SETTLE;
        let mut from = *until - overlap;
        if from < now - KEPT {
            let reason = "older than what Modal keeps";
            self.out.lose(from, now - KEPT, reason, 0).await?;
            from = now - KEPT;
        }
        while from < goal {
            let to = (from + self.window).min(goal);
            match self.fetch(from, to).await? {
                Fetched::All => {
                    self.mark(to.max(*until)).await?;
                    *until = to.max(*until);
                    from = to;
                    self.window = (self.window * 2).min(WIDEST);
                }
                Fetched::TooMuch if to - from <= NARROWEST => {
                    let reason = "more lines at once than Modal lets fetch";
                    self.out.lose(from, to, reason, 0).await?;
                    from = to;
                }
                Fetched::TooMuch => self.window = ((to - from) / 2).max(NARROWEST),
                Fetched::Failed(reason) => return Ok(Err(reason)),
            }
        }
        Ok(Ok(()))
    }

    async fn fetch(&self, from: DateTime<Utc>, to: DateTime<Utc>) -> Result<Fetched, SourceError> {
        let iso = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Millis, false);
        let Some(mut command) = self.tool.fetch(self.options, &iso(from), &iso(to)) else {
            return Ok(Fetched::All);
        };
        let stream = self.out.stream();
        let ended = match run::run(&mut command, self.out, &stream, || {}).await {
            Ok(ended) => ended,
            Err(error) if error.is_shutdown() => return Err(error),
            Err(error) => {
                run::close(self.out, stream, false).await?;
                return Ok(Fetched::Failed(error.to_string()));
            }
        };
        let success = ended.status.success() && !ended.spinning;
        let whole = ended.unfinished.is_empty() || is_settled(&ended.unfinished, to);
        run::close(self.out, stream, success && whole).await?;
        Ok(if success {
            Fetched::All
        } else if is_too_much(&ended.said) {
            Fetched::TooMuch
        } else {
            Fetched::Failed(explain(&ended.said, &self.options.app))
        })
    }

    async fn mark(&self, until: DateTime<Utc>) -> Result<(), SourceError> {
        self.out.mark(json!({"until": until})).await
    }
}

fn parse(stored: &Value) -> Option<DateTime<Utc>> {
    stored.get("until")?.as_str()?.parse().ok()
}

/// Whether a line that ended without newline is so old that nothing more comes of it.
fn is_settled(line: &[u8], until: DateTime<Utc>) -> bool {
    let time = line
        .get(..19)
        .and_then(|time| std::str::from_utf8(time).ok());
    let time = time.and_then(|time| NaiveDateTime::parse_from_str(time, "%Y-%m-%d %H:%M:%S").ok());
    time.is_some_and(|time| until - time.and_utc() > SETTLED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_half_line_counts_once_it_is_old() {
        let until = "2026-11-23T12:01:00Z".parse().unwrap();
        assert!(is_settled(b"2026-11-23 12:00:00+00:00 fc-1 TRACE[", until));
        assert!(!is_settled(b"2026-11-23 12:00:40+00:00 fc-1 TRACE[", until));
        assert!(!is_settled(b"no time", until));
    }

    #[test]
    fn a_checkpoint_is_read_back() {
        let until: DateTime<Utc> = "2026-11-23T12:01:00.5Z".parse().unwrap();
        assert_eq!(parse(&json!({"until": until})), Some(until));
    }
}
