//! Linking, driven over the store: when to look again at what, and in pieces of what size. What belongs
//! to what is decided in [`crate::correlate`].
//!
//! Linking follows the writing and never stands in its way: it reads what has been committed, holds
//! no lock while it thinks, writes in small transactions, and rests ten times as long as it worked while
//! lines come in. Invariant: everything it does can be done again; a crash costs nothing but a second
//! look.

mod executions;
mod pending;
mod slice;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::stats::Stats;
use crate::correlate::Knowledge;
use crate::model::Regions;
use crate::store::{Store, StoreError};
use pending::Pending;

/// Between two looks while something changes, and when nothing does.
const PAUSES: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(15));
/// Of the time between two looks, linking uses at most one part in this many.
const SHARE: u32 = 10;
/// What began longer ago than this is history: it is linked when no more of it comes.
const RECENT: TimeDelta = TimeDelta::minutes(15);
/// What is linked, and learned from, when the process starts.
const FIRST_LOOK: TimeDelta = TimeDelta::minutes(60);

/// What linking did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct LinkSummary {
    /// Printed spans looked at, each look counted.
    pub seen: u64,
    /// Of those, linked to a trace.
    pub linked: u64,
    /// Of those, left alone although there were callers around, with the reason in the row.
    pub unlinked: u64,
    /// Rows changed.
    pub changed: u64,
    /// Traces newly joined to their executions.
    pub executions: u64,
    /// Printed spans passed over because there were too many spans around them to weigh.
    pub too_dense: u64,
}

impl LinkSummary {
    fn add(&mut self, other: Self) {
        self.seen += other.seen;
        self.linked += other.linked;
        self.unlinked += other.unlinked;
        self.changed += other.changed;
        self.executions += other.executions;
        self.too_dense += other.too_dense;
    }
}

/// Links printed spans to the traces of their callers, and those to their executions.
#[derive(Debug)]
pub struct Linker {
    store: Arc<dyn Store>,
    regions: Arc<Regions>,
    // One look at a time: two would learn from the same spans.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    knowledge: Knowledge,
    /// What was learned from goes up to here.
    learned_to: Option<DateTime<Utc>>,
    pending: Pending,
    /// Whether the recent past was looked at, which an earlier process may have left unlinked.
    has_looked: bool,
}

impl Linker {
    /// A linker that knows nothing yet.
    pub fn new(store: Arc<dyn Store>, regions: Regions) -> Self {
        Self {
            store,
            regions: Arc::new(regions),
            state: Mutex::default(),
        }
    }

    /// Links everything that began in `[from, to)`, oldest first, learning on the way. `progress` is
    /// told how far it has come.
    pub async fn link_window(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        mut progress: impl FnMut(DateTime<Utc>, &LinkSummary) + Send,
    ) -> Result<LinkSummary, StoreError> {
        let mut state = self.state.lock().await;
        let mut summary = self.link_executions_of(from, to).await?;
        let mut at = from;
        while at < to {
            let mut slice = self.slice(at, to, &state.knowledge, Some(at)).await?;
            if let Some(learned) = slice.knowledge.take() {
                state.knowledge = learned;
            }
            state.learned_to = state.learned_to.max(Some(slice.reached));
            state.pending.settle(&slice);
            summary.add(slice.summary);
            at = slice.reached;
            progress(at, &summary);
        }
        Ok(summary)
    }

    /// Links what has been written since the last time, and what can have become clear since. History
    /// that is still coming in is left for later unless `all`. What it leaves undone, because it fails
    /// or is dropped, the next call does.
    pub async fn catch_up(
        &self,
        stats: &Stats,
        now: DateTime<Utc>,
        all: bool,
    ) -> Result<LinkSummary, StoreError> {
        let mut state = self.state.lock().await;
        if !std::mem::replace(&mut state.has_looked, true) {
            state.pending.look_at(now - FIRST_LOOK, now);
        }
        let more_history = state.pending.touch(&stats.take_touched(), now - RECENT);
        drop(state);
        let mut summary = self.link_new_executions(now).await?;
        if all || !more_history {
            let history = self.state.lock().await.pending.history();
            for (from, to) in history {
                summary.add(self.link_window(from, to, |_, _| ()).await?);
            }
        }
        self.learn_recent(now).await?;
        let due = self.state.lock().await.pending.due(now);
        for (from, to) in due {
            summary.add(self.look_again(from, to).await?);
        }
        Ok(summary)
    }

    /// Links what began in `[from, to)` by what is known, without learning from it.
    async fn look_again(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<LinkSummary, StoreError> {
        let mut state = self.state.lock().await;
        let mut summary = LinkSummary::default();
        let mut at = from;
        while at < to {
            // With nothing known yet, the slice itself is the best there is to learn from.
            let learn_since = state.knowledge.is_empty().then_some(at);
            let slice = self.slice(at, to, &state.knowledge, learn_since).await?;
            state.pending.settle(&slice);
            summary.add(slice.summary);
            at = slice.reached;
        }
        Ok(summary)
    }

    /// Learns from a stretch of the recent past once it can no longer change.
    async fn learn_recent(&self, now: DateTime<Utc>) -> Result<(), StoreError> {
        let to = now - RECENT;
        let learned_to = self.state.lock().await.learned_to;
        let from = learned_to.map_or(now - FIRST_LOOK, |learned| learned.max(now - FIRST_LOOK));
        if to - from >= RECENT / 3 {
            self.link_window(from, to, |_, _| ()).await?;
        }
        Ok(())
    }

    /// Links until it is told to stop. Errors of the store are logged and waited out.
    pub async fn run(self: Arc<Self>, stats: Arc<Stats>, stop: CancellationToken) {
        let mut pause = PAUSES.0;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            let began = Instant::now();
            let caught_up = tokio::select! {
                () = stop.cancelled() => return,
                caught_up = self.catch_up(&stats, Utc::now(), false) => caught_up,
            };
            let idle = match caught_up {
                Ok(summary) => summary.seen == 0 && summary.executions == 0,
                Err(error) => {
                    tracing::warn!(%error, "cannot link spans; trying again later");
                    true
                }
            };
            let next = if idle { pause * 2 } else { PAUSES.0 };
            pause = next.min(PAUSES.1).max(began.elapsed() * SHARE);
        }
    }
}
