//! What may be released when: checkpoints and acknowledgements wait for the rows before them.
//!
//! Every flush gets a number and is written in parts by several writers side by side. A checkpoint
//! is handed to a writer only when every earlier flush is committed and the writer's own part is the
//! last one missing, so it commits in the same transaction as the last rows that it stands for.
//! While the store is away, flushes that pile up are joined: they are released together.
//! A checkpoint that lags is harmless (what is read again changes no row); one that leads is a loss.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, oneshot};

use crate::store::Checkpoint;

/// Flushes kept apart; more than a busy store has under way at once.
const MAX_APART: usize = 64;

/// Shared between the batch stage and the writers.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    state: Mutex<State>,
    committed: Notify,
}

#[derive(Debug, Default)]
struct State {
    first: u64,
    flushes: VecDeque<Flush>,
    /// Released, not yet written; the newest of each source.
    ready: BTreeMap<String, Checkpoint>,
    /// One writer at a time carries checkpoints, so that an older one never overwrites a newer.
    carried: bool,
}

#[derive(Debug)]
pub(super) struct Flush {
    /// Parts not committed yet.
    pub(super) parts: usize,
    pub(super) checkpoints: Vec<Checkpoint>,
    pub(super) acknowledgements: Vec<oneshot::Sender<()>>,
    pub(super) opened: Instant,
    /// The sources that it holds input of, and since when.
    pub(super) sources: BTreeMap<Arc<str>, Instant>,
}

impl Flush {
    /// Takes over a later flush: both are released with the last of their parts.
    fn join(&mut self, later: Self) {
        self.parts += later.parts;
        self.checkpoints.retain(|known| {
            later
                .checkpoints
                .iter()
                .all(|new| new.source != known.source)
        });
        self.checkpoints.extend(later.checkpoints);
        for (source, since) in later.sources {
            self.sources.entry(source).or_insert(since);
        }
        self.acknowledgements.extend(later.acknowledgements);
        // Whoever gave up waiting needs no answer.
        self.acknowledgements.retain(|waiting| !waiting.is_closed());
    }
}

impl Ledger {
    /// Enters a flush; returns its number.
    pub(super) fn open(&self, flush: Flush) -> u64 {
        let mut state = self.lock();
        if state.flushes.len() < MAX_APART {
            state.flushes.push_back(flush);
        } else if let Some(last) = state.flushes.back_mut() {
            last.join(flush);
        }
        let number = state.first + state.flushes.len() as u64 - 1;
        state.release();
        number
    }

    /// Checkpoints to commit together with a part of this flush.
    pub(super) fn take_checkpoints(&self, number: u64) -> Vec<Checkpoint> {
        let mut state = self.lock();
        if state.carried {
            return Vec::new();
        }
        let last_part =
            number == state.first && state.flushes.front().is_some_and(|flush| flush.parts == 1);
        if last_part {
            let own = state
                .flushes
                .front_mut()
                .map(|flush| std::mem::take(&mut flush.checkpoints));
            state.make_ready(own.unwrap_or_default());
        }
        state.take_ready()
    }

    /// Checkpoints that no part is left to carry.
    pub(super) fn take_idle(&self) -> Vec<Checkpoint> {
        let mut state = self.lock();
        if state.carried || !state.flushes.is_empty() {
            Vec::new()
        } else {
            state.take_ready()
        }
    }

    /// Checkpoints that could not be written after all. They may stand for rows that are not
    /// committed, so they wait for the oldest flush.
    pub(super) fn give_back(&self, checkpoints: Vec<Checkpoint>) {
        if checkpoints.is_empty() {
            return;
        }
        let mut state = self.lock();
        state.carried = false;
        if let Some(oldest) = state.flushes.front_mut() {
            oldest.checkpoints.splice(0..0, checkpoints);
        } else {
            for checkpoint in checkpoints {
                let ready = state.ready.entry(checkpoint.source.clone());
                ready.or_insert(checkpoint);
            }
        }
        drop(state);
        // Whoever waits for the last commit has to hand them out again.
        self.committed.notify_one();
    }

    /// How long the oldest input that is not committed has been waiting.
    pub(super) fn lag(&self) -> Duration {
        let state = self.lock();
        let oldest = state.flushes.front();
        oldest.map_or(Duration::ZERO, |flush| flush.opened.elapsed())
    }

    /// The same for each source that has something waiting.
    pub(super) fn lags(&self) -> BTreeMap<Arc<str>, Duration> {
        let state = self.lock();
        let mut lags = BTreeMap::new();
        for flush in &state.flushes {
            for (source, since) in &flush.sources {
                let lag = since.elapsed();
                lags.entry(Arc::clone(source)).or_insert(lag);
            }
        }
        lags
    }

    /// A part is committed, with the checkpoints it carried.
    pub(super) fn commit(&self, number: Option<u64>, carried: bool) {
        let mut state = self.lock();
        state.carried &= !carried;
        if let Some(number) = number {
            let index = (number - state.first) as usize;
            if let Some(flush) = state.flushes.get_mut(index) {
                flush.parts -= 1;
            }
            state.release();
        }
        drop(state);
        self.committed.notify_one();
    }

    /// Whether some flush is not committed or some checkpoint not written.
    pub(super) fn is_behind(&self) -> bool {
        let state = self.lock();
        state.carried || !state.flushes.is_empty() || !state.ready.is_empty()
    }

    /// Waits for the next commit; one that came since the last wait counts.
    pub(super) async fn next_commit(&self) {
        self.committed.notified().await;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // A panic while holding the lock leaves plain counters; going on is right.
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl State {
    fn take_ready(&mut self) -> Vec<Checkpoint> {
        let ready = std::mem::take(&mut self.ready);
        self.carried = !ready.is_empty();
        ready.into_values().collect()
    }

    fn make_ready(&mut self, checkpoints: Vec<Checkpoint>) {
        let named = |checkpoint: Checkpoint| (checkpoint.source.clone(), checkpoint);
        self.ready.extend(checkpoints.into_iter().map(named));
    }

    fn release(&mut self) {
        while self.flushes.front().is_some_and(|flush| flush.parts == 0) {
            let Some(flush) = self.flushes.pop_front() else {
                return;
            };
            self.first += 1;
            self.make_ready(flush.checkpoints);
            for waiting in flush.acknowledgements {
                // An error: the sender has gone away and needs no answer.
                let _ = waiting.send(());
            }
        }
    }
}
