//! Which writes must not overlap. Everything that can become or change one row falls in one shard, and
//! a store with several writers lets one at a time write to a shard.

use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64;

use crate::model::SpanKey;

/// Number of shards: as many writers as keep the two cores of a small database server busy while one of them
/// waits for the disk. Each more makes the parts of a batch smaller, and a part costs something by itself.
pub const SHARDS: usize = 3;

/// How ids of OpenTelemetry senders begin.
const NO_LOG_ID: [u8; 6] = [0; 6];

/// The shard of a printed span. A batch whose keys are of one shard never waits for another shard's.
pub fn shard(key: &SpanKey) -> usize {
    match key.log_id_bytes() {
        NO_LOG_ID => shard_of_span(key.first_id()),
        log_id => shard_of_bytes(&log_id),
    }
}

/// The shard of a row, by its span id.
pub fn shard_of_span(id: Uuid) -> usize {
    // A printed span: its log id, which stays when the rest changes.
    let (log_id, rest) = id.as_bytes().split_at(NO_LOG_ID.len());
    shard_of_bytes(if log_id == NO_LOG_ID { rest } else { log_id })
}

fn shard_of_bytes(bytes: &[u8]) -> usize {
    xxh3_64(bytes) as usize % SHARDS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Observation, span_id_of_otlp};

    #[test]
    fn every_id_of_a_span_falls_in_the_shard_of_its_key() {
        for log_id in ["00000000", "abc123de", "job-7"] {
            let key = SpanKey {
                log_id: log_id.into(),
                scope: "ta-1".into(),
            };
            let (low, high) = key.id_range();
            let orphan = Observation::new(key.clone(), "test").span_id();
            for id in [low, high, orphan] {
                assert_eq!(shard_of_span(id), shard(&key));
            }
        }
    }

    #[test]
    fn ids_of_either_kind_spread_over_all_shards() {
        let mut hits = [[0; SHARDS]; 2];
        for number in 0..1_000_u64 {
            let key = SpanKey {
                log_id: format!("{number:08x}").into(),
                scope: "".into(),
            };
            hits[0][shard(&key)] += 1;
            hits[1][shard_of_span(span_id_of_otlp(number.to_be_bytes()))] += 1;
        }
        assert!(hits.as_flattened().iter().all(|&hits| hits > 150));
    }
}
