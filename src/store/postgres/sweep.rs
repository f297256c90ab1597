//! Deleting what is old, a step a transaction.

use std::collections::HashSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use sqlx::Connection;
use sqlx::postgres::{PgConnection, PgRow};
use uuid::Uuid;

use super::fault::Fault;
use super::read::query;
use super::row;
use crate::store::retention::{Expired, Looked, SWEEP_ROWS, Sweep, Swept};

/// Short enough that nobody waits long for the rows of a step. A step is about few rows of a large table,
/// whatever statistics say of one that has just grown.
const BEGIN: &str = "begin isolation level read committed; set local enable_seqscan = off; \
    set local statement_timeout = '10s'; set local lock_timeout = '1s'";

pub(super) async fn sweep(conn: &mut PgConnection, sweep: &Sweep) -> Result<Swept, Fault> {
    let mut tx = conn.begin_with(BEGIN).await?;
    let swept = match sweep {
        Sweep::Spans {
            after,
            before,
            expired,
        } => spans(&mut tx, *after, *before, expired).await?,
        Sweep::Links(after) => links(&mut tx, *after).await?,
        Sweep::Rejected(before) | Sweep::Losses(before) | Sweep::Leases(before) => {
            let delete = match sweep {
                Sweep::Rejected(_) => include_str!("../sql/postgres/delete_rejected.sql"),
                Sweep::Losses(_) => include_str!("../sql/postgres/delete_losses.sql"),
                _ => include_str!("../sql/postgres/delete_leases.sql"),
            };
            let deleted = query(delete)
                .bind(before)
                .bind(i64::from(SWEEP_ROWS))
                .execute(&mut *tx)
                .await?
                .rows_affected();
            let next = sweep.again(deleted);
            Swept { deleted, next }
        }
    };
    tx.commit().await?;
    Ok(swept)
}

async fn spans(
    conn: &mut PgConnection,
    after: (DateTime<Utc>, i64),
    before: DateTime<Utc>,
    expired: &Arc<Expired>,
) -> sqlx::Result<Swept> {
    let rows = query(include_str!("../sql/postgres/spans_by_age.sql"))
        .bind(after.0)
        .bind(after.1)
        .bind(before)
        .bind(i64::from(SWEEP_ROWS))
        .fetch_all(&mut *conn)
        .await?;
    let looked: Vec<Looked> = rows.iter().filter_map(row::looked).collect();
    let traces: Vec<Uuid> = looked.iter().map(|row| row.trace_id).collect();
    let rows = query(include_str!("../sql/postgres/failed_traces.sql"))
        .bind(traces)
        .fetch_all(&mut *conn)
        .await?;
    let failed = rows.iter().filter_map(|row| row::uuid(row, 0)).collect();
    let due = expired.due(&looked, &failed);
    if !due.is_empty() {
        // By both columns: whichever of them leads an index, or the table is distributed by.
        query("delete from public.trace_spans where trace_id = any($1) and id = any($2)")
            .bind(due.iter().map(|row| row.trace_id).collect::<Vec<_>>())
            .bind(due.iter().map(|row| row.id).collect::<Vec<_>>())
            .execute(conn)
            .await?;
    }
    Ok(Swept::of(due.len(), &looked, |last| Sweep::Spans {
        after: (last.started_at, last.id),
        before,
        expired: Arc::clone(expired),
    }))
}

async fn links(conn: &mut PgConnection, after: (Uuid, i64)) -> sqlx::Result<Swept> {
    let rows = query(
        "select trace_id, execution_id from beacon_collector.execution_links \
         where (trace_id, execution_id) > ($1, $2) order by trace_id, execution_id limit $3",
    )
    .bind(after.0)
    .bind(after.1)
    .bind(i64::from(SWEEP_ROWS))
    .fetch_all(&mut *conn)
    .await?;
    let key = |row| Some((row::uuid(row, 0)?, row::integer(row, 1)?));
    let looked: Vec<(Uuid, i64)> = rows.iter().filter_map(key).collect();
    let traces: Vec<Uuid> = looked.iter().map(|(trace, _)| *trace).collect();
    let alive = "select distinct trace_id from public.trace_spans where trace_id = any($1)";
    let rows = query(alive).bind(traces).fetch_all(&mut *conn).await?;
    let alive: HashSet<Uuid> = rows.iter().filter_map(|row| row::uuid(row, 0)).collect();
    let mut gone: Vec<Uuid> = (looked.iter())
        .map(|(trace, _)| *trace)
        .filter(|trace| !alive.contains(trace))
        .collect();
    gone.dedup();
    let mut deleted = 0;
    if !gone.is_empty() {
        let delete = "delete from beacon_collector.execution_links where trace_id = any($1)";
        deleted = query(delete)
            .bind(gone)
            .execute(conn)
            .await?
            .rows_affected();
    }
    let deleted = usize::try_from(deleted).unwrap_or(usize::MAX);
    Ok(Swept::of(deleted, &looked, |last| Sweep::Links(*last)))
}

/// The name of a table and how large it is.
pub(super) fn size(row: &PgRow) -> crate::store::TableSize {
    let number = |at| row::integer(row, at).and_then(|number| u64::try_from(number).ok());
    crate::store::TableSize {
        table: row::text(row, 0).unwrap_or_default(),
        bytes: number(1).unwrap_or(0),
        index_bytes: number(2).unwrap_or(0),
        rows: number(3),
    }
}
