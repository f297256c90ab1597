//! Where the clocks stand: by how much the clock of a region's hosts, and of each container that has
//! printed enough, is ahead of the callers'.
//!
//! A vote: every pair whose lengths go together speaks for the offset that it would mean. True pairs
//! agree, chance pairs scatter. Invariant: a container gets an offset of its own only when most of
//! its spans speak for it and few for that of its region.

use std::collections::HashMap;
use std::ops::Range;

use super::cost::Costs;
use super::evidence::{Caller, Evidence, State};
use super::knowledge::{Channel, EXPECTED, Knowledge, first_step};
use super::printed::{Printed, Times};
use super::trace::Closeness;

/// Spans that a container must have printed before it can have an offset of its own.
const ENOUGH: usize = 6;
/// Pairs of one container that are looked at to place its clock exactly.
const SAMPLE: usize = 64;
/// A container's clock is moved when its pairs fit better by this many nats.
const WORTH_MOVING: f64 = 4.0;
/// Width of a ballot box in seconds.
const BOX: f64 = 0.1;
/// Offsets from minus this to three times this many seconds are voted on.
const WIDEST: f64 = 15.0;

/// Sets the clocks by the votes of the given printed spans: those that are new, those that have been
/// set since, and those of containers that are out of step with their region.
pub(super) fn set(
    evidence: &Evidence<'_>,
    rows: Range<usize>,
    mut knowledge: Knowledge,
) -> Knowledge {
    let is_new = |name: &String| !knowledge.clocks.contains_key(name);
    let new: Vec<bool> = evidence.clocks.iter().map(is_new).collect();
    // Twice, because containers that are out of step blur their region's vote.
    for _ in 0..2 {
        let votes = Votes::count(evidence, rows.clone(), &knowledge);
        for (clock, name) in evidence.clocks.iter().enumerate() {
            let ballot = &votes.clocks[clock];
            let closest = Closeness::ModalCall as usize;
            if new[clock] && ballot.cast > 0.0 {
                let channels = knowledge.clocks.entry(name.clone()).or_default();
                channels[closest] = Some(ballot.channel());
            } else if let Some(channels) = knowledge.clocks.get_mut(name) {
                let known = channels.iter().flatten().next();
                if let Some(by) = known.and_then(|known| ballot.ahead_of(known)) {
                    for channel in channels.iter_mut().flatten() {
                        *channel = channel.set_forward(by);
                    }
                }
            }
        }
        for (container, (clock, ballot)) in votes.containers {
            let channel = knowledge.channel(&evidence.clocks[clock], Closeness::ModalCall);
            if let Some(further) = ballot.ahead_of(&channel) {
                *knowledge
                    .containers
                    .entry(container.to_owned())
                    .or_default() += further;
            }
        }
    }
    knowledge
}

/// Places the clocks of containers exactly, by how well their pairs fit.
pub(super) fn refine(
    costs: &Costs<'_, '_>,
    pairs: &HashMap<&str, Vec<(&Printed<'_>, &Caller<'_>)>>,
) -> HashMap<String, f64> {
    let before = &costs.knowledge.containers;
    let mut offsets = before.clone();
    for (container, pairs) in pairs.iter().filter(|(_, pairs)| pairs.len() >= ENOUGH) {
        let now = before.get(*container).copied().unwrap_or(0.0);
        let sample = &pairs[..pairs.len().min(SAMPLE)];
        let fit = |ahead: f64| -> f64 {
            let nats = |(one, caller): &(&Printed<'_>, &Caller<'_>)| {
                costs
                    .channel(one, caller)
                    .fit(one.times, ahead, caller)
                    .ln()
            };
            sample.iter().map(nats).sum()
        };
        let here = fit(now);
        let mut best = (here + WORTH_MOVING, now);
        for step in (-12..=12).filter(|step| *step != 0) {
            let ahead = now + f64::from(step) * 0.05;
            let there = fit(ahead);
            if there > best.0 {
                best = (there, ahead);
            }
        }
        if best.1 != now {
            offsets.insert((*container).to_owned(), best.1);
        }
    }
    offsets
}

/// Votes for offsets: in `start` from the caller's start to the printed one, in `end` from the printed
/// end to the caller's.
#[derive(Debug, Clone)]
struct Ballot {
    start: Vec<f64>,
    end: Vec<f64>,
    cast: f64,
}

struct Votes<'a> {
    clocks: Vec<Ballot>,
    // With the clock that the container's times are read from.
    containers: HashMap<&'a str, (usize, Ballot)>,
}

