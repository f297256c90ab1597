//! The indexes that the collector adds to tables of others, built without keeping anybody from writing.
//!
//! `create index concurrently` runs outside any transaction, so what guards against two processes
//! building at once is a transaction on a second connection that holds an advisory lock. A build waits
//! for the end of every transaction that it saw with a snapshot, and the server takes that for no
//! deadlock. Hence who waits for the lock asks again and again, each time in a transaction of its own,
//! and nothing that takes a snapshot runs in the transaction that holds it.
//!
//! Invariant: the store is correct without any of them. What can't be built is said, with the statement
//! that the table's owner can run.

use std::collections::BTreeMap;
use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor, Row};

use super::connections::Connections;
use super::fault::{Fault, code};
use super::migrate::in_time;
use super::{GONE, INDEX_LOCK, LOCKS, READ};

/// How often is asked for the lock.
const ASKING: Duration = Duration::from_millis(200);
/// A round trip for which the server takes no snapshot.
const NO_SNAPSHOT: &str = "show transaction_isolation";

/// One index.
#[derive(Debug)]
pub(super) struct Index {
    name: &'static str,
    unique: bool,
    table: &'static str,
    /// Its key; any complete index that begins with this column does as well.
    key: &'static str,
    /// Its predicate; empty for all rows.
    only: &'static str,
    /// The question it serves.
    serves: &'static str,
}

/// Every index that a write or a question needs beyond primary keys.
pub(super) const INDEXES: &[Index] = &[
    Index {
        name: "beacon_own_spans",
        unique: true,
        table: "public.trace_spans",
        key: "span_id, trace_id",
        only: "metadata ->> 'collector' = 'beacon-collector'",
        serves: "the rows a write has to look at, and spans by log id",
    },
    Index {
        name: "beacon_open_spans",
        unique: false,
        table: "public.trace_spans",
        key: "started_at",
        only: "status = 'started' and metadata ->> 'collector' = 'beacon-collector'",
        serves: "the deadline sweep and the state after a restart",
    },
    Index {
        name: "beacon_trace_spans_trace_id",
        unique: false,
        table: "public.trace_spans",
        key: "trace_id",
        only: "",
        serves: "the spans of a trace",
    },
    Index {
        name: "beacon_trace_spans_execution_id",
        unique: false,
        table: "public.trace_spans",
        key: "execution_id",
        only: "",
        serves: "the spans of an execution",
    },
    Index {
        name: "beacon_trace_spans_started_at",
        unique: false,
        table: "public.trace_spans",
        key: "started_at",
        only: "",
        serves: "spans in a window of time",
    },
    Index {
        name: "beacon_executions_job_id",
        unique: false,
        table: "public.executions",
        key: "job_id",
        only: "",
        serves: "the executions of a job",
    },
    Index {
        name: "beacon_executions_created_at",
        unique: false,
        table: "public.executions",
        key: "created_at",
        only: "",
        serves: "recent executions",
    },
    Index {
        name: "beacon_failed_executions",
        unique: false,
        table: "public.executions",
        key: "created_at, model_id, region",
        only: "lower(status) not in ('completed', 'complete', 'success', 'succeeded', 'ok', 'done', \
               'pending', 'queued', 'running', 'started')",
        serves: "recent failures and their number",
    },
];

impl Index {
    /// The statement that builds it.
    pub(super) fn statement(&self) -> String {
        let unique = if self.unique { "unique " } else { "" };
        let only = match self.only {
            "" => String::new(),
            only => format!(" where {only}"),
        };
        format!(
            "create {unique}index concurrently if not exists {} on {} ({}){only};",
            self.name, self.table, self.key
        )
    }

    /// The same with its reason, for people.
    pub(super) fn explained(&self) -> String {
        format!("-- Serves {}.\n{}\n", self.serves, self.statement())
    }
}

/// What stands in the database.
struct Standing {
    /// (table, name) and whether it is usable.
    named: BTreeMap<(String, String), bool>,
    /// (table, first column) of usable indexes over all rows.
    leading: Vec<(String, String)>,
}

impl Standing {
    async fn read(conn: &mut PgConnection) -> Result<Self, Fault> {
        let mut tx = conn.begin_with("begin read only").await?;
        let rows = sqlx::query(include_str!("../sql/postgres/indexes.sql"))
            .persistent(false)
            .fetch_all(&mut *tx)
            .await?;
        tx.commit().await?;
        let mut standing = Self {
            named: BTreeMap::new(),
            leading: Vec::new(),
        };
        for row in rows {
            let table: String = row.try_get(0)?;
            let valid: bool = row.try_get(2)?;
            let column: Option<String> = row.try_get(3)?;
            if let (true, Some(column)) = (valid, column) {
                standing.leading.push((table.clone(), column));
            }
            standing.named.insert((table, row.try_get(1)?), valid);
        }
        Ok(standing)
    }

