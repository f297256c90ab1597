//! The answer to "why did this job time out?".

use schemars::JsonSchema;
use serde::Serialize;
use utoipa::ToSchema;

use super::{ExecutionView, RootCause};

/// What went wrong over all executions of a job.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema, ToSchema)]
pub struct JobTimeouts {
    /// The job's public id.
    pub job_id: String,
    /// Number of executions of the job.
    pub total_executions: usize,
    /// How many of them failed.
    pub failed: usize,
    /// How many of them still run.
    pub running: usize,
    /// One entry per execution, failed ones first; may be cut, `total_executions` is not.
    pub analysis: Vec<ExecutionView>,
    /// What explains most of the trouble; `null` when there was none.
    pub dominant_cause: Option<DominantCause>,
    /// Every cause with its count, most frequent first.
    pub causes: Vec<CauseCount>,
    /// Regions or models that failed as a whole.
    pub outages: Vec<Outage>,
    /// What this answer cannot know.
    pub notes: Vec<String>,
    /// What to look at and which command to run next.
    pub recommendations: Vec<String>,
}

/// The cause that explains most of a job's trouble.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema, ToSchema)]
pub struct DominantCause {
    /// The cause.
    pub root_cause_code: RootCause,
    /// Its share of the executions that failed or were slow, 0 to 1.
    pub share: f64,
    /// The region it is confined to; `null` when it is not.
    pub region: Option<String>,
    /// The model it is confined to; `null` when it is not.
    pub model: Option<String>,
    /// The finding in words.
    pub explanation: String,
}

/// How often a cause was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, ToSchema)]
pub struct CauseCount {
    /// The cause.
    pub root_cause_code: RootCause,
    /// Number of executions.
    pub count: usize,
}

/// A region or a model that failed as a whole.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema, ToSchema)]
pub struct Outage {
    /// What failed as a whole.
    pub scope: OutageScope,
    /// Its name; `null` when it is the whole job.
    pub name: Option<String>,
    /// The cause it failed by.
    pub root_cause_code: RootCause,
    /// How many of its executions failed.
    pub failed: usize,
    /// Number of its executions.
    pub total: usize,
    /// The finding in words.
    pub explanation: String,
}

/// What an outage covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, JsonSchema, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OutageScope {
    /// Every execution of the job.
    Job,
    /// Every execution in one region.
    Region,
    /// Every execution of one model.
    Model,
}
