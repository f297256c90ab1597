//! Who alone has written spans to a database looks nothing up there; whoever comes beside it ends that.

use std::time::Duration;

use beacon_collector::model::SpanStatus;
use beacon_collector::store::{Batch, SpanQuestion, Written};
use uuid::Uuid;

use crate::support::database::{Database, postgres, sqlite};
use crate::support::lines::{batch, start, step, success};

on_every_store!(
    what_it_wrote_itself_is_found,
    what_another_has_written_meanwhile_is_found,
    each_shard_is_lost_by_itself,
);

/// Ids of log lines that fall in every shard.
fn ids(numbers: std::ops::Range<u32>) -> Vec<String> {
    numbers
        .map(|number| format!("{:08x}", number.wrapping_mul(2_654_435_761)))
        .collect()
}

/// How often rows of ours were looked for by their ids, once the server has counted `inserted` rows.
async fn look_ups(db: &Database, inserted: usize) -> i64 {
    let sql = "select t.n_tup_ins || ' ' || i.idx_scan from pg_stat_user_tables t \
        join pg_stat_user_indexes i using (relid) \
        where t.relname = 'trace_spans' and i.indexrelname = 'beacon_own_spans'";
    loop {
        let counted = db.texts(sql).await.remove(0);
        let (rows, scans) = counted.split_once(' ').unwrap();
        if rows == inserted.to_string() {
            return scans.parse().unwrap();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn assert_completed(db: &Database, spans: usize) {
    let all = SpanQuestion::SpanRange(Uuid::nil(), Uuid::max());
    let found = db.store.spans(&all, 10_000).await.unwrap();
    assert_eq!(found.len(), spans);
    let is_whole = |status, took| status == SpanStatus::Completed && took == Some(2_000);
    assert!(
        found
            .iter()
            .all(|span| is_whole(span.status, span.duration_ms))
    );
}

#[tokio::test]
async fn a_first_load_looks_nothing_up() {
    let db = postgres().await;
    for numbers in [0..500, 500..1_000] {
        let lines = ids(numbers)
            .into_iter()
            .flat_map(|id| [start(&id, 0), success(&id, 2_000, 1_990)]);
        db.store.write(&batch(lines)).await.unwrap();
    }
    // Only then does the server count all that they did.
    db.store.close().await;
    let first = look_ups(&db, 1_000).await;
    assert!(first < 20, "{first}");

    let second = db.reopen().await;
    let lines = ids(1_000..1_500).into_iter().map(|id| start(&id, 0));
    second.write(&batch(lines)).await.unwrap();
    second.close().await;
    let then = look_ups(&db, 1_500).await;
    assert!(then - first >= 500, "{then}");
}

async fn what_it_wrote_itself_is_found(db: Database) {
    let ids = ids(0..200);
    let ends = ids.iter().map(|id| success(id, 2_000, 1_990));
    let starts = ids.iter().map(|id| start(id, 0));
    assert_eq!(db.store.write(&batch(ends)).await.unwrap().inserted, 200);
    assert_eq!(db.store.write(&batch(starts)).await.unwrap().updated, 200);
    assert_completed(&db, 200).await;
}

/// An end without its start has an id that its start doesn't lead to, so no unique key would notice.
async fn what_another_has_written_meanwhile_is_found(db: Database) {
    let (before, between) = (ids(0..100), ids(100..200));
    let whole = |id: &String| [start(id, 0), success(id, 2_000, 1_990)];
    let lines = before.iter().flat_map(whole);
    db.store.write(&batch(lines)).await.unwrap();

    let other = db.reopen().await;
    let ends = between.iter().map(|id| success(id, 2_000, 1_990));
    other.write(&batch(ends)).await.unwrap();

    let starts = between.iter().map(|id| start(id, 0));
    let written = db.store.write(&batch(starts)).await.unwrap();
    assert_eq!((written.inserted, written.updated), (0, 100));
    assert_completed(&db, 200).await;
}

/// The other one writes to a shard of which nothing has been written yet, and takes that one alone.
async fn each_shard_is_lost_by_itself(db: Database) {
    db.store
        .write(&batch([step("00000000", 0, "Loading")]))
        .await
        .unwrap();
    let ids = ids(0..40);
    let other = db.reopen().await;
    for id in &ids {
        let (first, then) = (success(id, 2_000, 1_990), start(id, 0));
        other.write(&batch([first])).await.unwrap();
        let written = db.store.write(&batch([then])).await.unwrap();
        assert_eq!(written.updated, 1, "{id}");
    }
}

/// A span that another one writes by the back door, between two writes of the first.
async fn written_behind_its_back(db: &Database) -> Batch {
    let whole = batch([start("abc12345", 0), success("abc12345", 2_000, 1_990)]);
    let first = batch([step("00000000", 0, "Loading")]);
    db.store.write(&first).await.unwrap();
    let table = db.own("shard_writers");
    let writer = db.texts(&format!("select writer || '' from {table}")).await;
    db.reopen().await.write(&whole).await.unwrap();
    db.execute(&format!("update {table} set writer = '{}'", writer[0]))
        .await;
    whole
}

/// What is not looked up isn't found: whoever writes has to enter itself.
#[tokio::test]
async fn a_first_load_looks_nothing_up_in_a_file() {
    let db = sqlite().await;
    let whole = written_behind_its_back(&db).await;
    assert_eq!(db.store.write(&whole).await.unwrap().inserted, 1);
    // Now it is known.
    assert_eq!(db.store.write(&whole).await.unwrap(), Written::default());
}

#[tokio::test]
async fn rows_with_the_same_ids_are_never_doubled_where_a_unique_index_is() {
    let db = postgres().await;
    let whole = written_behind_its_back(&db).await;
    assert_eq!(db.store.write(&whole).await.unwrap(), Written::default());
}
