//! What has been learned about how printed spans and their callers go together, and what a pair costs
//! by it.
//!
//! Invariant: with nothing learned every figure is a broad default, so that a first span can be linked
//! when nothing else is near; everything that follows sharpens it.

use std::collections::HashMap;

use super::density::{BIN, Density};
use super::evidence::{Caller, Evidence, State};
use super::printed::{Printed, Times, Window};
use super::trace::Closeness;

const SECOND: f64 = 1e6;

/// How many examples earlier experience of habits is worth at most.
const MOST: f64 = 1_000.0;
/// Containers whose clocks are remembered; they come and go, and most are never seen again.
const MOST_CONTAINERS: usize = 10_000;

/// What linking has taught so far; the default knows nothing.
#[derive(Debug, Clone, Default)]
pub struct Knowledge {
    // For each clock, by name: offsets to callers of each kind, where there have been any.
    pub(super) clocks: HashMap<String, [Option<Channel>; 3]>,
    /// By how many seconds the clock of a container is ahead of its region's.
    pub(super) containers: HashMap<String, f64>,
    pub(super) habits: Habits,
}

impl Knowledge {
    /// Whether nothing was learned yet.
    pub fn is_empty(&self) -> bool {
        self.clocks.is_empty()
    }

    pub(super) fn ahead(&self, one: &Printed<'_>) -> f64 {
        let offset = one.container.and_then(|id| self.containers.get(id));
        offset.copied().unwrap_or(0.0)
    }

    /// What is known of a clock and a kind of caller, else something broader near it.
    pub(super) fn channel(&self, clock: &str, closeness: Closeness) -> Channel {
        let Some(channels) = self.clocks.get(clock) else {
            return Channel::broad(EXPECTED.0, EXPECTED.1, 1.2);
        };
        if let Some(channel) = &channels[closeness as usize] {
            return channel.clone();
        }
        let near = channels.iter().flatten().next();
        near.map_or_else(
            || Channel::broad(EXPECTED.0, EXPECTED.1, 1.2),
            |near| Channel::broad(near.start.centre(), near.end.centre(), 0.7),
        )
    }

    /// Forgets containers once there are too many of them.
    pub(super) fn stay_small(&mut self, evidence: &Evidence<'_>) {
        if self.containers.len() > MOST_CONTAINERS {
            let present: std::collections::HashSet<_> = evidence
                .printed
                .iter()
                .filter_map(|one| one.container)
                .collect();
            self.containers
                .retain(|id, _| present.contains(id.as_str()));
        }
    }
}

/// Start and end offset of a pair when nothing is known, in seconds.
pub(super) const EXPECTED: (f64, f64) = (0.3, 0.1);

/// Offsets between printed spans read from one clock and callers of one kind.
#[derive(Debug, Clone)]
pub(super) struct Channel {
    /// From the caller's start to the printed start.
    pub(super) start: Density,
    /// From the printed end to the caller's end.
    pub(super) end: Density,
}

impl Channel {
    /// Broad offsets around a start and an end offset, in seconds.
    pub(super) fn broad(start: f64, end: f64, scale: f64) -> Self {
        Self {
            start: Density::broad(start, scale, 0.01, 0.06),
            end: Density::broad(end, scale, 0.04, 0.04),
        }
    }

    /// The same for a clock that is set forward.
    pub(super) fn set_forward(&self, by: f64) -> Self {
        Self {
            start: self.start.shifted(by),
            end: self.end.shifted(-by),
        }
    }

