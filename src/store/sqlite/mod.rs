//! The embedded store: one SQLite file in WAL mode, one connection that writes, a few that read.
//!
//! Invariant: what was committed is on disk when [`Store::sync`] returns. SQLite itself leaves that to us
//! (`synchronous = normal`), so that the next batch goes in while the disk is waited for, which is a quarter of
//! a run. Its log holds commits in their order, and after a crash of the machine it is read up to the first
//! that is not whole: a later commit never stands without an earlier one. See <https://sqlite.org/wal.html>.
//! So migrations and leases are not synced by themselves: what was written after them is lost with them, and
//! with the machine all holders of leases are gone.
//! Several processes may share the file; whoever writes waits up to ten seconds for the other.

mod bind;
mod examine;
mod fault;
mod read;
mod row;
mod sweep;
mod write;

use std::future::Future;
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use serde_json::Value;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Row, SqlitePool};
use tokio::fs::File;

use super::alone::Alone;
use super::migration;
use super::{
    Batch, Claim, Examination, ExecutionQuestion, Lease, Questions, Second, SpanQuestion, Store,
    StoreError, Sweep, Swept, TableSize, Window, Written,
};
use crate::model::{Execution, ExecutionLink, Job, LossEntry, Span, Tally};

/// How long a connection waits for another process's lock.
const BUSY: Duration = Duration::from_secs(10);
/// How long until it tries again where SQLite itself does not wait.
const AGAIN: Duration = Duration::from_millis(20);
/// How long until the log is opened again to be synced.
const REOPEN: Duration = Duration::from_secs(1);
/// A write that waits for its turn behind others; longer than one of them may take.
const TURN: Duration = Duration::from_secs(30);
/// A question that takes longer is given up; the caller has long gone.
const READ: Duration = Duration::from_secs(5);
/// Questions answered side by side.
const READERS: u32 = 4;

/// A SQLite file.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    writer: SqlitePool,
    readers: SqlitePool,
    alone: Arc<Alone>,
    /// Where SQLite writes ahead.
    log: PathBuf,
}

impl SqliteStore {
    /// Opens the file, creating it (readable by its owner only) and its directory where needed.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let log = create(path).map_err(|err| {
            StoreError::Configuration(format!(
                "cannot open database \"{}\": {err}; name a file in a directory that this user may \
                 write to",
                path.display()
            ))
        })?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(BUSY)
            // Random ids touch many pages: let the log take each several times before it is copied
            // into the file (128 MB). Fewer, larger ones do, because rows of a batch go in sorted.
            .page_size(8192)
            .pragma("wal_autocheckpoint", "16384")
            .pragma("cache_size", "-8192")
            // Executions of jobs that were cleaned away are kept: questions join what is there.
            .foreign_keys(false);
        let pool = |connections| {
            SqlitePoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(TURN)
        };
        let writes = options
            .clone()
            // What we write as JSON is JSON, and a check calls a function (see insert.sql).
            .pragma("ignore_check_constraints", "on")
            // A page is done with when the next one is begun.
            .pragma("cache_size", "-4096");
        let began = Instant::now();
        let writer = loop {
            match pool(1).connect_with(writes.clone()).await {
                // Whoever turns a new file to WAL has to have it alone, and SQLite does not wait for that.
                Err(err) if fault::is_busy(&err) && began.elapsed() < BUSY => {
                    tokio::time::sleep(AGAIN).await;
                }
                opened => break opened.map_err(|err| fault::sort("open database", &err))?,
            }
        };
        let readers = pool(READERS).connect_lazy_with(options.pragma("query_only", "on"));
        let alone = Arc::new(Alone::new());
        Ok(Self {
            writer,
            readers,
            alone,
            log,
        })
    }

    async fn read<T>(
        &self,
        action: &'static str,
        answer: impl Future<Output = sqlx::Result<T>>,
    ) -> Result<T, StoreError> {
        match tokio::time::timeout(READ, answer).await {
            Ok(answer) => answer.map_err(|err| fault::sort(action, &err)),
            Err(_) => Err(StoreError::TooLong { action }),
        }
    }

    async fn apply_migrations(&self) -> sqlx::Result<()> {
        let mut tx = self.writer.begin_with("begin immediate").await?;
        sqlx::query(
            "create table if not exists migrations \
             (version integer primary key, name text not null, applied_at text not null)",
        )
        .execute(&mut *tx)
        .await?;
        let row = sqlx::query("select coalesce(max(version), 0) from migrations")
            .fetch_one(&mut *tx)
            .await?;
        let done: i64 = row.try_get(0)?;
        for migration in migration::SQLITE.iter().filter(|m| m.version > done) {
            sqlx::raw_sql(migration.sql).execute(&mut *tx).await?;
            sqlx::query("insert into migrations (version, name, applied_at) values (?, ?, ?)")
                .bind(migration.version)
                .bind(migration.name)
                .bind(row::time_text(chrono::Utc::now()))
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await
    }
}

