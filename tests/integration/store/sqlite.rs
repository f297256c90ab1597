//! What only the embedded store has: a file, and who may read it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use beacon_collector::store::{self, StoreError};
use sqlx::Connection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};

use crate::support::lines::{at, batch, start, success};

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn the_file_and_its_directory_are_made_and_are_their_owners_alone() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("state/deep/beacon.db");
    let store = store::open(&format!("sqlite:{}", file.display()))
        .await
        .unwrap();
    store.migrate().await.unwrap();
    store.write(&batch([start("abc12345", 0)])).await.unwrap();
    for suffix in ["", "-wal", "-shm"] {
        let file = format!("{}{suffix}", file.display());
        assert_eq!(mode(Path::new(&file)), 0o600, "{file}");
    }
    assert_eq!(mode(file.parent().unwrap()), 0o700);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn all_that_open_a_new_file_at_the_same_time_get_it() {
    for _ in 0..40 {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", dir.path().join("beacon.db").display());
        let open = |url: String| async move { store::open(&url).await?.migrate().await };
        let opening: Vec<_> = (0..8).map(|_| tokio::spawn(open(url.clone()))).collect();
        for opened in opening {
            opened.await.unwrap().unwrap();
        }
    }
}

#[tokio::test]
async fn a_place_that_cannot_be_written_is_named() {
    let err = store::open("sqlite:/proc/no/beacon.db").await.unwrap_err();
    assert!(matches!(err, StoreError::Configuration(_)), "{err}");
    assert!(err.to_string().contains("/proc/no/beacon.db"), "{err}");
}

#[tokio::test]
async fn a_url_that_names_no_file_is_refused() {
    for url in [
        "sqlite:",
        "sqlite::memory:",
        "sqlite://",
        "beacon.db",
        "mysql://host/db",
    ] {
        let err = store::open(url).await.unwrap_err();
        assert!(matches!(err, StoreError::Configuration(_)), "{url}: {err}");
    }
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_with_a_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("beacon.db");
    std::fs::write(&file, "not a database ".repeat(1_000)).unwrap();
    let url = format!("sqlite:{}", file.display());
    let err = match store::open(&url).await {
        Ok(store) => store.migrate().await.unwrap_err(),
        Err(err) => err,
    };
    assert!(matches!(err, StoreError::Refused { .. }), "{err}");
}

#[tokio::test]
async fn two_processes_write_to_one_file_in_turn() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", dir.path().join("beacon.db").display());
    store::open(&url).await.unwrap().migrate().await.unwrap();
    let tasks: Vec<_> = (0..4)
        .map(|writer| {
            let url = url.clone();
            tokio::spawn(async move {
                let store = store::open(&url).await.unwrap();
                for number in 0..25 {
                    let id = format!("{writer:04x}{number:04x}");
                    let written = store.write(&batch([start(&id, 0)])).await.unwrap();
                    assert_eq!(written.inserted, 1);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

/// What a program of three steps left behind: an open span of ours, and one of others.
const OLD_ROWS: &str = "insert into trace_spans \
    (trace_id, span_id, service, operation, started_at, status, model_id, region, metadata) values \
    ('{id}', '{id}', 'modal', 'inference', '{at}', 'started', 'llama3.2-1b', 'us-east', \
     '{\"collector\":\"beacon-collector\",\"container_id\":\"ta-01TEST\",\"log_id\":\"abc12345\",\
       \"source\":\"test\",\"time_precision\":\"us\"}'), \
    ('00000000-0000-4000-8000-000000000001', '{id}', 'runner', 'call', '{at}', 'started', null, null, null)";

async fn open_file(path: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true);
    SqliteConnection::connect_with(&options).await.unwrap()
}

async fn run(conn: &mut SqliteConnection, sql: &str) {
    let sql = sqlx::AssertSqlSafe(sql);
    sqlx::raw_sql(sql).execute(conn).await.unwrap();
}

async fn texts(conn: &mut SqliteConnection, sql: &'static str) -> Vec<String> {
    sqlx::query_scalar(sql).fetch_all(conn).await.unwrap()
}

#[tokio::test]
async fn a_file_of_an_earlier_program_keeps_its_rows_and_late_lines_find_theirs() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("beacon.db");
    let open = start("abc12345", 0);
    let mut conn = open_file(&path).await;
    for step in [
        include_str!("../../../migrations/sqlite/0001_tables.sql"),
        include_str!("../../../migrations/sqlite/0002_leases.sql"),
        include_str!("../../../migrations/sqlite/0003_failed_executions.sql"),
        "create table migrations (version integer primary key, name text not null, applied_at text not null); \
         insert into migrations values (1, 'a', ''), (2, 'b', ''), (3, 'c', '')",
    ] {
        run(&mut conn, step).await;
    }
    let rows = OLD_ROWS
        .replace("{id}", &open.span_id().to_string())
        .replace(
            "{at}",
            &at(0).to_rfc3339_opts(chrono::SecondsFormat::Micros, true),
        );
    run(&mut conn, &rows).await;

    let store = store::open(&format!("sqlite:{}", path.display()))
        .await
        .unwrap();
    store.migrate().await.unwrap();
    let again = store.write(&batch([open])).await.unwrap();
    assert_eq!((again.inserted, again.updated), (0, 0));
    let ended = batch([success("abc12345", 10, 10), start("abc12346", 0)]);
    for changes in [(1, 1), (0, 0)] {
        let written = store.write(&ended).await.unwrap();
        assert_eq!((written.inserted, written.updated), changes);
    }
    let rows = "select service || ' ' || status from trace_spans order by id";
    let expected = ["modal completed", "runner started", "modal started"];
    assert_eq!(texts(&mut conn, rows).await, expected);
    let indexes = "select name from sqlite_master where type = 'index' and tbl_name = 'trace_spans' order by 1";
    let expected = [
        "beacon_linked_spans",
        "beacon_open_spans",
        "idx_trace_spans_execution_id",
        "idx_trace_spans_started_at",
        "idx_trace_spans_trace_id",
    ];
    assert_eq!(texts(&mut conn, indexes).await, expected);
    assert_eq!(texts(&mut conn, "pragma integrity_check").await, ["ok"]);
}

#[tokio::test]
async fn metadata_of_others_has_to_be_json() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("beacon.db");
    let store = store::open(&format!("sqlite:{}", path.display()))
        .await
        .unwrap();
    store.migrate().await.unwrap();
    let insert = "insert into trace_spans (trace_id, span_id, service, operation, started_at, status, metadata) \
        values ('a', 'b', 'runner', 'call', '2025-10-22T13:00:00.000000Z', 'started', '{no json')";
    let refused = sqlx::query(insert)
        .execute(&mut open_file(&path).await)
        .await;
    assert!(refused.unwrap_err().to_string().contains("json_valid"));
}
