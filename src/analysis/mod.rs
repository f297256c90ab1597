//! Why an execution failed: pure functions over the vocabulary of [`crate::model`].
//!
//! Nothing here reads a database, a clock or a file: what an answer needs is fetched by the caller,
//! and the time is passed in. Invariant: the same input gives the same report, and no input (cycles
//! of parents, spans that end before they start, fifty thousand of them) makes a report impossible.

pub mod baseline;
pub mod case;
pub mod compare;
pub mod failures;
pub mod gaps;
pub mod job;
pub mod performance;
pub mod report;
pub mod root_cause;

mod anomaly;
mod critical_path;
mod explain;
mod facts;
mod hypotheses;
mod missing;
mod row;
#[cfg(test)]
mod scene;
mod score;
mod shape;
mod skew;
mod slow;
mod stats;
mod text;
mod tree;
mod verdict;
mod view;
mod words;