/// Log text may hold anything, so the file is its owner's alone; the WAL file, whose path is returned, takes over
/// its mode.
fn create(path: &Path) -> std::io::Result<PathBuf> {
    if let Some(parent) = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
    {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(parent)?;
    }
    std::fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)?;
    // SQLite follows links too before it names the other files.
    let mut log = path.canonicalize()?.into_os_string();
    log.push("-wal");
    Ok(log.into())
}

#[async_trait]
impl Questions for SqliteStore {
    async fn spans(&self, question: &SpanQuestion, limit: u32) -> Result<Vec<Span>, StoreError> {
        let answer = read::spans(&self.readers, question, limit);
        self.read("read spans", answer).await
    }

    async fn seconds(
        &self,
        from: chrono::DateTime<chrono::Utc>,
        to: chrono::DateTime<chrono::Utc>,
    ) -> Result<Vec<Second>, StoreError> {
        let answer = read::seconds(&self.readers, from, to);
        self.read("count spans", answer).await
    }

    async fn executions(
        &self,
        question: &ExecutionQuestion,
        limit: u32,
    ) -> Result<Vec<Execution>, StoreError> {
        let answer = read::executions(&self.readers, question, limit);
        self.read("read executions", answer).await
    }

    async fn count_executions(&self, question: &ExecutionQuestion) -> Result<u64, StoreError> {
        let answer = read::count_executions(&self.readers, question);
        self.read("count executions", answer).await
    }

    async fn tally_executions(&self, window: &Window, most: u32) -> Result<Vec<Tally>, StoreError> {
        let answer = read::tally(&self.readers, window, most);
        self.read("count executions", answer).await
    }

    async fn job(&self, id: &str) -> Result<Option<Job>, StoreError> {
        self.read("read job", read::job(&self.readers, id)).await
    }

    async fn execution_links(
        &self,
        traces: &[uuid::Uuid],
    ) -> Result<Vec<ExecutionLink>, StoreError> {
        let answer = read::links_of_traces(&self.readers, traces);
        self.read("read links", answer).await
    }

    async fn spans_of_executions(
        &self,
        ids: &[i64],
        limit: u32,
    ) -> Result<(Vec<Span>, Vec<ExecutionLink>), StoreError> {
        let answer = read::spans_of_executions(&self.readers, ids, limit);
        self.read("read spans", answer).await
    }

