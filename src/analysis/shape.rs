//! What the traces of successful executions of a kind look like: which spans they have, and who calls
//! whom.
//!
//! Invariant: only successful traces shape an expectation, so that an outage cannot teach that failing
//! is normal.

use std::collections::{BTreeMap, BTreeSet};

use super::tree::{Tier, Tree};
use crate::model::SpanStatus;

/// Successful traces of a kind needed before its own shape counts.
const ENOUGH: usize = 5;
/// A span that this share of successful traces has is expected.
const USUAL: f64 = 0.5;

/// A service and an operation.
pub(crate) type Name = (String, String);
/// A model and a region; `None` stands for all.
pub(crate) type Kind = (Option<String>, Option<String>);

/// Spans of the successful traces of one kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Number of successful traces.
    pub(crate) traces: usize,
    /// In how many of them a span of this name is, and under whom.
    spans: BTreeMap<Name, Seen>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Seen {
    traces: usize,
    parents: BTreeMap<Option<Name>, usize>,
}

/// The shape of what nothing is known of.
static UNKNOWN: Shape = Shape {
    traces: 0,
    spans: BTreeMap::new(),
};

/// Shapes of all kinds, and of all kinds together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Shapes {
    kinds: BTreeMap<Kind, Shape>,
    /// Spans that were seen calling the next service.
    callers: BTreeSet<(Name, Tier)>,
}

impl Shapes {
    /// Adds a successful trace.
    pub(crate) fn add(&mut self, tree: &Tree<'_>, kind: &Kind) {
        let names: BTreeMap<Name, Option<Name>> = (0..tree.nodes.len())
            .map(|at| (name(tree, at), tree.nodes[at].parent.map(|p| name(tree, p))))
            .collect();
        for level in levels(kind) {
            let shape = self.kinds.entry(level).or_default();
            shape.traces += 1;
            for (name, parent) in &names {
                let seen = shape.spans.entry(name.clone()).or_default();
                seen.traces += 1;
                *seen.parents.entry(parent.clone()).or_default() += 1;
            }
        }
        for node in &tree.nodes {
            if let Some(parent) = node.parent.filter(|&p| tree.nodes[p].tier < node.tier) {
                self.callers.insert((name(tree, parent), node.tier));
            }
        }
    }

    /// The shape to measure a trace of this kind with: its own, else a wider one; empty when nothing
    /// succeeded yet.
    pub(crate) fn of(&self, kind: &Kind) -> &Shape {
        let narrow_first = levels(kind);
        let mut found = narrow_first
            .iter()
            .filter_map(|level| self.kinds.get(level));
        let enough = found.clone().find(|shape| shape.traces >= ENOUGH);
        let widest = || found.next_back();
        enough.or_else(widest).unwrap_or(&UNKNOWN)
    }

    /// Whether spans of this name were seen calling the tier.
    pub(crate) fn calls(&self, service: &str, operation: &str, tier: Tier) -> bool {
        let calls = |((caller, call), callee): &(Name, Tier)| {
            *callee == tier && caller == service && call == operation
        };
        self.callers.iter().any(calls)
    }

    /// Whether anything was seen calling the tier.
    pub(crate) fn knows_callers_of(&self, tier: Tier) -> bool {
        self.callers.iter().any(|(_, callee)| *callee == tier)
    }
}

impl Shape {
    /// Names that a trace of this kind should have, with the usual parent of each and the share of
    /// successful traces that have it.
    pub(crate) fn expected(&self) -> impl Iterator<Item = (&Name, Option<&Name>, f64)> {
        self.spans.iter().filter_map(|(name, seen)| {
            let share = seen.traces as f64 / self.traces as f64;
            let usual_parent = seen.parents.iter().max_by_key(|(_, count)| **count);
            let parent = usual_parent.and_then(|(parent, _)| parent.as_ref());
            (share >= USUAL).then_some((name, parent, share))
        })
    }

    /// Whether successful traces were seen in numbers and none had a span of the tier.
    pub(crate) fn lacks(&self, tier: Tier) -> bool {
        self.traces >= ENOUGH
            && !self
                .spans
                .keys()
                .any(|(service, _)| Tier::of(service) == tier)
    }
}

/// The kind itself, then ever wider ones.
pub(crate) fn levels(kind: &Kind) -> Vec<Kind> {
    let (model, region) = kind.clone();
    let mut levels = vec![
        (model.clone(), region.clone()),
        (model, None),
        (None, region),
        (None, None),
    ];
    levels.dedup();
    levels
}

/// Whether a trace shows an execution in which nothing failed and everything that could end did.
pub(crate) fn succeeded(tree: &Tree<'_>) -> bool {
    let roots_completed = tree.roots.iter().all(|&root| {
        let span = tree.nodes[root].span;
        span.status == SpanStatus::Completed
    });
    !tree.is_empty() && roots_completed && !tree.nodes.iter().any(|node| node.failed())
}

fn name(tree: &Tree<'_>, at: usize) -> Name {
    let span = tree.nodes[at].span;
    (span.service.clone(), span.operation.clone())
}
