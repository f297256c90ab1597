//! The questions of [`Questions`], whichever way they get to the server.

use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::{read, row};
use crate::model::{Execution, ExecutionLink, Job, LossEntry, Span, Tally};
use crate::store::{ExecutionQuestion, Questions, Second, SpanQuestion, StoreError, Window};

/// A way to the server.
#[async_trait]
pub(super) trait Ask: Send + Sync + std::fmt::Debug {
    /// The rows that a statement finds; an error names the action.
    async fn ask(
        &self,
        action: &'static str,
        query: read::Query<'_>,
    ) -> Result<Vec<PgRow>, StoreError>;

    /// Gives back what is held between statements.
    async fn rest(&self) {}

    /// Whether jobs and executions were seen.
    fn runner_tables(&self) -> &AtomicBool;

    /// Whether jobs and executions are there; asked again for as long as they are not.
    async fn has_runner_tables(&self) -> Result<bool, StoreError> {
        if self.runner_tables().load(Ordering::Relaxed) {
            return Ok(true);
        }
        let query = read::query(
            "select to_regclass('public.jobs') is not null \
             and to_regclass('public.executions') is not null",
        );
        let rows = self.ask("look for executions", query).await?;
        let there = rows.iter().any(|row| row.try_get(0).unwrap_or(false));
        self.runner_tables().store(there, Ordering::Relaxed);
        Ok(there)
    }
}

#[async_trait]
impl<A: Ask> Questions for A {
    async fn spans(&self, question: &SpanQuestion, limit: u32) -> Result<Vec<Span>, StoreError> {
        let rows = self.ask("read spans", read::spans(question, limit)).await?;
        Ok(rows.iter().map(row::span).collect())
    }

    async fn seconds(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Vec<Second>, StoreError> {
        let rows = self.ask("count spans", read::seconds(from, to)).await?;
        Ok(rows.iter().map(row::second).collect())
    }

    async fn executions(
        &self,
        question: &ExecutionQuestion,
        limit: u32,
    ) -> Result<Vec<Execution>, StoreError> {
        if !self.has_runner_tables().await? {
            return Ok(Vec::new());
        }
        let query = read::executions(question, limit);
        let rows = self.ask("read executions", query).await?;
        Ok(rows.iter().map(row::execution).collect())
    }

    async fn count_executions(&self, question: &ExecutionQuestion) -> Result<u64, StoreError> {
        if !self.has_runner_tables().await? {
            return Ok(0);
        }
        let query = read::count_executions(question);
        let rows = self.ask("count executions", query).await?;
        let count = rows.first().and_then(|row| row::integer(row, 0));
        Ok(count.unwrap_or(0).unsigned_abs())
    }

    async fn tally_executions(&self, window: &Window, most: u32) -> Result<Vec<Tally>, StoreError> {
        if !self.has_runner_tables().await? {
            return Ok(Vec::new());
        }
        let query = read::tally(window, most);
        let rows = self.ask("count executions", query).await?;
        Ok(rows.iter().map(row::tally).collect())
    }

    async fn job(&self, id: &str) -> Result<Option<Job>, StoreError> {
        if !self.has_runner_tables().await? {
            return Ok(None);
        }
        let rows = self.ask("read job", read::job(id)).await?;
        Ok(rows.first().map(row::job))
    }

    async fn execution_links(&self, traces: &[Uuid]) -> Result<Vec<ExecutionLink>, StoreError> {
        let query = read::links_of_traces(traces);
        let rows = self.ask("read links", query).await?;
        Ok(rows.iter().map(row::execution_link).collect())
    }

    async fn spans_of_executions(
        &self,
        ids: &[i64],
        limit: u32,
    ) -> Result<(Vec<Span>, Vec<ExecutionLink>), StoreError> {
        let query = read::spans_of_executions(ids, limit);
        let rows = self.ask("read spans", query).await?;
        let mut links: Vec<_> = rows.iter().filter_map(row::link_beside_span).collect();
        links.sort_unstable_by_key(|link| (link.execution_id, link.trace_id));
        links.dedup_by_key(|link| (link.execution_id, link.trace_id));
        // A trace that two of them were linked to comes twice.
        let distinct = rows.chunk_by(|a, b| row::own_key(a) == row::own_key(b));
        let spans = distinct.filter_map(|copies| copies.first().map(row::span));
        Ok((spans.collect(), links))
    }

    async fn losses(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Vec<LossEntry>, StoreError> {
        let rows = self.ask("read losses", read::losses(from, to)).await?;
        Ok(rows.iter().map(row::loss).collect())
    }

    async fn rest(&self) {
        Ask::rest(self).await;
    }
}
