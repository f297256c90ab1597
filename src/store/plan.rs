//! From a batch and the rows that are stored to the changes to make: the part of a write that is the
//! same in every store. Pure; the store reads and writes around it under one lock.
//!
//! Invariant: a plan changes only rows of ours, each at most once, and a replay plans nothing.

use std::collections::{BTreeMap, HashMap};
use std::ops::Deref;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Batch, Written, storable};
use crate::model::{
    Change, Observation, Row, RowKey, Span, SpanKey, SpanLink, SpanStatus, reconcile,
};

/// A batch in the form in which it is compared with what is stored.
#[derive(Debug)]
pub(super) struct Incoming<'a> {
    /// By the first id of their key, so that those of one key stand together.
    observations: Vec<(Uuid, Seen<'a>)>,
    // Folded: the same key twice in one statement is an error in Postgres. The last one stands.
    spans: BTreeMap<RowKey, Span>,
    links: &'a [SpanLink],
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
    started_at: DateTime<Utc>,
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
            Contents::Seen(seen) => seen.row(self.span_id),
            Contents::Span(span) => span.row(),
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
            started_at: span.started_at,
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

/// A row set aside.
#[derive(Debug)]
pub(super) struct Reject {
    /// The row.
    pub(super) span: Span,
    /// Why it can't be stored.
    pub(super) reason: String,
}

impl Written {
    /// Counts rows that went in.
    pub(super) fn count_inserts(&mut self, rows: &[New<'_>]) {
        self.inserted += rows.len() as u64;
        let mut noted = None;
        for row in rows {
            if noted.replace(minute(row.started_at)) != Some(minute(row.started_at)) {
                self.began.insert(minute(row.started_at));
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
            (seen.key.first_id(), seen)
        });
        let mut observations: Vec<_> = observations.collect();
        // Stable: what came first is merged first.
        observations.sort_by_key(|(first, _)| *first);
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
        let keys = self.observations.iter().map(|(first, _)| *first);
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

    /// Works out the changes. `stored` holds at least the rows of ours in [`Self::ranges`], in any
    /// order; a row may come twice.
    pub(super) fn plan(self, mut stored: Vec<Stored>) -> Plan<'a> {
        // Of two rows of ours with the same ids, which only a missing index lets happen, the first
        // one is kept up.
        stored.sort_unstable_by_key(|row| (row.span.span_id, row.span.trace_id, row.id));
        stored.dedup_by_key(|row| (row.span.span_id, row.span.trace_id));
        let (ids, stored): (Vec<_>, Vec<_>) =
            stored.into_iter().map(|row| (row.id, row.span)).unzip();
        // A finding can be about any of the rows.
        let (mut inserts, rest) = if self.links.is_empty() {
            set_apart(self.observations, &stored)
        } else {
            (Vec::new(), self.observations)
        };
        let mut changes = Changes {
            changes: reconcile(&stored, rest.into_iter().map(|(_, seen)| seen.into_owned())),
            stored: &stored,
            ids: &ids,
            by_span: HashMap::new(),
        };
        for (key, span) in self.spans {
            changes.replace(key, span);
        }
        for link in self.links {
            changes.link(link);
        }
        let mut plan = changes.into_plan();
        inserts.append(&mut plan.inserts);
        inserts.sort_by_key(|row| row.span_id);
        Plan { inserts, ..plan }
    }
}

/// Takes out the observations that are the only ones of their key, stored rows included: they are new
/// rows as they stand, unless they must be cut to fit. Nearly all of a log that is read for the first
/// time are.
fn set_apart<'a>(
    observations: Vec<(Uuid, Seen<'a>)>,
    stored: &[Span],
) -> (Vec<New<'a>>, Vec<(Uuid, Seen<'a>)>) {
    let mut apart = Vec::with_capacity(observations.len());
    let mut rest = Vec::new();
    let mut before = None;
    let mut observations = observations.into_iter().peekable();
    while let Some((first, seen)) = observations.next() {
        let is_alone = before != Some(first)
            && observations.peek().is_none_or(|(next, _)| *next != first)
            && !is_known(stored, first);
        before = Some(first);
        let row = seen.row(seen.span_id_from(first));
        if is_alone && storable::fits(&row) {
            apart.push(New {
                span_id: row.span_id,
                started_at: row.started_at,
                status: row.status,
                contents: Contents::Seen(seen),
            });
        } else {
            rest.push((first, seen));
        }
    }
    (apart, rest)
}

/// Whether there is a row of the key with this first id among those that are stored, sorted by id.
fn is_known(stored: &[Span], first: Uuid) -> bool {
    let from = stored.partition_point(|span| span.span_id < first);
    let last = SpanKey::last_id(first);
    stored.get(from).is_some_and(|span| span.span_id <= last)
}

struct Changes<'a> {
    stored: &'a [Span],
    // In the same order.
    ids: &'a [i64],
    changes: Vec<Change>,
    // Place in `changes` by new span id, and by old one where it differs; filled on first use.
    by_span: HashMap<Uuid, usize>,
}

