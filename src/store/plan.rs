//! From a batch and the rows that are stored to the changes to make: the part of a write that is the
//! same in every store. Pure; the store reads and writes around it under one lock.
//!
//! Invariant: a plan changes only rows of ours, each at most once, and a replay plans nothing.

mod together;

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::ops::Deref;
use std::vec;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use self::together::plan_together;
use super::{Batch, Written, storable};
use crate::model::{Observation, Row, RowKey, Span, SpanKey, SpanLink, SpanStatus, Times};

/// A batch in the form in which it is compared with what is stored.
#[derive(Debug)]
pub(super) struct Incoming<'a> {
    /// By the first id of their key, so that those of one key stand together. Their keys are clean.
    observations: Vec<Arrived<'a>>,
    // Folded: the same key twice in one statement is an error in Postgres. The last one stands.
    spans: BTreeMap<RowKey, Span>,
    links: &'a [SpanLink],
}

/// An observation and the first id of its key.
#[derive(Debug)]
struct Arrived<'a> {
    first: Uuid,
    seen: Seen<'a>,
}

/// An observation that comes, once it is cleaned, back from a database as it went in.
#[derive(Debug)]
enum Seen<'a> {
    /// As it was handed in, like nearly all.
    Whole(&'a Observation),
    /// Cleaned, because it was not clean.
    Mended(Box<Observation>),
}

impl<'a> Seen<'a> {
    fn mended(seen: &Observation) -> Self {
        let mut mended = Box::new(seen.clone());
        storable::clean(&mut mended);
        Self::Mended(mended)
    }

    /// Of an observation whose key is clean.
    fn cleaned(self) -> Self {
        match self {
            Self::Whole(seen) if !storable::is_clean_beside_key(seen) => Self::mended(seen),
            seen => seen,
        }
    }

    fn into_owned(self) -> Observation {
        match self {
            Self::Whole(seen) => seen.clone(),
            Self::Mended(seen) => *seen,
        }
    }
}

impl Deref for Seen<'_> {
    type Target = Observation;

    fn deref(&self) -> &Observation {
        match self {
            Self::Whole(seen) => seen,
            Self::Mended(seen) => seen,
        }
    }
}

/// What a write has to do to `trace_spans`.
#[derive(Debug, Default)]
pub(super) struct Plan<'a> {
    /// New rows, sorted by span id.
    pub(super) inserts: Vec<New<'a>>,
    /// New contents of rows of ours, sorted by key.
    pub(super) updates: Vec<Update>,
    /// Rows that no column can hold.
    pub(super) rejects: Vec<Reject>,
}

/// A new row.
#[derive(Debug)]
pub(super) struct New<'a> {
    span_id: Uuid,
    times: Times,
    status: SpanStatus,
    contents: Contents<'a>,
}

#[derive(Debug)]
enum Contents<'a> {
    /// Of a span of which nothing else is known.
    Seen(Seen<'a>),
    Span(Box<Span>),
}

impl<'a> New<'a> {
    /// Of the only observation of its key; gives that back where its row must be cut to fit.
    fn fitting(first: Uuid, seen: Seen<'a>) -> Result<Self, Seen<'a>> {
        let (span_id, times) = (seen.span_id_from(first), seen.times());
        let row = seen.row(span_id, times);
        if !storable::fits(&row) {
            return Err(seen);
        }
        Ok(Self {
            span_id,
            times,
            status: row.status,
            contents: Contents::Seen(seen),
        })
    }

    /// What goes into its columns.
    pub(super) fn row(&self) -> Row<'_> {
        match &self.contents {
            Contents::Seen(seen) => seen.row(self.span_id, self.times),
            Contents::Span(span) => span.row(),
        }
    }

    /// Bytes of the texts that can be long.
    pub(super) fn long_texts(&self) -> usize {
        match &self.contents {
            Contents::Seen(seen) => seen.long_texts(),
            Contents::Span(span) => span.long_texts(),
        }
    }

    /// The same as a span of its own.
    pub(super) fn to_span(&self) -> Span {
        match &self.contents {
            Contents::Seen(seen) => seen.to_span(),
            Contents::Span(span) => span.as_ref().clone(),
        }
    }
}

