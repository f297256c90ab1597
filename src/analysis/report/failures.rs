//! The answer to "what failed lately?".

use schemars::JsonSchema;
use serde::Serialize;
use utoipa::ToSchema;

use super::RootCause;

/// Recent failures and the patterns in them.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema, ToSchema)]
pub struct RecentFailures {
    /// All that match, listed or not.
    pub total_failures: u64,
    /// How many are listed.
    pub returned: usize,
    /// The failures, newest first.
    pub failures: Vec<Failure>,
    /// Clusters by cause and error text, largest first, over those that were examined.
    pub patterns: Vec<Pattern>,
    /// What this answer cannot know.
    pub notes: Vec<String>,
}

/// One failed execution.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema, ToSchema)]
pub struct Failure {
    /// `executions.id`.
    pub id: i64,
    /// The job's public id, where known.
    pub job_id: Option<String>,
    /// Region as the runner spells it.
    pub region: String,
    /// Model that was asked for.
    pub model_id: Option<String>,
    /// Status word of the row, as stored.
    pub status: String,
    /// Text of the error that explains it, quoted from a span or the row; `No error message` when
    /// there is none.
    pub error_message: String,
    /// The cause.
    pub root_cause_code: RootCause,
    /// 0 to 1.
    pub confidence: f64,
    /// From the row's start to its end; `null` while it runs.
    pub duration_ms: Option<i64>,
    /// When the row was written: at the execution's end.
    pub created_at: Option<String>,
}

/// A cluster of failures.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema, ToSchema)]
pub struct Pattern {
    /// The cause.
    pub root_cause_code: RootCause,
    /// Number of failures in it.
    pub count: usize,
    /// The error text with its numbers, ids and paths taken out, quoted; `null` when there is none.
    pub quoted_log: Option<String>,
    /// Regions it was seen in.
    pub regions: Vec<String>,
    /// Models it was seen with.
    pub models: Vec<String>,
    /// Some of its executions, newest first.
    pub execution_ids: Vec<i64>,
    /// First time seen.
    pub first_seen: Option<String>,
    /// Last time seen.
    pub last_seen: Option<String>,
}
