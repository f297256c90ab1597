//! A real Postgres that is cut off, slow, silent, restarted, read-only, failing over, out of connections
//! or full, and a collector that is killed: no span may be lost or doubled. The tables are printed and
//! kept in `target/faults-*.txt`; `scripts/faults.sh` puts them together.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};

use crate::support::cluster::Cluster;
use crate::support::collector::{Collector, Home, append, spans};
use crate::support::database::{self, pooler_url, url_of};
use crate::support::faulty::Chance;
use crate::support::link::{Link, Proxy, Way};

/// Spans written while a fault is at work, and after it.
const SPANS: usize = 6_000;
/// How long a fault lasts.
const FAULT: Duration = Duration::from_secs(4);
/// How long nothing may come on after it, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// One line of the table.
struct Outcome {
    fault: &'static str,
    tries: usize,
    lost: i64,
    doubled: i64,
    /// From the end of the fault until everything was stored.
    back_after: Duration,
}

/// A collector that follows a growing file into a database.
struct Trial {
    home: Home,
    collector: Collector,
    /// Where to ask, past any proxy.
    url: String,
    written: usize,
}

impl Trial {
    async fn start(url: &str, through: &str) -> Self {
        let home = Home::new();
        append(&home.path("app.log"), &spans(0..SPANS / 3));
        let collector = collect(&home, through);
        let trial = Self {
            home,
            collector,
            url: url.to_owned(),
            written: SPANS / 3,
        };
        trial.wait_for(1).await;
        trial
    }

