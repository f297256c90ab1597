//! The vocabulary everyone shares: spans, executions, jobs, links, losses and what was observed of a
//! printed span. Plain values; no I/O, no clock, no SQL. Times are UTC, durations say their unit.

mod execution;
mod fields;
mod identity;
mod link;
mod observation;
#[cfg(test)]
mod properties;
mod rare;
mod reconcile;
mod region;
mod row;
mod span;

pub use beacon_parsers::every_byte;
pub use execution::{Execution, ExecutionLink, Job, LossEntry, Tally};
pub use fields::Fields;
pub use identity::{SpanKey, log_id_range, span_id_of_otlp};
pub use link::{SpanLink, is_filled};
pub use observation::{Context, End, Moment, Observation, Outcome, Precision, Step, Times};
pub use rare::{Nothing, Rare};
pub(crate) use reconcile::find_slot;
pub use reconcile::{Change, RowKey, reconcile};
pub use region::Regions;
pub use row::{Metadata, Row};
pub use span::{COLLECTOR, Span, SpanStatus, meta};
