//! From bytes to stored rows, in one direction over bounded channels:
//! decode → pair → batch → sink. Acknowledgements flow back.
//!
//! The contract between the stages:
//!
//! * Everything a stage was given comes out of it, in the order of its stream, before the channel
//!   behind it closes; a stage ends when the channel before it closes.
//! * A checkpoint or acknowledgement that follows some input is released only when all rows from
//!   that input are committed.
//! * Nothing here reads a clock but [`batch`], which hands the time down.

mod batch;
mod decode;
mod expire;
mod health;
mod keep;
mod ledger;
mod line;
mod link;
mod metrics;
mod pair;
mod place;
mod pulse;
mod sink;
mod spans;
mod spare;
mod stats;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::mpsc;

pub use expire::expire;
pub use health::{Health, Readiness, SourceReadiness, metrics_of_server};
pub use keep::{Keep, Keeper, RETENTION_LEASE, Retention};
pub use link::{LinkSummary, Linker};
pub use pulse::Pulse;
pub use sink::SinkError;
pub use stats::{Stats, StatsSnapshot};

use self::spare::Spare;
use crate::source::{INPUT_QUEUE, InputSender};
use crate::store::{Spool, Store};

/// When a batch is full.
#[derive(Debug, Clone, Copy)]
pub struct BatchLimits {
    /// Rows.
    pub rows: usize,
    /// Estimated bytes.
    pub bytes: usize,
    /// Age of its oldest row.
    pub age: Duration,
}

impl Default for BatchLimits {
    fn default() -> Self {
        Self {
            rows: 5_000,
            bytes: 4 << 20,
            age: Duration::from_millis(500),
        }
    }
}

impl BatchLimits {
    /// What suits the database that a URL names. In SQLite each batch changes most pages of an index of random
    /// ids, so that fewer and larger ones cost much less.
    pub fn of(database: &str) -> Self {
        let defaults = Self::default();
        if database.starts_with("sqlite:") {
            let rows = 6_000;
            return Self { rows, ..defaults };
        }
        defaults
    }
}

/// A running pipeline.
#[derive(Debug)]
pub struct Pipeline {
    /// Where sources send; the pipeline drains and ends when every clone is dropped.
    pub input: InputSender,
    /// Counters, updated while it runs.
    pub stats: Arc<Stats>,
    tasks: tokio::task::JoinSet<Result<(), SinkError>>,
    /// Held for its lock.
    spool: Spool,
}

impl Pipeline {
    /// Starts the stages; what an earlier process left in the spool is stored first.
    pub fn start(
        store: Arc<dyn Store>,
        spool: Spool,
        limits: BatchLimits,
    ) -> Result<Self, SinkError> {
        let stats = Arc::new(Stats::default());
        stats.spool_limit.store(spool.limit(), Relaxed);
        metrics::observe(&stats);
        let (input, inbox) = mpsc::channel(INPUT_QUEUE);
        let mut tasks = tokio::task::JoinSet::new();
        let spare = Arc::new(Spare::default());
        let (outlets, ledger) = sink::spawn(
            &mut tasks,
            store,
            &spool,
            Arc::clone(&spare),
            Arc::clone(&stats),
        )?;
        tasks.spawn(batch::run(
            inbox,
            outlets,
            ledger,
            limits,
            spare,
            Arc::clone(&stats),
        ));
        Ok(Self {
            input,
            stats,
            tasks,
            spool,
        })
    }

    /// Drops this handle's sender and waits until everything that was sent is stored.
    pub async fn drain(self) -> Result<(), SinkError> {
        let Self {
            input,
            mut tasks,
            spool: _lock,
            ..
        } = self;
        drop(input);
        let mut result = Ok(());
        while let Some(ended) = tasks.join_next().await {
            let ended = ended.unwrap_or_else(|error| Err(SinkError::Stage(error.to_string())));
            if result.is_ok() {
                result = ended;
            }
        }
        result
    }
}
