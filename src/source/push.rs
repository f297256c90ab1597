//! Logs that others push over HTTP. Answered only once they are committed; a sender that gets no
//! such answer sends again, which changes nothing where it was stored after all.
//!
//! Memory is bounded: only so many pushes are taken in at once, and none waits for ever.

use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::{CHUNK_BYTES, Input, InputSender, SourceState, SourceStatus, Sources, StreamId};

/// Pushes under way at once; with the largest body that a route takes they bound the memory.
const AT_ONCE: usize = 16;
/// How long a push may wait for its commit.
const PATIENCE: Duration = Duration::from_secs(10);
/// When a sender that was told to wait should try again.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// Longest name of a source that others choose.
const MAX_NAME: usize = 100;

/// Why a push was not taken.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PushError {
    /// Too much is under way, or the store is slow: 429.
    #[error("cannot store just now; send it again in {} s", .retry_after.as_secs())]
    Busy {
        /// When to try again.
        retry_after: Duration,
    },
    /// The store is away; what is sent again and again meanwhile would only fill the spool: 503.
    #[error("the database is away; send it again in {} s", .retry_after.as_secs())]
    Away {
        /// When to try again.
        retry_after: Duration,
    },
    /// The process is shutting down: 503.
    #[error("the collector is shutting down; send it again")]
    Stopped,
    /// The body can't be read: 400, or 413 when it is too large.
    #[error("{0}")]
    Unreadable(String),
    /// The body is larger than allowed once it is decompressed: 413.
    #[error("the body holds more than {0} bytes; send it in parts")]
    TooLarge(usize),
    /// The encoding is not known: 415.
    #[error("content encoding {0:?} is not supported; use gzip, zstd or none")]
    UnknownEncoding(String),
}

impl PushError {
    /// When the same push may be sent again; none when that is of no use.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy { retry_after } | Self::Away { retry_after } => Some(*retry_after),
            Self::Stopped => Some(RETRY_AFTER),
            Self::Unreadable(_) | Self::TooLarge(_) | Self::UnknownEncoding(_) => None,
        }
    }
}

/// Takes in what is pushed. Clones share its bound.
#[derive(Debug, Clone)]
pub struct Intake {
    // Weak, so that a server that is still open holds up no drain.
    input: mpsc::WeakSender<Input>,
    places: Arc<Semaphore>,
    status_of: Arc<Sources>,
}

impl Intake {
    /// An intake for a pipeline.
    pub fn new(input: &InputSender, sources: &Arc<Sources>) -> Self {
        Self {
            input: input.downgrade(),
            places: Arc::new(Semaphore::new(AT_ONCE)),
            status_of: Arc::clone(sources),
        }
    }

    /// Takes in text lines or JSON lines under the name of a source; returns once they are committed.
    pub async fn lines(&self, source: &str, body: Bytes) -> Result<(), PushError> {
        let status = self.status(&format!("push:{}", checked_name(source)?));
        status.received(body.len());
        let stream = StreamId::new(status.name());
        let mut inputs = Vec::new();
        let mut rest = body;
        while !rest.is_empty() {
            inputs.push(Input::Bytes {
                stream: stream.clone(),
                bytes: rest.split_to(rest.len().min(CHUNK_BYTES)),
                checkpoint: None,
            });
        }
        inputs.push(Input::End(stream));
        self.deliver(inputs).await
    }

    /// Sends inputs and waits for their commit.
    pub(super) async fn deliver(&self, inputs: Vec<Input>) -> Result<(), PushError> {
        let busy = PushError::Busy {
            retry_after: RETRY_AFTER,
        };
        if self.status_of.store_is_away() {
            return Err(PushError::Away {
                retry_after: RETRY_AFTER,
            });
        }
        let Ok(_place) = self.places.try_acquire() else {
            return Err(busy);
        };
        let input = self.input.upgrade().ok_or(PushError::Stopped)?;
        let (acknowledge, committed) = oneshot::channel();
        let sending = async {
            for one in inputs {
                input.send(one).await.map_err(|_| PushError::Stopped)?;
            }
            let sent = input.send(Input::Acknowledge(acknowledge)).await;
            sent.map_err(|_| PushError::Stopped)?;
            // The pipeline can end only when nobody may send any more.
            drop(input);
            committed.await.map_err(|_| PushError::Stopped)
        };
        tokio::time::timeout(PATIENCE, sending)
            .await
            .unwrap_or(Err(busy))
    }

    /// The status of a source that others push as.
    pub(super) fn status(&self, name: &str) -> Arc<SourceStatus> {
        let status = self.status_of.named(name);
        status.enter(SourceState::Running);
        status
    }
}

/// Decompresses a body, unless it holds more than `limit` bytes.
pub fn decompress(encoding: Option<&str>, body: Bytes, limit: usize) -> Result<Bytes, PushError> {
    let unreadable = |error: std::io::Error| {
        PushError::Unreadable(format!("the body cannot be decompressed: {error}"))
    };
    let mut plain = Vec::new();
    // One byte more than allowed tells a body that is too large from one that just fits.
    let most = limit as u64 + 1;
    match encoding.map(str::trim).unwrap_or_default() {
        "" | "identity" => {
            return if body.len() > limit {
                Err(PushError::TooLarge(limit))
            } else {
                Ok(body)
            };
        }
        "gzip" | "x-gzip" => flate2::read::MultiGzDecoder::new(&*body)
            .take(most)
            .read_to_end(&mut plain)
            .map_err(unreadable)?,
        "zstd" => zstd::Decoder::new(&*body)
            .map_err(unreadable)?
            .take(most)
            .read_to_end(&mut plain)
            .map_err(unreadable)?,
        other => return Err(PushError::UnknownEncoding(other.to_owned())),
    };
    if plain.len() > limit {
        Err(PushError::TooLarge(limit))
    } else {
        Ok(plain.into())
    }
}

fn checked_name(name: &str) -> Result<&str, PushError> {
    let fits = !name.is_empty()
        && name.len() <= MAX_NAME
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.:/@".contains(c));
    let reason = || {
        PushError::Unreadable(format!(
            "the name of a source has 1 to {MAX_NAME} letters, digits and -_.:/@"
        ))
    };
    fits.then_some(name).ok_or_else(reason)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn compressed_bodies_are_read_up_to_the_limit() {
        let text = Bytes::from(vec![b'x'; 1000]);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&text).unwrap();
        let gzip = Bytes::from(gzip.finish().unwrap());
        let zstd = Bytes::from(zstd::encode_all(&*text, 0).unwrap());
        for (encoding, body) in [("gzip", gzip), ("zstd", zstd)] {
            assert_eq!(
                decompress(Some(encoding), body.clone(), 1000).unwrap(),
                text
            );
            let refused = decompress(Some(encoding), body, 999);
            assert_eq!(refused, Err(PushError::TooLarge(999)));
        }
        assert!(matches!(
            decompress(Some("br"), text, 1000),
            Err(PushError::UnknownEncoding(_))
        ));
    }

    #[test]
    fn a_name_that_could_be_anything_is_refused() {
        assert!(checked_name("my-app.prod").is_ok());
        assert!(checked_name("").is_err() && checked_name("a b").is_err());
    }
}
