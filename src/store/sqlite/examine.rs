//! The state of an embedded database, for people who look for a fault.

use chrono::{TimeDelta, Utc};
use sqlx::Row as _;
use sqlx::SqlitePool;
use sqlx::sqlite::SqliteRow;

use super::row::time_text;
use crate::store::examine::{Examination, SpanWriter};
use crate::store::migration;

/// Reads it.
pub(super) async fn look(pool: &SqlitePool) -> sqlx::Result<Examination> {
    let day = time_text(Utc::now() - TimeDelta::days(1));
    let row = sqlx::query(
        "select sqlite_version(), exists (select 1 from sqlite_master where name = 'migrations')",
    )
    .fetch_one(pool)
    .await?;
    let mut seen = Examination {
        version: format!("SQLite {}", row.try_get::<String, _>(0)?),
        // It has none of its own.
        clock: Utc::now(),
        steps: (0, migration::SQLITE.last().map_or(0, |step| step.version)),
        missing_rights: Vec::new(),
        missing_indexes: Vec::new(),
        writers: Vec::new(),
        doubled: 0,
    };
    if !row.try_get::<bool, _>(1)? {
        return Ok(seen);
    }
    let row = sqlx::query("select coalesce(max(version), 0) from migrations")
        .fetch_one(pool)
        .await?;
    seen.steps.0 = row.try_get(0)?;
    let rows = sqlx::query(include_str!("../sql/sqlite/writers.sql"))
        .bind(&day)
        .fetch_all(pool)
        .await?;
    seen.writers = rows.iter().map(writer).collect();
    let row = sqlx::query(include_str!("../sql/sqlite/doubled.sql"))
        .bind(&day)
        .fetch_one(pool)
        .await?;
    seen.doubled = row.try_get::<i64, _>(0)?.unsigned_abs();
    Ok(seen)
}

fn writer(row: &SqliteRow) -> SpanWriter {
    let count = |at: usize| row.try_get::<i64, _>(at).unwrap_or_default().unsigned_abs();
    SpanWriter {
        service: row.try_get(0).unwrap_or_default(),
        ours: row.try_get(1).unwrap_or_default(),
        spans: count(2),
        without_start: count(3),
    }
}
