//! How long to wait before something is tried again: doubling, and short again after a long good run.

use std::time::{Duration, Instant};

/// Pauses between tries.
#[derive(Debug)]
pub(super) struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
    began: Instant,
}

impl Backoff {
    pub(super) fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            next: first,
            began: Instant::now(),
        }
    }

    /// Enters that a try begins.
    pub(super) fn begin(&mut self) {
        self.began = Instant::now();
    }

    /// Enters that a try was good, however short.
    pub(super) fn good(&mut self) {
        self.next = self.first;
    }

    /// The pause after a try that ended now. One that lasted longer than the longest pause was good.
    pub(super) fn pause(&mut self) -> Duration {
        if self.began.elapsed() > self.longest {
            self.next = self.first;
        }
        let pause = self.next;
        self.next = (self.next * 2).min(self.longest);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(5));
        let pauses: Vec<_> = (0..4).map(|_| backoff.pause().as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 5]);
    }
}
