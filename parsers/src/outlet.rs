//! Owns the handing out of records: trace lines some at a time, what comes seldom at once.
//! Refuses to look into them.
//! Invariant: records come out in the order in which they went in.
//!
//! Reading a line and what a caller does with its record together take more instructions than a processor's
//! first cache holds. Line by line, each would push the other out: some at a time, both stay.

use crate::record::{Body, Envelope, Record, TraceLine};

/// Trace lines handed out together, of half a kilobyte each: they stay in the data cache meanwhile.
const TOGETHER: usize = 16;

/// What takes records of lines that live as long as `'l`.
pub(crate) trait Outlet<'l> {
    /// Takes a trace line, to hand it out soon.
    fn trace(&mut self, end_offset: u64, envelope: Envelope<'l>, line: TraceLine<'l>);

    /// Hands out what was taken, and then whatever it is given.
    fn now(&mut self) -> Now<'_>;
}

/// Keeps trace lines until there are some.
pub(crate) struct Batch<'l, 's, S> {
    held: Vec<Held<'l>>,
    sink: &'s mut S,
}

struct Held<'l> {
    end_offset: u64,
    envelope: Envelope<'l>,
    line: TraceLine<'l>,
}

impl<'s, S: FnMut(Record<'_>)> Batch<'_, 's, S> {
    /// Nothing yet, to be handed to `sink`.
    pub(crate) fn new(sink: &'s mut S) -> Self {
        let held = Vec::new();
        Self { held, sink }
    }

    /// Hands out what was taken.
    pub(crate) fn flush(&mut self) {
        for held in &self.held {
            (self.sink)(trace(held.end_offset, &held.envelope, &held.line));
        }
        self.held.clear();
    }
}

impl<'l, S: FnMut(Record<'_>)> Outlet<'l> for Batch<'l, '_, S> {
    fn trace(&mut self, end_offset: u64, envelope: Envelope<'l>, line: TraceLine<'l>) {
        if self.held.is_empty() {
            self.held.reserve_exact(TOGETHER);
        }
        self.held.push(Held {
            end_offset,
            envelope,
            line,
        });
        if self.held.len() >= TOGETHER {
            self.flush();
        }
    }

    fn now(&mut self) -> Now<'_> {
        self.flush();
        Now { sink: self.sink }
    }
}

/// Hands out each record at once, whatever it borrows from.
pub(crate) struct Now<'s> {
    pub(crate) sink: &'s mut dyn FnMut(Record<'_>),
}

impl<'l> Outlet<'l> for Now<'_> {
    fn trace(&mut self, end_offset: u64, envelope: Envelope<'l>, line: TraceLine<'l>) {
        (self.sink)(trace(end_offset, &envelope, &line));
    }

    fn now(&mut self) -> Now<'_> {
        Now { sink: self.sink }
    }
}

fn trace<'a>(end_offset: u64, envelope: &'a Envelope<'a>, line: &'a TraceLine<'a>) -> Record<'a> {
    Record {
        end_offset,
        envelope,
        body: Body::Trace(line),
    }
}
