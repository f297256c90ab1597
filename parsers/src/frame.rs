//! Owns the framing of a byte stream into lines, and the count of everything in it.
//! Refuses to look into a line further than for a marker: lines without one are counted, not cut out.
//! Invariant: any chunking of the same bytes gives the same lines, offsets and counts.

use std::borrow::Cow;

use aho_corasick::packed::{Config, MatchKind, Searcher};
use aho_corasick::{AhoCorasick, Input};
use memchr::{memchr2, memrchr2};
use simdutf8::basic::from_utf8;

use crate::{trace_line, traceback};

/// What makes a line worth reading. A colour may stand between the word and its bracket, plainly or
/// as a JSON escape; the magnifying glass alone shows a header that was cut.
const MARKERS: [&str; 5] = [
    trace_line::MARKER,
    "TRACE\u{1b}",
    "TRACE\\u001b",
    "🔍",
    traceback::MARKER,
];

/// One line, without its terminator.
pub(crate) struct Line<'a> {
    /// The content, at most as long as the limit; invalid UTF-8 replaced.
    pub(crate) text: Cow<'a, str>,
    /// Stream offset of its first byte.
    pub(crate) start: u64,
    /// Stream offset behind its terminator.
    pub(crate) end: u64,
}

/// Which lines the visitor wants to see from here on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Want {
    /// Only lines that hold a marker.
    Marked,
    /// Every line.
    Every,
}

/// What passed through a framer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct FrameCounts {
    /// Lines ended by LF, CRLF or a lone CR, and a last one without end.
    pub(crate) lines: u64,
    /// Bytes taken in.
    pub(crate) bytes: u64,
    /// Byte sequences that are no UTF-8, each replaced by U+FFFD.
    pub(crate) invalid_utf8: u64,
    /// Lines longer than the limit.
    pub(crate) cut_lines: u64,
}

/// Splits a stream into lines, incrementally.
pub(crate) struct Framer {
    max_line: usize,
    markers: Markers,
    want: Want,
    /// The beginning of a line whose end has not been seen, up to the limit.
    carry: Vec<u8>,
    /// Where that line, or the next one, begins.
    line_start: u64,
    /// The stream ended, so far, in a CR of which it is not known whether an LF follows.
    pending_cr: bool,
    counts: FrameCounts,
}

impl Framer {
    /// Makes a framer that cuts lines at `max_line` bytes and begins with `want`.
    pub(crate) fn new(max_line: usize, want: Want) -> Self {
        Self {
            max_line,
            markers: Markers::new(),
            want,
            carry: Vec::new(),
            line_start: 0,
            pending_cr: false,
            counts: FrameCounts::default(),
        }
    }

    /// What has passed so far.
    pub(crate) fn counts(&self) -> &FrameCounts {
        &self.counts
    }

    /// Stream offset at which the first line begins whose end has not been seen.
    pub(crate) fn line_start(&self) -> u64 {
        self.line_start
    }

    /// Takes in bytes and shows the visitor each wanted line that ended in them.
    pub(crate) fn push<'c>(&mut self, chunk: &'c [u8], visit: &mut impl FnMut(Line<'c>) -> Want) {
        let Some(mut rest) = self.finish_carried(chunk, visit) else {
            return;
        };
        let (complete, pending_cr) = complete_part(rest);
        let lines = rest.get(..complete).unwrap_or(rest);
        self.region(lines, visit);
        rest = rest.get(complete..).unwrap_or(&[]);
        self.keep(
            rest.strip_suffix(b"\r")
                .filter(|_| pending_cr)
                .unwrap_or(rest),
        );
        self.counts.bytes += rest.len() as u64;
        self.pending_cr = pending_cr;
    }

