//! What becomes of rows when observations arrive twice, late, out of order and from several writers.

use beacon_collector::model::{SpanStatus, meta};
use beacon_collector::store::{Checkpoint, SpanQuestion, Written};
use serde_json::json;
use uuid::Uuid;

use crate::support::database::Database;
use crate::support::lines::{at, batch, failure, seen, start, step, success};

on_every_store!(
    a_replay_changes_nothing,
    a_late_end_after_a_restart_completes_the_row,
    a_start_after_its_end_renames_the_row,
    a_passed_deadline_is_corrected_by_a_late_end,
    a_checkpoint_is_stored_with_its_batch_and_replaced,
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
        let mut batch = batch([start("abc12345", line)]);
        batch.checkpoints.push(Checkpoint {
            source: "file".into(),
            position: json!({"offset": line}),
        });
        db.store.write(&batch).await.unwrap();
    }
    let position = db.store.checkpoint("file").await.unwrap();
    assert_eq!(position, Some(json!({"offset": 2})));
}
