//! Questions about executions and jobs: what is fetched for each, and which analysis answers it.

use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};
use serde::Serialize;

use super::case::{BASELINE_WINDOW, succeeded};
use super::report::{FoundSpan, RecentFailuresAndSpans};
use super::{Arguments, Page, Query, QueryError};
use crate::analysis::report::{Comparison, Diagnosis, JobTimeouts, Performance, TraceGaps};
use crate::analysis::{compare, failures, gaps, job, performance, root_cause};
use crate::model::{Execution, Job, Regions, Span};
use crate::store::{ExecutionQuestion, SpanQuestion, SpanSearch, Window};

/// Executions of a job that are looked at.
const MAX_SIBLINGS: u32 = 500;
/// Failures that patterns rest on, at least, where there are so many.
const PATTERN_SAMPLE: usize = 100;
/// Failures that a cursor reaches.
const MAX_FAILURES: u32 = 20_000;
/// Executions of a window that are counted: more would take seconds.
const MAX_COUNTED: u32 = 1_000_000;
/// Modal spans of a window that tokens are counted on.
const MAX_TOKENS: u32 = 5_000;
/// Successful executions below which a comparison looks beyond the same model.
const FEW: usize = 20;
/// How long a window of performance is unless the caller says.
const DEFAULT_WINDOW: TimeDelta = TimeDelta::days(7);
/// How far ahead clocks of writers and callers may run.
const AHEAD: TimeDelta = TimeDelta::minutes(5);

/// Which executions are meant.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Selection {
    /// Only this model.
    pub model_id: Option<String>,
    /// Only this region, as the runner spells it.
    pub region: Option<String>,
    /// Only those written since.
    pub since: Option<DateTime<Utc>>,
}

impl Selection {
    /// Takes the selection's arguments.
    pub fn take(arguments: &mut Arguments) -> Result<Self, QueryError> {
        let now = Utc::now();
        Ok(Self {
            model_id: arguments.text_if_given("model_id")?,
            region: arguments.text_if_given("region")?,
            since: arguments.since(now, now + AHEAD, "in the future")?,
        })
    }

    fn between(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        failed_only: bool,
    ) -> ExecutionQuestion {
        ExecutionQuestion::Recent {
            from,
            to,
            failed_only,
            model_id: self.model_id.clone(),
            region: self.region.clone(),
        }
    }
}

impl Query {
    /// Why an execution failed or was slow.
    pub async fn diagnose_execution(&self, id: i64) -> Result<Diagnosis, QueryError> {
        let execution = self.execution(id).await?;
        let at = ran_at(&execution);
        let normal = self.normal(execution.model_id.as_deref(), at).await?;
        let mut cases = self.cases(vec![execution]).await?;
        self.surround(cases.iter_mut().collect()).await?;
        let mut case = cases.swap_remove(0);
        if let (true, Some(key)) = (case.spans.is_empty(), case.execution.job_key) {
            let question = ExecutionQuestion::Job(key);
            let siblings = self.store.executions(&question, MAX_SIBLINGS).await?;
            case.siblings = siblings.into();
        }
        let now = Utc::now();
        self.compute(move || root_cause::diagnose(&case, &normal.baselines, now))
            .await
    }

    /// Why a job's executions failed or were slow.
    pub async fn find_timeout_root_cause(&self, job_id: &str) -> Result<JobTimeouts, QueryError> {
        let question = ExecutionQuestion::NamedJob(job_id.to_owned());
        let executions = self.store.executions(&question, MAX_SIBLINGS).await?;
        let named = executions.iter().find_map(|row| row.job_id.clone());
        let job_id = match named {
            Some(name) => name,
            None => self.job(job_id).await?.job_id,
        };
        let mut models: Vec<_> = executions.iter().map(|row| row.model_id.clone()).collect();
        models.sort_unstable();
        models.dedup();
        let only = match models.as_slice() {
            [Some(model)] => Some(model.as_str()),
            _ => None,
        };
        let newest = executions.iter().filter_map(|row| row.created_at).max();
        let normal = self.normal(only, newest).await?;
        let mut cases = self.cases(executions).await?;
        let now = Utc::now();
        self.surround_unclear(&mut cases, &normal.baselines, now)
            .await?;
        self.compute(move || job::analyse(&job_id, &cases, &normal.baselines, now))
            .await
    }

