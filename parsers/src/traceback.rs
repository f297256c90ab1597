//! Owns Python tracebacks: which lines belong to one, and the exception that it ends in.
//! Refuses a traceback without a failure of the same container before it or straight after it.
//! Invariant: an open traceback is bounded in lines, bytes and in how long the stream went on
//! without it, so that it never holds a checkpoint back for ever.

use std::borrow::Cow;
use std::collections::VecDeque;

use crate::header;
use crate::record::{Envelope, Traceback, split_error};
use crate::rejoin::{has_source, same_source};

pub(crate) const MARKER: &str = "Traceback (most recent call last)";
/// Failures remembered: more than fail between a failure and its traceback.
const FAILURES_MAX: usize = 64;
const OPEN_MAX: usize = 16;
/// Python prints a chain in one go, so not much gets between its parts.
const CHAIN_PATIENCE: u64 = 32;
const LINES_MAX: usize = 200;
const BYTES_MAX: usize = 64 * 1024;
/// Lines of the same container that may interrupt a traceback (the other output's).
const MISFITS_MAX: u8 = 8;

/// A traceback that is being read.
pub(crate) struct Open {
    pub(crate) envelope: Envelope<'static>,
    pub(crate) end: u64,
    /// Where the failure stands that it belongs to: reading again must begin there.
    hold: u64,
    /// Whether there is such a failure; without, one may still follow.
    pub(crate) failed: bool,
    text: String,
    /// Length of the text up to the exception line, once there is one.
    complete: Option<usize>,
    exception: Option<String>,
    lines: usize,
    misfits: u8,
    line: u64,
}

/// Failures, and the tracebacks that follow them.
#[derive(Default)]
pub(crate) struct Tracebacks {
    /// The mark of each failure's source, in the same order: every trace line is compared with every
    /// failure.
    marks: VecDeque<u32>,
    failures: VecDeque<Failure>,
    open: VecDeque<Open>,
}

/// A failure that was seen, and where.
struct Failure {
    ids: Envelope<'static>,
    start: u64,
}

/// What two sources rarely have in common: ids of containers and calls differ in their last characters.
fn mark(envelope: &Envelope<'_>) -> u32 {
    let tail = |id: &Option<Cow<'_, str>>| {
        let bytes = id.as_deref().and_then(|id| id.as_bytes().last_chunk());
        bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
    };
    let both = tail(&envelope.container_id).rotate_left(20) ^ tail(&envelope.function_call_id);
    (both ^ (both >> 32)) as u32
}

/// What a line is to the tracebacks.
pub(crate) enum Follows {
    /// No part of one.
    None,
    /// Part of an open one.
    Part,
    /// Part of one that is now as large as it may get.
    Last(Open),
    /// No part: it shows that this one is over.
    Behind(Open),
}

impl Tracebacks {
    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Where reading has to begin again so that no open traceback is lost.
    pub(crate) fn start(&self) -> Option<u64> {
        self.open.iter().map(|open| open.hold).min()
    }

    /// Remembers a failure, whose traceback may follow.
    pub(crate) fn failed(&mut self, envelope: &Envelope<'_>, start: u64) {
        self.cleared(envelope);
        let ids = Envelope {
            container_id: envelope.container_id.clone(),
            function_call_id: envelope.function_call_id.clone(),
            ..Envelope::default()
        };
        self.marks.push_back(mark(envelope));
        self.failures.push_back(Failure {
            ids: ids.into_owned(),
            start,
        });
        if self.failures.len() > FAILURES_MAX {
            self.marks.pop_front();
            self.failures.pop_front();
        }
    }

    /// Forgets the failure of a source that went on to other work.
    pub(crate) fn cleared(&mut self, envelope: &Envelope<'_>) {
        let mark = mark(envelope);
        // Without an early end, in vector code: nearly no line is of a source that failed.
        let is_known = |any, known: &u32| any | (*known == mark);
        if !self.marks.iter().fold(false, is_known) {
            return;
        }
        let mut at = 0;
        while let (Some(known), Some(failed)) = (self.marks.get(at), self.failures.get(at)) {
            if *known == mark && same_source(&failed.ids, envelope) {
                self.marks.remove(at);
                self.failures.remove(at);
            } else {
                at += 1;
            }
        }
    }

    /// Opens a traceback. Gives back another one when too many are open.
    pub(crate) fn begin(
        &mut self,
        envelope: &Envelope<'_>,
        text: &str,
        (start, end): (u64, u64),
        line: u64,
    ) -> Option<Open> {
        let failure = self.failure(envelope);
        self.open.push_back(Open {
            envelope: envelope.clone().into_owned(),
            end,
            hold: failure.unwrap_or(start),
            failed: failure.is_some(),
            text: text.to_owned(),
            complete: None,
            exception: None,
            lines: 1,
            misfits: 0,
            line,
        });
        if self.open.len() > OPEN_MAX {
            self.open.pop_front()
        } else {
            None
        }
    }

    /// Gives a line to the open traceback of its source. A line without any envelope belongs to the
    /// only open one.
    pub(crate) fn offer(
        &mut self,
        envelope: &Envelope<'_>,
        message: &str,
        end: u64,
        line: u64,
    ) -> Follows {
        let only = envelope.is_empty() && self.open.len() == 1;
        let found = self
            .open
            .iter()
            .position(|open| only || same_source(&open.envelope, envelope));
        let Some(index) = found else {
            return Follows::None;
        };
        let Some(open) = self.open.get_mut(index) else {
            return Follows::None;
        };
        match open.take(message, end, line) {
            Taken::Part if open.is_full() => {
                self.open.remove(index).map_or(Follows::Part, Follows::Last)
            }
            Taken::Part => Follows::Part,
            Taken::Misfit => Follows::None,
            Taken::Over => self
                .open
                .remove(index)
                .map_or(Follows::None, Follows::Behind),
        }
    }

