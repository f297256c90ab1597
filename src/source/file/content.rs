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

/// Reads a compressed file without moving the place at which others read it.
#[derive(Debug)]
struct FromStart {
    file: File,
    offset: u64,
}

impl Read for FromStart {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.offset)?;
        self.offset += count as u64;
        Ok(count)
    }
}

type Gzip = MultiGzDecoder<BufReader<FromStart>>;

/// An open log file.
#[derive(Debug)]
pub(super) struct Content {
    file: File,
    gzip: Option<Gzip>,
    /// Size of a compressed file when its end was found to be missing: it is still being written.
    cut_at: Option<u64>,
    /// Whether a read met other contents than the file had when it was opened.
    pub(super) was_changed: bool,
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
            cut_at: None,
            was_changed: false,
            offset: 0,
            fingerprint: Fingerprint::of(&[]),
            file,
        };
        if is_gzip {
            content.gzip = Some(content.gunzip()?);
            content.fingerprint = Fingerprint::of(&content.head()?);
        } else {
            content.fingerprint = Fingerprint::of(&content.head()?);
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
    pub(super) fn continues(&self, position: &Position) -> io::Result<bool> {
        let head = self.head()?;
        let reaches = self.is_gzip() || self.length()? >= position.offset;
        Ok(reaches && position.fingerprint.fits(&head))
    }

    /// Whether the file holds something else than when it was opened. Takes in what a young file has gained since.
    pub(super) fn has_changed(&mut self) -> io::Result<bool> {
        Ok(self.was_changed || !self.is_unchanged()?)
    }

    fn is_unchanged(&mut self) -> io::Result<bool> {
        let head = self.head()?;
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
            match io::copy(&mut gzip.take(offset - self.offset), &mut io::sink()) {
                // It is shorter than it was: nothing of it is new.
                Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => return Err(error),
                _ => {}
            }
        }
        self.offset = offset;
        Ok(())
    }

    /// The next bytes; 0 at the end.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = if self.is_gzip() {
            self.read_gzip(buffer)?
        } else {
            self.read_plain(buffer)?
        };
        self.offset += count as u64;
        Ok(count)
    }

    /// What was read counts only if the file is still the same afterwards: one that was truncated and
    /// has grown again meanwhile holds something else at the same place.
    fn read_plain(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.offset)?;
        let end = self.offset + count as u64;
        if count > 0 && (self.length()? < end || !self.is_unchanged()?) {
            self.was_changed = true;
            return Ok(0);
        }
        Ok(count)
    }

    fn read_gzip(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.length()?;
        if self.cut_at == Some(length) {
            return Ok(0);
        }
        if self.cut_at.take().is_some() {
            self.gzip = Some(self.gunzip()?);
            let read = std::mem::take(&mut self.offset);
            self.skip_to(read)?;
        }
        let Some(gzip) = &mut self.gzip else {
            return Ok(0);
        };
        match gzip.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                self.cut_at = Some(length);
                Ok(0)
            }
            read => read,
        }
    }

    /// Whether a compressed file has no end yet.
    pub(super) const fn is_cut(&self) -> bool {
        self.cut_at.is_some()
    }

    /// Up to [`HEAD`] bytes from the beginning, decompressed.
    fn head(&self) -> io::Result<Vec<u8>> {
        let mut head = Vec::with_capacity(HEAD);
        if !self.is_gzip() {
            head.resize(HEAD, 0);
            let count = self.file.read_at(&mut head, 0)?;
            head.truncate(count);
            return Ok(head);
        }
        match self.gunzip()?.take(HEAD as u64).read_to_end(&mut head) {
            // It is still being written: what is there so far is known.
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => Err(error),
            _ => Ok(head),
        }
    }

    fn gunzip(&self) -> io::Result<Gzip> {
        let file = self.file.try_clone()?;
        let from_start = FromStart { file, offset: 0 };
        Ok(MultiGzDecoder::new(BufReader::new(from_start)))
    }
}
