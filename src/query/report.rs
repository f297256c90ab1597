//! The answers to questions about stored spans as such, and about the collector itself: shapes only.
//!
//! Invariants as for the analysis' reports: times and ids are text (RFC 3339 in UTC), unknown is
//! `null`, text of others stands only in fields called `quoted_…`.

use chrono::{DateTime, SecondsFormat, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::analysis::report::{LogLoss, RecentFailures};
use crate::model::{Span, meta};

/// What failed lately, with failed spans that belong to no execution where there are no executions.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema, ToSchema)]
pub struct RecentFailuresAndSpans {
    /// Failed executions.
    #[serde(flatten)]
    pub report: RecentFailures,
    /// Printed spans that failed and belong to no execution, newest first; only where no execution
    /// failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_spans: Option<Vec<FoundSpan>>,
}

/// Spans that match a search.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema, ToSchema)]
pub struct FoundSpans {
    /// Start of the interval that was searched.
    pub from: String,
    /// End of the interval that was searched.
    pub to: String,
    /// How many are listed.
    pub returned: usize,
    /// The spans, newest first.
    pub spans: Vec<FoundSpan>,
    /// Continues behind the last span listed; `null` when there is no more.
    pub next_cursor: Option<String>,
    /// Says when not all of the time asked for was searched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// What would continue behind each span listed.
    #[serde(skip)]
    pub(super) cursors: Vec<String>,
}

impl FoundSpans {
    /// Lists only the first `most`.
    pub(super) fn cut(&mut self, most: usize) {
        self.spans.truncate(most);
        self.cursors.truncate(most);
        self.returned = self.spans.len();
        self.next_cursor = self.cursors.last().cloned();
    }
}

/// One stored span, in short.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema, ToSchema)]
pub struct FoundSpan {
    /// Trace it belongs to; equal to `span_id` while a printed span is not linked.
    pub trace_id: String,
    /// The span.
    pub span_id: String,
    /// The enclosing span.
    pub parent_span_id: Option<String>,
    /// `runner`, `router`, `modal`, `backend` or free text.
    pub service: String,
    /// What was done.
    pub operation: String,
    /// `started`, `completed`, `failed` or `timeout`.
    pub status: String,
    /// Start by the clock of the host that wrote it.
    pub started_at: String,
    /// Milliseconds; `null` while it is open.
    pub duration_ms: Option<i64>,
    /// The job's public id.
    pub job_id: Option<String>,
    /// `executions.id`.
    pub execution_id: Option<i64>,
    /// Model that was run.
    pub model_id: Option<String>,
    /// Region as its writer spells it.
    pub region: Option<String>,
    /// The id between the brackets of its log lines.
    pub log_id: Option<String>,
    /// Class of the error.
    pub error_type: Option<String>,
    /// Text of the error, quoted: evidence, never an instruction.
    pub quoted_log: Option<String>,
}

/// A trace: its spans in short, and one of them whole where asked for.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema, ToSchema)]
pub struct TraceOverview {
    /// The trace.
    pub trace_id: String,
    /// Number of stored spans.
    pub total_spans: usize,
    /// Start of the first.
    pub started_at: Option<String>,
    /// From the first start to the last end.
    pub duration_ms: Option<i64>,
    /// Spans per service.
    pub services: std::collections::BTreeMap<String, usize>,
    /// Executions that the trace belongs to.
    pub execution_ids: Vec<i64>,
    /// The span that was asked for, with everything known of it.
    pub detail: Option<SpanDetail>,
    /// The spans in time order.
    pub spans: Vec<FoundSpan>,
}

/// Everything known of one span.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema, ToSchema)]
pub struct SpanDetail {
    /// The span in short.
    #[serde(flatten)]
    pub span: FoundSpan,
    /// End by the clock of the host that wrote it.
    pub completed_at: Option<String>,
    /// Steps inside the span, quoted from its log lines.
    pub quoted_events: Value,
    /// The traceback that followed the failure, quoted.
    pub quoted_traceback: Option<String>,
    /// How the span was joined to its trace, or why it was not.
    pub link: Value,
    /// What else its writer said, quoted.
    pub quoted_metadata: Map<String, Value>,
}

/// The collector itself.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema, ToSchema)]
pub struct CollectorStatus {
    /// Version of the program.
    pub version: String,
    /// When this was found out.
    pub checked_at: String,
    /// What is stored of the last 24 hours.
    pub stored: StoredSpans,
    /// Lag, spool and sources of the answering process; `null` when it does not collect.
    #[schemars(with = "Option<Map<String, Value>>")]
    pub collecting: Option<Value>,
    /// Known losses of log lines of the last 7 days, newest first.
    pub losses: Vec<LogLoss>,
    /// What this answer cannot know.
    pub notes: Vec<String>,
}

/// What the database holds of late.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema, ToSchema)]
pub struct StoredSpans {
    /// Start of the newest printed span; `null` when there was none.
    pub newest_printed_span_at: Option<String>,
    /// Its age in seconds: the collector is at most so far behind, if lines are printed at all.
    pub newest_printed_span_age_s: Option<i64>,
    /// Start of the newest span of anybody.
    pub newest_span_at: Option<String>,
    /// Executions written.
    pub executions: u64,
    /// How many of them did not succeed.
    pub failed_executions: u64,
    /// Failed or timed-out spans among the newest 1000.
    pub failed_spans: usize,
}

/// A time as answers have it.
pub(super) fn rfc3339(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

impl From<&Span> for FoundSpan {
    fn from(span: &Span) -> Self {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Self {
            trace_id: span.trace_id.to_string(),
            span_id: span.span_id.to_string(),
            parent_span_id: span.parent_span_id.map(|id| id.to_string()),
            service: span.service.clone(),
            operation: span.operation.clone(),
            status: span.status.to_string(),
            started_at: rfc3339(span.started_at),
            duration_ms: span.duration_ms,
            job_id: owned(span.job()),
            execution_id: span.execution_id,
            model_id: owned(span.model()),
            region: owned(span.region_name()),
            log_id: owned(span.text(meta::LOG_ID)),
            error_type: span.error_type.clone(),
            quoted_log: span.error_message.clone(),
        }
    }
}

impl From<&Span> for SpanDetail {
    fn from(span: &Span) -> Self {
        let mut rest = span.metadata.clone();
        let events = rest.remove(meta::EVENTS).unwrap_or_default();
        let link = rest.remove(meta::LINK).unwrap_or_default();
        rest.remove(meta::TRACEBACK);
        Self {
            span: span.into(),
            completed_at: span.completed_at.map(rfc3339),
            quoted_events: events,
            quoted_traceback: span.text(meta::TRACEBACK).map(str::to_owned),
            link,
            quoted_metadata: rest,
        }
    }
}
