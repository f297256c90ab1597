//! One batch, one transaction. `BEGIN IMMEDIATE` takes the write lock before anything is read, so what
//! a row becomes is decided while nobody else can change it.
//!
//! Rows go in a chunk a statement. Where one is refused, the transaction is taken back and done again row
//! by row, and what is refused then is set aside. That is rare, and lets the statements do without what
//! SQLite would need to take back half a chunk: a copy of every page that it touches.

use std::sync::LazyLock;

use chrono::Utc;
use serde_json::json;
use sqlx::sqlite::{SqliteArguments, SqliteConnection};
use sqlx::{Sqlite, SqlitePool};
use uuid::Uuid;

use super::row::{self, time_text};
use crate::model::{ExecutionLink, LossEntry, Row};
use crate::store::plan::{Incoming, New, Plan, Reject, Stored, Update};
use crate::store::{Batch, Checkpoint, Claim, Lease, Written};

type Query<'q> = sqlx::query::Query<'q, Sqlite, SqliteArguments>;

/// Rows in one insert. Larger statements measured no faster; a rest goes in smaller ones, so that
/// every statement is one of three and stays prepared.
const CHUNKS: [usize; 3] = [64, 8, 1];

/// How many rows a statement takes, and the statement.
type Insert = (usize, String);

static INSERTS: LazyLock<[Insert; 3]> = LazyLock::new(|| {
    CHUNKS.map(|rows| {
        let row = format!("({})", ["?"; 16].join(", "));
        let values = vec![row; rows].join(",\n");
        let insert = include_str!("../sql/sqlite/insert.sql");
        (rows, format!("{insert}\nvalues {values}"))
    })
});

pub(super) async fn write(pool: &SqlitePool, batch: &Batch) -> sqlx::Result<Written> {
    let [.., row_by_row] = &*INSERTS;
    match write_by(pool, batch, &*INSERTS).await {
        Err(err) if is_refusal(&err) => {
            write_by(pool, batch, std::slice::from_ref(row_by_row)).await
        }
        written => written,
    }
}

async fn write_by(
    pool: &SqlitePool,
    batch: &Batch,
    inserts: &'static [Insert],
) -> sqlx::Result<Written> {
    let incoming = Incoming::new(batch);
    let mut tx = pool.begin_with("begin immediate").await?;
    let ranges = incoming.ranges();
    let stored = if ranges.is_empty() {
        Vec::new()
    } else {
        own_rows(&mut tx, &ranges).await?
    };
    let mut plan = incoming.plan(stored);
    let mut written = insert_all(&mut tx, &mut plan, inserts).await?;
    update_all(&mut tx, &mut plan, &mut written).await?;
    written.rejected = plan.rejects.len() as u64;
    for reject in plan.rejects {
        set_aside(&mut tx, reject).await?;
    }
    for checkpoint in &batch.checkpoints {
        save_checkpoint(&mut tx, checkpoint).await?;
    }
    for link in &batch.execution_links {
        save_link(&mut tx, link).await?;
    }
    for loss in &batch.losses {
        save_loss(&mut tx, loss).await?;
    }
    tx.commit().await?;
    Ok(written)
}

async fn own_rows(
    conn: &mut SqliteConnection,
    ranges: &[(Uuid, Uuid)],
) -> sqlx::Result<Vec<Stored>> {
    let low: Vec<_> = ranges.iter().map(|(low, _)| low).collect();
    let sql = concat!(
        include_str!("../sql/sqlite/spans.sql"),
        include_str!("../sql/sqlite/own_rows.sql")
    );
    let rows = sqlx::query(sql)
        .bind(json!(low).to_string())
        .fetch_all(conn)
        .await?;
    Ok(rows.iter().filter_map(row::stored).collect())
}

/// Binds a chunk while the connection's own thread works on the one before. A row that goes by itself and
/// is refused is set aside.
async fn insert_all(
    conn: &mut SqliteConnection,
    plan: &mut Plan<'_>,
    inserts: &'static [Insert],
) -> sqlx::Result<Written> {
    let mut written = Written::default();
    let mut chunks =
        chunks(&plan.inserts, inserts).map(|(sql, chunk)| (chunk, bind_rows(sql, chunk)));
    let mut next = chunks.next();
    while let Some((chunk, query)) = next {
        let result;
        (result, next) = tokio::join!(query.execute(&mut *conn), async { chunks.next() });
        match (result, chunk) {
            (Ok(_), _) => written.count_inserts(chunk),
            (Err(err), [row]) if is_refusal(&err) => plan.rejects.push(Reject {
                span: row.to_span(),
                reason: err.to_string(),
            }),
            (Err(err), _) => return Err(err),
        }
    }
    Ok(written)
}

/// Cuts rows into pieces of the sizes that `inserts` take, the largest first, each with its statement.
fn chunks<'a, 'b>(
    mut rest: &'b [New<'a>],
    inserts: &'static [Insert],
) -> impl Iterator<Item = (&'static str, &'b [New<'a>])> {
    std::iter::from_fn(move || {
        let (size, sql) = inserts.iter().find(|(size, _)| *size <= rest.len())?;
        let (chunk, tail) = rest.split_at(*size);
        rest = tail;
        Some((sql.as_str(), chunk))
    })
}

fn bind_rows(sql: &'static str, rows: &[New<'_>]) -> Query<'static> {
    let bind = |query, row: &New<'_>| bind_row(query, &row.row());
    rows.iter().fold(sqlx::query(sql), bind)
}

