//! Measures linking on worlds in which it is known what belongs to what.
//!
//! `cargo run --release --example bench-linking -- [--seeds N] [--first N] [--jobs N] [--lab FILE]
//! [--worlds FLAGS;FLAGS;…] [--wrong]` lets the lab (`tests/lab/world.py`) make each world with each
//! seed, loads its rows into an embedded database, sends its log through the pipeline as a pipe would,
//! links, and prints how many printed spans were linked rightly, wrongly or not at all.
#![expect(clippy::print_stdout, reason = "printing the table is what it is for")]

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use beacon_collector::model::{ExecutionLink, Regions, Span, meta};
use beacon_collector::pipeline::{BatchLimits, Linker, Pipeline, expire};
use beacon_collector::source::{Input, StreamId};
use beacon_collector::store::{self, SpanQuestion, Spool, Store};
use bytes::Bytes;
use chrono::{DateTime, NaiveDateTime, SecondsFormat, TimeDelta, Utc};
use serde::Deserialize;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, Connection, Executor, Row};
use uuid::Uuid;

/// Rows that one world can have.
const ROWS: u32 = 5_000_000;

#[derive(Deserialize)]
struct Truth {
    links: Vec<TrueLink>,
}

#[derive(Deserialize)]
struct TrueLink {
    log_id: String,
    container_id: String,
    trace_id: Uuid,
    execution_id: i64,
}

/// What became of the spans of one world, or of several.
#[derive(Default, Clone, Copy)]
struct Tally {
    spans: usize,
    right: usize,
    wrong: usize,
    traces: usize,
    traces_right: usize,
    traces_wrong: usize,
    ingest: Duration,
    link: Duration,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.spans += other.spans;
        self.right += other.right;
        self.wrong += other.wrong;
        self.traces += other.traces;
        self.traces_right += other.traces_right;
        self.traces_wrong += other.traces_wrong;
        self.ingest += other.ingest;
        self.link += other.link;
    }

    fn row(&self, name: &str) -> String {
        let share = |part: usize, all: usize| 100.0 * part as f64 / all.max(1) as f64;
        format!(
            "{name:34}{:8}{:9.2} %{:9.2} %{:8.3} %{:8}{:9.2} %{:7}{:9.2} s{:7.2} s",
            self.spans,
            share(self.right, self.spans),
            share(self.spans - self.right - self.wrong, self.spans),
            share(self.wrong, self.spans),
            self.traces,
            share(self.traces_right, self.traces),
            self.traces_wrong,
            self.ingest.as_secs_f64(),
            self.link.as_secs_f64(),
        )
    }
}

struct Settings {
    seeds: u64,
    first: u64,
    jobs: String,
    lab: String,
    worlds: String,
    show_wrong: bool,
}

