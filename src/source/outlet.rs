//! What every source is given: its name, the channel to send on, its status, the store to ask where to
//! resume, and the token that tells it to stop.
//!
//! Invariant: no call here outlasts the order to stop.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{
    Input, InputSender, OffsetCheckpoint, SourceError, SourceState, SourceStatus, StreamId, Tenure,
};
use crate::model::LossEntry;
use crate::store::{Checkpoint, Store};

/// First and longest pause between two questions for a checkpoint.
const ASKING: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));

/// A source's side of the pipeline.
#[derive(Debug, Clone)]
pub struct Outlet {
    /// Where everything goes.
    pub input: InputSender,
    /// What health checks read.
    pub status: Arc<SourceStatus>,
    /// Cancelled when the source must end.
    pub stop: CancellationToken,
    /// Asked for checkpoints only.
    pub store: Arc<dyn Store>,
    /// What it reads under.
    pub tenure: Tenure,
}

impl Outlet {
    /// Name of the source.
    pub fn name(&self) -> &Arc<str> {
        self.status.name()
    }

    /// A new stream of this source.
    pub fn stream(&self) -> StreamId {
        StreamId::new(self.name())
    }

    /// Sends, however long the pipeline takes.
    pub async fn send(&self, input: Input) -> Result<(), SourceError> {
        tokio::select! {
            biased;
            sent = self.input.send(input) => Ok(sent?),
            () = self.stop.cancelled() => Err(SourceError::Stopped),
        }
    }

    /// Sends the next bytes of a stream.
    pub async fn bytes(
        &self,
        stream: &StreamId,
        bytes: Bytes,
        checkpoint: Option<OffsetCheckpoint>,
    ) -> Result<(), SourceError> {
        self.status.received(bytes.len());
        let stream = stream.clone();
        self.send(Input::Bytes {
            stream,
            bytes,
            checkpoint,
        })
        .await
    }

    /// Enters a loss; 0 lines when nobody knows how many.
    pub async fn lose(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        reason: &str,
        lost: u64,
    ) -> Result<(), SourceError> {
        if lost == 0 {
            self.status.gaps.fetch_add(1, Relaxed);
        }
        self.status.lost.fetch_add(lost, Relaxed);
        tracing::warn!(source = %self.name(), reason, lost, "log lines were lost");
        self.send(Input::Loss(LossEntry {
            source: self.name().to_string(),
            from,
            to,
            reason: reason.to_owned(),
            lost: i64::try_from(lost).unwrap_or(i64::MAX),
        }))
        .await
    }

    /// Where to resume; waits for a store that is away, because what is behind the checkpoint would
    /// otherwise be read again from the start.
    pub async fn position(&self, checkpoint: &str) -> Result<Option<Value>, SourceError> {
        let mut pause = ASKING.0;
        loop {
            match self.store.checkpoint(checkpoint).await {
                Ok(position) => return Ok(position),
                Err(error) => {
                    let reason = format!("cannot read where to resume: {error}");
                    self.status.enter(SourceState::Retrying(reason));
                }
            }
            self.pause(pause).await?;
            pause = (pause * 2).min(ASKING.1);
        }
    }

    /// Sends a position of the source's own: where to resume once everything sent before is stored.
    pub async fn mark(&self, position: Value) -> Result<(), SourceError> {
        self.send(Input::Mark(Checkpoint {
            source: self.name().to_string(),
            position,
            fence: self.tenure.fence(),
        }))
        .await
    }

    /// Waits, unless told to stop.
    pub async fn pause(&self, time: Duration) -> Result<(), SourceError> {
        tokio::select! {
            () = tokio::time::sleep(time) => Ok(()),
            () = self.stop.cancelled() => Err(SourceError::Stopped),
        }
    }
}
