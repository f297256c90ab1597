//! The queue of one writer: segments, the oldest of which is read while the newest is written.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::SystemTime;

use xxhash_rust::xxh3::xxh3_64;

use super::{Entry, Spool, SpoolError, open_private};
use crate::model::LossEntry;

/// A segment is full beyond this; it is deleted as a whole once all of it is stored.
const SEGMENT_BYTES: u64 = 8 << 20;
/// Length and checksum.
const HEADER: usize = 12;

/// The queue of one writer.
#[derive(Debug)]
pub struct Lane {
    folder: PathBuf,
    limit: u64,
    used: Arc<AtomicU64>,
    lane: usize,
    next_number: u64,
    segments: VecDeque<Segment>,
    reading: Option<Reading>,
    /// Bytes of the oldest segment that are stored.
    confirmed: u64,
    writing: Option<File>,
}

#[derive(Debug)]
struct Segment {
    path: PathBuf,
    bytes: u64,
    began: SystemTime,
}

#[derive(Debug)]
struct Reading {
    file: BufReader<File>,
    /// Bytes handed out.
    offset: u64,
}

impl Lane {
    pub(super) fn open(spool: &Spool, lane: usize, lanes: usize) -> io::Result<Self> {
        let mut left = Vec::new();
        let mut next_number = 0;
        for entry in std::fs::read_dir(&spool.folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some((of, number)) = segment_name(&name.to_string_lossy()) else {
                continue;
            };
            if of % lanes != lane {
                continue;
            }
            let metadata = entry.metadata()?;
            next_number = next_number.max(number + 1);
            left.push((
                number,
                Segment {
                    path: entry.path(),
                    bytes: metadata.len(),
                    began: metadata.modified()?,
                },
            ));
        }
        left.sort_by_key(|(number, _)| *number);
        let segments: VecDeque<_> = left.into_iter().map(|(_, segment)| segment).collect();
        let bytes = segments.iter().map(|segment| segment.bytes).sum();
        spool.used.fetch_add(bytes, Relaxed);
        Ok(Self {
            folder: spool.folder.clone(),
            limit: spool.limit,
            used: Arc::clone(&spool.used),
            lane,
            next_number,
            segments,
            reading: None,
            confirmed: 0,
            writing: None,
        })
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Whether there is room for more.
    pub fn has_room(&self) -> bool {
        self.used.load(Relaxed) < self.limit
    }

    /// Bytes that wait on disk.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// When what waits longest began to.
    pub fn waiting_since(&self) -> Option<SystemTime> {
        self.segments.front().map(|segment| segment.began)
    }

    /// Puts an entry on disk; it is safe there when this returns.
    pub fn append(&mut self, entry: &Entry<'_>) -> Result<(), SpoolError> {
        if !self.has_room() {
            return Err(SpoolError::Full);
        }
        self.write(entry).map_err(|source| {
            // What was half written is cut off by its checksum; the next record needs a new segment.
            self.writing = None;
            self.error(source)
        })
    }

    fn write(&mut self, entry: &Entry<'_>) -> io::Result<()> {
        let mut record = vec![0; HEADER];
        serde_json::to_writer(&mut record, entry)?;
        let payload = record.split_off(HEADER);
        let length = u32::try_from(payload.len()).map_err(io::Error::other)?;
        record.clear();
        record.extend_from_slice(&length.to_be_bytes());
        record.extend_from_slice(&xxh3_64(&payload).to_be_bytes());
        record.extend_from_slice(&payload);
        let full = self
            .segments
            .back()
            .is_none_or(|last| last.bytes >= SEGMENT_BYTES);
        if full || self.writing.is_none() {
            let name = format!("{:02}-{:010}.spool", self.lane, self.next_number);
            let path = self.folder.join(name);
            self.writing = Some(open_private(&path)?);
            // The name must be on disk too, or the file is lost with a crash of the system.
            File::open(&self.folder)?.sync_all()?;
            self.next_number += 1;
            self.segments.push_back(Segment {
                path,
                bytes: 0,
                began: SystemTime::now(),
            });
        }
        if let (Some(file), Some(segment)) = (&mut self.writing, self.segments.back_mut()) {
            segment.bytes += record.len() as u64;
            self.used.fetch_add(record.len() as u64, Relaxed);
            file.write_all(&record)?;
            file.sync_data()?;
        }
        Ok(())
    }

    /// The oldest entries that were not handed out yet, until `rows` are together; none when all were.
    pub fn take(&mut self, rows: usize) -> Result<Vec<Entry<'static>>, SpoolError> {
        let mut entries = Vec::new();
        let mut taken = 0;
        while taken < rows {
            let Some(entry) = self.next_entry().map_err(|source| self.error(source))? else {
                break;
            };
            taken += entry.observations.len() + entry.spans.len();
            entries.push(entry);
        }
        Ok(entries)
    }

