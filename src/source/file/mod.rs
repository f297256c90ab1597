//! Log files, by path or pattern: followed by name through rotation, resumed by fingerprint and offset.
//!
//! Files are looked at, not watched: one rhythm serves local disks, network mounts and containers
//! alike, and a look at an idle file costs two system calls.

mod content;
mod glob;
mod tail;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use self::content::Position;
pub(super) use self::glob::expand;
use self::tail::Tail;
use super::{CHUNK_BYTES, Input, Outlet, SourceError, SourceState};

/// How often a pattern is looked through for new files.
const SCAN: Duration = Duration::from_secs(1);
/// Shortest and longest pause between two looks at files that don't grow.
const LOOK: (Duration, Duration) = (Duration::from_millis(25), Duration::from_millis(250));
/// Pieces read in one go, over all files: half a megabyte.
const BUDGET: usize = 8;

/// Files that a path or pattern names.
#[derive(Debug, Clone)]
pub struct FileSource {
    /// A path; each of its parts may be a pattern with `*`, `?` and `[a-z]`.
    pub pattern: PathBuf,
}

impl FileSource {
    /// Follows until told to stop.
    pub async fn run(self, out: Outlet) -> Result<(), SourceError> {
        let is_pattern = glob::is_pattern(&self.pattern.to_string_lossy());
        let mut tails = Vec::new();
        let mut scan_at = Instant::now();
        let mut idle = LOOK.0;
        loop {
            if Instant::now() >= scan_at && (is_pattern || tails.is_empty()) {
                self.scan(&mut tails, &out, is_pattern).await?;
                scan_at = Instant::now() + SCAN;
            }
            let look;
            (tails, look) = look_at(tails).await?;
            let found = !look.inputs.is_empty();
            for input in look.inputs {
                if let Input::Bytes { bytes, .. } = &input {
                    out.status.received(bytes.len());
                }
                out.send(input).await?;
            }
            out.status.enter(match look.trouble {
                Some(trouble) => SourceState::Retrying(trouble),
                None if tails.iter().any(Tail::is_open) => SourceState::Running,
                None => SourceState::Retrying("there is no such file yet".to_owned()),
            });
            idle = if found {
                LOOK.0
            } else {
                (idle * 2).min(LOOK.1)
            };
            let pause = if look.more { Duration::ZERO } else { idle };
            out.pause(pause).await?;
        }
    }

    /// Takes up files that are new under the pattern.
    async fn scan(
        &self,
        tails: &mut Vec<Tail>,
        out: &Outlet,
        is_pattern: bool,
    ) -> Result<(), SourceError> {
        let pattern = self.pattern.clone();
        let expand = move || {
            if is_pattern {
                glob::expand(&pattern)
            } else {
                vec![pattern]
            }
        };
        let found = blocking(expand).await?;
        for path in found {
            if tails.iter().any(|tail| tail.path() == path) {
                continue;
            }
            let name = tail::checkpoint_name(&path, &out.tenure.host);
            let stored = out.position(&name).await?;
            let resume = stored.as_ref().and_then(Position::parse);
            tracing::info!(file = %path.display(), resumes = resume.is_some(), "following file");
            let (source, tenure) = (out.name().clone(), out.tenure.clone());
            tails.push(Tail::new(path, source, tenure, resume));
        }
        Ok(())
    }
}

/// What one look at all files gave.
#[derive(Debug, Default)]
struct Look {
    inputs: Vec<Input>,
    more: bool,
    trouble: Option<String>,
}

/// Reads a bounded amount, beginning with another file each time so that none is starved.
async fn look_at(mut tails: Vec<Tail>) -> Result<(Vec<Tail>, Look), SourceError> {
    blocking(move || {
        let mut look = Look::default();
        let mut buffer = vec![0; CHUNK_BYTES];
        for tail in &mut tails {
            let left = BUDGET.saturating_sub(look.inputs.len());
            match tail.poll(&mut look.inputs, left, &mut buffer) {
                Ok(more) => look.more |= more,
                Err(error) => look.trouble = Some(trouble(tail, &error)),
            }
        }
        if !tails.is_empty() {
            tails.rotate_left(1);
        }
        (tails, look)
    })
    .await
}

fn trouble(tail: &Tail, error: &std::io::Error) -> String {
    let remedy = match error.kind() {
        std::io::ErrorKind::PermissionDenied => {
            "; add the service user to the group that may read it"
        }
        _ => "",
    };
    format!("cannot read log {:?}: {error}{remedy}", tail.path())
}

/// Threads that look at files; a source of its own for each of many files would keep as many.
static THREADS: Semaphore = Semaphore::const_new(2);

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, SourceError> {
    // An error: it is never closed.
    let _turn = THREADS.acquire().await;
    // The task fails only when the runtime is shutting down.
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| SourceError::Stopped)
}
