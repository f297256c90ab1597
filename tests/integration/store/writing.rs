//! What becomes of rows when observations arrive twice, late, out of order and from several writers.

use beacon_collector::model::{ExecutionLink, LossEntry, Span, SpanLink, SpanStatus, meta};
use beacon_collector::store::{Batch, Checkpoint, SpanQuestion, Written};
use serde_json::json;
use uuid::Uuid;

use crate::support::database::Database;
use crate::support::lines::{at, batch, failure, seen, start, step, success};

on_every_store!(
    a_replay_changes_nothing,
    what_a_large_batch_says_of_a_span_is_joined,
    a_late_end_after_a_restart_completes_the_row,
    a_start_after_its_end_renames_the_row,
    a_passed_deadline_is_corrected_by_a_late_end,
    a_checkpoint_is_stored_with_its_batch_and_replaced,
    a_batch_that_fails_moves_neither_rows_nor_checkpoint,
    writers_of_the_same_spans_leave_one_row_each,
    what_was_found_out_about_a_span_survives_a_replay,
    a_finding_never_overrules_what_a_line_said,
    the_same_span_of_a_sender_with_ids_replaces_its_row,
    rows_of_others_stay_as_they_are,
    a_row_that_the_table_refuses_is_set_aside_and_the_rest_stored,
    values_too_long_for_their_column_are_cut_and_kept_in_metadata,
    findings_and_losses_are_kept_once,
    the_changes_of_each_status_are_counted,
);

fn all() -> SpanQuestion {
    SpanQuestion::TraceRange(Uuid::nil(), Uuid::max())
}

async fn a_replay_changes_nothing(db: Database) {
    let mut loud = failure("00000002", 1_900, 700, "no such file");
    loud.traceback = Some("Traceback (most recent call last): …".into());
    let batches = [
        batch([start("00000001", 0), success("00000001", 2_500, 2_490)]),
        batch([step("00000002", 1_300, "Model validated"), loud]),
        batch([start("00000003", 50)]),
    ];
    for batch in &batches {
        db.store.write(batch).await.unwrap();
    }
    let once = db.dump().await;
    assert_eq!(once.len(), 3);
    for batch in batches.iter().rev() {
        let written = db.store.write(batch).await.unwrap();
        assert_eq!(written, Written::default());
    }
    assert_eq!(db.dump().await, once);
}

async fn what_a_large_batch_says_of_a_span_is_joined(db: Database) {
    let ids: Vec<_> = (0..700_u32)
        .map(|number| format!("{:08x}", number.wrapping_mul(2_654_435_761)))
        .collect();
    let starts = ids.iter().map(|id| start(id, 0));
    let steps = ids.iter().map(|id| step(id, 5, "Model validated"));
    let ends = ids.iter().map(|id| success(id, 10, 10));
    let lines = batch(starts.chain(steps).chain(ends));
    for inserted in [700, 0] {
        let written = db.store.write(&lines).await.unwrap();
        assert_eq!((written.inserted, written.updated), (inserted, 0));
    }
    let spans = db.store.spans(&all(), 1_000).await.unwrap();
    assert_eq!(spans.len(), 700);
    assert!(spans.iter().all(|span| {
        span.status == SpanStatus::Completed && span.metadata.contains_key(meta::EVENTS)
    }));
}

async fn a_late_end_after_a_restart_completes_the_row(db: Database) {
    let written = db
        .store
        .write(&batch([start("abc12345", 0)]))
        .await
        .unwrap();
    assert_eq!((written.inserted, written.updated), (1, 0));
    let open = db
        .store
        .spans(&SpanQuestion::OpenBefore(at(1)), 10)
        .await
        .unwrap();
    assert_eq!(open.len(), 1);
    assert_eq!(open[0].status, SpanStatus::Started);

    let restarted = db.reopen().await;
    let end = batch([success("abc12345", 2_450, 2_450)]);
    let written = restarted.write(&end).await.unwrap();
    assert_eq!((written.inserted, written.updated), (0, 1));
    let spans = restarted.spans(&all(), 10).await.unwrap();
    assert_eq!(spans.len(), 1);
    assert_eq!(spans[0].status, SpanStatus::Completed);
    assert_eq!(spans[0].duration_ms, Some(2_450));
    assert_eq!(spans[0].completed_at, Some(at(2_450)));
    assert_eq!(spans[0].metadata["tokens"], json!(156));
}

