//! Why an execution failed: pure functions over the vocabulary of [`crate::model`].
//!
//! Nothing here reads a database, a clock or a file: what an answer needs is fetched by the caller,
//! and the time is passed in. Invariant: the same input gives the same report, and no input (cycles
//! of parents, spans that end before they start, fifty thousand of them) makes a report impossible.

pub mod report;
