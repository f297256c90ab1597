//! Where the time of a trace went that no span accounts for, and which spans are not there.
//!
//! Invariant: a gap is time inside a span that none of its descendants covers; nested and overlapping
//! spans make none, spans without children have none, and finding them takes `n log n` time.

use uuid::Uuid;

use super::baseline::Baselines;
use super::critical_path::{self, known_ends};
use super::missing::{Around, missing};
use super::report::{Gap, GapKind, TraceGaps};
use super::tree::{Tier, Tree};
use super::view;
use super::words::{duration, whole_ms};
use crate::model::{LossEntry, Span};

/// Shorter gaps are scheduling, not waiting, in µs.
const LEAST_US: i64 = 100_000;
/// Stretches kept of what descendants do outside their parent's time.
const MAX_OUTSIDE: usize = 32;

/// Answers where a trace has gaps and what is missing from it.
///
/// Needs all spans of the trace; `baselines` from recent spans of the same model tell what a trace of
/// this kind should look like; `losses` are those that overlap the trace, `unlinked` the Modal spans of
/// its time that belong to no trace.
pub fn find(
    trace_id: Uuid,
    spans: &[Span],
    baselines: &Baselines,
    losses: &[LossEntry],
    unlinked: &[Span],
) -> TraceGaps {
    let tree = Tree::build(spans, &baselines.skews);
    let kind = baselines.kind_of(&tree);
    let around = Around {
        shape: baselines.shapes.of(&kind),
        losses,
        unlinked: baselines.unlinked_like(&kind, unlinked, None),
    };
    let mut notes = view::oddities(&tree);
    match tree.nodes.len() {
        0 => notes.push("no span of this trace is stored".to_owned()),
        1 => notes.push(
            "the trace has a single span: there is nothing to measure gaps between".to_owned(),
        ),
        _ => {}
    }
    TraceGaps {
        trace_id: trace_id.to_string(),
        total_spans: tree.nodes.len(),
        spans: view::spans(&tree),
        gaps: gaps(&tree),
        missing_spans: if tree.is_empty() {
            Vec::new()
        } else {
            missing(&tree, &around)
        },
        clock_skew_ms: baselines.skews.report(&tree),
        critical_path: critical_path::report(&tree),
        duplicates_removed: tree.oddities.duplicates,
        notes,
    }
}

/// A stretch of time, in µs, and the span that covers it.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    from: i64,
    to: i64,
    node: usize,
}

/// All gaps of a tree, longest first.
fn gaps(tree: &Tree<'_>) -> Vec<Gap> {
    let ends = known_ends(tree);
    // What a span's descendants do before it starts or after it ends, for its ancestors.
    let mut outside: Vec<Vec<Stretch>> = vec![Vec::new(); tree.nodes.len()];
    let mut found = Vec::new();
    for &at in tree.order.iter().rev() {
        let node = &tree.nodes[at];
        if node.children.is_empty() {
            continue;
        }
        let mut covered = Vec::with_capacity(node.children.len());
        for &child in &node.children {
            covered.push(Stretch {
                from: tree.nodes[child].start,
                to: ends[child],
                node: child,
            });
            covered.append(&mut outside[child]);
        }
        covered.sort_unstable_by_key(|stretch| (stretch.from, stretch.to));
        let own = Stretch {
            from: node.start,
            to: ends[at],
            node: at,
        };
        uncovered(own, &covered, |gap| found.push((at, gap)));
        outside[at] = sticking_out(own, &covered);
    }
    found.sort_by_key(|(_, (from, to))| (std::cmp::Reverse(to.from - from.to), from.to));
    found
        .iter()
        .map(|(at, (from, to))| gap(tree, *at, *from, *to))
        .collect()
}

/// Calls back with the neighbours of every gap: what ends before it and what starts after it.
fn uncovered(own: Stretch, covered: &[Stretch], mut gap: impl FnMut((Stretch, Stretch))) {
    let mut last = Stretch {
        to: own.from,
        ..own
    };
    let end = Stretch {
        from: own.to,
        ..own
    };
    for &stretch in covered.iter().chain([&end]) {
        let begun = stretch.from.min(own.to);
        if begun - last.to > LEAST_US {
            gap((
                last,
                Stretch {
                    from: begun,
                    ..stretch
                },
            ));
        }
        if stretch.to > last.to {
            last = stretch;
        }
    }
}

fn sticking_out(own: Stretch, covered: &[Stretch]) -> Vec<Stretch> {
    let before = |s: &Stretch| Stretch {
        to: s.to.min(own.from),
        ..*s
    };
    let after = |s: &Stretch| Stretch {
        from: s.from.max(own.to),
        ..*s
    };
    let parts = covered.iter().flat_map(|s| [before(s), after(s)]);
    let mut parts: Vec<Stretch> = parts.filter(|s| s.from < s.to).collect();
    parts.sort_unstable_by_key(|s| std::cmp::Reverse(s.to - s.from));
    parts.truncate(MAX_OUTSIDE);
    parts
}

fn gap(tree: &Tree<'_>, at: usize, from: Stretch, to: Stretch) -> Gap {
    let inside = &tree.nodes[at];
    let callee = |other: usize| other != at && tree.nodes[other].tier > inside.tier;
    let kind = match (from.node == at, to.node == at, tree.nodes[to.node].tier) {
        (true, false, Tier::Router) if callee(to.node) => GapKind::Queue,
        (true, false, Tier::Modal) if callee(to.node) => GapKind::Boot,
        (false, true, _) if callee(from.node) => GapKind::Network,
        _ => GapKind::Unexplained,
    };
    let ms = (to.from - from.to) as f64 / 1000.0;
    let name = |at: usize| {
        let span = tree.nodes[at].span;
        format!("{} {}", span.service, span.operation)
    };
    let what = match (from.node == at, to.node == at) {
        (true, true) => format!("{} inside {} that nothing covers", duration(ms), name(at)),
        (true, false) => format!("{} before {} began", duration(ms), name(to.node)),
        (false, true) => format!("{} after {} ended", duration(ms), name(from.node)),
        (false, false) => {
            format!(
                "{} between {} and {}",
                duration(ms),
                name(from.node),
                name(to.node)
            )
        }
    };
    let id = |at: usize| tree.nodes[at].span.span_id.to_string();
    Gap {
        after_span: id(from.node),
        before_span: id(to.node),
        gap_ms: whole_ms(ms),
        inside: id(at),
        kind,
        what,
    }
}

#[cfg(test)]
mod tests;
