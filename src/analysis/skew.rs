//! How far the clocks of two hosts disagree, from calls that one made and the other served.
//!
//! A callee cannot begin before it is called nor end after its caller has the answer. Every such pair
//! bounds the clock difference from both sides; many pairs close in on it. Invariant: a difference is
//! only claimed when the bounds exclude zero.

use std::collections::BTreeMap;

use super::tree::{Node, Tier, Tree};
use crate::model::{Span, meta};

/// Pairs of one container needed before it gets an estimate of its own.
const ENOUGH_PER_CONTAINER: usize = 8;
/// One pair in so many may be wrong (a wrong link, a clock that was set) without moving a bound.
const OUTLIERS: usize = 20;
/// Times that lines get on arrival are later than the event by an unknown delay.
const ARRIVAL_US: i64 = 5_000_000;

/// The clock difference between two hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Skew {
    /// How far the callee's clock is ahead of the caller's, in µs.
    pub(crate) offset_us: i64,
    /// How far the estimate may be off, in µs.
    pub(crate) uncertainty_us: i64,
    /// Number of calls it rests on.
    pub(crate) samples: usize,
}

/// A caller and a callee.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Pair {
    caller: String,
    callee: String,
}

/// Clock differences between all pairs of hosts that called each other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Skews(BTreeMap<Pair, Skew>);

/// Bounds that one call sets on a clock difference, in µs.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    low: i64,
    high: i64,
}

impl Skews {
    /// Estimates from trees whose clocks were not aligned with anything but themselves.
    pub(crate) fn estimate<'a>(trees: impl IntoIterator<Item = &'a Tree<'a>>) -> Self {
        let mut bounds: BTreeMap<Pair, Vec<Bounds>> = BTreeMap::new();
        for tree in trees {
            for (caller, callee) in calls(tree) {
                let Some(found) = bounds_of(caller.span, callee.span) else {
                    continue;
                };
                let pair = Pair::of(caller.span, host(callee.span));
                bounds.entry(pair).or_default().push(found);
                if let Some(container) = container(callee.span) {
                    let pair = Pair::of(caller.span, container);
                    bounds.entry(pair).or_default().push(found);
                }
            }
        }
        let worth = |pair: &Pair, found: &[Bounds]| {
            found.len() >= ENOUGH_PER_CONTAINER || pair.callee.matches('/').count() < 2
        };
        let pairs = bounds.into_iter();
        Self(
            pairs
                .filter(|(pair, found)| worth(pair, found))
                .map(|(pair, found)| (pair, close_in(&found)))
                .collect(),
        )
    }

    /// What is known about the clocks of a caller and a callee: their container's, else their host's.
    pub(crate) fn between(&self, caller: &Span, callee: &Span) -> Option<Skew> {
        let of = |callee: String| self.0.get(&Pair::of(caller, callee)).copied();
        container(callee).and_then(of).or_else(|| of(host(callee)))
    }

    /// The differences between hosts of a tree, in ms, by `caller → callee`.
    pub(crate) fn report(&self, tree: &Tree<'_>) -> BTreeMap<String, i64> {
        calls(tree)
            .filter_map(|(caller, callee)| {
                let skew = self.between(caller.span, callee.span)?;
                let pair = format!("{} → {}", host(caller.span), host(callee.span));
                Some((pair, (skew.offset_us as f64 / 1000.0).round() as i64))
            })
            .collect()
    }
}

impl Pair {
    fn of(caller: &Span, callee: String) -> Self {
        Self {
            caller: host(caller),
            callee,
        }
    }
}

/// Calls from one service into the next.
fn calls<'t>(tree: &'t Tree<'t>) -> impl Iterator<Item = (&'t Node<'t>, &'t Node<'t>)> {
    tree.nodes.iter().filter_map(|callee| {
        let caller = &tree.nodes[callee.parent?];
        let known = caller.tier != Tier::Other && callee.tier != Tier::Other;
        (known && caller.tier != callee.tier).then_some((caller, callee))
    })
}

/// How coarse the printed start of a span is, in µs: it may have been later by up to this.
pub(crate) fn resolution_us(span: &Span) -> i64 {
    match span.text(meta::TIME_PRECISION) {
        Some("s") => 1_000_000,
        Some("ms") => 1_000,
        _ => 0,
    }
}

