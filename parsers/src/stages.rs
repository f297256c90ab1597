//! Owns the way of a line to records: open its envelope, take glue apart, find the header, read the
//! grammar, re-join halves, collect tracebacks.
//! Refuses bytes and framing: lines come in whole.
//! Invariant: what a line becomes depends on the lines of its stream alone, and what waits is bounded.

use std::borrow::Cow;

use crate::decoder::Counts;
use crate::envelope::{self, Form, Opened};
use crate::error::LineErrorKind;
use crate::frame::{Line, Want};
use crate::glue;
use crate::header::{self, Header};
use crate::outlet::{Now, Outlet};
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
    pub(crate) fn apart(&mut self, envelope: &Envelope<'_>, message: &str, out: &mut Now<'_>) {
        let start = self.messages;
        self.messages += 1;
        self.counts.bytes += message.len() as u64;
        for line in message.trim_end_matches(['\n', '\r']).split(['\n', '\r']) {
            self.counts.lines += 1;
            self.advance(start, out);
            let span = (start, start + 1);
            self.message(envelope.borrowed(), &text::clean(line), span, out);
        }
    }

    /// Takes a line from the framer; says which lines it needs next.
    pub(crate) fn line<'l>(&mut self, line: Line<'l>, out: &mut impl Outlet<'l>) -> Want {
        self.advance(line.start, out);
        let span = (line.start, line.end);
        match line.text {
            Cow::Borrowed(text) => match text::clean(text) {
                Cow::Borrowed(text) => self.whole(text, span, out),
                Cow::Owned(text) => self.whole(&text, span, &mut out.now()),
            },
            Cow::Owned(text) => self.whole(&text::clean(&text), span, &mut out.now()),
        }
        if self.waiting.is_empty() && self.tracebacks.is_empty() {
            Want::Marked
        } else {
            Want::Every
        }
    }

    /// One cleaned line.
    fn whole<'l>(&mut self, line: &'l str, span: Span, out: &mut impl Outlet<'l>) {
        let Opened {
            envelope,
            message,
            form,
        } = envelope::open(line);
        match message {
            Cow::Borrowed(message) => self.message(envelope, message, span, out),
            Cow::Owned(message) if form == Form::Json => {
                for message in message.split('\n') {
                    self.message(envelope.borrowed(), message, span, &mut out.now());
                }
            }
            Cow::Owned(message) => self.message(envelope, &message, span, &mut out.now()),
        }
    }

    /// Counts a line, and hands out what waited too long.
    fn advance<'l>(&mut self, start: u64, out: &mut impl Outlet<'l>) {
        self.seen += 1;
        let oldest = self.seen.saturating_sub(PATIENCE_LINES);
        while let Some(half) = self
            .waiting
            .expired(start.saturating_sub(PATIENCE_BYTES), oldest)
        {
            self.as_it_came(&half, out.now());
        }
        while let Some(open) = self.tracebacks.expired(self.seen, PATIENCE_LINES) {
            self.traceback(&open, out.now());
        }
    }

    fn message<'l>(
        &mut self,
        envelope: Envelope<'l>,
        message: &'l str,
        span: Span,
        out: &mut impl Outlet<'l>,
    ) {
        match glue::split(&envelope, message) {
            None => self.piece(envelope, message, span, out),
            Some(pieces) => {
                self.counts.glued += 1.max(pieces.len() as u64 - 1);
                for piece in pieces {
                    self.piece(piece.envelope, &piece.message, span, &mut out.now());
                }
            }
        }
    }

    /// One line without its envelope.
    fn piece<'l>(
        &mut self,
        envelope: Envelope<'l>,
        message: &'l str,
        span: Span,
        out: &mut impl Outlet<'l>,
    ) {
        let header = header::find(message);
        if !self.waiting.is_empty() && self.is_rest(&envelope, message, header, span, out.now()) {
            return;
        }
        match header {
            Header::At(start) => self.trace_line(envelope, message, start, span, out),
            Header::Quoted(_) => {
                self.counts.quoted += 1;
                self.other(&envelope, message, span, out);
            }
            Header::Absent => self.other(&envelope, message, span, out),
        }
    }

    /// Whether the line is the rest of one that waited, and was dealt with as such.
    fn is_rest(
        &mut self,
        envelope: &Envelope<'_>,
        message: &str,
        header: Header,
        span: Span,
        out: Now<'_>,
    ) -> bool {
        let is_header = matches!(header, Header::At(_));
        match self
            .waiting
            .offer(envelope, message, is_header, self.seen, span.1)
        {
            Fit::Unrelated => false,
            Fit::Never(half) => {
                self.as_it_came(&half, out);
                false
            }
            Fit::Rest(half) => {
                self.counts.rejoined += 1;
                self.joined(half, out);
                true
            }
        }
    }

    fn joined(&mut self, half: Half, out: Now<'_>) {
        let cut = match header::find(&half.message) {
            Header::At(start) => match trace_line::parse_at(&half.message, start) {
                Ok(line) => rejoin::cut(&line),
                Err(_) => Some(rejoin::Cut::Header),
            },
            _ => Some(rejoin::Cut::Header),
        };
        match cut {
            Some(cut) => self.hold(half.cut_again(cut), out),
            None => self.as_it_came(&half, out),
        }
    }

    fn hold(&mut self, half: Half, out: Now<'_>) {
        if let Some(surplus) = self.waiting.hold(half) {
            self.as_it_came(&surplus, out);
        }
    }

    /// A header stands where one can.
    fn trace_line<'l>(
        &mut self,
        envelope: Envelope<'l>,
        message: &'l str,
        start: usize,
        span: Span,
        out: &mut impl Outlet<'l>,
    ) {
        let ended = self.tracebacks.end(&envelope);
        // A traceback that had its failure is older than this line; one that lacks it may belong here.
        let (older, open) = match ended {
            Some(open) if open.failed => (Some(open), None),
            open => (None, open),
        };
        if let Some(open) = older {
            self.traceback(&open, out.now());
        }
        let cut = match trace_line::parse_at(message, start) {
            Ok(line) => match rejoin::cut(&line) {
                Some(cut) => Some(cut),
                None => {
                    let failed = matches!(line.phase, Phase::Failed | Phase::TimedOut);
                    self.trace(envelope, line, span, out);
                    if let Some(mut open) = open {
                        open.failed = failed;
                        self.traceback(&open, out.now());
                    }
                    return;
                }
            },
            Err(_) => rejoin::cut_header(message, Some(start)).then_some(rejoin::Cut::Header),
        };
        if let Some(open) = open {
            self.traceback(&open, out.now());
        }
        match cut {
            Some(cut) => {
                let half = Half::new(&envelope, message, cut, span, self.seen);
                self.hold(half, out.now());
            }
            None => self.counts.rejected += 1,
        }
    }

    /// A line without a header of its own.
    fn other<'l>(
        &mut self,
        envelope: &Envelope<'_>,
        message: &str,
        (start, end): Span,
        out: &mut impl Outlet<'l>,
    ) {
        if !self.tracebacks.is_empty() {
            match self.tracebacks.offer(envelope, message, end, self.seen) {
                Follows::None => {}
                Follows::Part => return,
                Follows::Last(open) => return self.traceback(&open, out.now()),
                Follows::Behind(open) => self.traceback(&open, out.now()),
            }
        }
        if let Some(at) = traceback::begins(message) {
            let text = message.get(at..).unwrap_or(message).trim_end();
            if let Some(surplus) = self
                .tracebacks
                .begin(envelope, text, (start, end), self.seen)
            {
                self.traceback(&surplus, out.now());
            }
        } else if rejoin::cut_header(message, None) {
            let cut = rejoin::Cut::Header;
            let half = Half::new(envelope, message, cut, (start, end), self.seen);
            self.hold(half, out.now());
        }
    }

    /// Hands out a line that waited, such as it is now.
    fn as_it_came(&mut self, half: &Half, mut out: Now<'_>) {
        let Header::At(start) = header::find(&half.message) else {
            return;
        };
        match trace_line::parse_at(&half.message, start) {
            Ok(line) => {
                let span = (half.start, half.end);
                self.trace(half.envelope.borrowed(), line, span, &mut out);
            }
            Err(error) if error.kind == LineErrorKind::NoHeader => {}
            Err(_) => self.counts.rejected += 1,
        }
    }

    fn trace<'l>(
        &mut self,
        envelope: Envelope<'l>,
        line: TraceLine<'l>,
        (start, end): Span,
        out: &mut impl Outlet<'l>,
    ) {
        self.counts.trace_lines += 1;
        match line.phase {
            Phase::Failed | Phase::TimedOut => self.tracebacks.failed(&envelope, start),
            Phase::Started { .. } | Phase::Succeeded => self.tracebacks.cleared(&envelope),
            Phase::Step { .. } => {}
        }
        out.trace(end, envelope, line);
    }

    fn traceback(&mut self, open: &Open, out: Now<'_>) {
        if !open.failed {
            self.counts.tracebacks_dropped += 1;
            return;
        }
        self.counts.tracebacks += 1;
        (out.sink)(Record {
            end_offset: open.end,
            envelope: &open.envelope,
            body: Body::Traceback(&open.traceback()),
        });
    }

    /// Hands out everything that waits.
    pub(crate) fn release(&mut self, out: &mut Now<'_>) {
        while let Some(half) = self.waiting.release() {
            self.as_it_came(&half, out.now());
        }
        while let Some(open) = self.tracebacks.release() {
            self.traceback(&open, out.now());
        }
    }
}
