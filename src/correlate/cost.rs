//! What each explanation of a printed span costs: that it ran inside a given caller, or that its
//! caller is not among those we see. Costs are negative log-likelihoods.
//!
//! Invariant: both speak of the same observation (start, length and state of the span), so that they
//! can be weighed against each other.

use std::collections::HashMap;

use super::evidence::{Caller, Evidence};
use super::knowledge::{Channel, Knowledge};
use super::printed::Printed;
use super::trace::Closeness;

const SECOND: f64 = 1e6;

/// What is known, applied to the evidence at hand.
pub(super) struct Costs<'e, 'a> {
    pub(super) evidence: &'e Evidence<'a>,
    pub(super) knowledge: &'e Knowledge,
    // For each clock and closeness.
    channels: Vec<[Channel; 3]>,
    lengths: HashMap<Block<'a>, Lengths>,
}

/// Model and region.
type Block<'a> = (Option<&'a str>, Option<&'a str>);

impl<'e, 'a> Costs<'e, 'a> {
    pub(super) fn new(evidence: &'e Evidence<'a>, knowledge: &'e Knowledge) -> Self {
        let channels = evidence
            .clocks
            .iter()
            .map(|clock| Closeness::ALL.map(|closeness| knowledge.channel(clock, closeness)))
            .collect();
        let mut lengths: HashMap<_, Lengths> = HashMap::new();
        for one in &evidence.printed {
            lengths.entry((one.model, one.region)).or_default().add(one);
        }
        Self {
            evidence,
            knowledge,
            channels,
            lengths,
        }
    }

    /// What it costs that the printed span ran inside the caller, against that the caller has
    /// nothing printed inside.
    pub(super) fn inside(&self, one: &Printed<'a>, caller: &Caller<'_>) -> f64 {
        let ahead = self.knowledge.ahead(one);
        let mut fit = self.channel(one, caller).fit(one.times, ahead, caller);
        if caller.to.is_none() {
            fit *= self.length(one);
        }
        let habits = &self.knowledge.habits;
        -(fit * habits.state(one.state, Some(caller.state)) * habits.odds(caller)).ln()
    }

    /// What it costs that the span's caller is not among those we see.
    pub(super) fn alone(&self, one: &Printed<'a>) -> f64 {
        let habits = &self.knowledge.habits;
        let rate = self.lengths_of(one).map_or(1.0, Lengths::rate);
        let share = habits.strays.0 / habits.strays.1;
        -(share * rate * self.length(one) * habits.state(one.state, None)).ln()
    }

    pub(super) fn channel(&self, one: &Printed<'_>, caller: &Caller<'_>) -> &Channel {
        &self.channels[one.clock][caller.closeness as usize]
    }

    fn lengths_of(&self, one: &Printed<'a>) -> Option<&Lengths> {
        self.lengths.get(&(one.model, one.region))
    }

    /// Density of the span's length among those of its kind; 1 where it has none.
    fn length(&self, one: &Printed<'a>) -> f64 {
        match (one.took(), self.lengths_of(one)) {
            (Some(took), Some(lengths)) => lengths.density(took),
            _ => 1.0,
        }
    }
}

/// How long the printed spans of a model and region take, and how often they come.
#[derive(Debug, Default)]
struct Lengths {
    // Counts by the logarithm of the length.
    bins: HashMap<i32, f64>,
    timed: f64,
    all: f64,
    first: i64,
    last: i64,
}

impl Lengths {
    /// Bins to a factor of e.
    const STEPS: f64 = 5.0;
    /// Lengths below this look the same, in seconds.
    const SHORTEST: f64 = 0.05;

    fn bin(took: i64) -> i32 {
        ((took as f64 / SECOND + Self::SHORTEST).ln() * Self::STEPS).floor() as i32
    }

    fn add(&mut self, one: &Printed<'_>) {
        if self.all == 0.0 {
            (self.first, self.last) = (one.at(), one.at());
        }
        self.first = self.first.min(one.at());
        self.last = self.last.max(one.at());
        self.all += 1.0;
        if let Some(took) = one.took() {
            *self.bins.entry(Self::bin(took)).or_default() += 1.0;
            self.timed += 1.0;
        }
    }

    /// Density of a length per second: counted, and flat over the orders of magnitude at first.
    fn density(&self, took: i64) -> f64 {
        let seconds = took as f64 / SECOND + Self::SHORTEST;
        let at = Self::bin(took);
        let count = |at: i32| self.bins.get(&at).copied().unwrap_or(0.0);
        let near = 0.5 * count(at) + 0.25 * (count(at - 1) + count(at + 1));
        // About ten orders of e lie between a twentieth of a second and half an hour.
        let flat = 1.0 / (10.0 * Self::STEPS);
        (near + 4.0 * flat) / (self.timed + 4.0) * Self::STEPS / seconds
    }

    /// Spans per second.
    fn rate(&self) -> f64 {
        let seconds = (self.last - self.first) as f64 / SECOND;
        self.all / seconds.max(60.0)
    }
}
