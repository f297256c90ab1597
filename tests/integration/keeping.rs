//! Retention: what is older than the user keeps goes, a little at a time, and nothing else.

use std::sync::Arc;

use beacon_collector::pipeline::{Keep, Keeper, Retention, Stats};
use beacon_collector::store::{self, Expired, Sweep, Swept};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use uuid::Uuid;

use crate::support::database::{Database, postgres};
use crate::support::server::Server;

on_every_store!(
    nothing_is_deleted_unless_a_rule_says_so,
    spans_go_at_their_age_and_failures_later,
    a_whole_trace_stays_while_something_in_it_failed,
    a_source_may_have_times_of_its_own,
    spans_of_others_go_only_where_a_rule_is_about_them,
    much_is_deleted_in_small_steps,
    what_becomes_too_old_or_comes_late_goes_in_a_later_round,
    our_own_tables_forget_what_is_gone,
);

/// A stored span.
#[derive(Clone)]
struct Row {
    number: u128,
    trace: u128,
    age: TimeDelta,
    status: &'static str,
    source: Option<&'static str>,
}

/// A completed span of ours, in a trace of its own.
fn ours(number: u128, days: i64) -> Row {
    Row {
        number,
        trace: number,
        age: TimeDelta::days(days),
        status: "completed",
        source: Some("modal:app"),
    }
}

fn failed(number: u128, days: i64) -> Row {
    let status = "failed";
    Row {
        status,
        ..ours(number, days)
    }
}

fn theirs(number: u128, days: i64) -> Row {
    let source = None;
    Row {
        source,
        ..ours(number, days)
    }
}

fn text(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}

