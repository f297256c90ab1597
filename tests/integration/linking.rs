//! Printed spans find their callers and executions in the store, whatever comes first.

use std::sync::Arc;

use beacon_collector::model::{
    End, Moment, Observation, Outcome, Precision, Regions, Span, SpanKey, meta,
};
use beacon_collector::pipeline::{LinkSummary, Linker, Stats};
use beacon_collector::store::{Batch, SpanQuestion};
use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use uuid::Uuid;

use crate::support::database::Database;

on_every_store!(
    the_users_own_sql_finds_printed_spans_by_their_execution,
    linking_again_changes_nothing,
    empty_years_are_passed_in_one_step,
    lines_that_come_again_leave_the_link,
    rows_of_services_are_never_touched,
    a_log_that_nobody_traced_is_left_alone,
    a_span_that_came_before_its_callers_row_is_linked_later,
    an_execution_that_is_written_later_is_filled_in,
    collectors_that_link_at_once_do_what_one_does,
    what_was_printed_amid_a_crowd_is_passed_over_and_counted,
    more_printed_spans_than_are_read_at_once_are_all_looked_at,
);

/// A whole second, some hours ago: history.
fn history() -> DateTime<Utc> {
    (Utc::now() - TimeDelta::hours(5))
        .duration_trunc(TimeDelta::seconds(1))
        .unwrap()
}

fn ms(count: i64) -> TimeDelta {
    TimeDelta::milliseconds(count)
}

fn text(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
}

/// What Modal printed of call `number`: from `at`, for `took` ms, by the second.
fn printed(number: u32, at: DateTime<Utc>, took: i64) -> Observation {
    let log_id = format!("{number:08x}");
    let container = format!("ta-{number}");
    let moment = |at: DateTime<Utc>| Moment {
        at: at.duration_trunc(TimeDelta::seconds(1)).unwrap(),
        precision: Precision::Second,
    };
    let mut seen = Observation::new(
        SpanKey {
            log_id: log_id.into(),
            scope: container.as_str().into(),
        },
        "test",
    );
    seen.name = Some(("modal".into(), "inference".into()));
    seen.container_id = Some(container.into());
    seen.model_id = Some("llama3.2-1b".into());
    seen.region = Some("us-east".into());
    seen.start = Some(moment(at));
    seen.end = Some(End {
        moment: moment(at + ms(took)),
        outcome: Outcome::Completed,
        reported_us: Some(took * 1000),
        error_type: None,
        error_message: None,
    });
    seen
}

/// What runner and router wrote of call `number`, the call to Modal from `at` for `took` ms.
async fn traced(db: &Database, number: u32, at: DateTime<Utc>, took: i64) {
    let id = |span: u128| Uuid::from_u128(u128::from(number) * 16 + span);
    let runner = format!(
        r#"{{"job_id": "job-{number}", "model_id": "llama3.2-1b", "region": "US", "question_id": "q1"}}"#
    );
    let router = r#"{"model": "llama3.2-1b", "region": "US"}"#;
    let spans = [
        (1, "runner", "execute_question", 40, runner.as_str()),
        (2, "runner", "hybrid_router_call", 30, &runner),
        (3, "router", "inference_request", 10, router),
        (4, "router", "modal_call", 0, router),
    ];
    for (span, service, operation, around, metadata) in spans {
        let parent = if span == 1 {
            "null".to_owned()
        } else {
            format!("'{}'", id(span - 1))
        };
        db.execute(&format!(
            "insert into trace_spans (trace_id, span_id, parent_span_id, service, operation, \
             started_at, completed_at, status, metadata) values ('{}', '{}', {parent}, \
             '{service}', '{operation}', '{}', '{}', 'completed', '{metadata}')",
            id(0),
            id(span),
            text(at - ms(around)),
            text(at + ms(took + around)),
        ))
        .await;
    }
}

/// The execution row of call `number`, written when it ends.
async fn executed(db: &Database, number: u32, at: DateTime<Utc>, took: i64) {
    let naive = |at| text(at).replace('Z', if db.is_sqlite() { "Z" } else { "" });
    let (began, ended) = (naive(at - ms(40)), naive(at + ms(took + 40)));
    db.execute(&format!(
        "insert into jobs (id, jobspec_id, jobspec_data) values ({number}, 'job-{number}', '{{}}')"
    ))
    .await;
    db.execute(&format!(
        "insert into executions (id, job_id, provider_id, region, status, started_at, completed_at, \
         created_at, model_id, question_id) values ({}, {number}, 'modal-us-east', 'US', \
         'completed', '{began}', '{ended}', '{ended}', 'llama3.2-1b', 'q1')",
        1000 + number
    ))
    .await;
}

