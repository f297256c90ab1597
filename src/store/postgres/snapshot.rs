//! Several questions about one moment, in one transaction on one connection: each costs two round trips
//! instead of five, and what one statement finds fits what another one finds.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use async_trait::async_trait;
use sqlx::Executor as _;
use sqlx::postgres::PgRow;
use tokio::sync::Mutex;

use super::connections::{Connections, Lent};
use super::fault::Fault;
use super::question::Ask;
use super::{READ, read};
use crate::store::StoreError;

/// As [`super::BEGIN_READ`], but all statements see what the first one saw.
const BEGIN: &str = "begin isolation level repeatable read read only; \
    set local statement_timeout = '5s'; set local jit = off";

/// A transaction that begins with the first question and ends with [`Ask::rest`] or an error.
#[derive(Debug)]
pub(super) struct Snapshot {
    connections: Connections,
    runner_tables: Arc<AtomicBool>,
    /// In a transaction.
    open: Mutex<Option<Lent>>,
}

impl Snapshot {
    pub(super) fn new(connections: &Connections, runner_tables: &Arc<AtomicBool>) -> Self {
        Self {
            connections: connections.clone(),
            runner_tables: Arc::clone(runner_tables),
            open: Mutex::default(),
        }
    }

    async fn answer(&self, query: read::Query<'_>) -> Result<Vec<PgRow>, Fault> {
        let mut open = self.open.lock().await;
        let mut conn = match open.take() {
            Some(conn) => conn,
            None => self.connections.begin(BEGIN).await?,
        };
        let query = conn.fit(query);
        let result = limited(query.fetch_all(&mut *conn)).await;
        match &result {
            Ok(_) => *open = Some(conn),
            Err(fault) if fault.is_outdated_statement() => self.connections.forget_idle(),
            Err(fault) if fault.spoils_connection() => {}
            Err(_) => end(conn, "rollback").await,
        }
        result
    }
}

#[async_trait]
impl Ask for Snapshot {
    async fn ask(
        &self,
        action: &'static str,
        query: read::Query<'_>,
    ) -> Result<Vec<PgRow>, StoreError> {
        (self.answer(query).await).map_err(|fault| fault.sort(action))
    }

    async fn rest(&self) {
        if let Some(conn) = self.open.lock().await.take() {
            end(conn, "commit").await;
        }
    }

    fn runner_tables(&self) -> &AtomicBool {
        &self.runner_tables
    }
}

/// Ends the transaction and leaves the connection for others; one that does not answer is closed.
async fn end(mut conn: Lent, word: &'static str) {
    if limited(conn.execute(word)).await.is_ok() {
        conn.give_back();
    }
}

async fn limited<T>(call: impl Future<Output = sqlx::Result<T>>) -> Result<T, Fault> {
    match tokio::time::timeout(READ, call).await {
        Ok(result) => result.map_err(Fault::from),
        Err(_) => Err(Fault::Silence),
    }
}
