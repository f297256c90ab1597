//! Whether collecting goes as it should, and why not: what `/readyz` answers and `/metrics` counts.

use std::sync::Arc;
use std::time::Duration;

use super::metrics;
use super::stats::Stats;
use crate::source::SourceState;

/// What has waited longer than this for its commit makes the process not ready.
const MAX_LAG: Duration = Duration::from_secs(30);

/// Reads the state of a running pipeline and its sources.
#[derive(Debug, Clone)]
pub struct Health {
    stats: Arc<Stats>,
}

/// Whether the process does its work.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Readiness {
    /// Whether all is well.
    pub ready: bool,
    /// What is not.
    pub problems: Vec<String>,
    /// Seconds that the oldest line read has been waiting for its commit.
    pub lag_s: f64,
    /// Bytes that wait on disk for the database.
    pub spool_bytes: u64,
    /// Every source with its state.
    pub sources: Vec<SourceReadiness>,
}

/// State of a source.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct SourceReadiness {
    /// Its name.
    pub name: String,
    /// `starting`, `running`, `waiting`, `standby`, `retrying`, `ended` or `failed`.
    pub state: &'static str,
    /// Why it is not running.
    pub reason: Option<String>,
    /// When something was last read, RFC 3339.
    pub last_input: Option<String>,
    /// Lines read.
    pub lines: u64,
    /// Lines known to be lost.
    pub lost: u64,
    /// Milliseconds that the oldest line of it has been waiting for its commit.
    pub lag_ms: u64,
}

/// Counters of a process that does not collect.
pub fn metrics_of_server() -> String {
    metrics::render(None)
}

impl Health {
    pub(crate) fn new(stats: Arc<Stats>) -> Self {
        Self { stats }
    }

    /// The counters.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Whether the store takes what comes, the sources run and nothing waits for long.
    pub fn readiness(&self) -> Readiness {
        let mut problems = Vec::new();
        if let Some(trouble) = self.stats.store_trouble() {
            problems.push(format!("store: {trouble}"));
        }
        let lag = self.stats.lag();
        if lag > MAX_LAG {
            problems.push(format!(
                "what was read {} s ago is not stored yet",
                lag.as_secs()
            ));
        }
        let lags = self.stats.lags();
        let mut sources = Vec::new();
        for source in self.stats.sources.all() {
            let state = source.state();
            if let SourceState::Retrying(reason) | SourceState::Failed(reason) = &state {
                problems.push(format!("source {}: {reason}", source.name()));
            }
            sources.push(SourceReadiness {
                name: source.name().to_string(),
                state: state.as_str(),
                reason: state.reason().map(ToOwned::to_owned),
                last_input: source.last_input().map(|at| at.to_rfc3339()),
                lines: source.lines.load(std::sync::atomic::Ordering::Relaxed),
                lost: source.lost.load(std::sync::atomic::Ordering::Relaxed),
                lag_ms: lags
                    .get(source.name())
                    .map_or(0, |lag| u64::try_from(lag.as_millis()).unwrap_or(u64::MAX)),
            });
        }
        Readiness {
            ready: problems.is_empty(),
            problems,
            lag_s: lag.as_secs_f64(),
            spool_bytes: self.stats.spool().0,
            sources,
        }
    }

    /// What has been at one piece of work for longer than `limit`.
    pub fn stuck(&self, limit: Duration) -> Option<String> {
        self.stats.pulses.stuck(limit)
    }

    /// All counters in Prometheus' text form.
    pub fn metrics(&self) -> String {
        metrics::render(Some(&self.stats))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_to_read_is_no_fault_and_no_way_to_read_is_one() {
        let health = Health::new(Arc::default());
        let source = health.stats.sources.named("modal:mine");
        source.enter(SourceState::Waiting("the app has stopped".into()));
        let readiness = health.readiness();
        assert!(readiness.ready, "{readiness:?}");
        assert_eq!(readiness.sources[0].state, "waiting");
        assert_eq!(
            readiness.sources[0].reason.as_deref(),
            Some("the app has stopped")
        );
        source.enter(SourceState::Retrying("no login".into()));
        assert_eq!(health.readiness().problems, ["source modal:mine: no login"]);
    }
}