fn bounds_of(caller: &Span, callee: &Span) -> Option<Bounds> {
    let (caller_ms, callee_ms) = (caller.elapsed_ms()?, callee.elapsed_ms()?);
    if callee_ms > caller_ms {
        // The caller gave up, so it bounds nothing.
        return None;
    }
    let arrival = callee.text(meta::TIME_PRECISION) == Some("arrival");
    let slack = if arrival { ARRIVAL_US } else { 0 };
    let us = |delta: chrono::TimeDelta| delta.num_microseconds();
    let lead = us(callee.started_at - caller.started_at)?;
    let tail = us(caller.completed_at? - callee.completed_at?)?;
    Some(Bounds {
        low: -tail - slack,
        high: lead + resolution_us(callee),
    })
}

/// The difference that fits the bounds best.
fn close_in(bounds: &[Bounds]) -> Skew {
    let spared = bounds.len() / OUTLIERS;
    let mut lows: Vec<i64> = bounds.iter().map(|b| b.low).collect();
    let mut highs: Vec<i64> = bounds.iter().map(|b| b.high).collect();
    lows.sort_unstable_by(|a, b| b.cmp(a));
    highs.sort_unstable();
    let (low, high) = (lows[spared], highs[spared]);
    let fits_zero = low <= 0 && 0 <= high;
    Skew {
        offset_us: if fits_zero { 0 } else { low.midpoint(high) },
        uncertainty_us: (high - low).abs() / 2,
        samples: bounds.len(),
    }
}

fn host(span: &Span) -> String {
    match span.region_name() {
        Some(region) => format!("{}/{region}", span.service),
        None => span.service.clone(),
    }
}

fn container(span: &Span) -> Option<String> {
    let id = span.text(meta::CONTAINER_ID)?;
    Some(format!(
        "{}/{}/{id}",
        span.service,
        span.region_name().unwrap_or("")
    ))
}

#[cfg(test)]
mod tests {
    use chrono::{DurationRound, TimeDelta};
    use serde_json::json;

    use super::*;
    use crate::analysis::scene::{Said, healthy_traces};

    /// Twenty healthy traces whose Modal clock is ahead by so many ms and prints whole seconds.
    fn skewed(ahead_ms: i64) -> Vec<Span> {
        let mut spans = healthy_traces(20);
        for (number, span) in spans.iter_mut().enumerate() {
            // Traces begin at different fractions of a second.
            let moved = TimeDelta::milliseconds(number as i64 / 5 * 137);
            let ahead = match span.service.as_str() {
                "modal" => TimeDelta::milliseconds(ahead_ms),
                _ => TimeDelta::zero(),
            };
            let took = span.completed_at.map(|end| end - span.started_at);
            span.started_at += moved + ahead;
            if span.service == "modal" {
                span.started_at = span
                    .started_at
                    .duration_trunc(TimeDelta::seconds(1))
                    .unwrap();
                *span = span.clone().with(meta::TIME_PRECISION, json!("s"));
            }
            span.completed_at = took.map(|took| span.started_at + took);
        }
        spans
    }

    fn estimate(spans: &[Span]) -> Skew {
        let of_trace = spans.chunk_by(|a, b| a.trace_id == b.trace_id);
        let trees: Vec<Tree<'_>> = of_trace.map(Tree::join).collect();
        let skews = Skews::estimate(&trees);
        skews.between(&spans[3], &spans[4]).unwrap()
    }

    #[test]
    fn clocks_seconds_apart_are_found_out_though_lines_carry_whole_seconds() {
        for ahead_ms in [2_600, -1_900] {
            let skew = estimate(&skewed(ahead_ms));
            let off = skew.offset_us / 1000 - ahead_ms;
            assert!(off.abs() <= 300, "{ahead_ms} ms: {skew:?}");
            assert_eq!(skew.samples, 20);
        }
    }

    #[test]
    fn no_difference_is_claimed_where_the_bounds_allow_none() {
        assert_eq!(estimate(&skewed(0)).offset_us, 0);
        assert_eq!(estimate(&healthy_traces(20)).offset_us, 0);
    }
}
