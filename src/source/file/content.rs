//! The bytes of a log file, plain or gzipped, and the fingerprint by which it is known again under
//! another name.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_64;

/// Bytes at the head of a file that make its fingerprint: some lines with their times.
const HEAD: usize = 1024;

/// The hash of a file's first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fingerprint {
    length: usize,
    hash: u64,
}

impl Fingerprint {
    fn of(head: &[u8]) -> Self {
        Self {
            length: head.len(),
            hash: xxh3_64(head),
        }
    }

    /// Whether a file that begins with `head` can be the one this was taken from. An empty file had
    /// nothing to be known by.
    fn fits(&self, head: &[u8]) -> bool {
        self.length > 0
            && head
                .get(..self.length)
                .is_some_and(|head| xxh3_64(head) == self.hash)
    }
}

/// Where reading resumes: in which file, and how far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) fingerprint: Fingerprint,
    pub(super) offset: u64,
}

impl Position {
    /// Reads a stored checkpoint.
    pub(super) fn parse(stored: &Value) -> Option<Self> {
        let hash = u64::from_str_radix(stored.get("head")?.as_str()?, 16).ok()?;
        let length = usize::try_from(stored.get("head_bytes")?.as_u64()?).ok()?;
        Some(Self {
            fingerprint: Fingerprint { length, hash },
            offset: stored.get("offset")?.as_u64()?,
        })
    }

    /// What a checkpoint says beside the offset.
    pub(super) fn identity(fingerprint: Fingerprint) -> Value {
        json!({"head": format!("{:016x}", fingerprint.hash), "head_bytes": fingerprint.length})
    }
}

/// A file on disk, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Inode(u64, u64);

impl Inode {
    pub(super) fn of(metadata: &std::fs::Metadata) -> Self {
        Self(metadata.dev(), metadata.ino())
    }
}

/// An open log file.
#[derive(Debug)]
pub(super) struct Content {
    file: File,
    gzip: Option<MultiGzDecoder<BufReader<File>>>,
    /// Bytes handed out or skipped, decompressed.
    pub(super) offset: u64,
    pub(super) fingerprint: Fingerprint,
}

impl Content {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let is_gzip = path.extension().is_some_and(|ending| ending == "gz");
        let mut content = Self {
            gzip: None,
            offset: 0,
            fingerprint: Fingerprint::of(&[]),
            file,
        };
        if is_gzip {
            let head = content.head(path)?;
            content.fingerprint = Fingerprint::of(&head);
            content.gzip = Some(gzip(path)?);
        } else {
            content.fingerprint = Fingerprint::of(&content.plain_head()?);
        }
        Ok(content)
    }

    /// Whether the file is compressed, and so read once and not followed.
    pub(super) const fn is_gzip(&self) -> bool {
        self.gzip.is_some()
    }

    pub(super) fn inode(&self) -> io::Result<Inode> {
        Ok(Inode::of(&self.file.metadata()?))
    }

    pub(super) fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Whether this is the file of a position and reaches as far.
    pub(super) fn continues(&self, position: &Position, path: &Path) -> io::Result<bool> {
        let head = if self.is_gzip() {
            self.head(path)?
        } else {
            self.plain_head()?
        };
        let reaches = self.is_gzip() || self.length()? >= position.offset;
        Ok(reaches && position.fingerprint.fits(&head))
    }

    /// Whether the file still begins as it did. Takes in what a young file has gained since.
    pub(super) fn is_unchanged(&mut self) -> io::Result<bool> {
        if self.is_gzip() {
            return Ok(true);
        }
        let head = self.plain_head()?;
        if self.fingerprint.length > 0 && !self.fingerprint.fits(&head) {
            return Ok(false);
        }
        if head.len() > self.fingerprint.length {
            self.fingerprint = Fingerprint::of(&head);
        }
        Ok(true)
    }

    /// Goes on behind an offset.
    pub(super) fn skip_to(&mut self, offset: u64) -> io::Result<()> {
        if let Some(gzip) = &mut self.gzip {
            io::copy(&mut gzip.take(offset - self.offset), &mut io::sink())?;
        }
        self.offset = offset;
        Ok(())
    }

    /// The next bytes; 0 at the end.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = match &mut self.gzip {
            Some(gzip) => gzip.read(buffer)?,
            None => self.file.read_at(buffer, self.offset)?,
        };
        self.offset += count as u64;
        Ok(count)
    }

    fn plain_head(&self) -> io::Result<Vec<u8>> {
        let mut head = vec![0; HEAD];
        let count = self.file.read_at(&mut head, 0)?;
        head.truncate(count);
        Ok(head)
    }

    fn head(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut head = Vec::with_capacity(HEAD);
        gzip(path)?.take(HEAD as u64).read_to_end(&mut head)?;
        Ok(head)
    }
}

fn gzip(path: &Path) -> io::Result<MultiGzDecoder<BufReader<File>>> {
    Ok(MultiGzDecoder::new(BufReader::new(File::open(path)?)))
}
