//! Linking, driven over the store: when to look again at what, and in pieces of what size. What belongs
//! to what is decided in [`crate::correlate`].
//!
//! Linking follows the writing and never stands in its way: it reads what has been committed, holds
//! no lock while it thinks, writes in small transactions, and rests ten times as long as it worked while
//! lines come in. Invariant: everything it does can be done again; a crash costs nothing but a second
//! look.

mod executions;
mod ground;
mod pending;
mod slice;
mod view;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;
use tracing::field::Empty;

use super::stats::Stats;
use crate::correlate::Knowledge;
use crate::model::Regions;
use crate::store::{Store, StoreError};
use crate::telemetry;
use ground::{Ground, Stretch};
use pending::Pending;
use slice::Slice;
use view::View;

/// Between two looks while something changes, and when nothing does.
const PAUSES: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(15));
/// Of the time between two looks, linking uses at most one part in this many.
const SHARE: u32 = 10;
/// What began longer ago than this is history: it is linked when no more of it comes.
const RECENT: TimeDelta = TimeDelta::minutes(15);
/// How much of a long window is divided and linked before the next.
const DAY: TimeDelta = TimeDelta::days(1);
/// What is linked, and learned from, when the process starts.
const FIRST_LOOK: TimeDelta = TimeDelta::minutes(60);

/// Writes side by side: while lines come in, and when linking is all there is to do.
const WIDTHS: (usize, usize) = (1, 4);

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

impl fmt::Display for LinkSummary {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (linked, ambiguous) = (self.linked, self.unlinked);
        write!(to, "{linked} to their callers, {ambiguous} stay ambiguous")?;
        if self.too_dense > 0 {
            let crowded = self.too_dense;
            write!(to, ", {crowded} are among too many at once to tell apart")?;
        }
        Ok(())
    }
}

impl LinkSummary {
    /// Whether there was anything to say something about.
    pub fn has_met_printed(&self) -> bool {
        self.seen > 0 || self.too_dense > 0
    }

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
    /// Writes side by side; relaxed, as any number does.
    width: AtomicUsize,
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

/// Which slices of a stretch teach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lesson {
    /// All of them.
    Every,
    /// As long as nothing is known.
    First,
}

impl State {
    /// Enters what came of a slice that is written. What the recent past teaches is forgotten: it will be
    /// learned from when it can no longer change.
    fn settle(&mut self, slice: Slice, lesson: Lesson, summary: &mut LinkSummary) {
        self.pending.settle(&slice);
        if lesson == Lesson::Every {
            self.learned_to = self.learned_to.max(Some(slice.reached));
            self.knowledge = slice
                .knowledge
                .unwrap_or(std::mem::take(&mut self.knowledge));
        }
        summary.add(slice.summary);
    }
}

