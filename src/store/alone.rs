//! What a process knows of the table because it alone has written rows of ours there: the first load of a log
//! looks nothing up, which is a tenth of the database's work.
//!
//! Who finds that there are no such rows enters itself as the writer of a shard, in `shard_writers`, and from
//! then on remembers the keys of what it writes, in a Bloom filter. As long as it is still entered, as seen
//! under the shard's lock, the shard holds no rows but its own, so that a key which it does not remember has
//! none. Who else writes to a shard enters itself there first, which ends that. Rows that a restored backup
//! brings back meanwhile are known to nobody.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64;

use crate::model::SpanKey;

/// Lines of the filter, 1 MiB: of a million keys that are new it takes one in forty for known, of four million
/// every second one. Those are looked up.
const LINES: usize = 1 << 14;
/// Bits of a line that a key sets.
const HASHES: u32 = 4;

/// One process as a writer.
#[derive(Debug)]
pub(super) struct Alone {
    writer: Uuid,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// To which nobody else has written.
    shards: BTreeSet<usize>,
    /// First ids of keys that may have rows there; none when there is no such shard.
    keys: Option<Keys>,
}

/// A Bloom filter that keeps the bits of a key in one line of the processor's caches, so that a key costs one
/// look into memory instead of four (Putze, Sanders and Singler, "Cache-, Hash- and Space-Efficient Bloom
/// Filters", 2007).
#[derive(Debug)]
struct Keys(Box<[Line]>);

#[derive(Debug, Clone, Default)]
#[repr(align(64))]
struct Line([u64; 8]);

impl Keys {
    fn new() -> Self {
        Self(vec![Line::default(); LINES].into())
    }

    /// Enters a key by its hash; whether it may have been there before.
    fn insert(&mut self, hash: u64) -> bool {
        let Line(words) = &mut self.0[(hash >> 40) as usize % LINES];
        // Nine bits of the hash are the place of a bit in its line.
        (0..HASHES).fold(true, |known, number| {
            let place = (hash >> (9 * number)) as usize % 512;
            let (word, bit) = (&mut words[place / 64], 1 << (place % 64));
            let was_set = *word & bit != 0;
            *word |= bit;
            known && was_set
        })
    }
}

impl Alone {
    /// A writer who is alone nowhere yet.
    pub(super) fn new() -> Self {
        Self {
            writer: Uuid::new_v4(),
            known: Mutex::default(),
        }
    }

    /// What it is entered as.
    pub(super) fn writer(&self) -> Uuid {
        self.writer
    }

    /// Shards in which there are no rows of ours, and whose writer this is now.
    pub(super) fn entered(&self, shards: BTreeSet<usize>) {
        tracing::debug!(
            ?shards,
            "no spans of ours yet: what is new is not looked up"
        );
        let mut known = self.known();
        known.shards.extend(shards);
        known.keys.get_or_insert_with(Keys::new);
    }

    /// Somebody else has written to these shards.
    pub(super) fn lost(&self, shards: &BTreeSet<usize>) {
        let mut known = self.known();
        known.shards.retain(|shard| !shards.contains(shard));
        if known.shards.is_empty() {
            known.keys = None;
        }
    }

    /// Whether nobody else had written to these shards when this process last looked.
    pub(super) fn was_alone(&self, shards: &BTreeSet<usize>) -> bool {
        !shards.is_empty() && self.known().shards.is_superset(shards)
    }

    /// Notes that rows in these ranges may be there from now on, whatever becomes of the write. For who is
    /// alone there those remain in which there may have been some before.
    pub(super) fn remember(&self, ranges: &mut Vec<(Uuid, Uuid)>, is_alone: bool) {
        if let Some(keys) = &mut self.known().keys {
            ranges.retain(|&(low, _)| {
                let key = xxh3_64(SpanKey::first_of(low).as_bytes());
                keys.insert(key) || !is_alone
            });
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(number: u128) -> (Uuid, Uuid) {
        let low = Uuid::from_u128(number << 64);
        (low, SpanKey::last_id(low))
    }

    #[test]
    fn only_what_is_new_to_who_is_alone_is_left_out() {
        let (alone, both) = (Alone::new(), BTreeSet::from([0, 1]));
        let looks_up = |numbers: &[u128], is_alone| {
            let mut ranges: Vec<_> = numbers.iter().copied().map(range).collect();
            alone.remember(&mut ranges, is_alone);
            ranges.len()
        };
        assert!(!alone.was_alone(&both));
        assert_eq!(looks_up(&[1, 2], false), 2);
        alone.entered(both.clone());
        assert!(alone.was_alone(&both));
        assert_eq!(looks_up(&[1, 2, 3], true), 0);
        assert_eq!(looks_up(&[1, 4], true), 1);
        // What is written where it is not alone is remembered too.
        assert_eq!(looks_up(&[5], false), 1);
        assert_eq!(looks_up(&[5], true), 1);
        alone.lost(&BTreeSet::from([1]));
        assert!(!alone.was_alone(&both));
        assert!(alone.was_alone(&BTreeSet::from([0])));
        assert_eq!(looks_up(&[4, 6], true), 1);
    }

    #[test]
    fn all_keys_are_known_again_and_few_new_ones_taken_for_known() {
        let mut keys = Keys::new();
        let hash = |number: u64| xxh3_64(&number.to_be_bytes());
        for number in 0..1_000_000 {
            keys.insert(hash(number));
        }
        assert!((0..1_000_000).all(|number| keys.insert(hash(number))));
        let new = 1_000_000..1_010_000;
        let mistaken = new.filter(|&number| keys.insert(hash(number))).count();
        assert!((100..400).contains(&mistaken), "{mistaken} of 10000");
    }

    #[test]
    fn one_row_is_known_by_its_key() {
        let alone = Alone::new();
        alone.entered(BTreeSet::from([0]));
        let (low, high) = range(7);
        let mut ranges = vec![(high, high)];
        alone.remember(&mut ranges, true);
        assert_eq!(ranges, []);
        let mut ranges = vec![(low, high)];
        alone.remember(&mut ranges, true);
        assert_eq!(ranges, [(low, high)]);
    }
}
