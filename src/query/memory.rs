//! What was expensive to find out is kept for a while, so that a question that many ask at once, or one
//! again and again, does not cost the database each time.
//!
//! Invariants: what took less than [`WORTH`] is never kept, so that on a small database every answer is
//! of this moment; what is kept has a greatest age, less the less it cost; of callers that want the same
//! at once one finds it out; an error is never kept.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// What takes less is found out every time.
const WORTH: Duration = Duration::from_millis(10);

/// Values by their question.
#[derive(Debug)]
pub(super) struct Memory<V> {
    slots: Mutex<HashMap<String, Arc<Slot<V>>>>,
    /// Values kept at once; beyond that the oldest is forgotten, which only ever costs time.
    most: usize,
    /// How many times as long a value is kept as it took: what it may cost at most, upside down.
    times: u32,
    /// Nothing is handed out that is older.
    longest: Duration,
}

#[derive(Debug)]
struct Slot<V> {
    kept: Mutex<Option<Kept<V>>>,
    /// Held by the caller that finds the value out.
    finding: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Kept<V> {
    value: V,
    found: Instant,
    /// Good for everybody until this age, and for twice as long while somebody finds it out anew.
    good: Duration,
}

impl<V: Clone> Memory<V> {
    /// Keeps up to `most` values, each `times` as long as it took to find but not longer than `longest`.
    pub(super) fn new(most: usize, times: u32, longest: Duration) -> Self {
        Self {
            slots: Mutex::default(),
            most,
            times,
            longest,
        }
    }

    /// The value that is kept under this key.
    pub(super) fn fresh(&self, key: &str) -> Option<V> {
        let slot = lock(&self.slots).get(key).map(Arc::clone)?;
        slot.fresh(1)
    }

    /// The value that is kept under this key, or the one that `find` finds.
    pub(super) async fn recall<E>(
        &self,
        key: String,
        find: impl Future<Output = Result<V, E>>,
    ) -> Result<V, E> {
        let slot = self.slot(key);
        if let Some(value) = slot.fresh(1) {
            return Ok(value);
        }
        let _finding = match slot.finding.try_lock() {
            Ok(guard) => guard,
            Err(_) => {
                if let Some(value) = slot.fresh(2) {
                    return Ok(value);
                }
                slot.finding.lock().await
            }
        };
        // Somebody else may have found it while this one waited.
        if let Some(value) = slot.fresh(1) {
            return Ok(value);
        }
        let began = Instant::now();
        let value = find.await?;
        let took = began.elapsed();
        let kept = (took >= WORTH).then(|| Kept {
            value: value.clone(),
            found: Instant::now(),
            good: (took * self.times).min(self.longest / 2),
        });
        *lock(&slot.kept) = kept;
        Ok(value)
    }

    fn slot(&self, key: String) -> Arc<Slot<V>> {
        let mut slots = lock(&self.slots);
        if slots.len() >= self.most && !slots.contains_key(&key) {
            slots.retain(|_, slot| slot.is_good(2));
        }
        if slots.len() >= self.most && !slots.contains_key(&key) {
            let found = slots
                .iter()
                .filter_map(|(key, slot)| Some((slot.found()?, key)));
            if let Some(oldest) = found.min().map(|(_, key)| key.clone()) {
                slots.remove(&oldest);
            }
        }
        let slot = slots.entry(key).or_insert_with(|| {
            Arc::new(Slot {
                kept: Mutex::new(None),
                finding: tokio::sync::Mutex::new(()),
            })
        });
        Arc::clone(slot)
    }
}

impl<V: Clone> Slot<V> {
    fn found(&self) -> Option<Instant> {
        lock(&self.kept).as_ref().map(|kept| kept.found)
    }

    fn fresh(&self, times: u32) -> Option<V> {
        let kept = lock(&self.kept);
        let good = kept.as_ref().filter(|kept| kept.is_good(times));
        good.map(|kept| kept.value.clone())
    }

    fn is_good(&self, times: u32) -> bool {
        lock(&self.kept)
            .as_ref()
            .is_some_and(|kept| kept.is_good(times))
    }
}

impl<V> Kept<V> {
    fn is_good(&self, times: u32) -> bool {
        self.found.elapsed() < self.good * times
    }
}

/// Nothing can panic while one of them is held.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// Finds a running number, in this time.
    async fn next(count: &AtomicU32, takes: Duration) -> Result<u32, ()> {
        std::thread::sleep(takes);
        Ok(count.fetch_add(1, Ordering::Relaxed))
    }

    #[tokio::test]
    async fn what_cost_little_is_found_out_anew_and_what_cost_much_is_kept() {
        let (memory, count) = (
            Memory::new(4, 1000, Duration::from_secs(60)),
            AtomicU32::new(0),
        );
        for expected in [0, 1] {
            let found = memory.recall("cheap".to_owned(), next(&count, Duration::ZERO));
            assert_eq!(found.await, Ok(expected));
        }
        for _ in 0..3 {
            let found = memory.recall("dear".to_owned(), next(&count, WORTH));
            assert_eq!(found.await, Ok(2));
        }
    }

    #[tokio::test]
    async fn callers_at_once_share_one_search_and_an_error_is_not_kept() {
        let (memory, count) = (
            Memory::new(4, 1000, Duration::from_secs(60)),
            AtomicU32::new(0),
        );
        let failed: Result<u32, &str> =
            memory.recall("key".to_owned(), async { Err("away") }).await;
        assert_eq!(failed, Err("away"));
        let slow = async || {
            tokio::time::sleep(WORTH * 3).await;
            next(&count, Duration::ZERO).await
        };
        let ask = || memory.recall("key".to_owned(), slow());
        assert_eq!(tokio::join!(ask(), ask(), ask()), (Ok(0), Ok(0), Ok(0)));
    }

    #[tokio::test]
    async fn no_more_is_kept_than_there_is_room_for() {
        let (memory, count) = (
            Memory::new(2, 1000, Duration::from_secs(60)),
            AtomicU32::new(0),
        );
        for key in ["a", "b", "c", "c"] {
            let _found = memory.recall(key.to_owned(), next(&count, WORTH)).await;
        }
        assert_eq!(count.load(Ordering::Relaxed), 3);
        assert!(lock(&memory.slots).len() <= 2);
    }
}