impl Changes<'_> {
    fn find_stored(&self, key: RowKey) -> Option<usize> {
        let wanted = (key.span_id, key.trace_id);
        (self.stored)
            .binary_search_by_key(&wanted, |span| (span.span_id, span.trace_id))
            .ok()
    }

    fn replace(&mut self, key: RowKey, span: Span) {
        self.changes.push(match self.find_stored(key) {
            Some(_) => Change::Update { row: key, span },
            None => Change::Insert(span),
        });
    }

    fn link(&mut self, link: &SpanLink) {
        if self.by_span.is_empty() {
            for (at, change) in self.changes.iter().enumerate() {
                self.by_span.insert(span_of(change).span_id, at);
                if let Change::Update { row, .. } = change {
                    self.by_span.insert(row.span_id, at);
                }
            }
        }
        if let Some(&at) = self.by_span.get(&link.span_id) {
            link.apply(span_of_mut(&mut self.changes[at]));
            return;
        }
        // The span id alone: the row may have been linked elsewhere since. No row, no finding.
        let from = self
            .stored
            .partition_point(|span| span.span_id < link.span_id);
        if let Some(span) = self.stored.get(from).filter(|s| s.span_id == link.span_id) {
            let row = key_of(span);
            let mut span = span.clone();
            link.apply(&mut span);
            self.by_span.insert(row.span_id, self.changes.len());
            self.changes.push(Change::Update { row, span });
        }
    }

    fn into_plan(mut self) -> Plan<'static> {
        let mut plan = Plan::default();
        for change in std::mem::take(&mut self.changes) {
            let (row, mut span) = match change {
                Change::Insert(span) => (None, span),
                Change::Update { row, span } => (Some(row), span),
            };
            if let Err(reason) = storable::fit(&mut span) {
                plan.rejects.push(Reject { span, reason });
                continue;
            }
            let Some(row) = row else {
                plan.inserts.push(span.into());
                continue;
            };
            // A change of a row that isn't there can't be planned.
            let Some(at) = self.find_stored(row) else {
                continue;
            };
            // Cutting it to its columns can make it what is stored.
            if self.stored[at] != span {
                plan.updates.push(Update {
                    id: self.ids[at],
                    of: self.stored[at].trace_id,
                    was: self.stored[at].status,
                    span,
                });
            }
        }
        plan.updates.sort_by_key(|update| update.id);
        plan
    }
}

fn key_of(span: &Span) -> RowKey {
    RowKey {
        trace_id: span.trace_id,
        span_id: span.span_id,
    }
}

fn span_of(change: &Change) -> &Span {
    match change {
        Change::Insert(span) | Change::Update { span, .. } => span,
    }
}

fn span_of_mut(change: &mut Change) -> &mut Span {
    match change {
        Change::Insert(span) | Change::Update { span, .. } => span,
    }
}
