//! Spans as such: searched by time and attributes, or listed by trace.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::report::{FoundSpans, TraceOverview, rfc3339};
use super::{Arguments, Query, QueryError};
use crate::store::{SpanQuestion, SpanSearch};

/// Spans listed unless the caller says how many.
const DEFAULT_LIMIT: i64 = 20;
/// Spans listed at most.
const MAX_LIMIT: i64 = 200;
/// How far back is searched unless the caller says from when.
const DEFAULT_RANGE: TimeDelta = TimeDelta::hours(24);

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
        let from = arguments.time("since", now)?.unwrap_or(to - DEFAULT_RANGE);
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

impl Query {
    /// Spans that match a filter, newest first.
    pub async fn search_spans(&self, filter: &SearchFilter) -> Result<FoundSpans, QueryError> {
        let question = SpanQuestion::Search(filter.search.clone());
        // One more than is listed tells whether there is more.
        let mut spans = self.store.spans(&question, filter.limit + 1).await?;
        let more = spans.len() > filter.limit as usize;
        spans.truncate(filter.limit as usize);
        let cursors = spans
            .iter()
            .map(|span| format!("{}~{}", span.started_at.timestamp_micros(), span.span_id));
        let cursors: Vec<String> = cursors.collect();
        Ok(FoundSpans {
            from: rfc3339(filter.search.from),
            to: rfc3339(filter.search.to),
            returned: spans.len(),
            spans: spans.iter().map(Into::into).collect(),
            next_cursor: cursors.last().filter(|_| more).cloned(),
            cursors,
        })
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
