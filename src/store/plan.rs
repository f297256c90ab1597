//! From a batch and the rows that are stored to the changes to make: the part of a write that is the
//! same in every store. Pure; the store reads and writes around it under one lock.
//!
//! Invariant: a plan changes only rows of ours, each at most once, and a replay plans nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use uuid::Uuid;

use super::{Batch, Written, storable};
use crate::model::{Change, Observation, RowKey, Span, SpanLink, SpanStatus, reconcile};

/// A batch in the form in which it is compared with what is stored.
#[derive(Debug)]
pub(super) struct Incoming<'a> {
    observations: Vec<Observation>,
    // Folded: the same key twice in one statement is an error in Postgres. The last one stands.
    spans: BTreeMap<RowKey, Span>,
    links: &'a [SpanLink],
}

/// What a write has to do to `trace_spans`.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// New rows, sorted by span id.
    pub(super) inserts: Vec<Span>,
    /// New contents of rows of ours, sorted by key.
    pub(super) updates: Vec<Update>,
    /// Rows that no column can hold.
    pub(super) rejects: Vec<Reject>,
}

/// New contents of one row.
#[derive(Debug)]
pub(super) struct Update {
    /// The row's key in the table.
    pub(super) id: i64,
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
    /// Counts a row that went in.
    pub(super) fn count_insert(&mut self, span: &Span) {
        self.inserted += 1;
        self.note_begin(span);
        self.statuses[span.status as usize] += 1;
    }

    /// Counts a row that was changed.
    pub(super) fn count_update(&mut self, update: &Update) {
        self.updated += 1;
        self.note_begin(&update.span);
        self.statuses[update.was as usize] -= 1;
        self.statuses[update.span.status as usize] += 1;
    }

    fn note_begin(&mut self, span: &Span) {
        self.began
            .insert(span.started_at.timestamp().div_euclid(60));
    }
}

impl<'a> Incoming<'a> {
    pub(super) fn new(batch: &'a Batch) -> Self {
        let mut observations = batch.observations.clone();
        observations.iter_mut().for_each(storable::clean);
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
        let keys = self.observations.iter().map(|seen| seen.key.id_range());
        let single = |id: Uuid| (id, id);
        let spans = self.spans.keys().map(|key| single(key.span_id));
        let links = self.links.iter().map(|link| single(link.span_id));
        let ranges: BTreeSet<_> = keys.chain(spans).chain(links).collect();
        ranges.into_iter().collect()
    }

    /// Works out the changes. `stored` holds at least the rows of ours in [`Self::ranges`], in any
    /// order; a row may come twice.
    pub(super) fn plan(self, mut stored: Vec<Stored>) -> Plan {
        // Of two rows of ours with the same ids, which only a missing index lets happen, the first
        // one is kept up.
        stored.sort_unstable_by_key(|row| (row.span.span_id, row.span.trace_id, row.id));
        stored.dedup_by_key(|row| (row.span.span_id, row.span.trace_id));
        let (ids, stored): (Vec<_>, Vec<_>) =
            stored.into_iter().map(|row| (row.id, row.span)).unzip();
        let mut changes = Changes {
            changes: reconcile(&stored, self.observations),
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
        changes.into_plan()
    }
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

    fn into_plan(mut self) -> Plan {
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
                plan.inserts.push(span);
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
                    was: self.stored[at].status,
                    span,
                });
            }
        }
        plan.inserts.sort_by_key(|span| span.span_id);
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
