//! The joined trace as a tree: copies removed, parents resolved, clocks aligned.
//!
//! Invariants: every distinct span is in the tree exactly once, every node is reachable from a root
//! (cycles of parents are cut), raw times stay in the spans, and building takes `n log n` time and no
//! recursion, so that neither fifty thousand spans nor a chain as deep can hurt.

mod adopt;
mod align;

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::skew::Skews;
use crate::model::{Span, SpanStatus};

/// Where a service stands in the chain of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Tier {
    /// Takes the question and calls the router.
    Runner,
    /// Chooses a provider and calls Modal.
    Router,
    /// Runs the model.
    Modal,
    /// Anything else.
    Other,
}

impl Tier {
    /// The tier of a service; names like `hybrid-router` count as what they contain.
    pub(crate) fn of(service: &str) -> Self {
        match service {
            "runner" => return Self::Runner,
            "router" => return Self::Router,
            "modal" => return Self::Modal,
            _ => {}
        }
        let service = service.to_ascii_lowercase();
        if service.contains("runner") {
            Self::Runner
        } else if service.contains("router") {
            Self::Router
        } else if service.contains("modal") {
            Self::Modal
        } else {
            Self::Other
        }
    }

    /// The service's plain name, as reports use it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Runner => "runner",
            Self::Router => "router",
            Self::Modal => "modal",
            Self::Other => "other",
        }
    }
}

/// One span in its place.
#[derive(Debug)]
pub(crate) struct Node<'a> {
    /// The span, with its raw times.
    pub(crate) span: &'a Span,
    /// Where it stands in the chain of calls.
    pub(crate) tier: Tier,
    /// The enclosing span.
    pub(crate) parent: Option<usize>,
    /// Enclosed spans, by aligned start.
    pub(crate) children: Vec<usize>,
    /// Start in µs since the epoch, aligned with its caller's clock.
    pub(crate) start: i64,
    /// End likewise; absent while open. Never before `start`.
    pub(crate) end: Option<i64>,
}

impl Node<'_> {
    /// Length in ms; absent while open.
    pub(crate) fn took_ms(&self) -> Option<f64> {
        Some((self.end? - self.start) as f64 / 1000.0)
    }

    /// Whether it ended with an error, or said itself that it timed out.
    pub(crate) fn failed(&self) -> bool {
        match self.span.status {
            SpanStatus::Failed => true,
            SpanStatus::Timeout => self.end.is_some(),
            SpanStatus::Started | SpanStatus::Completed => false,
        }
    }

    /// Whether it began and no end is known.
    pub(crate) fn open(&self) -> bool {
        matches!(self.span.status, SpanStatus::Started | SpanStatus::Timeout) && self.end.is_none()
    }
}

/// What is odd about the spans of a trace.
#[derive(Debug, Default)]
pub(crate) struct Oddities {
    /// Rows left out because another row of the same span says more.
    pub(crate) duplicates: usize,
    /// Spans whose parent was cut because it was their own descendant.
    pub(crate) cycles: Vec<Uuid>,
    /// Spans that end before they start.
    pub(crate) backwards: Vec<Uuid>,
    /// Spans whose parent is not among the spans.
    pub(crate) orphans: usize,
    /// Spans without a usable parent that were given one by time.
    pub(crate) adopted: usize,
}

/// The joined trace of an execution.
#[derive(Debug)]
pub(crate) struct Tree<'a> {
    /// Distinct spans by raw start.
    pub(crate) nodes: Vec<Node<'a>>,
    /// Nodes without a parent.
    pub(crate) roots: Vec<usize>,
    /// All nodes, every parent before its children.
    pub(crate) order: Vec<usize>,
    /// What is odd about the spans.
    pub(crate) oddities: Oddities,
}

impl<'a> Tree<'a> {
    /// Builds the tree of the spans and aligns its clocks.
    pub(crate) fn build(spans: impl IntoIterator<Item = &'a Span>, skews: &Skews) -> Self {
        let mut tree = Self::join(spans);
        tree.align(skews);
        tree
    }

    /// Builds the tree of the spans with the times that stand in them.
    pub(crate) fn join(spans: impl IntoIterator<Item = &'a Span>) -> Self {
        let mut oddities = Oddities::default();
        let mut nodes = distinct(spans, &mut oddities);
        resolve_parents(&mut nodes, &mut oddities);
        adopt::adopt(&mut nodes, &mut oddities);
        let mut tree = Self {
            nodes,
            roots: Vec::new(),
            order: Vec::new(),
            oddities,
        };
        tree.connect();
        tree
    }

