//! Which observations are of one span, and what has to change in the store.
//!
//! The same rules join lines in memory and join a late line with a stored row, so what a process
//! forgets at a restart (or drops to stay within its memory) costs nothing but a look-up.
//!
//! Invariant: feeding any observations again changes no row.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use uuid::Uuid;

use super::identity::Anchor;
use super::link::{is_overruled, undo};
use super::span::meta;
use super::{Context, End, Observation, Span, SpanKey};

/// How far printed times of one container may run backwards.
const REORDER: TimeDelta = TimeDelta::seconds(60);
/// How much longer than its reported duration a span may seem to take: what was done before the
/// function began to measure (loading a model, waiting for a GPU).
const UNMEASURED: TimeDelta = TimeDelta::minutes(15);
/// How long an open span waits for an end that reports no duration. Modal ends a function call after
/// 24 hours at the latest.
const LONGEST_CALL: TimeDelta = TimeDelta::hours(24);

/// Where a row stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowKey {
    /// Trace of the row.
    pub trace_id: Uuid,
    /// Span of the row.
    pub span_id: Uuid,
}

/// One change of `trace_spans`.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// A new row.
    Insert(Span),
    /// New contents for the row that stands at `row`; its ids may change with them.
    Update {
        /// Where the row stands now.
        row: RowKey,
        /// What it becomes.
        span: Span,
    },
}

/// Works out the changes that `incoming` asks for.
///
/// `stored` must hold every row of ours whose span id lies in [`SpanKey::id_range`] of an incoming
/// key; other rows in it are ignored. Changes come sorted by span id.
pub fn reconcile<'a>(
    stored: impl IntoIterator<Item = &'a Span>,
    incoming: impl IntoIterator<Item = Observation>,
) -> Vec<Change> {
    // Nearly every key has one span, and a slot is large: the usual first growth would waste most of it.
    let one = || Vec::with_capacity(1);
    let mut keys: BTreeMap<SpanKey, Vec<Slot<'_>>> = BTreeMap::new();
    for span in stored {
        if let Some(seen) = Observation::from_span(span) {
            keys.entry(seen.key.clone()).or_insert_with(one).push(Slot {
                seen,
                stored: Some(span),
            });
        }
    }
    for seen in incoming {
        let slots = keys.entry(seen.key.clone()).or_insert_with(one);
        match find_slot(slots.iter().map(|slot| &slot.seen), &seen) {
            Some(at) => slots[at].seen.merge(seen),
            None => slots.push(Slot { seen, stored: None }),
        }
    }
    let mut changes: Vec<_> = keys
        .into_values()
        .flatten()
        .filter_map(Slot::into_change)
        .collect();
    changes.sort_by_key(|change| match change {
        Change::Insert(span) | Change::Update { span, .. } => span.span_id,
    });
    changes
}

/// Index of the observation among `known` (all of one key) that `seen` belongs to.
pub(crate) fn find_slot<'a>(
    known: impl Iterator<Item = &'a Observation> + Clone,
    seen: &Observation,
) -> Option<usize> {
    let anchor = seen.anchor();
    if let Some(same) = known.clone().position(|slot| slot.anchor() == anchor) {
        return Some(same);
    }
    if matches!(anchor, Anchor::Occurrence(_)) {
        return None;
    }
    let timed = known
        .enumerate()
        .filter(|(_, slot)| slot.occurrence.is_none());
    let fitting = timed.filter(|(_, slot)| match (&slot.start, &seen.start) {
        (Some(_), Some(_)) => false,
        (Some(_), None) => fits(slot, seen),
        (None, Some(_)) => fits(seen, slot),
        (None, None) => headless_fit(slot, seen),
    });
    // The latest start wins: an end belongs to the call that began last before it.
    fitting
        .max_by_key(|(_, slot)| slot.start.map(|start| start.at))
        .map(|(at, _)| at)
}

/// Whether `tail` (no start line) can be of the span that `head` (a start line) begins.
fn fits(head: &Observation, tail: &Observation) -> bool {
    let Some(start) = head.start else {
        return false;
    };
    if let Some(end) = &tail.end {
        let gap = end.moment.at - start.at;
        if let Some(known) = &head.end {
            return (end.moment.at - known.moment.at).abs() <= REORDER;
        }
        return match end.took() {
            Some(took) => gap >= took - REORDER && gap <= took + UNMEASURED,
            None => gap >= -REORDER && gap <= LONGEST_CALL,
        };
    }
    tail.first_step().is_some_and(|at| {
        let last = head
            .end
            .as_ref()
            .map_or(start.at + LONGEST_CALL, |end| end.moment.at + REORDER);
        at >= start.at - REORDER && at <= last
    })
}

/// Whether two observations without a start line are of one span.
fn headless_fit(a: &Observation, b: &Observation) -> bool {
    match (&a.end, &b.end) {
        (Some(x), Some(y)) => (x.moment.at - y.moment.at).abs() <= TimeDelta::seconds(1),
        (Some(end), None) => steps_before(b, end),
        (None, Some(end)) => steps_before(a, end),
        (None, None) => match (a.first_step(), b.first_step()) {
            (Some(x), Some(y)) => (x - y).abs() <= UNMEASURED,
            _ => false,
        },
    }
}

fn steps_before(tail: &Observation, end: &End) -> bool {
    let longest = end.took().map_or(LONGEST_CALL, |took| took + UNMEASURED);
    let end = end.moment.at;
    tail.first_step()
        .is_some_and(|at| at <= end + REORDER && at >= end - longest)
}

struct Slot<'a> {
    seen: Observation,
    stored: Option<&'a Span>,
}

impl Slot<'_> {
    fn into_change(self) -> Option<Change> {
        let mut span = self.seen.to_span();
        let Some(stored) = self.stored else {
            return Some(Change::Insert(span));
        };
        keep_link(&mut span, stored, &self.seen.context);
        if &span == stored {
            return None;
        }
        Some(Change::Update {
            row: RowKey {
                trace_id: stored.trace_id,
                span_id: stored.span_id,
            },
            span,
        })
    }
}

/// What was found out about a stored row stays, unless the lines now say it themselves.
fn keep_link(span: &mut Span, stored: &Span, said: &Context) {
    let without_link;
    let stored = if is_overruled(stored, said) {
        let mut bare = stored.clone();
        undo(&mut bare);
        without_link = bare;
        &without_link
    } else {
        stored
    };
    if said.trace_id.is_none() && stored.trace_id != stored.span_id {
        span.trace_id = stored.trace_id;
    }
    let keep = |new: &mut Option<_>, old: &Option<_>| {
        if new.is_none() {
            new.clone_from(old);
        }
    };
    keep(&mut span.job_id, &stored.job_id);
    keep(&mut span.model_id, &stored.model_id);
    keep(&mut span.region, &stored.region);
    span.parent_span_id = span.parent_span_id.or(stored.parent_span_id);
    span.execution_id = span.execution_id.or(stored.execution_id);
    if let Some(link) = stored.metadata.get(meta::LINK) {
        span.metadata
            .entry(meta::LINK)
            .or_insert_with(|| link.clone());
    }
}
