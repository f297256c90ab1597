//! Open spans whose deadline has passed: they become `timeout`, and a late end still corrects them.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::stats::Stats;
use crate::model::Observation;
use crate::store::{Batch, SpanQuestion, Store, StoreError};

/// Open spans looked at in one go.
const EXPIRY_BATCH: u32 = 1_000;

/// Marks the open spans of ours that began longer than `deadline` before `now`.
pub async fn expire(
    store: &dyn Store,
    stats: &Stats,
    now: DateTime<Utc>,
    deadline: Duration,
) -> Result<(), StoreError> {
    let before = now - deadline;
    loop {
        let open = store
            .spans(&SpanQuestion::OpenBefore(before), EXPIRY_BATCH)
            .await?;
        let observations = open
            .iter()
            .filter_map(Observation::from_span)
            .map(|mut seen| {
                seen.deadline_passed = true;
                seen
            });
        let batch = Batch {
            observations: observations.collect(),
            ..Batch::default()
        };
        if !batch.is_empty() {
            stats.add_written(&store.write(&batch).await?);
        }
        if open.len() < EXPIRY_BATCH as usize {
            return Ok(());
        }
    }
}
