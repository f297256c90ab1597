//! One batch, one transaction. `BEGIN IMMEDIATE` takes the write lock before anything is read, so what
//! a row becomes is decided while nobody else can change it.
//!
//! Rows go in a chunk a statement. Where one is refused, the transaction is taken back and done again row
//! by row, and what is refused then is set aside. That is rare, and lets the statements do without what
//! SQLite would need to take back half a chunk: a copy of every page that it touches.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use chrono::Utc;
use serde_json::json;
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteArguments, SqliteConnection};
use uuid::Uuid;

use super::bind::{Binder, COLUMNS, add};
use super::row::{self, time_text};
use crate::model::{ExecutionLink, LossEntry};
use crate::store::alone::Alone;
use crate::store::plan::{Incoming, New, Plan, Reject, Stored, Update};
use crate::store::{Batch, Checkpoint, Claim, Lease, Written};

/// Rows in one insert: enough that the connection's thread is rarely kept waiting for the next statement. A
/// rest goes in smaller ones, so that every statement is one of four and stays prepared.
const CHUNKS: [usize; 4] = [128, 16, 4, 1];
/// Bytes of long texts in one insert of several rows: they stand in memory twice more, for the statement that runs
/// and for the one that is bound meanwhile.
const LONG_TEXTS: usize = 256 << 10;

/// Observations that are looked up and then written before the next are looked up: the pages of the index
/// that this takes stay in memory in between. Where nothing is looked up, a batch is one piece.
const PIECE: usize = 512;

/// All rows are in one.
const SHARD: usize = 0;

/// How many rows a statement takes, and the statement.
type Insert = (usize, String);

static INSERTS: LazyLock<[Insert; 4]> = LazyLock::new(|| {
    CHUNKS.map(|rows| {
        let row = format!("({})", ["?"; COLUMNS].join(", "));
        let values = vec![row; rows].join(",\n");
        let insert = include_str!("../sql/sqlite/insert.sql");
        (rows, format!("{insert}\nvalues {values}"))
    })
});

pub(super) async fn write(
    pool: &SqlitePool,
    writer: &Alone,
    batch: &Batch,
) -> sqlx::Result<Written> {
    let [.., row_by_row] = &*INSERTS;
    match write_by(pool, writer, batch, &*INSERTS).await {
        Err(err) if is_refusal(&err) => {
            write_by(pool, writer, batch, std::slice::from_ref(row_by_row)).await
        }
        written => written,
    }
}

