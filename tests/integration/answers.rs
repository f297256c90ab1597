//! What an answer costs: a bounded number of questions to the database, each served by an index.

use std::time::{Duration, Instant};

use beacon_collector::query::{Query, Tool};
use serde_json::{Value, json};

use crate::support::counting::Counting;
use crate::support::database::{self, Database};
use crate::support::world;

/// Questions to the database that any answer takes at most.
const MOST: usize = 24;

fn questions() -> Vec<(Tool, Value)> {
    let range = json!({ "since": "2025-10-22", "until": "2025-10-23" });
    let with = |more: Value| {
        let mut all = range.as_object().unwrap().clone();
        all.extend(more.as_object().unwrap().clone());
        Value::Object(all)
    };
    vec![
        (
            Tool::DiagnoseExecution,
            json!({ "execution_id": world::FAILED }),
        ),
        (Tool::FindTimeoutRootCause, json!({ "job_id": world::JOB })),
        (
            Tool::CompareWithSuccessful,
            json!({ "execution_id": world::FAILED }),
        ),
        (Tool::GetRecentFailures, json!({})),
        (
            Tool::GetRecentFailures,
            json!({ "model_id": "llama3.2-1b", "region": "US", "limit": 100 }),
        ),
        (Tool::AnalyzePerformance, json!({})),
        (
            Tool::AnalyzePerformance,
            json!({ "since": "2025-10-20", "region": "US" }),
        ),
        (Tool::FindTraceGaps, json!({ "trace_id": world::TRACE })),
        (Tool::GetTrace, json!({ "trace_id": world::TRACE })),
        (
            Tool::GetTrace,
            json!({ "trace_id": "00000000-0000-4000-8000-000000002301", "span_id": "0000" }),
        ),
        (Tool::SearchSpans, with(json!({ "status": "failed" }))),
        (
            Tool::SearchSpans,
            with(json!({ "text": "no such words", "service": "router" })),
        ),
        (
            Tool::SearchSpans,
            with(json!({ "job_id": world::JOB, "min_duration_ms": 1 })),
        ),
        (Tool::CollectorStatus, json!({})),
    ]
}

async fn with_world(database: &Database) {
    database.add_runner_tables().await;
    database.execute(&world::sql()).await;
}

/// Many more jobs, executions and spans like those that are there.
const MANY_MORE: &str = "
    insert into jobs (id, jobspec_id, jobspec_data, status, created_at)
        select id + 100, jobspec_id || '-2', jobspec_data, status, created_at from jobs;
    with recursive n(n) as (select 1 union all select n + 1 from n where n < 60)
    insert into executions (id, job_id, provider_id, region, status, started_at, completed_at, created_at, model_id)
        select id + n * 10000, job_id, provider_id, region, status, started_at, completed_at, created_at, model_id
        from executions, n;
    with recursive n(n) as (select 1 union all select n + 1 from n where n < 60)
    insert into trace_spans (trace_id, span_id, service, operation, started_at, completed_at, duration_ms, status,
            execution_id, metadata)
        select printf('%08x', n) || substr(trace_id, 9), printf('%08x', n) || substr(span_id, 9), service, operation,
            started_at, completed_at, duration_ms, status, execution_id + n * 10000, metadata
        from trace_spans, n;";

#[tokio::test]
async fn an_answer_takes_as_many_questions_on_much_as_on_little_and_few() {
    let database = database::sqlite().await;
    with_world(&database).await;
    let mut before = Vec::new();
    for more in [None, Some(MANY_MORE)] {
        if let Some(more) = more {
            database.execute(more).await;
        }
        for (at, (tool, arguments)) in questions().into_iter().enumerate() {
            let store = Counting::new(database.reopen().await);
            let arguments = arguments.as_object().unwrap().clone();
            let asked = format!("{} {arguments:?}", tool.name());
            // A Query of its own each time: nothing is remembered from the one before.
            Query::new(store.clone())
                .ask(tool, arguments)
                .await
                .unwrap();
            let count = store.take();
            assert!((1..=MOST).contains(&count), "{asked}: {count}");
            match before.get(at) {
                None => before.push(count),
                Some(before) => assert!(count <= *before + 1, "{asked}: {count}, {before} before"),
            }
        }
    }
}

#[tokio::test]
async fn every_question_to_postgres_is_served_by_an_index() {
    let database = database::postgres().await;
    with_world(&database).await;
    // A table that came after the first start gets its indexes at the next.
    database.reopen().await.migrate().await.unwrap();
    // So that a whole table is only read where there is no other way.
    let name = database.url.rsplit_once('/').unwrap().1;
    database
        .execute(&format!("alter database {name} set enable_seqscan = off"))
        .await;
    let read_whole = "select relname || ' ' || seq_scan from pg_stat_user_tables \
         where relname in ('trace_spans', 'executions', 'jobs', 'execution_links', 'loss_ledger') order by 1";
    let settled = async || {
        // Processes report what they did when they end, at the latest.
        let began = Instant::now();
        let mut seen = database.texts(read_whole).await;
        while began.elapsed() < Duration::from_secs(30) {
            tokio::time::sleep(Duration::from_millis(300)).await;
            let again = database.texts(read_whole).await;
            if again == seen {
                break;
            }
            seen = again;
        }
        seen
    };
    let before = settled().await;
    let store = database.reopen().await;
    let query = Query::new(store.clone());
    for (tool, arguments) in questions() {
        let arguments = arguments.as_object().unwrap().clone();
        query.ask(tool, arguments).await.unwrap();
    }
    store.close().await;
    assert_eq!(settled().await, before);
}
