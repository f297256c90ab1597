//! Each question finds what it asks for, in the order that it promises, whoever wrote the rows.

use beacon_collector::model::{Execution, ExecutionLink, Span, SpanStatus, Tally, meta};
use beacon_collector::store::{Batch, ExecutionQuestion, SpanQuestion, Window};
use chrono::SecondsFormat;
use serde_json::json;
use uuid::Uuid;

use crate::support::database::Database;
use crate::support::lines::{at, batch, start, success};

on_every_store!(
    spans_are_found_by_trace_execution_and_ranges_of_ids,
    an_execution_finds_the_whole_of_the_traces_that_are_linked_to_it,
    only_open_spans_of_ours_are_swept,
    failed_spans_come_newest_first,
    a_window_shows_the_asked_services,
    unlinked_spans_are_those_that_are_their_own_trace,
    printed_and_written_spans_are_told_apart_in_a_window,
    whatever_others_write_can_be_read,
    executions_are_found_newest_first_with_their_jobs_public_id,
    recent_executions_are_filtered_and_counted_without_the_limit,
    a_tally_counts_like_with_like_and_means_what_they_took,
    executions_that_overlap_an_interval_are_found,
    a_job_is_found_by_its_public_id_before_its_key,
);

/// A row of another service, `ms` after the epoch.
async fn theirs(db: &Database, span: u128, service: &str, status: &str, ms: i64) {
    db.execute(&format!(
        "insert into trace_spans (trace_id, span_id, service, operation, started_at, status, \
         execution_id, metadata) values ('{}', '{}', '{service}', 'call', '{}', '{status}', 2379, \
         '{{\"job_id\": \"quoted\"}}')",
        Uuid::from_u128(7),
        Uuid::from_u128(span),
        at(ms).to_rfc3339_opts(chrono::SecondsFormat::Micros, true),
    ))
    .await;
}

async fn ask(db: &Database, question: SpanQuestion) -> Vec<Span> {
    db.store.spans(&question, 100).await.unwrap()
}

fn ids(spans: &[Span]) -> Vec<u128> {
    spans.iter().map(|span| span.span_id.as_u128()).collect()
}

async fn spans_are_found_by_trace_execution_and_ranges_of_ids(db: Database) {
    theirs(&db, 2, "router", "completed", 5).await;
    theirs(&db, 1, "runner", "completed", 5).await;
    theirs(&db, 3, "runner", "completed", 0).await;
    db.store
        .write(&batch([start("abc12345", 0)]))
        .await
        .unwrap();
    let ours = start("abc12345", 0).span_id();

    let trace = Uuid::from_u128(7);
    let by_trace = ask(&db, SpanQuestion::Traces(vec![trace, Uuid::from_u128(8)])).await;
    assert_eq!(ids(&by_trace), [3, 1, 2]);
    assert_eq!(by_trace[0].job(), Some("quoted"));
    assert_eq!(of_executions(&db, &[2379]).await.0, by_trace);
    let high = Uuid::from_u128(0xffff);
    assert_eq!(
        ask(&db, SpanQuestion::TraceRange(trace, high)).await,
        by_trace
    );

    let (low, high) = beacon_collector::model::log_id_range("abc12345");
    let by_log_id = ask(&db, SpanQuestion::SpanRange(low, high)).await;
    assert_eq!(ids(&by_log_id), [ours.as_u128()]);
    let all = SpanQuestion::SpanRange(Uuid::nil(), Uuid::max());
    assert_eq!(ask(&db, all).await, by_log_id);
    let two = db.store.spans(&SpanQuestion::Traces(vec![trace]), 2).await;
    assert_eq!(ids(&two.unwrap()), [3, 1]);
}

async fn an_execution_finds_the_whole_of_the_traces_that_are_linked_to_it(db: Database) {
    theirs(&db, 1, "runner", "completed", 5).await;
    theirs(&db, 2, "router", "completed", 6).await;
    // One of them names another execution, and a link says that the trace is 5's.
    db.execute("update trace_spans set execution_id = null where service = 'router'")
        .await;
    let link = |execution_id| ExecutionLink {
        trace_id: Uuid::from_u128(7),
        execution_id,
        method: "fit".into(),
        confidence: 0.9,
    };
    let of_nothing = ExecutionLink {
        trace_id: Uuid::from_u128(9),
        ..link(5)
    };
    let links = Batch {
        execution_links: vec![link(5), link(7), of_nothing],
        ..Batch::default()
    };
    db.store.write(&links).await.unwrap();
    let (found, known) = of_executions(&db, &[2379]).await;
    assert_eq!((ids(&found), known), (vec![1, 2], vec![]));
    let (found, known) = of_executions(&db, &[5]).await;
    assert_eq!((ids(&found), known), (vec![1, 2], vec![link(5)]));
    assert_eq!(of_executions(&db, &[6]).await, (vec![], vec![]));
    // Two that share a trace see each of its spans once, and every link.
    let (found, known) = of_executions(&db, &[5, 2379, 7]).await;
    assert_eq!((ids(&found), known), (vec![1, 2], vec![link(5), link(7)]));
}

