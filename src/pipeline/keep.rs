//! What is done to stored rows once in a while: tables are measured, and what is older than the user wants
//! to keep is deleted, a little at a time.
//!
//! Invariant: nothing is deleted unless a rule names it; rows that others wrote only where a rule is about
//! those. Of several collectors one deletes at a time.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::stats::Stats;
use crate::source::Standing;
use crate::store::{Cutoffs, Expired, Store, StoreError, Sweep};

/// Name of the lease under which one collector deletes.
pub const RETENTION_LEASE: &str = "retention";

/// How often tables are measured.
const MEASURE: Duration = Duration::from_secs(60);
/// How often is looked for what has become too old.
const ROUND: Duration = Duration::from_secs(3600);
/// How often everything old is gone through again, for old rows that came late.
const FULL: TimeDelta = TimeDelta::hours(24);
/// Deleting rests this many times as long as it worked.
const REST: u32 = 4;
/// How long a lease that nobody wants any more is remembered.
const LEASES: TimeDelta = TimeDelta::days(7);

/// How long rows are kept; none keeps them for ever.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Keep {
    /// Spans of traces in which nothing failed.
    pub ended: Option<TimeDelta>,
    /// Spans of traces in which something failed or timed out.
    pub failed: Option<TimeDelta>,
}

/// What the user wants to keep for how long.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Retention {
    /// Spans of ours.
    pub ours: Keep,
    /// Spans of ours from these sources, instead.
    pub sources: Vec<(String, Keep)>,
    /// Spans that others wrote.
    pub others: Keep,
}

impl Keep {
    fn at(self, now: DateTime<Utc>) -> Cutoffs {
        Cutoffs {
            ended: self.ended.map(|age| now - age),
            failed: self.failed.map(|age| now - age),
        }
    }
}

impl Retention {
    /// Whether anything is ever deleted.
    pub fn is_on(&self) -> bool {
        !self.ages().is_empty()
    }

    fn at(&self, now: DateTime<Utc>) -> Arc<Expired> {
        Arc::new(Expired {
            ours: self.ours.at(now),
            sources: (self.sources.iter())
                .map(|(name, keep)| (name.clone(), keep.at(now)))
                .collect(),
            others: self.others.at(now),
        })
    }

    /// The ages at which something becomes too old, each once.
    fn ages(&self) -> Vec<TimeDelta> {
        let sources = self.sources.iter().map(|(_, keep)| *keep);
        let keeps = sources.chain([self.ours, self.others]);
        let mut ages: Vec<_> = keeps
            .flat_map(|keep| [keep.ended, keep.failed])
            .flatten()
            .collect();
        ages.sort_unstable();
        ages.dedup();
        ages
    }
}

/// Deletes what is too old, and remembers how far it has come.
#[derive(Debug)]
pub struct Keeper {
    store: Arc<dyn Store>,
    retention: Retention,
    /// For each age: up to which start everything was looked at.
    swept: Vec<(TimeDelta, DateTime<Utc>)>,
    full_at: DateTime<Utc>,
}

impl Keeper {
    /// One that has looked at nothing yet.
    pub fn new(store: Arc<dyn Store>, retention: Retention) -> Self {
        Self {
            store,
            retention,
            swept: Vec::new(),
            full_at: DateTime::UNIX_EPOCH,
        }
    }

    /// Measures and deletes until told to stop; deletes only while the lease is ours.
    pub async fn run(
        mut self,
        lease: watch::Receiver<Standing>,
        stats: Arc<Stats>,
        stop: CancellationToken,
    ) {
        let mut delete_at = Instant::now();
        loop {
            if let Ok(sizes) = self.store.sizes().await {
                stats.show_sizes(sizes);
            }
            let ours = matches!(*lease.borrow(), Standing::Ours(_));
            if self.retention.is_on() && ours && Instant::now() >= delete_at {
                delete_at = Instant::now() + ROUND;
                tokio::select! {
                    () = stop.cancelled() => return,
                    round = self.round(Utc::now(), &stats) => self.report(round),
                }
            }
            let soon = matches!(*lease.borrow(), Standing::Unasked);
            let pause = if soon {
                Duration::from_secs(1)
            } else {
                MEASURE
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    fn report(&self, round: Result<u64, StoreError>) {
        match round {
            Ok(0) => {}
            Ok(deleted) => tracing::info!(deleted, "deleted what is older than [retention] keeps"),
            Err(error) => {
                tracing::warn!(%error, "cannot delete what is old; trying again in an hour");
            }
        }
    }

    /// Deletes all that is too old by now; says how many rows.
    pub async fn round(&mut self, now: DateTime<Utc>, stats: &Stats) -> Result<u64, StoreError> {
        let full = now >= self.full_at;
        if full {
            self.swept.clear();
        }
        let expired = self.retention.at(now);
        let mut deleted = 0;
        for age in self.retention.ages() {
            let before = now - age;
            let known = self.swept.iter_mut().find(|(of, _)| *of == age);
            let from = known.as_ref().map(|(_, reached)| *reached);
            let mut sweep = Sweep::spans_before(before, &expired);
            if let (Sweep::Spans { after, .. }, Some(from)) = (&mut sweep, from) {
                after.0 = from;
            }
            deleted += self.all_of(sweep, stats).await?;
            match self.swept.iter_mut().find(|(of, _)| *of == age) {
                Some(known) => known.1 = before,
                None => self.swept.push((age, before)),
            }
        }
        if full {
            deleted += self.side_tables(now, stats).await?;
            self.full_at = now + FULL;
        }
        Ok(deleted)
    }

    /// Our own tables: what is about rows that are gone.
    async fn side_tables(&self, now: DateTime<Utc>, stats: &Stats) -> Result<u64, StoreError> {
        let Some(longest) = self.retention.ages().pop() else {
            return Ok(0);
        };
        let before = now - longest;
        let steps = [
            Sweep::Links((uuid::Uuid::nil(), i64::MIN)),
            Sweep::Rejected(before),
            Sweep::Losses(before),
            Sweep::Leases(now - LEASES),
        ];
        let mut deleted = 0;
        for step in steps {
            deleted += self.all_of(step, stats).await?;
        }
        Ok(deleted)
    }

    async fn all_of(&self, first: Sweep, stats: &Stats) -> Result<u64, StoreError> {
        let mut deleted = 0;
        let mut next = Some(first);
        while let Some(sweep) = next {
            let began = Instant::now();
            let swept = self.store.sweep(&sweep).await?;
            deleted += swept.deleted;
            stats.deleted.fetch_add(swept.deleted, Relaxed);
            next = swept.next;
            if next.is_some() {
                tokio::time::sleep(began.elapsed() * REST).await;
            }
        }
        Ok(deleted)
    }
}