    /// Goes on writing for a time.
    async fn write_for(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end && self.written < SPANS {
            let next = (self.written + 20).min(SPANS);
            append(&self.home.path("app.log"), &spans(self.written..next));
            self.written = next;
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }

    async fn count(&self, sql: &str) -> Option<i64> {
        let mut conn = PgConnection::connect(&self.url).await.ok()?;
        let count = sqlx::query_scalar(AssertSqlSafe(sql));
        count.fetch_one(&mut conn).await.ok()
    }

    async fn wait_for(&self, spans: i64) {
        let sql = "select count(*) from trace_spans where status = 'completed'";
        let (mut stored, mut since) = (0, Instant::now());
        while stored < spans {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let found = self.count(sql).await.unwrap_or_default();
            if found > stored {
                (stored, since) = (found, Instant::now());
            }
            let stands_still = since.elapsed() > PATIENCE;
            assert!(!stands_still, "{stored}\n{}", self.collector.log());
        }
    }

    /// Writes the rest and waits until it is stored; what is missing and what is there twice.
    async fn finish(mut self, fault: &'static str) -> Outcome {
        append(&self.home.path("app.log"), &spans(self.written..SPANS));
        self.written = SPANS;
        let mended = Instant::now();
        self.wait_for(SPANS as i64).await;
        let back_after = mended.elapsed();
        let mut outcome = self.outcome(fault, 1, SPANS).await;
        outcome.back_after = back_after;
        self.collector.stop();
        outcome
    }

    async fn outcome(&self, fault: &'static str, tries: usize, spans: usize) -> Outcome {
        let whole = "select count(distinct metadata ->> 'log_id') from trace_spans where status = 'completed'";
        let rows = "select count(*) - count(distinct metadata ->> 'log_id') from trace_spans";
        Outcome {
            fault,
            tries,
            lost: spans as i64 - self.count(whole).await.unwrap(),
            doubled: self.count(rows).await.unwrap(),
            back_after: Duration::ZERO,
        }
    }
}

fn collect(home: &Home, url: &str) -> Collector {
    let arguments = [
        "--listen",
        "none",
        "--database",
        url,
        "--source",
        "file:app.log",
    ];
    home.start(home.command(&arguments))
}

/// Prints the table, keeps it, and holds it against the promise.
fn judge(name: &str, outcomes: &[Outcome]) {
    let mut table = format!(
        "{:<52} {:>5} {:>6} {:>8} {:>12}\n",
        "fault", "tries", "lost", "doubled", "stored after"
    );
    for outcome in outcomes {
        let Outcome {
            fault,
            tries,
            lost,
            doubled,
            back_after,
        } = outcome;
        let after = if back_after.is_zero() {
            "-".to_owned()
        } else {
            format!("{:.1} s", back_after.as_secs_f64())
        };
        writeln!(
            table,
            "{fault:<52} {tries:>5} {lost:>6} {doubled:>8} {after:>12}"
        )
        .unwrap();
    }
    eprintln!("{table}");
    let kept = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("../{name}.txt"));
    std::fs::write(kept, &table).unwrap();
    assert!(
        outcomes
            .iter()
            .all(|outcome| (outcome.lost, outcome.doubled) == (0, 0)),
        "{table}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_fault_of_the_link_loses_or_doubles_a_span() {
    let cluster = Cluster::start();
    let proxy = Proxy::before(cluster.port).await;
    let mut outcomes = Vec::new();
    for (number, fault, link) in [
        (0, "every connection reset", Link::Cut),
        (1, "every answer 50 ms late", Link::Slow),
    ] {
        let name = format!("link{number}");
        cluster.execute(&format!("create database {name}")).await;
        let url = cluster.url(&name, None);
        let mut trial = Trial::start(&url, &cluster.url(&name, Some(proxy.port))).await;
        proxy.set(link);
        trial.write_for(FAULT).await;
        proxy.set(Link::Whole);
        outcomes.push(trial.finish(fault).await);
    }
    judge("faults-link", &outcomes);
}

/// All at once: most of the time is spent waiting for an answer that does not come.
#[tokio::test(flavor = "multi_thread")]
async fn no_silence_of_the_link_loses_or_doubles_a_span() {
    let cluster = Cluster::start();
    let cases = [
        ("link silent", Link::Silent(Way::Both)),
        ("nothing reaches the server", Link::Silent(Way::ToServer)),
        ("no answer comes back", Link::Silent(Way::FromServer)),
        (
            "link silent in the middle of a COPY",
            Link::SilentAt("PGCOPY", Way::Both),
        ),
        (
            "link silent at the commit",
            Link::SilentAt("COMMIT", Way::Both),
        ),
        (
            "no answer to the commit",
            Link::SilentAt("COMMIT", Way::FromServer),
        ),
    ];
    let trials = cases.into_iter().enumerate().map(|(number, case)| {
        let cluster = &cluster;
        async move {
            let (fault, link) = case;
            let name = format!("silent{number}");
            cluster.execute(&format!("create database {name}")).await;
            let proxy = Proxy::before(cluster.port).await;
            let url = cluster.url(&name, None);
            let mut trial = Trial::start(&url, &cluster.url(&name, Some(proxy.port))).await;
            proxy.set(link);
            trial.write_for(FAULT).await;
            proxy.set(Link::Whole);
            trial.finish(fault).await
        }
    });
    let outcomes = futures_util::future::join_all(trials).await;
    judge("faults-silence", &outcomes);
    // A write is given up after half a minute, and the next try must not wait for what it left behind.
    let slowest = outcomes.iter().map(|outcome| outcome.back_after).max();
    assert!(slowest < Some(PATIENCE), "{slowest:?}");
}

/// A standby with everything that was committed takes over the address of its primary.
#[tokio::test(flavor = "multi_thread")]
async fn a_failover_loses_and_doubles_nothing() {
    let mut primary = Cluster::start();
    let standby = primary.standby();
    let proxy = Proxy::before(primary.port).await;
    let url = standby.url("postgres", None);
    let mut trial = Trial::start(&url, &primary.url("postgres", Some(proxy.port))).await;
    trial.write_for(FAULT / 2).await;
    // Led to the standby before that may write.
    primary.stop();
    proxy.lead_to(standby.port);
    trial.write_for(FAULT / 2).await;
    standby.promote();
    let outcome = trial.finish("failing over to a standby").await;
    judge("faults-failover", &[outcome]);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_fault_of_the_server_loses_or_doubles_a_span() {
    let mut cluster = Cluster::start();
    let mut outcomes = Vec::new();

    cluster.execute("create database restarted").await;
    let url = cluster.url("restarted", None);
    let mut trial = Trial::start(&url, &url).await;
    for _ in 0..3 {
        trial.write_for(FAULT / 3).await;
        cluster.restart();
    }
    outcomes.push(
        trial
            .finish("server crashed and restarted, three times")
            .await,
    );

    cluster.execute("create database readonly").await;
    let url = cluster.url("readonly", None);
    let mut trial = Trial::start(&url, &url).await;
    cluster
        .execute("alter database readonly set default_transaction_read_only = on")
        .await;
    cluster.execute(ENDED).await;
    trial.write_for(FAULT).await;
    cluster
        .execute("alter database readonly set default_transaction_read_only = off")
        .await;
    // As a failover does it: the old connections are ended.
    cluster.execute(ENDED).await;
    outcomes.push(trial.finish("database read-only").await);

    cluster.execute("create database crowded").await;
    let url = cluster.url("crowded", None);
    let mut trial = Trial::start(&url, &url).await;
    cluster.execute(ENDED).await;
    let mut crowd = Vec::new();
    while let Ok(conn) = PgConnection::connect(&cluster.url("postgres", None)).await {
        crowd.push(conn);
    }
    trial.write_for(FAULT).await;
    drop(crowd);
    outcomes.push(trial.finish("out of connections").await);

    let place = cluster.small_disk();
    cluster
        .execute(&format!(
            "create tablespace small location '{}'",
            place.display()
        ))
        .await;
    cluster
        .execute("create database small tablespace small")
        .await;
    let url = cluster.url("small", None);
    let mut trial = Trial::start(&url, &url).await;
    let ballast = place.parent().unwrap().join("ballast");
    fill(&ballast);
    trial.write_for(FAULT).await;
    std::fs::remove_file(&ballast).unwrap();
    outcomes.push(trial.finish("disk full").await);
    judge("faults-server", &outcomes);
}

/// Ends everybody else's connections.
const ENDED: &str = "select pg_terminate_backend(pid) from pg_stat_activity \
    where pid <> pg_backend_pid() and backend_type = 'client backend'";

/// Writes until the file system is full.
fn fill(path: &std::path::Path) {
    use std::io::Write as _;
    let mut file = std::fs::File::create(path).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_in_transaction_mode_loses_and_doubles_nothing() {
    let database = database::Postgres::create().await;
    let through = url_of(&pooler_url(), &database.name);
    let mut trial = Trial::start(&database.url, &through).await;
    for _ in 0..4 {
        trial.write_for(FAULT / 4).await;
        let sql = format!("{ENDED} and datname = '{}'", database.name);
        database.execute(&sql).await;
    }
    let outcome = trial.finish("connections ended behind PgBouncer").await;
    judge("faults-pooler", &[outcome]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_killed_twenty_times_leaves_the_rows_of_an_undisturbed_run() {
    const MANY: usize = 100_000;
    const KILLS: usize = 20;
    let log = spans(0..MANY);
    let rows = "select to_jsonb(s)::text from (select * from trace_spans order by span_id) s";
    let rows = rows.replace("to_jsonb(s)", "(to_jsonb(s) - 'id' - 'created_at')");
    let mut dumps = Vec::new();
    let mut outcomes = Vec::new();
    for kills in [0, KILLS] {
        let database = database::Postgres::create().await;
        let home = Home::new();
        append(&home.path("app.log"), &log);
        let mut chance = Chance(4);
        for _ in 0..kills {
            let collector = collect(&home, &database.url);
            tokio::time::sleep(Duration::from_millis(150 + chance.below(700))).await;
            collector.kill();
        }
        let collector = collect(&home, &database.url);
        let trial = Trial {
            home,
            collector,
            url: database.url.clone(),
            written: MANY,
        };
        trial.wait_for(MANY as i64).await;
        outcomes.push(
            trial
                .outcome("collector killed (100,000 spans)", kills, MANY)
                .await,
        );
        trial.collector.stop();
        dumps.push(database.texts(&rows).await);
    }
    judge("faults-kill", outcomes.split_off(1).as_slice());
    assert!(
        dumps[0] == dumps[1],
        "the rows differ from those of an undisturbed run"
    );
}
