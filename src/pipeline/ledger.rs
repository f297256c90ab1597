//! What may be released when: checkpoints and acknowledgements wait for the rows before them.
//!
//! Every flush gets a number and is written in parts by several writers side by side. A checkpoint
//! is handed to a writer only when every earlier flush is committed and the writer's own part is the
//! last one missing, so it commits in the same transaction as the last rows that it stands for.
//! A checkpoint that lags is harmless (what is read again changes no row); one that leads is a loss.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;

use serde_json::Value;
use tokio::sync::{Notify, oneshot};

use crate::store::Checkpoint;

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
    ready: BTreeMap<String, Value>,
    /// One writer at a time carries checkpoints, so that an older one never overwrites a newer.
    carried: bool,
}

#[derive(Debug)]
pub(super) struct Flush {
    /// Parts not committed yet.
    pub(super) parts: usize,
    pub(super) checkpoints: Vec<Checkpoint>,
    pub(super) acknowledgements: Vec<oneshot::Sender<()>>,
}

impl Ledger {
    /// Enters a flush; returns its number.
    pub(super) fn open(&self, flush: Flush) -> u64 {
        let mut state = self.lock();
        state.flushes.push_back(flush);
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
            state.ready.extend(
                own.unwrap_or_default()
                    .into_iter()
                    .map(|c| (c.source, c.position)),
            );
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
        ready
            .into_iter()
            .map(|(source, position)| Checkpoint { source, position })
            .collect()
    }

    fn release(&mut self) {
        while self.flushes.front().is_some_and(|flush| flush.parts == 0) {
            let Some(flush) = self.flushes.pop_front() else {
                return;
            };
            self.first += 1;
            self.ready.extend(
                flush
                    .checkpoints
                    .into_iter()
                    .map(|c| (c.source, c.position)),
            );
            for waiting in flush.acknowledgements {
                // An error: the sender has gone away and needs no answer.
                let _ = waiting.send(());
            }
        }
    }
}
