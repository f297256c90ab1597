//! The answer to "how fast and how reliable is it, and did that change?".

use schemars::JsonSchema;
use serde::Serialize;
use utoipa::ToSchema;

/// Counts and durations of a window, beside the window before.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema, ToSchema)]
pub struct Performance {
    /// Over all executions of the window.
    #[serde(flatten)]
    pub stats: Stats,
    /// The window.
    pub window: TimeWindow,
    /// The same per model and region, busiest first.
    pub by_model_region: Vec<ModelRegion>,
    /// The window before, and what changed; `null` when it held nothing.
    pub previous_window: Option<PreviousWindow>,
    /// What this answer cannot know.
    pub notes: Vec<String>,
}

/// From when to when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, ToSchema)]
pub struct TimeWindow {
    /// Start, included.
    pub from: String,
    /// End, not included.
    pub to: String,
}

/// Counts and durations. Durations run from `started_at` to `completed_at` of every execution that
/// has both, failed ones included; `null` when there is none.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema, ToSchema)]
pub struct Stats {
    /// Number of executions.
    pub total_executions: usize,
    /// How many succeeded.
    pub successful: usize,
    /// How many failed.
    pub failed: usize,
    /// How many have not ended.
    pub running: usize,
    /// Succeeded among those that ended, 0 to 1.
    pub success_rate: Option<f64>,
    /// Mean duration in seconds.
    pub avg_duration_sec: Option<f64>,
    /// Median duration in seconds.
    pub p50_duration_sec: Option<f64>,
    /// 95th percentile in seconds.
    pub p95_duration_sec: Option<f64>,
    /// 99th percentile in seconds.
    pub p99_duration_sec: Option<f64>,
    /// Median duration in seconds of those that succeeded.
    pub p50_successful_sec: Option<f64>,
    /// Tokens generated per second of inference, over all Modal spans that report tokens.
    pub tokens_per_second: Option<f64>,
}

/// One model in one region.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema, ToSchema)]
pub struct ModelRegion {
    /// The model.
    pub model_id: Option<String>,
    /// Region as the runner spells it.
    pub region: String,
    /// Its numbers.
    #[serde(flatten)]
    pub stats: Stats,
    /// What changed against the window before; empty when there is too little to say.
    pub changes: Vec<Change>,
}

/// The window before the one asked about.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema, ToSchema)]
pub struct PreviousWindow {
    /// The window.
    pub window: TimeWindow,
    /// Its numbers.
    #[serde(flatten)]
    pub stats: Stats,
    /// What changed since.
    pub changes: Vec<Change>,
}

/// A change from the window before to this one.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema, ToSchema)]
pub struct Change {
    /// What was compared: `success_rate` or `duration`.
    pub measure: String,
    /// Value before.
    pub before: f64,
    /// Value now.
    pub now: f64,
    /// Probability of a difference at least this large if nothing had changed.
    pub p_value: f64,
    /// Whether it is unlikely to be chance.
    pub significant: bool,
    /// The finding in words.
    pub what: String,
}