async fn a_start_after_its_end_renames_the_row(db: Database) {
    db.store
        .write(&batch([success("abc12345", 2_450, 2_440)]))
        .await
        .unwrap();
    let orphan = db.store.spans(&all(), 10).await.unwrap().remove(0);
    assert_eq!(orphan.metadata[meta::START_INFERRED], json!(true));

    db.store
        .write(&batch([start("abc12345", 0)]))
        .await
        .unwrap();
    let spans = db.store.spans(&all(), 10).await.unwrap();
    assert_eq!(spans.len(), 1);
    assert_ne!(spans[0].span_id, orphan.span_id);
    assert_eq!(spans[0].span_id, start("abc12345", 0).span_id());
    assert_eq!(
        (spans[0].started_at, spans[0].completed_at),
        (at(0), Some(at(2_450)))
    );
}

async fn a_passed_deadline_is_corrected_by_a_late_end(db: Database) {
    db.store
        .write(&batch([start("abc12345", 0)]))
        .await
        .unwrap();
    let mut passed = seen("abc12345");
    passed.start = start("abc12345", 0).start;
    passed.deadline_passed = true;
    db.store.write(&batch([passed.clone()])).await.unwrap();
    let spans = db.store.spans(&all(), 10).await.unwrap();
    assert_eq!(spans[0].status, SpanStatus::Timeout);
    assert_eq!(spans[0].metadata[meta::DEADLINE_PASSED], json!(true));

    db.store
        .write(&batch([success("abc12345", 900_000, 900_000)]))
        .await
        .unwrap();
    db.store.write(&batch([passed])).await.unwrap();
    let spans = db.store.spans(&all(), 10).await.unwrap();
    assert_eq!(spans.len(), 1);
    assert_eq!(spans[0].status, SpanStatus::Completed);
    assert_eq!(spans[0].metadata.get(meta::DEADLINE_PASSED), None);
}

async fn a_checkpoint_is_stored_with_its_batch_and_replaced(db: Database) {
    assert_eq!(db.store.checkpoint("file").await.unwrap(), None);
    for line in [1, 2] {
        let mut batch = batch([start("abc12345", 0)]);
        batch.checkpoints.push(checkpoint(line));
        db.store.write(&batch).await.unwrap();
    }
    let position = db.store.checkpoint("file").await.unwrap();
    assert_eq!(position, Some(json!({"offset": 2})));
}

async fn a_batch_that_fails_moves_neither_rows_nor_checkpoint(db: Database) {
    let mut first = batch([start("00000001", 0)]);
    first.checkpoints.push(checkpoint(1));
    db.store.write(&first).await.unwrap();
    let before = db.dump().await;

    let checkpoints = db.own("checkpoints");
    db.execute(&format!("alter table {checkpoints} rename to away"))
        .await;
    let mut second = batch([success("00000001", 9, 9), start("00000002", 0)]);
    second.checkpoints.push(checkpoint(2));
    assert!(db.store.write(&second).await.is_err());
    db.execute(&format!(
        "alter table {} rename to checkpoints",
        db.own("away")
    ))
    .await;
    assert_eq!(db.dump().await, before);
    let position = db.store.checkpoint("file").await.unwrap();
    assert_eq!(position, Some(json!({"offset": 1})));
}

async fn writers_of_the_same_spans_leave_one_row_each(db: Database) {
    let ids: Vec<_> = (0..300).map(|number| format!("{number:08x}")).collect();
    let starts = batch(ids.iter().map(|id| start(id, 0)));
    let ends = batch(ids.iter().rev().map(|id| success(id, 2_000, 1_990)));
    let writes = [&starts, &ends, &starts, &ends].map(|batch| {
        let batch = batch.clone();
        let url = db.url.clone();
        tokio::spawn(async move {
            let store = beacon_collector::store::open(&url).await.unwrap();
            store.write(&batch).await.unwrap()
        })
    });
    let mut inserted = 0;
    for write in writes {
        inserted += write.await.unwrap().inserted;
    }
    assert_eq!(inserted, 300);
    let spans = db.store.spans(&all(), 1_000).await.unwrap();
    assert_eq!(spans.len(), 300);
    assert!(spans.iter().all(|span| span.duration_ms == Some(2_000)));
}