    async fn losses(
        &self,
        from: chrono::DateTime<chrono::Utc>,
        to: chrono::DateTime<chrono::Utc>,
    ) -> Result<Vec<LossEntry>, StoreError> {
        let answer = read::losses(&self.readers, from, to);
        self.read("read losses", answer).await
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn migrate(&self) -> Result<(), StoreError> {
        self.apply_migrations()
            .await
            .map_err(|err| fault::sort("migrate", &err))
    }

    async fn commit(&self, batch: &Batch) -> Result<Written, StoreError> {
        write::write(&self.writer, &self.alone, batch)
            .await
            .map_err(|err| fault::sort("write spans", &err))
    }

    async fn sync(&self) -> Result<(), StoreError> {
        let log = loop {
            match File::open(&self.log).await {
                Ok(log) => break log,
                // Whoever closes the database last copies the log into it, syncs that and deletes the log.
                Err(err) if err.kind() == ErrorKind::NotFound => return Ok(()),
                // Nothing is lost yet, and too many open files, say, are fewer later.
                Err(error) => {
                    let path = self.log.display();
                    tracing::warn!(%error, %path, "cannot open the log of the database to sync it; trying again");
                    tokio::time::sleep(REOPEN).await;
                }
            }
        };
        let synced = log.sync_data().await;
        synced.map_err(|err| fault::sort("sync the log of the database", &err.into()))
    }

    fn writers(&self) -> usize {
        1
    }

    async fn checkpoint(&self, source: &str) -> Result<Option<Value>, StoreError> {
        let query = sqlx::query("select position from checkpoints where source = ?").bind(source);
        let row = self
            .read("read checkpoint", query.fetch_optional(&self.readers))
            .await?;
        Ok(row.and_then(|row| row::json(&row, 0)))
    }

    async fn claim(&self, claim: &Claim) -> Result<Vec<Lease>, StoreError> {
        write::claim(&self.writer, claim)
            .await
            .map_err(|err| fault::sort("claim leases", &err))
    }

    fn snapshot(&self) -> Arc<dyn Questions> {
        Arc::new(self.clone())
    }

    async fn sweep(&self, sweep: &Sweep) -> Result<Swept, StoreError> {
        sweep::sweep(&self.writer, sweep)
            .await
            .map_err(|err| fault::sort("delete what is old", &err))
    }

    async fn sizes(&self) -> Result<Vec<TableSize>, StoreError> {
        let query = "select page_count * page_size, (page_count - freelist_count) * page_size \
            from pragma_page_count, pragma_page_size, pragma_freelist_count";
        let row = self
            .read(
                "measure the file",
                sqlx::query(query).fetch_one(&self.readers),
            )
            .await?;
        let bytes = |at| u64::try_from(row.try_get::<i64, _>(at).unwrap_or(0)).unwrap_or(0);
        let size = |table: &str, bytes| TableSize {
            table: table.to_owned(),
            bytes,
            index_bytes: 0,
            rows: None,
        };
        Ok(vec![size("file", bytes(0)), size("file, in use", bytes(1))])
    }

    async fn examine(&self) -> Result<Examination, StoreError> {
        self.read("examine the database", examine::look(&self.readers))
            .await
    }

    async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The wrong name would be none that is there, and nothing would be synced.
    #[tokio::test]
    async fn the_log_is_the_one_that_sqlite_writes() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().canonicalize().unwrap();
        std::fs::create_dir(folder.join("deep")).unwrap();
        std::os::unix::fs::symlink("deep/beacon.db", folder.join("link.db")).unwrap();
        let store = SqliteStore::open(&folder.join("link.db")).await.unwrap();
        store.migrate().await.unwrap();
        assert_eq!(store.log, folder.join("deep/beacon.db-wal"));
        assert!(store.log.metadata().unwrap().len() > 0);
        store.close().await;
        assert!(!store.log.exists());
        store.sync().await.unwrap();
    }

    #[tokio::test]
    async fn a_log_that_cannot_be_opened_is_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = SqliteStore::open(&dir.path().join("beacon.db"))
            .await
            .unwrap();
        let no_folder = dir.path().join("file");
        std::fs::write(&no_folder, "").unwrap();
        store.log = no_folder.join("log");
        let sync = tokio::spawn(async move { store.sync().await });
        tokio::time::sleep(REOPEN / 2).await;
        assert!(!sync.is_finished());
        std::fs::remove_file(no_folder).unwrap();
        sync.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_question_that_takes_too_long_is_given_up_and_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&dir.path().join("beacon.db"))
            .await
            .unwrap();
        let never = std::future::pending::<sqlx::Result<()>>();
        let err = store.read("look", never).await.unwrap_err();
        assert!(matches!(err, StoreError::TooLong { .. }), "{err}");
        assert!(err.is_transient());
    }
}
