//! A printed span as evidence: how exactly its times are known, whose clock they are read from, and
//! what its own lines said about where it belongs.

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use super::evidence::State;
use crate::model::{Regions, Span, is_filled, meta};

const SECOND: i64 = 1_000_000;

/// An interval that holds a time, in µs since 1970.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Window {
    pub(super) from: i64,
    pub(super) width: i64,
}

/// What the lines say about a span's times.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Times {
    /// Only the start line.
    Start(Window),
    /// The start, and how many µs it took, to a hundredth of a second or better.
    Length(Window, i64),
    /// The start and the end, without a length.
    Both(Window, Window),
    /// Only the closing line.
    End(Window),
}

/// What the lines said themselves about where the span belongs.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Said<'a> {
    pub(super) trace: Option<Uuid>,
    pub(super) parent: Option<Uuid>,
    pub(super) execution: Option<i64>,
    pub(super) job: Option<&'a str>,
}

impl Said<'_> {
    pub(super) fn is_empty(&self) -> bool {
        *self == Said::default()
    }

    /// Whether the lines said which trace, so that there is nothing to weigh.
    pub(super) fn names_trace(&self) -> bool {
        self.trace.is_some() || self.parent.is_some()
    }
}

/// A printed span as evidence.
#[derive(Debug)]
pub(super) struct Printed<'a> {
    pub(super) span: &'a Span,
    pub(super) times: Times,
    pub(super) state: State,
    pub(super) model: Option<&'a str>,
    /// Group of its region.
    pub(super) region: Option<&'a str>,
    /// Number of the clock that its times are read from.
    pub(super) clock: usize,
    pub(super) container: Option<&'a str>,
    pub(super) said: Said<'a>,
}

impl<'a> Printed<'a> {
    /// Reads a row of ours; `clock` numbers the clocks by name.
    pub(super) fn read(
        span: &'a Span,
        regions: &'a Regions,
        clock: impl FnOnce(&str) -> usize,
    ) -> Self {
        // What the link filled in is no evidence for the link.
        let own = |column: &str| !is_filled(span, column);
        let model = span.model_id.as_deref().filter(|_| own("model_id"));
        let region = span.region.as_deref().filter(|_| own("region"));
        // Arrival times are read from our own clock, late by what the transport takes.
        let clock = match span.text(meta::TIME_PRECISION) {
            Some("arrival") => clock("arrival"),
            _ => clock(region.unwrap_or_default()),
        };
        Self {
            span,
            times: Times::of(span),
            state: State::of(span),
            model,
            region: region.map(|region| regions.group(region)),
            clock,
            container: span.text(meta::CONTAINER_ID),
            said: Said {
                trace: (span.trace_id != span.span_id && own("trace_id")).then_some(span.trace_id),
                parent: span.parent_span_id.filter(|_| own("parent_span_id")),
                execution: span.execution_id.filter(|_| own("execution_id")),
                job: span.job_id.as_deref().filter(|_| own("job_id")),
            },
        }
    }

    /// A time at which the span was running, in µs.
    pub(super) fn at(&self) -> i64 {
        match self.times {
            Times::Start(start) | Times::Length(start, _) | Times::Both(start, _) => start.from,
            Times::End(end) => end.from,
        }
    }

    /// How long it ran, in µs.
    pub(super) fn took(&self) -> Option<i64> {
        match self.times {
            Times::Length(_, took) => Some(took),
            Times::Both(start, end) => Some((end.from - start.from).max(0)),
            Times::Start(_) | Times::End(_) => None,
        }
    }
}

impl Times {
    fn of(span: &Span) -> Self {
        let coarse = |key: &str| span.text(key) == Some("s");
        let end_coarse = coarse(meta::END_PRECISION);
        let start = Window::of(span.started_at, coarse(meta::TIME_PRECISION));
        let Some(end) = span.completed_at else {
            return Self::Start(start);
        };
        let end = Window::of(end, end_coarse);
        let end_fine = matches!(span.text(meta::END_PRECISION), Some("ms" | "us"));
        let reported = span
            .metadata
            .get(meta::REPORTED_DURATION_MS)
            .and_then(Value::as_f64)
            .map(|ms| (ms * 1000.0).round() as i64);
        let inferred = span.metadata.contains_key(meta::START_INFERRED);
        match reported {
            None if inferred => Self::End(end),
            None if start.width == 0 && end.width == 0 => {
                Self::Length(start, end.from - start.from)
            }
            None => Self::Both(start, end),
            // The start was reckoned back from the end and is as exact as that.
            Some(took) if inferred && end_coarse => Self::Length(
                Window {
                    width: SECOND,
                    ..start
                },
                took,
            ),
            // The closing line narrows the start: to what is left of its own second, or altogether.
            Some(took) if end_coarse => Self::Length(start.within(end.width), took),
            Some(took) if end_fine => Self::Length(start.within(0), took),
            Some(took) => Self::Length(start, took),
        }
    }
}

impl Window {
    /// What is left of the second from a time on, when only the second was printed.
    fn of(at: DateTime<Utc>, coarse: bool) -> Self {
        let from = at.timestamp_micros();
        let width = if coarse {
            SECOND - from.rem_euclid(SECOND)
        } else {
            0
        };
        Self { from, width }
    }

    /// The same, at most this wide.
    fn within(self, width: i64) -> Self {
        Self {
            width: self.width.min(width),
            ..self
        }
    }
}
