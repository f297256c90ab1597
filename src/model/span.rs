//! A span as a row of `trace_spans`, whoever wrote it.
//!
//! Invariant: what the collector knows beyond the table's columns lives in `metadata` under the names
//! in [`meta`]; the payload's own keys (`tokens`, …) stand there under their own names.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

/// The value of [`meta::COLLECTOR`] in every row that this program wrote.
pub const COLLECTOR: &str = "beacon-collector";

/// Names of the collector's own keys in `metadata`.
pub mod meta {
    /// Who wrote the row; [`super::COLLECTOR`] in ours, absent in rows of others.
    pub const COLLECTOR: &str = "collector";
    /// The id between the brackets of `TRACE[…]`.
    pub const LOG_ID: &str = "log_id";
    /// Modal container (`ta-…`) that printed the lines.
    pub const CONTAINER_ID: &str = "container_id";
    /// Modal function call (`fc-…`) that printed the lines.
    pub const FUNCTION_CALL_ID: &str = "function_call_id";
    /// Modal function (`fu-…`) that printed the lines.
    pub const FUNCTION_ID: &str = "function_id";
    /// Name of the source the lines came from.
    pub const SOURCE: &str = "source";
    /// Duration printed in the closing line, in ms (fractions kept).
    pub const REPORTED_DURATION_MS: &str = "reported_duration_ms";
    /// `true` when no start line was seen and the start was computed.
    pub const START_INFERRED: &str = "start_inferred";
    /// How exact the times are: `us`, `ms`, `s`, or `arrival` (the lines carried no time).
    pub const TIME_PRECISION: &str = "time_precision";
    /// The same for the closing line, which may have come over another transport than the start.
    pub const END_PRECISION: &str = "end_precision";
    /// Steps, and what else happened inside the span, in time order.
    pub const EVENTS: &str = "events";
    /// `true` when steps were left out because a span keeps a bounded number.
    pub const EVENTS_DROPPED: &str = "events_dropped";
    /// Python traceback that followed the failure.
    pub const TRACEBACK: &str = "traceback";
    /// `true` while the status `timeout` only means that no end was seen before the deadline.
    pub const DEADLINE_PASSED: &str = "deadline_passed";
    /// `{method, confidence, reason, filled}`: how the span was joined to its trace, or why it was
    /// not, and which columns that filled in.
    pub const LINK: &str = "link";
}

/// One row of `trace_spans`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Span {
    /// Trace the span belongs to. A printed span that is not linked yet is a trace of its own.
    pub trace_id: Uuid,
    /// The span itself. Rows of others may hold the same id more than once.
    pub span_id: Uuid,
    /// Enclosing span; absent at the root and where nobody knows.
    pub parent_span_id: Option<Uuid>,
    /// `runner`, `router`, `modal`, `backend` or free text.
    pub service: String,
    /// What was done, e.g. `inference`.
    pub operation: String,
    /// Start by the clock of the host that wrote it.
    pub started_at: DateTime<Utc>,
    /// End; absent while the span is open.
    pub completed_at: Option<DateTime<Utc>>,
    /// Duration in ms; absent while the span is open.
    pub duration_ms: Option<i64>,
    /// State of the span.
    pub status: SpanStatus,
    /// The job's public id (`jobs.jobspec_id`), where known.
    pub job_id: Option<String>,
    /// `executions.id`, where known.
    pub execution_id: Option<i64>,
    /// Model that was run, where known.
    pub model_id: Option<String>,
    /// Region as its writer spells it, where known.
    pub region: Option<String>,
    /// Everything else; see [`meta`].
    pub metadata: Map<String, Value>,
    /// Text of the failure.
    pub error_message: Option<String>,
    /// Class of the failure, e.g. `OSError`.
    pub error_type: Option<String>,
}

/// State of a span, in the words the table already uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SpanStatus {
    /// Running, or its end was never seen.
    Started,
    /// No end before the deadline, or the span itself said that it timed out.
    Timeout,
    /// Ended well.
    Completed,
    /// Ended with an error.
    Failed,
}

impl SpanStatus {
    /// The word stored in the table.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Timeout => "timeout",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }

    /// Reads a stored word; writers that we don't know have their own, so anything that names an
    /// error counts as failed and anything unknown as started.
    pub fn parse(word: &str) -> Self {
        let is_one_of = |words: &[&str]| words.iter().any(|one| one.eq_ignore_ascii_case(word));
        if is_one_of(&[
            "completed",
            "complete",
            "success",
            "succeeded",
            "ok",
            "done",
        ]) {
            Self::Completed
        } else if is_one_of(&["failed", "failure", "error", "cancelled", "canceled"]) {
            Self::Failed
        } else if is_one_of(&["timeout", "timed_out", "timedout"]) {
            Self::Timeout
        } else {
            Self::Started
        }
    }
}

impl std::fmt::Display for SpanStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Span {
    /// Whether this program wrote the row.
    pub fn is_ours(&self) -> bool {
        self.text(meta::COLLECTOR) == Some(COLLECTOR)
    }

    /// Whether it was put together from printed lines; what services write or send as spans was not.
    pub fn is_printed(&self) -> bool {
        self.is_ours() && self.metadata.contains_key(meta::LOG_ID)
    }

    /// A text value of `metadata`.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).and_then(Value::as_str)
    }

    /// Bytes of the texts that can be long, as [`super::Observation::long_texts`] has them.
    pub fn long_texts(&self) -> usize {
        let texts = [self.error_message.as_deref(), self.text(meta::TRACEBACK)];
        texts.into_iter().flatten().map(str::len).sum()
    }

    /// The model: the column, else what the runner or router wrote into `metadata`.
    pub fn model(&self) -> Option<&str> {
        self.model_id
            .as_deref()
            .or_else(|| self.text("model_id"))
            .or_else(|| self.text("model"))
    }

    /// The region as its writer spells it: the column, else `metadata`.
    pub fn region_name(&self) -> Option<&str> {
        self.region.as_deref().or_else(|| self.text("region"))
    }

    /// The job's public id: the column, else `metadata`.
    pub fn job(&self) -> Option<&str> {
        self.job_id.as_deref().or_else(|| self.text("job_id"))
    }

    /// Milliseconds from start to end with their fraction; absent while open. Never negative.
    pub fn elapsed_ms(&self) -> Option<f64> {
        let end = self.completed_at?;
        let micros = (end - self.started_at)
            .num_microseconds()
            .unwrap_or(i64::MAX)
            .max(0);
        Some(micros as f64 / 1000.0)
    }
}
