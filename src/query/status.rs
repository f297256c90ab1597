//! How the collector itself is doing: what it stored of late, and what it is known to have lost.

use chrono::{TimeDelta, Utc};

use super::report::{CollectorStatus, StoredSpans, rfc3339};
use super::{Query, QueryError};
use crate::analysis::report::LogLoss;
use crate::model::LossEntry;
use crate::store::{ExecutionQuestion, SpanQuestion, SpanSearch};

/// Failed spans that are counted at most.
const MAX_COUNTED: u32 = 1_000;

impl Query {
    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), QueryError> {
        let now = Utc::now();
        self.store.losses(now, now).await?;
        Ok(())
    }

    /// What is stored of late and what was lost.
    pub async fn collector_status(&self) -> Result<CollectorStatus, QueryError> {
        let now = Utc::now();
        let day = now - TimeDelta::hours(24);
        // A span of a host whose clock runs ahead counts too.
        let soon = now + TimeDelta::minutes(5);
        let newest = |ours| {
            let search = SpanSearch {
                ours,
                ..SpanSearch::all(day, soon)
            };
            SpanQuestion::Search(search)
        };
        let printed = self.store.spans(&newest(true), 1).await?;
        let any = self.store.spans(&newest(false), 1).await?;
        let failed = SpanQuestion::Failed {
            from: day,
            to: soon,
        };
        let failed_spans = self.store.spans(&failed, MAX_COUNTED).await?.len();
        let count = |failed_only| ExecutionQuestion::Recent {
            from: day,
            to: soon,
            failed_only,
            model_id: None,
            region: None,
        };
        let executions = self.store.count_executions(&count(false)).await?;
        let failed_executions = self.store.count_executions(&count(true)).await?;
        let mut losses = self.store.losses(now - TimeDelta::days(7), soon).await?;
        losses.reverse();
        let newest_printed = printed.first().map(|span| span.started_at);
        Ok(CollectorStatus {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            checked_at: rfc3339(now),
            stored: StoredSpans {
                newest_printed_span_at: newest_printed.map(rfc3339),
                newest_printed_span_age_s: newest_printed.map(|at| (now - at).num_seconds()),
                newest_span_at: any.first().map(|span| rfc3339(span.started_at)),
                executions,
                failed_executions,
                failed_spans,
            },
            collecting: self.sources.as_ref().map(|sources| (sources.0)()),
            losses: losses.iter().map(loss).collect(),
            notes: match self.sources {
                Some(_) => Vec::new(),
                None => vec![
                    "the answering process does not collect: it knows the database only".to_owned(),
                ],
            },
        })
    }
}

fn loss(entry: &LossEntry) -> LogLoss {
    LogLoss {
        source: entry.source.clone(),
        from: rfc3339(entry.from),
        to: rfc3339(entry.to),
        reason: entry.reason.clone(),
        lost: entry.lost,
    }
}