async fn update_all(
    conn: &mut SqliteConnection,
    plan: &mut Plan<'_>,
    written: &mut Written,
) -> sqlx::Result<()> {
    for update in std::mem::take(&mut plan.updates) {
        match save_update(conn, &update).await {
            Ok(()) => written.count_update(&update),
            Err(err) if is_refusal(&err) => plan.rejects.push(Reject {
                span: update.span,
                reason: err.to_string(),
            }),
            Err(err) => return Err(err),
        }
    }
    Ok(())
}

async fn save_update(conn: &mut SqliteConnection, update: &Update) -> sqlx::Result<()> {
    bind_row(
        sqlx::query(include_str!("../sql/sqlite/update.sql")),
        &update.span.row(),
    )
    .bind(update.id)
    .execute(conn)
    .await?;
    Ok(())
}

fn bind_row<'q>(query: Query<'q>, row: &Row<'_>) -> Query<'q> {
    let text = |text: Option<&str>| text.map(str::to_owned);
    let mut metadata = Vec::new();
    row.metadata.write(&mut metadata);
    query
        .bind(row.trace_id.to_string())
        .bind(row.span_id.to_string())
        .bind(row.parent_span_id.map(|id| id.to_string()))
        .bind(row.service.to_owned())
        .bind(row.operation.to_owned())
        .bind(time_text(row.started_at))
        .bind(row.completed_at.map(time_text))
        .bind(row.duration_ms)
        .bind(row.status.as_str())
        .bind(text(row.job_id))
        .bind(row.execution_id)
        .bind(text(row.model_id))
        .bind(text(row.region))
        // It is JSON, so it is UTF-8.
        .bind(String::from_utf8(metadata).ok())
        .bind(text(row.error_message))
        .bind(text(row.error_type))
}

async fn set_aside(conn: &mut SqliteConnection, reject: Reject) -> sqlx::Result<()> {
    sqlx::query(include_str!("../sql/sqlite/set_aside.sql"))
        .bind(reject.span.trace_id.to_string())
        .bind(reject.span.span_id.to_string())
        .bind(reject.reason)
        .bind(serde_json::to_string(&reject.span).unwrap_or_default())
        .bind(time_text(Utc::now()))
        .execute(conn)
        .await?;
    Ok(())
}

async fn save_checkpoint(conn: &mut SqliteConnection, at: &Checkpoint) -> sqlx::Result<()> {
    sqlx::query(include_str!("../sql/sqlite/save_checkpoint.sql"))
        .bind(&at.source)
        .bind(at.position.to_string())
        .bind(at.fence)
        .bind(time_text(Utc::now()))
        .execute(conn)
        .await?;
    Ok(())
}

/// Takes, renews or gives back leases, by the clock of the machine that holds the file.
pub(super) async fn claim(pool: &SqlitePool, claim: &Claim) -> sqlx::Result<Vec<Lease>> {
    let mut tx = pool.begin_with("begin immediate").await?;
    let now = Utc::now();
    let until = now + claim.term;
    let mut leases = Vec::new();
    for name in &claim.names {
        let before = sqlx::query_scalar("select label from leases where name = ?")
            .bind(name)
            .fetch_optional(&mut *tx)
            .await?;
        let fence = sqlx::query_scalar(include_str!("../sql/sqlite/claim_lease.sql"))
            .bind(name)
            .bind(claim.holder.id.to_string())
            .bind(&claim.holder.label)
            .bind(time_text(now))
            .bind(time_text(until))
            .bind(now.timestamp_micros())
            .fetch_optional(&mut *tx)
            .await?;
        leases.push(Lease {
            name: name.clone(),
            fence,
            before,
        });
    }
    tx.commit().await?;
    Ok(leases)
}

async fn save_link(conn: &mut SqliteConnection, link: &ExecutionLink) -> sqlx::Result<()> {
    sqlx::query(include_str!("../sql/sqlite/save_link.sql"))
        .bind(link.trace_id.to_string())
        .bind(link.execution_id)
        .bind(&link.method)
        .bind(link.confidence)
        .execute(conn)
        .await?;
    Ok(())
}

async fn save_loss(conn: &mut SqliteConnection, loss: &LossEntry) -> sqlx::Result<()> {
    sqlx::query(include_str!("../sql/sqlite/save_loss.sql"))
        .bind(&loss.source)
        .bind(time_text(loss.from))
        .bind(time_text(loss.to))
        .bind(&loss.reason)
        .bind(loss.lost)
        .execute(conn)
        .await?;
    Ok(())
}

/// Whether it is the row that is refused: a constraint (19) or a value too big (18), whatever the
/// extended code in the upper bits says.
fn is_refusal(err: &sqlx::Error) -> bool {
    matches!(super::fault::code(err), Some(18 | 19))
}
