//! Spans in Postgres 15 or newer, beside the tables of the runner and the router.
//!
//! Invariant: every statement runs in an explicit transaction, unnamed unless the connection leads to the
//! server itself, and sets nothing that outlives it. Poolers in transaction mode give wrong answers otherwise. No call lasts for ever: the server
//! limits each statement, and the client each call as a whole, because a dead link answers nothing.

mod abandoned;
mod alone;
mod connections;
mod copy;
mod distribute;
mod examine;
mod fault;
mod index;
mod migrate;
mod question;
mod read;
mod row;
mod snapshot;
mod sweep;
mod url;
mod write;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use sqlx::Connection;
use sqlx::postgres::PgRow;
use tokio::sync::OnceCell;

use self::abandoned::Abandoned;
use self::connections::{Connections, Lent};
use self::distribute::Distribution;
use self::fault::Fault;
use self::question::Ask;
use self::snapshot::Snapshot;
use self::write::{Care, Table};
use super::alone::Alone;
use super::{
    Batch, Claim, Examination, Lease, Opening, Questions, SHARDS, Store, StoreError, Sweep, Swept,
    TableSize, Written, migration,
};

/// First key of our advisory locks, "beac" in ASCII; the second is a shard or one of the two below.
const LOCKS: i32 = 0x6265_6163;
const MIGRATION_LOCK: i32 = 1000;
const INDEX_LOCK: i32 = 1001;

/// How long a batch may take: twice what the server allows one statement.
const WRITE: Duration = Duration::from_secs(30);
/// How long an answer may take: the server gives up after half of it.
const READ: Duration = Duration::from_secs(10);
const BEGIN_CHANGE: &str = "begin isolation level read committed; \
    set local statement_timeout = '5s'; set local lock_timeout = '2s'";
// Compiling a statement takes longer than running any of ours.
const BEGIN_READ: &str = "begin isolation level read committed read only; \
    set local statement_timeout = '5s'; set local jit = off";
/// Attempts at one batch when it loses races.
const ATTEMPTS: u32 = 3;
/// A write for each shard and a question beside them.
const CONNECTIONS: u32 = SHARDS as u32 + 1;

/// Tells the server, for one transaction, after which time a client that has fallen silent is gone.
/// Otherwise it would hold the locks of a transaction that waits for rows, which no other limit ends,
/// for as long as the system's defaults have it: two hours.
const GONE: &str = "set local tcp_keepalives_idle = 10; set local tcp_keepalives_interval = 5; \
    set local tcp_keepalives_count = 3; set local tcp_user_timeout = 25000";

/// A Postgres database.
#[derive(Debug)]
pub struct PostgresStore {
    connections: Connections,
    abandoned: Abandoned,
    // Found out before the first write.
    alone: OnceCell<Alone>,
    // The runner makes its tables when it first starts, which may be after us.
    has_runner_tables: Arc<AtomicBool>,
    // As the last migration found it.
    table: Mutex<Table>,
}

impl PostgresStore {
    /// Reads the URL; connections are made when they are needed, so that a database that is away
    /// keeps nobody from starting.
    pub fn open(url: &str, opening: Opening) -> Result<Self, StoreError> {
        let options = url::parse(url)?;
        // Building an index takes two at once.
        let size = opening.connections.unwrap_or(CONNECTIONS).max(2) as usize;
        let connections = Connections::new(options, size, !opening.is_brief)
            .map_err(|fault| fault.sort("prepare connections"))?;
        Ok(Self {
            connections,
            abandoned: Abandoned::default(),
            alone: OnceCell::new(),
            has_runner_tables: Arc::default(),
            table: Mutex::default(),
        })
    }

    async fn attempt(&self, batch: &Batch, care: Care) -> Result<Written, Fault> {
        let begin = || alone::begin(&self.connections);
        let alone = self.alone.get_or_try_init(begin).await?;
        let mut conn = self.connections.acquire().await?;
        let table = *self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let attempt = self.abandoned.next_attempt();
        let write = write::write(&mut conn, batch, (care, table), &attempt, alone);
        let result = tokio::time::timeout(WRITE, write)
            .await
            .unwrap_or(Err(Fault::Silence));
        self.abandoned.ended(attempt, result.as_ref().err());
        settle(conn, &result).await;
        result
    }

    /// Spreads the tables over the machines of a Citus cluster; `say` is told every statement before it runs.
    /// With `dry_run` none runs.
    pub async fn distribute(
        &self,
        dry_run: bool,
        say: impl Fn(&str) + Sync,
    ) -> Result<(), StoreError> {
        let fault = |fault: Fault| fault.sort("distribute");
        let mut conn = self.connections.acquire().await.map_err(fault)?;
        let found = Distribution::read(&mut conn).await.map_err(fault)?;
        if dry_run {
            found.statements.iter().for_each(|statement| say(statement));
        }
        found.check()?;
        for statement in found.statements.iter().filter(|_| !dry_run) {
            say(statement);
            Distribution::run(&mut conn, statement)
                .await
                .map_err(fault)?;
        }
        conn.give_back();
        Ok(())
    }

