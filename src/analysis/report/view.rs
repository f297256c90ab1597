//! An execution and its spans as other reports list them.

use schemars::JsonSchema;
use serde::Serialize;
use utoipa::ToSchema;

use super::RootCause;

/// One execution with its spans.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema, ToSchema)]
pub struct ExecutionView {
    /// `executions.id`.
    pub execution_id: i64,
    /// The joined trace; `null` when no span of it was found.
    pub trace_id: Option<String>,
    /// Region as the runner spells it.
    pub region: String,
    /// Model that was asked for.
    pub model: Option<String>,
    /// Question that was asked.
    pub question_id: Option<String>,
    /// Status word of the row, as stored.
    pub status: String,
    /// Start by the row.
    pub started_at: Option<String>,
    /// From the row's start to its end; `null` while it runs.
    pub duration_ms: Option<i64>,
    /// Number of distinct spans of its trace.
    pub span_count: usize,
    /// The spans in time order; may be cut, `span_count` is not. Left out where many executions are listed
    /// and nothing is wrong with this one.
    pub spans: Vec<SpanView>,
    /// Why it failed or was slow; `null` where that was not asked.
    pub root_cause_code: Option<RootCause>,
    /// 0 to 1; `null` with `root_cause_code`.
    pub confidence: Option<f64>,
}

/// One span of a trace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, ToSchema)]
pub struct SpanView {
    /// The span.
    pub span_id: String,
    /// The enclosing span as stored, or as found by time where none was stored.
    pub parent_span_id: Option<String>,
    /// Its service.
    pub service: String,
    /// Its operation.
    pub operation: String,
    /// `started`, `completed`, `failed` or `timeout`.
    pub status: String,
    /// Start by the clock of the host that wrote it.
    pub started_at: String,
    /// From the trace's start to the span's, with the clock skew taken out.
    pub offset_ms: i64,
    /// `null` while the span is open.
    pub duration_ms: Option<i64>,
    /// Class of the error, quoted from the row.
    pub error_type: Option<String>,
    /// Text of the error, quoted from the row or the log.
    pub quoted_log: Option<String>,
}
