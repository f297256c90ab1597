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

use fastbloom::BloomFilter;
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64;

use crate::model::SpanKey;

/// Bits of the filter, 1 MiB: of a million keys that are new it takes one in fifty for known, of four million
/// every second one. Those are looked up.
const BITS: usize = 8 << 20;
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
    keys: Option<BloomFilter>,
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
        let none = || BloomFilter::with_num_bits(BITS).hashes(HASHES);
        known.keys.get_or_insert_with(none);
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
                keys.insert_hash(key) || !is_alone
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
