//! Gives spans without a usable parent the span that encloses them in time.
//!
//! Routers often start a span without knowing the runner's, and a Modal span may have lost its
//! caller's row. Invariant: a span is only adopted by a span of its own service that it lies in or by a
//! service nearer to the caller, never into a cycle, and looking for one takes a bounded number of
//! steps.

use super::{Node, Oddities, Tier};

/// How far clocks of different hosts may disagree before an enclosing span no longer encloses, in µs.
const TOLERANCE: i64 = 5_000_000;
/// How many earlier spans are looked at for one that encloses: concurrent calls of one trace are few.
const LOOK_BACK: usize = 64;

/// Adopts every span of the chain of calls that has no parent.
pub(super) fn adopt(nodes: &mut [Node<'_>], oddities: &mut Oddities) {
    let of_tier = |tier| -> Vec<usize> {
        let all = 0..nodes.len();
        all.filter(|&at| nodes[at].tier == tier).collect()
    };
    let (runners, routers) = (of_tier(Tier::Runner), of_tier(Tier::Router));
    let mut groups = Groups::of(nodes);
    for at in 0..nodes.len() {
        let (own, callers): (&[usize], &[&[usize]]) = match nodes[at].tier {
            _ if nodes[at].parent.is_some() => continue,
            Tier::Runner => (&runners, &[]),
            Tier::Router => (&routers, &[&runners]),
            Tier::Modal => (&[], &[&routers, &runners]),
            Tier::Other => continue,
        };
        let inner = within(nodes, own, at, &mut groups);
        let mut calling = callers.iter();
        let found = inner
            .or_else(|| calling.find_map(|callers| enclosing(nodes, callers, at, &mut groups)));
        if let Some(parent) = found {
            nodes[at].parent = Some(parent);
            groups.join(at, parent);
            oddities.adopted += 1;
        }
    }
}

/// The shortest span of the same service that the node lies in, by one clock.
fn within(nodes: &[Node<'_>], own: &[usize], at: usize, groups: &mut Groups) -> Option<usize> {
    let (start, end) = (nodes[at].start, nodes[at].end?);
    let until = own.partition_point(|&other| nodes[other].start <= start);
    let near = own[..until].iter().rev().take(LOOK_BACK).copied();
    let length = |other: usize| nodes[other].end.map(|end| end - nodes[other].start);
    let around = |&other: &usize| {
        let longer = length(other).is_some_and(|length| length > end - start);
        longer && nodes[other].end.is_some_and(|outer| outer >= end) && !groups.same(at, other)
    };
    near.filter(around).min_by_key(|&other| length(other))
}

/// The latest-starting of `callers` (sorted by start) that encloses the node; else the latest that
/// was running when the node started.
fn enclosing(
    nodes: &[Node<'_>],
    callers: &[usize],
    at: usize,
    groups: &mut Groups,
) -> Option<usize> {
    let node = &nodes[at];
    // Clocks of a runner and a router are compared with the same tolerance as Modal's: the lengths
    // decide, the offset is aligned afterwards.
    let until = callers.partition_point(|&caller| nodes[caller].start <= node.start + TOLERANCE);
    let mut running = None;
    for &caller in callers[..until].iter().rev().take(LOOK_BACK) {
        let end = nodes[caller].end.unwrap_or(i64::MAX);
        if end.saturating_add(TOLERANCE) < node.start || groups.same(at, caller) {
            continue;
        }
        let fits = match (nodes[caller].took_ms(), node.took_ms()) {
            (Some(outer), Some(inner)) => inner <= outer,
            _ => true,
        };
        if fits && end.saturating_add(TOLERANCE) >= node.end.unwrap_or(node.start) {
            return Some(caller);
        }
        running = running.or(Some(caller));
    }
    running
}

/// Which nodes hang together, as a forest of representatives.
struct Groups(Vec<usize>);

impl Groups {
    fn of(nodes: &[Node<'_>]) -> Self {
        let parents = nodes.iter().enumerate();
        Self(
            parents
                .map(|(at, node)| node.parent.unwrap_or(at))
                .collect(),
        )
    }

    fn top(&mut self, mut at: usize) -> usize {
        while self.0[at] != at {
            self.0[at] = self.0[self.0[at]];
            at = self.0[at];
        }
        at
    }

    fn same(&mut self, a: usize, b: usize) -> bool {
        self.top(a) == self.top(b)
    }

    fn join(&mut self, top: usize, under: usize) {
        self.0[top] = under;
    }
}
