//! A database becomes usable whatever state it is found in, by any number of processes, and nothing
//! that was there changes.

use std::time::Duration;

use beacon_collector::store::{self, StoreError};

use crate::support::database::{Database, Postgres, RUNNER_TABLES, TRACE_SPANS, connect, url_of};
use crate::support::lines::{batch, start};

on_every_store!(
    migrating_twice_changes_nothing,
    many_processes_migrate_at_once,
);

async fn migrating_twice_changes_nothing(db: Database) {
    db.store
        .write(&batch([start("abc12345", 0)]))
        .await
        .unwrap();
    let rows = db.dump().await;
    db.store.migrate().await.unwrap();
    db.reopen().await.migrate().await.unwrap();
    assert_eq!(db.dump().await, rows);
}

async fn many_processes_migrate_at_once(db: Database) {
    // The given database is migrated already; this is about one that is not.
    let empty = Fresh::beside(&db).await;
    let migrations: Vec<_> = (0..8)
        .map(|_| {
            let url = empty.url.clone();
            tokio::spawn(async move { store::open(&url).await?.migrate().await })
        })
        .collect();
    for migration in migrations {
        migration.await.unwrap().unwrap();
    }
    let store = store::open(&empty.url).await.unwrap();
    let written = store.write(&batch([start("abc12345", 0)])).await.unwrap();
    assert_eq!(written.inserted, 1);
}

/// A database of the same kind that nobody has migrated.
struct Fresh {
    url: String,
    _place: Box<dyn std::any::Any>,
}

impl Fresh {
    async fn beside(db: &Database) -> Self {
        if db.is_sqlite() {
            let dir = tempfile::tempdir().unwrap();
            let url = format!("sqlite:{}", dir.path().join("new/fresh.db").display());
            let _place = Box::new(dir);
            return Self { url, _place };
        }
        let server = Postgres::create().await;
        // With something to build indexes on, so that all of it is raced for.
        server.execute(TRACE_SPANS).await;
        server.execute(RUNNER_TABLES).await;
        server.execute(SOME_ROWS).await;
        Self {
            url: server.url.clone(),
            _place: Box::new(server),
        }
    }
}

/// Rows of others: the same span id twice, and an open one.
const SOME_ROWS: &str = "insert into trace_spans \
    (trace_id, span_id, service, operation, started_at, status, metadata) \
    select trace.id, span.id, 'runner', 'call', now(), 'started', '{\"a\": 1}' \
    from (select gen_random_uuid() as id from generate_series(1, 500)) span, \
         (select gen_random_uuid() as id) trace, generate_series(1, 2)";

const VALID: &str = "select c.relname::text from pg_index i join pg_class c on c.oid = i.indexrelid \
    where i.indisvalid and c.relname like 'beacon%' and i.indrelid in \
    (to_regclass('trace_spans'), to_regclass('executions')) order by 1";

