//! What is old enough to be deleted, and deleting it a little at a time.
//!
//! Invariant: a sweep looks at a bounded number of rows in one short transaction and says where to go on,
//! so that it never holds up a writer and never leaves more dead rows at once than vacuuming keeps up with.

use std::collections::HashSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use uuid::Uuid;

/// Rows looked at in one transaction.
pub(super) const SWEEP_ROWS: u32 = 5_000;

/// What began before these times may go; none keeps it for ever.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cutoffs {
    /// Spans of traces in which nothing failed.
    pub ended: Option<DateTime<Utc>>,
    /// Spans of traces in which something failed or timed out.
    pub failed: Option<DateTime<Utc>>,
}

/// The cutoffs that hold for each span.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expired {
    /// Spans of ours.
    pub ours: Cutoffs,
    /// Spans of ours from these sources, instead.
    pub sources: Vec<(String, Cutoffs)>,
    /// Spans that others wrote.
    pub others: Cutoffs,
}

/// One step of deleting.
#[derive(Debug, Clone, PartialEq)]
pub enum Sweep {
    /// Spans in the order of their start.
    Spans {
        /// Behind this start and row.
        after: (DateTime<Utc>, i64),
        /// Up to this start.
        before: DateTime<Utc>,
        /// Which of them may go.
        expired: Arc<Expired>,
    },
    /// Links to executions whose trace has no span left, behind this trace and execution.
    Links((Uuid, i64)),
    /// Rows set aside before this time.
    Rejected(DateTime<Utc>),
    /// Losses that ended before this time.
    Losses(DateTime<Utc>),
    /// Leases that ran out before this time.
    Leases(DateTime<Utc>),
}

/// What a step did.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Swept {
    /// Rows deleted.
    pub deleted: u64,
    /// The next step; none at the end.
    pub next: Option<Sweep>,
}

impl Swept {
    /// What a step did that looked at `rows`; `next` makes the step behind the last of them, which is taken
    /// where there may be more.
    pub(super) fn of<T>(deleted: usize, rows: &[T], next: impl FnOnce(&T) -> Sweep) -> Self {
        let full = rows.len() >= SWEEP_ROWS as usize;
        Self {
            deleted: deleted as u64,
            next: rows.last().filter(|_| full).map(next),
        }
    }
}

/// How large a table is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSize {
    /// Its name.
    pub table: String,
    /// Bytes of its rows.
    pub bytes: u64,
    /// Bytes of its indexes.
    pub index_bytes: u64,
    /// Rows, as the database estimates; none where it was never counted.
    pub rows: Option<u64>,
}

/// A span that a sweep has looked at.
#[derive(Debug)]
pub(super) struct Looked {
    pub(super) id: i64,
    pub(super) trace_id: Uuid,
    pub(super) started_at: DateTime<Utc>,
    pub(super) is_ours: bool,
    pub(super) source: Option<String>,
}

impl Expired {
    /// Those of the rows that may go; `failed` are the traces in which something failed.
    pub(super) fn due<'a>(&self, looked: &'a [Looked], failed: &HashSet<Uuid>) -> Vec<&'a Looked> {
        let is_due = |row: &&Looked| {
            let named = (self.sources.iter()).find(|(name, _)| Some(name) == row.source.as_ref());
            let cutoffs = match named {
                _ if !row.is_ours => self.others,
                Some((_, cutoffs)) => *cutoffs,
                None => self.ours,
            };
            let cutoff = if failed.contains(&row.trace_id) {
                cutoffs.failed
            } else {
                cutoffs.ended
            };
            cutoff.is_some_and(|cutoff| row.started_at < cutoff)
        };
        looked.iter().filter(is_due).collect()
    }
}

impl Sweep {
    /// All spans that began before a time, from the first one on.
    pub fn spans_before(before: DateTime<Utc>, expired: &Arc<Expired>) -> Self {
        Self::Spans {
            after: (DateTime::UNIX_EPOCH, 0),
            before,
            expired: Arc::clone(expired),
        }
    }

    /// The same step again, where it deleted as much as a step may.
    pub(super) fn again(&self, deleted: u64) -> Option<Self> {
        (deleted >= u64::from(SWEEP_ROWS)).then(|| self.clone())
    }
}
