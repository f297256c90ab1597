//! Where log lines come from. Every source sends [`Input`]s down one bounded channel and owns nothing
//! behind it; what it may forget it learns only through its checkpoint.

mod backoff;
mod child;
mod command;
mod examine;
mod file;
mod lease;
mod modal;
pub mod otlp;
mod outlet;
mod pull;
pub mod push;
mod status;
mod stdin;

use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

pub use command::CommandSource;
pub use examine::{examine_file, examine_modal, examine_url, is_program};
pub use file::FileSource;
pub use lease::{Leases, Standing, Tenure, while_ours};
pub use modal::{ModalOptions, ModalSource, Via};
pub use outlet::Outlet;
pub use pull::PullSource;
pub use push::Intake;
pub use status::{SourceState, SourceStatus, Sources};
pub use stdin::StdinSource;

use crate::model::{LossEntry, Span};
use crate::store::Checkpoint;

/// Bytes a source reads at a time: large enough that a system call costs little per line, small
/// enough that decoding one piece does not hold up the other tasks of its thread.
pub const CHUNK_BYTES: usize = 64 * 1024;

/// Pieces waiting between the sources and the decoder: half a megabyte of them, or two of a file on standard input.
pub const INPUT_QUEUE: usize = 8;

/// One ordered stream of log lines: a pipe, a file, one run of a command. Numbers are never reused.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StreamId(pub Arc<str>, pub u64);

impl StreamId {
    /// A stream of the source with this name that no other stream is equal to.
    pub fn new(source: &str) -> Self {
        static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        // Relaxed: only distinctness matters.
        Self(
            source.into(),
            NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed),
        )
    }

    /// Name of the source.
    pub fn source(&self) -> &Arc<str> {
        &self.0
    }
}

/// How far a stream has to be committed before its checkpoint may move.
#[derive(Debug, Clone)]
pub struct OffsetCheckpoint {
    /// Name of the checkpoint.
    pub name: Arc<str>,
    /// Offset in the file at which the stream began.
    pub base: u64,
    /// What stands in the position beside `offset`, e.g. the file's fingerprint.
    pub identity: Value,
    /// Fence of the lease under which it is read.
    pub fence: i64,
}

/// A line that was delivered whole, with what is known of it apart.
#[derive(Debug, Clone, Default)]
pub struct Message {
    /// The text; may hold several lines.
    pub text: String,
    /// Time in µs since 1970.
    pub unix_micros: Option<i64>,
    /// Modal function.
    pub function_id: Option<String>,
    /// Modal function call.
    pub function_call_id: Option<String>,
    /// Modal container.
    pub container_id: Option<String>,
}

/// What a source sends.
#[derive(Debug)]
pub enum Input {
    /// The next bytes of a stream.
    Bytes {
        /// The stream.
        stream: StreamId,
        /// What was read.
        bytes: Bytes,
        /// Where to resume, for sources that can seek.
        checkpoint: Option<OffsetCheckpoint>,
    },
    /// Whole messages.
    Messages {
        /// The stream.
        stream: StreamId,
        /// The messages, in order.
        messages: Vec<Message>,
    },
    /// Finished spans of a sender with ids of its own.
    Spans(Vec<Span>),
    /// Lines known to be lost.
    Loss(LossEntry),
    /// Once everything sent before this is committed, the checkpoint may be.
    Mark(Checkpoint),
    /// Answered once everything sent before this is committed; dropped when that can't be.
    Acknowledge(oneshot::Sender<()>),
    /// The stream is over; what was held back of it comes out.
    End(StreamId),
    /// The stream broke off; a line that had not ended is dropped.
    Broken(StreamId),
}

/// The sending half of the pipeline's input.
pub type InputSender = mpsc::Sender<Input>;

/// What can go wrong with a source.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Reading failed.
    #[error("cannot read {what}: {source}{remedy}")]
    Read {
        /// What was read.
        what: String,
        /// The system's answer.
        source: std::io::Error,
        /// What to do about it; empty, or beginning with `; `.
        remedy: &'static str,
    },
    /// The pipeline is gone: the process is shutting down.
    #[error("the pipeline has stopped")]
    PipelineStopped,
    /// The source's task ended abnormally.
    #[error("ended abnormally: {0}")]
    Abnormal(String),
    /// The source was told to stop.
    #[error("told to stop")]
    Stopped,
}

impl SourceError {
    /// Whether the source ended because the process does.
    pub const fn is_shutdown(&self) -> bool {
        matches!(self, Self::PipelineStopped | Self::Stopped)
    }
}

impl<T> From<mpsc::error::SendError<T>> for SourceError {
    fn from(_: mpsc::error::SendError<T>) -> Self {
        Self::PipelineStopped
    }
}
