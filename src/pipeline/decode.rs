//! Bytes and messages of all streams into changed spans, with the position that they stand for.
//!
//! One decoder and one pairer a stream; pure and synchronous.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use beacon_parsers::{Counts, Decoder, Envelope, Precision, Record, Timestamp};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value};

use super::pair::Pairer;
use super::spans::Parts;
use super::spare::Spare;
use super::stats::Stats;
use crate::source::{Message, OffsetCheckpoint, SourceStatus, StreamId};
use crate::store::Checkpoint;

/// After this time without input a half line or traceback is handed on as it is: its rest would have
/// come within the second by which the CLI cuts lines.
const QUIET: TimeDelta = TimeDelta::seconds(2);

/// The decoding state of every open stream.
pub(super) struct Streams {
    open: HashMap<StreamId, Stream>,
    /// In how many parts spans are handed on.
    parts: usize,
    spare: Arc<Spare>,
}

struct Stream {
    decoder: Decoder,
    pairer: Pairer,
    counted: Counts,
    unmatched: u64,
    evicted: u64,
    status: Arc<SourceStatus>,
    /// When something last came; none once the stream was settled.
    fed: Option<DateTime<Utc>>,
    checkpoint: Option<OffsetCheckpoint>,
    /// Offset of the last checkpoint that was handed on.
    handed_on: Option<u64>,
}

impl Stream {
    fn new(id: &StreamId, pairer: Pairer, stats: &Stats) -> Self {
        Self {
            status: stats.sources.named(id.source()),
            fed: None,
            decoder: Decoder::new(),
            pairer,
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
        let lines = now.lines - self.counted.lines;
        self.status.lines.fetch_add(lines, Relaxed);
        let trace_lines = now.trace_lines - self.counted.trace_lines;
        self.status.trace_lines.fetch_add(trace_lines, Relaxed);
        self.counted.clone_from(now);
        stats.add_pairing(
            self.pairer.unmatched() - self.unmatched,
            self.pairer.evicted() - self.evicted,
        );
        self.unmatched = self.pairer.unmatched();
        self.evicted = self.pairer.evicted();
    }

    /// Hands on what waits for the rest of it.
    fn settle(&mut self, now: DateTime<Utc>, stats: &Stats) {
        self.fed = None;
        let pairer = &mut self.pairer;
        self.decoder
            .flush(&mut |record| pairer.observe(record, now));
        self.count(stats);
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
            fence: checkpoint.fence,
        })
    }
}

impl Streams {
    /// None yet; their spans are handed on in so many parts.
    pub(super) fn new(parts: usize, spare: Arc<Spare>) -> Self {
        let open = HashMap::new();
        Self { open, parts, spare }
    }

    pub(super) fn bytes(
        &mut self,
        id: &StreamId,
        bytes: &[u8],
        checkpoint: Option<OffsetCheckpoint>,
        now: DateTime<Utc>,
        stats: &Stats,
    ) {
        let stream = self.stream(id, stats);
        stream.fed = Some(now);
        if checkpoint.is_some() {
            stream.checkpoint = checkpoint;
        }
        let pairer = &mut stream.pairer;
        stream
            .decoder
            .push(bytes, &mut |record| pairer.observe(record, now));
        stream.count(stats);
    }

    pub(super) fn messages(
        &mut self,
        id: &StreamId,
        messages: Vec<Message>,
        now: DateTime<Utc>,
        stats: &Stats,
    ) {
        let stream = self.stream(id, stats);
        stream.fed = Some(now);
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
                    pairer.observe(record, now);
                });
        }
        stream.count(stats);
    }

    /// Ends a stream; what is left of it goes to `parts`, its unfinished line only if it is `whole`.
    pub(super) fn end(
        &mut self,
        id: &StreamId,
        whole: bool,
        now: DateTime<Utc>,
        stats: &Stats,
        parts: &mut Parts,
    ) -> Option<Checkpoint> {
        let mut stream = self.open.remove(id)?;
        let pairer = &mut stream.pairer;
        let mut sink = |record: Record<'_>| pairer.observe(record, now);
        if whole {
            stream.decoder.finish(&mut sink);
        } else {
            stream.decoder.flush(&mut sink);
        }
        stream.pairer.drain(parts);
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
    pub(super) fn drain(&mut self, parts: &mut Parts) -> Vec<Checkpoint> {
        let mut positions = Vec::new();
        for stream in self.open.values_mut() {
            stream.pairer.drain(parts);
            positions.extend(stream.position());
        }
        positions
    }

    /// Settles streams that have been quiet; whether some have still to be looked at.
    pub(super) fn settle(&mut self, now: DateTime<Utc>, stats: &Stats) -> bool {
        let mut fed = false;
        for stream in self.open.values_mut() {
            match stream.fed {
                Some(at) if now - at >= QUIET => stream.settle(now, stats),
                Some(_) => fed = true,
                None => {}
            }
        }
        fed
    }

    /// Settles streams that can't be read again, because nothing more will come.
    pub(super) fn settle_pipes(&mut self, now: DateTime<Utc>, stats: &Stats) {
        for stream in self.open.values_mut() {
            if stream.checkpoint.is_none() {
                stream.settle(now, stats);
            }
        }
    }

    fn stream(&mut self, id: &StreamId, stats: &Stats) -> &mut Stream {
        self.open.entry(id.clone()).or_insert_with(|| {
            let spare = Arc::clone(&self.spare);
            let pairer = Pairer::new(id.source().clone(), self.parts, spare);
            Stream::new(id, pairer, stats)
        })
    }
}