async fn of_executions(db: &Database, ids: &[i64]) -> (Vec<Span>, Vec<ExecutionLink>) {
    db.store.spans_of_executions(ids, 100).await.unwrap()
}

async fn only_open_spans_of_ours_are_swept(db: Database) {
    theirs(&db, 1, "runner", "started", 0).await;
    db.store
        .write(&batch([
            start("00000002", 20),
            start("00000001", 10),
            start("00000003", 30),
            start("00000004", 5),
            success("00000004", 9, 4),
        ]))
        .await
        .unwrap();
    let open = ask(&db, SpanQuestion::OpenBefore(at(30))).await;
    let started: Vec<_> = open.iter().map(|span| span.started_at).collect();
    assert_eq!(started, [at(10), at(20)]);
}

async fn failed_spans_come_newest_first(db: Database) {
    theirs(&db, 1, "runner", "FAILED", 10).await;
    theirs(&db, 2, "router", "timeout", 30).await;
    theirs(&db, 3, "router", "completed", 20).await;
    theirs(&db, 4, "router", "error", 40).await;
    let question = SpanQuestion::Failed {
        from: at(10),
        to: at(40),
    };
    let failed = ask(&db, question).await;
    assert_eq!(ids(&failed), [2, 1]);
    assert_eq!(failed[0].status, SpanStatus::Timeout);
    assert_eq!(failed[1].status, SpanStatus::Failed);
}

async fn a_window_shows_the_asked_services(db: Database) {
    theirs(&db, 1, "runner", "completed", 10).await;
    theirs(&db, 2, "router", "completed", 20).await;
    theirs(&db, 3, "backend", "completed", 20).await;
    theirs(&db, 4, "runner", "completed", 30).await;
    let question = SpanQuestion::Window {
        services: vec!["runner".into(), "router".into()],
        from: at(10),
        to: at(30),
    };
    assert_eq!(ids(&ask(&db, question).await), [1, 2]);
}

async fn unlinked_spans_are_those_that_are_their_own_trace(db: Database) {
    theirs(&db, 1, "runner", "completed", 10).await;
    let mut linked = start("00000001", 10);
    linked.context.trace_id = Some(Uuid::from_u128(7));
    let alone = start("00000002", 11);
    let id = alone.span_id();
    db.store.write(&batch([linked, alone])).await.unwrap();
    let question = SpanQuestion::Unlinked {
        from: at(0),
        to: at(20),
    };
    assert_eq!(ids(&ask(&db, question).await), [id.as_u128()]);
}

async fn printed_and_written_spans_are_told_apart_in_a_window(db: Database) {
    for (span, began, ended) in [
        (1, 10, 20),
        (2, 10, 40),
        (3, 45, 90),
        (4, 60, 70),
        (5, 2, 90),
    ] {
        theirs(&db, span, "router", "completed", began).await;
        let ended = at(ended).to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
        let span = Uuid::from_u128(span);
        db.execute(&format!(
            "update trace_spans set completed_at = '{ended}' where span_id = '{span}'"
        ))
        .await;
    }
    theirs(&db, 6, "router", "started", 11).await;
    // Metadata that is no object, and none at all.
    db.execute(&format!(
        "update trace_spans set metadata = null where span_id = '{}'",
        Uuid::from_u128(2)
    ))
    .await;
    let ours = [start("00000001", 30), start("00000002", 60)];
    let mut sent = ours[0].to_span();
    sent.span_id = Uuid::from_u128(9);
    sent.service = "router".into();
    sent.metadata.remove(meta::LOG_ID);
    let mut batch = batch(ours.clone());
    batch.spans.push(sent);
    db.store.write(&batch).await.unwrap();
    let (from, to) = (at(30), at(60));
    assert_eq!(
        ids(&ask(&db, SpanQuestion::Printed { from, to }).await),
        [ours[0].span_id().as_u128()]
    );
    let since = at(5);
    let others = ask(&db, SpanQuestion::Written { since, from, to }).await;
    assert_eq!(ids(&others), [2, 6, 9, 3]);
}

