//! One batch, one transaction, under the advisory locks of its shards: whoever holds a shard's lock
//! alone reads, decides and writes rows of that shard, with or without a unique index.
//!
//! Everything a statement needs is in its own transaction and nothing outlives it, so that a pooler may
//! hand each transaction to another server connection.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::postgres::{PgConnection, PgCopyIn};
use sqlx::{AssertSqlSafe, Connection, Executor};
use uuid::Uuid;

use super::abandoned::Attempt;
use super::fault::Fault;
use super::read::query;
use super::row::OwnRow;
use super::{GONE, LOCKS, alone, copy};
use crate::model::Span;
use crate::store::alone::Alone;
use crate::store::plan::{Incoming, New, Plan, Plans, Reject, Update};
use crate::store::{Batch, Written, shard};

/// The statement time-out is above what the largest batch takes on a slow disk, the lock time-out above
/// a dozen batches before us; an abandoned transaction frees its locks before the next is tried. Rows are looked up
/// one or a few at a time, for which a bitmap costs more than it saves, and so does compiling the statement.
const SETTINGS: &str = "set local statement_timeout = '15s'; \
    set local lock_timeout = '5s'; \
    set local idle_in_transaction_session_timeout = '20s'; \
    set local enable_bitmapscan = off; \
    set local jit = off";

/// New rows that are worked out and then written before the next are: so many stay in a processor's caches.
const PLANNED: usize = 256;

/// How rows go in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Care {
    /// All at once; a row that is refused fails the transaction.
    Together,
    /// Behind savepoints, halving what is refused until the rows that are to blame stand alone.
    Bisect,
}

/// What kind of table the rows go to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Table {
    /// It has an index that begins with the span id.
    #[default]
    Indexed,
    /// It has none.
    Unindexed,
    /// It is spread over machines by trace: a row that changes its trace is deleted and put in again.
    Distributed,
}

/// Runs one attempt.
pub(super) async fn write(
    conn: &mut PgConnection,
    batch: &Batch,
    (care, table): (Care, Table),
    attempt: &Attempt,
    writer: &Alone,
) -> Result<Written, Fault> {
    let incoming = Incoming::new(batch);
    let mut ranges = incoming.ranges();
    let shards = ranges.iter().map(|(low, _)| shard::shard_of_span(*low));
    let shards: BTreeSet<_> = shards.collect();
    let was_alone = writer.was_alone(&shards);
    let mut begin = begin(&shards, attempt);
    if !was_alone && !shards.is_empty() {
        begin.push_str("; ");
        begin.push_str(&alone::enter(writer, &shards));
    }
    let mut tx = conn.begin_with(AssertSqlSafe(begin)).await?;
    let is_alone = was_alone && alone::is_alone(&mut tx, writer, &shards).await?;
    writer.remember(&mut ranges, is_alone);
    let stored = if ranges.is_empty() {
        Vec::new()
    } else {
        own_rows(&mut tx, ranges, table).await?
    };
    let plans = incoming.plans(stored, PLANNED);
    let mut written = Written::default();
    save_rows(&mut tx, plans, (care, table), &mut written).await?;
    save_checkpoints(&mut tx, batch).await?;
    save_links(&mut tx, batch).await?;
    save_losses(&mut tx, batch).await?;
    tx.commit().await?;
    Ok(written)
}

/// Opens the transaction and takes the locks in one round trip. Read committed, whatever the role's
/// default: the rows must be read as they are after the locks are ours. Ascending, so that two batches
/// never wait for each other.
fn begin(shards: &BTreeSet<usize>, attempt: &Attempt) -> String {
    let mut sql = format!(
        "begin isolation level read committed; {SETTINGS}; {GONE}; {}",
        attempt.statements()
    );
    for shard in shards {
        sql.push_str(&format!("; select pg_advisory_xact_lock({LOCKS}, {shard})"));
    }
    sql
}

