//! The database has the rows, and its disk not yet: what may go on meanwhile, and what may not.

use std::sync::Arc;
use std::time::{Duration, Instant};

use beacon_collector::pipeline::{BatchLimits, Pipeline, SinkError};
use beacon_collector::source::{Input, StreamId};
use beacon_collector::store::{Spool, Store};
use bytes::Bytes;
use tokio::sync::{Semaphore, oneshot};

use super::bench::PATIENCE;
use crate::support::collector::spans;
use crate::support::database::{Database, sqlite};
use crate::support::faulty::Faulty;

struct Trial {
    db: Database,
    store: Arc<Faulty>,
    pipeline: Pipeline,
    _dir: tempfile::TempDir,
}

impl Trial {
    async fn new() -> Self {
        let db = sqlite().await;
        let store = Arc::new(Faulty::with_slow_disk(&db.store));
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(dir.path(), "db", 1 << 20).unwrap();
        let limits = BatchLimits {
            age: Duration::from_millis(20),
            ..BatchLimits::default()
        };
        let pipeline =
            Pipeline::start(Arc::clone(&store) as Arc<dyn Store>, spool, limits).unwrap();
        Self {
            db,
            store,
            pipeline,
            _dir: dir,
        }
    }

    /// Sends spans; the answer comes once they are stored.
    async fn send(&self, numbers: std::ops::Range<usize>) -> oneshot::Receiver<()> {
        let (acknowledge, acknowledged) = oneshot::channel();
        let bytes = Input::Bytes {
            stream: StreamId::new("test"),
            bytes: Bytes::from(spans(numbers)),
            checkpoint: None,
        };
        for input in [bytes, Input::Acknowledge(acknowledge)] {
            self.pipeline.input.send(input).await.unwrap();
        }
        acknowledged
    }

    async fn wait_for_rows(&self, rows: usize) {
        let deadline = Instant::now() + PATIENCE;
        let sql = "select cast(count(*) as text) from trace_spans where status = 'completed'";
        while self.db.texts(sql).await != [rows.to_string()] {
            assert!(Instant::now() < deadline);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test]
async fn what_is_not_on_disk_is_not_acknowledged_and_holds_up_no_other_write() {
    let trial = Trial::new().await;
    let mut first = trial.send(0..100).await;
    trial.wait_for_rows(100).await;
    let mut second = trial.send(100..200).await;
    trial.wait_for_rows(200).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    for acknowledged in [&mut first, &mut second] {
        let nothing_yet = acknowledged.try_recv();
        assert_eq!(nothing_yet, Err(oneshot::error::TryRecvError::Empty));
    }
    trial.store.syncs.add_permits(Semaphore::MAX_PERMITS);
    for acknowledged in [first, second] {
        let answer = tokio::time::timeout(PATIENCE, acknowledged).await;
        answer.unwrap().unwrap();
    }
    trial.pipeline.drain().await.unwrap();
}

#[tokio::test]
async fn a_disk_that_fails_ends_the_pipeline_and_nothing_is_acknowledged() {
    let trial = Trial::new().await;
    trial.store.syncs.close();
    let mut acknowledged = trial.send(0..100).await;
    let closed = trial.pipeline.input.closed();
    tokio::time::timeout(PATIENCE, closed).await.unwrap();
    let nothing = acknowledged.try_recv();
    assert_eq!(nothing, Err(oneshot::error::TryRecvError::Empty));
    let ended = tokio::time::timeout(PATIENCE, trial.pipeline.drain()).await;
    let err = ended.unwrap().unwrap_err();
    assert!(matches!(err, SinkError::Unsynced(_)), "{err}");
}