/// A build of an index waits for every transaction that it has seen with a snapshot. One that stays open
/// while it asks for the build's lock would wait for the build in turn, both for good.
#[tokio::test]
async fn who_waits_for_the_build_of_another_leaves_no_transaction_open() {
    let db = Postgres::create().await;
    db.execute(TRACE_SPANS).await;
    let mut open = connect(&db.url).await;
    let insert = "begin; insert into trace_spans \
        (trace_id, span_id, service, operation, started_at, status) \
        values (gen_random_uuid(), gen_random_uuid(), 'runner', 'call', now(), 'started')";
    sqlx::Executor::execute(&mut open, insert).await.unwrap();
    let migrations = [(); 2].map(|()| {
        let url = db.url.clone();
        tokio::spawn(async move { store::open(&url).await?.migrate().await })
    });
    // The one builds, held up by the transaction above; the other was refused the lock.
    let state = "select count(*) filter (where query like 'create %index concurrently%')::text || ' ' || \
        count(*) filter (where query = 'rollback' and state = 'idle')::text || ' ' || \
        count(*) filter (where query like '%pg_try_advisory%' and state <> 'idle')::text \
        from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()";
    let seen = async {
        while db.texts(state).await != ["1 1 1"] {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), seen)
        .await
        .expect("one transaction that holds the lock, and none that waits for it");
    sqlx::Executor::execute(&mut open, "rollback")
        .await
        .unwrap();
    for migration in migrations {
        migration.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_fresh_postgres_gets_the_table_of_the_runner_and_no_jobs() {
    let fresh = Postgres::create().await;
    let theirs = Postgres::create().await;
    theirs.execute(TRACE_SPANS).await;
    store::open(&fresh.url)
        .await
        .unwrap()
        .migrate()
        .await
        .unwrap();
    let columns = "select column_name || ' ' || data_type || ' ' || is_nullable || ' ' || \
        coalesce(character_maximum_length::text, '') || ' ' || coalesce(column_default, '') \
        from information_schema.columns where table_name = 'trace_spans' order by ordinal_position";
    assert_eq!(fresh.texts(columns).await, theirs.texts(columns).await);
    let indexes = "select indexdef from pg_indexes where tablename = 'trace_spans' \
        and indexname not like 'beacon%' order by indexname";
    assert_eq!(fresh.texts(indexes).await, theirs.texts(indexes).await);
    let tables = "select relname::text from pg_class where relname in ('jobs', 'executions')";
    assert!(fresh.texts(tables).await.is_empty());
    assert_eq!(
        fresh.texts(VALID).await,
        ["beacon_open_spans", "beacon_own_spans"]
    );
}

#[tokio::test]
async fn a_database_of_the_runner_keeps_every_row_and_gains_indexes() {
    let theirs = Postgres::create().await;
    theirs.execute(TRACE_SPANS).await;
    theirs.execute(RUNNER_TABLES).await;
    theirs.execute(SOME_ROWS).await;
    let rows = "select t::text from trace_spans t order by id";
    let before = theirs.texts(rows).await;
    store::open(&theirs.url)
        .await
        .unwrap()
        .migrate()
        .await
        .unwrap();
    assert_eq!(theirs.texts(rows).await, before);
    let indexes = [
        "beacon_executions_created_at",
        "beacon_executions_job_id",
        "beacon_failed_executions",
        "beacon_open_spans",
        "beacon_own_spans",
    ];
    assert_eq!(theirs.texts(VALID).await, indexes);
}

#[tokio::test]
async fn a_table_without_indexes_gains_all_that_questions_need() {
    let bare = Postgres::create().await;
    let (table, _) = TRACE_SPANS.split_once("create index").unwrap();
    bare.execute(table).await;
    store::open(&bare.url)
        .await
        .unwrap()
        .migrate()
        .await
        .unwrap();
    let indexes = [
        "beacon_open_spans",
        "beacon_own_spans",
        "beacon_trace_spans_execution_id",
        "beacon_trace_spans_started_at",
        "beacon_trace_spans_trace_id",
    ];
    assert_eq!(bare.texts(VALID).await, indexes);
}

#[tokio::test]
async fn the_rest_of_a_failed_index_build_is_replaced() {
    let theirs = Postgres::create().await;
    theirs.execute(TRACE_SPANS).await;
    theirs.execute(SOME_ROWS).await;
    // Fails for the duplicates, and leaves an invalid index of our name behind.
    let mut conn = crate::support::database::connect(&theirs.url).await;
    let build = "create unique index concurrently beacon_own_spans on trace_spans (span_id)";
    let failed = sqlx::Executor::execute(&mut conn, build).await;
    assert!(failed.is_err());
    store::open(&theirs.url)
        .await
        .unwrap()
        .migrate()
        .await
        .unwrap();
    assert_eq!(
        theirs.texts(VALID).await,
        ["beacon_open_spans", "beacon_own_spans"]
    );
}

#[tokio::test]
async fn a_table_that_cannot_take_our_rows_is_refused_at_once() {
    let odd = Postgres::create().await;
    odd.execute(TRACE_SPANS).await;
    odd.execute(
        "alter table trace_spans alter metadata type json, drop region, \
         add tenant text not null",
    )
    .await;
    let err = store::open(&odd.url)
        .await
        .unwrap()
        .migrate()
        .await
        .unwrap_err();
    let text = err.to_string();
    assert!(matches!(err, StoreError::Refused { .. }), "{text}");
    for fault in [
        "metadata is json, not jsonb",
        "region is missing",
        "tenant has no default",
    ] {
        assert!(text.contains(fault), "{text}");
    }
}

#[tokio::test]
async fn the_printed_statements_migrate_a_database_by_hand() {
    let fresh = Postgres::create().await;
    let sql = store::migration_sql(&fresh.url).unwrap();
    let (steps, indexes) = sql.split_once("-- Then, outside").unwrap();
    fresh.execute(steps).await;
    for statement in indexes
        .lines()
        .filter(|line| line.contains("trace_spans ("))
    {
        fresh.execute(statement).await;
    }
    let steps = store::migration_sql("sqlite:x.db").unwrap();
    assert!(steps.contains("create table if not exists trace_spans"));
    assert!(store::migration_sql(&url_of("mysql://host/x", "y")).is_err());
}
