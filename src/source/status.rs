//! What is known of each source while it runs: its state and its counters, read by health checks and
//! metrics. Refuses names without end: what strangers push under is bounded.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use tracing::Span;
use tracing::field::Empty;

use crate::telemetry;

/// Sources listed one by one; whoever pushes under further names is counted as [`OTHERS`].
const MAX_LISTED: usize = 256;
/// The name under which sources beyond the bound are counted.
const OTHERS: &str = "others";

/// What a source is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum SourceState {
    /// Not running yet.
    #[default]
    Starting,
    /// Reading, or waiting for more to read.
    Running,
    /// Cannot run just now, for this reason; it goes on trying.
    Retrying(String),
    /// There is nothing to read just now and nothing wrong, for this reason; it looks again.
    Waiting(String),
    /// Another collector reads it; this one waits to take over, for this reason.
    Standby(String),
    /// Came to its end.
    Ended,
    /// Gave up, for this reason.
    Failed(String),
}

impl SourceState {
    /// The state in one word, for metrics and answers.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Retrying(_) => "retrying",
            Self::Waiting(_) => "waiting",
            Self::Standby(_) => "standby",
            Self::Ended => "ended",
            Self::Failed(_) => "failed",
        }
    }

    /// Why it is not running, where that is known.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Retrying(reason)
            | Self::Waiting(reason)
            | Self::Standby(reason)
            | Self::Failed(reason) => Some(reason),
            _ => None,
        }
    }
}

/// One source. Counters are relaxed everywhere: each number stands for itself.
#[derive(Debug, Default)]
pub struct SourceStatus {
    name: Arc<str>,
    state: Mutex<SourceState>,
    /// Bytes read.
    pub bytes: AtomicU64,
    /// Lines read.
    pub lines: AtomicU64,
    /// Lines that are trace lines.
    pub trace_lines: AtomicU64,
    /// Times it had to start again.
    pub restarts: AtomicU64,
    /// Lines known to be lost.
    pub lost: AtomicU64,
    /// Losses whose number of lines nobody knows.
    pub gaps: AtomicU64,
    last_input: AtomicI64,
    /// The attempt under way, as a span of our own telemetry.
    attempt: Mutex<Option<Span>>,
}

impl SourceStatus {
    /// Name of the source.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What it is doing.
    pub fn state(&self) -> SourceState {
        self.lock().clone()
    }

    /// Enters what it is doing; the first report of a trouble goes to the log.
    pub fn enter(&self, state: SourceState) {
        let mut known = self.lock();
        if *known == state {
            return;
        }
        match &state {
            SourceState::Retrying(reason) => {
                tracing::warn!(source = %self.name, reason, "source is waiting to run again");
            }
            SourceState::Failed(reason) => {
                tracing::error!(source = %self.name, reason, "source gave up");
            }
            SourceState::Waiting(reason) => {
                tracing::info!(source = %self.name, reason, "source is waiting for something to read");
            }
            SourceState::Standby(reason) => {
                tracing::info!(source = %self.name, reason, "source is on standby");
            }
            SourceState::Running
                if matches!(*known, SourceState::Retrying(_) | SourceState::Waiting(_)) =>
            {
                tracing::info!(source = %self.name, "source runs again");
            }
            _ => {}
        }
        self.trace(&state);
        *known = state;
    }

    /// Enters that it was told to stop; its state stays what it was.
    pub fn stopped(&self) {
        let mut attempt = self.attempt.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(span) = attempt.take() {
            span.record("ended", "stopped");
        }
    }

    /// An attempt lasts from when the source runs until it does not; one that never ran has no length.
    fn trace(&self, state: &SourceState) {
        // As with the state: a panic leaves a whole value.
        let mut attempt = self.attempt.lock().unwrap_or_else(PoisonError::into_inner);
        let begin = || {
            tracing::info_span!(
                "read source",
                source = &*self.name,
                ended = Empty,
                otel.status_code = Empty,
                otel.status_description = Empty,
            )
        };
        if *state == SourceState::Running {
            attempt.get_or_insert_with(begin);
            return;
        }
        let span = match (attempt.take(), state) {
            (Some(span), _) => span,
            (None, SourceState::Retrying(_) | SourceState::Failed(_)) => begin(),
            (None, _) => return,
        };
        span.record("ended", state.as_str());
        if let SourceState::Retrying(reason) | SourceState::Failed(reason) = state {
            telemetry::fail(&span, reason);
        }
    }

    /// Enters that something was read now: whoever waited for it runs again.
    pub fn received(&self, bytes: usize) {
        if matches!(*self.lock(), SourceState::Waiting(_)) {
            self.enter(SourceState::Running);
        }
        self.bytes.fetch_add(bytes as u64, Relaxed);
        self.last_input
            .store(Utc::now().timestamp_millis(), Relaxed);
    }

    /// When something was last read.
    pub fn last_input(&self) -> Option<DateTime<Utc>> {
        Some(self.last_input.load(Relaxed))
            .filter(|at| *at != 0)
            .and_then(DateTime::from_timestamp_millis)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, SourceState> {
        // A panic while holding the lock leaves a whole value; going on is right.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All sources of the process, by name.
#[derive(Debug, Default)]
pub struct Sources {
    listed: Mutex<BTreeMap<Arc<str>, Arc<SourceStatus>>>,
    store_is_away: AtomicBool,
}

impl Sources {
    /// The source of this name, entered when it is new.
    pub fn named(&self, name: &str) -> Arc<SourceStatus> {
        let mut listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = listed.get(name) {
            return Arc::clone(known);
        }
        let name: Arc<str> = if listed.len() < MAX_LISTED {
            name
        } else {
            OTHERS
        }
        .into();
        let new = || {
            Arc::new(SourceStatus {
                name: Arc::clone(&name),
                ..SourceStatus::default()
            })
        };
        Arc::clone(listed.entry(Arc::clone(&name)).or_insert_with(new))
    }

    /// Enters whether the store takes what is written.
    pub fn set_store_is_away(&self, away: bool) {
        self.store_is_away.store(away, Relaxed);
    }

    /// Whether what is read just now waits for the store to come back.
    pub fn store_is_away(&self) -> bool {
        self.store_is_away.load(Relaxed)
    }

    /// All of them, by name.
    pub fn all(&self) -> Vec<Arc<SourceStatus>> {
        let listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
        listed.values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_that_waits_runs_again_when_something_comes() {
        let source = Sources::default().named("modal:mine");
        source.enter(SourceState::Waiting("the app has stopped".into()));
        assert_eq!(source.state().reason(), Some("the app has stopped"));
        source.received(1);
        assert_eq!(source.state(), SourceState::Running);
        source.enter(SourceState::Failed("no".into()));
        source.received(1);
        assert_eq!(source.state().as_str(), "failed");
    }

    #[test]
    fn names_beyond_the_bound_are_counted_together() {
        let sources = Sources::default();
        for number in 0..2 * MAX_LISTED {
            sources.named(&format!("push:{number}"));
        }
        assert_eq!(sources.all().len(), MAX_LISTED + 1);
        assert_eq!(&**sources.named("push:new").name(), OTHERS);
    }
}
