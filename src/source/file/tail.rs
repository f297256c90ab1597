//! One path, followed by name: through a rename with a new file in its place, through a copy with a
//! truncation of the original, and through what happened of both while nobody watched.
//!
//! Blocking; the caller decides on which thread. Invariant: of the bytes that were ever in the file
//! under this name, none is skipped that is still to be found, there or in a rotated file beside it.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;

use super::content::{Content, Inode, Position};
use crate::source::{Input, OffsetCheckpoint, StreamId, Tenure};

/// How long a renamed file must have been quiet before its successor is read instead: its writer goes
/// on with it until it is told to open the new one.
const QUIET: Duration = Duration::from_millis(500);
/// After this time the successor is read in any case.
const ROTATION: Duration = Duration::from_secs(10);
/// How long a renamed file must have been quiet before it is let go: of several writers one may notice
/// the rename late.
const LINGER: Duration = Duration::from_secs(60);
/// Renamed files looked at beside their successor; more are rotated at once only by mistake.
const MAX_LINGERING: usize = 4;

/// A followed path.
#[derive(Debug)]
pub(super) struct Tail {
    path: PathBuf,
    source: Arc<str>,
    checkpoint: Arc<str>,
    tenure: Tenure,
    resume: Option<Position>,
    /// Rotated files to be read to their ends first.
    backlog: VecDeque<(PathBuf, u64)>,
    open: Option<Open>,
    /// Renamed files that were read to their ends, and whose successor is being read.
    lingering: VecDeque<Open>,
}

#[derive(Debug)]
struct Open {
    content: Content,
    stream: StreamId,
    base: u64,
    last_read: Instant,
    length_seen: u64,
    replaced_at: Option<Instant>,
    /// Whether the file is read once: a rotated or a compressed one.
    once: bool,
    done: bool,
}

/// Name of the checkpoint of a path on a host: others may have a file of the same name.
pub(super) fn checkpoint_name(path: &Path, host: &str) -> Arc<str> {
    format!("file:{} on {host}", path.display()).into()
}

impl Tail {
    /// Follows a path from a position, else from its beginning.
    pub(super) fn new(
        path: PathBuf,
        source: Arc<str>,
        tenure: Tenure,
        resume: Option<Position>,
    ) -> Self {
        Self {
            checkpoint: checkpoint_name(&path, &tenure.host),
            path,
            source,
            tenure,
            resume,
            backlog: VecDeque::new(),
            open: None,
            lingering: VecDeque::new(),
        }
    }

    /// The path that is followed.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether there is a file to read.
    pub(super) const fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Reads up to `budget` pieces of the buffer's size into `out`; whether there may be more at once.
    pub(super) fn poll(
        &mut self,
        out: &mut Vec<Input>,
        budget: usize,
        buffer: &mut [u8],
    ) -> io::Result<bool> {
        if let Some(position) = self.resume.take()
            && let Err(error) = self.find(&position)
        {
            self.resume = Some(position);
            return Err(error);
        }
        let more = self.read_lingering(out, buffer);
        for _ in 0..budget {
            if self.open.is_none() && !self.open_next()? {
                return Ok(more);
            }
            if self.was_truncated()? {
                if !self.go_on_in_copy()? {
                    self.close(out);
                }
                continue;
            }
            if self.read(out, buffer)? {
                continue;
            }
            if !self.is_over()? {
                return Ok(more);
            }
            self.leave(out);
        }
        Ok(true)
    }

