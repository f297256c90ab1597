//! From a batch and the rows that are stored to the changes to make: the part of a write that is the
//! same in every store. Pure; the store reads and writes around it under one lock.
//!
//! Invariant: a plan changes only rows of ours, each at most once, and a replay plans nothing.

mod together;

use std::collections::BTreeMap;
use std::ops::Deref;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use self::together::plan_together;
use super::{Batch, Written, storable};
use crate::model::{Observation, Row, RowKey, Span, SpanKey, SpanLink, SpanStatus, Times};

/// A batch in the form in which it is compared with what is stored.
#[derive(Debug)]
pub(super) struct Incoming<'a> {
    /// By the first id of their key, so that those of one key stand together.
    observations: Vec<Arrived<'a>>,
    // Folded: the same key twice in one statement is an error in Postgres. The last one stands.
    spans: BTreeMap<RowKey, Span>,
    links: &'a [SpanLink],
}

/// An observation, and what was found out about it when it was first looked at: later on it is no longer near.
#[derive(Debug)]
struct Arrived<'a> {
    /// First id of its key.
    first: Uuid,
    span_id: Uuid,
    times: Times,
    status: SpanStatus,
    /// Whether its row fits the columns.
    fits: bool,
    seen: Seen<'a>,
}

impl<'a> Arrived<'a> {
    fn new(seen: Seen<'a>) -> Self {
        let (first, times) = (seen.key.first_id(), seen.times());
        let span_id = seen.span_id_from(first);
        let row = seen.row(span_id, times);
        Self {
            first,
            span_id,
            times,
            status: row.status,
            fits: storable::fits(&row),
            seen,
        }
    }

    fn into_new(self) -> New<'a> {
        New {
            span_id: self.span_id,
            times: self.times,
            status: self.status,
            contents: Contents::Seen(self.seen),
        }
    }
}

/// An observation that comes back from a database as it went in.
#[derive(Debug)]
enum Seen<'a> {
    /// As it was handed in, like nearly all.
    Whole(&'a Observation),
    /// Cleaned.
    Mended(Box<Observation>),
}

impl Seen<'_> {
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

impl New<'_> {
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
    fn append(&mut self, other: Plan<'a>) {
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
        let observations = batch.observations.iter().map(|seen| {
            let seen = if storable::is_clean(seen) {
                Seen::Whole(seen)
            } else {
                let mut mended = Box::new(seen.clone());
                storable::clean(&mut mended);
                Seen::Mended(mended)
            };
            Arrived::new(seen)
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
    pub(super) fn plan(self, mut found: Vec<impl Found>) -> Plan<'a> {
        // Of two rows of ours with the same ids, which only a missing index lets happen, the first
        // one is kept up.
        found.sort_by_cached_key(Found::place);
        found.dedup_by_key(|row| {
            let (span_id, trace_id, _) = row.place();
            (span_id, trace_id)
        });
        let found = found.into_iter();
        let mut plan = if self.spans.is_empty() && self.links.is_empty() {
            plan_by_key(self.observations, found)
        } else {
            // A finding can be about any of the rows.
            let stored: Vec<_> = found.map(Found::read).collect();
            let seen = (self.observations.into_iter()).map(|arrived| arrived.seen.into_owned());
            plan_together(&stored, seen, self.spans, self.links)
        };
        plan.inserts.sort_by_key(|row| row.span_id.as_u128());
        plan.updates.sort_by_key(|update| update.id);
        plan
    }
}

/// Goes through the observations and the rows key by key, both sorted by it. An observation that is the only
/// one of its key, stored rows included, is a new row as it stands, unless it must be cut to fit: nearly all
/// of a log that is read for the first time are.
fn plan_by_key<'a>(
    observations: Vec<Arrived<'a>>,
    found: impl Iterator<Item = impl Found>,
) -> Plan<'a> {
    let mut plan = Plan {
        inserts: Vec::with_capacity(observations.len()),
        ..Plan::default()
    };
    let mut found = found.peekable();
    let mut observations = observations.into_iter().peekable();
    while let Some(arrived) = observations.next() {
        let first = arrived.first;
        while found.next_if(|row| row.place().0 < first).is_some() {}
        let last = SpanKey::last_id(first);
        let rows = std::iter::from_fn(|| found.next_if(|row| row.place().0 <= last));
        let stored: Vec<_> = rows.map(Found::read).collect();
        let same = |next: &Arrived<'_>| next.first == first;
        let is_alone = stored.is_empty() && !observations.peek().is_some_and(same);
        if is_alone && arrived.fits {
            plan.inserts.push(arrived.into_new());
            continue;
        }
        let more = std::iter::from_fn(|| observations.next_if(same));
        let seen = std::iter::once(arrived).chain(more);
        let seen = seen.map(|arrived| arrived.seen.into_owned());
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
