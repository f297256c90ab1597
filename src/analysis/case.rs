//! What the analysis is given about one execution.

use std::sync::Arc;

use crate::model::{Execution, ExecutionLink, LossEntry, Span};

/// An execution with everything that was fetched about it. Only the row is required; each list may be
/// empty, and what is missing shows in the answer's confidence and data quality.
#[derive(Debug, Clone)]
pub struct ExecutionCase {
    /// The row of `executions`.
    pub execution: Execution,
    /// All spans of the joined trace, raw: the runner's, router's and Modal's. May hold copies.
    pub spans: Vec<Span>,
    /// How the trace was found; `None` when none was, or when the spans carry the execution's id.
    pub link: Option<ExecutionLink>,
    /// Other executions of the same job, up to a few hundred; the execution itself may be among them. Only
    /// looked at where there are no spans.
    pub siblings: Arc<[Execution]>,
    /// Losses of log lines that overlap the execution.
    pub losses: Arc<[LossEntry]>,
    /// Modal spans of the execution's time that belong to no trace yet, of any model and region; used
    /// to tell "never ran" from "ran but could not be linked".
    pub unlinked: Arc<[Span]>,
    /// How far the collector is behind, in seconds, where that is known.
    pub collector_lag_s: Option<f64>,
}

impl ExecutionCase {
    /// A case of which only the row and the spans are known.
    pub fn new(execution: Execution, spans: Vec<Span>) -> Self {
        Self {
            execution,
            spans,
            link: None,
            siblings: Arc::default(),
            losses: Arc::default(),
            unlinked: Arc::default(),
            collector_lag_s: None,
        }
    }
}
