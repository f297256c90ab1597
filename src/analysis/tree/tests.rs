//! Trees of odd traces.

use std::time::{Duration, Instant};

use uuid::Uuid;

use super::*;
use crate::analysis::scene::{Said, at, healthy, modal, router, runner, span};

fn tree(spans: &[Span]) -> Tree<'_> {
    Tree::build(spans, &Skews::default())
}

/// The ids of a node's parent, by its own id.
fn parent_of(tree: &Tree<'_>, id: u128) -> Option<u128> {
    let node = tree
        .nodes
        .iter()
        .find(|node| node.span.span_id == Uuid::from_u128(id));
    let parent = node.and_then(|node| node.parent)?;
    Some(tree.nodes[parent].span.span_id.as_u128())
}

#[test]
fn copies_of_a_span_count_once_and_the_row_that_says_most_stays() {
    let mut spans = healthy();
    spans.push(spans[2].clone());
    spans.push(spans[3].clone().open());
    let tree = tree(&spans);
    assert_eq!((tree.nodes.len(), tree.oddities.duplicates), (5, 2));
    assert!(tree.nodes.iter().all(|node| !node.open()));
}

#[test]
fn a_cycle_of_parents_is_cut_and_every_span_stays_reachable() {
    let spans = [
        span(1, "runner", "a", 0, 100).under(3),
        span(2, "runner", "b", 10, 90).under(1),
        span(3, "runner", "c", 20, 80).under(2),
        span(4, "runner", "own parent", 30, 40).under(4),
    ];
    let tree = tree(&spans);
    assert_eq!(tree.order.len(), 4);
    assert_eq!(tree.oddities.cycles.len(), 2);
    assert_eq!(parent_of(&tree, 3), Some(2));
    assert_eq!(parent_of(&tree, 1), None);
}

#[test]
fn a_span_that_ends_before_it_starts_is_instantaneous_and_reported() {
    let mut spans = healthy();
    spans[4].completed_at = Some(at(-500));
    let tree = tree(&spans);
    assert_eq!(tree.oddities.backwards, [Uuid::from_u128(5)]);
    assert!(tree.nodes.iter().all(|node| node.took_ms() >= Some(0.0)));
}

#[test]
fn spans_without_a_parent_are_placed_by_time() {
    let mut spans = healthy();
    spans.iter_mut().for_each(|span| span.parent_span_id = None);
    let tree = tree(&spans);
    for (id, parent) in [
        (1, None),
        (2, Some(1)),
        (3, Some(2)),
        (4, Some(3)),
        (5, Some(4)),
    ] {
        assert_eq!(parent_of(&tree, id), parent, "parent of {id}");
    }
    assert_eq!((tree.roots.len(), tree.oddities.adopted), (1, 4));
}

#[test]
fn a_modal_span_that_outlives_its_caller_is_still_placed_under_it() {
    let mut spans = runner(60_050);
    spans.extend(router(20, 60_040));
    let mut late = modal(300, 95_000);
    late.parent_span_id = None;
    spans.push(late);
    assert_eq!(parent_of(&tree(&spans), 5), Some(4));
}

#[test]
fn a_parent_that_is_not_stored_leaves_an_orphan_that_is_placed_by_time() {
    let mut spans = healthy();
    spans[2] = spans[2].clone().under(99);
    let tree = tree(&spans);
    assert_eq!(tree.oddities.orphans, 1);
    assert_eq!(parent_of(&tree, 3), Some(2));
}

#[test]
fn a_skewed_modal_span_is_aligned_with_its_caller_and_keeps_its_raw_times() {
    let mut spans = healthy();
    let ahead = chrono::TimeDelta::milliseconds(2_600);
    spans[4].started_at += ahead;
    spans[4].completed_at = spans[4].completed_at.map(|end| end + ahead);
    let tree = tree(&spans);
    let of = |id| {
        tree.nodes
            .iter()
            .find(|node| node.span.span_id == Uuid::from_u128(id))
    };
    let (caller, callee) = (of(4).unwrap(), of(5).unwrap());
    assert!(caller.start <= callee.start && callee.end <= caller.end);
    assert_eq!(callee.took_ms(), Some(2_100.0));
    assert_eq!(callee.span.started_at, at(2_900));
}

#[test]
fn fifty_thousand_spans_in_one_chain_or_side_by_side_are_built_at_once() {
    let chain: Vec<Span> = (1..=50_000_u128)
        .map(|id| {
            let ms = id as i64;
            span(id, "runner", "deep", ms, 200_000 - ms).under(id - 1)
        })
        .collect();
    let orphans: Vec<Span> = (1..=50_000_u128)
        .map(|id| {
            let ms = id as i64 * 10;
            span(
                id,
                if id % 2 == 0 { "router" } else { "modal" },
                "wide",
                ms,
                ms + 5,
            )
        })
        .collect();
    for spans in [chain, orphans] {
        let begun = Instant::now();
        assert_eq!(tree(&spans).order.len(), 50_000);
        // A quadratic step would take minutes.
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "{:?}",
            begun.elapsed()
        );
    }
}
