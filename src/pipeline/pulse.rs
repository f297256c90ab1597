//! Whether each stage moves: since when it has been at one piece of work, seen from outside.
//!
//! Waiting for input, for the next stage or for the spool to have room is rest: nothing is wrong with a
//! pipeline that the database or a reader holds up. Work that does not end is.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The pulse of one stage.
#[derive(Debug)]
pub struct Pulse {
    name: String,
    epoch: Instant,
    /// Milliseconds from the epoch to the begin of the work under way, plus one; 0 at rest.
    since: AtomicU64,
}

impl Pulse {
    /// A piece of work begins.
    pub fn work(&self) {
        let now = self.epoch.elapsed().as_millis();
        self.since
            .store(u64::try_from(now).unwrap_or(u64::MAX - 1) + 1, Relaxed);
    }

    /// It has ended.
    pub fn rest(&self) {
        self.since.store(0, Relaxed);
    }

    /// For how long it has been at one piece of work.
    fn at_work(&self) -> Duration {
        let Some(since) = self.since.load(Relaxed).checked_sub(1) else {
            return Duration::ZERO;
        };
        self.epoch
            .elapsed()
            .saturating_sub(Duration::from_millis(since))
    }
}

/// The pulses of all stages.
#[derive(Debug, Default)]
pub(super) struct Pulses {
    all: Mutex<Vec<Arc<Pulse>>>,
}

impl Pulses {
    /// The pulse of a new stage.
    pub(super) fn of(&self, name: &str) -> Arc<Pulse> {
        let pulse = Arc::new(Pulse {
            name: name.to_owned(),
            epoch: Instant::now(),
            since: AtomicU64::new(0),
        });
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(Arc::clone(&pulse));
        pulse
    }

    /// The stage that has been at one piece of work for longer than `limit`.
    pub(super) fn stuck(&self, limit: Duration) -> Option<String> {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let stuck = all.iter().find(|pulse| pulse.at_work() > limit)?;
        let seconds = stuck.at_work().as_secs();
        Some(format!("{} has not moved for {seconds} s", stuck.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_does_not_end_is_stuck_and_rest_is_not() {
        let pulses = Pulses::default();
        let (first, second) = (pulses.of("first"), pulses.of("second"));
        first.work();
        second.work();
        second.rest();
        std::thread::sleep(Duration::from_millis(5));
        let stuck = pulses.stuck(Duration::from_millis(1)).unwrap();
        assert!(stuck.starts_with("first"), "{stuck}");
        assert_eq!(pulses.stuck(Duration::from_secs(60)), None);
        first.rest();
        assert_eq!(pulses.stuck(Duration::ZERO), None);
    }
}