    /// Finds the file of a position, under its own name or rotated away, and what came after it.
    fn find(&mut self, position: &Position) -> io::Result<()> {
        match Content::open(&self.path) {
            Ok(mut content) if content.continues(position)? => {
                content.skip_to(position.offset)?;
                self.open = Some(self.opened(content, false)?);
                return Ok(());
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let siblings = siblings(&self.path);
        for (written, sibling) in &siblings {
            // One that vanishes or can't be read while we look is not the one.
            let found = Content::open(sibling).and_then(|file| file.continues(position));
            if !found.unwrap_or(false) {
                continue;
            }
            self.backlog.push_back((sibling.clone(), position.offset));
            let later = siblings
                .iter()
                .filter(|(at, other)| at >= written && other != sibling);
            self.backlog
                .extend(later.map(|(_, path)| (path.clone(), 0)));
            return Ok(());
        }
        // It is nowhere to be found: everything under the name is new.
        Ok(())
    }

    /// Opens what is to be read next; whether there is something.
    fn open_next(&mut self) -> io::Result<bool> {
        let (path, offset, once) = match self.backlog.pop_front() {
            Some((path, offset)) => (path, offset, true),
            None => (self.path.clone(), 0, false),
        };
        match Content::open(&path) {
            Ok(mut content) => {
                content.skip_to(offset)?;
                self.open = Some(self.opened(content, once)?);
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(once),
            Err(error) => Err(error),
        }
    }

    fn opened(&self, content: Content, once: bool) -> io::Result<Open> {
        Ok(Open {
            stream: StreamId::new(&self.source),
            base: content.offset,
            last_read: Instant::now(),
            length_seen: content.length()?,
            replaced_at: None,
            once: once || content.is_gzip(),
            done: false,
            content,
        })
    }

    /// Whether the file has been cut since the last look, even if it has grown past its old length.
    fn was_truncated(&mut self) -> io::Result<bool> {
        let Some(open) = &mut self.open else {
            return Ok(false);
        };
        let length = open.content.length()?;
        if open.content.is_gzip() || length == open.length_seen && !open.content.was_changed {
            return Ok(false);
        }
        open.length_seen = length;
        Ok(length < open.content.offset || open.content.has_changed()?)
    }

    /// Goes on in the copy that was made before the truncation, where what was not read stands; whether
    /// there is one.
    fn go_on_in_copy(&mut self) -> io::Result<bool> {
        let Some(open) = &mut self.open else {
            return Ok(false);
        };
        let position = Position {
            fingerprint: open.content.fingerprint,
            offset: open.content.offset,
        };
        for (_, sibling) in siblings(&self.path) {
            // One that vanishes or can't be read while we look is not the one.
            let Ok(mut copy) = Content::open(&sibling) else {
                continue;
            };
            if copy.continues(&position).unwrap_or(false) {
                copy.skip_to(position.offset)?;
                open.length_seen = copy.length()?;
                open.content = copy;
                open.once = true;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Reads the next piece; false at the end of the file.
    fn read(&mut self, out: &mut Vec<Input>, buffer: &mut [u8]) -> io::Result<bool> {
        let Some(open) = self.open.as_mut().filter(|open| !open.done) else {
            return Ok(false);
        };
        let count = open.content.read(buffer)?;
        let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else {
            return Ok(false);
        };
        open.last_read = Instant::now();
        out.push(Input::Bytes {
            stream: open.stream.clone(),
            bytes: Bytes::copy_from_slice(bytes),
            checkpoint: Some(OffsetCheckpoint {
                name: Arc::clone(&self.checkpoint),
                base: open.base,
                identity: Position::identity(open.content.fingerprint),
                fence: self.tenure.fence(),
            }),
        });
        Ok(true)
    }

    /// Whether the open file, read to its end, is done with.
    fn is_over(&mut self) -> io::Result<bool> {
        let Some(open) = &mut self.open else {
            return Ok(false);
        };
        let named = match std::fs::metadata(&self.path) {
            Ok(named) => named,
            // Renamed and not replaced yet, or deleted: its writer may go on all the same.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(open.once),
            Err(error) => return Err(error),
        };
        let replaced = Inode::of(&named) != open.content.inode()?;
        // Whoever compresses a rotated file may still be at it.
        let waits = open.content.is_cut() && open.last_read.elapsed() < ROTATION;
        if open.once && !waits && (replaced || !self.backlog.is_empty()) {
            return Ok(true);
        }
        if !replaced {
            open.done = open.once && !open.content.is_cut();
            open.replaced_at = None;
            return Ok(false);
        }
        let since = open.replaced_at.get_or_insert_with(Instant::now).elapsed();
        let quiet = open.last_read.elapsed() >= QUIET && named.len() > 0;
        Ok((quiet && since >= QUIET) || since >= ROTATION)
    }

    /// Reads on in renamed files; whether there was something. Their position is no place to resume:
    /// that one is in the successor.
    fn read_lingering(&mut self, out: &mut Vec<Input>, buffer: &mut [u8]) -> bool {
        let mut found = false;
        self.lingering.retain_mut(|open| {
            // One that can't be read any more has nothing more to give.
            let count = open.content.read(buffer).ok();
            let bytes = buffer.get(..count.unwrap_or(0)).unwrap_or_default();
            if !bytes.is_empty() {
                open.last_read = Instant::now();
                found = true;
                out.push(Input::Bytes {
                    stream: open.stream.clone(),
                    bytes: Bytes::copy_from_slice(bytes),
                    checkpoint: None,
                });
            }
            let stays = count.is_some() && open.last_read.elapsed() < LINGER;
            if !stays {
                out.push(Input::End(open.stream.clone()));
            }
            stays
        });
        found
    }

    /// Turns to the next file; a renamed one is looked at for some time more.
    fn leave(&mut self, out: &mut Vec<Input>) {
        if self.open.as_ref().is_some_and(|open| open.once) {
            return self.close(out);
        }
        if self.lingering.len() == MAX_LINGERING
            && let Some(oldest) = self.lingering.pop_front()
        {
            out.push(Input::End(oldest.stream));
        }
        self.lingering.extend(self.open.take());
    }

    fn close(&mut self, out: &mut Vec<Input>) {
        if let Some(open) = self.open.take() {
            out.push(Input::End(open.stream));
        }
    }
}

/// Files beside a path that can be rotated copies of it (`app.log.1`, `app.log-20261123.gz`), with the
/// time of their last change, oldest first.
fn siblings(path: &Path) -> Vec<(SystemTime, PathBuf)> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Vec::new();
    };
    let name = name.to_string_lossy();
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    // A folder that may not be read hides its rotated files; there is nobody else to ask.
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<_> = entries
        .filter(|entry| {
            let other = entry.file_name();
            let other = other.to_string_lossy();
            other
                .strip_prefix(&*name)
                .is_some_and(|rest| rest.starts_with(['.', '-', '_']))
        })
        .filter_map(|entry| {
            let metadata = entry.metadata().ok().filter(std::fs::Metadata::is_file)?;
            Some((metadata.modified().ok()?, entry.path()))
        })
        .collect();
    found.sort();
    found
}
