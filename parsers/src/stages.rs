//! Owns the way of a line to records: open its envelope, take glue apart, find the header, read the
//! grammar, re-join halves, collect tracebacks.
//! Refuses bytes and framing: lines come in whole.
//! Invariant: what a line becomes depends on the lines of its stream alone, and what waits is bounded.

use crate::decoder::Counts;
use crate::envelope::{self, Form, Opened};
use crate::error::LineErrorKind;
use crate::frame::{Line, Want};
use crate::glue;
use crate::header::{self, Header};
use crate::record::{Body, Envelope, Phase, Record, TraceLine};
use crate::rejoin::{self, Fit, Half, Waiting};
use crate::text;
use crate::trace_line;
use crate::traceback::{self, Follows, Open, Tracebacks};

/// Lines that may pass while a half line waits for its rest or a traceback for its next line: at a
/// busy application's thousand lines a second, the second by which the CLI cuts lines.
const PATIENCE_LINES: u64 = 1024;
/// Bytes that may pass meanwhile.
const PATIENCE_BYTES: u64 = 1024 * 1024;

/// Everything behind the framer.
#[derive(Default)]
pub(crate) struct Stages {
    waiting: Waiting,
    tracebacks: Tracebacks,
    /// Lines and bytes among these are only those of messages: the framer counts its own.
    counts: Counts,
    /// Lines seen here: all of them while something waits, only marked ones otherwise.
    seen: u64,
    /// Messages that did not pass through the framer.
    messages: u64,
}

type Span = (u64, u64);

impl Stages {
    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// How many messages came apart from their metadata.
    pub(crate) fn messages(&self) -> u64 {
        self.messages
    }

    /// Where the oldest thing begins that has not been handed out.
    pub(crate) fn held_from(&self) -> Option<u64> {
        self.waiting
            .start()
            .into_iter()
            .chain(self.tracebacks.start())
            .min()
    }

    /// Takes a message that came apart from its metadata.
    pub(crate) fn apart(
        &mut self,
        envelope: &Envelope<'_>,
        message: &str,
        sink: &mut impl FnMut(Record<'_>),
    ) {
        let start = self.messages;
        self.messages += 1;
        self.counts.bytes += message.len() as u64;
        for line in message.trim_end_matches(['\n', '\r']).split(['\n', '\r']) {
            self.counts.lines += 1;
            self.advance(start, sink);
            self.message(envelope, &text::clean(line), (start, start + 1), sink);
        }
    }

    /// Takes a line from the framer; says which lines it needs next.
    pub(crate) fn line(&mut self, line: &Line<'_>, sink: &mut impl FnMut(Record<'_>)) -> Want {
        self.advance(line.start, sink);
        let span = (line.start, line.end);
        let cleaned = text::clean(&line.text);
        let Opened {
            envelope,
            message,
            form,
        } = envelope::open(&cleaned);
        if form == Form::Json && message.contains('\n') {
            for message in message.split('\n') {
                self.message(&envelope, message, span, sink);
            }
        } else {
            self.message(&envelope, &message, span, sink);
        }
        if self.waiting.is_empty() && self.tracebacks.is_empty() {
            Want::Marked
        } else {
            Want::Every
        }
    }

