//! Brings a database to the schema that this program needs: numbered steps in one transaction, a look
//! at the columns of a table that others made, then indexes.
//!
//! Invariant: any number of processes may do this at once, through a pooler or not, and a role that may
//! only write can start on a database that somebody else has migrated.

use sqlx::postgres::{PgConnection, PgPool};
use sqlx::{AssertSqlSafe, Connection, Row};

use super::fault::Fault;
use super::{LOCKS, MIGRATION_LOCK, index};
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

/// Does all of it; says whether the rows of a write can be found by an index.
pub(super) async fn migrate(pool: &PgPool) -> Result<bool, Fault> {
    apply(pool).await?;
    check_columns(pool).await?;
    index::build(pool).await
}

async fn apply(pool: &PgPool) -> Result<(), Fault> {
    let mut conn = pool.acquire().await?;
    // Without the lock first: a role that may only write needs no more at an ordinary start.
    let mut tx = conn.begin_with("begin read only").await?;
    let done = version(&mut tx).await?;
    tx.commit().await?;
    if POSTGRES.iter().all(|step| step.version <= done) {
        return Ok(());
    }
    let mut tx = conn
        .begin_with(AssertSqlSafe(format!(
            "begin isolation level read committed; set local lock_timeout = '10s'; \
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
async fn check_columns(pool: &PgPool) -> Result<(), Fault> {
    let columns = columns(pool).await?;
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

async fn columns(pool: &PgPool) -> Result<Vec<Column>, Fault> {
    let mut conn = pool.acquire().await?;
    let mut tx = conn.begin_with("begin read only").await?;
    let rows = sqlx::query(include_str!("../sql/postgres/columns.sql"))
        .persistent(false)
        .fetch_all(&mut *tx)
        .await?;
    tx.commit().await?;
    let columns = rows.iter().map(|row| {
        Ok(Column {
            name: row.try_get(0)?,
            kind: row.try_get(1)?,
            required: row.try_get(2)?,
        })
    });
    Ok(columns.collect::<sqlx::Result<_>>()?)
}
