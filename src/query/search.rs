//! Spans as such: searched by time and attributes, or listed by trace.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::case::interval;
use super::report::{FoundSpans, TraceOverview, rfc3339};
use super::{Arguments, Query, QueryError};
use crate::model::Span;
use crate::store::{ExecutionQuestion, SpanQuestion, SpanSearch};

/// Spans listed unless the caller says how many.
const DEFAULT_LIMIT: i64 = 20;
/// Spans listed at most.
const MAX_LIMIT: i64 = 200;
/// How far back is searched unless the caller says from when.
const DEFAULT_RANGE: TimeDelta = TimeDelta::hours(24);

/// The first stretch of time that is searched; each after a quick one is four times as long.
const FIRST_SLICE: TimeDelta = TimeDelta::hours(1);
/// Stretches searched at most.
const MAX_SLICES: usize = 12;
/// A stretch that took less was a quick one.
const QUICK: Duration = Duration::from_millis(50);
/// No further stretch is begun after this time.
const PATIENCE: Duration = Duration::from_secs(1);
/// What is said when time was up.
const UNFINISHED: &str = "not all of the time asked for was searched, see from; next_cursor goes on, and a service, \
     status or shorter time makes it quick";

/// Executions of a job that say when it ran; a job with more is searched for in all of the time.
const MAX_EXECUTIONS: u32 = 2_000;
/// What belongs to a job may have been written so long before and after its executions.
const AROUND_JOB: TimeDelta = TimeDelta::minutes(10);

/// What is searched for, and how much of it is listed.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchFilter {
    search: SpanSearch,
    limit: u32,
}

impl SearchFilter {
    /// Takes the filter's arguments.
    pub fn take(arguments: &mut Arguments, now: DateTime<Utc>) -> Result<Self, QueryError> {
        let to = arguments.time("until", now)?.unwrap_or(now);
        let from = arguments.since(now, to, "not before until")?;
        let from = from.unwrap_or(to - DEFAULT_RANGE);
        let mut search = SpanSearch::all(from, to);
        search.service = arguments.text_if_given("service")?;
        search.status = arguments.text_if_given("status")?;
        search.model_id = arguments.text_if_given("model_id")?;
        search.region = arguments.text_if_given("region")?;
        search.job_id = arguments.text_if_given("job_id")?;
        search.text = arguments.text_if_given("text")?;
        search.min_duration_ms = arguments.number("min_duration_ms", 0, i64::MAX)?;
        let limit = arguments.number("limit", 1, MAX_LIMIT)?;
        if let Some(cursor) = arguments.text_if_given("cursor")? {
            search.after = Some(read_cursor(&cursor)?);
        }
        // The limit's range fits.
        let limit = u32::try_from(limit.unwrap_or(DEFAULT_LIMIT)).unwrap_or(1);
        Ok(Self { search, limit })
    }
}

/// How far back a search came.
struct Reached {
    from: DateTime<Utc>,
    /// Whether nothing more is to be found.
    whole: bool,
}

impl Query {
    /// Spans that match a filter, newest first.
    pub async fn search_spans(&self, filter: &SearchFilter) -> Result<FoundSpans, QueryError> {
        let search = self.within_job(filter.search.clone()).await?;
        let to = search.to;
        // One more than is listed tells whether there is more.
        let (mut spans, reached) = self.search_back(search, filter.limit + 1).await?;
        let more = spans.len() > filter.limit as usize;
        spans.truncate(filter.limit as usize);
        let cursors = spans
            .iter()
            .map(|span| format!("{}~{}", span.started_at.timestamp_micros(), span.span_id));
        let cursors: Vec<String> = cursors.collect();
        let next_cursor = match (more, reached.whole) {
            (true, _) => cursors.last().cloned(),
            (false, true) => None,
            // Nothing comes before the nil id: goes on with what began earlier.
            (false, false) => Some(format!(
                "{}~{}",
                reached.from.timestamp_micros(),
                Uuid::nil()
            )),
        };
        Ok(FoundSpans {
            from: rfc3339(reached.from),
            to: rfc3339(to),
            returned: spans.len(),
            spans: spans.iter().map(Into::into).collect(),
            next_cursor,
            note: (!more && !reached.whole).then(|| UNFINISHED.to_owned()),
            cursors,
        })
    }