    /// Counts a line, and hands out what waited too long.
    fn advance(&mut self, start: u64, sink: &mut impl FnMut(Record<'_>)) {
        self.seen += 1;
        let oldest = self.seen.saturating_sub(PATIENCE_LINES);
        while let Some(half) = self
            .waiting
            .expired(start.saturating_sub(PATIENCE_BYTES), oldest)
        {
            self.as_it_came(&half, sink);
        }
        while let Some(open) = self.tracebacks.expired(self.seen, PATIENCE_LINES) {
            self.traceback(&open, sink);
        }
    }

    fn message(
        &mut self,
        envelope: &Envelope<'_>,
        message: &str,
        span: Span,
        sink: &mut impl FnMut(Record<'_>),
    ) {
        match glue::split(envelope, message) {
            None => self.piece(envelope, message, span, sink),
            Some(pieces) => {
                self.counts.glued += 1.max(pieces.len() as u64 - 1);
                for piece in pieces {
                    self.piece(&piece.envelope, &piece.message, span, sink);
                }
            }
        }
    }

    /// One line without its envelope.
    fn piece(
        &mut self,
        envelope: &Envelope<'_>,
        message: &str,
        span: Span,
        sink: &mut impl FnMut(Record<'_>),
    ) {
        let header = header::find(message);
        if self.is_rest(envelope, message, header, span, sink) {
            return;
        }
        match header {
            Header::At(start) => self.trace_line(envelope, message, start, span, sink),
            Header::Quoted(_) => {
                self.counts.quoted += 1;
                self.other(envelope, message, span, sink);
            }
            Header::Absent => self.other(envelope, message, span, sink),
        }
    }

    /// Whether the line is the rest of one that waited, and was dealt with as such.
    fn is_rest(
        &mut self,
        envelope: &Envelope<'_>,
        message: &str,
        header: Header,
        span: Span,
        sink: &mut impl FnMut(Record<'_>),
    ) -> bool {
        if self.waiting.is_empty() {
            return false;
        }
        let is_header = matches!(header, Header::At(_));
        match self
            .waiting
            .offer(envelope, message, is_header, self.seen, span.1)
        {
            Fit::Unrelated => false,
            Fit::Never(half) => {
                self.as_it_came(&half, sink);
                false
            }
            Fit::Rest(half) => {
                self.counts.rejoined += 1;
                self.joined(half, sink);
                true
            }
        }
    }

    fn joined(&mut self, half: Half, sink: &mut impl FnMut(Record<'_>)) {
        let cut = match header::find(&half.message) {
            Header::At(start) => match trace_line::parse_at(&half.message, start) {
                Ok(line) => rejoin::cut(&line),
                Err(_) => Some(rejoin::Cut::Header),
            },
            _ => Some(rejoin::Cut::Header),
        };
        match cut {
            Some(cut) => self.hold(half.cut_again(cut), sink),
            None => self.as_it_came(&half, sink),
        }
    }

    fn hold(&mut self, half: Half, sink: &mut impl FnMut(Record<'_>)) {
        if let Some(surplus) = self.waiting.hold(half) {
            self.as_it_came(&surplus, sink);
        }
    }

    /// A header stands where one can.
    fn trace_line(
        &mut self,
        envelope: &Envelope<'_>,
        message: &str,
        start: usize,
        span: Span,
        sink: &mut impl FnMut(Record<'_>),
    ) {
        let ended = self.tracebacks.end(envelope);
        // A traceback that had its failure is older than this line; one that lacks it may belong here.
        let (older, open) = match ended {
            Some(open) if open.failed => (Some(open), None),
            open => (None, open),
        };
        if let Some(open) = older {
            self.traceback(&open, sink);
        }
        let cut = match &trace_line::parse_at(message, start) {
            Ok(line) => match rejoin::cut(line) {
                Some(cut) => Some(cut),
                None => {
                    let failed = matches!(line.phase, Phase::Failed | Phase::TimedOut);
                    self.trace(envelope, line, span, sink);
                    if let Some(mut open) = open {
                        open.failed = failed;
                        self.traceback(&open, sink);
                    }
                    return;
                }
            },
            Err(_) => rejoin::cut_header(message, Some(start)).then_some(rejoin::Cut::Header),
        };
        if let Some(open) = open {
            self.traceback(&open, sink);
        }
        match cut {
            Some(cut) => self.hold(Half::new(envelope, message, cut, span, self.seen), sink),
            None => self.counts.rejected += 1,
        }
    }

    /// A line without a header of its own.
    fn other(
        &mut self,
        envelope: &Envelope<'_>,
        message: &str,
        (start, end): Span,
        sink: &mut impl FnMut(Record<'_>),
    ) {
        if !self.tracebacks.is_empty() {
            match self.tracebacks.offer(envelope, message, end, self.seen) {
                Follows::None => {}
                Follows::Part => return,
                Follows::Last(open) => return self.traceback(&open, sink),
                Follows::Behind(open) => self.traceback(&open, sink),
            }
        }
        if let Some(at) = traceback::begins(message) {
            let text = message.get(at..).unwrap_or(message).trim_end();
            if let Some(surplus) = self
                .tracebacks
                .begin(envelope, text, (start, end), self.seen)
            {
                self.traceback(&surplus, sink);
            }
        } else if rejoin::cut_header(message, None) {
            let span = (start, end);
            self.hold(
                Half::new(envelope, message, rejoin::Cut::Header, span, self.seen),
                sink,
            );
        }
    }

    /// Hands out a line that waited, such as it is now.
    fn as_it_came(&mut self, half: &Half, sink: &mut impl FnMut(Record<'_>)) {
        let Header::At(start) = header::find(&half.message) else {
            return;
        };
        match &trace_line::parse_at(&half.message, start) {
            Ok(line) => {
                self.trace(&half.envelope, line, (half.start, half.end), sink);
            }
            Err(error) if error.kind == LineErrorKind::NoHeader => {}
            Err(_) => self.counts.rejected += 1,
        }
    }

    fn trace(
        &mut self,
        envelope: &Envelope<'_>,
        line: &TraceLine<'_>,
        (start, end): Span,
        sink: &mut impl FnMut(Record<'_>),
    ) {
        self.counts.trace_lines += 1;
        match line.phase {
            Phase::Failed | Phase::TimedOut => self.tracebacks.failed(envelope, start),
            Phase::Started { .. } | Phase::Succeeded => self.tracebacks.cleared(envelope),
            Phase::Step { .. } => {}
        }
        sink(Record {
            end_offset: end,
            envelope,
            body: Body::Trace(line),
        });
    }

    fn traceback(&mut self, open: &Open, sink: &mut impl FnMut(Record<'_>)) {
        if !open.failed {
            self.counts.tracebacks_dropped += 1;
            return;
        }
        self.counts.tracebacks += 1;
        sink(Record {
            end_offset: open.end,
            envelope: &open.envelope,
            body: Body::Traceback(&open.traceback()),
        });
    }

    /// Hands out everything that waits.
    pub(crate) fn release(&mut self, sink: &mut impl FnMut(Record<'_>)) {
        while let Some(half) = self.waiting.release() {
            self.as_it_came(&half, sink);
        }
        while let Some(open) = self.tracebacks.release() {
            self.traceback(&open, sink);
        }
    }
}