    fn has_table(&self, index: &Index) -> bool {
        self.named.keys().any(|(table, _)| table == index.table)
    }

    fn serves(&self, index: &Index) -> bool {
        let named = (index.table.to_owned(), index.name.to_owned());
        let first = index.key.split(',').next().unwrap_or(index.key);
        self.named.get(&named) == Some(&true)
            || index.only.is_empty()
                && self
                    .leading
                    .iter()
                    .any(|(table, column)| table == index.table && column == first)
    }

    fn finds_spans(&self) -> bool {
        let (table, name) = (INDEXES[0].table, INDEXES[0].name);
        let led = |(of, column): &(String, String)| of == table && column == "span_id";
        self.named.get(&(table.to_owned(), name.to_owned())) == Some(&true)
            || self.leading.iter().any(led)
    }

    fn is_left_over(&self, index: &Index) -> bool {
        let named = (index.table.to_owned(), index.name.to_owned());
        self.named.get(&named) == Some(&false)
    }
}

/// Builds what is missing; says whether spans can be found by their id.
pub(super) async fn build(connections: &Connections) -> Result<bool, Fault> {
    let mut conn = connections.acquire().await?;
    let standing = in_time(READ, Standing::read(&mut conn)).await?;
    if missing(&standing).next().is_none() {
        conn.give_back();
        return Ok(true);
    }
    let mut second = connections.acquire().await?;
    while !in_time(READ, begin_locked(&mut second)).await? {
        tokio::time::sleep(ASKING).await;
    }
    let built = tokio::select! {
        built = build_missing(&mut conn) => built?,
        fault = watch(&mut second) => return Err(fault),
    };
    in_time(READ, async { Ok(second.execute("commit").await?) }).await?;
    second.give_back();
    conn.give_back();
    Ok(built)
}

async fn build_missing(conn: &mut PgConnection) -> Result<bool, Fault> {
    // Again: another process may have built them meanwhile.
    let standing = Standing::read(conn).await?;
    for index in missing(&standing) {
        build_one(conn, index, standing.is_left_over(index)).await;
    }
    Ok(Standing::read(conn).await?.finds_spans())
}

/// Ends when the link has fallen silent. A build may take hours, in which its own connection says
/// nothing either.
async fn watch(guard: &mut PgConnection) -> Fault {
    loop {
        tokio::time::sleep(READ).await;
        let alive = in_time(READ, async { Ok(guard.execute(NO_SNAPSHOT).await?) });
        if let Err(fault) = alive.await {
            return fault;
        }
    }
}

/// Begins a transaction that holds the lock; none is left open when another process holds it.
async fn begin_locked(conn: &mut PgConnection) -> Result<bool, Fault> {
    // A simple query: a prepared one would leave a portal, and with it a snapshot, until the commit.
    let begin = format!(
        "begin isolation level read committed; set local idle_in_transaction_session_timeout = 0; \
         {GONE}; select pg_try_advisory_xact_lock({LOCKS}, {INDEX_LOCK})"
    );
    let row = sqlx::raw_sql(AssertSqlSafe(begin))
        .fetch_one(&mut *conn)
        .await?;
    let locked: bool = row.try_get(0)?;
    if !locked {
        conn.execute("rollback").await?;
    }
    Ok(locked)
}

async fn build_one(conn: &mut PgConnection, index: &Index, is_left_over: bool) {
    if is_left_over {
        drop_left_over(conn, index).await;
    }
    let statement = index.statement();
    tracing::info!(index = index.name, table = index.table, "building an index");
    if let Err(err) = conn.execute(AssertSqlSafe(statement.as_str())).await {
        tracing::warn!(
            index = index.name,
            reason = %err,
            statement,
            "cannot build an index that serves {}; everything works, more slowly. The owner of {} can \
             run the statement",
            index.serves,
            index.table
        );
        // Who may not build it has left nothing behind.
        if code(&err) != Some("42501") {
            drop_left_over(conn, index).await;
        }
    }
}

/// The statements that build what is missing.
pub(super) async fn lacking(connections: &Connections) -> Result<Vec<String>, Fault> {
    let mut conn = connections.acquire().await?;
    let standing = in_time(READ, Standing::read(&mut conn)).await?;
    conn.give_back();
    Ok(missing(&standing).map(Index::statement).collect())
}

fn missing(standing: &Standing) -> impl Iterator<Item = &'static Index> {
    INDEXES
        .iter()
        .filter(|index| standing.has_table(index) && !standing.serves(index))
}

/// A build that failed half-way leaves an index that costs writes and serves nobody.
async fn drop_left_over(conn: &mut PgConnection, index: &Index) {
    let statement = format!("drop index concurrently if exists public.{}", index.name);
    if let Err(err) = conn.execute(AssertSqlSafe(statement.as_str())).await {
        tracing::warn!(index = index.name, %err, "cannot drop the rest of a failed index build");
    }
}
