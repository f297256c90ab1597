//! What the analysis is given about executions: their spans by every way there is to find them, their
//! siblings, losses and unlinked spans of their time, and what was normal then.
//!
//! Invariant: a number of queries that does not depend on how many executions are asked about, each
//! served by an index and bounded in rows.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::link::Joined;
use super::{Query, QueryError};
use crate::analysis::baseline::{Baselines, Settings};
use crate::analysis::case::ExecutionCase;
use crate::analysis::compare;
use crate::analysis::root_cause::hangs_on_surroundings;
use crate::model::{Execution, ExecutionLink, Span, SpanStatus};
use crate::store::{ExecutionQuestion, SpanQuestion, SpanSearch};

/// Spans read at most for all executions of one question.
const MAX_SPANS: u32 = 50_000;
/// Executions that a baseline is learned from: enough for quantiles per model and region, few enough
/// to be read in some ten milliseconds.
const COHORT: u32 = 250;
/// Spans that a baseline is learned from when no executions are known.
const RECENT_SPANS: u32 = 3_000;
/// Unlinked spans looked at around an execution.
const MAX_UNLINKED: u32 = 500;
/// Over a longer time the unlinked spans of each execution are not asked for.
const UNLINKED_RANGE: TimeDelta = TimeDelta::hours(2);
/// How far clocks of hosts may be apart, and how much a Modal span may outlive its caller.
const AROUND: TimeDelta = TimeDelta::seconds(60);
/// How far back a baseline reaches.
pub(super) const BASELINE_WINDOW: TimeDelta = TimeDelta::days(7);
/// How much of the time after an execution counts as its time, at least; at most twice as much, because
/// executions of one stretch of this length share what was normal.
const AFTERWARDS: TimeDelta = TimeDelta::hours(6);

/// What was normal at some time.
#[derive(Debug, Clone)]
pub(super) struct Normal {
    /// The baselines.
    pub(super) baselines: Baselines,
    /// Of the executions that they were learned from, those that others are compared with.
    pub(super) cohort: Vec<ExecutionCase>,
    /// End of the time that was looked at.
    pub(super) at: DateTime<Utc>,
}

impl Query {
    /// The executions with the spans of their traces.
    pub(super) async fn cases(
        &self,
        executions: Vec<Execution>,
    ) -> Result<Vec<ExecutionCase>, QueryError> {
        if executions.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<i64> = executions.iter().map(|execution| execution.id).collect();
        let (spans, links) = self.store.spans_of_executions(&ids, MAX_SPANS).await?;
        let cases = sort_out(executions, &links, spans);
        let alone: Vec<Execution> = cases
            .iter()
            .filter(|case| case.spans.is_empty())
            .map(|case| case.execution.clone())
            .collect();
        // A few without a trace are as they are; many mean that the linking has not been here.
        if alone.len() * 2 <= cases.len() {
            return Ok(cases);
        }
        let joined = self.join(&alone).await?;
        Ok(with_joined(cases, &joined))
    }

