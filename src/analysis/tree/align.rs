//! Takes the clock differences between hosts out of a tree, as far as they are known.
//!
//! A callee runs inside its caller's call. What the pool of traces says about the two clocks comes
//! first; then a span is moved no farther than needed to lie inside its caller. Invariant: only the
//! aligned times of nodes change, durations never, and spans of one host move together.

use super::{Node, Tree};
use crate::analysis::skew::{Skews, resolution_us};

/// Farther apart than this, in µs, unknown clocks are not taken for the reason.
const CLOCKS: i64 = 5_000_000;

/// Aligns every callee with its caller, callers first.
pub(super) fn align(tree: &mut Tree<'_>, skews: &Skews) {
    let mut shifts = vec![0_i64; tree.nodes.len()];
    for position in 0..tree.order.len() {
        let at = tree.order[position];
        let Some(parent) = tree.nodes[at].parent else {
            continue;
        };
        let (caller, callee) = (&tree.nodes[parent], &tree.nodes[at]);
        shifts[at] = if caller.tier == callee.tier {
            shifts[parent]
        } else {
            shift(caller, callee, skews)
        };
        let node = &mut tree.nodes[at];
        node.start += shifts[at];
        node.end = node.end.map(|end| end + shifts[at]);
    }
    let starts: Vec<i64> = tree.nodes.iter().map(|node| node.start).collect();
    for node in &mut tree.nodes {
        node.children.sort_by_key(|&child| starts[child]);
    }
}

/// By how many µs the callee has to move. The caller is aligned already, the callee is not.
fn shift(caller: &Node<'_>, callee: &Node<'_>, skews: &Skews) -> i64 {
    // A start cut to whole seconds was half a second later on average.
    let cut = resolution_us(callee.span) / 2;
    let known = skews.between(caller.span, callee.span);
    let wanted = cut - known.map_or(0, |skew| skew.offset_us);
    let lead = callee.start - caller.start;
    let Some((caller_end, callee_end)) = caller.end.zip(callee.end) else {
        return wanted.max(-lead);
    };
    let fits = callee_end - callee.start <= caller_end - caller.start;
    if !fits {
        // It outlives its caller, so only the start says something.
        return wanted.max(-lead);
    }
    let tail = caller_end - callee_end;
    if tail < -(callee_end - callee.start) - CLOCKS && known.is_none() {
        // Begun long after its caller had ended, by clocks that nothing is known about: not a call
        // that was waited for.
        return 0;
    }
    wanted.clamp(-lead, tail.max(-lead))
}
