//! Any command that prints logs: started again whenever it ends, both of its outputs read.
//!
//! A command can't be asked again for what it printed, so this is a pipe: what was read and not yet
//! committed when the process is killed is gone, and what the command missed between two runs it alone
//! knows.

use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::backoff::Backoff;
use super::child::{self, Pipes, Running};
use super::{CHUNK_BYTES, Input, Outlet, SourceError, SourceState};

/// First and longest pause before a command that ended is started again.
const RESTART: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(30));
/// How long a full pipeline may hold up a command before what it prints is dropped and counted: many
/// commands lose lines themselves, uncounted, when nobody reads them.
const PATIENCE: Duration = Duration::from_secs(60);

/// A command, run by the shell.
#[derive(Debug, Clone)]
pub struct CommandSource {
    /// What the shell runs.
    pub command: String,
}

impl CommandSource {
    /// Runs the command again and again until told to stop.
    pub async fn run(self, out: Outlet) -> Result<(), SourceError> {
        let mut backoff = Backoff::new(RESTART.0, RESTART.1);
        loop {
            backoff.begin();
            let reason = match self.once(&out).await {
                Ok(reason) => reason,
                Err(error @ (SourceError::Stopped | SourceError::PipelineStopped)) => {
                    return Err(error);
                }
                Err(error) => error.to_string(),
            };
            out.status.enter(SourceState::Retrying(reason));
            out.status
                .restarts
                .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            out.pause(backoff.pause()).await?;
        }
    }

    async fn once(&self, out: &Outlet) -> Result<String, SourceError> {
        let mut command = child::command("sh");
        command.arg("-c").arg(&self.command);
        let (mut running, pipes) =
            Running::start(&mut command).map_err(|source| self.error(source))?;
        let Pipes {
            stdin,
            stdout,
            stderr,
        } = pipes;
        // Nothing is ever typed: the command sees an end of input.
        drop(stdin);
        out.status.enter(SourceState::Running);
        tokio::try_join!(pump(out, stdout), pump(out, stderr))?;
        let status = running.wait().await.map_err(|source| self.error(source))?;
        Ok(format!("the command ended: {status}"))
    }

    fn error(&self, source: std::io::Error) -> SourceError {
        SourceError::Read {
            what: "the output of the command".to_owned(),
            source,
            remedy: "",
        }
    }
}

/// Reads one output to its end. A read error counts as the end: the command is started again.
async fn pump(out: &Outlet, mut pipe: impl AsyncRead + Unpin) -> Result<(), SourceError> {
    let stream = out.stream();
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut shed = Shed::default();
    loop {
        let count = tokio::select! {
            count = pipe.read(&mut buffer) => count.unwrap_or(0),
            () = out.stop.cancelled() => return Err(SourceError::Stopped),
        };
        let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else {
            shed.report(out).await?;
            return out.send(Input::End(stream)).await;
        };
        let bytes = Bytes::copy_from_slice(bytes);
        out.status.received(bytes.len());
        let sent = shed.send(
            out,
            Input::Bytes {
                stream: stream.clone(),
                bytes: bytes.clone(),
                checkpoint: None,
            },
        );
        if sent.await? {
            shed.report(out).await?;
        } else {
            shed.count(&bytes);
        }
    }
}

/// What had to be dropped because the pipeline stayed full.
#[derive(Debug, Default)]
pub(super) struct Shed {
    since: Option<DateTime<Utc>>,
    lines: u64,
}

impl Shed {
    /// Sends, but not at any price; whether it was sent. While things are being dropped, only what
    /// finds room at once is sent.
    pub(super) async fn send(&self, out: &Outlet, input: Input) -> Result<bool, SourceError> {
        let patience = if self.since.is_some() {
            Duration::ZERO
        } else {
            PATIENCE
        };
        match tokio::time::timeout(patience, out.input.reserve()).await {
            Ok(permit) => {
                permit?.send(input);
                Ok(true)
            }
            Err(_) if out.stop.is_cancelled() => Err(SourceError::Stopped),
            Err(_) => Ok(false),
        }
    }

    /// Counts what was not sent.
    pub(super) fn count(&mut self, bytes: &[u8]) {
        self.since.get_or_insert_with(Utc::now);
        let lines = bytes.iter().filter(|byte| **byte == b'\n').count();
        self.lines += lines as u64;
    }

    /// Enters what was dropped, once there is room again.
    pub(super) async fn report(&mut self, out: &Outlet) -> Result<(), SourceError> {
        let Some(since) = self.since.take() else {
            return Ok(());
        };
        let lines = std::mem::take(&mut self.lines);
        out.lose(
            since,
            Utc::now(),
            "the pipeline and the spool were full",
            lines,
        )
        .await
    }
}
