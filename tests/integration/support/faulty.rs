//! A store that fails now and then: before a write, after it (so that nobody knows), for good until
//! somebody helps, or by not answering. And one whose disk is slow or fails.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;
use beacon_collector::model::{Execution, ExecutionLink, Job, LossEntry, Span, Tally};
use beacon_collector::store::{
    Batch, Claim, Examination, ExecutionQuestion, Lease, Questions, Second, SpanQuestion, Store,
    StoreError, Sweep, Swept, TableSize, Window, Written,
};
use chrono::{DateTime, Utc};
use serde_json::Value;
use tokio::sync::Semaphore;
use uuid::Uuid;

/// A reproducible source of chance.
#[derive(Debug)]
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    /// The next number below a bound.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// A store whose writes fail in a third of all tries, or whose disk is in somebody's hands.
#[derive(Debug)]
pub(crate) struct Faulty {
    pub(crate) inner: Arc<dyn Store>,
    /// None: all goes well.
    pub(crate) chance: Option<Mutex<Chance>>,
    /// Whether the next write is refused until somebody helps.
    pub(crate) refuses: AtomicBool,
    /// Each sync takes one; closed, it fails.
    pub(crate) syncs: Semaphore,
}

impl Faulty {
    pub(crate) fn new(inner: &Arc<dyn Store>, seed: u64) -> Self {
        Self {
            inner: Arc::clone(inner),
            chance: Some(Mutex::new(Chance(seed))),
            refuses: AtomicBool::new(true),
            syncs: Semaphore::new(Semaphore::MAX_PERMITS),
        }
    }

    /// All goes well, but for the disk: nothing gets there before `syncs` has permits.
    pub(crate) fn with_slow_disk(inner: &Arc<dyn Store>) -> Self {
        Self {
            inner: Arc::clone(inner),
            chance: None,
            refuses: AtomicBool::new(false),
            syncs: Semaphore::new(0),
        }
    }

    fn draw(&self) -> u64 {
        let chance = self.chance.as_ref();
        chance.map_or(15, |chance| chance.lock().unwrap().below(16))
    }

    fn away(&self) -> StoreError {
        StoreError::Unavailable {
            action: "write",
            reason: "drawn by lot".into(),
        }
    }
}

#[async_trait]
impl Questions for Faulty {
    async fn spans(&self, question: &SpanQuestion, limit: u32) -> Result<Vec<Span>, StoreError> {
        self.inner.spans(question, limit).await
    }

    async fn seconds(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Vec<Second>, StoreError> {
        self.inner.seconds(from, to).await
    }

    async fn executions(
        &self,
        question: &ExecutionQuestion,
        limit: u32,
    ) -> Result<Vec<Execution>, StoreError> {
        self.inner.executions(question, limit).await
    }

    async fn count_executions(&self, question: &ExecutionQuestion) -> Result<u64, StoreError> {
        self.inner.count_executions(question).await
    }

    async fn tally_executions(&self, window: &Window, most: u32) -> Result<Vec<Tally>, StoreError> {
        self.inner.tally_executions(window, most).await
    }

    async fn job(&self, id: &str) -> Result<Option<Job>, StoreError> {
        self.inner.job(id).await
    }

    async fn execution_links(&self, traces: &[Uuid]) -> Result<Vec<ExecutionLink>, StoreError> {
        self.inner.execution_links(traces).await
    }

    async fn spans_of_executions(
        &self,
        ids: &[i64],
        limit: u32,
    ) -> Result<(Vec<Span>, Vec<ExecutionLink>), StoreError> {
        self.inner.spans_of_executions(ids, limit).await
    }

    async fn losses(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Vec<LossEntry>, StoreError> {
        self.inner.losses(from, to).await
    }
}

#[async_trait]
impl Store for Faulty {
    async fn migrate(&self) -> Result<(), StoreError> {
        match self.draw() {
            0..8 => Err(self.away()),
            _ => self.inner.migrate().await,
        }
    }

    async fn commit(&self, batch: &Batch) -> Result<Written, StoreError> {
        match self.draw() {
            0..2 => Err(self.away()),
            5 if self.refuses.swap(false, Relaxed) => Err(StoreError::Refused {
                action: "write",
                reason: "drawn by lot".into(),
                remedy: "somebody helps",
            }),
            // Stored, but the answer is lost.
            2..4 => {
                self.inner.commit(batch).await?;
                Err(self.away())
            }
            4 => {
                tokio::time::sleep(Duration::from_millis(2_300)).await;
                Err(self.away())
            }
            _ => self.inner.commit(batch).await,
        }
    }

    async fn sync(&self) -> Result<(), StoreError> {
        let permit = self.syncs.acquire().await.map_err(|_| self.away())?;
        permit.forget();
        self.inner.sync().await
    }

    fn writers(&self) -> usize {
        3
    }

    async fn checkpoint(&self, source: &str) -> Result<Option<Value>, StoreError> {
        match self.draw() {
            0..8 => Err(self.away()),
            _ => self.inner.checkpoint(source).await,
        }
    }

    async fn claim(&self, claim: &Claim) -> Result<Vec<Lease>, StoreError> {
        self.inner.claim(claim).await
    }

    fn snapshot(&self) -> Arc<dyn Questions> {
        self.inner.snapshot()
    }

    async fn sweep(&self, sweep: &Sweep) -> Result<Swept, StoreError> {
        self.inner.sweep(sweep).await
    }

    async fn sizes(&self) -> Result<Vec<TableSize>, StoreError> {
        self.inner.sizes().await
    }

    async fn examine(&self) -> Result<Examination, StoreError> {
        self.inner.examine().await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}
