//! Brings a database to the schema that this program needs: numbered steps in one transaction, a look
//! at the columns of a table that others made, then indexes.
//!
//! Invariant: any number of processes may do this at once, through a pooler or not, and a role that may
//! only write can start on a database that somebody else has migrated.

use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Row};

use super::connections::Connections;
use super::distribute::is_distributed;
use super::fault::Fault;
use super::write::Table;
use super::{GONE, LOCKS, MIGRATION_LOCK, READ, index};
use crate::store::migration::POSTGRES;

/// Types that the binary rows of a write are made for.
const COLUMNS: &[(&str, &[&str])] = &[
    ("id", &["bigint", "integer"]),
    ("trace_id", UUID),
    ("span_id", UUID),
    ("parent_span_id", UUID),
    ("service", TEXT),
    ("operation", TEXT),
    ("started_at", &["timestamp with time zone"]),
    ("completed_at", &["timestamp with time zone"]),
    ("duration_ms", &["integer"]),
    ("status", TEXT),
    ("job_id", TEXT),
    ("execution_id", &["bigint"]),
    ("model_id", TEXT),
    ("region", TEXT),
    ("metadata", &["jsonb"]),
    ("error_message", TEXT),
    ("error_type", TEXT),
];
const UUID: &[&str] = &["uuid"];
const TEXT: &[&str] = &["character varying", "text"];

/// How long the steps may take all together: they make tables, which is quick, but may have to wait for
/// others who use them.
const STEPS: Duration = Duration::from_secs(300);

/// Does all of it; says what kind of table the rows of a write go to.
pub(super) async fn migrate(connections: &Connections) -> Result<Table, Fault> {
    apply(connections).await?;
    in_time(READ, check_columns(connections)).await?;
    let indexed = index::build(connections).await?;
    let mut conn = connections.acquire().await?;
    let distributed = in_time(READ, is_distributed(&mut conn)).await?;
    conn.give_back();
    Ok(match (distributed, indexed) {
        (true, _) => Table::Distributed,
        (false, true) => Table::Indexed,
        (false, false) => Table::Unindexed,
    })
}

/// A link that has fallen silent must not hold up whoever waits for this.
pub(super) async fn in_time<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    tokio::time::timeout(limit, call)
        .await
        .unwrap_or(Err(Fault::Silence))
}

async fn apply(connections: &Connections) -> Result<(), Fault> {
    let mut conn = connections.acquire().await?;
    // Without the lock first: a role that may only write needs no more at an ordinary start.
    if !in_time(READ, is_done(&mut conn)).await? {
        in_time(STEPS, take_steps(&mut conn)).await?;
    }
    conn.give_back();
    Ok(())
}

async fn is_done(conn: &mut PgConnection) -> Result<bool, Fault> {
    let mut tx = conn.begin_with("begin read only").await?;
    let done = version(&mut tx).await?;
    tx.commit().await?;
    Ok(POSTGRES.iter().all(|step| step.version <= done))
}

async fn take_steps(conn: &mut PgConnection) -> Result<(), Fault> {
    let mut tx = conn
        .begin_with(AssertSqlSafe(format!(
            "begin isolation level read committed; set local lock_timeout = '10s'; {GONE}; \
             select pg_advisory_xact_lock({LOCKS}, {MIGRATION_LOCK})"
        )))
        .await?;
    let done = version(&mut tx).await?;
    for step in POSTGRES.iter().filter(|step| step.version > done) {
        sqlx::raw_sql(step.sql).execute(&mut *tx).await?;
        sqlx::query("insert into beacon_collector.migrations (version, name) values ($1, $2)")
            .persistent(false)
            .bind(step.version)
            .bind(step.name)
            .execute(&mut *tx)
            .await?;
        tracing::info!(version = step.version, name = step.name, "migrated");
    }
    tx.commit().await?;
    Ok(())
}

/// The last step that was done; 0 on a database that was never migrated.
async fn version(conn: &mut PgConnection) -> Result<i64, Fault> {
    // By reading the catalogue: to_regclass answers from a cache that is not told of what another
    // process did while this transaction waited for the lock.
    let known = sqlx::query(
        "select exists (select from pg_class c join pg_namespace n on n.oid = c.relnamespace \
         where n.nspname = 'beacon_collector' and c.relname = 'migrations')",
    )
    .persistent(false)
    .fetch_one(&mut *conn)
    .await?;
    if !known.try_get::<bool, _>(0)? {
        return Ok(0);
    }
    let row = sqlx::query("select coalesce(max(version), 0) from beacon_collector.migrations")
        .persistent(false)
        .fetch_one(&mut *conn)
        .await?;
    Ok(row.try_get(0)?)
}

/// Looks at a table that others made before rows are written that it can't take: one word at the start
/// instead of every row set aside.
async fn check_columns(connections: &Connections) -> Result<(), Fault> {
    let columns = columns(connections).await?;
    let mut faults = Vec::new();
    for (name, types) in COLUMNS {
        match columns.iter().find(|column| column.name == *name) {
            None => faults.push(format!("{name} is missing")),
            Some(column) if !types.contains(&column.kind.as_str()) => {
                faults.push(format!("{name} is {}, not {}", column.kind, types[0]));
            }
            Some(_) => {}
        }
    }
    for column in columns.iter().filter(|column| column.required) {
        if COLUMNS.iter().all(|(name, _)| column.name != *name) {
            faults.push(format!("{} has no default", column.name));
        }
    }
    if faults.is_empty() {
        return Ok(());
    }
    Err(Fault::Table(faults.join(", ")))
}

struct Column {
    name: String,
    kind: String,
    required: bool,
}

async fn columns(connections: &Connections) -> Result<Vec<Column>, Fault> {
    let mut conn = connections.acquire().await?;
    let mut tx = conn.begin_with("begin read only").await?;
    let rows = sqlx::query(include_str!("../sql/postgres/columns.sql"))
        .persistent(false)
        .fetch_all(&mut *tx)
        .await?;
    tx.commit().await?;
    conn.give_back();
    let columns = rows.iter().map(|row| {
        Ok(Column {
            name: row.try_get(0)?,
            kind: row.try_get(1)?,
            required: row.try_get(2)?,
        })
    });
    Ok(columns.collect::<sqlx::Result<_>>()?)
}
