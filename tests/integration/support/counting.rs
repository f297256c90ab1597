//! A store that counts how often it is asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use beacon_collector::model::{Execution, ExecutionLink, Job, LossEntry, Span, Tally};
use beacon_collector::store::{
    Batch, Claim, Examination, ExecutionQuestion, Lease, Questions, Second, SpanQuestion, Store,
    StoreError, Sweep, Swept, TableSize, Window, Written,
};
use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

/// Counts the questions to another store, or to a snapshot of it.
#[derive(Debug)]
pub(crate) struct Counting<Q: ?Sized> {
    inner: Arc<Q>,
    asked: Arc<AtomicUsize>,
}

impl Counting<dyn Store> {
    pub(crate) fn new(inner: Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            asked: Arc::default(),
        })
    }

    /// How many questions there were since the last look.
    pub(crate) fn take(&self) -> usize {
        self.asked.swap(0, Ordering::Relaxed)
    }
}

impl<Q: ?Sized> Counting<Q> {
    fn count(&self) -> &Q {
        self.asked.fetch_add(1, Ordering::Relaxed);
        &self.inner
    }
}

#[async_trait]
impl<Q: Questions + ?Sized> Questions for Counting<Q> {
    async fn spans(&self, question: &SpanQuestion, limit: u32) -> Result<Vec<Span>, StoreError> {
        self.count().spans(question, limit).await
    }

    async fn seconds(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Vec<Second>, StoreError> {
        self.count().seconds(from, to).await
    }

    async fn executions(
        &self,
        question: &ExecutionQuestion,
        limit: u32,
    ) -> Result<Vec<Execution>, StoreError> {
        self.count().executions(question, limit).await
    }

    async fn count_executions(&self, question: &ExecutionQuestion) -> Result<u64, StoreError> {
        self.count().count_executions(question).await
    }

    async fn tally_executions(&self, window: &Window, most: u32) -> Result<Vec<Tally>, StoreError> {
        self.count().tally_executions(window, most).await
    }

    async fn job(&self, id: &str) -> Result<Option<Job>, StoreError> {
        self.count().job(id).await
    }

    async fn execution_links(&self, traces: &[Uuid]) -> Result<Vec<ExecutionLink>, StoreError> {
        self.count().execution_links(traces).await
    }

    async fn spans_of_executions(
        &self,
        ids: &[i64],
        limit: u32,
    ) -> Result<(Vec<Span>, Vec<ExecutionLink>), StoreError> {
        self.count().spans_of_executions(ids, limit).await
    }

    async fn losses(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Vec<LossEntry>, StoreError> {
        self.count().losses(from, to).await
    }

    async fn rest(&self) {
        self.inner.rest().await;
    }
}

#[async_trait]
impl Store for Counting<dyn Store> {
    async fn migrate(&self) -> Result<(), StoreError> {
        self.inner.migrate().await
    }

    async fn commit(&self, batch: &Batch) -> Result<Written, StoreError> {
        self.inner.commit(batch).await
    }

    async fn sync(&self) -> Result<(), StoreError> {
        self.inner.sync().await
    }

    fn writers(&self) -> usize {
        self.inner.writers()
    }

    async fn checkpoint(&self, source: &str) -> Result<Option<Value>, StoreError> {
        self.count().checkpoint(source).await
    }

    async fn claim(&self, claim: &Claim) -> Result<Vec<Lease>, StoreError> {
        self.inner.claim(claim).await
    }

    fn snapshot(&self) -> Arc<dyn Questions> {
        Arc::new(Counting {
            inner: self.inner.snapshot(),
            asked: Arc::clone(&self.asked),
        })
    }

    async fn sweep(&self, sweep: &Sweep) -> Result<Swept, StoreError> {
        self.inner.sweep(sweep).await
    }

    async fn sizes(&self) -> Result<Vec<TableSize>, StoreError> {
        self.count().sizes().await
    }

    async fn examine(&self) -> Result<Examination, StoreError> {
        self.inner.examine().await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}
