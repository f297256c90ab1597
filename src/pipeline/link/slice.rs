//! One slice of time: has the rows in sight correlated and writes what changed.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use chrono::{DateTime, Utc};
use futures_util::stream::{self, TryStreamExt as _};
use uuid::Uuid;

use super::view::{Sight, View};
use super::{LinkSummary, Linker};
use crate::correlate::{Correlation, Finding, Knowledge, Surroundings, Trace, executions, traces};
use crate::model::{ExecutionLink, Regions, Span, SpanLink};
use crate::store::{Batch, SpanQuestion, StoreError, shard_of_span};

/// Findings written in one transaction; it holds up writers of the same rows for a moment.
const WRITE: usize = 1_500;

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
    /// What is to be written.
    pub(super) changes: Vec<SpanLink>,
    pub(super) joined: Vec<ExecutionLink>,
}

/// What correlating the rows gave.
struct Found {
    findings: Vec<Finding>,
    links: Vec<ExecutionLink>,
    knowledge: Option<Knowledge>,
    // Handed back: the findings are compared with its rows.
    view: View,
}

impl Slice {
    /// A slice of which nothing is known yet.
    pub(super) fn new(from: DateTime<Utc>, reached: DateTime<Utc>) -> Self {
        Self {
            from,
            reached,
            summary: LinkSummary::default(),
            blank: from..from,
            unsettled: Vec::new(),
            knowledge: None,
            changes: Vec::new(),
            joined: Vec::new(),
        }
    }

    /// A stretch in which nobody can have called (yet).
    pub(super) fn blank(from: DateTime<Utc>, to: DateTime<Utc>) -> Self {
        Self {
            blank: from..to,
            ..Self::new(from, to)
        }
    }

    /// A stretch with so many printed spans, in which there is too much to tell anything apart.
    pub(super) fn crowded(from: DateTime<Utc>, to: DateTime<Utc>, printed: u64) -> Self {
        let mut slice = Self::new(from, to);
        slice.summary.too_dense = printed;
        slice
    }

    /// Enters what came of what lies in the slice.
    fn take(&mut self, found: Found) -> View {
        let (from, reached) = (self.from, self.reached);
        let mut view = found.view;
        let findings = found.findings.into_iter();
        let mut findings: HashMap<Uuid, Finding> = findings
            .map(|finding| (finding.link.span_id, finding))
            .collect();
        let inside = |row: &&Span| from <= row.started_at && row.started_at < reached;
        for row in view.printed.iter().filter(inside) {
            self.summary.seen += 1;
            let Some(finding) = findings.remove(&row.span_id) else {
                self.unsettled.push(row.started_at);
                continue;
            };
            if !finding.settled {
                self.unsettled.push(row.started_at);
            }
            if finding.link.trace_id == row.span_id {
                self.summary.unlinked += 1;
            } else {
                self.summary.linked += 1;
            }
            if finding.link.changes(row) {
                self.changes.push(finding.link);
            }
        }
        self.summary.changed = self.changes.len() as u64;
        self.summary.executions = found.links.len() as u64;
        self.knowledge = found.knowledge;
        view.know(&found.links);
        self.joined = found.links;
        view
    }
}

impl Linker {
    /// Weighs what is in sight from a place on; what comes of it is not written yet.
    pub(super) async fn slice(
        &self,
        mut view: View,
        from: DateTime<Utc>,
        knowledge: &Knowledge,
        learn_since: Option<DateTime<Utc>>,
    ) -> Result<(Slice, View), StoreError> {
        let reached = match view.look(self, from).await? {
            Sight::Nothing(reached) => return Ok((Slice::new(from, reached), view)),
            Sight::Crowded(reached) => {
                let inside = |one: &&Span| from <= one.started_at && one.started_at < reached;
                let printed = view.printed.iter().filter(inside).count();
                return Ok((Slice::crowded(from, reached, printed as u64), view));
            }
            Sight::Clear(reached) => reached,
        };
        let mut slice = Slice::new(from, reached);
        let regions = Arc::clone(&self.regions);
        let found = correlate_aside(view, regions, knowledge.clone(), learn_since).await;
        let view = slice.take(found);
        Ok((slice, view))
    }

    /// From where on there are callers; none in `[from, to)` is the common case of a log that nobody
    /// has traced.
    pub(super) async fn first_caller(
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
        let first = first.first().map(|span| from.max(span.started_at - skew));
        Ok(first.filter(|first| *first < to))
    }

    /// Writes findings, those of one shard together, so that nobody waits for more than one.
    pub(super) async fn write(
        &self,
        mut links: Vec<SpanLink>,
        execution_links: Vec<ExecutionLink>,
    ) -> Result<(), StoreError> {
        let joins = execution_links.chunks(WRITE).map(|part| Batch {
            execution_links: part.to_vec(),
            ..Batch::default()
        });
        links.sort_by_cached_key(|link| (shard_of_span(link.span_id), link.span_id));
        let same_shard =
            |a: &SpanLink, b: &SpanLink| shard_of_span(a.span_id) == shard_of_span(b.span_id);
        let changes = links
            .chunk_by(same_shard)
            .flat_map(|part| part.chunks(WRITE))
            .map(|part| Batch {
                links: part.to_vec(),
                ..Batch::default()
            });
        let width = self.width.load(Relaxed);
        stream::iter(joins.chain(changes).map(Ok))
            .try_for_each_concurrent(width, async |batch| {
                self.store.write(&batch).await.map(|_| ())
            })
            .await
    }
}

/// Correlates the rows on a thread for long work.
async fn correlate_aside(
    view: View,
    regions: Arc<Regions>,
    knowledge: Knowledge,
    learn_since: Option<DateTime<Utc>>,
) -> Found {
    let work =
        tokio::task::spawn_blocking(move || correlate(view, &regions, &knowledge, learn_since));
    match work.await.map_err(tokio::task::JoinError::try_into_panic) {
        Ok(found) => found,
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        // The runtime is being shut down, and this task with it.
        Err(Err(_)) => std::future::pending().await,
    }
}

fn correlate(
    view: View,
    regions: &Regions,
    knowledge: &Knowledge,
    learn_since: Option<DateTime<Utc>>,
) -> Found {
    let printed = &view.printed[..view.surrounded];
    let traces = traces(&view.written);
    let open = |trace: &&Trace<'_>| !view.links.contains_key(&trace.id);
    let open: Vec<Trace<'_>> = traces.iter().filter(open).cloned().collect();
    let fresh = executions(&open, &view.executions, regions);
    let links: Vec<_> = view.links.values().chain(&fresh).cloned().collect();
    let correlation = Correlation::new(printed, &traces, &links, &view.executions, regions);
    let learned = learn_since.map(|since| correlation.learn(since, knowledge));
    let findings = correlation.links(learned.as_ref().unwrap_or(knowledge));
    drop(correlation);
    Found {
        findings,
        links: fresh,
        knowledge: learned,
        view,
    }
}
