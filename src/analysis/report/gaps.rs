//! The answer to "where did the time go, and what is not there?".

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use utoipa::ToSchema;

use super::{PathStep, SpanView};

/// Time that nothing covers, and spans that are not there.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema, ToSchema)]
pub struct TraceGaps {
    /// The trace.
    pub trace_id: String,
    /// Number of distinct spans.
    pub total_spans: usize,
    /// The spans in time order; may be cut, `total_spans` is not.
    pub spans: Vec<SpanView>,
    /// Time inside a span that none of its descendants covers, longest first.
    pub gaps: Vec<Gap>,
    /// Spans that successful executions of this kind have and this trace has not.
    pub missing_spans: Vec<MissingSpan>,
    /// Estimated clock difference per pair of hosts; corrected for display only.
    pub clock_skew_ms: BTreeMap<String, i64>,
    /// What had to end before the trace could, in time order.
    pub critical_path: Vec<PathStep>,
    /// Copies of spans that were left out.
    pub duplicates_removed: usize,
    /// What is odd about the trace: cycles, spans that end before they start, a single span.
    pub notes: Vec<String>,
}

/// Time inside a span that none of its descendants covers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, ToSchema)]
pub struct Gap {
    /// Span that ends where the gap begins; the enclosing span when the gap begins with it.
    pub after_span: String,
    /// Span that starts where the gap ends; the enclosing span when the gap ends with it.
    pub before_span: String,
    /// Length of the gap.
    pub gap_ms: i64,
    /// Id of the enclosing span.
    pub inside: String,
    /// What the time was most likely spent on.
    pub kind: GapKind,
    /// The gap in words.
    pub what: String,
}

/// What a gap is most likely made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, JsonSchema, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum GapKind {
    /// Waiting to be taken up by the next service.
    Queue,
    /// Waiting for a Modal container.
    Boot,
    /// An answer on its way back.
    Network,
    /// Nothing tells.
    Unexplained,
}

/// A span that should be there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, ToSchema)]
pub struct MissingSpan {
    /// Its service.
    pub service: String,
    /// Its operation.
    pub operation: String,
    /// Why it is missing.
    pub why: MissingReason,
    /// Start and end of the time in which it should have run, RFC 3339; empty when unknown.
    pub between: Vec<String>,
    /// Id of the span that should enclose it, where there is one.
    pub inside: Option<String>,
    /// What the reason rests on.
    pub because: String,
}

/// Why a span is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, JsonSchema, ToSchema)]
pub enum MissingReason {
    /// What it describes never happened.
    #[serde(rename = "never ran")]
    NeverRan,
    /// It happened, but the lines that tell of it never arrived.
    #[serde(rename = "ran but its log was lost")]
    LogLost,
    /// That service writes no spans here.
    #[serde(rename = "not instrumented")]
    NotInstrumented,
}
