//! Bytes and messages of all streams into changed spans, with the position that they stand for.
//!
//! One decoder and one pairer a stream; pure and synchronous.

use std::collections::HashMap;

use beacon_parsers::{Counts, Decoder, Envelope, Precision, Timestamp};
use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::pair::Pairer;
use super::stats::Stats;
use crate::model::Observation;
use crate::source::{Message, OffsetCheckpoint, StreamId};
use crate::store::Checkpoint;

/// The decoding state of every open stream.
#[derive(Default)]
pub(super) struct Streams {
    open: HashMap<StreamId, Stream>,
}

struct Stream {
    decoder: Decoder,
    pairer: Pairer,
    counted: Counts,
    unmatched: u64,
    evicted: u64,
    checkpoint: Option<OffsetCheckpoint>,
    /// Offset of the last checkpoint that was handed on.
    handed_on: Option<u64>,
}

impl Stream {
    fn new(id: &StreamId) -> Self {
        Self {
            decoder: Decoder::new(),
            pairer: Pairer::new(id.source().clone()),
            counted: Counts::default(),
            unmatched: 0,
            evicted: 0,
            checkpoint: None,
            handed_on: None,
        }
    }

    fn count(&mut self, stats: &Stats) {
        let now = self.decoder.counts();
        stats.add_counts(&self.counted, now);
        self.counted.clone_from(now);
        stats.add_pairing(
            self.pairer.unmatched() - self.unmatched,
            self.pairer.evicted() - self.evicted,
        );
        self.unmatched = self.pairer.unmatched();
        self.evicted = self.pairer.evicted();
    }

    /// Where the stream resumes now, if that moved.
    fn position(&mut self) -> Option<Checkpoint> {
        let checkpoint = self.checkpoint.as_ref()?;
        let offset = checkpoint.base + self.decoder.resume_offset();
        if self.handed_on.replace(offset) == Some(offset) {
            return None;
        }
        let mut position = match &checkpoint.identity {
            Value::Object(map) => map.clone(),
            _ => Map::new(),
        };
        position.insert("offset".into(), offset.into());
        Some(Checkpoint {
            source: checkpoint.name.to_string(),
            position: position.into(),
        })
    }
}

impl Streams {
    pub(super) fn bytes(
        &mut self,
        id: &StreamId,
        bytes: &[u8],
        checkpoint: Option<OffsetCheckpoint>,
        now: DateTime<Utc>,
        stats: &Stats,
    ) {
        let stream = self.stream(id);
        if checkpoint.is_some() {
            stream.checkpoint = checkpoint;
        }
        let pairer = &mut stream.pairer;
        stream
            .decoder
            .push(bytes, &mut |record| pairer.observe(&record, now));
        stream.count(stats);
    }

    pub(super) fn messages(
        &mut self,
        id: &StreamId,
        messages: Vec<Message>,
        now: DateTime<Utc>,
        stats: &Stats,
    ) {
        let stream = self.stream(id);
        for message in messages {
            let envelope = Envelope {
                timestamp: message.unix_micros.map(|unix_micros| Timestamp {
                    unix_micros,
                    precision: Precision::Micro,
                }),
                function_id: message.function_id.map(Into::into),
                function_call_id: message.function_call_id.map(Into::into),
                container_id: message.container_id.map(Into::into),
                ..Envelope::default()
            };
            let pairer = &mut stream.pairer;
            stream
                .decoder
                .push_message(envelope, &message.text, &mut |record| {
                    pairer.observe(&record, now);
                });
        }
        stream.count(stats);
    }

    /// Ends a stream; what is left of it comes out of `emit`.
    pub(super) fn end(
        &mut self,
        id: &StreamId,
        now: DateTime<Utc>,
        stats: &Stats,
        emit: impl FnMut(Observation),
    ) -> Option<Checkpoint> {
        let mut stream = self.open.remove(id)?;
        let pairer = &mut stream.pairer;
        stream
            .decoder
            .finish(&mut |record| pairer.observe(&record, now));
        stream.pairer.drain(emit);
        stream.count(stats);
        stream.position()
    }

    pub(super) fn dirty_rows(&self) -> usize {
        self.open
            .values()
            .map(|stream| stream.pairer.dirty_rows())
            .sum()
    }

    pub(super) fn dirty_bytes(&self) -> usize {
        self.open
            .values()
            .map(|stream| stream.pairer.dirty_bytes())
            .sum()
    }

    /// Hands on all that changed, and where its streams resume once it is stored.
    pub(super) fn drain(&mut self, mut emit: impl FnMut(Observation)) -> Vec<Checkpoint> {
        let mut positions = Vec::new();
        for stream in self.open.values_mut() {
            stream.pairer.drain(&mut emit);
            positions.extend(stream.position());
        }
        positions
    }

    fn stream(&mut self, id: &StreamId) -> &mut Stream {
        self.open
            .entry(id.clone())
            .or_insert_with(|| Stream::new(id))
    }
}