    /// Enters what is known of the time in which the executions ran.
    pub(super) async fn surround(&self, cases: Vec<&mut ExecutionCase>) -> Result<(), QueryError> {
        let times = cases.iter().map(|case| interval(&case.execution));
        let Some((from, to)) = times.flatten().reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))) else {
            return Ok(());
        };
        let losses = self.store.losses(from, to).await?;
        let unlinked = if to - from <= UNLINKED_RANGE {
            let question = SpanQuestion::Unlinked { from, to };
            self.store.spans(&question, MAX_UNLINKED).await?
        } else {
            Vec::new()
        };
        for case in cases {
            let Some((from, to)) = interval(&case.execution) else {
                continue;
            };
            let lost = losses
                .iter()
                .filter(|loss| loss.to >= from && loss.from <= to);
            case.losses = lost.cloned().collect();
            let near = unlinked
                .iter()
                .filter(|span| (from..=to).contains(&span.started_at));
            case.unlinked = near.cloned().collect();
        }
        Ok(())
    }

    /// The same for those whose cause can hang on it.
    pub(super) async fn surround_unclear(
        &self,
        cases: &mut [ExecutionCase],
        baselines: &Baselines,
        now: DateTime<Utc>,
    ) -> Result<(), QueryError> {
        let unclear = |case: &&mut ExecutionCase| hangs_on_surroundings(case, baselines, now);
        self.surround(cases.iter_mut().filter(unclear).collect())
            .await
    }

    /// What was normal for a model, or for all, around a time.
    pub(super) async fn normal(
        &self,
        model: Option<&str>,
        around: Option<DateTime<Utc>>,
    ) -> Result<Arc<Normal>, QueryError> {
        let (at, key) = end_of_normal(model, around);
        if let Some(normal) = self.memories.normal.fresh(&key) {
            return Ok(normal);
        }
        // Whoever waits for another one's search must not hold the connection that it needs.
        self.store.rest().await;
        let find = async { Ok(Arc::new(self.learn(model, at).await?)) };
        self.memories.normal.recall(key, find).await
    }

    async fn learn(&self, model: Option<&str>, at: DateTime<Utc>) -> Result<Normal, QueryError> {
        let from = at - BASELINE_WINDOW;
        let recent = ExecutionQuestion::Recent {
            from,
            to: at,
            failed_only: false,
            model_id: model.map(str::to_owned),
            region: None,
        };
        let mut executions = self.store.executions(&recent, COHORT).await?;
        // Failures don't tell what is normal, and one of them may have more spans than all others.
        executions.retain(succeeded);
        let cohort = self.cases(executions).await?;
        let others = if cohort.iter().all(|case| case.spans.is_empty()) {
            let search = SpanQuestion::Search(SpanSearch::all(from, at));
            self.store.spans(&search, RECENT_SPANS).await?
        } else {
            Vec::new()
        };
        // Learning from a thousand spans takes milliseconds.
        let learned = self.compute(move || {
            let spans = cohort.iter().flat_map(|case| &case.spans).chain(&others);
            let baselines = Baselines::from_spans(spans, Settings::default(), at);
            Normal {
                baselines,
                cohort: comparable(cohort),
                at,
            }
        });
        learned.await
    }

    /// The row of an execution.
    pub(super) async fn execution(&self, id: i64) -> Result<Execution, QueryError> {
        let question = ExecutionQuestion::Ids(vec![id]);
        let mut rows = self.store.executions(&question, 1).await?;
        rows.pop().ok_or_else(|| {
            QueryError::NotFound(format!(
                "no execution {id} in this database; get_recent_failures lists failed executions with their ids, \
                 find_timeout_root_cause those of a job"
            ))
        })
    }
}

/// The newest that went well of each model and region: as many as a comparison looks at.
fn comparable(mut cohort: Vec<ExecutionCase>) -> Vec<ExecutionCase> {
    let mut seen: HashMap<(Option<String>, String), usize> = HashMap::new();
    cohort.retain(|case| {
        let row = &case.execution;
        let kind = (row.model_id.clone(), row.region.clone());
        let count = seen.entry(kind).or_default();
        *count += usize::from(succeeded(row));
        succeeded(row) && *count <= compare::COHORT
    });
    cohort
}

/// Up to when executions count for what was normal around a time, and the name of it.
fn end_of_normal(model: Option<&str>, around: Option<DateTime<Utc>>) -> (DateTime<Utc>, String) {
    let now = Utc::now();
    let stretch = AFTERWARDS.num_seconds();
    let end = around.and_then(|time| {
        let next = (time.timestamp().div_euclid(stretch) + 1) * stretch;
        DateTime::from_timestamp(next.checked_add(stretch)?, 0).filter(|end| *end < now)
    });
    let name = end.map_or(0, |end| end.timestamp());
    (
        end.unwrap_or(now),
        format!("{name} {}", model.unwrap_or("\n")),
    )
}

