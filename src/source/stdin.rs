//! Standard input: a pipe that can't be read twice. What was read and not yet committed when the
//! process is killed is gone; at most one flush interval.

use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::mpsc::WeakSender;
use tokio::sync::oneshot;

use super::{Input, Outlet, SourceError, SourceState, StreamId};

/// What one read takes at most. A pipe gives less; a file fills it, and each read is one handing over of work from
/// thread to thread.
const BUFFER_BYTES: usize = 256 * 1024;

/// Reads standard input to its end.
#[derive(Debug)]
pub struct StdinSource;

impl StdinSource {
    /// Reads until end of input or cancellation; `progress` is told the bytes of each read.
    pub async fn run(
        self,
        out: Outlet,
        progress: impl Fn(usize) + Send + 'static,
    ) -> Result<(), SourceError> {
        self.read(std::io::stdin(), out, progress).await
    }

    /// Reads another pipe in the same way.
    ///
    /// A thread of its own reads: a blocking read of a terminal or an idle pipe can't be cancelled,
    /// and a runtime would wait for it at shutdown. The thread ends with the process.
    pub async fn read(
        self,
        input: impl Read + Send + 'static,
        out: Outlet,
        progress: impl Fn(usize) + Send + 'static,
    ) -> Result<(), SourceError> {
        let stream = out.stream();
        out.status.enter(SourceState::Running);
        let (done, mut finished) = oneshot::channel();
        // Weak: a thread that waits for input must not keep the pipeline open.
        let (sender, reader_stream) = (out.input.downgrade(), stream.clone());
        let status = Arc::clone(&out.status);
        let counted = move |bytes| {
            status.received(bytes);
            progress(bytes);
        };
        let spawned = std::thread::Builder::new()
            .name("stdin".into())
            .spawn(move || {
                // An error: the waiting side was cancelled and nobody wants the answer any more.
                let _ = done.send(read_to_end(input, &sender, &reader_stream, counted));
            });
        spawned.map_err(read_error)?;
        tokio::select! {
            result = &mut finished => result.unwrap_or(Ok(()))?,
            // The stream is cut, not ended: half a line must not be taken for a whole one.
            () = out.stop.cancelled() => return Ok(()),
        }
        out.status.enter(SourceState::Ended);
        out.send(Input::End(stream)).await
    }
}

fn read_to_end(
    mut input: impl Read,
    out: &WeakSender<Input>,
    stream: &StreamId,
    progress: impl Fn(usize),
) -> Result<(), SourceError> {
    let buffers = Arc::new(Buffers::default());
    loop {
        let mut chunk = Chunk::new(&buffers);
        match input.read(&mut chunk.buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => chunk.filled = count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(read_error(error)),
        }
        progress(chunk.filled);
        let bytes = Bytes::from_owner(chunk);
        let out = out.upgrade().ok_or(SourceError::PipelineStopped)?;
        out.blocking_send(Input::Bytes {
            stream: stream.clone(),
            bytes,
            checkpoint: None,
        })?;
    }
}

/// Buffers that are free again. To clear a new one for each read takes as long as to read.
type Buffers = Mutex<Vec<Vec<u8>>>;

/// What one read has filled; the buffer goes back when nobody needs it any more.
struct Chunk {
    buffer: Vec<u8>,
    filled: usize,
    home: Arc<Buffers>,
}

impl Chunk {
    fn new(home: &Arc<Buffers>) -> Self {
        let free = home.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Self {
            buffer: free.unwrap_or_else(|| vec![0; BUFFER_BYTES]),
            filled: 0,
            home: Arc::clone(home),
        }
    }
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        self.buffer.get(..self.filled).unwrap_or(&self.buffer)
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        let mut home = self.home.lock().unwrap_or_else(PoisonError::into_inner);
        home.push(std::mem::take(&mut self.buffer));
    }
}

fn read_error(source: std::io::Error) -> SourceError {
    SourceError::Read {
        what: "standard input".into(),
        source,
        remedy: "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_used_again_once_its_bytes_are_needed_no_more() {
        let buffers = Arc::new(Buffers::default());
        let mut chunk = Chunk::new(&buffers);
        chunk.buffer[..3].copy_from_slice(b"abc");
        chunk.filled = 3;
        let bytes = Bytes::from_owner(chunk);
        assert_eq!(&bytes[..], b"abc");
        assert!(buffers.lock().unwrap().is_empty());
        let address = bytes.as_ptr();
        drop(bytes);
        assert_eq!(Chunk::new(&buffers).buffer.as_ptr(), address);
    }
}
