//! Collects changed spans until a batch is full or old enough, and splits it among the writers.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::Utc;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use super::BatchLimits;
use super::decode::Streams;
use super::ledger::{Flush, Ledger};
use super::pulse::Pulse;
use super::sink::{Part, SinkError};
use super::spans::Parts;
use super::spare::Spare;
use super::stats::Stats;
use crate::source::{Input, StreamId};
use crate::store::{Batch, Checkpoint};

/// Runs until the input closes, then hands on the rest.
pub(super) async fn run(
    mut input: mpsc::Receiver<Input>,
    outlets: Vec<mpsc::Sender<Part>>,
    ledger: Arc<Ledger>,
    limits: BatchLimits,
    spare: Arc<Spare>,
    stats: Arc<Stats>,
) -> Result<(), SinkError> {
    let mut stage = Stage::new(outlets, ledger, limits, spare, stats);
    loop {
        let due = stage.due;
        stage.pulse.rest();
        let next = tokio::select! {
            next = input.recv() => next,
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                stage.pulse.work();
                let unsettled = stage.streams.settle(Utc::now(), &stage.stats);
                stage.flush().await?;
                // Positions of rows that are still being written wait for the next look, and so does
                // what a stream holds back for the rest of it.
                let again = unsettled || stage.ledger.is_behind();
                stage.due = again.then(|| Instant::now() + limits.age);
                continue;
            }
        };
        let Some(next) = next else { break };
        stage.pulse.work();
        stage.take_in(next);
        if stage.is_full() {
            stage.flush().await?;
        }
    }
    stage.streams.settle_pipes(Utc::now(), &stage.stats);
    stage.flush().await?;
    while stage.ledger.is_behind() {
        // A writer that has failed commits nothing more; its outlet is closed.
        tokio::select! {
            () = stage.ledger.next_commit() => {}
            () = stage.outlets[0].closed() => return Err(SinkError::WriterGone),
        }
        stage.flush_checkpoints().await?;
    }
    Ok(())
}

struct Stage {
    streams: Streams,
    outlets: Vec<mpsc::Sender<Part>>,
    ledger: Arc<Ledger>,
    limits: BatchLimits,
    pulse: Arc<Pulse>,
    stats: Arc<Stats>,
    /// Of streams that ended.
    parts: Parts,
    /// Spans with ids of their own, and losses.
    loose: Batch,
    marks: Vec<Checkpoint>,
    acknowledgements: Vec<oneshot::Sender<()>>,
    /// The sources that something unflushed came from, and since when.
    sources: BTreeMap<Arc<str>, std::time::Instant>,
    /// When the oldest unflushed input must be written.
    due: Option<Instant>,
}

impl Stage {
    fn new(
        outlets: Vec<mpsc::Sender<Part>>,
        ledger: Arc<Ledger>,
        limits: BatchLimits,
        spare: Arc<Spare>,
        stats: Arc<Stats>,
    ) -> Self {
        let parts = outlets.len();
        Self {
            streams: Streams::new(parts, spare),
            outlets,
            ledger,
            limits,
            pulse: stats.pulse("the batch stage"),
            stats,
            parts: vec![Vec::new(); parts],
            loose: Batch::default(),
            marks: Vec::new(),
            acknowledgements: Vec::new(),
            sources: BTreeMap::new(),
            due: None,
        }
    }

    fn take_in(&mut self, input: Input) {
        let now = Utc::now();
        let age = match &input {
            // Somebody waits for the answer: don't let them wait for the batch to age.
            Input::Acknowledge(_) => self.limits.age / 10,
            _ => self.limits.age,
        };
        let due = Instant::now() + age;
        self.due = Some(self.due.map_or(due, |known| known.min(due)));
        if let Input::Bytes { stream, .. } | Input::Messages { stream, .. } = &input
            && !self.sources.contains_key(stream.source())
        {
            let since = Instant::now().into_std();
            self.sources.insert(Arc::clone(stream.source()), since);
        }
        match input {
            Input::Bytes {
                stream,
                bytes,
                checkpoint,
            } => {
                self.streams
                    .bytes(&stream, &bytes, checkpoint, now, &self.stats);
            }
            Input::Messages { stream, messages } => {
                self.streams.messages(&stream, messages, now, &self.stats);
            }
            Input::Spans(spans) => self.loose.spans.extend(spans),
            Input::Loss(loss) => self.loose.losses.push(loss),
            Input::Mark(checkpoint) => self.marks.push(checkpoint),
            Input::Acknowledge(waiting) => self.acknowledgements.push(waiting),
            Input::End(stream) => self.end(&stream, true),
            Input::Broken(stream) => self.end(&stream, false),
        }
    }

    fn end(&mut self, stream: &StreamId, whole: bool) {
        let (now, parts) = (Utc::now(), &mut self.parts);
        let position = self.streams.end(stream, whole, now, &self.stats, parts);
        self.marks.extend(position);
    }

    /// Whether there is a batch full to flush.
    fn is_full(&self) -> bool {
        let ended = self.parts.iter().map(Vec::len).sum::<usize>();
        let rows = self.streams.dirty_rows() + ended + self.loose.spans.len();
        rows >= self.limits.rows || self.streams.dirty_bytes() >= self.limits.bytes
    }

    async fn flush(&mut self) -> Result<(), SinkError> {
        // Noticed even if nothing more comes: those who wait for what was being stored wait for ever.
        if self.outlets.iter().any(mpsc::Sender::is_closed) {
            return Err(SinkError::WriterGone);
        }
        self.due = None;
        // A stream that ended comes before its successor of the same name, and so do their positions.
        let mut checkpoints = std::mem::take(&mut self.marks);
        checkpoints.extend(self.streams.drain(&mut self.parts));
        let observations = self.parts.iter_mut().map(std::mem::take);
        let mut parts: Vec<_> = observations
            .map(|observations| Batch {
                observations,
                ..Batch::default()
            })
            .collect();
        let loose = std::mem::take(&mut self.loose);
        parts[0].spans = loose.spans;
        parts[0].losses = loose.losses;
        let flush = Flush {
            parts: parts.iter().filter(|part| !part.is_empty()).count(),
            checkpoints,
            acknowledgements: std::mem::take(&mut self.acknowledgements),
            opened: Instant::now().into_std(),
            sources: std::mem::take(&mut self.sources),
        };
        if flush.parts == 0 && flush.checkpoints.is_empty() && flush.acknowledgements.is_empty() {
            return self.flush_checkpoints().await;
        }
        let number = self.ledger.open(flush);
        for (outlet, batch) in self.outlets.iter().zip(parts) {
            if !batch.is_empty() {
                let part = Part {
                    flush: Some(number),
                    batch,
                };
                // The writer, which has a pulse of its own, may have to wait for the database.
                self.pulse.rest();
                outlet.send(part).await.map_err(|_| SinkError::WriterGone)?;
                self.pulse.work();
            }
        }
        self.flush_checkpoints().await
    }

    /// Writes positions that no rows are left to carry.
    async fn flush_checkpoints(&mut self) -> Result<(), SinkError> {
        let checkpoints = self.ledger.take_idle();
        if checkpoints.is_empty() {
            return Ok(());
        }
        let batch = Batch {
            checkpoints,
            ..Batch::default()
        };
        let part = Part { flush: None, batch };
        self.pulse.rest();
        self.outlets[0]
            .send(part)
            .await
            .map_err(|_| SinkError::WriterGone)
    }
}
