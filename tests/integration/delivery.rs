//! What every source and the pipeline behind it keep to: whatever the store does, and whenever the
//! process ends, nothing that was acknowledged or can be read again is lost, and nothing is doubled.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use beacon_collector::pipeline::{BatchLimits, Pipeline};
use beacon_collector::source::otlp::Encoding;
use beacon_collector::source::push::PushError;
use beacon_collector::source::{
    CommandSource, FileSource, Input, Intake, Outlet, SourceError, StreamId, Tenure,
};
use beacon_collector::store::{Spool, Store};
use bytes::Bytes;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::support::collector::{append, spans};
use crate::support::database::{Database, sqlite};
use crate::support::faulty::{Chance, Faulty};

const SPANS: usize = 3_000;
const PATIENCE: Duration = Duration::from_secs(120);

/// A pipeline on a store that fails, ended and begun again as often as a test likes.
struct Bench {
    db: Database,
    dir: tempfile::TempDir,
    chance: Chance,
}

impl Bench {
    async fn new(seed: u64) -> Self {
        Self {
            db: sqlite().await,
            dir: tempfile::tempdir().unwrap(),
            chance: Chance(seed),
        }
    }

    fn start(&mut self) -> (Pipeline, Outlet) {
        let store: Arc<dyn Store> = Arc::new(Faulty {
            inner: Arc::clone(&self.db.store),
            chance: Mutex::new(Chance(self.chance.below(u64::MAX))),
        });
        let spool = Spool::open(self.dir.path(), "db", 64 << 20).unwrap();
        let limits = BatchLimits {
            rows: 200,
            age: Duration::from_millis(20),
            ..BatchLimits::default()
        };
        let pipeline = Pipeline::start(Arc::clone(&store), spool, limits).unwrap();
        let out = Outlet {
            input: pipeline.input.clone(),
            status: pipeline.stats.sources.named("test"),
            stop: CancellationToken::new(),
            store,
            tenure: Tenure::default(),
        };
        (pipeline, out)
    }

    async fn completed(&self) -> usize {
        let sql = "select cast(count(*) as text) from trace_spans where status = 'completed'";
        self.db.texts(sql).await[0].parse().unwrap()
    }