    /// Ends the stream: a last line without terminator is a line.
    pub(crate) fn finish<'c>(&mut self, visit: &mut impl FnMut(Line<'c>) -> Want) {
        if self.pending_cr || self.counts.bytes > self.line_start {
            self.end_carried(visit);
        }
    }

    /// Sets what is wanted next, for a caller whose state changed between two pushes.
    pub(crate) fn want(&mut self, want: Want) {
        self.want = want;
    }

    /// Completes the line that earlier chunks began. Gives the rest of the chunk, which begins at a
    /// line's start; `None` when the chunk is used up.
    fn finish_carried<'c>(
        &mut self,
        chunk: &'c [u8],
        visit: &mut impl FnMut(Line<'c>) -> Want,
    ) -> Option<&'c [u8]> {
        let mut rest = chunk;
        let first = *rest.first()?;
        if !self.pending_cr && self.counts.bytes == self.line_start {
            return Some(rest);
        }
        if !self.pending_cr {
            let Some(end) = memchr2(b'\r', b'\n', rest) else {
                self.keep(rest);
                self.counts.bytes += rest.len() as u64;
                return None;
            };
            self.keep(rest.get(..end)?);
            self.counts.bytes += end as u64 + 1;
            self.pending_cr = rest.get(end) == Some(&b'\r');
            rest = rest.get(end + 1..)?;
            if self.pending_cr && rest.is_empty() {
                return None;
            }
        } else if first != b'\n' {
            self.end_carried(visit);
            return Some(rest);
        }
        if self.pending_cr && rest.first() == Some(&b'\n') {
            self.counts.bytes += 1;
            rest = rest.get(1..)?;
        }
        self.end_carried(visit);
        Some(rest).filter(|rest| !rest.is_empty())
    }

    /// Keeps one byte more than the limit, which is how a line that is too long is known.
    fn keep(&mut self, part: &[u8]) {
        let room = self
            .max_line
            .saturating_add(1)
            .saturating_sub(self.carry.len());
        self.carry
            .extend_from_slice(part.get(..room).unwrap_or(part));
    }

    fn end_carried<'c>(&mut self, visit: &mut impl FnMut(Line<'c>) -> Want) {
        let carry = std::mem::take(&mut self.carry);
        self.counts.lines += 1;
        self.pending_cr = false;
        self.single(&carry, self.counts.bytes, visit);
        self.carry = carry;
        self.carry.clear();
    }

    /// One line that is at hand as a whole (or as much of it as the limit needs).
    fn single<'c>(&mut self, content: &[u8], end: u64, visit: &mut impl FnMut(Line<'c>) -> Want) {
        let kept = match content.get(..self.max_line) {
            Some(head) if content.len() > self.max_line => {
                self.counts.cut_lines += 1;
                head
            }
            _ => content,
        };
        let text = self.text(kept);
        let start = std::mem::replace(&mut self.line_start, end);
        if self.want == Want::Every || self.markers.find(kept, 0).is_some() {
            let text = Cow::Owned(text.into_owned());
            self.want = visit(Line { text, start, end });
        }
    }

    /// Whole lines. Those longer than the limit are taken out, the blocks between them read at once.
    fn region<'c>(&mut self, mut bytes: &'c [u8], visit: &mut impl FnMut(Line<'c>) -> Want) {
        let mut checked = 0;
        while let Some(window) = bytes.get(checked..).and_then(|b| b.get(..=self.max_line)) {
            if let Some(last) = memrchr2(b'\r', b'\n', window) {
                checked += last + 1;
                continue;
            }
            let (block, long) = bytes.split_at_checked(checked).unwrap_or((bytes, &[]));
            self.block(block, visit);
            let (length, terminator) = line_end(long, 0);
            let end = self.counts.bytes + (length + terminator) as u64;
            self.counts.bytes = end;
            self.counts.lines += 1;
            self.single(long.get(..length).unwrap_or(long), end, visit);
            bytes = long.get(length + terminator..).unwrap_or(&[]);
            checked = 0;
        }
        self.block(bytes, visit);
    }

    /// Whole lines within the limit.
    fn block<'c>(&mut self, bytes: &'c [u8], visit: &mut impl FnMut(Line<'c>) -> Want) {
        if bytes.is_empty() {
            return;
        }
        let base = self.counts.bytes;
        self.counts.bytes += bytes.len() as u64;
        self.counts.lines += count_lines(bytes);
        let text = from_utf8(bytes).ok();
        if text.is_none() {
            self.counts.invalid_utf8 += invalid_sequences(bytes);
        }
        let mut at = 0;
        while at < bytes.len() {
            let start = match self.want {
                Want::Every => at,
                Want::Marked => match self.markers.find(bytes, at) {
                    Some(hit) => line_start(bytes, at, hit),
                    None => break,
                },
            };
            let (length, terminator) = line_end(bytes, start);
            let content = start..start + length;
            at = content.end + terminator;
            let line = match text.and_then(|text| text.get(content.clone())) {
                Some(line) => Cow::Borrowed(line),
                None => String::from_utf8_lossy(bytes.get(content).unwrap_or(&[])),
            };
            let (start, end) = (base + start as u64, base + at as u64);
            self.want = visit(Line {
                text: line,
                start,
                end,
            });
        }
        self.line_start = self.counts.bytes;
    }

    fn text<'t>(&mut self, bytes: &'t [u8]) -> Cow<'t, str> {
        let text = String::from_utf8_lossy(bytes);
        if matches!(text, Cow::Owned(_)) {
            self.counts.invalid_utf8 += invalid_sequences(bytes);
        }
        text
    }
}