async fn what_was_found_out_about_a_span_survives_a_replay(db: Database) {
    let lines = batch([start("abc12345", 0), success("abc12345", 900, 890)]);
    db.store.write(&lines).await.unwrap();
    let span = db.store.spans(&all(), 10).await.unwrap().remove(0);
    let finding = Batch {
        links: vec![link(span.span_id)],
        ..Batch::default()
    };
    let written = db.store.write(&finding).await.unwrap();
    assert_eq!(written.updated, 1);
    let linked = db.store.spans(&all(), 10).await.unwrap().remove(0);
    assert_eq!(linked.trace_id, link(span.span_id).trace_id);
    assert_eq!(linked.execution_id, Some(2379));
    assert_eq!(linked.model_id.as_deref(), Some("llama3.2-1b"));
    let by_its_id = SpanQuestion::SpanRange(span.span_id, span.span_id);
    assert_eq!(db.store.spans(&by_its_id, 10).await.unwrap(), [linked]);

    let once = db.dump().await;
    for again in [&lines, &finding, &lines] {
        let written = db.store.write(again).await.unwrap();
        assert_eq!(written, Written::default());
    }
    assert_eq!(db.dump().await, once);
}

async fn a_finding_never_overrules_what_a_line_said(db: Database) {
    let mut named = start("abc12345", 0);
    named.context.trace_id = Some(Uuid::from_u128(7));
    let mut both = batch([named.clone()]);
    both.links = vec![link(named.span_id())];
    db.store.write(&both).await.unwrap();
    let span = db.store.spans(&all(), 10).await.unwrap().remove(0);
    assert_eq!(span.trace_id, Uuid::from_u128(7));
    assert_eq!(span.execution_id, None);
}

async fn the_same_span_of_a_sender_with_ids_replaces_its_row(db: Database) {
    let mut span = start("abc12345", 0).to_span();
    span.trace_id = Uuid::from_u128(1);
    span.span_id = Uuid::from_u128(2);
    span.metadata.clear();
    let sent = |span: &Span| Batch {
        spans: vec![span.clone(), span.clone()],
        ..Batch::default()
    };
    let written = db.store.write(&sent(&span)).await.unwrap();
    assert_eq!((written.inserted, written.updated), (1, 0));
    let once = db.dump().await;
    assert_eq!(
        db.store.write(&sent(&span)).await.unwrap(),
        Written::default()
    );
    assert_eq!(db.dump().await, once);

    span.status = SpanStatus::Failed;
    let written = db.store.write(&sent(&span)).await.unwrap();
    assert_eq!((written.inserted, written.updated), (0, 1));
    let spans = db.store.spans(&all(), 10).await.unwrap();
    assert_eq!(spans.len(), 1);
    assert_eq!(spans[0].status, SpanStatus::Failed);
    assert!(spans[0].is_ours());
}

async fn rows_of_others_stay_as_they_are(db: Database) {
    // With the very ids that our rows get, twice, and with metadata of every kind.
    let id = start("abc12345", 0).span_id();
    for metadata in [
        "null",
        "'{}'",
        "'[1]'",
        "'\"text\"'",
        "'{\"log_id\":\"abc12345\"}'",
    ] {
        db.execute(&format!(
            "insert into trace_spans (trace_id, span_id, service, operation, started_at, status, \
             metadata) values ('{id}', '{id}', 'modal', 'inference', '{}', 'STARTED', {metadata})",
            at(0).to_rfc3339()
        ))
        .await;
    }
    let theirs = db.dump().await;
    let mut lines = batch([start("abc12345", 0), success("abc12345", 10, 10)]);
    lines.links = vec![link(id)];
    for _ in 0..2 {
        db.store.write(&lines).await.unwrap();
    }
    let rows = db.dump().await;
    assert_eq!(rows.len(), theirs.len() + 1);
    assert_eq!(rows[..theirs.len()], theirs);
}