async fn whatever_others_write_can_be_read(db: Database) {
    let odd = [
        ("'[1, 2]'", json!({"value": [1, 2]})),
        ("'7'", json!({"value": 7})),
        ("null", json!({})),
        ("'null'", json!({})),
        ("'{\"a\": {\"b\": null}}'", json!({"a": {"b": null}})),
    ];
    for (number, (metadata, _)) in odd.iter().enumerate() {
        db.execute(&format!(
            "insert into trace_spans (trace_id, span_id, service, operation, started_at, \
             completed_at, duration_ms, status, metadata) values ('{}', '{}', '', '', '{}', '{}', \
             -5, 'weird', {metadata})",
            Uuid::from_u128(7),
            Uuid::from_u128(number as u128),
            at(5).to_rfc3339_opts(chrono::SecondsFormat::Micros, true),
            at(0).to_rfc3339_opts(chrono::SecondsFormat::Micros, true),
        ))
        .await;
    }
    let spans = ask(&db, SpanQuestion::Traces(vec![Uuid::from_u128(7)])).await;
    assert_eq!(spans.len(), odd.len());
    for (span, (_, metadata)) in spans.iter().zip(odd) {
        assert_eq!(json!(span.metadata), metadata);
        assert_eq!(span.duration_ms, Some(-5));
        assert_eq!(span.status, SpanStatus::Started);
        assert!(!span.is_ours());
    }
}

/// Two jobs and executions 1 to 5, one a second.
async fn add_executions(db: &Database) {
    db.add_runner_tables().await;
    let time = |ms| at(ms).to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
    db.execute(&format!(
        "insert into jobs (id, jobspec_id, jobspec_data, status, created_at) values \
         (1, 'bias-detection-1', '{{}}', 'completed', '{0}'), (2, '1', '{{}}', 'queued', '{0}')",
        time(0)
    ))
    .await;
    let rows = [
        (1, "1", "US", "completed", "llama3.2-1b"),
        (2, "1", "EU", "failed", "llama3.2-1b"),
        (3, "2", "us", "timeout", "qwen2.5-1.5b"),
        (4, "null", "ASIA", "running", "llama3.2-1b"),
        (5, "1", "US", "Failed", "qwen2.5-1.5b"),
    ];
    for (id, job, region, status, model) in rows {
        db.execute(&format!(
            "insert into executions (id, job_id, provider_id, region, status, started_at, \
             completed_at, created_at, model_id, output_data) values ({id}, {job}, 'modal', \
             '{region}', '{status}', '{}', '{}', '{}', '{model}', '{{\"error\": \"no\"}}')",
            time(id * 1_000 - 500),
            time(id * 1_000 - 1),
            time(id * 1_000)
        ))
        .await;
    }
}

async fn executions_are_found_newest_first_with_their_jobs_public_id(db: Database) {
    let asked = ExecutionQuestion::Ids(vec![1, 2, 99]);
    assert_eq!(db.store.executions(&asked, 10).await.unwrap(), []);
    assert_eq!(db.store.count_executions(&asked).await.unwrap(), 0);
    add_executions(&db).await;
    let found = db.store.executions(&asked, 10).await.unwrap();
    assert_eq!(execution_ids(&found), [2, 1]);
    let expected = Execution {
        id: 1,
        job_key: Some(1),
        job_id: Some("bias-detection-1".into()),
        provider_id: "modal".into(),
        region: "US".into(),
        status: "completed".into(),
        started_at: Some(at(500)),
        completed_at: Some(at(999)),
        created_at: Some(at(1_000)),
        model_id: Some("llama3.2-1b".into()),
        question_id: None,
        output_data: Some(json!({"error": "no"})),
    };
    assert_eq!(found[1], expected);
    let of_job = ExecutionQuestion::Job(1);
    let found = db.store.executions(&of_job, 2).await.unwrap();
    assert_eq!(execution_ids(&found), [5, 2]);
    assert_eq!(db.store.count_executions(&of_job).await.unwrap(), 3);
}