impl From<Span> for New<'_> {
    fn from(span: Span) -> Self {
        Self {
            span_id: span.span_id,
            times: (span.started_at, span.completed_at),
            status: span.status,
            contents: Contents::Span(Box::new(span)),
        }
    }
}

/// New contents of one row.
#[derive(Debug)]
pub(super) struct Update {
    /// The row's key in the table.
    pub(super) id: i64,
    /// Its trace as it stands.
    pub(super) of: Uuid,
    /// Its status as it stands.
    pub(super) was: SpanStatus,
    /// What it becomes.
    pub(super) span: Span,
}

/// A row of ours as it stands.
#[derive(Debug)]
pub(super) struct Stored {
    /// The row's key in the table.
    pub(super) id: i64,
    /// Its contents.
    pub(super) span: Span,
}

/// A row of ours as a database gave it. As a span it takes several times as much memory, so it is made one
/// when its turn comes.
pub(super) trait Found {
    /// Its span, its trace, and its key in the table.
    fn place(&self) -> (Uuid, Uuid, i64);

    /// Its contents.
    fn read(self) -> Stored;
}

impl Found for Stored {
    fn place(&self) -> (Uuid, Uuid, i64) {
        (self.span.span_id, self.span.trace_id, self.id)
    }

    fn read(self) -> Stored {
        self
    }
}

/// A row set aside.
#[derive(Debug)]
pub(super) struct Reject {
    /// The row.
    pub(super) span: Span,
    /// Why it can't be stored.
    pub(super) reason: String,
}

impl<'a> Plan<'a> {
    /// Takes over the changes of another one.
    pub(super) fn append(&mut self, other: Plan<'a>) {
        self.inserts.extend(other.inserts);
        self.updates.extend(other.updates);
        self.rejects.extend(other.rejects);
    }
}

impl Written {
    /// Counts rows that went in.
    pub(super) fn count_inserts(&mut self, rows: &[New<'_>]) {
        self.inserted += rows.len() as u64;
        let mut noted = None;
        for row in rows {
            let minute = Some(minute(row.times.0));
            if noted != minute {
                noted = minute;
                self.began.extend(minute);
            }
            self.statuses[row.status as usize] += 1;
        }
    }

    /// Counts a row that was changed.
    pub(super) fn count_update(&mut self, update: &Update) {
        self.updated += 1;
        self.began.insert(minute(update.span.started_at));
        self.statuses[update.was as usize] -= 1;
        self.statuses[update.span.status as usize] += 1;
    }
}

/// Minutes since 1970.
fn minute(at: DateTime<Utc>) -> i64 {
    at.timestamp().div_euclid(60)
}

impl<'a> Incoming<'a> {
    pub(super) fn new(batch: &'a Batch) -> Self {
        // The rest is looked at when its turn comes: a batch is more than stays in a processor's caches.
        let observations = batch.observations.iter().map(|seen| {
            let seen = if storable::is_clean_key(&seen.key) {
                Seen::Whole(seen)
            } else {
                Seen::mended(seen)
            };
            let first = seen.key.first_id();
            Arrived { first, seen }
        });
        let mut observations: Vec<_> = observations.collect();
        // Stable: what came first is merged first.
        // As numbers, which compare faster than bytes.
        observations.sort_by_cached_key(|arrived| arrived.first.as_u128());
        let spans = batch.spans.iter().map(|span| {
            let mut span = span.clone();
            storable::clean_span(&mut span);
            (key_of(&span), span)
        });
        Self {
            observations,
            spans: spans.collect(),
            links: &batch.links,
        }
    }

    /// Ranges of span ids, sorted and without repeats, that hold every row of ours to look at.
    pub(super) fn ranges(&self) -> Vec<(Uuid, Uuid)> {
        let keys = self.observations.iter().map(|arrived| arrived.first);
        let mut ranges: Vec<_> = keys.map(|first| (first, SpanKey::last_id(first))).collect();
        if !self.spans.is_empty() || !self.links.is_empty() {
            let spans = self.spans.keys().map(|key| key.span_id);
            let links = self.links.iter().map(|link| link.span_id);
            ranges.extend(spans.chain(links).map(|id| (id, id)));
            ranges.sort_unstable();
        }
        ranges.dedup();
        ranges
    }

