//! Observations, finished spans and findings about one and the same rows, worked out together.

use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;

use super::{Plan, Reject, Stored, Update, key_of};
use crate::model::{Change, Observation, RowKey, Span, SpanLink, reconcile};
use crate::store::storable;

/// What all of these come to; `stored` is sorted by span and trace.
pub(super) fn plan_together(
    stored: &[Stored],
    seen: impl Iterator<Item = Observation>,
    spans: BTreeMap<RowKey, Span>,
    links: &[SpanLink],
) -> Plan<'static> {
    let mut changes = Changes {
        changes: reconcile(stored.iter().map(|row| &row.span), seen),
        stored,
        by_span: HashMap::new(),
    };
    for (key, span) in spans {
        changes.replace(key, span);
    }
    for link in links {
        changes.link(link);
    }
    changes.into_plan()
}

struct Changes<'a> {
    stored: &'a [Stored],
    changes: Vec<Change>,
    // Place in `changes` by new span id, and by old one where it differs; filled on first use.
    by_span: HashMap<Uuid, usize>,
}

impl Changes<'_> {
    fn find_stored(&self, key: RowKey) -> Option<usize> {
        let wanted = (key.span_id, key.trace_id);
        (self.stored)
            .binary_search_by_key(&wanted, |row| (row.span.span_id, row.span.trace_id))
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
            .partition_point(|row| row.span.span_id < link.span_id);
        let row = self.stored.get(from);
        if let Some(row) = row.filter(|row| row.span.span_id == link.span_id) {
            let mut span = row.span.clone();
            let row = key_of(&span);
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
            let stored = &self.stored[at];
            if stored.span != span {
                plan.updates.push(Update {
                    id: stored.id,
                    of: stored.span.trace_id,
                    was: stored.span.status,
                    span,
                });
            }
        }
        plan
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