impl<'a> Votes<'a> {
    fn count(evidence: &Evidence<'a>, rows: Range<usize>, knowledge: &Knowledge) -> Self {
        let mut spans: HashMap<&str, usize> = HashMap::new();
        for container in evidence.printed[rows.clone()]
            .iter()
            .filter_map(|one| one.container)
        {
            *spans.entry(container).or_default() += 1;
        }
        let mut votes = Self {
            clocks: vec![Ballot::new(); evidence.clocks.len()],
            containers: HashMap::new(),
        };
        for row in rows {
            let (one, candidates) = (&evidence.printed[row], &evidence.candidates[row]);
            let ahead = knowledge.ahead(one);
            let cast = |ballot: &mut Ballot| ballot.cast(evidence, one, candidates, ahead);
            cast(&mut votes.clocks[one.clock]);
            if let Some(container) = one.container.filter(|id| spans[id] >= ENOUGH) {
                let new = || (one.clock, Ballot::new());
                cast(&mut votes.containers.entry(container).or_insert_with(new).1);
            }
        }
        votes
    }
}

impl Ballot {
    fn new() -> Self {
        let boxes = (4.0 * WIDEST / BOX) as usize;
        Self {
            start: vec![0.0; boxes],
            end: vec![0.0; boxes],
            cast: 0.0,
        }
    }

    /// One span, one vote, split over its candidates.
    fn cast(
        &mut self,
        evidence: &Evidence<'_>,
        one: &Printed<'_>,
        candidates: &[usize],
        ahead: f64,
    ) {
        let Times::Length(window, took) = one.times else {
            return;
        };
        let callers = candidates.iter().map(|&at| &evidence.callers[at]);
        let weights: Vec<_> = callers
            .filter_map(|caller| Some((caller, caller.to?, plausible(one, caller, took)?)))
            .collect();
        let total: f64 = weights.iter().map(|(.., weight)| weight).sum();
        if total <= 0.0 {
            return;
        }
        self.cast += 1.0;
        // A few points of the window are enough for boxes of this size.
        let (first, steps) = first_step(window);
        let points = steps.min(10);
        for (caller, to, weight) in weights {
            let weight = weight / total / points as f64;
            for point in 0..points {
                let at = first + window.width * point as i64 / points as i64;
                put(
                    &mut self.start,
                    (at - caller.from) as f64 / 1e6 - ahead,
                    weight,
                );
                put(&mut self.end, (to - at - took) as f64 / 1e6 + ahead, weight);
            }
        }
    }

    fn channel(&self) -> Channel {
        let start = winner(&self.start, EXPECTED.0);
        let end = winner(&self.end, EXPECTED.1);
        Channel::broad(start, end, 0.35 + 1.5 / (self.cast + 1.0).sqrt())
    }

    /// By how much this container is ahead of the channel's clock, where that is beyond doubt.
    fn ahead_of(&self, channel: &Channel) -> Option<f64> {
        let support = |ahead: f64| {
            near(&self.start, channel.start.centre() + ahead)
                + near(&self.end, channel.end.centre() - ahead)
        };
        let steps = (WIDEST / BOX) as i32;
        let ahead = (-steps..=steps)
            .map(|step| f64::from(step) * BOX)
            .max_by(|a, b| support(*a).total_cmp(&support(*b)))?;
        let beyond_doubt = self.cast >= ENOUGH as f64
            && support(ahead) > self.cast
            && support(0.0) < 0.5 * support(ahead);
        beyond_doubt.then_some(ahead)
    }
}

fn put(boxes: &mut [f64], x: f64, weight: f64) {
    let at = (x + WIDEST) / BOX;
    if let (true, Some(slot)) = (at >= 0.0, boxes.get_mut(at as usize)) {
        *slot += weight;
    }
}

/// Votes within half a second of an offset.
fn near(boxes: &[f64], x: f64) -> f64 {
    let reach = (0.5 / BOX) as usize;
    let at = ((x + WIDEST) / BOX).max(0.0) as usize;
    let from = at.saturating_sub(reach).min(boxes.len());
    boxes[from..(at + reach + 1).min(boxes.len())].iter().sum()
}

/// The middle of the best-supported second, with a mild preference for what is expected.
fn winner(boxes: &[f64], expected: f64) -> f64 {
    let support = |x: f64| near(boxes, x) + 0.5 * (-(x - expected).abs() / 2.0).exp();
    (0..boxes.len())
        .map(|at| (at as f64 + 0.5) * BOX - WIDEST)
        .max_by(|a, b| support(*a).total_cmp(&support(*b)))
        .unwrap_or(expected)
}

/// How well the lengths of a pair go together, whatever the clocks say; `None` when not at all.
fn plausible(one: &Printed<'_>, caller: &Caller<'_>, took: i64) -> Option<f64> {
    let slack = (caller.to? - caller.from - took) as f64 / 1e6;
    // A caller that gave up early says nothing about clocks.
    let lengths = (slack > -0.05).then(|| 1.0 / (slack + 1.0))?;
    let states = match (one.state, caller.state) {
        (State::Completed, State::Completed) | (State::Failed, State::Failed) => 1.0,
        _ => 0.2,
    };
    let closeness = [1.0, 0.3, 0.1][caller.closeness as usize];
    Some(lengths * states * closeness)
}
