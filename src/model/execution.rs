//! Rows of the tables beside `trace_spans`: executions and jobs of others, links and losses of ours.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// One row of `executions`, joined with its job's public id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Execution {
    /// `executions.id`.
    pub id: i64,
    /// `executions.job_id`: the integer key of `jobs`.
    pub job_key: Option<i64>,
    /// `jobs.jobspec_id`: what people quote.
    pub job_id: Option<String>,
    /// Provider that ran it; empty when none was chosen.
    pub provider_id: String,
    /// Region as the runner spells it (`US`, `EU`, `ASIA`).
    pub region: String,
    /// Status word as stored (`completed`, `failed`, …).
    pub status: String,
    /// Start; the table holds naive UTC.
    pub started_at: Option<DateTime<Utc>>,
    /// End; absent while it runs.
    pub completed_at: Option<DateTime<Utc>>,
    /// When the row was written: at the end of the execution, not at its start.
    pub created_at: Option<DateTime<Utc>>,
    /// Model that was asked for.
    pub model_id: Option<String>,
    /// Question that was asked.
    pub question_id: Option<String>,
    /// `output_data` when it holds something that can explain a failure.
    pub output_data: Option<Value>,
}

/// Executions that are alike and took about as long, counted.
#[derive(Debug, Clone, PartialEq)]
pub struct Tally {
    /// Model that was asked for.
    pub model_id: Option<String>,
    /// Region as the runner spells it.
    pub region: String,
    /// Status word as stored.
    pub status: String,
    /// Whether the rows have an end.
    pub ended: bool,
    /// How many there are.
    pub count: usize,
    /// How long they took on average, in milliseconds; absent where rows lack a start or an end.
    pub took_ms: Option<f64>,
}

/// One row of `jobs`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// `jobs.id`.
    pub key: i64,
    /// `jobs.jobspec_id`: what people quote.
    pub job_id: String,
    /// Status word as stored.
    pub status: Option<String>,
    /// When it was created; the table holds naive UTC.
    pub created_at: Option<DateTime<Utc>>,
}

/// What we found out about a trace that others wrote: which execution it belongs to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExecutionLink {
    /// The trace whose runner and router spans belong to the execution.
    pub trace_id: Uuid,
    /// `executions.id`.
    pub execution_id: i64,
    /// How it was found: `column`, `metadata`, `time`, …
    pub method: String,
    /// 0 to 1.
    pub confidence: f64,
}

/// An interval in which a source is known to have lost log lines.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LossEntry {
    /// Source that lost them.
    pub source: String,
    /// Start of the interval.
    pub from: DateTime<Utc>,
    /// End of the interval.
    pub to: DateTime<Utc>,
    /// What happened, e.g. `spool full`.
    pub reason: String,
    /// Lines or spans lost where they could be counted; 0 means unknown.
    pub lost: i64,
}
