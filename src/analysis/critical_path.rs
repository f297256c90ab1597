//! What had to end before the trace could: for every moment the one span that was waited for.
//!
//! Walks back from the root's end; at each moment the child that ended last before it is on the path,
//! clipped to the time in which it was waited for. Invariant: the self times on the path add up to
//! the root's duration, and no recursion.

use super::report::PathStep;
use super::tree::Tree;
use super::words::whole_ms;

/// Steps listed; the longest are kept.
const LISTED: usize = 100;

/// A span's share of the critical path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Share {
    /// The span.
    pub(crate) node: usize,
    /// Time on the path spent in the span itself, in µs.
    pub(crate) self_us: i64,
}

/// The critical path from the longest root, callers before callees.
pub(crate) fn critical_path(tree: &Tree<'_>) -> Vec<Share> {
    let ends = known_ends(tree);
    let length = |root: &usize| ends[*root] - tree.nodes[*root].start;
    let Some(root) = tree.roots.iter().copied().max_by_key(length) else {
        return Vec::new();
    };
    let mut path = Vec::new();
    let mut waiting = vec![(root, ends[root])];
    while let Some((at, until)) = waiting.pop() {
        let node = &tree.nodes[at];
        let mut children = node.children.clone();
        children.sort_by_key(|&child| std::cmp::Reverse(ends[child]));
        let (mut now, mut self_us) = (until, 0);
        let mut taken = Vec::new();
        for child in children {
            let begun = tree.nodes[child].start.max(node.start);
            if begun >= now {
                // It ran beside what was waited for.
                continue;
            }
            let end = ends[child].min(now);
            if end <= begun {
                continue;
            }
            self_us += now - end;
            taken.push((child, end));
            now = begun;
        }
        self_us += (now - node.start).max(0);
        path.push(Share { node: at, self_us });
        // Taken from the end backwards; the stack turns them into time order.
        waiting.extend(taken);
    }
    path
}

/// The critical path as reports list it.
pub(crate) fn report(tree: &Tree<'_>) -> Vec<PathStep> {
    let mut path = critical_path(tree);
    if path.len() > LISTED {
        let mut times: Vec<i64> = path.iter().map(|share| share.self_us).collect();
        times.sort_unstable_by(|a, b| b.cmp(a));
        let least = times[LISTED - 1];
        path.retain(|share| share.self_us >= least);
        path.truncate(LISTED);
    }
    path.iter()
        .map(|share| {
            let span = tree.nodes[share.node].span;
            PathStep {
                span_id: span.span_id.to_string(),
                service: span.service.clone(),
                operation: span.operation.clone(),
                self_ms: whole_ms(share.self_us as f64 / 1000.0),
            }
        })
        .collect()
}

/// When each span ended, as far as it is known: an open one lasts until its caller's end, else as
/// long as anything below it.
pub(crate) fn known_ends(tree: &Tree<'_>) -> Vec<i64> {
    let mut ends: Vec<i64> = (tree.nodes.iter())
        .map(|node| node.end.unwrap_or(node.start))
        .collect();
    for &at in tree.order.iter().rev() {
        if let Some(parent) = tree.nodes[at]
            .parent
            .filter(|&p| tree.nodes[p].end.is_none())
        {
            ends[parent] = ends[parent].max(ends[at]);
        }
    }
    for &at in &tree.order {
        if let Some(parent) = tree.nodes[at]
            .parent
            .filter(|_| tree.nodes[at].end.is_none())
        {
            ends[at] = ends[at].max(ends[parent]);
        }
    }
    ends
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::scene::{Said, healthy, modal, router, runner, span};
    use crate::analysis::skew::Skews;
    use crate::model::Span;

    /// Operation and self time in ms of each step.
    fn path(spans: &[Span]) -> Vec<(String, i64)> {
        let tree = Tree::build(spans, &Skews::default());
        let steps = report(&tree);
        let total: i64 = steps.iter().map(|step| step.self_ms).sum();
        assert_eq!(
            total,
            spans[0].duration_ms.unwrap_or(total),
            "self times add up"
        );
        steps
            .into_iter()
            .map(|step| (step.operation, step.self_ms))
            .collect()
    }

    fn expected(steps: &[(&str, i64)]) -> Vec<(String, i64)> {
        steps
            .iter()
            .map(|(name, ms)| ((*name).to_owned(), *ms))
            .collect()
    }

    #[test]
    fn a_chain_of_calls_is_the_path_and_each_span_has_what_its_callee_leaves() {
        let steps = [
            ("execute_question", 5),
            ("hybrid_router_call", 35),
            ("inference_request", 10),
            ("modal_call", 350),
            ("inference", 2_100),
        ];
        assert_eq!(path(&healthy()), expected(&steps));
    }

    #[test]
    fn back_to_back_spans_are_all_on_the_path() {
        let spans = [
            span(1, "runner", "root", 0, 300),
            span(2, "runner", "first", 0, 100).under(1),
            span(3, "runner", "second", 100, 200).under(1),
            span(4, "runner", "third", 200, 300).under(1),
        ];
        let steps = [("root", 0), ("first", 100), ("second", 100), ("third", 100)];
        assert_eq!(path(&spans), expected(&steps));
    }

    #[test]
    fn a_span_that_runs_beside_a_longer_one_is_not_on_the_path() {
        let spans = [
            span(1, "runner", "root", 0, 300),
            span(2, "runner", "beside", 20, 120).under(1),
            span(3, "runner", "longer", 10, 280).under(1),
        ];
        assert_eq!(path(&spans), expected(&[("root", 30), ("longer", 270)]));
    }

    #[test]
    fn an_open_span_counts_until_its_caller_gave_up() {
        let mut spans = runner(60_000);
        spans.extend(router(20, 59_980));
        spans.push(modal(300, 400).open());
        let steps = path(&spans);
        assert_eq!(steps.last(), Some(&("inference".to_owned(), 59_675)));
    }
}
