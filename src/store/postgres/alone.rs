//! What a process knows of the table because it alone has written rows of ours to it: the first load of a log
//! looks up nothing, which saves the server a tenth of its work.
//!
//! Who finds no row of ours in the table enters itself as the writer of all shards, and from then on remembers
//! the keys of what it writes, in a Bloom filter. As long as it is still entered for a shard, as seen under that
//! shard's lock, the shard holds no rows but its own, so that a key which it does not remember has none. Who
//! else writes to a shard enters itself there first, which ends that for good. Rows that a restored backup
//! brings back meanwhile are known to nobody: of those the unique index stops each whose ids are the same.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use fastbloom::BloomFilter;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor, Row};
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64;

use super::connections::Connections;
use super::fault::{Fault, code};
use super::migrate::in_time;
use super::read::query;
use super::{GONE, LOCKS, READ, SHARDS};
use crate::model::SpanKey;

/// Bits of the filter, 1 MiB: of a million keys that are new it takes one in fifty for known, of four million
/// every second one. Those are looked up.
const BITS: usize = 8 << 20;
const HASHES: u32 = 4;

/// A search by an index ends at once; without one a large table of others is not read for this.
const BEGIN: &str = "begin isolation level read committed; set local statement_timeout = '1s'; \
    set local enable_seqscan = off; set local jit = off";

/// One process as a writer.
#[derive(Debug)]
pub(super) struct Alone {
    writer: Uuid,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// To which nobody else has written.
    shards: BTreeSet<usize>,
    /// First ids of keys that may have rows there; none when there is no such shard.
    keys: Option<BloomFilter>,
}

impl Alone {
    /// Looks whether there are rows of ours, and enters this process if there are none.
    pub(super) async fn enter(connections: &Connections) -> Result<Self, Fault> {
        let writer = Uuid::new_v4();
        let mut conn = connections.acquire().await?;
        let is_alone = match in_time(READ, enter(&mut conn, writer)).await {
            // Too large to be searched without an index.
            Err(Fault::Driver(err)) if code(&err) == Some("57014") => false,
            entered => entered?,
        };
        conn.give_back();
        if is_alone {
            tracing::debug!("no spans of ours yet: what is new is not looked up");
        }
        let known = is_alone.then(|| Known {
            shards: (0..SHARDS).collect(),
            keys: Some(BloomFilter::with_num_bits(BITS).hashes(HASHES)),
        });
        Ok(Self {
            writer,
            known: Mutex::new(known.unwrap_or_default()),
        })
    }

    /// Whether nobody else had written to these shards when this process last looked.
    pub(super) fn was_alone(&self, shards: &BTreeSet<usize>) -> bool {
        !shards.is_empty() && self.known().shards.is_superset(shards)
    }

    /// The statement that enters this process as the writer of shards whose locks it has.
    pub(super) fn enter_statement(&self, shards: &BTreeSet<usize>) -> String {
        let shards: Vec<_> = shards.iter().map(usize::to_string).collect();
        format!(
            "insert into beacon_collector.shard_writers (shard, writer) \
             select s, '{writer}'::uuid from unnest('{{{shards}}}'::integer[]) s where not exists ( \
             select from beacon_collector.shard_writers w where w.shard = s and w.writer = '{writer}') \
             on conflict (shard) do update set writer = excluded.writer",
            writer = self.writer,
            shards = shards.join(","),
        )
    }

    /// Whether it is so still, now that the locks of the shards are held; who is not alone any more is
    /// entered like everybody else.
    pub(super) async fn is_alone(
        &self,
        conn: &mut PgConnection,
        shards: &BTreeSet<usize>,
    ) -> sqlx::Result<bool> {
        let numbers: Vec<_> = shards.iter().map(|&shard| shard as i32).collect();
        let row = query(
            "select count(*) from beacon_collector.shard_writers where shard = any($1) and writer = $2",
        )
        .bind(numbers)
        .bind(self.writer)
        .fetch_one(&mut *conn)
        .await?;
        if row.try_get::<i64, _>(0)? == shards.len() as i64 {
            return Ok(true);
        }
        let enter = self.enter_statement(shards);
        conn.execute(AssertSqlSafe(enter)).await?;
        let mut known = self.known();
        known.shards.retain(|shard| !shards.contains(shard));
        if known.shards.is_empty() {
            known.keys = None;
        }
        Ok(false)
    }

    /// Notes that rows in these ranges may be there from now on, whatever becomes of the write. For who is
    /// alone there those remain in which there may have been some before.
    pub(super) fn remember(&self, ranges: &mut Vec<(Uuid, Uuid)>, is_alone: bool) {
        if let Some(keys) = &mut self.known().keys {
            ranges.retain(|&(low, _)| {
                let key = xxh3_64(SpanKey::first_of(low).as_bytes());
                keys.insert_hash(key) || !is_alone
            });
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn enter(conn: &mut PgConnection, writer: Uuid) -> Result<bool, Fault> {
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