async fn a_row_that_the_table_refuses_is_set_aside_and_the_rest_stored(db: Database) {
    db.execute(if db.is_sqlite() {
        // Like a constraint, it leaves the rows before it in place.
        "create trigger refuse before insert on trace_spans when new.error_message = 'refuse me' \
         begin select raise(fail, 'not in this table'); end"
    } else {
        "alter table trace_spans add constraint refuse check (error_message <> 'refuse me')"
    })
    .await;
    let lines = (0..100).map(|number| {
        let text = if number % 40 == 3 {
            "refuse me"
        } else {
            "fine"
        };
        failure(&format!("{number:08x}"), 500, 400, text)
    });
    let lines = batch(lines);
    for inserted in [97, 0] {
        let written = db.store.write(&lines).await.unwrap();
        assert_eq!((written.inserted, written.rejected), (inserted, 3));
    }
    assert_eq!(db.dump().await.len(), 97);
    let aside = db
        .texts(&format!("select span from {}", db.own("rejected_spans")))
        .await;
    assert_eq!(aside.len(), 3);
    assert!(aside.iter().all(|span| span.contains("refuse me")));
}

async fn values_too_long_for_their_column_are_cut_and_kept_in_metadata(db: Database) {
    let mut long = start("abc12345", 0);
    long.name = Some(("sérvice".repeat(20).into(), "operation".repeat(20).into()));
    long.model_id = Some("m".repeat(101).into());
    long.region = Some("r".repeat(51).into());
    long.fields.insert("nul\0key", json!("nul\0value"));
    let mut end = failure("abc12345", 9, 9, "text with \0 inside");
    if let Some(end) = &mut end.end {
        end.error_type = Some("E".repeat(101).into());
    }
    let lines = batch([long, end]);
    let written = db.store.write(&lines).await.unwrap();
    assert_eq!((written.inserted, written.rejected), (1, 0));
    let once = db.dump().await;
    assert_eq!(db.store.write(&lines).await.unwrap(), Written::default());
    assert_eq!(db.dump().await, once);
    let span = db.store.spans(&all(), 1).await.unwrap().remove(0);
    assert_eq!(span.service.chars().count(), 50);
    assert_eq!(span.metadata["full_service"], json!("sérvice".repeat(20)));
    assert_eq!(span.metadata["full_error_type"], json!("E".repeat(101)));
    assert_eq!(
        span.error_message.as_deref(),
        Some("text with \u{fffd} inside")
    );
}

async fn findings_and_losses_are_kept_once(db: Database) {
    let found = |confidence| ExecutionLink {
        trace_id: Uuid::from_u128(1),
        execution_id: 2379,
        method: "time".into(),
        confidence,
    };
    let lost = |lost| LossEntry {
        source: "modal:app".into(),
        from: at(0),
        to: at(5_000),
        reason: "spool full".into(),
        lost,
    };
    for (confidence, count) in [(0.5, 7), (0.9, 3)] {
        let batch = Batch {
            execution_links: vec![found(confidence)],
            losses: vec![lost(count), lost(1)],
            ..Batch::default()
        };
        db.store.write(&batch).await.unwrap();
    }
    let by_trace = db
        .store
        .execution_links(&[Uuid::from_u128(1)])
        .await
        .unwrap();
    assert_eq!(by_trace, [found(0.9)]);
    assert_eq!(
        db.store.losses(at(4_000), at(9_000)).await.unwrap(),
        [lost(7)]
    );
    assert_eq!(db.store.losses(at(5_001), at(9_000)).await.unwrap(), []);
}

async fn the_changes_of_each_status_are_counted(db: Database) {
    let lines = batch([
        start("00000001", 0),
        start("00000002", 0),
        success("00000003", 5, 5),
    ]);
    let written = db.store.write(&lines).await.unwrap();
    assert_eq!(written.statuses, [2, 0, 1, 0]);
    let lines = batch([success("00000001", 5, 5), failure("00000002", 5, 5, "no")]);
    let written = db.store.write(&lines).await.unwrap();
    assert_eq!(written.statuses, [-2, 0, 1, 1]);
}

fn checkpoint(offset: u64) -> Checkpoint {
    Checkpoint {
        source: "file".into(),
        position: json!({"offset": offset}),
        fence: 0,
    }
}

/// A finding that joins a span to an execution's trace.
fn link(span_id: Uuid) -> SpanLink {
    SpanLink {
        span_id,
        trace_id: Uuid::from_u128(42),
        parent_span_id: Some(Uuid::from_u128(43)),
        execution_id: Some(2379),
        job_id: Some("bias-detection-1761140904034".into()),
        model_id: Some("another".into()),
        region: None,
        link: json!({"method": "time", "confidence": 0.93}),
    }
}