    async fn step(&self, sweep: &Sweep) -> Result<Swept, Fault> {
        let mut conn = self.connections.acquire().await?;
        let result = tokio::time::timeout(WRITE, sweep::sweep(&mut conn, sweep))
            .await
            .unwrap_or(Err(Fault::Silence));
        settle(conn, &result).await;
        result
    }

    async fn answer(
        &self,
        begin: &'static str,
        query: read::Query<'_>,
    ) -> Result<Vec<PgRow>, Fault> {
        let mut conn = self.connections.acquire().await?;
        let result = match tokio::time::timeout(READ, run(&mut conn, begin, query)).await {
            Ok(result) => result.map_err(Fault::from),
            Err(_) => Err(Fault::Silence),
        };
        if result.as_ref().is_err_and(Fault::is_outdated_statement) {
            self.connections.forget_idle();
        }
        settle(conn, &result).await;
        result
    }
}

/// Keeps a connection where the call left it usable.
async fn settle<T>(conn: Lent, result: &Result<T, Fault>) {
    match result {
        Ok(_) => conn.give_back(),
        Err(fault) if fault.spoils_connection() => {}
        Err(_) => conn.clear_and_give_back().await,
    }
}

async fn run(
    conn: &mut Lent,
    begin: &'static str,
    query: read::Query<'_>,
) -> sqlx::Result<Vec<PgRow>> {
    let query = conn.fit(query);
    let mut tx = conn.begin_with(begin).await?;
    let rows = query.fetch_all(&mut *tx).await?;
    tx.commit().await?;
    Ok(rows)
}

#[async_trait]
impl Ask for PostgresStore {
    async fn ask(
        &self,
        action: &'static str,
        query: read::Query<'_>,
    ) -> Result<Vec<PgRow>, StoreError> {
        (self.answer(BEGIN_READ, query).await).map_err(|fault| fault.sort(action))
    }

    fn runner_tables(&self) -> &AtomicBool {
        &self.has_runner_tables
    }
}

/// The statements of a migration, for people who run them themselves.
pub(super) fn migration_sql() -> String {
    let mut sql = migration::text(migration::POSTGRES);
    sql.push_str("\n-- Then, outside any transaction, what is not there yet:\n");
    for index in index::INDEXES {
        sql.push_str(&index.explained());
    }
    sql
}

#[async_trait]
impl Store for PostgresStore {
    async fn migrate(&self) -> Result<(), StoreError> {
        match migrate::migrate(&self.connections).await {
            Ok(found) => *self.table.lock().unwrap_or_else(PoisonError::into_inner) = found,
            Err(fault) => return Err(fault.sort("migrate")),
        }
        Ok(())
    }

    async fn commit(&self, batch: &Batch) -> Result<Written, StoreError> {
        let mut care = Care::Together;
        let mut attempts = 0;
        loop {
            let fault = match self.attempt(batch, care).await {
                Ok(written) => return Ok(written),
                Err(fault) => fault,
            };
            attempts += 1;
            if care == Care::Together && fault.is_refusal_of_rows() {
                care = Care::Bisect;
            } else if !fault.is_race() || attempts >= ATTEMPTS {
                return Err(fault.sort("write spans"));
            }
            tracing::debug!(?fault, attempts, "writing a batch again");
        }
    }

    fn writers(&self) -> usize {
        // One connection stays for questions.
        SHARDS.min(self.connections.most() - 1)
    }

    async fn checkpoint(&self, source: &str) -> Result<Option<Value>, StoreError> {
        let query =
            read::query("select position from beacon_collector.checkpoints where source = $1")
                .bind(source);
        let rows = self.ask("read checkpoint", query).await?;
        Ok(rows.first().and_then(|row| row::json(row, 0)))
    }

    async fn claim(&self, claim: &Claim) -> Result<Vec<Lease>, StoreError> {
        let query = read::query(include_str!("../sql/postgres/claim_leases.sql"))
            .bind(&claim.names)
            .bind(claim.holder.id)
            .bind(&claim.holder.label)
            .bind(claim.term.as_secs_f64());
        match self.answer(BEGIN_CHANGE, query).await {
            Ok(rows) => Ok(rows.iter().map(row::lease).collect()),
            Err(fault) => Err(fault.sort("claim leases")),
        }
    }

    fn snapshot(&self) -> Arc<dyn Questions> {
        Arc::new(Snapshot::new(&self.connections, &self.has_runner_tables))
    }

    async fn sweep(&self, sweep: &Sweep) -> Result<Swept, StoreError> {
        match self.step(sweep).await {
            Ok(swept) => Ok(swept),
            Err(fault) => Err(fault.sort("delete what is old")),
        }
    }

    async fn sizes(&self) -> Result<Vec<TableSize>, StoreError> {
        let query = read::query(include_str!("../sql/postgres/sizes.sql"));
        let rows = self.ask("measure tables", query).await?;
        Ok(rows.iter().map(sweep::size).collect())
    }

    async fn examine(&self) -> Result<Examination, StoreError> {
        self.look().await
    }

    async fn close(&self) {
        self.connections.close().await;
    }
}