async fn own_rows(
    conn: &mut PgConnection,
    ranges: Vec<(Uuid, Uuid)>,
    table: Table,
) -> sqlx::Result<Vec<OwnRow>> {
    let (low, high): (Vec<_>, Vec<_>) = ranges.into_iter().unzip();
    let shared = |id: Uuid| id.to_string().chars().take(26).collect::<String>();
    let query = match table {
        Table::Indexed => query(concat!(
            include_str!("../sql/postgres/spans.sql"),
            include_str!("../sql/postgres/own_rows.sql")
        ))
        .bind(low)
        .bind(high),
        Table::Unindexed => query(concat!(
            include_str!("../sql/postgres/spans.sql"),
            include_str!("../sql/postgres/own_rows_unindexed.sql")
        ))
        .bind(low.into_iter().map(shared).collect::<Vec<_>>()),
        Table::Distributed => query(concat!(
            include_str!("../sql/postgres/spans.sql"),
            include_str!("../sql/postgres/own_rows_distributed.sql")
        ))
        .bind(low)
        .bind(high),
    };
    let rows = query.fetch_all(conn).await?;
    Ok(rows.into_iter().map(OwnRow).collect())
}

async fn save_rows(
    conn: &mut PgConnection,
    plans: Plans<'_, OwnRow>,
    (care, table): (Care, Table),
    written: &mut Written,
) -> Result<(), Fault> {
    let mut whole = Plan::default();
    match care {
        Care::Together => {
            insert_planned(conn, plans, &mut whole, written).await?;
            whole.updates.sort_by_key(|update| update.id);
            update(conn, &whole.updates, table).await?;
            (whole.updates.iter()).for_each(|update| written.count_update(update));
        }
        Care::Bisect => {
            plans.for_each(|plan| whole.append(plan));
            whole.updates.sort_by_key(|update| update.id);
            let mut rest = vec![whole.inserts.as_slice()];
            while let Some(rows) = rest.pop() {
                match attempt(conn, Rows::Insert(rows), table).await? {
                    None => written.count_inserts(rows),
                    Some(reason) => halve(rows, &mut rest, |row| {
                        let span = row.to_span();
                        whole.rejects.push(Reject { span, reason });
                    }),
                }
            }
            let mut rest = vec![whole.updates.as_slice()];
            while let Some(updates) = rest.pop() {
                match attempt(conn, Rows::Update(updates), table).await? {
                    None => updates
                        .iter()
                        .for_each(|update| written.count_update(update)),
                    Some(reason) => halve(updates, &mut rest, |update| {
                        let span = update.span.clone();
                        whole.rejects.push(Reject { span, reason });
                    }),
                }
            }
        }
    }
    written.rejected = whole.rejects.len() as u64;
    for reject in whole.rejects {
        set_aside(conn, reject).await?;
    }
    Ok(())
}

#[derive(Debug, Clone, Copy)]
enum Rows<'a> {
    Insert(&'a [New<'a>]),
    Update(&'a [Update]),
}

/// Tries rows behind a savepoint; returns why they were refused.
async fn attempt(
    conn: &mut PgConnection,
    rows: Rows<'_>,
    table: Table,
) -> Result<Option<String>, Fault> {
    conn.execute("savepoint rows").await?;
    let result = match rows {
        Rows::Insert(rows) => insert(conn, rows).await,
        Rows::Update(updates) => update(conn, updates, table).await,
    };
    match result.map_err(Fault::from) {
        Ok(()) => {
            conn.execute("release savepoint rows").await?;
            Ok(None)
        }
        Err(fault) if fault.is_refusal_of_rows() => {
            conn.execute("rollback to savepoint rows; release savepoint rows")
                .await?;
            let Fault::Driver(err) = fault else {
                return Err(fault);
            };
            Ok(Some(err.to_string()))
        }
        Err(fault) => Err(fault),
    }
}

/// Puts both halves back to be tried, the first one on top; a single row has nothing to halve.
fn halve<'a, T>(rows: &'a [T], rest: &mut Vec<&'a [T]>, refused: impl FnOnce(&'a T)) {
    match rows {
        [one] => refused(one),
        rows => {
            let (first, second) = rows.split_at(rows.len() / 2);
            rest.extend([second, first]);
        }
    }
}