    /// The same in pieces of some `rows` observations, cut between keys and in their order, each to be planned
    /// by itself; in one where a finding can be about any of the rows.
    pub(super) fn pieces(mut self, rows: usize) -> impl Iterator<Item = Self> {
        let is_cut = self.spans.is_empty() && self.links.is_empty();
        let observations = if is_cut {
            std::mem::take(&mut self.observations)
        } else {
            Vec::new()
        };
        let mut rest = observations.into_iter().peekable();
        let cut = std::iter::from_fn(move || {
            let mut observations = Vec::with_capacity(rows.min(rest.len()));
            observations.extend(rest.next());
            while let Some(next) = rest.next_if(|next: &Arrived<'_>| {
                let is_same = |last: &Arrived<'_>| last.first == next.first;
                observations.len() < rows || observations.last().is_some_and(is_same)
            }) {
                observations.push(next);
            }
            (!observations.is_empty()).then(|| Self {
                observations,
                spans: BTreeMap::new(),
                links: &[],
            })
        });
        (!is_cut).then_some(self).into_iter().chain(cut)
    }

    /// Works out the changes. `found` holds at least the rows of ours in [`Self::ranges`], in any
    /// order; a row may come twice.
    pub(super) fn plan(self, found: Vec<impl Found>) -> Plan<'a> {
        self.plans(found, usize::MAX).next().unwrap_or_default()
    }

    /// The same in plans of some `rows` new rows, each worked out when it is asked for, so that a row is still
    /// near when it is written; in one where a finding can be about any of the rows.
    pub(super) fn plans<F: Found>(self, mut found: Vec<F>, rows: usize) -> Plans<'a, F> {
        // Of two rows of ours with the same ids, which only a missing index lets happen, the first
        // one is kept up.
        found.sort_by_cached_key(Found::place);
        found.dedup_by_key(|row| {
            let (span_id, trace_id, _) = row.place();
            (span_id, trace_id)
        });
        let Self {
            mut observations,
            spans,
            links,
        } = self;
        let mut together = None;
        if !spans.is_empty() || !links.is_empty() {
            let found = std::mem::take(&mut found).into_iter();
            let stored: Vec<_> = found.map(Found::read).collect();
            let seen = std::mem::take(&mut observations).into_iter();
            let seen = seen.map(|arrived| arrived.seen.cleaned().into_owned());
            together = Some(plan_together(&stored, seen, spans, links));
        }
        Plans {
            together,
            observations: observations.into_iter().peekable(),
            found: found.into_iter().peekable(),
            rows,
        }
    }
}

/// Plans that are worked out one by one.
#[derive(Debug)]
pub(super) struct Plans<'a, F> {
    together: Option<Plan<'a>>,
    observations: Peekable<vec::IntoIter<Arrived<'a>>>,
    found: Peekable<vec::IntoIter<F>>,
    rows: usize,
}

impl<'a, F: Found> Iterator for Plans<'a, F> {
    type Item = Plan<'a>;

    fn next(&mut self) -> Option<Plan<'a>> {
        let mut plan = match self.together.take() {
            Some(plan) => plan,
            None => {
                self.observations.peek()?;
                plan_by_key(&mut self.observations, &mut self.found, self.rows)
            }
        };
        plan.inserts.sort_by_key(|row| row.span_id.as_u128());
        plan.updates.sort_by_key(|update| update.id);
        Some(plan)
    }
}