    /// Searches slice by slice back in time until enough is found: what is rare would otherwise be
    /// sought in all there is at once, which no one waits for.
    async fn search_back(
        &self,
        mut search: SpanSearch,
        limit: u32,
    ) -> Result<(Vec<Span>, Reached), QueryError> {
        let (from, began) = (search.from, Instant::now());
        if let Some((after, _)) = search.after {
            search.to = search.to.min(after + TimeDelta::microseconds(1));
        }
        let (mut spans, mut slice) = (Vec::new(), FIRST_SLICE);
        for _ in 0..MAX_SLICES {
            search.from =
                (search.to.checked_sub_signed(slice)).map_or(from, |start| start.max(from));
            let asked = Instant::now();
            let wanted = limit - u32::try_from(spans.len()).unwrap_or(limit);
            let question = SpanQuestion::Search(search.clone());
            spans.extend(self.store.spans(&question, wanted).await?);
            let whole = search.from <= from;
            if whole || spans.len() >= limit as usize {
                return Ok((spans, Reached { from, whole: true }));
            }
            if began.elapsed() > PATIENCE {
                break;
            }
            if asked.elapsed() < QUICK {
                slice = slice * 4;
            }
            search.to = search.from;
        }
        let from = search.from;
        Ok((spans, Reached { from, whole: false }))
    }

    /// Narrows a search for a job to the time in which its executions ran: a job takes minutes, and most
    /// spans don't carry its id where an index could find them.
    async fn within_job(&self, mut search: SpanSearch) -> Result<SpanSearch, QueryError> {
        let Some(job) = &search.job_id else {
            return Ok(search);
        };
        let question = ExecutionQuestion::NamedJob(job.clone());
        let executions = self.store.executions(&question, MAX_EXECUTIONS).await?;
        if executions.len() < MAX_EXECUTIONS as usize
            && let Some((from, to)) =
                (executions.iter().filter_map(interval)).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
        {
            search.from = search.from.max(from - AROUND_JOB);
            search.to = search.to.min(to + AROUND_JOB);
        }
        Ok(search)
    }

    /// A trace's spans in short, and one of them whole.
    pub async fn trace_overview(
        &self,
        trace: &str,
        span: Option<&str>,
    ) -> Result<TraceOverview, QueryError> {
        let view = self.trace(trace).await?;
        let links = self.store.execution_links(&[view.trace_id]).await?;
        let detail = match span {
            None => None,
            Some(id) => {
                let found = view.spans.iter().find(|s| is_named(s.span_id, id));
                Some(found.ok_or_else(|| {
                    QueryError::NotFound(format!(
                        "no span {:?} in trace {}; get_trace without span_id lists its spans",
                        crate::untrusted::clean(id, 80),
                        view.trace_id
                    ))
                })?)
            }
        };
        let mut services = BTreeMap::new();
        for span in &view.spans {
            *services.entry(span.service.clone()).or_default() += 1;
        }
        let mut executions: Vec<i64> = links.iter().map(|link| link.execution_id).collect();
        executions.extend(view.spans.iter().filter_map(|span| span.execution_id));
        executions.sort_unstable();
        executions.dedup();
        let start = view.spans.iter().map(|span| span.started_at).min();
        let end = view.spans.iter().filter_map(|span| span.completed_at).max();
        Ok(TraceOverview {
            trace_id: view.trace_id.to_string(),
            total_spans: view.spans.len(),
            started_at: start.map(rfc3339),
            duration_ms: start
                .zip(end)
                .map(|(start, end)| (end - start).num_milliseconds()),
            services,
            execution_ids: executions,
            detail: detail.map(Into::into),
            spans: view.spans.iter().map(Into::into).collect(),
        })
    }
}

/// Whether a person's spelling names a span: all of its id, or at least 4 digits of the beginning.
fn is_named(span: Uuid, id: &str) -> bool {
    let id = id.to_ascii_lowercase();
    id.len() >= 4 && span.to_string().starts_with(&id)
}

fn read_cursor(cursor: &str) -> Result<(DateTime<Utc>, Uuid), QueryError> {
    let parts = cursor.split_once('~').and_then(|(micros, id)| {
        let at = DateTime::from_timestamp_micros(micros.parse().ok()?)?;
        Some((at, Uuid::parse_str(id).ok()?))
    });
    parts.ok_or_else(|| QueryError::Argument {
        argument: "cursor",
        value: crate::untrusted::clean(cursor, 80),
        reason: "expected the next_cursor of an earlier answer of search_spans".to_owned(),
    })
}