    /// Takes the clock differences out of the nodes' times; to be called once.
    pub(crate) fn align(&mut self, skews: &Skews) {
        align::align(self, skews);
    }

    /// Whether there is no span at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Earliest aligned start, in µs since the epoch; 0 without spans.
    pub(crate) fn start(&self) -> i64 {
        let starts = self.roots.iter().map(|&root| self.nodes[root].start);
        starts.min().unwrap_or(0)
    }

    /// Fills in children, roots and the order from the parents.
    fn connect(&mut self) {
        for at in 0..self.nodes.len() {
            match self.nodes[at].parent {
                Some(parent) => self.nodes[parent].children.push(at),
                None => self.roots.push(at),
            }
        }
        let mut stack: Vec<usize> = self.roots.iter().rev().copied().collect();
        while let Some(at) = stack.pop() {
            self.order.push(at);
            stack.extend(self.nodes[at].children.iter().rev());
        }
    }
}

/// Microseconds since the epoch.
pub(crate) fn micros(at: DateTime<Utc>) -> i64 {
    at.timestamp_micros()
}

/// One node per span id, by start; of several rows the one that says most.
fn distinct<'a>(
    spans: impl IntoIterator<Item = &'a Span>,
    oddities: &mut Oddities,
) -> Vec<Node<'a>> {
    let mut best: HashMap<Uuid, &Span> = HashMap::new();
    for span in spans {
        let kept = best.entry(span.span_id).or_insert(span);
        if !std::ptr::eq(*kept, span) {
            oddities.duplicates += 1;
            if says_more(span) > says_more(kept) {
                *kept = span;
            }
        }
    }
    let mut nodes: Vec<_> = best.into_values().map(node).collect();
    nodes.sort_unstable_by_key(|node| {
        let longest_first = std::cmp::Reverse(node.end.unwrap_or(i64::MAX));
        (node.start, longest_first, node.span.span_id)
    });
    let backwards = |span: &Span| span.completed_at.is_some_and(|end| end < span.started_at);
    let ids = nodes.iter().filter(|node| backwards(node.span));
    oddities.backwards = ids.map(|node| node.span.span_id).collect();
    nodes
}

/// Orders rows of one span: an ending beats a deadline that passed, which beats an open row.
fn says_more(span: &Span) -> (u8, Option<DateTime<Utc>>, usize) {
    let rank = match span.status {
        SpanStatus::Started => 0,
        SpanStatus::Timeout => 1,
        SpanStatus::Completed | SpanStatus::Failed => 2,
    };
    (rank, span.completed_at, span.metadata.len())
}

fn node(span: &Span) -> Node<'_> {
    let start = micros(span.started_at);
    Node {
        span,
        tier: Tier::of(&span.service),
        parent: None,
        children: Vec::new(),
        start,
        end: span.completed_at.map(|end| micros(end).max(start)),
    }
}

/// Points every node at its stored parent and cuts cycles at the span that began first.
fn resolve_parents(nodes: &mut [Node<'_>], oddities: &mut Oddities) {
    let index: HashMap<Uuid, usize> = nodes
        .iter()
        .enumerate()
        .map(|(at, node)| (node.span.span_id, at))
        .collect();
    for node in nodes.iter_mut() {
        if let Some(parent) = node.span.parent_span_id {
            node.parent = index.get(&parent).copied();
            oddities.orphans += usize::from(node.parent.is_none());
        }
    }
    // Which walk towards the root saw a node first; 0 is none.
    let mut seen_by = vec![0; nodes.len()];
    for first in 0..nodes.len() {
        let (walk, mut at) = (first + 1, first);
        while seen_by[at] == 0 {
            seen_by[at] = walk;
            match nodes[at].parent {
                Some(parent) => at = parent,
                None => break,
            }
        }
        if seen_by[at] == walk && nodes[at].parent.is_some() {
            cut_cycle(nodes, at, oddities);
        }
    }
}

/// Cuts the cycle through `inside`, if it is one. Nodes are sorted, so the first is the lowest index.
fn cut_cycle(nodes: &mut [Node<'_>], inside: usize, oddities: &mut Oddities) {
    let (mut first, mut at) = (inside, inside);
    while let Some(parent) = nodes[at].parent {
        at = parent;
        first = first.min(at);
        if at == inside {
            nodes[first].parent = None;
            oddities.cycles.push(nodes[first].span.span_id);
            return;
        }
    }
}

#[cfg(test)]
mod tests;