    async fn job(&self, id: &str) -> Result<Job, QueryError> {
        self.store.job(id).await?.ok_or_else(|| {
            QueryError::NotFound(format!(
                "no job {:?} in this database; get_recent_failures lists failed executions with their job ids",
                crate::untrusted::clean(id, 80)
            ))
        })
    }

    /// How an execution differs from successful ones.
    pub async fn compare_with_successful(&self, id: i64) -> Result<Comparison, QueryError> {
        let execution = self.execution(id).await?;
        let around = ran_at(&execution);
        let normal = self.normal(execution.model_id.as_deref(), around).await?;
        let same_model = normal.cohort.iter();
        let few = same_model.filter(|case| succeeded(&case.execution)).count() < FEW;
        let wider = if few && execution.model_id.is_some() {
            Some(self.normal(None, around).await?)
        } else {
            None
        };
        let model = execution.model_id.clone();
        let mut cases = self.cases(vec![execution]).await?;
        let case = cases.swap_remove(0);
        self.compute(move || {
            let others = wider.iter().flat_map(|wider| &wider.cohort);
            let others = others.filter(|case| case.execution.model_id != model);
            let candidates = normal.cohort.iter().chain(others);
            compare::compare(
                &case,
                candidates,
                &normal.baselines,
                BASELINE_WINDOW,
                normal.at,
            )
        })
        .await
    }

    /// What failed lately. The embedded database often holds printed spans alone: those that failed
    /// are listed where there are no executions.
    pub async fn get_recent_failures(
        &self,
        selection: &Selection,
        limit: usize,
        page: Page,
    ) -> Result<RecentFailuresAndSpans, QueryError> {
        let now = Utc::now();
        let from = selection.since.unwrap_or(DateTime::UNIX_EPOCH);
        let to = now + AHEAD;
        let question = selection.between(from, to, true);
        let total = self.store.count_executions(&question).await?;
        let wanted = page.offset.saturating_add(limit.max(PATTERN_SAMPLE));
        let wanted = u32::try_from(wanted).map_or(MAX_FAILURES, |wanted| wanted.min(MAX_FAILURES));
        let mut executions = self.store.executions(&question, wanted).await?;
        executions.drain(..page.offset.min(executions.len()));
        let newest = executions.first().and_then(|row| row.created_at);
        let model = selection.model_id.as_deref();
        let normal = self.normal(model, newest).await?;
        let mut cases = self.cases(executions).await?;
        self.surround_unclear(&mut cases, &normal.baselines, now)
            .await?;
        let failed_spans = if total == 0 {
            self.failed_printed_spans(selection, from, to, limit)
                .await?
        } else {
            Vec::new()
        };
        let report =
            self.compute(move || failures::recent(total, &cases, limit, &normal.baselines, now));
        Ok(RecentFailuresAndSpans {
            report: report.await?,
            failed_spans: (!failed_spans.is_empty()).then_some(failed_spans),
        })
    }

    /// Printed spans that failed and belong to no execution.
    async fn failed_printed_spans(
        &self,
        selection: &Selection,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        limit: usize,
    ) -> Result<Vec<FoundSpan>, QueryError> {
        let question = SpanQuestion::Failed { from, to };
        let spans = self.store.spans(&question, MAX_SIBLINGS).await?;
        let regions = Regions::default();
        let meant = |span: &&Span| {
            let model = selection.model_id.as_deref();
            let region = selection.region.as_deref();
            span.is_ours()
                && span.execution_id.is_none()
                && model.is_none_or(|model| span.model() == Some(model))
                && region.is_none_or(|region| {
                    span.region_name()
                        .is_some_and(|own| regions.same(own, region))
                })
        };
        Ok(spans
            .iter()
            .filter(meant)
            .take(limit)
            .map(Into::into)
            .collect())
    }

