//! A typed question: fetches the rows it needs in a bounded number of index-backed queries, hands
//! them to the analysis and seals what comes out for readers that must not be misled by log text.
//!
//! It writes nothing. Invariant: the same question over the same rows gives the same bytes, whoever
//! asks — command line, REST or MCP. What was expensive is answered from memory for a while (`memory`).

mod answer;
mod argument;
mod ask;
mod case;
mod execution;
mod ids;
mod link;
mod memory;
mod report;
mod search;
mod since;
mod status;
mod tool;
mod trace;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

pub use answer::{Answer, DEFAULT_CAP, Page};
pub use argument::Arguments;
pub use ask::Report;
pub use execution::Selection;
pub use ids::Ids;
pub use report::{
    CollectorStatus, FoundSpan, FoundSpans, RecentFailuresAndSpans, SpanDetail, StoredSpans,
    TraceOverview,
};
pub use search::SearchFilter;
pub use since::parse_time;
pub use tool::{Parameter, Tool};
pub use trace::TraceView;

use self::case::Normal;
use self::memory::Memory;
use crate::store::{Questions, Store, StoreError};

/// What can go wrong with a question.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// There is no such thing; the text names what was looked for and what to try next.
    #[error("{0}")]
    NotFound(String),
    /// The question is malformed.
    #[error("{argument} {value:?}: {reason}")]
    Argument {
        /// Name of the argument.
        argument: &'static str,
        /// What was given.
        value: String,
        /// What form is wanted.
        reason: String,
    },
    /// The question has an argument that it does not take, or lacks one that it needs.
    #[error("{0}")]
    Arguments(String),
    /// The analysis ended abnormally.
    #[error("the analysis failed: {0}")]
    Failed(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Asks questions of a store.
#[derive(Debug, Clone)]
pub struct Query {
    /// What is asked: each statement by itself, or those of one answer together.
    store: Arc<dyn Questions>,
    whole: Arc<dyn Store>,
    sources: Option<Sources>,
    memories: Arc<Memories>,
}

/// What is kept of earlier answers.
#[derive(Debug)]
struct Memories {
    /// Sealed answers: at most 24 KiB of text each.
    answers: Memory<Answer>,
    /// What was normal, with a few hundred spans each.
    normal: Memory<Arc<Normal>>,
}

impl Memories {
    /// An answer may be asked for because something just happened; what was normal over a week changes
    /// slowly.
    fn new() -> Self {
        Self {
            answers: Memory::new(64, 100, Duration::from_secs(60)),
            normal: Memory::new(96, 1000, Duration::from_secs(600)),
        }
    }
}

/// Tells the state of the sources of this process, where it collects.
#[derive(Clone)]
struct Sources(Arc<dyn Fn() -> Value + Send + Sync>);

impl std::fmt::Debug for Sources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sources")
    }
}

impl Query {
    /// Questions to this store.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store: Arc::clone(&store) as Arc<dyn Questions>,
            whole: store,
            sources: None,
            memories: Arc::new(Memories::new()),
        }
    }

    /// The same for one answer: what it finds fits together, and costs one transaction.
    fn of_one_moment(&self) -> Self {
        Self {
            store: self.whole.snapshot(),
            ..self.clone()
        }
    }

    /// Runs a computation where it holds nobody up: neither other questions nor a connection.
    async fn compute<T: Send + 'static>(
        &self,
        compute: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, QueryError> {
        self.store.rest().await;
        let done = tokio::task::spawn_blocking(compute).await;
        done.map_err(|error| QueryError::Failed(error.to_string()))
    }

    /// Questions that also know how collecting goes.
    pub fn with_sources(self, state: impl Fn() -> Value + Send + Sync + 'static) -> Self {
        Self {
            sources: Some(Sources(Arc::new(state))),
            ..self
        }
    }
}
