//! Writes batches to the store, several side by side; while it is away they wait in the spool.
//!
//! Each writer has at most one write under way, while the one before may still be on its way to the disk.
//! What can't be stored soon goes to the writer's lane of the spool, so that a database that is away, slow
//! or silent holds up nobody, and what is on its way when the process ends is not lost. Once the store is
//! back the lane is emptied before anything new is taken in. Only when the lane is full does a writer stop
//! taking in, and the sources wait.
//!
//! Invariant: a part counts as committed when the database has it on disk, never when the spool has it.

mod writer;

use std::sync::Arc;

use tokio::sync::{OnceCell, mpsc, watch};
use tokio::task::JoinSet;
use tracing::Instrument as _;
use tracing::field::Empty;

use self::writer::Writer;
use super::ledger::Ledger;
use super::spare::Spare;
use super::stats::Stats;
use crate::store::{Batch, Spool, SpoolError, Store, StoreError, Written};
use crate::telemetry;

/// Parts waiting for each writer: one is being written, one is ready.
const PART_QUEUE: usize = 1;

/// What ends the pipeline.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The spool can't be opened.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// Nobody knows what of the last writes is on disk, and writing them again would not help: the database has them.
    #[error("{0}; look at the disk and start again: whatever is read again is not stored twice")]
    Unsynced(StoreError),
    /// A writer ended early; its own error says why.
    #[error("a writer has stopped")]
    WriterGone,
    /// A stage ended abnormally.
    #[error("a pipeline stage ended: {0}")]
    Stage(String),
}

/// What one writer stores in one transaction.
#[derive(Debug)]
pub(super) struct Part {
    /// The flush it belongs to; none for checkpoints alone.
    pub(super) flush: Option<u64>,
    pub(super) batch: Batch,
}

/// What all writers share.
#[derive(Debug)]
struct Shared {
    store: Arc<dyn Store>,
    /// The schema is completed before the first write: the database may come up after us.
    prepared: OnceCell<()>,
    ledger: Arc<Ledger>,
    spare: Arc<Spare>,
    stats: Arc<Stats>,
    /// Tells flushes of this process from those that an earlier one left in the spool.
    run: u64,
    /// Changes when a writer finds the store back: the others need not wait for their next try.
    returned: watch::Sender<()>,
}

impl Shared {
    async fn write(&self, batch: &Batch) -> Result<Written, StoreError> {
        let span = tracing::info_span!(
            "write batch",
            observations = batch.observations.len(),
            spans = batch.spans.len(),
            inserted = Empty,
            updated = Empty,
            rejected = Empty,
            otel.status_code = Empty,
            otel.status_description = Empty,
        );
        let write = async {
            self.prepared
                .get_or_try_init(|| self.store.migrate())
                .await?;
            self.store.commit(batch).await
        };
        let written = write.instrument(span.clone()).await;
        match &written {
            Ok(written) => {
                span.record("inserted", written.inserted);
                span.record("updated", written.updated);
                span.record("rejected", written.rejected);
            }
            Err(error) => telemetry::fail(&span, error),
        }
        written
    }
}

/// Starts the writers; the batch stage feeds them.
pub(super) fn spawn(
    tasks: &mut JoinSet<Result<(), SinkError>>,
    store: Arc<dyn Store>,
    spool: &Spool,
    spare: Arc<Spare>,
    stats: Arc<Stats>,
) -> Result<(Vec<mpsc::Sender<Part>>, Arc<Ledger>), SinkError> {
    let ledger = Arc::clone(&stats.ledger);
    let writers = store.writers().max(1);
    let shared = Arc::new(Shared {
        store,
        prepared: OnceCell::new(),
        ledger: Arc::clone(&ledger),
        spare,
        stats,
        run: uuid::Uuid::new_v4().as_u64_pair().0,
        returned: watch::Sender::new(()),
    });
    let mut outlets = Vec::new();
    for number in 0..writers {
        let (outlet, inbox) = mpsc::channel(PART_QUEUE);
        let lane = spool.lane(number, writers)?;
        let writer = Writer::new(Arc::clone(&shared), number, lane);
        tasks.spawn(writer.run(inbox));
        outlets.push(outlet);
    }
    Ok((outlets, ledger))
}