    /// How executions performed, beside the window before.
    pub async fn analyze_performance(
        &self,
        selection: &Selection,
    ) -> Result<Performance, QueryError> {
        let (from, to) = self.window_of(selection).await?;
        let before = from - (to - from).min(TimeDelta::days(3650));
        let mut current = self.window(selection, from, to).await?;
        let previous = self.window(selection, before, from).await?;
        // What clocks that run ahead have written counts, but nobody asked about the future.
        current.to = to.min(Utc::now().trunc_subsecs(3));
        let counted: usize = current.executions.iter().map(|some| some.count).sum();
        let regions = Regions::default();
        let done = self.compute(move || performance::analyse(&current, &previous, &regions));
        let mut report = done.await?;
        if counted >= MAX_COUNTED as usize {
            report.notes.push(format!(
                "only the newest {MAX_COUNTED} executions were counted; ask for a later since"
            ));
        }
        Ok(report)
    }

    /// The stretch of time that a question about performance is about. Where nothing ran for long, the
    /// last one in which something did.
    async fn window_of(
        &self,
        selection: &Selection,
    ) -> Result<(DateTime<Utc>, DateTime<Utc>), QueryError> {
        let now = Utc::now();
        let soon = now + AHEAD;
        if let Some(since) = selection.since {
            return Ok((since, soon));
        }
        // Of any model and region: to look for the newest of one that never ran is to look at all.
        let any = Selection::default().between(DateTime::UNIX_EPOCH, soon, false);
        let newest = self.store.executions(&any, 1).await?;
        let newest = newest.first().and_then(|row| row.created_at);
        let end = newest.map_or(soon, |newest| {
            let after = newest + TimeDelta::milliseconds(1);
            if now - newest > DEFAULT_WINDOW {
                after
            } else {
                soon
            }
        });
        Ok((end - DEFAULT_WINDOW, end))
    }

    async fn window(
        &self,
        selection: &Selection,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<performance::Window, QueryError> {
        let window = Window {
            from,
            to,
            model_id: selection.model_id.clone(),
            region: selection.region.clone(),
        };
        let executions = self.store.tally_executions(&window, MAX_COUNTED).await?;
        let search = SpanSearch {
            service: Some("modal".to_owned()),
            model_id: selection.model_id.clone(),
            ..SpanSearch::all(from, to)
        };
        let question = SpanQuestion::Search(search);
        let mut modal_spans = self.store.spans(&question, MAX_TOKENS).await?;
        if let Some(region) = &selection.region {
            let regions = Regions::default();
            modal_spans.retain(|span| {
                span.region_name()
                    .is_some_and(|own| regions.same(own, region))
            });
        }
        Ok(performance::Window {
            from,
            to,
            executions,
            modal_spans,
        })
    }

    /// Where a trace has gaps, and what is missing from it.
    pub async fn find_trace_gaps(&self, trace: &str) -> Result<TraceGaps, QueryError> {
        let view = self.trace(trace).await?;
        let start = view.spans.iter().map(|span| span.started_at).min();
        let end = view
            .spans
            .iter()
            .map(|span| span.completed_at.unwrap_or(span.started_at))
            .max();
        let model = view.spans.iter().find_map(Span::model).map(str::to_owned);
        let normal = self.normal(model.as_deref(), end).await?;
        let (around, now) = (TimeDelta::seconds(60), Utc::now());
        let (from, to) = match start.zip(end) {
            Some((start, end)) => (start - around, end + around),
            None => (now, now),
        };
        let losses = self.store.losses(from, to).await?;
        let unlinked = SpanQuestion::Unlinked { from, to };
        let mut unlinked = self.store.spans(&unlinked, MAX_SIBLINGS).await?;
        unlinked.retain(|span| span.trace_id != view.trace_id);
        self.compute(move || {
            gaps::find(
                view.trace_id,
                &view.spans,
                &normal.baselines,
                &losses,
                &unlinked,
            )
        })
        .await
    }
}

/// When an execution ran, as far as its row says.
fn ran_at(execution: &Execution) -> Option<DateTime<Utc>> {
    execution.created_at.or(execution.started_at)
}