async fn insert(db: &Database, now: DateTime<Utc>, rows: &[Row]) {
    for rows in rows.chunks(1_000) {
        let values = rows.iter().map(|row| {
            let metadata = match row.source {
                Some(source) => {
                    format!(r#"{{"collector": "beacon-collector", "source": "{source}"}}"#)
                }
                None => "{}".to_owned(),
            };
            let (trace, span) = (Uuid::from_u128(row.trace), Uuid::from_u128(row.number));
            let (at, status) = (text(now - row.age), row.status);
            format!("('{trace}', '{span}', 'modal', 'inference', '{at}', '{status}', '{metadata}')")
        });
        let values = values.collect::<Vec<_>>().join(", ");
        db.execute(&format!(
            "insert into trace_spans (trace_id, span_id, service, operation, started_at, status, \
             metadata) values {values}"
        ))
        .await;
    }
}

/// Numbers of the spans that are left.
async fn left(db: &Database) -> Vec<u128> {
    let ids = db.texts("select cast(span_id as text) from trace_spans order by span_id");
    let ids = ids.await;
    ids.iter()
        .map(|id| id.parse::<Uuid>().unwrap().as_u128())
        .collect()
}

fn days(ended: i64, failed: i64) -> Keep {
    Keep {
        ended: Some(TimeDelta::days(ended)),
        failed: Some(TimeDelta::days(failed)),
    }
}

fn keeper(db: &Database, retention: Retention) -> Keeper {
    Keeper::new(Arc::clone(&db.store), retention)
}

fn only_ours(keep: Keep) -> Retention {
    Retention {
        ours: keep,
        ..Retention::default()
    }
}

async fn round(db: &Database, now: DateTime<Utc>, retention: Retention) -> u64 {
    let stats = Stats::default();
    keeper(db, retention).round(now, &stats).await.unwrap()
}

async fn nothing_is_deleted_unless_a_rule_says_so(db: Database) {
    let now = Utc::now();
    insert(
        &db,
        now,
        &[ours(1, 9_000), failed(2, 9_000), theirs(3, 9_000)],
    )
    .await;
    assert_eq!(round(&db, now, Retention::default()).await, 0);
    assert_eq!(left(&db).await, [1, 2, 3]);
}

async fn spans_go_at_their_age_and_failures_later(db: Database) {
    let now = Utc::now();
    let rows = [ours(1, 29), ours(2, 31), failed(3, 31), failed(4, 91)];
    insert(&db, now, &rows).await;
    assert_eq!(round(&db, now, only_ours(days(30, 90))).await, 2);
    assert_eq!(left(&db).await, [1, 3]);
}

async fn a_whole_trace_stays_while_something_in_it_failed(db: Database) {
    let now = Utc::now();
    let in_trace = |trace, row: Row| Row { trace, ..row };
    let failure = Row {
        status: "timeout",
        ..theirs(2, 40)
    };
    insert(
        &db,
        now,
        &[in_trace(7, ours(1, 40)), in_trace(7, failure), ours(3, 40)],
    )
    .await;
    assert_eq!(round(&db, now, only_ours(days(30, 90))).await, 1);
    assert_eq!(left(&db).await, [1, 2]);
}

async fn a_source_may_have_times_of_its_own(db: Database) {
    let now = Utc::now();
    let of = |source, row: Row| Row {
        source: Some(source),
        ..row
    };
    let rows = [
        of("file:a", ours(1, 8)),
        of("file:a", failed(2, 8)),
        of("file:a", failed(3, 15)),
        of("file:b", ours(4, 400)),
        ours(5, 8),
        ours(6, 31),
    ];
    insert(&db, now, &rows).await;
    let retention = Retention {
        ours: days(30, 30),
        sources: vec![
            ("file:a".into(), days(7, 14)),
            ("file:b".into(), Keep::default()),
        ],
        others: Keep::default(),
    };
    assert_eq!(round(&db, now, retention).await, 3);
    assert_eq!(left(&db).await, [2, 4, 5]);
}

async fn spans_of_others_go_only_where_a_rule_is_about_them(db: Database) {
    let now = Utc::now();
    insert(&db, now, &[ours(1, 31), theirs(2, 400), theirs(3, 31)]).await;
    assert_eq!(round(&db, now, only_ours(days(30, 30))).await, 1);
    assert_eq!(left(&db).await, [2, 3]);
    let retention = Retention {
        others: days(365, 365),
        ..only_ours(days(30, 30))
    };
    assert_eq!(round(&db, now, retention).await, 1);
    assert_eq!(left(&db).await, [3]);
}

async fn much_is_deleted_in_small_steps(db: Database) {
    let now = Utc::now();
    // Half of them at the very same time.
    let rows = (0..12_000).map(|number| match number % 3 {
        0 => theirs(number, 40),
        1 => ours(number, 40),
        _ => Row {
            age: TimeDelta::days(40) + TimeDelta::milliseconds(i64::try_from(number).unwrap()),
            ..ours(number, 40)
        },
    });
    insert(&db, now, &rows.collect::<Vec<_>>()).await;
    let expired = Arc::new(Expired {
        ours: beacon_collector::store::Cutoffs {
            ended: Some(now),
            failed: Some(now),
        },
        ..Expired::default()
    });
    let mut next = Some(Sweep::spans_before(now, &expired));
    let mut steps = Vec::new();
    while let Some(sweep) = next {
        let Swept {
            deleted,
            next: more,
        } = db.store.sweep(&sweep).await.unwrap();
        steps.push(deleted);
        next = more;
    }
    assert!(
        steps.len() >= 3 && steps.iter().all(|deleted| *deleted <= 5_000),
        "{steps:?}"
    );
    assert_eq!(steps.iter().sum::<u64>(), 8_000);
    assert!(left(&db).await.iter().all(|number| number % 3 == 0));
}

async fn what_becomes_too_old_or_comes_late_goes_in_a_later_round(db: Database) {
    let now = Utc::now();
    let (stats, hours) = (Stats::default(), |count| now + TimeDelta::hours(count));
    let mut keeper = keeper(&db, only_ours(days(30, 30)));
    let nearly = Row {
        age: TimeDelta::days(30) - TimeDelta::minutes(90),
        ..ours(1, 30)
    };
    insert(&db, now, &[nearly, ours(2, 31)]).await;
    assert_eq!(keeper.round(now, &stats).await.unwrap(), 1);
    assert_eq!(keeper.round(hours(1), &stats).await.unwrap(), 0);
    assert_eq!(keeper.round(hours(2), &stats).await.unwrap(), 1);
    insert(&db, now, &[ours(3, 50)]).await;
    assert_eq!(keeper.round(hours(3), &stats).await.unwrap(), 0);
    assert_eq!(keeper.round(hours(25), &stats).await.unwrap(), 1);
    assert_eq!(left(&db).await, [0; 0]);
}

async fn our_own_tables_forget_what_is_gone(db: Database) {
    let now = Utc::now();
    insert(&db, now, &[ours(1, 31), ours(2, 1)]).await;
    let (old, new) = (text(now - TimeDelta::days(31)), text(now));
    let (gone, kept) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let (links, losses) = (db.own("execution_links"), db.own("loss_ledger"));
    let (rejected, leases) = (db.own("rejected_spans"), db.own("leases"));
    db.execute(&format!(
        "insert into {links} (trace_id, execution_id, method, confidence) values \
         ('{gone}', 7, 'time', 1), ('{kept}', 8, 'time', 1); \
         insert into {losses} (source, lost_from, lost_to, reason, lost) values \
         ('a', '{old}', '{old}', 'x', 1), ('a', '{new}', '{new}', 'x', 1); \
         insert into {rejected} (trace_id, span_id, reason, span, rejected_at) values \
         ('{gone}', '{gone}', 'x', '', '{old}'), ('{kept}', '{kept}', 'x', '', '{new}'); \
         insert into {leases} (name, holder, label, fence, claimed_at, expires_at) values \
         ('old', '{gone}', '', 1, '{old}', '{old}'), ('new', '{gone}', '', 1, '{new}', '{new}')"
    ))
    .await;
    assert_eq!(round(&db, now, only_ours(days(30, 30))).await, 5);
    for (table, which) in [
        (links, "execution_id = 8"),
        (losses, "lost_to > '2026'"),
        (rejected, "rejected_at > '2026'"),
        (leases, "name = 'new'"),
    ] {
        let which = which.replace("2026", &text(now - TimeDelta::days(30)));
        let counts = format!(
            "select cast(count(*) as text) || ' ' || cast(sum(case when {which} then 1 else 0 end) as text) from {table}"
        );
        assert_eq!(db.texts(&counts).await, ["1 1"], "{table}");
    }
}

#[tokio::test]
async fn deleting_takes_the_right_that_the_printed_grants_name() {
    let db = postgres().await;
    let now = Utc::now();
    insert(&db, now, &[ours(1, 31)]).await;
    let name = format!("keeper_{}", Uuid::new_v4().simple());
    db.execute(&format!("create role {name} login")).await;
    db.add_runner_tables().await;
    let grants = |deletes| store::grants_sql(deletes).replace("beacon_writer", &name);
    db.execute(&grants(false)).await;
    let url = db.url.replacen("postgres@", &format!("{name}@"), 1);
    let store = store::open(&url).await.unwrap();
    let stats = Stats::default();
    let mut keeper = Keeper::new(Arc::clone(&store), only_ours(days(30, 30)));
    let refused = keeper.round(now, &stats).await.unwrap_err().to_string();
    assert!(refused.contains("--print-grants"), "{refused}");
    db.execute(&grants(true)).await;
    assert_eq!(keeper.round(now, &stats).await.unwrap(), 1);
    store.close().await;
    db.execute(&format!("drop owned by {name}; drop role {name}"))
        .await;
}

#[tokio::test]
async fn a_running_collector_deletes_by_its_configuration_and_shows_sizes() {
    let db = postgres().await;
    insert(&db, Utc::now(), &[ours(1, 31), ours(2, 1), theirs(3, 31)]).await;
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("config.toml");
    std::fs::write(&config, "[retention]\ndays = 30\n").unwrap();
    let server = Server::start(&db.url, &["--config", &config.display().to_string()]);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    let metrics = loop {
        let metrics = server.get("/metrics").body;
        if metrics.contains("beacon_collector_retention_deleted_rows_total 1") {
            break metrics;
        }
        assert!(std::time::Instant::now() < deadline, "{metrics}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    assert_eq!(left(&db).await, [2, 3]);
    let size = "beacon_collector_table_bytes{table=\"public.trace_spans\",part=\"indexes\"} ";
    let (_, size) = metrics.split_once(size).unwrap();
    let size: f64 = size.lines().next().unwrap().parse().unwrap();
    assert!(size > 0.0, "{metrics}");
}
