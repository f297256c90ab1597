//! Where spans are kept: one narrow trait, implemented by Postgres and by embedded SQLite.
//!
//! The contract that every implementation keeps, and that one suite checks on both:
//!
//! * [`Store::write`] is one transaction: all of a batch, its checkpoints included, or nothing.
//! * Writing is idempotent: what a row becomes is decided by [`crate::model::reconcile`] from the
//!   stored rows and the incoming observations, read and written under one lock.
//! * Rows of others are never changed.
//! * Reads run in read-only transactions with a time-out and return rows in a defined order.

mod alone;
mod error;
mod examine;
mod lease;
mod migration;
mod plan;
mod postgres;
mod question;
mod retention;
mod shard;
mod spool;
mod sqlite;
mod storable;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde_json::Value;

pub use error::StoreError;
pub use examine::{Examination, SpanWriter};
pub use lease::{Claim, Holder, Lease};
pub use postgres::PostgresStore;
pub use question::{ExecutionQuestion, Second, SpanQuestion, SpanSearch, Window};
pub use retention::{Cutoffs, Expired, Sweep, Swept, TableSize};
pub use shard::{SHARDS, shard, shard_of_span};
pub use spool::{Entry, Lane, Spool, SpoolError};
pub use sqlite::SqliteStore;

use crate::model::{Execution, ExecutionLink, Job, LossEntry, Observation, Span, SpanLink, Tally};

/// Opens the database that a URL names: `sqlite:PATH`, `postgres://…` or `postgresql://…`.
pub async fn open(url: &str) -> Result<Arc<dyn Store>, StoreError> {
    open_with(url, Opening::default()).await
}

/// Does the same as `opening` has it.
pub async fn open_with(url: &str, opening: Opening) -> Result<Arc<dyn Store>, StoreError> {
    Ok(match Kind::of(url)? {
        Kind::Sqlite(path) => Arc::new(SqliteStore::open(path).await?),
        Kind::Postgres => Arc::new(PostgresStore::open(url, opening)?),
    })
}

/// The statements that [`Store::migrate`] runs on the database that a URL names.
pub fn migration_sql(url: &str) -> Result<String, StoreError> {
    Ok(match Kind::of(url)? {
        Kind::Sqlite(_) => migration::text(migration::SQLITE),
        Kind::Postgres => postgres::migration_sql(),
    })
}

/// Spreads the tables of a database over the machines of a Citus cluster, by trace. `say` is told every
/// statement before it runs; with `dry_run` none runs.
pub async fn distribute(
    url: &str,
    dry_run: bool,
    say: impl Fn(&str) + Sync,
) -> Result<(), StoreError> {
    match Kind::of(url)? {
        Kind::Sqlite(_) => Err(StoreError::Configuration(
            "an embedded database can't be spread over machines; name a Postgres one with --database"
                .to_owned(),
        )),
        Kind::Postgres => {
            let store = PostgresStore::open(url, Opening::BRIEF)?;
            let done = store.distribute(dry_run, say).await;
            store.close().await;
            done
        }
    }
}

/// The rights that a Postgres role of its own needs at run time; one more where old spans are deleted.
pub fn grants_sql(deletes: bool) -> String {
    let mut sql = include_str!("sql/postgres/grants.sql").to_owned();
    if deletes {
        sql.push_str(include_str!("sql/postgres/grants_retention.sql"));
    }
    sql
}

/// How a database is used; an embedded one makes no difference of it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Opening {
    /// Connections, at least 2; `None`: as many as are useful.
    pub connections: Option<u32>,
    /// By a command that answers and ends: nothing is done for the sake of being asked again.
    pub is_brief: bool,
}

impl Opening {
    /// For a command that answers and ends.
    pub const BRIEF: Self = Self {
        connections: None,
        is_brief: true,
    };
}

enum Kind<'a> {
    Sqlite(&'a Path),
    Postgres,
}

impl<'a> Kind<'a> {
    fn of(url: &'a str) -> Result<Self, StoreError> {
        if let Some(path) = url.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return match path {
                "" | ":memory:" | "memory:" => Err(StoreError::Configuration(
                    "the database URL names no file; write sqlite:PATH".to_owned(),
                )),
                path => Ok(Self::Sqlite(Path::new(path))),
            };
        }
        let scheme = url.split_once("://").map(|(scheme, _)| scheme);
        match scheme {
            Some("postgres" | "postgresql") => Ok(Self::Postgres),
            _ => Err(StoreError::Configuration(
                "the database URL must begin with sqlite:, postgres:// or postgresql://".to_owned(),
            )),
        }
    }
}

/// Where a source resumes; committed with the rows that were read before it.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// Name of the source.
    pub source: String,
    /// The source's own notion of a position.
    pub position: Value,
    /// Fence of the lease under which it was read, 0 without one: a stored one with a higher fence
    /// stands.
    pub fence: i64,
}

