//! How many requests each caller may send: a bucket that fills steadily and lets a burst through.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// Callers remembered at once; beyond that all are forgotten, which only ever lets more through.
const MAX_CALLERS: usize = 10_000;

/// Requests each caller may send.
#[derive(Debug)]
pub struct Rate {
    per_second: f64,
    buckets: Mutex<HashMap<Arc<str>, (f64, Instant)>>,
}

impl Rate {
    /// So many requests a second, and a burst of twice as many.
    pub fn new(per_second: u32) -> Self {
        Self {
            per_second: f64::from(per_second.max(1)),
            buckets: Mutex::default(),
        }
    }

    /// Whether the caller may send one more request now.
    pub(super) fn allows(&self, caller: &Arc<str>, now: Instant) -> bool {
        // Nothing can panic while it is held.
        let mut buckets = self
            .buckets
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        if buckets.len() >= MAX_CALLERS {
            buckets.clear();
        }
        let most = self.per_second * 2.0;
        let (left, at) = buckets.entry(Arc::clone(caller)).or_insert((most, now));
        let refill = now.saturating_duration_since(*at).as_secs_f64() * self.per_second;
        *left = (*left + refill).min(most);
        *at = now;
        if *left < 1.0 {
            return false;
        }
        *left -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_goes_through_then_the_steady_rate_and_other_callers_are_not_held_up() {
        let (rate, now) = (Rate::new(10), Instant::now());
        let (one, two): (Arc<str>, Arc<str>) = ("one".into(), "two".into());
        let allowed = (0..100).filter(|_| rate.allows(&one, now)).count();
        assert_eq!(allowed, 20);
        assert!(rate.allows(&two, now));
        let later = now + Duration::from_secs(1);
        let allowed = (0..100).filter(|_| rate.allows(&one, later)).count();
        assert_eq!(allowed, 10);
    }
}
