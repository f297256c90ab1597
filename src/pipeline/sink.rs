//! Writes batches to the store, several side by side, and tries again until they are stored.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::ledger::Ledger;
use super::stats::Stats;
use crate::store::{Batch, Store, StoreError, Written};

/// Parts waiting for each writer: one is being written, one is ready.
const PART_QUEUE: usize = 1;
/// First and longest pause between tries.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// What ends the pipeline.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The store refuses and trying again can't help.
    #[error(transparent)]
    Store(#[from] StoreError),
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

/// Starts the writers; the batch stage feeds them.
pub(super) fn spawn(
    tasks: &mut JoinSet<Result<(), SinkError>>,
    store: Arc<dyn Store>,
    stats: Arc<Stats>,
) -> (Vec<mpsc::Sender<Part>>, Arc<Ledger>) {
    let ledger = Arc::new(Ledger::default());
    let outlets = (0..store.writers().max(1))
        .map(|_| {
            let (outlet, inbox) = mpsc::channel(PART_QUEUE);
            tasks.spawn(run(
                inbox,
                Arc::clone(&store),
                Arc::clone(&ledger),
                Arc::clone(&stats),
            ));
            outlet
        })
        .collect();
    (outlets, ledger)
}

async fn run(
    mut inbox: mpsc::Receiver<Part>,
    store: Arc<dyn Store>,
    ledger: Arc<Ledger>,
    stats: Arc<Stats>,
) -> Result<(), SinkError> {
    while let Some(Part { flush, mut batch }) = inbox.recv().await {
        if let Some(number) = flush {
            batch.checkpoints.extend(ledger.take_checkpoints(number));
        }
        let carried = !batch.checkpoints.is_empty();
        let written = write(store.as_ref(), &batch, &stats).await?;
        ledger.commit(flush, carried);
        stats.add_written(&written);
    }
    Ok(())
}

/// Writes a batch however long the store is away; gives up only where trying again can't help.
async fn write(store: &dyn Store, batch: &Batch, stats: &Stats) -> Result<Written, StoreError> {
    let mut pause = PAUSES.0;
    loop {
        match store.write(batch).await {
            Ok(written) => return Ok(written),
            Err(error) if error.is_transient() => {
                stats.retries.fetch_add(1, Relaxed);
                tracing::warn!(%error, retry_in = ?pause, rows = batch.observations.len(), "store is away; waiting");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSES.1);
            }
            Err(error) => return Err(error),
        }
    }
}