/// Gives each execution the spans that belong to it.
fn sort_out(
    executions: Vec<Execution>,
    links: &[ExecutionLink],
    spans: Vec<Span>,
) -> Vec<ExecutionCase> {
    let asked: HashSet<i64> = executions.iter().map(|execution| execution.id).collect();
    let named = spans.iter().filter_map(|span| {
        let id = span.execution_id.filter(|id| asked.contains(id))?;
        Some((span.trace_id, id))
    });
    let owners = Owners::new(named, links);
    let mut found: BTreeMap<i64, Vec<Span>> = BTreeMap::new();
    for span in spans {
        if let Some(owner) = owners.of(&span) {
            found.entry(owner).or_default().push(span);
        }
    }
    let cases = executions.into_iter().map(|execution| {
        let spans = found.remove(&execution.id).unwrap_or_default();
        let link = owners.link(execution.id, &spans);
        ExecutionCase {
            link,
            ..ExecutionCase::new(execution, spans)
        }
    });
    cases.collect()
}

/// Adds what was joined for this answer to the cases that had nothing.
fn with_joined(cases: Vec<ExecutionCase>, joined: &Joined) -> Vec<ExecutionCase> {
    let owners = Owners::new([], &joined.links);
    let mut found: HashMap<i64, Vec<Span>> = HashMap::new();
    for span in &joined.spans {
        if let Some(owner) = owners.of(span) {
            found.entry(owner).or_default().push(span.clone());
        }
    }
    let add = |mut case: ExecutionCase| {
        if case.spans.is_empty()
            && let Some(spans) = found.remove(&case.execution.id)
        {
            case.link = owners.link(case.execution.id, &spans);
            case.spans = spans;
        }
        case
    };
    cases.into_iter().map(add).collect()
}

/// Whether an execution ended well.
pub(super) fn succeeded(execution: &Execution) -> bool {
    SpanStatus::parse(&execution.status) == SpanStatus::Completed
}

/// When the execution's spans can have begun.
pub(super) fn interval(execution: &Execution) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
    let start = execution.started_at.or(execution.created_at)?;
    let end = execution
        .completed_at
        .or(execution.created_at)
        .unwrap_or(start);
    Some((start - AROUND, end.max(start) + AROUND))
}

/// Which execution a span belongs to.
struct Owners<'a> {
    by_trace: HashMap<Uuid, i64>,
    links: HashMap<i64, &'a ExecutionLink>,
}

impl<'a> Owners<'a> {
    /// Of links, and of traces with a span that names its execution.
    fn new(named: impl IntoIterator<Item = (Uuid, i64)>, links: &'a [ExecutionLink]) -> Self {
        let mut best: HashMap<Uuid, &ExecutionLink> = HashMap::new();
        for link in links {
            let known = best.entry(link.trace_id).or_insert(link);
            if link.confidence > known.confidence {
                *known = link;
            }
        }
        let mut by_trace: HashMap<Uuid, i64> = HashMap::new();
        for (trace, link) in &best {
            by_trace.insert(*trace, link.execution_id);
        }
        // A span that names its execution outweighs what was found out about its trace.
        by_trace.extend(named);
        let links = best.into_values().map(|link| (link.execution_id, link));
        Self {
            by_trace,
            links: links.collect(),
        }
    }

    fn of(&self, span: &Span) -> Option<i64> {
        span.execution_id
            .or_else(|| self.by_trace.get(&span.trace_id).copied())
    }

    /// The link that led to the spans.
    fn link(&self, execution: i64, spans: &[Span]) -> Option<ExecutionLink> {
        let link = *self.links.get(&execution)?;
        let used = spans.iter().any(|span| span.trace_id == link.trace_id);
        used.then(|| link.clone())
    }
}