/// Calls that follow each other, 5 s apart, each with its lines, its trace and its execution.
async fn calls(db: &Database, from: DateTime<Utc>, count: u32) -> Vec<Observation> {
    db.add_runner_tables().await;
    let mut lines = Vec::new();
    for number in 1..=count {
        let at = from + ms(5_000 * i64::from(number) + 70 * i64::from(number));
        let took = 900 + 170 * i64::from(number * number % 11);
        traced(db, number, at, took + 250).await;
        executed(db, number, at, took + 250).await;
        lines.push(printed(number, at + ms(180), took));
    }
    write(db, &lines).await;
    lines
}

async fn write(db: &Database, lines: &[Observation]) {
    let batch = Batch {
        observations: lines.to_vec(),
        ..Batch::default()
    };
    db.store.write(&batch).await.unwrap();
}

fn linker(db: &Database) -> Linker {
    Linker::new(Arc::clone(&db.store), Regions::default())
}

async fn link_history(db: &Database, from: DateTime<Utc>) -> LinkSummary {
    let to = from + TimeDelta::hours(1);
    linker(db).link_window(from, to, |_, _| ()).await.unwrap()
}

async fn rows(db: &Database) -> Vec<Span> {
    let question = SpanQuestion::Printed {
        from: DateTime::UNIX_EPOCH,
        to: Utc::now() + TimeDelta::days(1),
    };
    db.store.spans(&question, 1000).await.unwrap()
}

fn trace(number: u32) -> Uuid {
    Uuid::from_u128(u128::from(number) * 16)
}

async fn the_users_own_sql_finds_printed_spans_by_their_execution(db: Database) {
    let from = history();
    calls(&db, from, 12).await;
    let summary = link_history(&db, from).await;
    assert_eq!(
        (summary.linked, summary.executions),
        (12, 12),
        "{summary:?}"
    );
    for number in 1..=12 {
        let found = db
            .texts(&format!(
                "select cast(trace_id as text) || ' ' || cast(parent_span_id as text) || ' ' || \
                 job_id from trace_spans where execution_id = {} and service = 'modal'",
                1000 + number
            ))
            .await;
        let caller = Uuid::from_u128(u128::from(number) * 16 + 4);
        assert_eq!(found, [format!("{} {caller} job-{number}", trace(number))]);
    }
    let (_, links) = db.store.spans_of_executions(&[1003], 100).await.unwrap();
    assert_eq!(links.len(), 1);
    assert_eq!(links[0].trace_id, trace(3));
}

async fn empty_years_are_passed_in_one_step(db: Database) {
    let from = history();
    calls(&db, from, 12).await;
    let to = from + TimeDelta::hours(1);
    let mut steps = 0;
    let summary = linker(&db)
        .link_window(DateTime::UNIX_EPOCH, to, |_, _| steps += 1)
        .await
        .unwrap();
    assert_eq!(
        (summary.linked, summary.executions),
        (12, 12),
        "{summary:?}"
    );
    assert!(steps < 100, "{steps}");
}

async fn linking_again_changes_nothing(db: Database) {
    let from = history();
    calls(&db, from, 6).await;
    link_history(&db, from).await;
    let once = db.dump().await;
    let again = link_history(&db, from).await;
    assert_eq!((again.changed, again.executions), (0, 0), "{again:?}");
    assert_eq!(db.dump().await, once);
}

async fn collectors_that_link_at_once_do_what_one_does(db: Database) {
    let from = history();
    calls(&db, from, 40).await;
    let mut linking = Vec::new();
    for _ in 0..3 {
        let linker = Linker::new(db.reopen().await, Regions::default());
        let to = from + TimeDelta::hours(1);
        linking.push(tokio::spawn(async move {
            linker.link_window(from, to, |_, _| ()).await.unwrap()
        }));
    }
    for linked in linking {
        assert_eq!(linked.await.unwrap().linked, 40);
    }
    let together = db.dump().await;
    for number in 1..=40 {
        let links = db.store.execution_links(&[trace(number)]).await.unwrap();
        assert_eq!(links.len(), 1);
        assert_eq!(links[0].execution_id, 1000 + i64::from(number));
    }
    let again = link_history(&db, from).await;
    assert_eq!((again.linked, again.changed, again.executions), (40, 0, 0));
    assert_eq!(db.dump().await, together);
}