async fn write_by(
    pool: &SqlitePool,
    writer: &Alone,
    batch: &Batch,
    inserts: &'static [Insert],
) -> sqlx::Result<Written> {
    let incoming = Incoming::new(batch);
    let mut tx = pool.begin_with("begin immediate").await?;
    let is_alone = is_alone(&mut tx, writer).await?;
    let mut written = Written::default();
    let rows = if is_alone { usize::MAX } else { PIECE };
    for piece in incoming.pieces(rows) {
        let mut ranges = piece.ranges();
        writer.remember(&mut ranges, is_alone);
        let stored = if ranges.is_empty() {
            Vec::new()
        } else {
            own_rows(&mut tx, &ranges).await?
        };
        let mut plan = piece.plan(stored);
        insert_all(&mut tx, &mut plan, inserts, &mut written).await?;
        update_all(&mut tx, &mut plan, &mut written).await?;
        written.rejected += plan.rejects.len() as u64;
        for reject in plan.rejects {
            set_aside(&mut tx, reject).await?;
        }
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

/// Whether nobody else has written rows: no other process since this one last did, or there are none. Who
/// has written is entered for the others to see.
async fn is_alone(conn: &mut SqliteConnection, writer: &Alone) -> sqlx::Result<bool> {
    let (shards, name) = (BTreeSet::from([SHARD]), writer.writer().to_string());
    let last: Option<String> = sqlx::query_scalar("select writer from shard_writers")
        .fetch_optional(&mut *conn)
        .await?;
    if last.as_ref() != Some(&name) {
        sqlx::query("insert or replace into shard_writers (shard, writer) values (?, ?)")
            .bind(SHARD as i64)
            .bind(name)
            .execute(&mut *conn)
            .await?;
        let is_empty = sqlx::query("select 1 from trace_spans limit 1")
            .fetch_optional(&mut *conn)
            .await?
            .is_none();
        if is_empty {
            writer.entered(shards.clone());
        } else {
            writer.lost(&shards);
        }
    }
    Ok(writer.was_alone(&shards))
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
    written: &mut Written,
) -> sqlx::Result<()> {
    let mut binder = Binder::default();
    let now: Arc<str> = time_text(Utc::now()).into();
    let mut chunks = chunks(&plan.inserts, inserts).map(|(sql, chunk)| {
        let arguments = binder.rows(chunk, &now)?;
        Ok::<_, sqlx::Error>((chunk, sqlx::query_with(sql, arguments)))
    });
    let mut next = chunks.next().transpose()?;
    while let Some((chunk, query)) = next {
        let (result, following) = tokio::join!(query.execute(&mut *conn), async { chunks.next() });
        match (result, chunk) {
            (Ok(_), _) => written.count_inserts(chunk),
            (Err(err), [row]) if is_refusal(&err) => plan.rejects.push(Reject {
                span: row.to_span(),
                reason: err.to_string(),
            }),
            (Err(err), _) => return Err(err),
        }
        next = following.transpose()?;
    }
    Ok(())
}

/// Cuts rows into pieces of the sizes that `inserts` take, the largest first, each with its statement. The last
/// of `inserts` takes what no other does.
fn chunks<'a, 'b>(
    mut rest: &'b [New<'a>],
    inserts: &'static [Insert],
) -> impl Iterator<Item = (&'static str, &'b [New<'a>])> {
    std::iter::from_fn(move || {
        let (size, sql) = inserts.iter().find(|(size, _)| {
            let rows = rest.get(..*size);
            let bytes = rows.map(|rows| rows.iter().map(New::long_texts).sum::<usize>());
            bytes.is_some_and(|bytes| *size == 1 || bytes <= LONG_TEXTS)
        })?;
        let (chunk, tail) = rest.split_at(*size);
        rest = tail;
        Some((sql.as_str(), chunk))
    })
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
    let mut arguments = SqliteArguments::default();
    Binder::default().row(&mut arguments, &update.span.row())?;
    add(&mut arguments, update.id)?;
    sqlx::query_with(include_str!("../sql/sqlite/update.sql"), arguments)
        .execute(conn)
        .await?;
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Observation, SpanKey};
    use sqlx::Row as _;

    /// Sizes of the pieces in which spans with such tracebacks go in.
    fn sizes(tracebacks: &[usize]) -> Vec<usize> {
        let seen = tracebacks.iter().enumerate().map(|(number, bytes)| {
            let key = SpanKey {
                log_id: format!("{number:08x}").into(),
                scope: "ta-1".into(),
            };
            let mut seen = Observation::new(key, "test");
            seen.traceback = Some("x".repeat(*bytes));
            seen
        });
        let batch = Batch {
            observations: seen.collect(),
            ..Batch::default()
        };
        let plan = Incoming::new(&batch).plan(Vec::<Stored>::new());
        let sizes = |rows: &[New<'_>]| -> Vec<usize> {
            let chunks = chunks(rows, &*INSERTS);
            chunks.map(|(_, chunk)| chunk.len()).collect()
        };
        let whole: Vec<_> = (plan.inserts.iter())
            .map(|row| row.to_span().into())
            .collect();
        assert_eq!(sizes(&whole), sizes(&plan.inserts));
        sizes(&plan.inserts)
    }

    #[test]
    fn rows_with_long_texts_go_in_smaller_pieces() {
        assert_eq!(sizes(&[100; 128 + 16 + 1]), [128, 16, 1]);
        assert_eq!(sizes(&[LONG_TEXTS / 16; 40]), [16, 16, 4, 4]);
        assert_eq!(sizes(&[LONG_TEXTS / 4; 9]), [4, 4, 1]);
        assert_eq!(sizes(&[LONG_TEXTS + 1; 3]), [1, 1, 1]);
    }

    /// Where a statement of several rows calls a function, SQLite copies each page that it touches first.
    #[tokio::test]
    async fn a_new_row_calls_no_function() {
        let dir = tempfile::tempdir().unwrap();
        let store = super::super::SqliteStore::open(&dir.path().join("test.db"))
            .await
            .unwrap();
        store.apply_migrations().await.unwrap();
        let [(_, insert), ..] = &*INSERTS;
        let explain = sqlx::AssertSqlSafe(format!("explain {insert}"));
        let steps = sqlx::query(explain).fetch_all(&store.writer).await.unwrap();
        let steps: Vec<String> = steps.iter().map(|step| step.get("opcode")).collect();
        assert!(steps.iter().any(|step| step == "IdxInsert"), "{steps:?}");
        assert!(!steps.iter().any(|step| step.contains("Func")), "{steps:?}");
    }
}
