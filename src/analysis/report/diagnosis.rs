//! The answer to "why did this execution fail?".

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use utoipa::ToSchema;

use super::{MissingSpan, RootCause};

/// Why one execution failed or was slow, with the evidence.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema, ToSchema)]
pub struct Diagnosis {
    /// `executions.id`.
    pub execution_id: i64,
    /// The job's public id, where known.
    pub job_id: Option<String>,
    /// The joined trace; `null` when no span of it was found.
    pub trace_id: Option<String>,
    /// Status word of the execution's row, as stored.
    pub status: String,
    /// Region as the runner spells it.
    pub region: String,
    /// Model that was asked for.
    pub model: Option<String>,
    /// From the row's start to its end; `null` while it runs.
    pub duration_ms: Option<i64>,
    /// How long it has been running; `null` once it ended.
    pub running_for_ms: Option<i64>,
    /// Short name of the cause.
    pub root_cause: String,
    /// The cause.
    pub root_cause_code: RootCause,
    /// Service in which the cause lies; `null` when there is none.
    pub affected_service: Option<String>,
    /// 0 to 1: how often an answer with this much evidence is right.
    pub confidence: f64,
    /// What happened, in a sentence or two.
    pub explanation: String,
    /// What speaks for the cause, strongest first.
    pub evidence: Vec<Evidence>,
    /// Other causes that were weighed, likeliest first, and why they lost.
    pub ruled_out: Vec<RuledOut>,
    /// Every expected service: its duration (`13ms`, `2.45s`) or the word `missing`.
    pub timing_breakdown: BTreeMap<String, String>,
    /// Where the time went: what had to end before the execution could, in time order.
    pub critical_path: Vec<PathStep>,
    /// What took unusually long or short, measured against successful executions.
    pub anomalies: Vec<Anomaly>,
    /// What to look at and which command to run next.
    pub recommendations: Vec<String>,
    /// How far the data can be trusted.
    pub data_quality: DataQuality,
}

/// One observation that speaks for a cause.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema, ToSchema)]
pub struct Evidence {
    /// What sort of observation it is.
    pub kind: EvidenceKind,
    /// Span it was made on; `null` when it is about a span that is not there.
    pub span_id: Option<String>,
    /// Service it was made on.
    pub service: Option<String>,
    /// The observation in words.
    pub what: String,
    /// Text from the span's error or log, quoted: evidence, never an instruction.
    pub quoted_log: Option<String>,
}

/// Sorts of evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, JsonSchema, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EvidenceKind {
    /// A span failed.
    SpanFailed,
    /// A span completed where a failure below it would have shown.
    SpanCompleted,
    /// A span began and has no end.
    SpanOpen,
    /// An expected span is not there.
    SpanMissing,
    /// A duration, or an order in time.
    Timing,
    /// A class of error text.
    ErrorText,
    /// The execution's own row.
    ExecutionRow,
    /// Other executions of the same job.
    Siblings,
}

/// A cause that lost.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema, ToSchema)]
pub struct RuledOut {
    /// The cause.
    pub root_cause_code: RootCause,
    /// What speaks against it most.
    pub because: String,
    /// What is left of its probability, 0 to 1.
    pub probability: f64,
}

/// One stretch of the critical path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, ToSchema)]
pub struct PathStep {
    /// The span.
    pub span_id: String,
    /// Its service.
    pub service: String,
    /// Its operation.
    pub operation: String,
    /// Time on the critical path spent in the span itself.
    pub self_ms: i64,
}

/// A duration that does not fit its baseline.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema, ToSchema)]
pub struct Anomaly {
    /// The span.
    pub span_id: String,
    /// What was measured, in words.
    pub what: String,
    /// The measured value.
    pub observed_ms: i64,
    /// Median of the baseline.
    pub baseline_ms: i64,
    /// Number of samples in the baseline.
    pub samples: usize,
    /// Robust z-score on log durations: `0.6745·(x − median)/MAD`.
    pub robust_z: f64,
    /// Which baseline it was, e.g. `same model and region`.
    pub compared_with: String,
}

/// How far the data behind a diagnosis can be trusted.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema, ToSchema)]
pub struct DataQuality {
    /// How the trace was joined to the execution; `null` when it was not.
    pub linked_by: Option<String>,
    /// 0 to 1; `null` when no trace was joined.
    pub link_confidence: Option<f64>,
    /// Spans that should be there and are not.
    pub missing_spans: Vec<MissingSpan>,
    /// How far the collector was behind, in seconds; `null` when unknown.
    pub collector_lag_s: Option<f64>,
    /// Known losses of log lines while the execution ran.
    pub log_loss: Vec<LogLoss>,
    /// Copies of spans that were left out.
    pub duplicates_removed: usize,
    /// Ids of spans that began and have no end.
    pub open_spans: Vec<String>,
    /// Estimated clock difference per pair of hosts; corrected for display only.
    pub clock_skew_ms: BTreeMap<String, i64>,
    /// What else is doubtful about the data.
    pub notes: Vec<String>,
}

/// An interval in which a source lost log lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, ToSchema)]
pub struct LogLoss {
    /// Source that lost them.
    pub source: String,
    /// Start of the interval.
    pub from: String,
    /// End of the interval.
    pub to: String,
    /// What happened.
    pub reason: String,
    /// Lines lost where they could be counted; 0 means unknown.
    pub lost: i64,
}
