//! One writer: what it stores next, and what becomes of what it could not store.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::{Part, Shared, SinkError};
use crate::pipeline::pulse::Pulse;
use crate::store::{Batch, Entry, Lane, StoreError, Written};

/// First and longest pause between tries.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));
/// Shortest pause after a refusal.
const REFUSED: Duration = Duration::from_secs(1);
/// A write that takes longer is no longer waited for: what comes goes to the spool.
const PATIENCE: Duration = Duration::from_secs(2);
/// Rows from the spool that are stored in one transaction.
const DRAIN_ROWS: usize = 2_000;

/// Stores the parts of one shard, one after the other.
pub(super) struct Writer {
    shared: Arc<Shared>,
    number: usize,
    pulse: Arc<Pulse>,
    lane: Lane,
    under_way: Option<UnderWay>,
    /// What the database has, and its disk perhaps not yet.
    settling: Option<Settling>,
    /// The same, from after the sync under way began: nothing else is started.
    stored: Option<Stored>,
    /// What is next: checkpoints, or rows that the spool refused. Nothing is taken in until it is
    /// being written.
    held: Option<Part>,
    /// Whether the last write failed.
    failing: bool,
    pause: Duration,
    retry_at: Instant,
    returned: watch::Receiver<()>,
}

/// A call of the store that has not returned.
type Pending<T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send>>;

/// A write under way.
struct UnderWay {
    write: Pending<Written>,
    batch: Arc<Batch>,
    origin: Origin,
    patience: Instant,
    /// Whether that has passed.
    overdue: bool,
}

/// What a write stored. Its rows are with the database, so they are no longer kept here.
struct Stored {
    written: Written,
    origin: Origin,
    carries_checkpoints: bool,
}

/// A sync under way.
struct Settling {
    sync: Pending<()>,
    stored: Stored,
}

/// Where the rows of a write came from.
#[derive(Debug)]
enum Origin {
    /// Straight from the batch stage: they are nowhere else yet.
    Fresh(Option<u64>),
    /// The same, but in the spool by now, from where they will be stored again.
    Hedged,
    /// From the spool; flushes of this process among them.
    Spooled(Vec<u64>),
}

impl Writer {
    /// A writer who begins with what an earlier process left in its lane.
    pub(super) fn new(shared: Arc<Shared>, number: usize, lane: Lane) -> Self {
        let writer = Self {
            number,
            pulse: shared.stats.pulse(&format!("writer {number}")),
            lane,
            under_way: None,
            settling: None,
            stored: None,
            held: None,
            failing: false,
            pause: PAUSES.0,
            retry_at: Instant::now(),
            returned: shared.returned.subscribe(),
            shared,
        };
        writer.show_lane();
        writer
    }

    pub(super) async fn run(mut self, mut inbox: mpsc::Receiver<Part>) -> Result<(), SinkError> {
        let mut open = true;
        loop {
            self.settle_next();
            if self.is_free() {
                self.start_next();
            }
            if !open && self.is_free() && self.settling.is_none() && self.lane.is_empty() {
                return Ok(());
            }
            let wake = self.wake();
            tokio::select! {
                // What is on disk counts before the next is taken in, so that its checkpoint goes with it.
                biased;
                synced = end(self.settling.as_mut().map(|settling| &mut settling.sync)) => {
                    synced.map_err(SinkError::Unsynced)?;
                    self.settled();
                }
                written = end(self.under_way.as_mut().map(|write| &mut write.write)) => self.ended(written),
                part = inbox.recv(), if open && self.takes_in() => match part {
                    Some(part) => self.take_in(part),
                    None => open = false,
                },
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {
                    self.hedge();
                }
                _ = self.returned.changed(), if self.failing && self.under_way.is_none() => {
                    self.retry_at = Instant::now();
                }
            }
        }
    }

    /// Whether another write may start.
    fn is_free(&self) -> bool {
        self.under_way.is_none() && self.stored.is_none()
    }

