//! Ids to offer to somebody who has begun to type one.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Query, QueryError};
use crate::store::{ExecutionQuestion, SpanQuestion, SpanSearch};

/// Rows that ids are taken from.
const LOOKED_AT: u32 = 500;

/// A kind of id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ids {
    /// `executions.id`.
    Executions,
    /// `jobs.jobspec_id`.
    Jobs,
    /// `trace_spans.trace_id`.
    Traces,
}

impl Query {
    /// Recent ids that begin with `prefix`, newest first.
    pub async fn recent_ids(&self, kind: Ids, prefix: &str) -> Result<Vec<String>, QueryError> {
        let soon = Utc::now() + TimeDelta::minutes(5);
        let mut ids: Vec<String> = match kind {
            Ids::Traces => {
                let search = SpanSearch::all(DateTime::UNIX_EPOCH, soon);
                let question = SpanQuestion::Search(search);
                let spans = self.store.spans(&question, LOOKED_AT).await?;
                spans.iter().map(|span| span.trace_id.to_string()).collect()
            }
            Ids::Executions | Ids::Jobs => {
                let question = ExecutionQuestion::Recent {
                    from: DateTime::UNIX_EPOCH,
                    to: soon,
                    failed_only: false,
                    model_id: None,
                    region: None,
                };
                let rows = self.store.executions(&question, LOOKED_AT).await?;
                let id = |row: &crate::model::Execution| match kind {
                    Ids::Jobs => row.job_id.clone(),
                    _ => Some(row.id.to_string()),
                };
                rows.iter().filter_map(id).collect()
            }
        };
        let mut seen = std::collections::HashSet::new();
        ids.retain(|id| id.starts_with(prefix) && seen.insert(id.clone()));
        Ok(ids)
    }
}