/// Puts the new rows of all plans in with one `COPY`, and adds what else they hold to `rest`.
async fn insert_planned<'a>(
    conn: &mut PgConnection,
    mut plans: Plans<'a, OwnRow>,
    rest: &mut Plan<'a>,
    written: &mut Written,
) -> sqlx::Result<()> {
    let mut next = || {
        plans.find_map(|mut plan| {
            let inserts = std::mem::take(&mut plan.inserts);
            rest.append(plan);
            written.count_inserts(&inserts);
            (!inserts.is_empty()).then_some(inserts)
        })
    };
    let Some(mut rows) = next() else {
        return Ok(());
    };
    let mut copy = CopyIn::begin(conn).await?;
    loop {
        copy.rows(&rows).await?;
        match next() {
            Some(more) => rows = more,
            None => return copy.end().await,
        }
    }
}

async fn insert(conn: &mut PgConnection, rows: &[New<'_>]) -> sqlx::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut copy = CopyIn::begin(conn).await?;
    copy.rows(rows).await?;
    copy.end().await
}

/// New rows on their way in.
struct CopyIn<'c> {
    statement: PgCopyIn<&'c mut PgConnection>,
    pieces: copy::Rows,
}

impl<'c> CopyIn<'c> {
    async fn begin(conn: &'c mut PgConnection) -> sqlx::Result<Self> {
        let sql = include_str!("../sql/postgres/copy.sql");
        Ok(Self {
            statement: conn.copy_in_raw(sql).await?,
            pieces: copy::Rows::begin(),
        })
    }