    /// Density of the pair's times, per second or per square second.
    pub(super) fn fit(&self, times: Times, ahead: f64, caller: &Caller<'_>) -> f64 {
        let start = |window: Window| {
            let (at, steps) = first_step(window);
            self.start
                .mean((at - caller.from) as f64 / SECOND - ahead, steps)
        };
        let end = |window: Window| {
            let (at, steps) = first_step(window);
            // The further into the window, the less is left before the caller's end.
            let lowest = (at - caller.to?) as f64 / SECOND + (steps - 1) as f64 * BIN;
            Some(self.end.mean(ahead - lowest, steps))
        };
        match times {
            Times::Start(window) => start(window),
            Times::Length(window, took) => {
                let Some(to) = caller.to else {
                    return start(window);
                };
                let (at, steps) = first_step(window);
                let after_start = (at - caller.from) as f64 / SECOND - ahead;
                let before_end = (to - at - took) as f64 / SECOND + ahead;
                self.start
                    .mean_against(after_start, &self.end, before_end, steps)
            }
            Times::Both(from, to) => start(from) * end(to).unwrap_or(1.0),
            Times::End(window) => end(window).unwrap_or(1.0),
        }
    }
}

/// Windows are looked at once a bin: the first time and the number of them.
pub(super) fn first_step(window: Window) -> (i64, usize) {
    let bin = (BIN * SECOND) as i64;
    let steps = (window.width / bin).max(1);
    (window.from + window.width.min(bin) / 2, steps as usize)
}

/// Frequencies that hold for all clocks.
#[derive(Debug, Clone)]
pub(super) struct Habits {
    /// By kind and state of the caller: callers with a printed span inside, callers without.
    pub(super) calls: HashMap<(Closeness, State), (f64, f64)>,
    /// By the caller's state, how often the printed span is in each state.
    pub(super) states: HashMap<State, [f64; State::COUNT]>,
    /// Printed spans without a caller, and all of them.
    pub(super) strays: (f64, f64),
}

impl Default for Habits {
    fn default() -> Self {
        let mut calls = HashMap::new();
        for (closeness, weight) in Closeness::ALL.into_iter().zip([1.0, 0.3, 0.1]) {
            calls.insert((closeness, State::Completed), (9.0 * weight, 1.0));
            for state in [State::Open, State::Failed, State::Timeout] {
                calls.insert((closeness, state), (2.0 * weight, 2.0));
            }
        }
        // In the order open, completed, failed, timeout.
        let states = HashMap::from([
            (State::Open, [4.0, 2.0, 1.0, 0.5]),
            (State::Completed, [0.4, 8.0, 0.4, 0.2]),
            (State::Failed, [1.0, 2.0, 4.0, 1.0]),
            (State::Timeout, [2.0, 2.0, 1.0, 2.0]),
        ]);
        Self {
            calls,
            states,
            strays: (0.5, 20.0),
        }
    }
}

impl Habits {
    /// Earlier experience, so that what happens now can still change it.
    pub(super) fn faded(&self) -> Self {
        let mut habits = self.clone();
        let fade = |all: f64| (MOST / all).min(1.0);
        for (with, without) in habits.calls.values_mut() {
            let by = fade(*with + *without);
            (*with, *without) = (*with * by, *without * by);
        }
        for counts in habits.states.values_mut() {
            let by = fade(counts.iter().sum());
            counts.iter_mut().for_each(|count| *count *= by);
        }
        let by = fade(habits.strays.1);
        habits.strays = (habits.strays.0 * by, habits.strays.1 * by);
        habits
    }

    /// How much likelier a caller has a printed span inside than not.
    pub(super) fn odds(&self, caller: &Caller<'_>) -> f64 {
        let key = (caller.closeness, caller.state);
        self.calls
            .get(&key)
            .map_or(1.0, |(with, without)| with / without)
    }

    /// Probability of a printed span's state, given the caller's or in general.
    pub(super) fn state(&self, printed: State, caller: Option<State>) -> f64 {
        let share = |rows: &mut dyn Iterator<Item = &[f64; State::COUNT]>| {
            let (mut hits, mut all) = (0.0, 0.0);
            for row in rows {
                hits += row[printed as usize];
                all += row.iter().sum::<f64>();
            }
            hits / all
        };
        match caller {
            Some(caller) => share(&mut self.states.get(&caller).into_iter()),
            None => share(&mut self.states.values()),
        }
    }
}