impl Settings {
    fn read() -> Result<Self> {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let value = |name: &str, otherwise: &str| -> String {
            let at = arguments.iter().position(|argument| argument == name);
            at.and_then(|at| arguments.get(at + 1).cloned())
                .unwrap_or_else(|| otherwise.to_owned())
        };
        Ok(Self {
            seeds: value("--seeds", "20").parse()?,
            first: value("--first", "1").parse()?,
            jobs: value("--jobs", "10"),
            lab: value("--lab", "tests/lab/world.py"),
            worlds: value(
                "--worlds",
                ";--overlap;--outage;--fault-rate 0.4;--overlap --fault-rate 0.4",
            ),
            show_wrong: arguments.iter().any(|argument| argument == "--wrong"),
        })
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let settings = Settings::read()?;
    println!(
        "{:34}{:>8}{:>11}{:>11}{:>10}{:>8}{:>11}{:>7}{:>11}{:>9}",
        "world",
        "spans",
        "linked",
        "unlinked",
        "wrong",
        "traces",
        "joined",
        "wrong",
        "ingest",
        "link"
    );
    for flags in settings.worlds.split(';') {
        let mut all = Tally::default();
        let mut worst = (f64::INFINITY, 0);
        for seed in settings.first..settings.first + settings.seeds {
            let tally = world(&settings, flags, seed).await?;
            let share = tally.right as f64 / tally.spans as f64;
            if share < worst.0 {
                worst = (share, seed);
            }
            if settings.seeds <= 20 {
                println!("{}", tally.row(&format!("  seed {seed} {flags}")));
            }
            all.add(tally);
        }
        let name = if flags.is_empty() { "plain" } else { flags };
        println!("{}", all.row(name));
        println!("  worst: {:.2} % (seed {})", 100.0 * worst.0, worst.1);
    }
    Ok(())
}

/// Makes a world, collects its log, links and compares.
async fn world(settings: &Settings, flags: &str, seed: u64) -> Result<Tally> {
    let folder = tempfile::tempdir()?;
    let made = Command::new("python3")
        .args([&settings.lab, "--seed", &seed.to_string()])
        .args(["--jobs", &settings.jobs])
        .args(flags.split_whitespace())
        .arg("--out")
        .arg(folder.path())
        .output()?;
    if !made.status.success() {
        bail!("{}", String::from_utf8_lossy(&made.stderr));
    }
    let database = folder.path().join("beacon.db");
    let store = store::open(&format!("sqlite:{}", database.display())).await?;
    store.migrate().await?;
    let executions = load(folder.path(), &database).await?;
    let mut tally = Tally::default();

    let began = Instant::now();
    let log = std::fs::read(folder.path().join("modal.log"))?;
    let stats = collect(&store, folder.path(), log).await?;
    tally.ingest = began.elapsed();

    let began = Instant::now();
    let linker = Linker::new(Arc::clone(&store), Regions::default());
    linker.catch_up(&stats, Utc::now(), true).await?;
    tally.link = began.elapsed();

    let truth = std::fs::read_to_string(folder.path().join("truth.json"))?;
    let truth: Truth = serde_json::from_str(&truth)?;
    compare(&store, &truth, settings.show_wrong, &mut tally).await?;
    compare_traces(&store, &executions, &mut tally).await?;
    Ok(tally)
}

/// Sends a log through the pipeline, as a pipe would.
async fn collect(
    store: &Arc<dyn Store>,
    folder: &Path,
    log: Vec<u8>,
) -> Result<Arc<beacon_collector::pipeline::Stats>> {
    let spool = Spool::open(&folder.join("spool"), "bench", 1 << 30)?;
    let pipeline = Pipeline::start(Arc::clone(store), spool, BatchLimits::default())?;
    let stats = Arc::clone(&pipeline.stats);
    let stream = StreamId::new("stdin");
    for chunk in log.chunks(64 << 10) {
        let bytes = Bytes::copy_from_slice(chunk);
        let input = Input::Bytes {
            stream: stream.clone(),
            bytes,
            checkpoint: None,
        };
        pipeline.input.send(input).await?;
    }
    pipeline.input.send(Input::End(stream)).await?;
    pipeline.drain().await?;
    expire(store.as_ref(), &stats, Utc::now(), Duration::from_secs(900)).await?;
    Ok(stats)
}

async fn compare(
    store: &Arc<dyn Store>,
    truth: &Truth,
    show_wrong: bool,
    tally: &mut Tally,
) -> Result<()> {
    let question = SpanQuestion::Printed {
        from: DateTime::UNIX_EPOCH,
        to: Utc::now() + TimeDelta::days(1),
    };
    let rows = store.spans(&question, ROWS).await?;
    let key = |row: &Span| {
        let text = |key: &str| row.text(key).unwrap_or_default().to_owned();
        (text(meta::LOG_ID), text(meta::CONTAINER_ID))
    };
    let rows: HashMap<_, Span> = rows.into_iter().map(|row| (key(&row), row)).collect();
    for link in &truth.links {
        tally.spans += 1;
        let key = (link.log_id.clone(), link.container_id.clone());
        let row = rows.get(&key).context("a span was not stored")?;
        if row.trace_id == link.trace_id && row.execution_id == Some(link.execution_id) {
            tally.right += 1;
        } else if row.trace_id != row.span_id {
            tally.wrong += 1;
            if show_wrong {
                println!("wrong: {row:?}, in truth {}", link.trace_id);
            }
        } else if show_wrong {
            println!("unlinked: {row:?}, in truth {}", link.trace_id);
        }
    }
    Ok(())
}

/// `executions` says for each trace which execution it is of.
async fn compare_traces(
    store: &Arc<dyn Store>,
    executions: &HashMap<Uuid, i64>,
    tally: &mut Tally,
) -> Result<()> {
    let ids: Vec<Uuid> = executions.keys().copied().collect();
    let mut found: Vec<ExecutionLink> = Vec::new();
    for ids in ids.chunks(1_000) {
        found.extend(store.execution_links(ids).await?);
    }
    tally.traces = executions.len();
    for link in found {
        if executions.get(&link.trace_id) == Some(&link.execution_id) {
            tally.traces_right += 1;
        } else {
            tally.traces_wrong += 1;
        }
    }
    Ok(())
}

/// Loads the rows of runner and router; says which execution each trace is of.
async fn load(folder: &Path, database: &Path) -> Result<HashMap<Uuid, i64>> {
    let sql = std::fs::read_to_string(folder.join("db.sql"))?;
    let statements = sql
        .lines()
        .filter(|line| !line.starts_with("SELECT setval"));
    let sql = with_sqlite_times(&statements.collect::<Vec<_>>().join("\n"));
    let options = SqliteConnectOptions::new().filename(database);
    let mut connection = SqliteConnection::connect_with(&options).await?;
    connection.execute(AssertSqlSafe(sql)).await?;
    // The key of the lab's executions is unique, and their traces' outermost spans carry it.
    let rows = sqlx::query(
        "select s.trace_id, e.id from trace_spans s \
         join jobs j on j.jobspec_id = s.metadata ->> 'job_id' \
         join executions e on e.job_id = j.id and e.question_id = s.metadata ->> 'question_id' \
          and e.model_id = s.metadata ->> 'model_id' and e.region = s.metadata ->> 'region' \
         where s.operation = 'execute_question'",
    )
    .fetch_all(&mut connection)
    .await?;
    rows.iter()
        .map(|row| Ok((row.get::<String, _>(0).parse()?, row.get(1))))
        .collect()
}

/// Rewrites the quoted times of Postgres to the form in which the embedded store keeps them.
fn with_sqlite_times(sql: &str) -> String {
    let rewritten = sql.split('\'').enumerate().map(|(at, piece)| {
        let naive = piece.strip_suffix("+00:00").unwrap_or(piece);
        match NaiveDateTime::parse_from_str(naive, "%Y-%m-%d %H:%M:%S%.f") {
            Ok(time) if at % 2 == 1 => time.and_utc().to_rfc3339_opts(SecondsFormat::Micros, true),
            _ => piece.to_owned(),
        }
    });
    rewritten.collect::<Vec<_>>().join("'")
}
