//! One slice of time: reads the rows of it and of its surroundings, has them correlated, writes what
//! changed.
//!
//! Invariant: memory is bounded by the rows read at once, whatever the length of the window, and a
//! span is judged only with its neighbours on both sides in sight.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::{LinkSummary, Linker};
use crate::correlate::{Correlation, Finding, Knowledge, Surroundings, Trace, executions, traces};
use crate::model::{Execution, ExecutionLink, Regions, Span, SpanLink};
use crate::store::{Batch, ExecutionQuestion, SpanQuestion, StoreError, shard_of_span};

/// Printed spans read at once: first, and at least when there is too much around them.
const PRINTED: (u32, u32) = (6_000, 100);
/// Spans of others read at once.
const WRITTEN: u32 = 40_000;
/// Executions read at once.
const EXECUTIONS: u32 = 20_000;
/// Traces asked for at once.
const TRACES: usize = 1_000;
/// Findings written in one transaction; it holds up writers of the same rows for a moment.
const WRITE: usize = 500;
/// Printed spans this close to a slice compete for the same callers.
const MARGIN: TimeDelta = TimeDelta::seconds(30);

/// What came of a slice.
#[derive(Debug)]
pub(super) struct Slice {
    pub(super) from: DateTime<Utc>,
    /// Where it ended: further than `from`, at most at the end of what was asked for.
    pub(super) reached: DateTime<Utc>,
    pub(super) summary: LinkSummary,
    /// Where nothing was looked at, because there are no callers (yet).
    pub(super) blank: Range<DateTime<Utc>>,
    /// Starts of printed spans that may be linked otherwise before long.
    pub(super) unsettled: Vec<DateTime<Utc>>,
    /// What is known now, if it learned.
    pub(super) knowledge: Option<Knowledge>,
}

/// The rows of a slice and of its surroundings.
struct Rows {
    printed: Vec<Span>,
    written: Vec<Span>,
    links: Vec<ExecutionLink>,
    executions: Vec<Execution>,
    regions: Arc<Regions>,
}

/// What correlating the rows gave.
struct Found {
    findings: Vec<Finding>,
    links: Vec<ExecutionLink>,
    knowledge: Option<Knowledge>,
    // Handed back: the findings are compared with them.
    printed: Vec<Span>,
}

impl Linker {
    /// Links what it can take in at once of `[from, to)`.
    pub(super) async fn slice(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        knowledge: &Knowledge,
        learn_since: Option<DateTime<Utc>>,
    ) -> Result<Slice, StoreError> {
        let mut slice = Slice {
            from,
            reached: to,
            summary: LinkSummary::default(),
            blank: from..from,
            unsettled: Vec::new(),
            knowledge: None,
        };
        let first = self.first_caller(from, to).await?;
        slice.blank = from..first.unwrap_or(to);
        let Some(from) = first.filter(|first| *first < to) else {
            return Ok(slice);
        };
        let mut limit = PRINTED.0;
        let (printed, written) = loop {
            let mut printed = self.printed(from, to, limit).await?;
            let (Some(first), Some(last)) = (printed.first(), printed.last()) else {
                return Ok(slice);
            };
            let (first, last) = (first.started_at, last.started_at);
            slice.reached = reached(&printed, from, to, limit);
            let around = Surroundings::of(first, last.min(to + MARGIN));
            let question = SpanQuestion::Written {
                since: around.since,
                from: around.from,
                to: around.to,
            };
            let written = self.store.spans(&question, WRITTEN).await?;
            if written.len() < WRITTEN as usize {
                break (printed, written);
            }
            if limit == PRINTED.1 {
                printed.retain(|span| from <= span.started_at && span.started_at < slice.reached);
                slice.summary.too_dense += printed.len() as u64;
                return Ok(slice);
            }
            limit = (limit / 4).max(PRINTED.1);
        };
        let rows = self.complete(printed, written).await?;
        let found = correlate_aside(rows, knowledge.clone(), learn_since).await;
        self.save(from, found, &mut slice).await?;
        Ok(slice)
    }

