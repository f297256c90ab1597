//! Traces that services wrote, rebuilt from their rows: duplicates folded, and the spans found that a
//! printed span can be enclosed by.
//!
//! Invariant: a span id occurs once in a trace, in its most complete form.

use std::collections::HashSet;

use uuid::Uuid;

use crate::model::{Span, SpanStatus};

/// The spans that services wrote with one trace id.
#[derive(Debug, Clone)]
pub struct Trace<'a> {
    /// The trace id.
    pub id: Uuid,
    /// Its spans, each once, in order of start.
    pub spans: Vec<&'a Span>,
}

/// How close to the printed span an enclosing span stands, closest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Closeness {
    /// The call to Modal itself.
    ModalCall,
    /// Another span between the runner and Modal.
    Router,
    /// The runner's own span.
    Runner,
}

impl Closeness {
    pub(super) const ALL: [Self; 3] = [Self::ModalCall, Self::Router, Self::Runner];

    fn of(span: &Span) -> Self {
        let names_modal = |text: &str| {
            text.as_bytes()
                .windows(5)
                .any(|word| word.eq_ignore_ascii_case(b"modal"))
        };
        if span.service.eq_ignore_ascii_case("runner") {
            Self::Runner
        } else if names_modal(&span.operation) || span.text("provider").is_some_and(names_modal) {
            Self::ModalCall
        } else {
            Self::Router
        }
    }
}

/// Sorts spans into traces, in order of trace id. Printed ones are left out: they are to be placed.
pub fn traces(spans: &[Span]) -> Vec<Trace<'_>> {
    let mut rows: Vec<&Span> = spans.iter().filter(|span| !span.is_printed()).collect();
    rows.sort_by_key(|span| (span.trace_id, span.span_id));
    rows.chunk_by(|a, b| a.trace_id == b.trace_id)
        .map(|rows| {
            let mut spans: Vec<_> = rows
                .chunk_by(|a, b| a.span_id == b.span_id)
                .filter_map(|same| same.iter().copied().reduce(fuller))
                .collect();
            spans.sort_by_key(|span| (span.started_at, span.span_id));
            Trace {
                id: rows[0].trace_id,
                spans,
            }
        })
        .collect()
}

/// Of two rows of one span the one that knows its end, else the later end, else the first.
fn fuller<'a>(a: &'a Span, b: &'a Span) -> &'a Span {
    let rank = |span: &Span| (span.completed_at, span.status != SpanStatus::Started);
    if rank(b) > rank(a) { b } else { a }
}

impl<'a> Trace<'a> {
    /// The runner's outermost span; absent in a trace that the router began.
    pub fn runner_root(&self) -> Option<&'a Span> {
        let runner = |span: &&&Span| span.service.eq_ignore_ascii_case("runner");
        let mut spans = self.spans.iter().filter(runner);
        let first = spans.clone().find(|span| span.parent_span_id.is_none());
        first.or_else(|| spans.next()).copied()
    }

    /// The first value that any span of the trace gives.
    pub(super) fn first<T>(&self, value: impl Fn(&'a Span) -> Option<T>) -> Option<T> {
        self.spans.iter().copied().find_map(value)
    }

    /// The deepest spans of the closest kind that the trace has: those that call Modal, else the
    /// router's, else the runner's.
    pub(super) fn callers(&self) -> (Closeness, Vec<&'a Span>) {
        // What Modal's own side wrote is called, it doesn't call.
        let callers = || {
            let spans = self.spans.iter().copied();
            spans.filter(|span| !span.service.eq_ignore_ascii_case("modal"))
        };
        let Some(closeness) = callers().map(Closeness::of).min() else {
            return (Closeness::Runner, Vec::new());
        };
        let closest = || callers().filter(|span| Closeness::of(span) == closeness);
        let parents: HashSet<_> = closest().filter_map(|span| span.parent_span_id).collect();
        let deepest: Vec<_> = closest()
            .filter(|span| !parents.contains(&span.span_id))
            .collect();
        // Rows that name each other as parents have no deepest one.
        let callers = if deepest.is_empty() {
            closest().collect()
        } else {
            deepest
        };
        (closeness, callers)
    }

    /// Region of one of the trace's spans: its own, the provider's, or that of any other span.
    pub(super) fn region_of(&self, span: &'a Span) -> Option<&'a str> {
        span.region_name()
            .or_else(|| span.text("provider")?.strip_prefix("modal-"))
            .or_else(|| self.first(Span::region_name))
    }
}

/// Whether a name that may be unknown can mean the same as another.
pub(super) fn compatible(
    a: Option<&str>,
    b: Option<&str>,
    same: impl Fn(&str, &str) -> bool,
) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => same(a, b),
        _ => true,
    }
}
