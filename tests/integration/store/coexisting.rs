//! The database is others': what they made stays, works on meanwhile, and can be spread over machines.

use std::sync::Mutex;
use std::time::Duration;

use beacon_collector::model::SpanLink;
use beacon_collector::store::{self, Batch, SpanQuestion};
use serde_json::json;
use uuid::Uuid;

use crate::support::database::{Postgres, RUNNER_TABLES, TRACE_SPANS, connect};
use crate::support::lines::{batch, start, success};

async fn migrated(before: &[&str]) -> Postgres {
    let db = Postgres::create().await;
    for sql in before {
        db.execute(sql).await;
    }
    store::open(&db.url).await.unwrap().migrate().await.unwrap();
    db
}

#[tokio::test]
async fn migrations_of_other_tools_are_left_alone() {
    let theirs = "create table _sqlx_migrations (version bigint primary key, description text not null, \
         installed_on timestamptz not null default now(), success boolean not null, \
         checksum bytea not null, execution_time bigint not null); \
         insert into _sqlx_migrations values (1, 'theirs', now(), true, '\\x00', 1); \
         create table schema_migrations (version bigint primary key, dirty boolean); \
         insert into schema_migrations values (7, false); \
         create table alembic_version (version_num text primary key); \
         insert into alembic_version values ('abc'); \
         create table migrations (id int primary key); create table checkpoints (id int primary key); \
         create schema theirs; create table theirs.trace_spans (id int)";
    let db = migrated(&[TRACE_SPANS, RUNNER_TABLES, theirs]).await;
    let rows = "select 'sqlx ' || description from _sqlx_migrations union all \
        select 'go ' || version from schema_migrations union all \
        select 'py ' || version_num from alembic_version order by 1";
    assert_eq!(db.texts(rows).await, ["go 7", "py abc", "sqlx theirs"]);
    let empty = "select (select count(*) from migrations) + (select count(*) from checkpoints) \
        + (select count(*) from theirs.trace_spans) || ''";
    assert_eq!(db.texts(empty).await, ["0"]);
}

#[tokio::test]
async fn only_trace_spans_is_enough() {
    let db = migrated(&[TRACE_SPANS]).await;
    let store = store::open(&db.url).await.unwrap();
    let written = store.write(&batch([start("abc12345", 0)])).await.unwrap();
    assert_eq!(written.inserted, 1);
    assert_eq!(store.job("any").await.unwrap(), None);
    let of_execution = store.spans_of_executions(&[1], 10).await.unwrap();
    assert_eq!(of_execution, (vec![], vec![]));
}