    /// From where on there are callers; none in `[from, to)` is the common case of a log that nobody
    /// has traced, and costs one look into an index.
    async fn first_caller(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>, StoreError> {
        let around = Surroundings::of(from, to);
        let question = SpanQuestion::Written {
            since: around.since,
            from: around.from,
            to: around.to,
        };
        let first = self.store.spans(&question, 1).await?;
        let skew = from - around.from;
        Ok(first.first().map(|span| from.max(span.started_at - skew)))
    }

    async fn printed(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        limit: u32,
    ) -> Result<Vec<Span>, StoreError> {
        let question = SpanQuestion::Printed {
            from: from - MARGIN,
            to: to + MARGIN,
        };
        self.store.spans(&question, limit).await
    }

    /// Adds what is known of the traces, and the executions that the others can be of.
    async fn complete(&self, printed: Vec<Span>, written: Vec<Span>) -> Result<Rows, StoreError> {
        let mut ids: Vec<Uuid> = written.iter().map(|span| span.trace_id).collect();
        ids.sort_unstable();
        ids.dedup();
        let mut links = Vec::new();
        for ids in ids.chunks(TRACES) {
            links.extend(self.store.execution_links(ids).await?);
        }
        let known: HashSet<Uuid> = links.iter().map(|link| link.trace_id).collect();
        let open = written
            .iter()
            .filter(|span| !known.contains(&span.trace_id));
        let from = open.clone().map(|span| span.started_at).min();
        let to = open
            .map(|span| span.completed_at.unwrap_or(span.started_at))
            .max();
        let mut executions = Vec::new();
        if let (Some(from), Some(to)) = (from, to) {
            let question = ExecutionQuestion::Overlapping { from, to };
            executions = self.store.executions(&question, EXECUTIONS).await?;
        }
        if executions.len() == EXECUTIONS as usize {
            // Not all of them: who is missing could be the one. They are joined by their own rows.
            executions.clear();
        }
        Ok(Rows {
            printed,
            written,
            links,
            executions,
            regions: Arc::clone(&self.regions),
        })
    }

    /// Writes what changed of what lies in the slice.
    async fn save(
        &self,
        from: DateTime<Utc>,
        found: Found,
        slice: &mut Slice,
    ) -> Result<(), StoreError> {
        let reached = slice.reached;
        let findings = found.findings.into_iter();
        let mut findings: HashMap<Uuid, Finding> = findings
            .map(|finding| (finding.link.span_id, finding))
            .collect();
        let mut changes = Vec::new();
        let inside = |row: &&Span| from <= row.started_at && row.started_at < reached;
        for row in found.printed.iter().filter(inside) {
            slice.summary.seen += 1;
            let Some(finding) = findings.remove(&row.span_id) else {
                slice.unsettled.push(row.started_at);
                continue;
            };
            if !finding.settled {
                slice.unsettled.push(row.started_at);
            }
            if finding.link.trace_id == row.span_id {
                slice.summary.unlinked += 1;
            } else {
                slice.summary.linked += 1;
            }
            if finding.link.changes(row) {
                changes.push(finding.link);
            }
        }
        slice.summary.changed = changes.len() as u64;
        slice.summary.executions = found.links.len() as u64;
        slice.knowledge = found.knowledge;
        self.write(changes, found.links).await
    }

    /// Writes findings, those of one shard together, so that nobody waits for more than one.
    pub(super) async fn write(
        &self,
        mut links: Vec<SpanLink>,
        execution_links: Vec<ExecutionLink>,
    ) -> Result<(), StoreError> {
        for part in execution_links.chunks(WRITE) {
            let batch = Batch {
                execution_links: part.to_vec(),
                ..Batch::default()
            };
            self.store.write(&batch).await?;
        }
        links.sort_by_cached_key(|link| (shard_of_span(link.span_id), link.span_id));
        let same_shard =
            |a: &SpanLink, b: &SpanLink| shard_of_span(a.span_id) == shard_of_span(b.span_id);
        for part in links
            .chunk_by(same_shard)
            .flat_map(|part| part.chunks(WRITE))
        {
            let batch = Batch {
                links: part.to_vec(),
                ..Batch::default()
            };
            self.store.write(&batch).await?;
        }
        Ok(())
    }
}

/// Up to where the rows at hand can be judged: all of what was asked for if all of it is there, else
/// as far as their neighbours are. Always further than `from`.
fn reached(printed: &[Span], from: DateTime<Utc>, to: DateTime<Utc>, limit: u32) -> DateTime<Utc> {
    let Some(last) = printed.last().filter(|_| printed.len() == limit as usize) else {
        return to;
    };
    let middle = printed[printed.len() / 2].started_at;
    let reached = middle.max(last.started_at - MARGIN).min(to);
    if reached > from {
        return reached;
    }
    // More than fits began in one margin: on, at least past the last one seen.
    (last.started_at + TimeDelta::microseconds(1)).max(from + TimeDelta::microseconds(1))
}

/// Correlates the rows on a thread for long work.
async fn correlate_aside(
    rows: Rows,
    knowledge: Knowledge,
    learn_since: Option<DateTime<Utc>>,
) -> Found {
    let work = tokio::task::spawn_blocking(move || correlate(rows, &knowledge, learn_since));
    match work.await.map_err(tokio::task::JoinError::try_into_panic) {
        Ok(found) => found,
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        // The runtime is being shut down, and this task with it.
        Err(Err(_)) => std::future::pending().await,
    }
}

fn correlate(rows: Rows, knowledge: &Knowledge, learn_since: Option<DateTime<Utc>>) -> Found {
    let traces = traces(&rows.written);
    let known: HashSet<Uuid> = rows.links.iter().map(|link| link.trace_id).collect();
    let open = |trace: &&Trace<'_>| !known.contains(&trace.id);
    let open: Vec<Trace<'_>> = traces.iter().filter(open).cloned().collect();
    let fresh = executions(&open, &rows.executions, &rows.regions);
    let links: Vec<_> = rows.links.iter().chain(&fresh).cloned().collect();
    let correlation = Correlation::new(
        &rows.printed,
        &traces,
        &links,
        &rows.executions,
        &rows.regions,
    );
    let learned = learn_since.map(|since| correlation.learn(since, knowledge));
    let findings = correlation.links(learned.as_ref().unwrap_or(knowledge));
    drop(correlation);
    Found {
        findings,
        links: fresh,
        knowledge: learned,
        printed: rows.printed,
    }
}