impl Linker {
    /// A linker that knows nothing yet.
    pub fn new(store: Arc<dyn Store>, regions: Regions) -> Self {
        Self {
            store,
            regions: Arc::new(regions),
            state: Mutex::default(),
            width: AtomicUsize::new(WIDTHS.0),
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
        self.width.store(WIDTHS.1, Relaxed);
        self.window(from, to, &mut progress).await
    }

    async fn window(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        progress: &mut (impl FnMut(DateTime<Utc>, &LinkSummary) + Send),
    ) -> Result<LinkSummary, StoreError> {
        let mut state = self.state.lock().await;
        let mut summary = LinkSummary::default();
        // People ask for all there is by a year long past. A day more: executions are there before
        // anybody calls.
        // Among very many printed spans the first caller may not be found in the time of an answer.
        let first = self.first_caller(from, to).await.unwrap_or(Some(from));
        let mut at = first.map_or(to, |first| (first - DAY).max(from));
        state.settle(Slice::blank(from, at), Lesson::Every, &mut summary);
        while at < to {
            let end = at.checked_add_signed(DAY).map_or(to, |end| end.min(to));
            self.day(&mut state, (at, end), &mut summary, progress)
                .await?;
            at = end;
        }
        Ok(summary)
    }

    /// Links a day at most, executions first.
    async fn day(
        &self,
        state: &mut State,
        (from, to): (DateTime<Utc>, DateTime<Utc>),
        summary: &mut LinkSummary,
        progress: &mut (impl FnMut(DateTime<Utc>, &LinkSummary) + Send),
    ) -> Result<(), StoreError> {
        let stretches = self.survey(from, to).await?;
        for (from, to) in uncrowded(&stretches) {
            summary.add(self.link_executions_of(from, to).await?);
        }
        for stretch in stretches {
            let (from, to) = (stretch.from, stretch.to);
            let passed_over = match stretch.ground {
                Ground::Empty => Slice::blank(from, to),
                Ground::Crowded(printed) => Slice::crowded(from, to, printed),
                // Beside a crowd it would be to read a part of that.
                Ground::Open(0) => Slice::new(from, to),
                Ground::Open(_) => {
                    self.stretch(state, (from, to), Lesson::Every, summary, progress)
                        .await?;
                    continue;
                }
            };
            state.settle(passed_over, Lesson::Every, summary);
            progress(to, summary);
        }
        Ok(())
    }

    /// Links a stretch in which there are callers, slice by slice: one is written while the next is weighed.
    async fn stretch(
        &self,
        state: &mut State,
        (from, to): (DateTime<Utc>, DateTime<Utc>),
        lesson: Lesson,
        summary: &mut LinkSummary,
        progress: &mut (impl FnMut(DateTime<Utc>, &LinkSummary) + Send),
    ) -> Result<(), StoreError> {
        let mut knowledge = state.knowledge.clone();
        let mut view = View::new(from, to);
        let mut at = from;
        let mut weighed: Option<Slice> = None;
        loop {
            let next = async {
                if at >= to {
                    return Ok(None);
                }
                // With nothing known yet, the slice itself is the best there is to learn from.
                let learns = lesson == Lesson::Every || knowledge.is_empty();
                let slice = self.slice(view, at, &knowledge, learns.then_some(at));
                slice.await.map(Some)
            };
            let write = async {
                match &mut weighed {
                    Some(slice) => {
                        let (changes, joined) = (&mut slice.changes, &mut slice.joined);
                        self.write(std::mem::take(changes), std::mem::take(joined))
                            .await
                    }
                    None => Ok(()),
                }
            };
            let (next, ()) = tokio::try_join!(next, write)?;
            if let Some(slice) = weighed.take() {
                let reached = slice.reached;
                state.settle(slice, lesson, summary);
                progress(reached, summary);
            }
            let Some((slice, sight)) = next else {
                return Ok(());
            };
            if let Some(learned) = &slice.knowledge {
                knowledge = learned.clone();
            }
            (at, view) = (slice.reached, sight);
            weighed = Some(slice);
        }
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
        self.width
            .store(if all { WIDTHS.1 } else { WIDTHS.0 }, Relaxed);
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
                summary.add(self.window(from, to, &mut |_, _| ()).await?);
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
        let first = self.first_caller(from, to).await?;
        let callers = first.unwrap_or(to);
        state.settle(Slice::blank(from, callers), Lesson::First, &mut summary);
        let stretch = (callers, to);
        self.stretch(
            &mut state,
            stretch,
            Lesson::First,
            &mut summary,
            &mut |_, _| (),
        )
        .await?;
        Ok(summary)
    }

    /// Learns from a stretch of the recent past once it can no longer change.
    async fn learn_recent(&self, now: DateTime<Utc>) -> Result<(), StoreError> {
        let to = now - RECENT;
        let learned_to = self.state.lock().await.learned_to;
        let from = learned_to.map_or(now - FIRST_LOOK, |learned| learned.max(now - FIRST_LOOK));
        if to - from >= RECENT / 3 {
            self.window(from, to, &mut |_, _| ()).await?;
        }
        Ok(())
    }

    /// One look at what is new, as a span of our own telemetry.
    async fn one_pass(&self, stats: &Stats) -> Result<LinkSummary, StoreError> {
        let span = tracing::info_span!(
            "link spans",
            seen = Empty,
            linked = Empty,
            executions = Empty,
            otel.status_code = Empty,
            otel.status_description = Empty,
        );
        let pass = self.catch_up(stats, Utc::now(), false);
        let caught_up = pass.instrument(span.clone()).await;
        match &caught_up {
            Ok(summary) => {
                span.record("seen", summary.seen);
                span.record("linked", summary.linked);
                span.record("executions", summary.executions);
            }
            Err(error) => telemetry::fail(&span, error),
        }
        caught_up
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
                caught_up = self.one_pass(&stats) => caught_up,
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

/// The stretches in which nothing is passed over, those beside each other as one.
fn uncrowded(stretches: &[Stretch]) -> Vec<(DateTime<Utc>, DateTime<Utc>)> {
    let mut all: Vec<(DateTime<Utc>, DateTime<Utc>)> = Vec::new();
    for stretch in stretches {
        match (stretch.ground, all.last_mut()) {
            (Ground::Crowded(_), _) => {}
            (_, Some(last)) if last.1 == stretch.from => last.1 = stretch.to,
            _ => all.push((stretch.from, stretch.to)),
        }
    }
    all
}