/// `create index concurrently` waits for transactions that are open; nobody waits for it.
#[tokio::test]
async fn others_go_on_writing_while_indexes_are_built() {
    let db = Postgres::create().await;
    db.execute(TRACE_SPANS).await;
    let insert = "set lock_timeout = '2s'; insert into trace_spans \
        (trace_id, span_id, service, operation, started_at, status) \
        values (gen_random_uuid(), gen_random_uuid(), 'runner', 'call', now(), 'started')";
    let mut open = connect(&db.url).await;
    for sql in ["begin", insert] {
        sqlx::Executor::execute(&mut open, sql).await.unwrap();
    }
    let url = db.url.clone();
    let migrating = tokio::spawn(async move { store::open(&url).await.unwrap().migrate().await });
    // Until the build waits for the transaction above.
    let waits = "select count(*)::text from pg_stat_activity where datname = current_database() \
        and wait_event_type = 'Lock' and query like 'create %index concurrently%'";
    while db.texts(waits).await != ["1"] {
        assert!(!migrating.is_finished());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for _ in 0..5 {
        db.execute(insert).await;
        db.execute("set lock_timeout = '2s'; update trace_spans set status = 'completed'")
            .await;
        assert!(
            !migrating.is_finished(),
            "it waits for the transaction that is open"
        );
    }
    sqlx::Executor::execute(&mut open, "commit").await.unwrap();
    migrating.await.unwrap().unwrap();
    let built = "select count(*)::text from pg_index i join pg_class c on c.oid = i.indexrelid \
        where c.relname like 'beacon%' and i.indisvalid";
    assert_eq!(db.texts(built).await, ["2"]);
}

/// What an engine that spreads tables over machines by the trace asks for.
#[tokio::test]
async fn every_unique_key_about_traces_contains_the_trace() {
    let db = migrated(&[TRACE_SPANS, RUNNER_TABLES]).await;
    let unique = "select c.relname::text || ': ' || string_agg(a.attname, ', ' order by a.attname) \
        from pg_index i \
        join pg_class c on c.oid = i.indexrelid \
        join pg_class t on t.oid = i.indrelid \
        join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any(i.indkey) \
        where i.indisunique \
          and (t.relnamespace = 'beacon_collector'::regnamespace or c.relname like 'beacon%') \
          and exists (select from pg_attribute b where b.attrelid = i.indrelid and b.attname = 'trace_id') \
        group by c.relname order by 1";
    let expected = [
        "beacon_own_spans: span_id, trace_id",
        "execution_links_pkey: execution_id, trace_id",
        "rejected_spans_pkey: span_id, trace_id",
    ];
    assert_eq!(db.texts(unique).await, expected);
}

#[tokio::test]
async fn our_tables_have_no_foreign_keys_no_sequences_and_no_triggers() {
    let db = migrated(&[TRACE_SPANS, RUNNER_TABLES]).await;
    let found = "select 'key ' || conname from pg_constraint where contype = 'f' \
          and (connamespace = 'beacon_collector'::regnamespace \
               or confrelid = 'trace_spans'::regclass or conrelid = 'trace_spans'::regclass) \
        union all \
        select 'sequence ' || relname from pg_class \
        where relkind = 'S' and relnamespace = 'beacon_collector'::regnamespace \
        union all \
        select 'trigger ' || tgname from pg_trigger t join pg_class c on c.oid = t.tgrelid \
        where not t.tgisinternal and (c.relnamespace = 'beacon_collector'::regnamespace \
              or c.oid = 'trace_spans'::regclass)";
    assert_eq!(db.texts(found).await, [""; 0]);
}

/// Stands in for the extension: keeps a list of the tables, insists on what Citus insists on, and lets no
/// statement set the column by which rows are spread.
const CITUS: &str = "set allow_system_table_mods = on; \
    insert into pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion) \
    values (99999, 'citus', 10, 'pg_catalog'::regnamespace, false, '13'); \
    create table pg_dist_partition (logicalrelid regclass, partmethod text); \
    create function create_reference_table(t regclass) returns void language plpgsql as $$ begin \
        insert into pg_dist_partition values (t, 'n'); end $$; \
    create function stay() returns trigger language plpgsql as $$ begin \
        raise exception 'modifying the partition value of rows is not allowed' using errcode = '0A000'; end $$; \
    create function create_distributed_table(t regclass, col text, colocate_with text default null) \
        returns void language plpgsql as $$ begin \
        if exists (select from pg_index i where i.indrelid = t and i.indisunique and not exists ( \
            select from pg_attribute a where a.attrelid = t and a.attnum = any(i.indkey) and a.attname = col)) \
        then raise exception 'cannot create constraint: it must include the distribution column'; end if; \
        insert into pg_dist_partition values (t, 'h'); \
        execute format('create trigger stay before update of %I on %s for each row execute function stay()', col, t); \
        end $$";

async fn distribute(db: &Postgres, dry_run: bool) -> (Vec<String>, Result<(), String>) {
    let said = Mutex::new(Vec::new());
    let say = |statement: &str| said.lock().unwrap().push(statement.to_owned());
    let done = store::distribute(&db.url, dry_run, say).await;
    (
        said.into_inner().unwrap(),
        done.map_err(|err| err.to_string()),
    )
}

#[tokio::test]
async fn plain_postgres_says_that_the_extension_is_missing() {
    let db = migrated(&[TRACE_SPANS, RUNNER_TABLES]).await;
    let (ran, done) = distribute(&db, false).await;
    assert_eq!(ran, [""; 0]);
    let text = done.unwrap_err();
    assert!(text.contains("create extension citus"), "{text}");
    let (shown, done) = distribute(&db, true).await;
    assert_eq!(shown.len(), 5);
    assert!(done.is_err());
}

#[tokio::test]
async fn what_cannot_be_distributed_is_named() {
    let theirs = "create unique index theirs on trace_spans (span_id, started_at); \
        create table notes (span bigint references trace_spans (id))";
    let db = migrated(&[TRACE_SPANS, theirs, CITUS]).await;
    let (_, done) = distribute(&db, false).await;
    let text = done.unwrap_err();
    assert!(
        text.contains("theirs") && text.contains("notes_span_fkey"),
        "{text}"
    );
}

#[tokio::test]
async fn distributed_tables_take_the_same_writes() {
    let db = migrated(&[TRACE_SPANS, RUNNER_TABLES, CITUS]).await;
    let (shown, done) = distribute(&db, true).await;
    done.unwrap();
    assert_eq!(
        db.texts("select logicalrelid::text from pg_dist_partition")
            .await,
        [""; 0]
    );
    let (ran, done) = distribute(&db, false).await;
    done.unwrap();
    assert_eq!(ran, shown);
    assert!(ran[0].contains("add primary key (trace_id, id)"), "{ran:?}");
    assert_eq!(distribute(&db, false).await, (Vec::new(), Ok(())));
    let tables = "select logicalrelid || ' ' || partmethod from pg_dist_partition order by 1";
    let expected = [
        "beacon_collector.execution_links h",
        "executions n",
        "jobs n",
        "trace_spans h",
    ];
    assert_eq!(db.texts(tables).await, expected);

    let store = store::open(&db.url).await.unwrap();
    store.migrate().await.unwrap();
    let lines = (0..50).map(|number| start(&format!("{number:08x}"), 0));
    store.write(&batch(lines)).await.unwrap();
    let lines = (0..50).map(|number| success(&format!("{number:08x}"), 9, 9));
    let written = store.write(&batch(lines)).await.unwrap();
    assert_eq!((written.inserted, written.updated), (0, 50));
    let all = SpanQuestion::SpanRange(Uuid::nil(), Uuid::max());
    let spans = store.spans(&all, 100).await.unwrap();
    let links = spans.iter().map(|span| SpanLink {
        span_id: span.span_id,
        trace_id: Uuid::from_u128(42),
        parent_span_id: None,
        execution_id: Some(7),
        job_id: None,
        model_id: None,
        region: None,
        link: json!({"method": "evidence", "confidence": 1.0}),
    });
    let links = Batch {
        links: links.collect(),
        ..Batch::default()
    };
    assert_eq!(store.write(&links).await.unwrap().updated, 50);
    let of_trace = SpanQuestion::Traces(vec![Uuid::from_u128(42)]);
    assert_eq!(store.spans(&of_trace, 100).await.unwrap().len(), 50);
    assert_eq!(store.spans(&all, 100).await.unwrap().len(), 50);
    store.close().await;
}

#[tokio::test]
async fn a_partitioned_table_takes_the_same_writes() {
    let (columns, _) = TRACE_SPANS.split_once("create index").unwrap();
    let columns = columns
        .replace("bigserial primary key", "bigserial")
        .replace(
            "\n);",
            ",\n    primary key (id, started_at)\n) partition by range (started_at);",
        );
    let partitions = "create table early partition of trace_spans for values from (minvalue) to ('2025-01-01'); \
        create table late partition of trace_spans for values from ('2025-01-01') to (maxvalue); \
        create index on trace_spans (span_id, trace_id); create index on trace_spans (started_at)";
    let db = migrated(&[&columns, partitions]).await;
    let store = store::open(&db.url).await.unwrap();
    store.migrate().await.unwrap();
    for _ in 0..2 {
        let lines = (0..50).map(|number| start(&format!("{number:08x}"), 0));
        store.write(&batch(lines)).await.unwrap();
        let lines = (0..50).map(|number| success(&format!("{number:08x}"), 9, 9));
        store.write(&batch(lines)).await.unwrap();
    }
    let rows = "select tableoid::regclass || ' ' || count(*) || ' ' || min(status) from trace_spans group by tableoid";
    assert_eq!(db.texts(rows).await, ["late 50 completed"]);
    let sizes = store.sizes().await.unwrap();
    let spans = sizes.iter().find(|size| size.table == "public.trace_spans");
    assert!(spans.unwrap().bytes > 0);
    store.close().await;
}