    /// Starts what has waited longest, when it is time.
    fn start_next(&mut self) {
        if let Some(Part { flush, batch }) = self.held.take() {
            self.start(Arc::new(batch), Origin::Fresh(flush));
        } else if !self.lane.is_empty()
            // The lane is told of one piece at a time that it is stored.
            && self.settling.is_none()
            && Instant::now() >= self.retry_at
        {
            self.drain_some();
        }
    }

    /// Starts the sync of what was stored last.
    fn settle_next(&mut self) {
        if self.settling.is_some() {
            return;
        }
        self.settling = self.stored.take().map(|stored| {
            let store = Arc::clone(&self.shared.store);
            Settling {
                sync: Box::pin(async move { store.sync().await }),
                stored,
            }
        });
        if self.settling.is_some() {
            self.pulse.work();
        }
    }

    /// Whether the writer looks at what comes: always when idle; else only when the store does not
    /// answer and the spool has room.
    fn takes_in(&self) -> bool {
        match &self.under_way {
            _ if self.held.is_some() || self.stored.is_some() => false,
            None if self.lane.is_empty() => true,
            None => self.failing && self.lane.has_room(),
            Some(write) => (self.failing || write.overdue) && self.lane.has_room(),
        }
    }

    /// When something is to be done without anything happening.
    fn wake(&self) -> Option<Instant> {
        match &self.under_way {
            Some(write) => (!write.overdue).then_some(write.patience),
            None if self.lane.is_empty() || self.settling.is_some() => None,
            None => Some(self.retry_at),
        }
    }

    fn take_in(&mut self, Part { flush, mut batch }: Part) {
        if self.under_way.is_none() && self.lane.is_empty() {
            if let Some(number) = flush {
                batch
                    .checkpoints
                    .extend(self.shared.ledger.take_checkpoints(number));
            }
            return self.start(Arc::new(batch), Origin::Fresh(flush));
        }
        // Checkpoints alone are not spooled: they wait for their turn.
        if flush.is_none() || !self.spool(&batch, flush) {
            self.held = Some(Part { flush, batch });
        }
    }

    fn start(&mut self, batch: Arc<Batch>, origin: Origin) {
        let (shared, rows) = (Arc::clone(&self.shared), Arc::clone(&batch));
        // Rows that stand nowhere but in memory wait here for their next try.
        let begin = if matches!(origin, Origin::Fresh(_)) {
            self.retry_at
        } else {
            Instant::now()
        };
        self.pulse.work();
        let mut returned = self.returned.clone();
        self.under_way = Some(UnderWay {
            write: Box::pin(async move {
                tokio::select! {
                    () = sleep_until(begin) => {}
                    _ = returned.changed() => {}
                }
                shared.write(&rows).await
            }),
            batch,
            origin,
            patience: Instant::now() + PATIENCE,
            overdue: false,
        });
    }

    /// Starts to store the oldest of what waits in the spool.
    fn drain_some(&mut self) {
        let entries = match self.lane.take(DRAIN_ROWS) {
            Ok(entries) => entries,
            Err(error) => {
                tracing::error!(%error, "cannot read what waits in the spool; trying again");
                self.lane.rewind();
                // What comes can go to the spool meanwhile.
                self.failing = true;
                self.retry_at = Instant::now() + PAUSES.1;
                return;
            }
        };
        let mut batch = Batch::default();
        let mut flushes = Vec::new();
        for entry in entries {
            flushes.extend(entry.flush.filter(|_| entry.run == self.shared.run));
            batch.observations.extend(entry.observations.into_owned());
            batch.spans.extend(entry.spans.into_owned());
            batch.losses.extend(entry.losses.into_owned());
        }
        self.start(Arc::new(batch), Origin::Spooled(flushes));
    }

    /// Puts what is being written for too long into the spool as well: the write may never return,
    /// and the process may end first.
    fn hedge(&mut self) {
        let Some(write) = &mut self.under_way else {
            return;
        };
        write.overdue = true;
        let Origin::Fresh(flush) = write.origin else {
            return;
        };
        let batch = Arc::clone(&write.batch);
        if self.spool(&batch, flush)
            && let Some(write) = &mut self.under_way
        {
            write.origin = Origin::Hedged;
        }
    }