    /// Ends the traceback of a source that went on to something else.
    pub(crate) fn end(&mut self, envelope: &Envelope<'_>) -> Option<Open> {
        let index = self
            .open
            .iter()
            .position(|open| same_source(&open.envelope, envelope))?;
        self.open.remove(index)
    }

    /// Gives back a traceback that has waited too long when the stream is at `line`: `patience` lines
    /// for its next line, fewer when it is complete and only another exception could be chained on.
    pub(crate) fn expired(&mut self, line: u64, patience: u64) -> Option<Open> {
        let index = self.open.iter().position(|open| {
            let patience = if open.complete.is_some() {
                CHAIN_PATIENCE
            } else {
                patience
            };
            open.line + patience < line
        })?;
        self.open.remove(index)
    }

    /// Gives back the oldest open one.
    pub(crate) fn release(&mut self) -> Option<Open> {
        self.open.pop_front()
    }

    /// The failure that a traceback belongs to: of the same container or call, and not of another
    /// call where both name one.
    fn failure(&self, envelope: &Envelope<'_>) -> Option<u64> {
        let matches = |failed: &Envelope<'_>| {
            let conflict = |a: &Option<Cow<'_, str>>, b: &Option<Cow<'_, str>>| {
                a.is_some() && b.is_some() && a != b
            };
            let shared = |a: &Option<Cow<'_, str>>, b: &Option<Cow<'_, str>>| a.is_some() && a == b;
            let container = (&failed.container_id, &envelope.container_id);
            let call = (&failed.function_call_id, &envelope.function_call_id);
            !conflict(container.0, container.1)
                && !conflict(call.0, call.1)
                && (shared(container.0, container.1)
                    || shared(call.0, call.1)
                    || same_source(failed, envelope))
        };
        self.failures
            .iter()
            .rev()
            .find(|failed| matches(&failed.ids))
            .map(|failed| failed.start)
    }
}

enum Taken {
    Part,
    Misfit,
    Over,
}

impl Open {
    fn take(&mut self, message: &str, end: u64, line: u64) -> Taken {
        let message = message.trim_end();
        let chained = message.starts_with("During handling of the above exception")
            || message.starts_with("The above exception was the direct cause");
        if self.complete.is_some() {
            if !chained && !message.is_empty() {
                return if self.failed {
                    Taken::Over
                } else {
                    self.misfit()
                };
            }
            if chained {
                self.complete = None;
            }
        } else if !chained && !message.is_empty() && !message.starts_with([' ', '\t', '|', '+']) {
            let begins = message.starts_with(MARKER);
            if !begins && is_exception(message) {
                self.append(message, end, line);
                self.complete = Some(self.text.len());
                self.exception = Some(message.to_owned());
                return Taken::Part;
            }
            if !begins {
                return self.misfit();
            }
        }
        self.append(message, end, line);
        Taken::Part
    }

    /// A line that is no part of it. Lines without ids are not known to be of the same source, so one
    /// of them is enough to end a traceback that lacks its failure.
    fn misfit(&mut self) -> Taken {
        self.misfits += 1;
        let certain = self.failed || has_source(&self.envelope);
        if certain && self.misfits <= MISFITS_MAX {
            Taken::Misfit
        } else {
            Taken::Over
        }
    }

    fn append(&mut self, message: &str, end: u64, line: u64) {
        let room = BYTES_MAX.saturating_sub(self.text.len() + 1);
        self.text.push('\n');
        self.text.push_str(
            message
                .get(..message.floor_char_boundary(room))
                .unwrap_or(""),
        );
        self.lines += 1;
        (self.end, self.line) = (end, line);
    }

    fn is_full(&self) -> bool {
        self.lines >= LINES_MAX || self.text.len() >= BYTES_MAX
    }

    /// The record.
    pub(crate) fn traceback(&self) -> Traceback<'_> {
        let (error_type, message) = match self.exception.as_deref() {
            Some(exception) => match split_error(exception) {
                (None, message) => match message.split_once(':') {
                    Some((name, message)) => (Some(name), Some(message.trim())),
                    None => (None, Some(message)),
                },
                (name, message) => (name, Some(message)),
            },
            None => (None, None),
        };
        let text = self
            .complete
            .and_then(|end| self.text.get(..end))
            .unwrap_or(&self.text);
        Traceback {
            text: Cow::Borrowed(text),
            error_type: error_type.map(Cow::Borrowed),
            error_message: message.map(Cow::Borrowed),
            truncated: self.complete.is_none(),
        }
    }
}

/// `Name: text` or a bare name: a dotted identifier at the line's start.
fn is_exception(message: &str) -> bool {
    let name = message.split_once(':').map_or(message, |(name, _)| name);
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '_' | '.'))
}

/// Where a traceback begins in a message, if one does.
pub(crate) fn begins(message: &str) -> Option<usize> {
    let at = memchr::memmem::find(message.as_bytes(), MARKER.as_bytes())?;
    let prefix = message.get(..at)?;
    let group = prefix
        .trim_end()
        .strip_suffix("Exception Group")
        .unwrap_or(prefix);
    header::can_precede(group.trim_end_matches(['+', ' '])).then_some(at)
}
