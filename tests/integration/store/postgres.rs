//! What only a server has: roles, session settings, poolers, plans, strangers in the table.

use std::time::Duration;

use beacon_collector::model::SpanStatus;
use beacon_collector::store::{self, ExecutionQuestion, Opening, SpanQuestion, StoreError};
use sqlx::Row;
use uuid::Uuid;

use crate::support::database::{Postgres, Role, connect, pooler_url, postgres, url_of};
use crate::support::lines::{at, batch, start, success};
use crate::support::proxy::Proxy;
use crate::support::questions::ask_everything;

#[tokio::test]
async fn the_printed_grants_are_all_that_a_writer_needs() {
    let db = Postgres::of_the_runner().await;
    let role = Role::create(&db).await;
    store::open(&db.url).await.unwrap().migrate().await.unwrap();
    db.execute(&store::grants_sql(false).replace("beacon_writer", &role.name))
        .await;

    // A table of a later version.
    db.execute("create table beacon_collector.news (id int)")
        .await;
    let mut news = connect(&role.url).await;
    let added = sqlx::query("insert into beacon_collector.news values (1)");
    assert_eq!(added.execute(&mut news).await.unwrap().rows_affected(), 1);
    drop(news);

    let store = store::open(&role.url).await.unwrap();
    store.migrate().await.unwrap();
    store.write(&batch([start("abc12345", 0)])).await.unwrap();
    let written = store.write(&batch([success("abc12345", 9, 9)])).await;
    assert_eq!(written.unwrap().updated, 1);
    let question = ExecutionQuestion::Ids(vec![1]);
    assert_eq!(store.executions(&question, 1).await.unwrap(), []);
    store.close().await;
    role.drop(&db).await;
}

#[tokio::test]
async fn a_writer_who_may_not_build_indexes_writes_without_them() {
    let db = Postgres::of_the_runner().await;
    let role = Role::create(&db).await;
    let (database, name) = (&db.name, &role.name);
    db.execute(&format!(
        "grant create on database {database} to {name}; \
         grant select, insert, update on trace_spans to {name}; \
         grant usage on sequence trace_spans_id_seq to {name}"
    ))
    .await;

    let store = store::open(&role.url).await.unwrap();
    store.migrate().await.unwrap();
    for _ in 0..2 {
        let lines = batch([start("00000001", 0), start("00000002", 0)]);
        store.write(&lines).await.unwrap();
        let ends = batch([success("00000001", 9, 9), success("00000002", 9, 9)]);
        store.write(&ends).await.unwrap();
    }
    let all = SpanQuestion::SpanRange(Uuid::nil(), Uuid::max());
    let spans = store.spans(&all, 10).await.unwrap();
    assert_eq!(spans.len(), 2);
    assert!(
        spans
            .iter()
            .all(|span| span.status == SpanStatus::Completed)
    );
    store.close().await;
    role.drop(&db).await;
}

#[tokio::test]
async fn a_writer_without_rights_is_told_which_to_grant() {
    let db = Postgres::of_the_runner().await;
    let role = Role::create(&db).await;
    store::open(&db.url).await.unwrap().migrate().await.unwrap();
    let store = store::open(&role.url).await.unwrap();
    let err = store.migrate().await.unwrap_err();
    assert!(err.to_string().contains("--print-grants"), "{err}");
    store.close().await;
    role.drop(&db).await;
}

#[tokio::test]
async fn a_time_zone_of_the_role_or_database_changes_nothing() {
    let db = Postgres::of_the_runner().await;
    store::open(&db.url).await.unwrap().migrate().await.unwrap();
    let role = Role::create(&db).await;
    let (database, name) = (&db.name, &role.name);
    db.execute(&store::grants_sql(false).replace("beacon_writer", name))
        .await;
    db.execute(&format!(
        "alter database {database} set timezone = 'Asia/Kolkata'; \
         alter role {name} set timezone = 'Asia/Kolkata'; \
         alter role {name} set default_transaction_isolation = 'serializable'; \
         insert into executions (id, provider_id, region, status, created_at) \
         values (1, 'modal', 'US', 'failed', '2025-10-22T13:00:01')"
    ))
    .await;

    let store = store::open(&role.url).await.unwrap();
    let question = ExecutionQuestion::Recent {
        from: at(1_000),
        to: at(1_001),
        failed_only: true,
        model_id: None,
        region: None,
    };
    let found = store.executions(&question, 10).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].created_at, Some(at(1_000)));
    store.write(&batch([start("abc12345", 0)])).await.unwrap();
    let stored = db
        .texts("select (started_at at time zone 'UTC')::text from trace_spans")
        .await;
    assert_eq!(stored, ["2025-10-22 13:00:00"]);
    store.close().await;
    role.drop(&db).await;
}