    async fn rows(&mut self, rows: &[New<'_>]) -> sqlx::Result<()> {
        for row in rows {
            self.pieces.row(&row.row());
            if let Some(piece) = self.pieces.piece() {
                self.statement.send(piece).await?;
                self.pieces.sent();
            }
        }
        Ok(())
    }

    async fn end(mut self) -> sqlx::Result<()> {
        self.statement.send(self.pieces.end()).await?;
        self.statement.finish().await?;
        Ok(())
    }
}

async fn update(conn: &mut PgConnection, updates: &[Update], table: Table) -> sqlx::Result<()> {
    if updates.is_empty() {
        return Ok(());
    }
    if table == Table::Distributed {
        return replace(conn, updates).await;
    }
    fn each<'a, T>(updates: &'a [Update], column: impl Fn(&'a Span) -> T) -> Vec<T> {
        updates.iter().map(|update| column(&update.span)).collect()
    }
    query(include_str!("../sql/postgres/update.sql"))
        .bind(updates.iter().map(|update| update.id).collect::<Vec<_>>())
        .bind(each(updates, |span| span.trace_id))
        .bind(each(updates, |span| span.span_id))
        .bind(each(updates, |span| span.parent_span_id))
        .bind(each(updates, |span| span.service.as_str()))
        .bind(each(updates, |span| span.operation.as_str()))
        .bind(each(updates, |span| span.started_at))
        .bind(each(updates, |span| span.completed_at))
        // Fitted to the column before.
        .bind(each(updates, |span| span.duration_ms.map(|ms| ms as i32)))
        .bind(each(updates, |span| span.status.as_str()))
        .bind(each(updates, |span| span.job_id.as_deref()))
        .bind(each(updates, |span| span.execution_id))
        .bind(each(updates, |span| span.model_id.as_deref()))
        .bind(each(updates, |span| span.region.as_deref()))
        .bind(each(updates, |span| {
            serde_json::to_string(&span.metadata).unwrap_or_default()
        }))
        .bind(each(updates, |span| span.error_message.as_deref()))
        .bind(each(updates, |span| span.error_type.as_deref()))
        .execute(conn)
        .await?;
    Ok(())
}

/// Deletes the rows and puts them in again, which is the only way to another trace where that decides on the
/// machine. In the same transaction, so that nobody sees them missing.
async fn replace(conn: &mut PgConnection, updates: &[Update]) -> sqlx::Result<()> {
    query(
        "delete from public.trace_spans where trace_id = any($1) and id = any($2) \
         and metadata @> '{\"collector\": \"beacon-collector\"}'",
    )
    .bind(updates.iter().map(|update| update.of).collect::<Vec<_>>())
    .bind(updates.iter().map(|update| update.id).collect::<Vec<_>>())
    .execute(&mut *conn)
    .await?;
    let rows: Vec<_> = (updates.iter())
        .map(|update| update.span.clone().into())
        .collect();
    insert(conn, &rows).await
}

async fn set_aside(conn: &mut PgConnection, reject: Reject) -> sqlx::Result<()> {
    query(include_str!("../sql/postgres/set_aside.sql"))
        .bind(reject.span.trace_id)
        .bind(reject.span.span_id)
        .bind(reject.reason)
        // As text: it may hold just what jsonb refuses.
        .bind(serde_json::to_string(&reject.span).unwrap_or_default())
        .execute(conn)
        .await?;
    Ok(())
}

async fn save_checkpoints(conn: &mut PgConnection, batch: &Batch) -> sqlx::Result<()> {
    if batch.checkpoints.is_empty() {
        return Ok(());
    }
    // The last one of a source stands; sorted, so that two batches never wait for each other.
    let last: BTreeMap<_, _> = (batch.checkpoints.iter())
        .map(|checkpoint| (checkpoint.source.as_str(), checkpoint))
        .collect();
    let positions = last.values().map(|last| last.position.to_string());
    query(include_str!("../sql/postgres/save_checkpoints.sql"))
        .bind(last.keys().copied().collect::<Vec<_>>())
        .bind(positions.collect::<Vec<_>>())
        .bind(last.values().map(|last| last.fence).collect::<Vec<_>>())
        .execute(conn)
        .await?;
    Ok(())
}

async fn save_links(conn: &mut PgConnection, batch: &Batch) -> sqlx::Result<()> {
    if batch.execution_links.is_empty() {
        return Ok(());
    }
    let links: BTreeMap<_, _> = (batch.execution_links.iter())
        .map(|link| ((link.trace_id, link.execution_id), link))
        .collect();
    query(include_str!("../sql/postgres/save_links.sql"))
        .bind(links.keys().map(|key| key.0).collect::<Vec<_>>())
        .bind(links.keys().map(|key| key.1).collect::<Vec<_>>())
        .bind(
            links
                .values()
                .map(|link| link.method.as_str())
                .collect::<Vec<_>>(),
        )
        .bind(
            links
                .values()
                .map(|link| link.confidence)
                .collect::<Vec<_>>(),
        )
        .execute(conn)
        .await?;
    Ok(())
}

async fn save_losses(conn: &mut PgConnection, batch: &Batch) -> sqlx::Result<()> {
    if batch.losses.is_empty() {
        return Ok(());
    }
    let mut losses: Vec<_> = batch.losses.iter().collect();
    losses.sort_by_key(|loss| (&loss.source, loss.from, loss.to, &loss.reason, -loss.lost));
    losses.dedup_by_key(|loss| (&loss.source, loss.from, loss.to, &loss.reason));
    query(include_str!("../sql/postgres/save_losses.sql"))
        .bind(
            losses
                .iter()
                .map(|loss| loss.source.as_str())
                .collect::<Vec<_>>(),
        )
        .bind(losses.iter().map(|loss| loss.from).collect::<Vec<_>>())
        .bind(losses.iter().map(|loss| loss.to).collect::<Vec<_>>())
        .bind(
            losses
                .iter()
                .map(|loss| loss.reason.as_str())
                .collect::<Vec<_>>(),
        )
        .bind(losses.iter().map(|loss| loss.lost).collect::<Vec<_>>())
        .execute(conn)
        .await?;
    Ok(())
}