/// How much of a chunk that begins at a line's start is whole lines, and whether what follows ends
/// in a CR that may yet become a CRLF.
fn complete_part(rest: &[u8]) -> (usize, bool) {
    let Some(last) = memrchr2(b'\r', b'\n', rest) else {
        return (0, false);
    };
    let undecided = last + 1 == rest.len() && rest.last() == Some(&b'\r');
    if !undecided {
        return (last + 1, false);
    }
    let before = rest
        .get(..last)
        .and_then(|head| memrchr2(b'\r', b'\n', head));
    (before.map_or(0, |at| at + 1), true)
}

fn line_start(bytes: &[u8], from: usize, hit: usize) -> usize {
    bytes
        .get(from..hit)
        .and_then(|head| memrchr2(b'\r', b'\n', head))
        .map_or(from, |at| from + at + 1)
}

/// The length of the line at `start`, and that of its terminator.
fn line_end(bytes: &[u8], start: usize) -> (usize, usize) {
    let tail = bytes.get(start..).unwrap_or(&[]);
    match memchr2(b'\r', b'\n', tail) {
        None => (tail.len(), 0),
        Some(end) if tail.get(end..).is_some_and(|t| t.starts_with(b"\r\n")) => (end, 2),
        Some(end) => (end, 1),
    }
}

/// Terminators: every LF, and every CR that no LF follows.
fn count_lines(bytes: &[u8]) -> u64 {
    let line_feeds = memchr::memchr_iter(b'\n', bytes).count();
    let lone_returns = memchr::memchr_iter(b'\r', bytes)
        .filter(|at| bytes.get(at + 1) != Some(&b'\n'))
        .count();
    (line_feeds + lone_returns) as u64
}

fn invalid_sequences(bytes: &[u8]) -> u64 {
    bytes
        .utf8_chunks()
        .filter(|chunk| !chunk.invalid().is_empty())
        .count() as u64
}

/// The search for markers: vectorised where the machine can, an automaton elsewhere.
struct Markers {
    packed: Option<Searcher>,
    automaton: Option<AhoCorasick>,
}

impl Markers {
    fn new() -> Self {
        let packed = Config::new()
            .match_kind(MatchKind::LeftmostFirst)
            .builder()
            .extend(MARKERS)
            .build();
        // Five short constant patterns stay far below the automaton's limits, so this cannot fail;
        // without either search no line would be marked, which every test would notice.
        let automaton = if packed.is_none() {
            AhoCorasick::new(MARKERS).ok()
        } else {
            None
        };
        Self { packed, automaton }
    }

    fn find(&self, bytes: &[u8], from: usize) -> Option<usize> {
        let span = aho_corasick::Span {
            start: from,
            end: bytes.len(),
        };
        match (&self.packed, &self.automaton) {
            (Some(packed), _) => packed.find_in(bytes, span).map(|found| found.start()),
            (None, Some(automaton)) => automaton
                .find(Input::new(bytes).span(span))
                .map(|found| found.start()),
            (None, None) => None,
        }
    }
}
