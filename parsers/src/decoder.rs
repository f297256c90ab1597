//! Owns the way from bytes to records: frame, take glue apart, open the envelope, read the grammar,
//! re-join halves, collect tracebacks.
//! Refuses I/O, clocks and threads: the caller hands in bytes and calls `flush` when it grew quiet.
//! Invariant: any chunking of the same bytes gives the same records and counts, and everything
//! before `resume_offset` has been handed out.

use crate::frame::{Framer, Want};
use crate::outlet::{Batch, Now};
use crate::record::{Envelope, Record};
use crate::stages::Stages;

/// Bounds of a decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a line that are read; the rest of it is dropped and the line counted as cut.
    pub max_line_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_line_bytes: 256 * 1024,
        }
    }
}

/// What a decoder has seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// Lines: ended by LF, CRLF or a lone CR, and a last one without end.
    pub lines: u64,
    /// Records of the trace grammar that were handed out.
    pub trace_lines: u64,
    /// Bytes taken in.
    pub bytes: u64,
    /// Byte sequences that are no UTF-8.
    pub invalid_utf8: u64,
    /// Lines longer than the limit.
    pub cut_lines: u64,
    /// Lines that were glued on to another without a newline.
    pub glued: u64,
    /// Trace lines put together from halves.
    pub rejoined: u64,
    /// Lines with a header in its place that was malformed.
    pub rejected: u64,
    /// Lines that only quote a header.
    pub quoted: u64,
    /// Tracebacks that were handed out.
    pub tracebacks: u64,
    /// Tracebacks without a failure of their container, which were dropped.
    pub tracebacks_dropped: u64,
}

/// Reads a stream incrementally, in bounded memory.
pub struct Decoder {
    framer: Framer,
    stages: Stages,
    counts: Counts,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// Makes a decoder with the default limits.
    pub fn new() -> Self {
        Self::with_limits(Limits::default())
    }

    /// Makes a decoder.
    pub fn with_limits(limits: Limits) -> Self {
        Self {
            framer: Framer::new(limits.max_line_bytes, Want::Marked),
            stages: Stages::default(),
            counts: Counts::default(),
        }
    }

    /// Feeds bytes; calls `sink` for each record, in the order in which records become complete.
    pub fn push(&mut self, chunk: &[u8], sink: &mut impl FnMut(Record<'_>)) {
        let (stages, mut out) = (&mut self.stages, Batch::new(sink));
        self.framer
            .push(chunk, &mut |line| stages.line(line, &mut out));
        out.flush();
        self.count();
    }

    /// Feeds one message that came apart from its metadata; it may hold several lines. Each call
    /// counts as one unit of offset, so a decoder is fed either bytes or messages.
    pub fn push_message(
        &mut self,
        envelope: Envelope<'_>,
        message: &str,
        sink: &mut impl FnMut(Record<'_>),
    ) {
        self.stages.apart(&envelope, message, &mut Now { sink });
        self.count();
    }

    /// Ends the stream: the last unterminated line, half lines and open tracebacks come out.
    pub fn finish(&mut self, sink: &mut impl FnMut(Record<'_>)) {
        let stages = &mut self.stages;
        let mut out = Now { sink };
        self.framer.finish(&mut |line| stages.line(line, &mut out));
        self.flush(sink);
    }

    /// Hands out what waits only for the stream to go on (half lines and tracebacks), for a caller
    /// whose stream has been quiet for a while. A line that has not ended stays.
    pub fn flush(&mut self, sink: &mut impl FnMut(Record<'_>)) {
        self.stages.release(&mut Now { sink });
        self.framer.want(Want::Marked);
        self.count();
    }

    /// Stream offset before which everything has been handed out: where a checkpoint may stand. A
    /// line that has not ended, a half line and an open traceback (from the failure on that it
    /// belongs to) hold it back.
    pub fn resume_offset(&self) -> u64 {
        let framed = self.framer.line_start().max(self.stages.messages());
        self.stages
            .held_from()
            .map_or(framed, |held| held.min(framed))
    }

    /// What has been seen so far.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    fn count(&mut self) {
        let (frame, stages) = (self.framer.counts(), self.stages.counts());
        self.counts = Counts {
            lines: frame.lines + stages.lines,
            bytes: frame.bytes + stages.bytes,
            invalid_utf8: frame.invalid_utf8,
            cut_lines: frame.cut_lines,
            ..*stages
        };
    }
}