    /// The next entry of the oldest segment. One that can't be understood, because another version
    /// wrote it, becomes a loss.
    fn next_entry(&mut self) -> io::Result<Option<Entry<'static>>> {
        let Some(payload) = self.next_record()? else {
            return Ok(None);
        };
        Ok(Some(serde_json::from_slice(&payload).unwrap_or_else(
            |error| {
                tracing::error!(%error, "a spooled batch cannot be read; it is entered as a loss");
                let began = self.waiting_since().unwrap_or_else(SystemTime::now);
                Entry {
                    losses: vec![LossEntry {
                        source: "spool".to_owned(),
                        from: began.into(),
                        to: SystemTime::now().into(),
                        reason: "a spooled batch could not be read".to_owned(),
                        lost: 0,
                    }]
                    .into(),
                    ..Entry::default()
                }
            },
        )))
    }

    /// The next record of the oldest segment. The end of a segment is the end of what is handed out,
    /// so that [`Lane::confirm`] can delete it.
    fn next_record(&mut self) -> io::Result<Option<Vec<u8>>> {
        let Some(segment) = self.segments.front() else {
            return Ok(None);
        };
        if self.reading.is_none() {
            let mut file = BufReader::new(File::open(&segment.path)?);
            file.seek(io::SeekFrom::Start(self.confirmed))?;
            let offset = self.confirmed;
            self.reading = Some(Reading { file, offset });
        }
        let Some(reading) = &mut self.reading else {
            return Ok(None);
        };
        if reading.offset >= segment.bytes {
            return Ok(None);
        }
        let Some(payload) = read_record(&mut reading.file)? else {
            tracing::warn!(segment = %segment.path.display(), "the end of a spool segment is damaged; it was being written when the process ended");
            reading.offset = segment.bytes;
            return Ok(None);
        };
        reading.offset += (HEADER + payload.len()) as u64;
        Ok(Some(payload))
    }

    /// All that was handed out is stored: deletes segments that have been read to their end.
    pub fn confirm(&mut self) -> Result<(), SpoolError> {
        let read = self.reading.as_ref().map_or(0, |reading| reading.offset);
        self.confirmed = self.confirmed.max(read);
        let Some(segment) = self
            .segments
            .front()
            .filter(|segment| read >= segment.bytes)
        else {
            return Ok(());
        };
        let (path, bytes) = (segment.path.clone(), segment.bytes);
        std::fs::remove_file(&path).map_err(|source| self.error(source))?;
        self.used.fetch_sub(bytes, Relaxed);
        self.segments.pop_front();
        self.confirmed = 0;
        self.reading = None;
        if self.segments.is_empty() {
            self.writing = None;
        }
        Ok(())
    }

    /// What was handed out was not stored: it comes out again.
    pub fn rewind(&mut self) {
        self.reading = None;
    }

    fn error(&self, source: io::Error) -> SpoolError {
        SpoolError::Io {
            path: self.folder.clone(),
            source,
        }
    }
}

/// A record, or none when it was cut or damaged.
fn read_record(file: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut header = [0; HEADER];
    if let Err(error) = file.read_exact(&mut header) {
        return if error.kind() == io::ErrorKind::UnexpectedEof {
            Ok(None)
        } else {
            Err(error)
        };
    }
    let [a, b, c, d, checksum @ ..] = header;
    let mut payload = Vec::new();
    let length = u64::from(u32::from_be_bytes([a, b, c, d]));
    file.take(length).read_to_end(&mut payload)?;
    let whole = payload.len() as u64 == length && xxh3_64(&payload) == u64::from_be_bytes(checksum);
    Ok(whole.then_some(payload))
}

/// `02-0000000007.spool` → (2, 7)
fn segment_name(name: &str) -> Option<(usize, u64)> {
    let (lane, number) = name.strip_suffix(".spool")?.split_once('-')?;
    Some((lane.parse().ok()?, number.parse().ok()?))
}
