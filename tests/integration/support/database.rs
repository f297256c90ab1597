//! A database of its own for each test, gone with the test.

use std::sync::Arc;

use beacon_collector::store::{self, Store};
use sqlx::Connection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use tempfile::TempDir;

/// A migrated database, and SQL of the test's own beside the store.
pub(crate) struct Database {
    /// The store under test.
    pub(crate) store: Arc<dyn Store>,
    dir: TempDir,
}

/// An embedded database.
pub(crate) async fn sqlite() -> Database {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", dir.path().join("test.db").display());
    let store = store::open(&url).await.unwrap();
    store.migrate().await.unwrap();
    Database { store, dir }
}

impl Database {
    /// Another store on the same database, as after a restart or in another process.
    pub(crate) async fn reopen(&self) -> Arc<dyn Store> {
        let url = format!("sqlite:{}", self.dir.path().join("test.db").display());
        store::open(&url).await.unwrap()
    }

    /// All of `trace_spans`, a text a row, in the order of insertion.
    pub(crate) async fn dump(&self) -> Vec<String> {
        let mut conn = self.connect().await;
        sqlx::query_scalar(
            "select json_array(id, trace_id, span_id, parent_span_id, service, operation, \
             started_at, completed_at, duration_ms, status, job_id, execution_id, model_id, region, \
             metadata, error_message, error_type, created_at) from trace_spans order by id",
        )
        .fetch_all(&mut conn)
        .await
        .unwrap()
    }

    async fn connect(&self) -> SqliteConnection {
        let options = SqliteConnectOptions::new().filename(self.dir.path().join("test.db"));
        SqliteConnection::connect_with(&options).await.unwrap()
    }
}
