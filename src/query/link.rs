//! Executions whose traces nobody has joined yet — the linking has not come to them, or never runs on
//! this database: joined for the answer, written nowhere.
//!
//! Invariant: the same evidence as for stored links (`crate::correlate`), over a bounded stretch of time.

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::case::interval;
use super::{Query, QueryError};
use crate::correlate::{Correlation, Knowledge, Surroundings, executions, traces};
use crate::model::{Execution, ExecutionLink, Regions, Span};
use crate::store::{ExecutionQuestion, SpanQuestion};

/// The stretch of time that is looked at; of executions further apart the newest are joined.
const STRETCH: TimeDelta = TimeDelta::hours(2);
/// Spans of others looked at.
const WRITTEN: u32 = 20_000;
/// Printed spans looked at.
const PRINTED: u32 = 5_000;
/// Executions that the traces may belong to.
const EXECUTIONS: u32 = 5_000;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Joined {
    /// Which trace belongs to which of the executions.
    pub(super) links: Vec<ExecutionLink>,
    /// The spans of these traces.
    pub(super) spans: Vec<Span>,
}

impl Query {
    /// Joins executions to traces.
    pub(super) async fn join(&self, alone: &[Execution]) -> Result<Joined, QueryError> {
        let Some((from, to)) = newest_stretch(alone) else {
            return Ok(Joined::default());
        };
        let around = Surroundings::of(from, to);
        let written = SpanQuestion::Written {
            since: around.since,
            from: around.from,
            to: around.to,
        };
        let written = self.store.spans(&written, WRITTEN).await?;
        if written.is_empty() {
            return Ok(Joined::default());
        }
        let question = ExecutionQuestion::Overlapping { from, to };
        let rows = self.store.executions(&question, EXECUTIONS).await?;
        let printed = SpanQuestion::Printed { from, to };
        let printed = self.store.spans(&printed, PRINTED).await?;
        let wanted: HashSet<i64> = alone.iter().map(|execution| execution.id).collect();
        self.compute(move || join(written, printed, &rows, &wanted))
            .await
    }
}

fn newest_stretch(alone: &[Execution]) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
    let times: Vec<_> = alone.iter().filter_map(interval).collect();
    let to = times.iter().map(|time| time.1).max()?;
    let from = times.iter().map(|time| time.0).min()?;
    Some((from.max(to - STRETCH), to))
}

fn join(
    written: Vec<Span>,
    printed: Vec<Span>,
    rows: &[Execution],
    wanted: &HashSet<i64>,
) -> Joined {
    let regions = Regions::default();
    let known = traces(&written);
    let mut links = executions(&known, rows, &regions);
    let correlation = Correlation::new(&printed, &known, &links, rows, &regions);
    let findings = correlation.links(&Knowledge::default());
    links.retain(|link| wanted.contains(&link.execution_id));
    let ours: HashSet<Uuid> = links.iter().map(|link| link.trace_id).collect();
    let mut spans = Vec::new();
    for finding in findings {
        let found = printed
            .iter()
            .find(|span| span.span_id == finding.link.span_id);
        let mut span = match found {
            Some(span) if ours.contains(&finding.link.trace_id) => span.clone(),
            _ => continue,
        };
        finding.link.apply(&mut span);
        spans.push(span);
    }
    spans.extend(
        written
            .into_iter()
            .filter(|span| ours.contains(&span.trace_id)),
    );
    Joined { links, spans }
}