async fn recent_executions_are_filtered_and_counted_without_the_limit(db: Database) {
    add_executions(&db).await;
    let recent =
        |failed_only, model: Option<&str>, region: Option<&str>| ExecutionQuestion::Recent {
            from: at(1_000),
            to: at(5_001),
            failed_only,
            model_id: model.map(str::to_owned),
            region: region.map(str::to_owned),
        };
    let cases = [
        (recent(false, None, None), vec![5, 4, 3, 2, 1]),
        (recent(true, None, None), vec![5, 3, 2]),
        (recent(true, Some("qwen2.5-1.5b"), None), vec![5, 3]),
        (recent(true, None, Some("US")), vec![5, 3]),
    ];
    for (question, expected) in cases {
        let found = db.store.executions(&question, 100).await.unwrap();
        assert_eq!(execution_ids(&found), expected);
        let first = db.store.executions(&question, 1).await.unwrap();
        assert_eq!(execution_ids(&first), expected[..1]);
        let count = db.store.count_executions(&question).await.unwrap();
        assert_eq!(count, expected.len() as u64);
    }
}

async fn a_tally_counts_like_with_like_and_means_what_they_took(db: Database) {
    let window = Window {
        from: at(0),
        to: at(100_000),
        model_id: None,
        region: Some("us".to_owned()),
    };
    let asked = db.store.tally_executions(&window, 100).await.unwrap();
    assert_eq!(asked, []);
    db.add_runner_tables().await;
    let ended = [
        // Model, region, status, start and end in ms.
        ("a", "US", "completed", 1_000, Some(3_501)),
        ("a", "US", "completed", 1_000, Some(3_503)),
        ("a", "US", "completed", 1_000, Some(1_250)),
        ("a", "US", "failed", 1_000, Some(1_250)),
        // By a clock that was set back.
        ("b", "us", "completed", 1_000, Some(900)),
        ("b", "us", "running", 1_000, None),
        ("c", "EU", "completed", 1_000, Some(2_000)),
    ];
    for (number, (model, region, status, start, end)) in ended.into_iter().enumerate() {
        let time = |ms| format!("'{}'", at(ms).to_rfc3339_opts(SecondsFormat::Micros, true));
        db.execute(&format!(
            "insert into executions (id, provider_id, region, status, started_at, completed_at, created_at, model_id) \
             values ({}, '', '{region}', '{status}', {}, {}, {}, '{model}')",
            number + 1,
            time(start),
            end.map_or("null".to_owned(), time),
            time(4_000 + number as i64),
        ))
        .await;
    }
    let tally = |model: &str, region: &str, status: &str, count, took_ms: Option<f64>| Tally {
        model_id: Some(model.to_owned()),
        region: region.to_owned(),
        status: status.to_owned(),
        ended: took_ms.is_some(),
        count,
        took_ms,
    };
    let found = db.store.tally_executions(&window, 100).await.unwrap();
    let expected = [
        tally("a", "US", "completed", 1, Some(250.0)),
        tally("a", "US", "completed", 2, Some(2_502.0)),
        tally("a", "US", "failed", 1, Some(250.0)),
        tally("b", "us", "completed", 1, Some(0.0)),
        tally("b", "us", "running", 1, None),
    ];
    assert_eq!(found, expected);
    let newest = db.store.tally_executions(&window, 2).await.unwrap();
    assert_eq!(newest, expected[3..]);
    let of_a = Window {
        model_id: Some("a".to_owned()),
        region: None,
        ..window
    };
    let found = db.store.tally_executions(&of_a, 100).await.unwrap();
    assert_eq!(found, expected[..3]);
}

async fn executions_that_overlap_an_interval_are_found(db: Database) {
    add_executions(&db).await;
    let question = ExecutionQuestion::Overlapping {
        from: at(2_000),
        to: at(3_500),
    };
    let found = db.store.executions(&question, 10).await.unwrap();
    assert_eq!(execution_ids(&found), [3]);
    db.execute("update executions set completed_at = null where id = 2")
        .await;
    let found = db.store.executions(&question, 10).await.unwrap();
    assert_eq!(execution_ids(&found), [3, 2]);
    assert_eq!(db.store.count_executions(&question).await.unwrap(), 2);
}

async fn a_job_is_found_by_its_public_id_before_its_key(db: Database) {
    assert_eq!(db.store.job("bias-detection-1").await.unwrap(), None);
    add_executions(&db).await;
    for (id, key) in [("bias-detection-1", 1), ("1", 2), ("2", 2)] {
        let job = db.store.job(id).await.unwrap().unwrap();
        assert_eq!(job.key, key, "{id}");
        assert_eq!(job.created_at, Some(at(0)));
    }
    assert_eq!(db.store.job("no such job").await.unwrap(), None);
}

fn execution_ids(executions: &[Execution]) -> Vec<i64> {
    executions.iter().map(|execution| execution.id).collect()
}
