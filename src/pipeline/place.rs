//! Where a key stands in the maps of the pairing: hashed once for each line, well enough that no two keys
//! meet.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, BuildHasherDefault, Hasher};

use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128_with_seed};

/// Stands for a key: its hash, in which no two keys meet by chance.
pub(super) type Place = u128;

/// A map by place, which needs no hashing of its own.
pub(super) type ByPlace<V> = HashMap<Place, V, BuildHasherDefault<AsItIs>>;

/// Where keys stand. The seed is drawn, so that nobody can print keys that meet by intent.
#[derive(Debug)]
pub(super) struct Places {
    seed: u64,
}

impl Places {
    pub(super) fn new() -> Self {
        let seed = RandomState::new().hash_one(0);
        Self { seed }
    }

    /// Of a key's log id and scope.
    pub(super) fn of(&self, log_id: &str, scope: &str) -> Place {
        let scope = xxh3_64_with_seed(scope.as_bytes(), self.seed);
        xxh3_128_with_seed(log_id.as_bytes(), scope)
    }
}

/// Takes a place for its own hash.
#[derive(Debug, Default)]
pub(super) struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // Integers come by the method below; whatever else might come is hashed as well as they are.
        self.0 = xxh3_64_with_seed(bytes, self.0);
    }

    fn write_u128(&mut self, place: u128) {
        self.0 = place as u64;
    }
}
