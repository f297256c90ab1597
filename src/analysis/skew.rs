//! How far the clocks of two hosts disagree, from calls that one made and the other served.
//!
//! A callee cannot begin before it is called nor end after its caller has the answer. Every such pair
//! bounds the clock difference from both sides; many pairs close in on it. Invariant: a difference is
//! only claimed when the bounds exclude zero.

use std::collections::BTreeMap;
use std::fmt;

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

/// A host, as far as spans tell: service and region, and of a callee the container, where it has an
/// estimate of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Host<T> {
    service: T,
    region: Option<T>,
    container: Option<T>,
}

/// A caller and a callee.
type Pair<T> = (Host<T>, Host<T>);

/// Clock differences between all pairs of hosts that called each other, in the order of the pairs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Skews(Vec<(Pair<String>, Skew)>);

/// Bounds that one call sets on a clock difference, in µs.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    low: i64,
    high: i64,
}

impl Skews {
    /// Estimates from trees whose clocks were not aligned with anything but themselves.
    pub(crate) fn estimate<'a>(trees: impl IntoIterator<Item = &'a Tree<'a>>) -> Self {
        let mut bounds: BTreeMap<Pair<&str>, Vec<Bounds>> = BTreeMap::new();
        for tree in trees {
            for (caller, callee) in calls(tree) {
                let Some(found) = bounds_of(caller.span, callee.span) else {
                    continue;
                };
                let caller = Host::of(caller.span);
                for host in Host::narrow_first(callee.span) {
                    bounds.entry((caller, host)).or_default().push(found);
                }
            }
        }
        let worth = |(_, callee): &Pair<&str>, found: &[Bounds]| {
            found.len() >= ENOUGH_PER_CONTAINER || callee.container.is_none()
        };
        let pairs = bounds.into_iter();
        Self(
            pairs
                .filter(|(pair, found)| worth(pair, found))
                .map(|((caller, callee), found)| {
                    ((caller.to_owned(), callee.to_owned()), close_in(&found))
                })
                .collect(),
        )
    }

    /// What is known about the clocks of a caller and a callee: their container's, else their host's.
    pub(crate) fn between(&self, caller: &Span, callee: &Span) -> Option<Skew> {
        let caller = Host::of(caller);
        let known = |callee: Host<&str>| {
            let wanted = (caller, callee);
            let found = (self.0).binary_search_by(|((caller, callee), _)| {
                (caller.as_deref(), callee.as_deref()).cmp(&wanted)
            });
            Some(self.0[found.ok()?].1)
        };
        Host::narrow_first(callee).find_map(known)
    }

    /// The differences between hosts of a tree, in ms, by `caller → callee`.
    pub(crate) fn report(&self, tree: &Tree<'_>) -> BTreeMap<String, i64> {
        calls(tree)
            .filter_map(|(caller, callee)| {
                let skew = self.between(caller.span, callee.span)?;
                let pair = format!("{} → {}", Host::of(caller.span), Host::of(callee.span));
                Some((pair, (skew.offset_us as f64 / 1000.0).round() as i64))
            })
            .collect()
    }
}

impl<'a> Host<&'a str> {
    fn of(span: &'a Span) -> Self {
        Self {
            service: &span.service,
            region: span.region_name(),
            container: None,
        }
    }

    /// The span's container, where it names one, and its host.
    fn narrow_first(span: &'a Span) -> impl Iterator<Item = Self> {
        let host = Self::of(span);
        let container = span.text(meta::CONTAINER_ID).map(|container| Self {
            container: Some(container),
            ..host
        });
        container.into_iter().chain([host])
    }

    fn to_owned(self) -> Host<String> {
        Host {
            service: self.service.to_owned(),
            region: self.region.map(str::to_owned),
            container: self.container.map(str::to_owned),
        }
    }
}

impl Host<String> {
    fn as_deref(&self) -> Host<&str> {
        Host {
            service: &self.service,
            region: self.region.as_deref(),
            container: self.container.as_deref(),
        }
    }
}

impl fmt::Display for Host<&str> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.region {
            Some(region) => write!(to, "{}/{region}", self.service),
            None => to.write_str(self.service),
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