/// Goes through the observations and the rows key by key, both sorted by it, until there are so many new rows. An
/// observation that is the only one of its key, stored rows included, is a new row as it stands, unless it must
/// be cut to fit: nearly all of a log that is read for the first time are.
fn plan_by_key<'a>(
    observations: &mut Peekable<vec::IntoIter<Arrived<'a>>>,
    found: &mut Peekable<impl Iterator<Item = impl Found>>,
    rows: usize,
) -> Plan<'a> {
    let mut plan = Plan {
        inserts: Vec::with_capacity(rows.min(observations.len())),
        ..Plan::default()
    };
    while plan.inserts.len() < rows
        && let Some(Arrived { first, seen }) = observations.next()
    {
        while found.next_if(|row| row.place().0 < first).is_some() {}
        let last = SpanKey::last_id(first);
        let stored = std::iter::from_fn(|| found.next_if(|row| row.place().0 <= last));
        let stored: Vec<_> = stored.map(Found::read).collect();
        let same = |next: &Arrived<'_>| next.first == first;
        let mut seen = seen.cleaned();
        if stored.is_empty() && !observations.peek().is_some_and(same) {
            match New::fitting(first, seen) {
                Ok(new) => {
                    plan.inserts.push(new);
                    continue;
                }
                Err(too_large) => seen = too_large,
            }
        }
        let more = std::iter::from_fn(|| observations.next_if(same));
        let seen = std::iter::once(seen).chain(more.map(|arrived| arrived.seen.cleaned()));
        let seen = seen.map(Seen::into_owned);
        plan.append(plan_together(&stored, seen, BTreeMap::new(), &[]));
    }
    plan
}

fn key_of(span: &Span) -> RowKey {
    RowKey {
        trace_id: span.trace_id,
        span_id: span.span_id,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Moment, Precision};

    /// A start line of the span of this number.
    fn seen(number: usize, second: i64, name: &str) -> Observation {
        let key = SpanKey {
            log_id: format!("{number:08x}").into(),
            scope: "ta-1".into(),
        };
        let at = DateTime::from_timestamp(1_800_000_000 + second, 0).unwrap();
        let precision = Precision::Second;
        let mut seen = Observation::new(key, "test");
        seen.container_id = Some(seen.key.scope.clone());
        seen.start = Some(Moment { at, precision });
        seen.name = Some(("modal".into(), name.into()));
        seen
    }

    fn stored(rows: &[New<'_>]) -> Vec<Stored> {
        let spans = (1..).zip(rows.iter().map(New::to_span));
        spans.map(|(id, span)| Stored { id, span }).collect()
    }

    fn texts<'a>(plans: impl Iterator<Item = Plan<'a>>) -> [Vec<String>; 3] {
        let mut whole = Plan::default();
        plans.for_each(|plan| whole.append(plan));
        let inserts = whole.inserts.iter().map(New::to_span);
        [
            inserts.map(|span| format!("{span:?}")).collect(),
            whole.updates.iter().map(|row| format!("{row:?}")).collect(),
            whole.rejects.iter().map(|row| format!("{row:?}")).collect(),
        ]
    }

    #[test]
    fn a_batch_comes_to_the_same_in_one_plan_and_in_many() {
        let known = Batch {
            observations: (0..20).map(|number| seen(number, 0, "load")).collect(),
            ..Batch::default()
        };
        let known = Incoming::new(&known).plan(Vec::<Stored>::new());
        // Known ones that change or stay, new ones that come alone, twice or too long for a column or with a
        // NUL, and one that no column can hold.
        let mut observations: Vec<_> = (0..10).map(|number| seen(number, 0, "a")).collect();
        observations.extend((10..20).map(|number| seen(number, 0, "load")));
        observations.extend((20..50).map(|number| seen(number, 0, "b\0")));
        observations.extend((30..40).map(|number| seen(number, 200_000, "c")));
        observations.extend((40..45).map(|number| seen(number, 0, &"long".repeat(40))));
        observations.push(seen(60, 400_000_000_000, "never"));
        observations[25].key.scope = "ta-\0".into();
        observations[25].container_id = Some("ta-\0".into());
        let batch = Batch {
            observations,
            ..Batch::default()
        };
        let expected = texts(std::iter::once(
            Incoming::new(&batch).plan(stored(&known.inserts)),
        ));
        let counts = expected.each_ref().map(Vec::len);
        assert_eq!(counts, [40, 10, 1]);
        for rows in [1, 2, 7, 1_000] {
            let plans = Incoming::new(&batch).plans(stored(&known.inserts), rows);
            assert_eq!(texts(plans), expected, "{rows}");
        }
    }
}
