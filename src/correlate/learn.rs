//! Learning from the evidence itself how offsets are distributed: a few rounds of "assign by what is
//! known, learn from what is certain".
//!
//! Invariants: only pairs that are much more likely right than wrong teach anything, and however much
//! evidence there is, a bounded part of it is learned from.

use std::collections::HashMap;
use std::ops::Range;

use super::clocks;
use super::cost::Costs;
use super::density::{BIN, Examples};
use super::evidence::{Caller, Evidence};
use super::knowledge::{Channel, Habits, Knowledge, first_step};
use super::matching::{Choice, Problem};
use super::printed::{Printed, Times, Window};

/// Rounds of assigning and learning; the fit no longer changes after a handful, and hardly from the start when
/// there is something known to start from.
const ROUNDS: (usize, usize) = (5, 2);
/// A pair below this confidence teaches nothing.
const CERTAIN: f64 = 0.7;
/// Edges that are worse than staying alone by more than this many nats are left out.
const HOPELESS: f64 = 7.0;
/// Printed spans that one lesson looks at. Some thousand examples settle a distribution.
const LESSON: usize = 3_000;

/// Learns from the printed spans that began at or after `since` (in µs), on top of `before`.
pub(super) fn learn(evidence: &Evidence<'_>, since: i64, before: &Knowledge) -> Knowledge {
    let fresh = evidence.printed.partition_point(|one| one.at() < since);
    let rows = fresh..evidence.printed.len().min(fresh + LESSON);
    let before = clocks::set(evidence, rows.clone(), before.clone());
    let mut knowledge = before.clone();
    let rounds = if before.is_empty() {
        ROUNDS.0
    } else {
        ROUNDS.1
    };
    for _ in 0..rounds {
        let costs = Costs::new(evidence, &knowledge);
        let choices = assign(&costs, rows.clone());
        knowledge = teach(&costs, rows.clone(), &choices, &before);
    }
    knowledge.stay_small(evidence);
    knowledge
}

/// The best total assignment of the given printed spans; columns are callers.
pub(super) fn assign(costs: &Costs<'_, '_>, rows: Range<usize>) -> Vec<Choice> {
    let evidence = costs.evidence;
    let mut problem = Problem::new(evidence.callers.len());
    for row in rows {
        let one = &evidence.printed[row];
        let mut alone = costs.alone(one);
        // What the lines said is no matter of likelihood.
        if one.said.names_trace() {
            alone += 1_000.0;
        }
        let edges = evidence.candidates[row]
            .iter()
            .map(|&caller| (caller, costs.inside(one, &evidence.callers[caller])))
            .filter(|(_, cost)| *cost < alone + HOPELESS)
            .collect();
        problem.add_row(alone, edges);
    }
    problem.solve()
}

/// One round: what the choices teach, on top of what was known before.
fn teach(
    costs: &Costs<'_, '_>,
    rows: Range<usize>,
    choices: &[Choice],
    before: &Knowledge,
) -> Knowledge {
    let evidence = costs.evidence;
    let priors = Costs::new(evidence, before);
    let mut lessons: HashMap<(usize, usize), Lesson<'_>> = HashMap::new();
    let mut habits = before.habits.faded();
    let mut used = vec![0.0; evidence.callers.len()];
    let mut by_container: HashMap<&str, Vec<(&Printed<'_>, &Caller<'_>)>> = HashMap::new();
    for (row, choice) in rows.clone().zip(choices) {
        let one = &evidence.printed[row];
        if choice.confidence < CERTAIN || evidence.candidates[row].is_empty() {
            continue;
        }
        habits.strays.1 += 1.0;
        let Some(column) = choice.column else {
            habits.strays.0 += 1.0;
            continue;
        };
        let caller = &evidence.callers[column];
        used[column] = choice.confidence;
        if let Some(states) = habits.states.get_mut(&caller.state) {
            states[one.state as usize] += choice.confidence;
        }
        if let Some(container) = one.container {
            by_container
                .entry(container)
                .or_default()
                .push((one, caller));
        }
        lessons
            .entry((one.clock, caller.closeness as usize))
            .or_insert_with(|| Lesson::new(costs.channel(one, caller), priors.channel(one, caller)))
            .add(one, caller, costs.knowledge.ahead(one), choice.confidence);
    }
    count_calls(evidence, rows, &used, &mut habits);
    let mut clocks = before.clocks.clone();
    for ((clock, closeness), lesson) in lessons {
        let channels = clocks.entry(evidence.clocks[clock].clone()).or_default();
        channels[closeness] = Some(lesson.learn());
    }
    Knowledge {
        clocks,
        habits,
        containers: clocks::refine(costs, &by_container),
    }
}