    async fn wait_for_all(&self) {
        let deadline = Instant::now() + PATIENCE;
        while self.completed().await < SPANS {
            assert!(
                Instant::now() < deadline,
                "{} of {SPANS}",
                self.completed().await
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The rows, without what tells how they came.
    async fn rows(&self) -> Vec<String> {
        self.db
            .texts(
                "select json_array(trace_id, span_id, service, operation, started_at, completed_at, \
                 duration_ms, status, model_id, region, json_remove(metadata, '$.source')) \
                 from trace_spans order by span_id",
            )
            .await
    }
}

/// The rows of an undisturbed run.
async fn undisturbed() -> Vec<String> {
    let bench = Bench::new(0).await;
    let spool = Spool::open(bench.dir.path(), "db", 1 << 20).unwrap();
    let store = Arc::clone(&bench.db.store);
    let pipeline = Pipeline::start(store, spool, BatchLimits::default()).unwrap();
    let stream = StreamId::new("test");
    let bytes = Bytes::from(spans(0..SPANS));
    let whole = Input::Bytes {
        stream: stream.clone(),
        bytes,
        checkpoint: None,
    };
    pipeline.input.send(whole).await.unwrap();
    pipeline.input.send(Input::End(stream)).await.unwrap();
    pipeline.drain().await.unwrap();
    bench.rows().await
}

/// Runs a source that can be read again, broken off at random moments, until all is stored.
async fn check_replayable<F>(seed: u64, source: impl Fn(Outlet) -> F)
where
    F: Future<Output = Result<(), SourceError>> + Send + 'static,
{
    let mut bench = Bench::new(seed).await;
    for _ in 0..4 {
        let (pipeline, out) = bench.start();
        let running = tokio::spawn(source(out));
        tokio::time::sleep(Duration::from_millis(bench.chance.below(400))).await;
        // As a crash: nothing is drained.
        running.abort();
        drop(pipeline);
    }
    let (pipeline, out) = bench.start();
    let stop = out.stop.clone();
    let running = tokio::spawn(source(out));
    bench.wait_for_all().await;
    stop.cancel();
    running.await.unwrap().unwrap_err();
    pipeline.drain().await.unwrap();
    assert!(bench.rows().await == undisturbed().await, "the rows differ");
}

#[tokio::test]
async fn a_file_keeps_the_contract() {
    for seed in 1..4 {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.log");
        append(&path, &spans(0..SPANS));
        check_replayable(seed, |out| {
            FileSource {
                pattern: path.clone(),
            }
            .run(out)
        })
        .await;
    }
}

#[tokio::test]
async fn a_command_that_prints_everything_again_keeps_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.log");
    append(&path, &spans(0..SPANS));
    let command = format!("cat {}", path.display());
    check_replayable(7, |out| {
        CommandSource {
            command: command.clone(),
        }
        .run(out)
    })
    .await;
}

/// Pushes in random pieces, again and again until each is acknowledged; between the tries the process
/// ends at random.
async fn check_pushed<F>(seed: u64, pieces: Vec<Bytes>, push: impl Fn(Intake, Bytes) -> F)
where
    F: Future<Output = Result<(), PushError>>,
{
    let mut bench = Bench::new(seed).await;
    let (mut pipeline, mut out) = bench.start();
    for piece in pieces {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let intake = Intake::new(&pipeline.input, &pipeline.stats.sources);
            match push(intake, piece.clone()).await {
                Ok(()) => break,
                Err(PushError::Busy { .. } | PushError::Stopped) => {}
                Err(error) => panic!("{error}"),
            }
            assert!(Instant::now() < deadline, "never acknowledged");
        }
        if bench.chance.below(3) == 0 {
            drop((pipeline, out));
            (pipeline, out) = bench.start();
        }
    }
    // All is acknowledged, so all is stored, whatever becomes of the process now.
    drop((pipeline, out));
    assert_eq!(bench.completed().await, SPANS);
    assert!(bench.rows().await == undisturbed().await, "the rows differ");
}

#[tokio::test]
async fn pushed_lines_keep_the_contract() {
    let mut chance = Chance(11);
    let mut pieces = Vec::new();
    let mut at = 0;
    while at < SPANS {
        let next = (at + 1 + chance.below(400) as usize).min(SPANS);
        pieces.push(Bytes::from(spans(at..next)));
        at = next;
    }
    check_pushed(11, pieces, |intake, body| async move {
        intake.lines("test", body).await
    })
    .await;
}

#[tokio::test]
async fn the_same_lines_through_otlp_are_the_same_spans() {
    let mut pieces = Vec::new();
    for at in (0..SPANS).step_by(500) {
        // What stands before the message goes into the record's own fields, as Modal sends it.
        let text = spans(at..at + 500);
        let records = text.lines().map(|line| {
            let (prefix, message) = line.split_once(" 🔍").unwrap();
            let mut words = prefix.split(' ');
            let time = format!("{}T{}", words.next().unwrap(), words.next().unwrap());
            let nanos = chrono::DateTime::parse_from_rfc3339(&time)
                .unwrap()
                .timestamp_nanos_opt()
                .unwrap();
            let attribute = |key: &str, value: Option<&str>| {
                json!({"key": key, "value": {"stringValue": value.unwrap()}})
            };
            json!({"timeUnixNano": nanos.to_string(), "body": {"stringValue": format!("🔍{message}\n")},
                "attributes": [attribute("function_call_id", words.next()),
                    attribute("container_id", words.next())]})
        });
        let records: Vec<_> = records.collect();
        let request = json!({"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]});
        pieces.push(Bytes::from(request.to_string()));
    }
    let mut bench = Bench::new(13).await;
    // First as lines, then through OTLP: no row more.
    let (pipeline, out) = bench.start();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.log");
    append(&path, &spans(0..SPANS));
    let file = tokio::spawn(FileSource { pattern: path }.run(out.clone()));
    for piece in pieces {
        let intake = Intake::new(&pipeline.input, &pipeline.stats.sources);
        while intake
            .otlp_logs(Encoding::Json, piece.clone())
            .await
            .is_err()
        {}
    }
    bench.wait_for_all().await;
    out.stop.cancel();
    file.await.unwrap().unwrap_err();
    drop(out);
    pipeline.drain().await.unwrap();
    let count = bench
        .db
        .texts("select cast(count(*) as text) from trace_spans")
        .await;
    assert_eq!(count, [SPANS.to_string()]);
}

#[tokio::test]
async fn a_pipe_loses_nothing_that_was_spooled_when_the_process_ends() {
    let mut bench = Bench::new(17).await;
    let (pipeline, out) = bench.start();
    let stream = StreamId::new("test");
    for line in spans(0..SPANS).lines() {
        let bytes = Bytes::from(format!("{line}\n"));
        let stream = stream.clone();
        out.input
            .send(Input::Bytes {
                stream,
                bytes,
                checkpoint: None,
            })
            .await
            .unwrap();
    }
    // A flush interval, and the time after which a slow write is spooled, and a good deal more.
    tokio::time::sleep(Duration::from_secs(8)).await;
    drop((pipeline, out));
    let (pipeline, out) = bench.start();
    bench.wait_for_all().await;
    drop(out);
    pipeline.drain().await.unwrap();
    assert!(bench.rows().await == undisturbed().await, "the rows differ");
}
