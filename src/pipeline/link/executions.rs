//! Traces of runners and their executions: found from the executions' side, whose rows say when the
//! trace began.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::{FIRST_LOOK, LinkSummary, Linker};
use crate::correlate::{executions, traces, with_execution};
use crate::model::{Execution, ExecutionLink, Span};
use crate::store::{ExecutionQuestion, SpanQuestion, StoreError};

/// New executions read at once.
const PAGE: u32 = 2_000;
/// Executions of the past read at once, and of how long: first, at least and at most.
const MANY: u32 = 10_000;
const STEP: (TimeDelta, TimeDelta, TimeDelta) = (
    TimeDelta::minutes(30),
    TimeDelta::seconds(1),
    TimeDelta::hours(6),
);
/// Spans read at once.
const SPANS: u32 = 20_000;
/// Traces asked for at once.
const TRACES: usize = 500;
/// How far a trace's start and its execution's may lie apart.
const APART: TimeDelta = TimeDelta::seconds(15);
/// Executions that wait for their traces, and how long.
const WAITING: (usize, TimeDelta) = (2_000, TimeDelta::minutes(10));

impl Linker {
    /// Joins the executions that began in `[from, to)` to their traces.
    pub(super) async fn link_executions_of(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<LinkSummary, StoreError> {
        let mut summary = LinkSummary::default();
        let (mut at, mut step) = (from, STEP.0);
        while at < to {
            let end = at.checked_add_signed(step).map_or(to, |end| end.min(to));
            let question = ExecutionQuestion::Overlapping { from: at, to: end };
            let mut page = self.store.executions(&question, MANY).await?;
            let count = page.len();
            if count == MANY as usize && step > STEP.1 {
                step = (step / 4).max(STEP.1);
                continue;
            }
            if count < MANY as usize / 8 {
                step = (step * 2).min(STEP.2);
            }
            // Who was running when the first began is nobody else's.
            let begins_here = |began: DateTime<Utc>| (at == from || at <= began) && began < end;
            page.retain(|execution| execution.started_at.is_some_and(begins_here));
            summary.executions += self.join(page).await?.len() as u64;
            at = end;
        }
        Ok(summary)
    }

    /// Joins executions that were written since the last time, and those that are still waiting for
    /// their traces, and enters them in the printed spans of these traces.
    pub(super) async fn link_new_executions(
        &self,
        now: DateTime<Utc>,
    ) -> Result<LinkSummary, StoreError> {
        let mut state = self.state.lock().await;
        let from = state.pending.executions_to.unwrap_or(now - FIRST_LOOK);
        // The database's clock may be ahead of ours.
        let page = self.written_in(from, now + TimeDelta::hours(1)).await?;
        let newest = page
            .iter()
            .filter_map(|execution| execution.created_at)
            .max();
        let mut waiting = state.pending.executions.clone();
        waiting.extend(page.into_iter().map(|execution| (execution.id, execution)));
        let joined = self.join(waiting.values().cloned().collect()).await;
        if let Ok(joined) = &joined {
            for link in joined {
                waiting.remove(&link.execution_id);
            }
            // Rows that become visible late have an earlier time: look a little further back.
            state.pending.executions_to = newest.map(|at| at - APART).or(Some(from));
        }
        let young =
            |execution: &Execution| execution.created_at.is_some_and(|at| now - at < WAITING.1);
        waiting.retain(|_, execution| young(execution));
        while waiting.len() > WAITING.0 {
            waiting.pop_first();
        }
        state.pending.executions = waiting;
        drop(state);
        let joined = joined?;
        self.fill_in(&joined).await?;
        Ok(LinkSummary {
            executions: joined.len() as u64,
            ..LinkSummary::default()
        })
    }

    async fn written_in(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Vec<Execution>, StoreError> {
        let question = ExecutionQuestion::Recent {
            from,
            to,
            failed_only: false,
            model_id: None,
            region: None,
        };
        self.store.executions(&question, PAGE).await
    }

    /// Finds the traces of executions and keeps what is new.
    async fn join(&self, mut page: Vec<Execution>) -> Result<Vec<ExecutionLink>, StoreError> {
        page.retain(|execution| execution.started_at.is_some());
        page.sort_by_key(|execution| (execution.started_at, execution.id));
        let mut groups: Vec<&[Execution]> = page
            .chunk_by(|a, b| match (a.started_at, b.started_at) {
                (Some(a), Some(b)) => b - a <= APART * 2,
                _ => false,
            })
            .collect();
        let mut found = Vec::new();
        while let Some(group) = groups.pop() {
            let spans = self.runner_spans(group).await?;
            if spans.len() == SPANS as usize && group.len() > 1 {
                let (earlier, later) = group.split_at(group.len() / 2);
                groups.extend([earlier, later]);
                continue;
            }
            let links = executions(&traces(&spans), group, &self.regions);
            // By time alone is for who sees all executions of that time.
            found.extend(links.into_iter().filter(|link| link.method != "time"));
        }
        self.keep_new(found).await
    }

    async fn runner_spans(&self, group: &[Execution]) -> Result<Vec<Span>, StoreError> {
        let starts = || group.iter().filter_map(|execution| execution.started_at);
        let (Some(first), Some(last)) = (starts().min(), starts().max()) else {
            return Ok(Vec::new());
        };
        let question = SpanQuestion::Window {
            services: vec!["runner".to_owned()],
            from: first - APART,
            to: last + APART,
        };
        self.store.spans(&question, SPANS).await
    }

    /// Writes the links of traces that have none yet.
    async fn keep_new(
        &self,
        mut found: Vec<ExecutionLink>,
    ) -> Result<Vec<ExecutionLink>, StoreError> {
        // Groups overlap in their margins, where they can only find the same.
        found.sort_by_key(|link| (link.trace_id, link.execution_id));
        found.dedup_by_key(|link| link.trace_id);
        let mut new = Vec::new();
        for part in found.chunks(TRACES) {
            let ids: Vec<Uuid> = part.iter().map(|link| link.trace_id).collect();
            let known = self.store.execution_links(&ids).await?;
            let known: HashSet<Uuid> = known.iter().map(|link| link.trace_id).collect();
            let is_new = |link: &&ExecutionLink| !known.contains(&link.trace_id);
            new.extend(part.iter().filter(is_new).cloned());
        }
        self.write(Vec::new(), new.clone()).await?;
        Ok(new)
    }

    /// Enters executions in the printed spans that were linked to their traces before.
    async fn fill_in(&self, joined: &[ExecutionLink]) -> Result<(), StoreError> {
        for part in joined.chunks(TRACES) {
            let ids: Vec<i64> = part.iter().map(|link| link.execution_id).collect();
            let executions = self
                .store
                .executions(&ExecutionQuestion::Ids(ids), PAGE)
                .await?;
            let executions: HashMap<i64, Execution> =
                executions.into_iter().map(|row| (row.id, row)).collect();
            let of_trace: HashMap<Uuid, i64> = part
                .iter()
                .map(|link| (link.trace_id, link.execution_id))
                .collect();
            let question = SpanQuestion::Traces(of_trace.keys().copied().collect());
            let rows = self.store.spans(&question, SPANS).await?;
            let links = rows
                .iter()
                .filter(|row| row.is_printed() && row.execution_id.is_none())
                .filter_map(|row| {
                    let execution = executions.get(of_trace.get(&row.trace_id)?)?;
                    Some(with_execution(row, execution))
                });
            self.write(links.collect(), Vec::new()).await?;
        }
        Ok(())
    }
}
