//! Deleting what is old, a step a transaction. The file does not shrink: its free pages are used again.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::SqlitePool;
use sqlx::sqlite::SqliteConnection;
use uuid::Uuid;

use super::row::{self, time_text};
use crate::store::retention::{Expired, Looked, SWEEP_ROWS, Sweep, Swept};

pub(super) async fn sweep(pool: &SqlitePool, sweep: &Sweep) -> sqlx::Result<Swept> {
    let mut tx = pool.begin_with("begin immediate").await?;
    let swept = match sweep {
        Sweep::Spans {
            after,
            before,
            expired,
        } => spans(&mut tx, *after, *before, expired).await?,
        Sweep::Links(after) => links(&mut tx, *after).await?,
        Sweep::Rejected(before) | Sweep::Losses(before) | Sweep::Leases(before) => {
            let delete = match sweep {
                Sweep::Rejected(_) => {
                    "delete from rejected_spans where (span_id, trace_id) in \
                    (select span_id, trace_id from rejected_spans where rejected_at < ? limit ?)"
                }
                Sweep::Losses(_) => {
                    "delete from loss_ledger \
                    where (source, lost_from, lost_to, reason) in \
                    (select source, lost_from, lost_to, reason from loss_ledger where lost_to < ? limit ?)"
                }
                _ => {
                    "delete from leases where name in \
                    (select name from leases where expires_at < ? limit ?)"
                }
            };
            let deleted = sqlx::query(delete)
                .bind(time_text(*before))
                .bind(SWEEP_ROWS)
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
    conn: &mut SqliteConnection,
    after: (DateTime<Utc>, i64),
    before: DateTime<Utc>,
    expired: &Arc<Expired>,
) -> sqlx::Result<Swept> {
    let rows = sqlx::query(include_str!("../sql/sqlite/spans_by_age.sql"))
        .bind(time_text(after.0))
        .bind(after.1)
        .bind(time_text(before))
        .bind(SWEEP_ROWS)
        .fetch_all(&mut *conn)
        .await?;
    let looked: Vec<Looked> = rows.iter().filter_map(row::looked).collect();
    let traces: Vec<Uuid> = looked.iter().map(|row| row.trace_id).collect();
    let rows = sqlx::query(include_str!("../sql/sqlite/failed_traces.sql"))
        .bind(json!(traces).to_string())
        .fetch_all(&mut *conn)
        .await?;
    let failed = rows.iter().filter_map(|row| row::uuid(row, 0)).collect();
    let due = expired.due(&looked, &failed);
    if !due.is_empty() {
        let ids: Vec<i64> = due.iter().map(|row| row.id).collect();
        sqlx::query("delete from trace_spans where id in (select value from json_each(?))")
            .bind(json!(ids).to_string())
            .execute(conn)
            .await?;
    }
    Ok(Swept::of(due.len(), &looked, |last| Sweep::Spans {
        after: (last.started_at, last.id),
        before,
        expired: Arc::clone(expired),
    }))
}

async fn links(conn: &mut SqliteConnection, after: (Uuid, i64)) -> sqlx::Result<Swept> {
    let rows = sqlx::query(
        "select trace_id, execution_id from execution_links \
         where (trace_id, execution_id) > (?, ?) order by trace_id, execution_id limit ?",
    )
    .bind(after.0.to_string())
    .bind(after.1)
    .bind(SWEEP_ROWS)
    .fetch_all(&mut *conn)
    .await?;
    let key = |row| Some((row::uuid(row, 0)?, row::integer(row, 1)?));
    let looked: Vec<(Uuid, i64)> = rows.iter().filter_map(key).collect();
    let traces: Vec<Uuid> = looked.iter().map(|(trace, _)| *trace).collect();
    let deleted = sqlx::query(
        "delete from execution_links where trace_id in (select value from json_each(?1)) \
         and trace_id not in (select trace_id from trace_spans where trace_id in \
         (select value from json_each(?1)))",
    )
    .bind(json!(traces).to_string())
    .execute(conn)
    .await?
    .rows_affected();
    let deleted = usize::try_from(deleted).unwrap_or(usize::MAX);
    Ok(Swept::of(deleted, &looked, |last| Sweep::Links(*last)))
}
