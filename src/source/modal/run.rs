//! One run of a tool: its output into the pipeline, what it says on stderr to whoever asked.

use std::process::ExitStatus;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chrono::Utc;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{ChildStderr, ChildStdout, Command};

use super::said::{Notices, is_reconnection};
use crate::source::child::{Pipes, Running};
use crate::source::{CHUNK_BYTES, Input, Outlet, SourceError, StreamId};

/// Reconnections within a second beyond which a tool is stopped: it would go on at full speed.
const MAX_RECONNECTIONS: usize = 20;
/// Text of stderr that is kept for the explanation.
const MAX_SAID: usize = 8 * 1024;

/// How a run ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    pub(super) said: String,
    /// What stood behind the last newline.
    pub(super) unfinished: Vec<u8>,
    /// Whether the tool was stopped because it reconnected without pause.
    pub(super) spinning: bool,
}

/// Runs a command to its end, its output as the stream given. The caller ends the stream.
pub(super) async fn run(
    command: &mut Command,
    out: &Outlet,
    stream: &StreamId,
    reconnected: impl Fn(),
) -> Result<Ended, SourceError> {
    let failed = |source| SourceError::Read {
        what: "the output of modal".into(),
        source,
        remedy: "",
    };
    let (mut running, pipes) = Running::start(command).map_err(failed)?;
    let Pipes {
        // Held open: a script of ours ends when it closes.
        stdin: _stdin,
        stdout,
        stderr,
    } = pipes;
    let lines = pump(out, stream, stdout);
    let talk = listen(stderr, reconnected);
    tokio::pin!(talk);
    let mut spoken = None;
    tokio::pin!(lines);
    let unfinished = loop {
        tokio::select! {
            unfinished = &mut lines => break unfinished?,
            said = &mut talk, if spoken.is_none() => {
                let spinning = said.1;
                spoken = Some(said);
                if spinning {
                    break Vec::new();
                }
            }
        }
    };
    let (said, spinning) = match spoken {
        Some(spoken) => spoken,
        None => talk.await,
    };
    if spinning {
        drop(running);
        return Ok(Ended {
            status: ExitStatus::default(),
            said,
            unfinished,
            spinning,
        });
    }
    let status = running.wait().await.map_err(failed)?;
    Ok(Ended {
        status,
        said,
        unfinished,
        spinning,
    })
}

/// Reads stdout to its end; gives back the line that has not ended.
async fn pump(
    out: &Outlet,
    stream: &StreamId,
    mut stdout: ChildStdout,
) -> Result<Vec<u8>, SourceError> {
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut notices = Notices::default();
    loop {
        let count = tokio::select! {
            // A read error counts as the end: the tool is started again.
            count = stdout.read(&mut buffer) => count.unwrap_or(0),
            () = out.stop.cancelled() => return Err(SourceError::Stopped),
        };
        let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else {
            return Ok(notices.unfinished().to_vec());
        };
        if notices.read(bytes) > 0 {
            let now = Utc::now();
            out.lose(now, now, "Modal dropped lines: log rate limit", 0)
                .await?;
        }
        out.bytes(stream, Bytes::copy_from_slice(bytes), None)
            .await?;
    }
}

/// Reads stderr to its end, or until the tool reconnects without pause.
async fn listen(stderr: ChildStderr, reconnected: impl Fn()) -> (String, bool) {
    let mut lines = BufReader::new(stderr).lines();
    let mut said = String::new();
    let mut recent: Vec<Instant> = Vec::new();
    // Not UTF-8 or unreadable: what was said until then has to do.
    while let Ok(Some(line)) = lines.next_line().await {
        if is_reconnection(&line) {
            reconnected();
            recent.retain(|at| at.elapsed() < Duration::from_secs(1));
            recent.push(Instant::now());
            if recent.len() > MAX_RECONNECTIONS {
                return (said, true);
            }
            continue;
        }
        // Debug lines of the client are no reason for its end.
        if !line.contains("[modal-client]") && said.len() + line.len() < MAX_SAID {
            said.push_str(&line);
            said.push('\n');
        }
    }
    (said, false)
}

/// Ends a stream whose last line is whole, or breaks it off.
pub(super) async fn close(out: &Outlet, stream: StreamId, whole: bool) -> Result<(), SourceError> {
    let input = if whole {
        Input::End(stream)
    } else {
        Input::Broken(stream)
    };
    out.send(input).await
}