/// What is stored in one transaction.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// Printed spans, whole or in part; several of one span are allowed.
    pub observations: Vec<Observation>,
    /// Finished spans of senders with ids of their own (OTLP). Written as they are; the same
    /// (trace id, span id) again replaces the row if it is ours.
    pub spans: Vec<Span>,
    /// Positions reached.
    pub checkpoints: Vec<Checkpoint>,
    /// Findings about printed spans; entered after the observations.
    pub links: Vec<SpanLink>,
    /// Findings about traces of others; a later one for the same pair replaces an earlier one.
    pub execution_links: Vec<ExecutionLink>,
    /// Losses to enter in the ledger; one that is there already (same source, interval and reason)
    /// keeps the larger count.
    pub losses: Vec<LossEntry>,
}

impl Batch {
    /// Whether there is nothing to store.
    pub fn is_empty(&self) -> bool {
        self.observations.is_empty()
            && self.spans.is_empty()
            && self.checkpoints.is_empty()
            && self.links.is_empty()
            && self.execution_links.is_empty()
            && self.losses.is_empty()
    }
}

/// What a write did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// New rows.
    pub inserted: u64,
    /// Rows that changed.
    pub updated: u64,
    /// Rows that the database refuses for good (too long, impossible bytes): set aside with the
    /// reason in `rejected_spans`, the rest of the batch stored.
    pub rejected: u64,
    /// By how much the number of open, timed-out, completed and failed spans changed: in the order in
    /// which [`crate::model::SpanStatus`] lists them.
    pub statuses: [i64; 4],
    /// The minutes, since 1970, in which the rows began that were inserted or changed.
    pub began: BTreeSet<i64>,
}

/// What can be asked of a database.
#[async_trait]
pub trait Questions: Send + Sync + std::fmt::Debug {
    /// Spans, ordered by start and span id; at most `limit`.
    async fn spans(&self, question: &SpanQuestion, limit: u32) -> Result<Vec<Span>, StoreError>;

    /// The seconds of `[from, to)` in which spans began, in order, with how many.
    async fn seconds(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Vec<Second>, StoreError>;

    /// Executions, newest first; at most `limit`. Empty where the table does not exist.
    async fn executions(
        &self,
        question: &ExecutionQuestion,
        limit: u32,
    ) -> Result<Vec<Execution>, StoreError>;

    /// How many executions match, without the limit.
    async fn count_executions(&self, question: &ExecutionQuestion) -> Result<u64, StoreError>;

    /// The newest `most` executions of a window, counted by what they are and how long they took. Empty
    /// where the table does not exist.
    async fn tally_executions(&self, window: &Window, most: u32) -> Result<Vec<Tally>, StoreError>;

    /// A job by its public id, else by its integer key.
    async fn job(&self, id: &str) -> Result<Option<Job>, StoreError>;

    /// Which executions the given traces belong to, as far as that was found out.
    async fn execution_links(
        &self,
        traces: &[uuid::Uuid],
    ) -> Result<Vec<ExecutionLink>, StoreError>;

    /// All spans of the traces that belong to one of the executions, by a link or because one of their spans
    /// carries the execution's id in its column: ordered by start and span id, at most `limit`, with the links of
    /// those traces to the executions.
    async fn spans_of_executions(
        &self,
        ids: &[i64],
        limit: u32,
    ) -> Result<(Vec<Span>, Vec<ExecutionLink>), StoreError>;

    /// Losses that overlap an interval, oldest first.
    async fn losses(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Vec<LossEntry>, StoreError>;

    /// Gives back what is held between questions, before a longer pause and at the end; more may be
    /// asked afterwards.
    async fn rest(&self) {}
}

/// A database that keeps spans.
#[async_trait]
pub trait Store: Questions {
    /// Creates or completes the schema; only ever adds. Safe to run at every start and by several
    /// processes at once.
    async fn migrate(&self) -> Result<(), StoreError>;

    /// Stores a batch in one transaction: others see it when this returns, and once [`Store::sync`] has returned
    /// as well it outlives a crash of the machine. Of several, the earlier ones do so first.
    async fn commit(&self, batch: &Batch) -> Result<Written, StoreError>;

    /// Waits until all that was committed before this call is on disk; another batch may be committed meanwhile.
    /// After an error nobody knows what is, not even by trying again. A server sees to that in its commit.
    async fn sync(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Both, one after the other.
    async fn write(&self, batch: &Batch) -> Result<Written, StoreError> {
        let written = self.commit(batch).await?;
        self.sync().await?;
        Ok(written)
    }

    /// How many writes may usefully run side by side.
    fn writers(&self) -> usize;

    /// Where a source resumes; `None` when it was never seen.
    async fn checkpoint(&self, source: &str) -> Result<Option<Value>, StoreError>;

    /// Takes, renews or gives back leases; one answer for each name.
    async fn claim(&self, claim: &Claim) -> Result<Vec<Lease>, StoreError>;

    /// Questions about one moment of the database, over one connection at most: taken with the first of
    /// them, given back by [`Questions::rest`]. The embedded store answers each as of its own moment.
    fn snapshot(&self) -> Arc<dyn Questions>;

    /// Deletes what is old, one step of it.
    async fn sweep(&self, sweep: &Sweep) -> Result<Swept, StoreError>;

    /// How large the tables are.
    async fn sizes(&self) -> Result<Vec<TableSize>, StoreError>;

    /// What the database says about itself, for people who look for a fault; changes nothing.
    async fn examine(&self) -> Result<Examination, StoreError>;

    /// Closes connections; calls in flight end first.
    async fn close(&self);
}
