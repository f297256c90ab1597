//! A database of its own for each test, gone with the test.

use std::sync::Arc;

use beacon_collector::store::{self, Store};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, Connection, Executor, Row};

/// `jobs` and `executions` as the runner makes them in Postgres.
pub(crate) const RUNNER_TABLES: &str = include_str!("runner_tables.sql");
/// `trace_spans` as the runner makes it in Postgres.
pub(crate) const TRACE_SPANS: &str = include_str!("trace_spans.sql");

/// A migrated database, and SQL of the test's own beside the store.
pub(crate) struct Database {
    /// The store under test.
    pub(crate) store: Arc<dyn Store>,
    /// Where it is.
    pub(crate) url: String,
    // Keeps the database alive.
    _place: Box<dyn std::any::Any + Send + Sync>,
}

/// An embedded database.
pub(crate) async fn sqlite() -> Database {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", dir.path().join("test.db").display());
    migrated(url, Box::new(dir)).await
}

/// A database of its own on the server that the tests are given.
pub(crate) async fn postgres() -> Database {
    let server = Postgres::create().await;
    migrated(server.url.clone(), Box::new(server)).await
}

async fn migrated(url: String, place: Box<dyn std::any::Any + Send + Sync>) -> Database {
    let store = store::open(&url).await.unwrap();
    store.migrate().await.unwrap();
    Database {
        store,
        url,
        _place: place,
    }
}

impl Database {
    /// Another store on the same database, as after a restart or in another process.
    pub(crate) async fn reopen(&self) -> Arc<dyn Store> {
        store::open(&self.url).await.unwrap()
    }

    /// Makes the tables of the runner; the embedded store brings them along.
    pub(crate) async fn add_runner_tables(&self) {
        if !self.is_sqlite() {
            self.execute(RUNNER_TABLES).await;
        }
    }

    /// Runs statements beside the store, as another service would.
    pub(crate) async fn execute(&self, sql: &str) {
        let sql = AssertSqlSafe(sql);
        match self.url.strip_prefix("sqlite:") {
            Some(path) => sqlite_at(path).await.execute(sql).await.map(|_| ()),
            None => connect(&self.url).await.execute(sql).await.map(|_| ()),
        }
        .unwrap();
    }

    /// The answer to a question that selects one text a row.
    pub(crate) async fn texts(&self, sql: &str) -> Vec<String> {
        let sql = AssertSqlSafe(sql);
        match self.url.strip_prefix("sqlite:") {
            Some(path) => {
                let query = sqlx::query_scalar(sql);
                query.fetch_all(&mut sqlite_at(path).await).await
            }
            None => {
                let query = sqlx::query_scalar(sql);
                query.fetch_all(&mut connect(&self.url).await).await
            }
        }
        .unwrap()
    }

    /// Whether it is the embedded one.
    pub(crate) fn is_sqlite(&self) -> bool {
        self.url.starts_with("sqlite:")
    }

    /// The name of a table of the collector's own.
    pub(crate) fn own(&self, table: &str) -> String {
        if self.is_sqlite() {
            table.to_owned()
        } else {
            format!("beacon_collector.{table}")
        }
    }

    /// All of `trace_spans`, a text a row, in the order of insertion.
    pub(crate) async fn dump(&self) -> Vec<String> {
        self.texts(if self.is_sqlite() {
            "select json_array(id, trace_id, span_id, parent_span_id, service, operation, \
             started_at, completed_at, duration_ms, status, job_id, execution_id, model_id, region, \
             metadata, error_message, error_type, created_at) from trace_spans order by id"
        } else {
            "select to_jsonb(s)::text from trace_spans s order by id"
        })
        .await
    }
}

async fn sqlite_at(path: &str) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(path);
    SqliteConnection::connect_with(&options).await.unwrap()
}

/// A connection beside the store.
pub(crate) async fn connect(url: &str) -> PgConnection {
    PgConnection::connect(url).await.unwrap()
}

/// An empty Postgres database, dropped when it goes out of scope.
pub(crate) struct Postgres {
    /// Its superuser's URL.
    pub(crate) url: String,
    /// Its name.
    pub(crate) name: String,
}

impl Postgres {
    /// Creates it.
    pub(crate) async fn create() -> Self {
        let name = format!("beacon_{}", uuid::Uuid::new_v4().simple());
        let mut admin = connect(&server_url()).await;
        let sql = format!("create database {name}");
        admin.execute(AssertSqlSafe(sql)).await.unwrap();
        let url = url_of(&server_url(), &name);
        Self { url, name }
    }

    /// Creates a database of the runner, as its owner left it.
    pub(crate) async fn of_the_runner() -> Self {
        let db = Self::create().await;
        db.execute(TRACE_SPANS).await;
        db.execute(RUNNER_TABLES).await;
        db
    }

    /// Runs statements.
    pub(crate) async fn execute(&self, sql: &str) {
        let mut conn = connect(&self.url).await;
        conn.execute(AssertSqlSafe(sql)).await.unwrap();
    }

    /// The first column of each row, as text.
    pub(crate) async fn texts(&self, sql: &str) -> Vec<String> {
        let rows: Vec<PgRow> = sqlx::query(AssertSqlSafe(sql))
            .fetch_all(&mut connect(&self.url).await)
            .await
            .unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let sql = format!("drop database if exists {} with (force)", self.name);
        // Drop can't wait, and the test's own runtime may be on its way out.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let mut admin = connect(&server_url()).await;
                admin.execute(AssertSqlSafe(sql)).await.map(|_| ())
            })
        });
        // A failing test must show its own panic, and the server is thrown away anyway.
        let _ = dropped.join();
    }
}

/// A role of its own, gone with the test; may log in and no more.
pub(crate) struct Role {
    /// What it is called.
    pub(crate) name: String,
    /// Its URL of the database.
    pub(crate) url: String,
}

impl Role {
    /// Creates it.
    pub(crate) async fn create(db: &Postgres) -> Self {
        let name = format!("writer_{}", db.name);
        db.execute(&format!("create role {name} login")).await;
        let url = db.url.replacen("postgres@", &format!("{name}@"), 1);
        Self { name, url }
    }

    /// Takes it away, and what it was granted.
    pub(crate) async fn drop(self, db: &Postgres) {
        let sql = format!("drop owned by {0}; drop role {0}", self.name);
        db.execute(&sql).await;
    }
}

/// The superuser's URL of the test server.
pub(crate) fn server_url() -> String {
    variable("BEACON_TEST_POSTGRES_URL")
}

/// The same through PgBouncer in transaction mode.
pub(crate) fn pooler_url() -> String {
    variable("BEACON_TEST_PGBOUNCER_URL")
}

/// The same for a user with a password, over TLS.
pub(crate) fn pooler_tls_url() -> String {
    variable("BEACON_TEST_PGBOUNCER_TLS_URL")
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: run the tests as `scripts/postgres.sh run -- cargo nextest run`")
    })
}

/// The URL of another database on the same server.
pub(crate) fn url_of(server: &str, database: &str) -> String {
    let (base, _) = server.rsplit_once('/').unwrap();
    format!("{base}/{database}")
}