#[tokio::test]
async fn everything_works_through_a_pooler_in_transaction_mode() {
    let db = Postgres::of_the_runner().await;
    let url = url_of(&pooler_url(), &db.name);
    let stores: Vec<_> = (0..4).map(|_| url.clone()).collect();
    let mut tasks = Vec::new();
    for (number, url) in stores.into_iter().enumerate() {
        tasks.push(tokio::spawn(async move {
            let store = store::open(&url).await.unwrap();
            store.migrate().await.unwrap();
            for round in 0..20 {
                let id = format!("{number:04x}{round:04x}");
                store.write(&batch([start(&id, 0)])).await.unwrap();
                store.write(&batch([success(&id, 500, 500)])).await.unwrap();
                let (low, high) = beacon_collector::model::log_id_range(&id);
                let range = SpanQuestion::SpanRange(low, high);
                let spans = store.spans(&range, 10).await.unwrap();
                assert_eq!(spans.len(), 1);
                assert_eq!(spans[0].text("log_id"), Some(id.as_str()));
                assert_eq!(spans[0].duration_ms, Some(500));
                assert_eq!(store.job("none").await.unwrap(), None);
            }
            store.close().await;
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let count = db.texts("select count(*)::text from trace_spans").await;
    assert_eq!(count, ["80"]);
}

#[tokio::test]
async fn times_and_numbers_beyond_ours_can_be_read() {
    let db = postgres().await;
    db.execute(
        "insert into trace_spans (trace_id, span_id, service, operation, started_at, completed_at, \
         status, metadata) values ('00000000-0000-0000-0000-000000000007', gen_random_uuid(), '', \
         '', '-infinity', 'infinity', '', '{\"n\": 1e400}')",
    )
    .await;
    let question = SpanQuestion::Traces(vec![Uuid::from_u128(7)]);
    let spans = db.store.spans(&question, 10).await.unwrap();
    assert_eq!(
        spans[0].started_at.to_rfc3339(),
        "0001-01-01T00:00:00+00:00"
    );
    let end = spans[0].completed_at.unwrap();
    assert_eq!(end.to_rfc3339(), "9999-12-31T00:00:00+00:00");
    assert!(
        spans[0].metadata["value"]
            .as_str()
            .unwrap()
            .contains("1000")
    );
}

#[tokio::test]
async fn every_question_and_write_is_served_by_an_index() {
    read_no_table_whole(&Postgres::of_the_runner().await).await;
}

/// After five plans for the values at hand, the server may settle on one for all values where a statement has a name.
#[tokio::test]
async fn a_plan_for_all_values_is_by_an_index_too() {
    let db = Postgres::of_the_runner().await;
    let sql = format!(
        "alter database {} set plan_cache_mode = force_generic_plan",
        db.name
    );
    db.execute(&sql).await;
    read_no_table_whole(&db).await;
}

async fn read_no_table_whole(db: &Postgres) {
    store::open(&db.url).await.unwrap().migrate().await.unwrap();
    db.execute(MANY_ROWS).await;
    let before = sequential_scans(db).await;

    let store = store::open(&db.url).await.unwrap();
    ask_everything(&*store, at(-600_000)..at(0)).await.unwrap();
    store.close().await;
    assert_eq!(sequential_scans(db).await, before);
}

/// A day of spans, half of them ours and a few of those open, and its executions.
const MANY_ROWS: &str = "insert into trace_spans \
    (trace_id, span_id, service, operation, started_at, status, execution_id, metadata) \
    select md5('t' || n / 4)::uuid, md5('s' || n)::uuid, 'runner', 'call', \
        timestamptz '2025-10-21 15:00Z' + n * interval '2 s', \
        case when n % 200 = 0 then 'started' when n % 30 = 0 then 'failed' else 'completed' end, \
        n / 4, \
        case when n % 2 = 0 then '{\"collector\": \"beacon-collector\", \"log_id\": \"x\"}'::jsonb end \
    from generate_series(1, 40000) n; \
    insert into beacon_collector.execution_links (trace_id, execution_id, method, confidence) \
    select md5('t' || n)::uuid, n, 'time', 1 from generate_series(1, 40000) n; \
    insert into beacon_collector.loss_ledger (source, lost_from, lost_to, reason, lost) \
    select 's', at, at, 'x', 1 from generate_series(1, 10000) n, \
        lateral (select timestamptz '2025-10-21 15:00Z' + n * interval '8 s') t (at); \
    insert into jobs (jobspec_id, jobspec_data) \
    select 'bias-detection-' || n, '{}' from generate_series(1, 5000) n; \
    insert into executions (job_id, provider_id, region, status, created_at) \
    select 1 + n % 5000, 'modal', 'US', case when n % 9 = 0 then 'failed' else 'completed' end, \
        timestamp '2025-10-21 15:00' + n * interval '4 s' from generate_series(1, 20000) n; \
    analyze";

/// How often a table was read from end to end, once every session but this one has ended and reported.
async fn sequential_scans(db: &Postgres) -> Vec<(String, i64)> {
    let mut conn = connect(&db.url).await;
    let others = "select count(*) from pg_stat_activity \
        where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'";
    while sqlx::query_scalar::<_, i64>(others)
        .fetch_one(&mut conn)
        .await
        .unwrap()
        > 0
    {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let rows = sqlx::query(
        "select relname::text, seq_scan from pg_stat_user_tables \
         where relname in ('trace_spans', 'executions', 'jobs', 'execution_links', 'loss_ledger') order by 1",
    )
    .fetch_all(&mut conn)
    .await
    .unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

#[tokio::test]
async fn a_question_that_is_stopped_for_taking_too_long_says_so() {
    let db = Postgres::of_the_runner().await;
    let store = store::open(&db.url).await.unwrap();
    let mut holder = connect(&db.url).await;
    let lock = "begin; lock table executions in access exclusive mode";
    sqlx::raw_sql(lock).execute(&mut holder).await.unwrap();
    let question = ExecutionQuestion::Ids(vec![1]);
    let err = store.executions(&question, 1).await.unwrap_err();
    assert!(matches!(err, StoreError::TooLong { .. }), "{err}");
    assert!(err.is_transient());
}

#[tokio::test]
async fn an_absent_server_or_database_is_named_as_the_cause() {
    let db = Postgres::create().await;
    let missing = url_of(&db.url, "no_such_database");
    let err = store::open(&missing)
        .await
        .unwrap()
        .migrate()
        .await
        .unwrap_err();
    assert!(matches!(err, StoreError::Refused { .. }), "{err}");
    assert!(err.to_string().contains("create the database"), "{err}");

    // Nobody listens where a listener has just gone.
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let gone = format!("postgres://someone@127.0.0.1:{port}/beacon");
    let err = store::open(&gone)
        .await
        .unwrap()
        .migrate()
        .await
        .unwrap_err();
    assert!(err.is_transient(), "{err}");
    assert!(err.to_string().contains("refused"), "{err}");
}

#[tokio::test]
async fn a_killed_connection_is_replaced_within_the_write() {
    let db = postgres().await;
    db.store
        .write(&batch([start("00000001", 0)]))
        .await
        .unwrap();
    db.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity \
         where datname = current_database() and pid <> pg_backend_pid()",
    )
    .await;
    let written = db
        .store
        .write(&batch([start("00000002", 0)]))
        .await
        .unwrap();
    assert_eq!(written.inserted, 1);
}

#[tokio::test]
async fn a_read_only_server_is_away_and_not_refused() {
    let db = postgres().await;
    let read_only = format!(
        "alter database {} set default_transaction_read_only = on",
        db.url.rsplit_once('/').unwrap().1
    );
    db.execute(&read_only).await;
    let store = db.reopen().await;
    let err = store
        .write(&batch([start("00000001", 0)]))
        .await
        .unwrap_err();
    assert!(err.is_transient(), "{err}");
}

/// Takes as long as a write may take: nothing but its own clock tells the store that the link is dead.
#[tokio::test]
async fn a_call_over_a_link_that_dies_is_given_up_and_works_once_it_is_back() {
    let db = postgres().await;
    let proxy = Proxy::to(&db.url).await;
    let store = store::open(&proxy.url(&db.url)).await.unwrap();
    store.write(&batch([start("00000001", 0)])).await.unwrap();

    let lines = batch([success("00000001", 9, 9), start("00000002", 0)]);
    proxy.cut_at("copy public");
    let err = store.write(&lines).await.unwrap_err();
    assert!(proxy.was_sprung());
    assert!(err.is_transient(), "{err}");
    assert!(err.to_string().contains("no answer in time"), "{err}");
    assert_eq!(db.dump().await.len(), 1);

    proxy.mend();
    let written = store.write(&lines).await.unwrap();
    assert_eq!((written.inserted, written.updated), (1, 1));
}

#[tokio::test]
async fn a_connection_that_breaks_before_the_commit_is_answered_costs_no_row_and_makes_none() {
    let db = postgres().await;
    let alone = [
        "pg_try_advisory",
        "from beacon_collector.shard_writers",
        "copy public",
        "COMMIT",
    ];
    let beside_others = ["pg_advisory", "beacon_own_spans", "copy public", "COMMIT"];
    let mut rows = 0;
    for texts in [alone, beside_others] {
        let proxy = Proxy::to(&db.url).await;
        let store = store::open(&proxy.url(&db.url)).await.unwrap();
        for text in texts {
            proxy.break_at(text);
            let line = start(&format!("{rows:08x}"), 0);
            let written = store.write(&batch([line])).await.unwrap();
            assert!(proxy.was_sprung(), "{text}");
            // The server may have committed what was written again.
            assert!(written.inserted <= 1);
            rows += 1;
            assert_eq!(db.dump().await.len(), rows, "{text}");
        }
    }
}

#[tokio::test]
async fn questions_of_one_snapshot_see_one_moment_and_give_their_connection_back() {
    let db = Postgres::of_the_runner().await;
    // One connection to ask with, one that writes.
    let opening = Opening {
        connections: Some(2),
        ..Opening::default()
    };
    let store = store::open_with(&db.url, opening).await.unwrap();
    store.migrate().await.unwrap();
    store.write(&batch([start("abc12345", 0)])).await.unwrap();
    let (low, high) = (Uuid::nil(), Uuid::max());
    let all = SpanQuestion::SpanRange(low, high);

    let snapshot = store.snapshot();
    assert_eq!(snapshot.spans(&all, 10).await.unwrap().len(), 1);
    store.write(&batch([start("abc12346", 0)])).await.unwrap();
    assert_eq!(snapshot.spans(&all, 10).await.unwrap().len(), 1);
    assert_eq!(store.spans(&all, 10).await.unwrap().len(), 2);
    // More than there are connections, each given back before the next is taken, also after a refusal.
    let mut resting = vec![snapshot];
    for _ in 0..5 {
        resting.last().unwrap().rest().await;
        let next = store.snapshot();
        let found = next.spans_of_executions(&[], 10).await;
        assert_eq!(found.unwrap(), (vec![], vec![]));
        next.rest().await;
        db.execute("alter table beacon_collector.execution_links rename to hidden")
            .await;
        assert!(next.spans_of_executions(&[1], 10).await.is_err());
        db.execute("alter table beacon_collector.hidden rename to execution_links")
            .await;
        assert_eq!(next.spans(&all, 10).await.unwrap().len(), 2);
        resting.push(next);
    }
    resting.last().unwrap().rest().await;
    // What was left out of a snapshot's moment is in that of the next question after a rest.
    assert_eq!(resting[0].spans(&all, 10).await.unwrap().len(), 2);
    drop(resting);
    // A snapshot that is dropped in the middle takes nothing with it.
    assert_eq!(store.spans(&all, 10).await.unwrap().len(), 2);
    store.close().await;
}
