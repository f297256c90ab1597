//! What a database says about itself when somebody looks for a fault. Reading it changes nothing.

use chrono::{DateTime, Utc};

/// The state of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examination {
    /// Name and version of the database.
    pub version: String,
    /// Its clock, read between the two times that the caller noted.
    pub clock: DateTime<Utc>,
    /// The last step of the schema that was done, and the last there is.
    pub steps: (i64, i64),
    /// Rights that are missing, such as `insert on public.trace_spans`.
    pub missing_rights: Vec<String>,
    /// Statements that build the indexes that are missing.
    pub missing_indexes: Vec<String>,
    /// Who wrote the spans of the last day; most first.
    pub writers: Vec<SpanWriter>,
    /// Spans of the last day that stand there more than once.
    pub doubled: u64,
}

/// Who writes spans.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpanWriter {
    /// The service of the spans.
    pub service: String,
    /// Whether they carry the collector's mark.
    pub ours: bool,
    /// How many there are.
    pub spans: u64,
    /// Those of them whose start line was never seen.
    pub without_start: u64,
}