/// Counts callers with and without a printed span inside, while the log was being read.
fn count_calls(evidence: &Evidence<'_>, rows: Range<usize>, used: &[f64], habits: &mut Habits) {
    let (Some(first), Some(last)) = (
        evidence.printed.get(rows.start),
        evidence.printed.get(rows.end.saturating_sub(1)),
    ) else {
        return;
    };
    for (caller, &used) in evidence.callers.iter().zip(used) {
        if caller.from < first.at() || caller.from > last.at() {
            continue;
        }
        if let Some((with, without)) = habits.calls.get_mut(&(caller.closeness, caller.state)) {
            *with += used;
            *without += 1.0 - used;
        }
    }
}

/// Examples for one channel.
struct Lesson<'a> {
    // What says where in its window an example lies.
    known: &'a Channel,
    start: Examples<'a>,
    end: Examples<'a>,
}

impl<'a> Lesson<'a> {
    fn new(known: &'a Channel, prior: &'a Channel) -> Self {
        Self {
            known,
            start: Examples::new(&prior.start),
            end: Examples::new(&prior.end),
        }
    }

    /// Spreads one pair over where its times can have been.
    fn add(&mut self, one: &Printed<'_>, caller: &Caller<'_>, ahead: f64, weight: f64) {
        let after_start = |at: f64| at - caller.from as f64 / 1e6 - ahead;
        let before_end = |at: f64| Some(caller.to? as f64 / 1e6 - at + ahead);
        let pair = |window: Window, took: f64| -> Vec<(Option<f64>, Option<f64>)> {
            times_in(window)
                .map(|at| (Some(after_start(at)), before_end(at + took)))
                .collect()
        };
        let start = |window: Window| -> Vec<(Option<f64>, Option<f64>)> {
            times_in(window)
                .map(|at| (Some(after_start(at)), None))
                .collect()
        };
        let end = |window: Window| -> Vec<(Option<f64>, Option<f64>)> {
            times_in(window).map(|at| (None, before_end(at))).collect()
        };
        match one.times {
            Times::Length(window, took) => self.spread(&pair(window, took as f64 / 1e6), weight),
            Times::Start(window) => self.spread(&start(window), weight),
            Times::Both(from, to) => {
                self.spread(&start(from), weight);
                self.spread(&end(to), weight);
            }
            Times::End(window) => self.spread(&end(window), weight),
        }
    }

    /// Adds one example that is at one of several (start, end) offsets, as likely as is known.
    fn spread(&mut self, offsets: &[(Option<f64>, Option<f64>)], weight: f64) {
        let fit = |(start, end): &(Option<f64>, Option<f64>)| {
            start.map_or(1.0, |x| self.known.start.at(x))
                * end.map_or(1.0, |x| self.known.end.at(x))
        };
        let fits: Vec<f64> = offsets.iter().map(fit).collect();
        let total: f64 = fits.iter().sum();
        if total <= 0.0 {
            return;
        }
        for ((start, end), fit) in offsets.iter().zip(fits) {
            let share = weight * fit / total;
            if let Some(start) = start {
                self.start.add(*start, share);
            }
            if let Some(end) = end {
                self.end.add(*end, share);
            }
        }
    }

    fn learn(self) -> Channel {
        Channel {
            start: self.start.learn(),
            end: self.end.learn(),
        }
    }
}

/// The times in a window, once a bin, in seconds since 1970.
fn times_in(window: Window) -> impl Iterator<Item = f64> {
    let (first, steps) = first_step(window);
    (0..steps).map(move |step| first as f64 / 1e6 + step as f64 * BIN)
}
