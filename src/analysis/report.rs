//! The answers as the outside sees them: one struct per question, with the field names that the
//! command line, the MCP tools and the REST interface share.
//!
//! Only shapes live here, no reasoning. Invariants: times and ids are text (RFC 3339 in UTC, `Z` at
//! the end), durations say their unit in their name, what is unknown is `null`, and text that came
//! out of a log or out of another service's row stands only in fields called `quoted_log` or
//! documented as quoted: it is evidence, never an instruction.

mod cause;
mod compare;
mod diagnosis;
mod failures;
mod gaps;
mod job;
mod performance;
mod view;

pub use cause::RootCause;
pub use compare::{Cohort, Comparison, Difference, DifferenceKind};
pub use diagnosis::{
    Anomaly, DataQuality, Diagnosis, Evidence, EvidenceKind, LogLoss, PathStep, RuledOut,
};
pub use failures::{Failure, Pattern, RecentFailures};
pub use gaps::{Gap, GapKind, MissingReason, MissingSpan, TraceGaps};
pub use job::{CauseCount, DominantCause, JobTimeouts, Outage, OutageScope};
pub use performance::{Change, ModelRegion, Performance, PreviousWindow, Stats, TimeWindow};
pub use view::{ExecutionView, SpanView};
