//! Where batches wait on disk while the database is away.
//!
//! A spool is a folder of segments, a lane for each writer. Invariants: what [`Lane::append`] has
//! returned for survives a crash; entries come out in the order in which they went in; the segments
//! together stay within the bound. A record that was cut by a crash ends its segment. An entry can come
//! out again after a crash, which changes nothing, because storing is idempotent.

mod lane;

use std::borrow::Cow;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64;

pub use self::lane::Lane;
use crate::model::{LossEntry, Observation, Span};

/// Processes that may share a state directory, each with a folder of its own.
const MAX_SHARING: usize = 16;

/// What can go wrong with a spool.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// Its bound is reached.
    #[error("the spool is full; raise its bound, or bring the database back")]
    Full,
    /// The disk refuses.
    #[error("cannot use the spool in {path:?}: {source}; make it writable and give it room")]
    Io {
        /// The folder.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

/// What one writer would have stored in one transaction. Checkpoints are not among it: they are
/// released only when the rows before them are in the database.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Entry<'a> {
    /// The process that spooled it.
    pub run: u64,
    /// The flush that it is a part of, a number of that process.
    pub flush: Option<u64>,
    /// Printed spans.
    pub observations: Cow<'a, [Observation]>,
    /// Spans with ids of their own.
    pub spans: Cow<'a, [Span]>,
    /// Losses.
    pub losses: Cow<'a, [LossEntry]>,
}

/// A folder on disk with a bound.
#[derive(Debug)]
pub struct Spool {
    folder: PathBuf,
    limit: u64,
    used: Arc<AtomicU64>,
    /// Keeps other processes out for as long as this one lives.
    _lock: Flock<File>,
}

impl Spool {
    /// Opens the spool for a database below `base`: what waits for one database must never reach
    /// another. A second process gets a folder of its own.
    pub fn open(base: &Path, database: &str, limit: u64) -> Result<Self, SpoolError> {
        let base = base.join(format!("{:016x}", xxh3_64(identity(database).as_bytes())));
        let failed = |source| SpoolError::Io {
            path: base.clone(),
            source,
        };
        for number in 0..MAX_SHARING {
            let folder = base.join(number.to_string());
            make_folder(&folder).map_err(failed)?;
            let lock = open_private(&folder.join("lock")).map_err(failed)?;
            match Flock::lock(lock, FlockArg::LockExclusiveNonblock) {
                Ok(lock) => {
                    return Ok(Self {
                        folder,
                        limit,
                        used: Arc::default(),
                        _lock: lock,
                    });
                }
                Err((_, nix::errno::Errno::EWOULDBLOCK)) => {}
                Err((_, errno)) => return Err(failed(errno.into())),
            }
        }
        Err(failed(io::Error::other("all its folders are in use")))
    }

    /// An id that stays with the folder: as long as the lock is held no other process has it, and the
    /// next one that opens the folder is this one's successor.
    pub fn identity(&self) -> Result<Uuid, SpoolError> {
        let path = self.folder.join("lock");
        let failed = |source| SpoolError::Io {
            path: path.clone(),
            source,
        };
        let text = std::fs::read_to_string(&path).map_err(failed)?;
        if let Ok(known) = text.trim().parse() {
            return Ok(known);
        }
        let new = Uuid::new_v4();
        std::fs::write(&path, format!("{new}\n")).map_err(failed)?;
        Ok(new)
    }

    /// The folder on disk.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Bytes that may wait here.
    pub const fn limit(&self) -> u64 {
        self.limit
    }

    /// The queue of one of `lanes` writers, with what an earlier process left for it.
    pub fn lane(&self, lane: usize, lanes: usize) -> Result<Lane, SpoolError> {
        Lane::open(self, lane, lanes).map_err(|source| SpoolError::Io {
            path: self.folder.clone(),
            source,
        })
    }
}

/// What of a database URL says which database it is: a password may change, and so may options.
fn identity(database: &str) -> String {
    let Some((scheme, rest)) = database.split_once("://") else {
        return database.to_owned();
    };
    let plain = rest.split('?').next().unwrap_or_default();
    let (authority, name) = plain.rsplit_once('/').unwrap_or((plain, ""));
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}/{name}")
}

/// Log text may hold anything, so the folder is its owner's alone.
fn make_folder(path: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

fn open_private(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
}

#[cfg(test)]
mod tests;
