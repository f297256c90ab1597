//! Deleting what is old, a step a transaction. The file does not shrink: its free pages are used again.

use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::SqlitePool;
use sqlx::sqlite::SqliteConnection;

use super::row::{self, time_text};
use crate::store::retention::{Expired, Looked, SWEEP_ROWS, Sweep, Swept};

pub(super) async fn sweep(pool: &SqlitePool, sweep: &Sweep) -> sqlx::Result<Swept> {
    let mut tx = pool.begin_with("begin immediate").await?;
    let swept = match sweep {
        Sweep::Spans { .. } => spans(&mut tx, sweep).await?,
        Sweep::Links(_) => links(&mut tx, sweep).await?,
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

async fn spans(conn: &mut SqliteConnection, sweep: &Sweep) -> sqlx::Result<Swept> {
    let Sweep::Spans {
        after,
        before,
        expired,
    } = sweep
    else {
        return Ok(Swept::default());
    };
    let Expired {
        ours,
        sources,
        others,
    } = &**expired;
    let text = |at: Option<DateTime<Utc>>| at.map(time_text);
    let sources: Vec<_> = sources
        .iter()
        .map(|(name, at)| json!([name, text(at.ended), text(at.failed)]))
        .collect();
    let rows = sqlx::query(include_str!("../sql/sqlite/due_spans.sql"))
        .bind(time_text(after.0))
        .bind(after.1)
        .bind(time_text(*before))
        .bind(SWEEP_ROWS)
        .bind(json!(sources).to_string())
        .bind(text(ours.ended))
        .bind(text(ours.failed))
        .bind(text(others.ended))
        .bind(text(others.failed))
        .fetch_all(&mut *conn)
        .await?;
    let looked: Vec<Looked> = rows.iter().filter_map(row::looked).collect();
    let due: Vec<i64> = (looked.iter())
        .filter(|row| row.due)
        .map(|row| row.id)
        .collect();
    if !due.is_empty() {
        sqlx::query("delete from trace_spans where id in (select value from json_each(?))")
            .bind(json!(due).to_string())
            .execute(conn)
            .await?;
    }
    Ok(Swept {
        deleted: due.len() as u64,
        next: sweep.behind(&looked),
    })
}

async fn links(conn: &mut SqliteConnection, sweep: &Sweep) -> sqlx::Result<Swept> {
    let Sweep::Links(after) = sweep else {
        return Ok(Swept::default());
    };
    let rows = sqlx::query(include_str!("../sql/sqlite/loose_links.sql"))
        .bind(after.0.to_string())
        .bind(after.1)
        .bind(SWEEP_ROWS)
        .fetch_all(&mut *conn)
        .await?;
    let looked: Vec<_> = rows.iter().filter_map(row::looked_link).collect();
    let mut deleted = 0;
    for ((trace, execution), _) in looked.iter().filter(|(_, is_loose)| *is_loose) {
        sqlx::query("delete from execution_links where trace_id = ? and execution_id = ?")
            .bind(trace.to_string())
            .bind(execution)
            .execute(&mut *conn)
            .await?;
        deleted += 1;
    }
    let full = looked.len() >= SWEEP_ROWS as usize;
    let next = looked
        .last()
        .filter(|_| full)
        .map(|last| Sweep::Links(last.0));
    Ok(Swept { deleted, next })
}