async fn lines_that_come_again_leave_the_link(db: Database) {
    let from = history();
    let lines = calls(&db, from, 4).await;
    link_history(&db, from).await;
    let once = db.dump().await;
    write(&db, &lines).await;
    assert_eq!(db.dump().await, once);
}

async fn rows_of_services_are_never_touched(db: Database) {
    let from = history();
    calls(&db, from, 4).await;
    let theirs = |rows: Vec<String>| -> Vec<String> {
        let others = rows
            .into_iter()
            .filter(|row| !row.contains("beacon-collector"));
        others.collect()
    };
    let before = theirs(db.dump().await);
    assert_eq!(before.len(), 16);
    link_history(&db, from).await;
    assert_eq!(theirs(db.dump().await), before);
}

async fn a_log_that_nobody_traced_is_left_alone(db: Database) {
    let from = history();
    write(
        &db,
        &[printed(1, from, 900), printed(2, from + ms(50), 800)],
    )
    .await;
    let before = db.dump().await;
    assert_eq!(link_history(&db, from).await, LinkSummary::default());
    assert_eq!(db.dump().await, before);
}

async fn a_span_that_came_before_its_callers_row_is_linked_later(db: Database) {
    let at = Utc::now() - TimeDelta::seconds(20);
    let (linker, stats) = (linker(&db), Stats::default());
    write(&db, &[printed(1, at, 900)]).await;
    linker.catch_up(&stats, Utc::now(), false).await.unwrap();
    // Something else runs at that time, so that the span is looked at and found to be nobody's.
    traced(&db, 2, at - TimeDelta::seconds(10), 300).await;
    linker.catch_up(&stats, Utc::now(), false).await.unwrap();
    assert_eq!(rows(&db).await[0].trace_id, rows(&db).await[0].span_id);
    traced(&db, 1, at - ms(180), 1_150).await;
    let later = Utc::now() + TimeDelta::seconds(3);
    linker.catch_up(&stats, later, false).await.unwrap();
    let row = &rows(&db).await[0];
    assert_eq!(row.trace_id, trace(1), "{:?}", row.metadata);
}

async fn an_execution_that_is_written_later_is_filled_in(db: Database) {
    db.add_runner_tables().await;
    let at = Utc::now() - TimeDelta::seconds(20);
    let (linker, stats) = (linker(&db), Stats::default());
    traced(&db, 1, at - ms(180), 1_150).await;
    write(&db, &[printed(1, at, 900)]).await;
    linker
        .link_window(at, at + ms(5_000), |_, _| ())
        .await
        .unwrap();
    assert_eq!(rows(&db).await[0].execution_id, None);
    executed(&db, 1, at - ms(180), 1_150).await;
    let later = Utc::now() + TimeDelta::seconds(3);
    linker.catch_up(&stats, later, false).await.unwrap();
    let row = &rows(&db).await[0];
    assert_eq!(row.execution_id, Some(1001));
    assert_eq!(row.metadata[meta::LINK]["method"], "evidence");
}

/// Printed spans that begin evenly within so many seconds.
async fn crowd(db: &Database, from: DateTime<Utc>, count: u32, seconds: i64) {
    let at = |number: u32| {
        from + ms(seconds * 1000) * i32::try_from(number).unwrap() / i32::try_from(count).unwrap()
    };
    let lines: Vec<_> = (0..count)
        .map(|number| printed(0x10_0000 + number, at(number), 900))
        .collect();
    for part in lines.chunks(4_000) {
        write(db, part).await;
    }
}

async fn what_was_printed_amid_a_crowd_is_passed_over_and_counted(db: Database) {
    let from = history();
    calls(&db, from, 6).await;
    crowd(&db, from + TimeDelta::minutes(5), 11_000, 10).await;
    let summary = link_history(&db, from).await;
    assert_eq!(
        (summary.linked, summary.executions, summary.too_dense),
        (6, 6, 11_000),
        "{summary:?}"
    );
    assert_eq!(
        summary.to_string(),
        "6 to their callers, 0 stay ambiguous, 11000 are among too many at once to tell apart"
    );
}

async fn more_printed_spans_than_are_read_at_once_are_all_looked_at(db: Database) {
    let from = history();
    calls(&db, from, 2).await;
    crowd(&db, from + TimeDelta::minutes(1), 7_000, 20).await;
    let summary = link_history(&db, from).await;
    assert_eq!((summary.seen, summary.too_dense), (7_002, 0), "{summary:?}");
    assert!(summary.linked > 0, "{summary:?}");
}
