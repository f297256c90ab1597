//! The answer to "how does this execution differ from successful ones?".

use schemars::JsonSchema;
use serde::Serialize;
use utoipa::ToSchema;

use super::ExecutionView;

/// One execution beside successful ones of the same kind.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema, ToSchema)]
pub struct Comparison {
    /// The execution that was asked about.
    pub failed_execution: ExecutionView,
    /// Successful executions of the cohort, most recent first; may be cut, `cohort.size` is not.
    pub similar_successful: Vec<ExecutionView>,
    /// The differences in words, weightiest first.
    pub differences: Vec<String>,
    /// The same differences with their numbers, in the same order.
    pub difference_details: Vec<Difference>,
    /// Who it was compared with.
    pub cohort: Cohort,
    /// What this answer cannot know.
    pub notes: Vec<String>,
}

/// The successful executions that were compared with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, ToSchema)]
pub struct Cohort {
    /// Number of executions in it.
    pub size: usize,
    /// How they were chosen, e.g. `same model and region, last 7 days`.
    pub chosen_by: String,
    /// Whether it is too small to tell a difference from chance.
    pub too_thin: bool,
}

/// One difference with its numbers.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema, ToSchema)]
pub struct Difference {
    /// What sort of difference it is.
    pub kind: DifferenceKind,
    /// The difference in words, as in `differences`.
    pub what: String,
    /// How much it explains; larger is more.
    pub weight: f64,
    /// Service it is about, where it is about one.
    pub service: Option<String>,
    /// Operation it is about, where it is about one.
    pub operation: Option<String>,
    /// What was measured here; `null` when nothing was.
    pub failed_ms: Option<i64>,
    /// Median over the cohort; `null` when nothing was measured.
    pub successful_ms: Option<i64>,
    /// The attribute's value here, quoted.
    pub failed_value: Option<String>,
    /// The attribute's commonest value in the cohort, quoted.
    pub successful_value: Option<String>,
    /// In how many of the cohort's executions it was measured.
    pub samples: usize,
}

/// Sorts of differences.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, JsonSchema, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DifferenceKind {
    /// A span is missing, extra, or ended in another way.
    Structure,
    /// Something took longer or shorter.
    Timing,
    /// An attribute has another value.
    Attribute,
}