    /// Whether the rows are in the spool now. Nothing needs to be where there are only checkpoints.
    fn spool(&mut self, batch: &Batch, flush: Option<u64>) -> bool {
        if flush.is_none() {
            return true;
        }
        let entry = Entry {
            run: self.shared.run,
            flush,
            observations: batch.observations.as_slice().into(),
            spans: batch.spans.as_slice().into(),
            losses: batch.losses.as_slice().into(),
        };
        let kept = self.lane.append(&entry);
        if let Err(error) = &kept {
            tracing::error!(%error, "cannot spool; holding rows in memory");
        }
        self.show_lane();
        kept.is_ok()
    }

    fn ended(&mut self, written: Result<Written, StoreError>) {
        let Some(UnderWay { batch, origin, .. }) = self.under_way.take() else {
            return;
        };
        if self.settling.is_none() {
            self.pulse.rest();
        }
        match written {
            Ok(written) => {
                self.answered();
                self.stored = Some(Stored {
                    written,
                    origin,
                    carries_checkpoints: !batch.checkpoints.is_empty(),
                });
                if let Some(batch) = Arc::into_inner(batch) {
                    self.shared.spare.give(batch.observations);
                }
            }
            Err(error) => self.failed(batch, origin, error),
        }
        self.show_lane();
    }

    /// The store does what it should.
    fn answered(&mut self) {
        if self.failing {
            tracing::info!(writer = self.number, "the store is back");
            self.shared.returned.send_replace(());
        }
        self.returned.mark_unchanged();
        self.failing = false;
        self.pause = PAUSES.0;
        self.retry_at = Instant::now();
        self.shared.stats.store_answered(None);
    }

    /// What was stored is on disk.
    fn settled(&mut self) {
        let Some(Settling { stored, .. }) = self.settling.take() else {
            return;
        };
        if self.under_way.is_none() {
            self.pulse.rest();
        }
        let Stored {
            written,
            origin,
            carries_checkpoints,
        } = stored;
        let ledger = &self.shared.ledger;
        match origin {
            Origin::Fresh(flush) => ledger.commit(flush, carries_checkpoints),
            Origin::Hedged => ledger.commit(None, carries_checkpoints),
            Origin::Spooled(flushes) => {
                flushes
                    .into_iter()
                    .for_each(|flush| ledger.commit(Some(flush), false));
                if let Err(error) = self.lane.confirm() {
                    tracing::error!(%error, "cannot delete what is stored from the spool");
                    self.retry_at = Instant::now() + PAUSES.1;
                }
            }
        }
        self.shared.stats.add_written(&written);
        self.show_lane();
    }

    fn failed(&mut self, batch: Arc<Batch>, origin: Origin, error: StoreError) {
        let stats = &self.shared.stats;
        stats.retries.fetch_add(1, Relaxed);
        stats.store_answered(Some(error.to_string()));
        self.pause = (self.pause * 2).min(PAUSES.1);
        if !error.is_transient() {
            // Somebody has to change something: asking often does not help.
            self.pause = self.pause.max(REFUSED);
        }
        if !self.failing {
            tracing::warn!(%error, writer = self.number, "cannot store; spooling until the store is back");
        }
        self.failing = true;
        self.retry_at = Instant::now() + self.pause;
        match origin {
            Origin::Hedged => self.shared.ledger.give_back(batch.checkpoints.clone()),
            Origin::Spooled(_) => self.lane.rewind(),
            Origin::Fresh(flush) if flush.is_none() || self.spool(&batch, flush) => {
                self.shared.ledger.give_back(batch.checkpoints.clone());
            }
            fresh @ Origin::Fresh(_) => self.start(batch, fresh),
        }
    }

    fn show_lane(&self) {
        let since = self.lane.waiting_since();
        self.shared
            .stats
            .show_spool(self.number, self.lane.bytes(), since);
    }
}

/// The end of what is under way; never, when nothing is.
async fn end<T>(under_way: Option<&mut Pending<T>>) -> Result<T, StoreError> {
    match under_way {
        Some(under_way) => under_way.await,
        None => std::future::pending().await,
    }
}
