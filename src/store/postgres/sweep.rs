//! Deleting what is old, a step a transaction.

use sqlx::Connection;
use sqlx::postgres::{PgConnection, PgRow};

use super::fault::Fault;
use super::read::query;
use super::row;
use crate::store::retention::{Expired, Looked, SWEEP_ROWS, Sweep, Swept};

/// Short enough that nobody waits long for the rows of a step.
const BEGIN: &str = "begin isolation level read committed; \
    set local statement_timeout = '10s'; set local lock_timeout = '1s'";

pub(super) async fn sweep(conn: &mut PgConnection, sweep: &Sweep) -> Result<Swept, Fault> {
    let mut tx = conn.begin_with(BEGIN).await?;
    let swept = match sweep {
        Sweep::Spans { .. } => spans(&mut tx, sweep).await?,
        Sweep::Links(_) => links(&mut tx, sweep).await?,
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

async fn spans(conn: &mut PgConnection, sweep: &Sweep) -> Result<Swept, Fault> {
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
    let rows = query(include_str!("../sql/postgres/due_spans.sql"))
        .bind(after.0)
        .bind(after.1)
        .bind(before)
        .bind(i64::from(SWEEP_ROWS))
        .bind(sources.iter().map(|(name, _)| name).collect::<Vec<_>>())
        .bind(sources.iter().map(|(_, at)| at.ended).collect::<Vec<_>>())
        .bind(sources.iter().map(|(_, at)| at.failed).collect::<Vec<_>>())
        .bind(ours.ended)
        .bind(ours.failed)
        .bind(others.ended)
        .bind(others.failed)
        .fetch_all(&mut *conn)
        .await?;
    let looked: Vec<Looked> = rows.iter().filter_map(row::looked).collect();
    let due = || looked.iter().filter(|row| row.due);
    let deleted = due().count() as u64;
    if deleted > 0 {
        query(include_str!("../sql/postgres/delete_spans.sql"))
            .bind(due().map(|row| row.id).collect::<Vec<_>>())
            .bind(due().map(|row| row.trace_id).collect::<Vec<_>>())
            .execute(conn)
            .await?;
    }
    let next = sweep.behind(&looked);
    Ok(Swept { deleted, next })
}

async fn links(conn: &mut PgConnection, sweep: &Sweep) -> Result<Swept, Fault> {
    let Sweep::Links(after) = sweep else {
        return Ok(Swept::default());
    };
    let rows = query(include_str!("../sql/postgres/loose_links.sql"))
        .bind(after.0)
        .bind(after.1)
        .bind(i64::from(SWEEP_ROWS))
        .fetch_all(&mut *conn)
        .await?;
    let looked: Vec<_> = rows.iter().filter_map(row::looked_link).collect();
    let due = || looked.iter().filter(|(_, is_loose)| *is_loose);
    let deleted = due().count() as u64;
    if deleted > 0 {
        query(include_str!("../sql/postgres/delete_links.sql"))
            .bind(due().map(|(key, _)| key.0).collect::<Vec<_>>())
            .bind(due().map(|(key, _)| key.1).collect::<Vec<_>>())
            .execute(conn)
            .await?;
    }
    let full = looked.len() >= SWEEP_ROWS as usize;
    let next = looked
        .last()
        .filter(|_| full)
        .map(|last| Sweep::Links(last.0));
    Ok(Swept { deleted, next })
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
