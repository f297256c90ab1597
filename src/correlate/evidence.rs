//! What is compared: printed spans with how exactly their times are known, and the spans of others
//! that may enclose them, each with the few of them that come into question.
//!
//! Invariant: a pair that is left out here is impossible (another model, another place, another
//! context, not running at that time), never merely unlikely.

use std::collections::HashMap;

use uuid::Uuid;

use super::density::REACH;
use super::printed::{Printed, Said};
use super::sweep::sweep;
use super::trace::{Closeness, Trace, compatible};
use crate::model::{Regions, Span, SpanStatus};

const SECOND: i64 = 1_000_000;
/// How far the clocks of two hosts may differ before nothing is linked by time, in µs.
pub(super) const MOST_SKEW: i64 = 12 * SECOND;

/// A span's state, as far as it bears on who belongs to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum State {
    Open,
    Completed,
    Failed,
    Timeout,
}

impl State {
    pub(super) const COUNT: usize = 4;

    pub(super) fn of(span: &Span) -> Self {
        match span.status {
            SpanStatus::Started => Self::Open,
            SpanStatus::Completed => Self::Completed,
            SpanStatus::Failed => Self::Failed,
            SpanStatus::Timeout => Self::Timeout,
        }
    }
}

/// A span of others that may enclose a printed one. Times in µs since 1970.
#[derive(Debug)]
pub(super) struct Caller<'a> {
    pub(super) span: &'a Span,
    /// Index of its trace.
    pub(super) trace: usize,
    pub(super) closeness: Closeness,
    pub(super) from: i64,
    pub(super) to: Option<i64>,
    pub(super) state: State,
    pub(super) model: Option<&'a str>,
    /// Group of its region.
    pub(super) region: Option<&'a str>,
}

/// Printed spans, callers, and which of them may belong together.
#[derive(Debug)]
pub(super) struct Evidence<'a> {
    /// In order of time.
    pub(super) printed: Vec<Printed<'a>>,
    /// In order of start.
    pub(super) callers: Vec<Caller<'a>>,
    /// For each printed span the callers that come into question.
    pub(super) candidates: Vec<Vec<usize>>,
    /// Names of the clocks that printed times are read from.
    pub(super) clocks: Vec<String>,
}

/// Traces of others with what is known of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known<'a, 't> {
    pub(super) traces: &'t [Trace<'a>],
    /// The execution of each trace, where it is known.
    pub(super) execution_of: &'t HashMap<Uuid, i64>,
}

impl<'a> Evidence<'a> {
    pub(super) fn gather(modal: &'a [Span], known: Known<'a, '_>, regions: &'a Regions) -> Self {
        let mut clocks = Clocks::default();
        let mut printed: Vec<_> = modal
            .iter()
            .map(|span| Printed::read(span, regions, |name| clocks.number(name)))
            .collect();
        printed.sort_by_key(|one| (one.at(), one.span.span_id));
        let mut callers: Vec<_> = known
            .traces
            .iter()
            .enumerate()
            .flat_map(|(at, trace)| callers_of(at, trace, regions))
            .collect();
        callers.sort_by_key(|caller| (caller.from, caller.span.span_id));
        let mut evidence = Self {
            candidates: vec![Vec::new(); printed.len()],
            printed,
            callers,
            clocks: clocks.names,
        };
        evidence.pair(known);
        evidence
    }

    /// Fills in the candidates, one combination of model and region after another.
    fn pair(&mut self, known: Known<'a, '_>) {
        let mut blocks: HashMap<(Option<&str>, Option<&str>), Vec<usize>> = HashMap::new();
        for (at, one) in self.printed.iter().enumerate() {
            blocks.entry((one.model, one.region)).or_default().push(at);
        }
        for ((model, region), rows) in blocks {
            let fits = |caller: &Caller<'_>| {
                compatible(model, caller.model, str::eq_ignore_ascii_case)
                    && compatible(region, caller.region, str::eq_ignore_ascii_case)
            };
            let fitting: Vec<usize> = (0..self.callers.len())
                .filter(|&at| fits(&self.callers[at]))
                .collect();
            let intervals: Vec<_> = fitting
                .iter()
                .map(|&at| self.callers[at].interval())
                .collect();
            let points = rows.iter().map(|&row| self.printed[row].at());
            sweep(points, &intervals, |at, running| {
                let said = &self.printed[rows[at]].said;
                let running = running.iter().map(|&interval| fitting[interval]);
                self.candidates[rows[at]] = running
                    .filter(|&caller| allows(said, &self.callers[caller], known))
                    .collect();
            });
        }
    }
}

impl Caller<'_> {
    /// When a span inside it may begin, by any clock.
    fn interval(&self) -> (i64, i64) {
        let longest = self.from + (REACH * SECOND as f64) as i64;
        let last = self.to.unwrap_or(longest).min(longest);
        (self.from - MOST_SKEW, last + MOST_SKEW)
    }
}

/// Whether what the lines said themselves leaves the caller in question.
fn allows(said: &Said<'_>, caller: &Caller<'_>, known: Known<'_, '_>) -> bool {
    if said.is_empty() {
        return true;
    }
    let trace = &known.traces[caller.trace];
    if said.trace.is_some_and(|id| id != trace.id) {
        return false;
    }
    if let Some(parent) = said.parent {
        return trace.spans.iter().any(|span| span.span_id == parent);
    }
    let execution = known.execution_of.get(&trace.id).copied();
    said.execution.is_none_or(|said| execution == Some(said))
        && compatible(said.job, trace.first(Span::job), |a, b| a == b)
}

/// Names of clocks, numbered.
#[derive(Default)]
struct Clocks {
    names: Vec<String>,
    numbers: HashMap<String, usize>,
}

impl Clocks {
    fn number(&mut self, name: &str) -> usize {
        if let Some(&number) = self.numbers.get(name) {
            return number;
        }
        self.names.push(name.to_owned());
        self.numbers.insert(name.to_owned(), self.names.len() - 1);
        self.names.len() - 1
    }
}

fn callers_of<'a>(at: usize, trace: &Trace<'a>, regions: &'a Regions) -> Vec<Caller<'a>> {
    let (closeness, spans) = trace.callers();
    spans
        .into_iter()
        .map(|span| Caller {
            span,
            trace: at,
            closeness,
            from: span.started_at.timestamp_micros(),
            to: span.completed_at.map(|end| end.timestamp_micros()),
            state: State::of(span),
            model: span.model().or_else(|| trace.first(Span::model)),
            region: trace.region_of(span).map(|region| regions.group(region)),
        })
        .collect()
}
