//! How fast finished spans go into a database, beside the fastest way in that it has.
//!
//! `scripts/postgres.sh run -- cargo bench --bench store [-- ROWS]` prints rows a second and, for each, the
//! ratio to one bare `COPY … (FORMAT binary)` of the same rows into the same table with the same
//! indexes. The copied bytes are ready-made, so the comparison costs its client nothing.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement prints what it measured and ends at the first fault"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use beacon_collector::model::{End, Moment, Observation, Outcome, Precision, SpanKey};
use beacon_collector::store::{self, Batch, SHARDS, Store, shard};
use chrono::{DateTime, TimeDelta};
use futures_util::TryStreamExt;
use serde_json::json;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor};

/// Rows in a batch, as the pipeline makes them under load.
const BATCH: usize = 2_000;
/// Rounds; the middle one of each kind counts.
const ROUNDS: usize = 3;
/// The columns that the collector writes.
const COLUMNS: &str = "trace_id, span_id, parent_span_id, service, operation, started_at, \
    completed_at, duration_ms, status, job_id, execution_id, model_id, region, metadata, \
    error_message, error_type";

#[tokio::main]
async fn main() {
    let server = std::env::var("BEACON_TEST_POSTGRES_URL").unwrap();
    let rows = std::env::args().find_map(|argument| argument.parse().ok());
    let shards = Arc::new(batches(rows.unwrap_or(200_000)));
    let rows: usize = shards
        .iter()
        .flatten()
        .map(|batch| batch.observations.len())
        .sum();
    let bytes = Arc::new(ready_made(&server, &shards).await);
    println!(
        "{rows} rows, {BATCH} a batch, {} bytes a row",
        bytes.len() / rows
    );

    let mut copies = Vec::new();
    let mut writes = vec![Vec::new(); 3];
    let mut replays = Vec::new();
    let mut embedded = Vec::new();
    for _ in 0..ROUNDS {
        copies.push(copy(&server, &bytes).await);
        for (writers, taken) in [1, 2, SHARDS].into_iter().zip(&mut writes) {
            let (first, replay) = write(&server, &shards, writers).await;
            taken.push(first);
            if writers == SHARDS {
                replays.push(replay);
            }
        }
        embedded.push(write_sqlite(&shards).await);
    }
    let bare = middle(copies);
    let report = |what: &str, taken: Taken| {
        println!(
            "{what:<28} {:>8.0} rows/s   {:.2} of a bare COPY   {:.1} µs CPU of ours a row",
            rows as f64 / taken.time.as_secs_f64(),
            bare.time.as_secs_f64() / taken.time.as_secs_f64(),
            taken.cpu.as_secs_f64() * 1e6 / rows as f64,
        );
    };
    report("bare COPY, one stream", bare);
    for (writers, taken) in [1, 2, SHARDS].into_iter().zip(writes) {
        report(&format!("Postgres, {writers} at once"), middle(taken));
    }
    report("Postgres, the same again", middle(replays));
    report("SQLite", middle(embedded));
}

/// What something took.
#[derive(Debug, Clone, Copy)]
struct Taken {
    time: Duration,
    cpu: Duration,
}

impl Taken {
    async fn by(work: impl Future<Output = ()>) -> Self {
        let (began, used) = (Instant::now(), cpu());
        work.await;
        Self {
            time: began.elapsed(),
            cpu: cpu() - used,
        }
    }
}

/// CPU time that this process has used so far, in the kernel's ticks of 10 ms.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    // Behind the name in brackets, user and system time are fields 12 and 13.
    let fields = stat.rsplit_once(')').unwrap().1;
    let ticks = fields.split_whitespace().skip(11).take(2);
    Duration::from_millis(ticks.map(|ticks| ticks.parse::<u64>().unwrap() * 10).sum())
}

fn middle(mut taken: Vec<Taken>) -> Taken {
    taken.sort_by_key(|taken| taken.time);
    taken[taken.len() / 2]
}

/// Finished spans with log ids spread as Modal functions draw them, in batches of one shard each.
fn batches(rows: usize) -> Vec<Vec<Batch>> {
    let mut shards = vec![vec![Batch::default()]; SHARDS];
    for number in 0..rows {
        let seen = finished(number);
        let batches = &mut shards[shard(&seen.key)];
        if batches.last().unwrap().observations.len() == BATCH {
            batches.push(Batch::default());
        }
        batches.last_mut().unwrap().observations.push(seen);
    }
    shards
}

