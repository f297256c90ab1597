//! The identity of a printed span, computed from what was printed and never drawn: replaying a log
//! yields the same ids through any transport and in any chunking.
//!
//! A span id is an RFC 9562 UUID of version 8:
//!
//! ```text
//! bytes 0-5   the log id: eight hex digits stand as themselves followed by a 16-bit hash,
//!             any other id as a 48-bit hash
//! bytes 6-11  34 bits of a hash of the scope (container, else function call), then 2 bits that say
//!             what bytes 12-15 are taken from (0 start, 1 end, 2 step, 3 occurrence)
//! bytes 12-15 the second since 1970 of the start line (of the end or first step when no start was
//!             seen), or a running number when the lines carry no time
//! ```
//!
//! So all spans that share a log id and a scope lie side by side in an index that leads with
//! `span_id`, which is how a late line finds its span after a restart. Whole seconds, because that is
//! all the Modal CLI prints of a time which other transports know to the microsecond.

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use uuid::{Builder, Uuid};
use xxhash_rust::xxh3::xxh3_64;

/// What bytes 12-15 of a span id are taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    // Seconds since 1970.
    Start(i64),
    End(i64),
    Step(i64),
    Occurrence(u32),
}

/// Which lines belong together: the id in the brackets, and where it was printed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SpanKey {
    /// The id between the brackets; hex digits in lower case.
    pub log_id: SmolStr,
    /// Container that printed the line, else the function call; empty when the log names neither.
    pub scope: SmolStr,
}

impl SpanKey {
    /// First and last span id that a span of this key can have.
    pub fn id_range(&self) -> (Uuid, Uuid) {
        let low = self.first_id();
        (low, Self::last_id(low))
    }

    /// First span id that a span of this key can have.
    pub fn first_id(&self) -> Uuid {
        Uuid::from_bytes(self.prefix())
    }

    /// The first one of the key with this one.
    pub fn first_of(id: Uuid) -> Uuid {
        let mut first = id.into_bytes();
        first[11..].fill(0);
        Uuid::from_bytes(first)
    }

    /// The last one of the key with this first one.
    pub fn last_id(first: Uuid) -> Uuid {
        let mut last = first.into_bytes();
        last[11..].fill(0xff);
        Uuid::from_bytes(last)
    }

    pub(super) fn span_id(&self, anchor: Anchor) -> Uuid {
        Self::span_id_from(self.first_id(), anchor)
    }

    /// The same for who knows the key's first id.
    pub(super) fn span_id_from(first: Uuid, anchor: Anchor) -> Uuid {
        let mut bytes = first.into_bytes();
        let (kind, value) = match anchor {
            Anchor::Start(second) => (0_u8, second as u32),
            Anchor::End(second) => (1, second as u32),
            Anchor::Step(second) => (2, second as u32),
            Anchor::Occurrence(number) => (3, number),
        };
        bytes[11] = kind << 6;
        bytes[12..].copy_from_slice(&value.to_be_bytes());
        Uuid::from_bytes(bytes)
    }

    /// What a stored span id of this form was anchored to.
    pub(super) fn anchor_of(span_id: Uuid) -> Anchor {
        let bytes = span_id.as_bytes();
        let number = u32::from_be_bytes([bytes[12], bytes[13], bytes[14], bytes[15]]);
        match bytes[11] >> 6 {
            0 => Anchor::Start(i64::from(number)),
            1 => Anchor::End(i64::from(number)),
            2 => Anchor::Step(i64::from(number)),
            _ => Anchor::Occurrence(number),
        }
    }

    /// Bytes 0-5 of every span id of this key.
    pub fn log_id_bytes(&self) -> [u8; 6] {
        log_id_bytes(&self.log_id)
    }

    /// Bytes 0-10, version and variant in place, the rest zero.
    fn prefix(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..6].copy_from_slice(&self.log_id_bytes());
        let scope = xxh3_64(self.scope.as_bytes()).to_be_bytes();
        bytes[6..11].copy_from_slice(&scope[..5]);
        *Builder::from_custom_bytes(bytes).as_uuid().as_bytes()
    }
}

/// The span id under which a span of an OpenTelemetry sender is stored: its eight bytes behind eight
/// zero bytes.
pub fn span_id_of_otlp(id: [u8; 8]) -> Uuid {
    Uuid::from_u64_pair(0, u64::from_be_bytes(id))
}

/// First and last span id that a span with this log id can have in any container.
pub fn log_id_range(log_id: &str) -> (Uuid, Uuid) {
    let mut low = [0; 16];
    low[..6].copy_from_slice(&log_id_bytes(log_id));
    let mut high = low;
    high[6..].fill(0xff);
    (Uuid::from_bytes(low), Uuid::from_bytes(high))
}

fn log_id_bytes(log_id: &str) -> [u8; 6] {
    let hash = xxh3_64(log_id.as_bytes()).to_be_bytes();
    let mut bytes = [0; 6];
    bytes.copy_from_slice(&hash[..6]);
    if let Some(number) = eight_digits(log_id) {
        bytes[..4].copy_from_slice(&number.to_be_bytes());
    }
    bytes
}

/// The number that eight hex digits write.
fn eight_digits(text: &str) -> Option<u32> {
    let digits: &[u8; 8] = text.as_bytes().try_into().ok()?;
    digits.iter().try_fold(0, |number, digit| {
        Some(number << 4 | char::from(*digit).to_digit(16)?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(log_id: &str, scope: &str) -> SpanKey {
        SpanKey {
            log_id: log_id.into(),
            scope: scope.into(),
        }
    }

    #[test]
    fn an_eight_digit_log_id_is_the_beginning_of_its_span_id() {
        let id = key("abc123de", "ta-1").span_id(Anchor::Start(1_700_000_000));
        assert!(id.to_string().starts_with("abc123de-"), "{id}");
        assert_eq!(id.get_version_num(), 8);
    }

    #[test]
    fn every_anchor_lies_in_the_range_of_its_key_and_of_its_log_id() {
        for anchor in [
            Anchor::Start(0),
            Anchor::End(i64::from(u32::MAX)),
            Anchor::Step(7),
            Anchor::Occurrence(u32::MAX),
        ] {
            for log_id in ["abc123de", "job-42_x"] {
                let id = key(log_id, "ta-1").span_id(anchor);
                let (low, high) = key(log_id, "ta-1").id_range();
                assert!(low <= id && id <= high);
                assert_eq!(SpanKey::first_of(id), low);
                let (low, high) = log_id_range(log_id);
                assert!(low <= id && id <= high);
            }
        }
    }

    #[test]
    fn another_container_or_another_second_is_another_span() {
        let one = key("abc123de", "ta-1").span_id(Anchor::Start(100));
        assert_ne!(one, key("abc123de", "ta-2").span_id(Anchor::Start(100)));
        assert_ne!(one, key("abc123de", "ta-1").span_id(Anchor::Start(101)));
        assert_ne!(one, key("abc123de", "ta-1").span_id(Anchor::End(100)));
    }
}
