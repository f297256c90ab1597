//! The contract checker: a pipeline on a store that fails by lot, ended at random by a crash or in good
//! order, and begun again until everything is stored.

use std::sync::Arc;
use std::time::{Duration, Instant};

use beacon_collector::pipeline::{BatchLimits, Pipeline};
use beacon_collector::source::push::PushError;
use beacon_collector::source::{Input, Intake, Outlet, SourceError, StreamId, Tenure};
use beacon_collector::store::{Spool, Store};
use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use crate::support::collector::spans;
use crate::support::database::{Database, sqlite};
use crate::support::faulty::{Chance, Faulty};

pub(super) const SPANS: usize = 3_000;
pub(super) const PATIENCE: Duration = Duration::from_secs(120);
/// How long a source may take to end once it is told to.
const ENDS: Duration = Duration::from_secs(5);

/// A pipeline on a store that fails.
pub(super) struct Bench {
    pub(super) db: Database,
    dir: tempfile::TempDir,
    pub(super) chance: Chance,
}

impl Bench {
    pub(super) async fn new(seed: u64) -> Self {
        Self {
            db: sqlite().await,
            dir: tempfile::tempdir().unwrap(),
            chance: Chance(seed),
        }
    }

    pub(super) fn start(&mut self) -> (Pipeline, Outlet) {
        let seed = self.chance.below(u64::MAX);
        let store: Arc<dyn Store> = Arc::new(Faulty::new(&self.db.store, seed));
        let spool = Spool::open(self.dir.path(), "db", 64 << 20).unwrap();
        let limits = BatchLimits {
            rows: 500,
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

    pub(super) async fn completed(&self) -> usize {
        let sql = "select cast(count(*) as text) from trace_spans where status = 'completed'";
        self.db.texts(sql).await[0].parse().unwrap()
    }

    pub(super) async fn wait_for_all(&self) {
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

    /// Holds the rows against those of an undisturbed run.
    pub(super) async fn compare(&self) {
        assert!(self.rows().await == undisturbed().await, "the rows differ");
    }
}

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

/// The lines of all spans in pieces of random size, cut anywhere.
pub(super) fn pieces(chance: &mut Chance, longest: u64) -> Vec<Bytes> {
    let mut rest = Bytes::from(spans(0..SPANS));
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        let size = 1 + usize::try_from(chance.below(longest)).unwrap();
        pieces.push(rest.split_to(size.min(rest.len())));
    }
    pieces
}

/// Runs a source that can be read again, broken off at random moments, until all is stored.
pub(super) async fn check_replayable<F>(seed: u64, source: impl Fn(Outlet) -> F)
where
    F: Future<Output = Result<(), SourceError>> + Send + 'static,
{
    let mut bench = Bench::new(seed).await;
    for _ in 0..4 {
        let (pipeline, out) = bench.start();
        let stop = out.stop.clone();
        let running = tokio::spawn(source(out));
        tokio::time::sleep(Duration::from_millis(bench.chance.below(400))).await;
        if bench.chance.below(2) == 0 {
            ended_in_time(&stop, running).await;
        } else {
            running.abort();
        }
        // As a crash: nothing is drained.
        drop(pipeline);
    }
    let (pipeline, out) = bench.start();
    let stop = out.stop.clone();
    let running = tokio::spawn(source(out));
    bench.wait_for_all().await;
    ended_in_time(&stop, running).await;
    pipeline.drain().await.unwrap();
    bench.compare().await;
}

/// Told to stop, a source ends soon, and not in an error of its own.
async fn ended_in_time(
    stop: &CancellationToken,
    running: tokio::task::JoinHandle<Result<(), SourceError>>,
) {
    stop.cancel();
    let ended = tokio::time::timeout(ENDS, running).await;
    let ended = ended.expect("it goes on").unwrap();
    assert!(
        ended.as_ref().err().is_none_or(SourceError::is_shutdown),
        "{ended:?}"
    );
}

/// Pushes pieces, again and again until each is acknowledged; between the tries the process ends at
/// random.
pub(super) async fn check_pushed<F>(
    seed: u64,
    pieces: Vec<Bytes>,
    push: impl Fn(Intake, Bytes) -> F,
) -> Bench
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
                Err(error) if error.retry_after().is_some() => {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
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
    bench
}