fn finished(number: usize) -> Observation {
    // An odd factor spreads the numbers over all eight digits, each once.
    let log_id = format!("{:08x}", (number as u32).wrapping_mul(0x9e37_79b1));
    let container = format!("ta-01JX{:020}", number / 50);
    let began = DateTime::from_timestamp(1_761_138_000, 0).unwrap()
        + TimeDelta::milliseconds(number as i64 * 37);
    let took = TimeDelta::milliseconds(800 + (number as i64 * 7_919) % 9_000);
    let moment = |at| Moment {
        at,
        precision: Precision::Micro,
    };
    let key = SpanKey {
        log_id: log_id.into(),
        scope: container.as_str().into(),
    };
    let mut seen = Observation::new(key, "modal:beacon");
    seen.container_id = Some(container.into());
    seen.function_call_id = Some(format!("fc-01JX{number:020}").into());
    seen.name = Some(("modal".into(), "inference".into()));
    seen.model_id = Some("llama3.2-1b".into());
    seen.region = Some("us-east".into());
    seen.start = Some(moment(began));
    seen.end = Some(End {
        moment: moment(began + took),
        outcome: Outcome::Completed,
        reported_us: took.num_microseconds(),
        error_type: None,
        error_message: None,
    });
    seen.fields.insert("tokens", json!(number % 500));
    seen
}

/// A migrated database of its own.
struct Database {
    store: Arc<dyn Store>,
    conn: PgConnection,
}

impl Database {
    async fn create(server: &str) -> Self {
        let name = "beacon_bench";
        let mut admin = PgConnection::connect(server).await.unwrap();
        for sql in [
            format!("drop database if exists {name} with (force)"),
            format!("create database {name}"),
            "checkpoint".to_owned(),
        ] {
            admin.execute(AssertSqlSafe(sql)).await.unwrap();
        }
        let url = format!("{}/{name}", server.rsplit_once('/').unwrap().0);
        let store = store::open(&url).await.unwrap();
        store.migrate().await.unwrap();
        let conn = PgConnection::connect(&url).await.unwrap();
        Self { store, conn }
    }
}

/// The rows in the binary format of COPY.
async fn ready_made(server: &str, shards: &[Vec<Batch>]) -> Vec<u8> {
    let mut db = Database::create(server).await;
    for batch in shards.iter().flatten() {
        db.store.write(batch).await.unwrap();
    }
    let sql = format!("copy (select {COLUMNS} from trace_spans) to stdout (format binary)");
    let parts = db.conn.copy_out_raw(&sql).await.unwrap();
    let parts: Vec<_> = parts.try_collect().await.unwrap();
    parts.concat()
}

async fn copy(server: &str, bytes: &[u8]) -> Taken {
    let mut db = Database::create(server).await;
    let sql = format!("copy trace_spans ({COLUMNS}) from stdin (format binary)");
    Taken::by(async {
        let mut copy = db.conn.copy_in_raw(&sql).await.unwrap();
        for part in bytes.chunks(1 << 20) {
            copy.send(part).await.unwrap();
        }
        copy.finish().await.unwrap();
    })
    .await
}

async fn write(server: &str, shards: &Arc<Vec<Vec<Batch>>>, writers: usize) -> (Taken, Taken) {
    let db = Database::create(server).await;
    let first = Taken::by(write_all(&db.store, shards, writers)).await;
    let replay = Taken::by(write_all(&db.store, shards, writers)).await;
    db.store.close().await;
    (first, replay)
}

async fn write_sqlite(shards: &Arc<Vec<Vec<Batch>>>) -> Taken {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", dir.path().join("bench.db").display());
    let store = store::open(&url).await.unwrap();
    store.migrate().await.unwrap();
    Taken::by(write_all(&store, shards, 1)).await
}

/// Each writer takes every so-manieth shard.
async fn write_all(store: &Arc<dyn Store>, shards: &Arc<Vec<Vec<Batch>>>, writers: usize) {
    let tasks: Vec<_> = (0..writers)
        .map(|first| {
            let (store, shards) = (Arc::clone(store), Arc::clone(shards));
            tokio::spawn(async move {
                for batch in shards.iter().skip(first).step_by(writers).flatten() {
                    store.write(batch).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}
