//! Who has written to a shard last, as Postgres has it: see [`Alone`].

use std::collections::BTreeSet;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor, Row};
use uuid::Uuid;

use super::connections::Connections;
use super::fault::{Fault, code};
use super::migrate::in_time;
use super::read::query;
use super::{GONE, LOCKS, READ, SHARDS};
use crate::store::alone::Alone;

/// A search by an index ends at once; without one a large table of others is not read for this.
const BEGIN: &str = "begin isolation level read committed; set local statement_timeout = '1s'; \
    set local enable_seqscan = off; set local jit = off";

/// A new writer, entered for all shards if there are no rows of ours.
pub(super) async fn begin(connections: &Connections) -> Result<Alone, Fault> {
    let alone = Alone::new();
    let mut conn = connections.acquire().await?;
    match in_time(READ, enter_everywhere(&mut conn, alone.writer())).await {
        Ok(is_alone) => {
            conn.give_back();
            if is_alone {
                alone.entered((0..SHARDS).collect());
            }
        }
        // The server would not say: the table is too large to be searched without an index, or of a kind that
        // such a question can't be put to. Then everything is looked up.
        Err(Fault::Driver(err)) if code(&err).is_some() => {
            tracing::debug!(%err, "cannot find out whether there are spans of ours");
            conn.clear_and_give_back().await;
        }
        Err(fault) => return Err(fault),
    }
    Ok(alone)
}

async fn enter_everywhere(conn: &mut PgConnection, writer: Uuid) -> Result<bool, Fault> {
    let mut tx = conn
        .begin_with(AssertSqlSafe(format!("{BEGIN}; {GONE}")))
        .await?;
    // Before the look at the rows: what was written until then is seen.
    let row = query(
        "select bool_and(pg_try_advisory_xact_lock($1, shard)) from generate_series(0, $2 - 1) shard",
    )
    .bind(LOCKS)
    .bind(SHARDS as i32)
    .fetch_one(&mut *tx)
    .await?;
    let is_alone = row.try_get(0)? && {
        let entered = query(include_str!("../sql/postgres/enter_alone.sql"))
            .bind(writer)
            .bind(SHARDS as i32)
            .execute(&mut *tx)
            .await?;
        entered.rows_affected() == SHARDS as u64
    };
    tx.commit().await?;
    Ok(is_alone)
}

/// The statement that enters a writer for shards whose locks it has.
pub(super) fn enter(alone: &Alone, shards: &BTreeSet<usize>) -> String {
    let shards: Vec<_> = shards.iter().map(usize::to_string).collect();
    format!(
        "insert into beacon_collector.shard_writers (shard, writer) \
         select s, '{writer}'::uuid from unnest('{{{shards}}}'::integer[]) s where not exists ( \
         select from beacon_collector.shard_writers w where w.shard = s and w.writer = '{writer}') \
         on conflict (shard) do update set writer = excluded.writer",
        writer = alone.writer(),
        shards = shards.join(","),
    )
}

/// Whether who was alone in these shards is so still, now that their locks are held; if not, it is entered
/// like everybody else.
pub(super) async fn is_alone(
    conn: &mut PgConnection,
    alone: &Alone,
    shards: &BTreeSet<usize>,
) -> sqlx::Result<bool> {
    let numbers: Vec<_> = shards.iter().map(|&shard| shard as i32).collect();
    let row = query(
        "select count(*) from beacon_collector.shard_writers where shard = any($1) and writer = $2",
    )
    .bind(numbers)
    .bind(alone.writer())
    .fetch_one(&mut *conn)
    .await?;
    if row.try_get::<i64, _>(0)? == shards.len() as i64 {
        return Ok(true);
    }
    conn.execute(AssertSqlSafe(enter(alone, shards))).await?;
    alone.lost(shards);
    Ok(false)
}
