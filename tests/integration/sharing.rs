//! Several collectors on one Postgres, sharing sources by name: one reads, another takes over.

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::collector::{Collector, Home, append, spans};
use crate::support::database::{Database, postgres};
use crate::support::modal::{Modal, emitted, random_night, stored, wait_for_equal};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Collectors beside each other: a database, and a log that all of them are told to read.
struct Fleet {
    db: Database,
    logs: Home,
}

impl Fleet {
    async fn new() -> Self {
        Self {
            db: postgres().await,
            logs: Home::new(),
        }
    }

    fn log(&self) -> std::path::PathBuf {
        self.logs.path("app.log")
    }

    /// Starts a collector with a state of its own.
    fn start(&self, home: &Home, host: &str) -> Collector {
        let config = home.path("config.toml");
        std::fs::write(&config, "[lease]\nseconds = 2\n").unwrap();
        let source = format!("file:{}", self.log().display());
        let config = config.display().to_string();
        let mut command = home.command(&["--config", &config, "--listen", "none"]);
        command.args([
            "--database",
            &self.db.url,
            "--host",
            host,
            "--source",
            &source,
        ]);
        home.start(command)
    }

    async fn completed(&self) -> usize {
        let count = "select count(*)::text from trace_spans where status = 'completed'";
        self.db.texts(count).await[0].parse().unwrap()
    }

    async fn wait_for_completed(&self, expected: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.completed().await < expected {
            assert!(Instant::now() < deadline, "{expected} expected");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until all of the log is stored and its position too.
    async fn wait_for_position(&self) {
        let size = std::fs::metadata(self.log()).unwrap().len().to_string();
        let offset = "select position ->> 'offset' from beacon_collector.checkpoints";
        let deadline = Instant::now() + PATIENCE;
        while self.db.texts(offset).await != [size.as_str()] {
            assert!(Instant::now() < deadline, "the position is not {size}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Every span of the log is there once, ended.
    async fn check(&self, expected: usize) {
        let rows = "select count(*) || ' ' || count(distinct metadata ->> 'log_id') || ' ' || \
            count(*) filter (where status = 'completed') from trace_spans";
        let all = format!("{expected} {expected} {expected}");
        assert_eq!(self.db.texts(rows).await, [all]);
    }
}

fn wait_for_log(collector: &Collector, text: &str, times: usize) {
    let deadline = Instant::now() + PATIENCE;
    while collector.log().matches(text).count() < times {
        assert!(Instant::now() < deadline, "no {text}: {}", collector.log());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Lines that a collector that was told to stop says it has read.
fn lines_read(collector: Collector, home: &Home) -> usize {
    collector.stop();
    let log = std::fs::read_to_string(home.path("collector.log")).unwrap();
    let (_, rest) = log.rsplit_once("read     ").unwrap();
    rest.split(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn another_collector_takes_over_from_one_that_is_killed_and_goes_on_at_its_checkpoint() {
    let fleet = Fleet::new().await;
    let (first, second) = (Home::new(), Home::new());
    append(&fleet.log(), &spans(0..2_000));
    let holder = fleet.start(&first, "here");
    wait_for_log(&holder, "following file", 1);
    let standby = fleet.start(&second, "here");
    wait_for_log(&standby, "source is on standby", 1);
    fleet.wait_for_completed(2_000).await;
    fleet.wait_for_position().await;
    append(&fleet.log(), &spans(2_000..6_000));
    fleet.wait_for_completed(2_500).await;
    holder.kill();
    append(&fleet.log(), &spans(6_000..7_000));
    fleet.wait_for_completed(7_000).await;
    fleet.check(7_000).await;
    assert!(standby.log().contains("resumes=true"), "{}", standby.log());
    // What was stored before the kill and its checkpoint was not read again.
    let read = lines_read(standby, &second);
    assert!((2_000..=10_000).contains(&read), "{read} lines read");
}

#[tokio::test]
async fn a_collector_that_was_taken_for_dead_gives_way_when_it_wakes_up() {
    let fleet = Fleet::new().await;
    let (first, second) = (Home::new(), Home::new());
    append(&fleet.log(), &spans(0..500));
    let holder = fleet.start(&first, "here");
    fleet.wait_for_completed(500).await;
    let standby = fleet.start(&second, "here");
    wait_for_log(&standby, "source is on standby", 1);
    let asleep = Pid::from_raw(i32::try_from(holder.id()).unwrap());
    kill(asleep, Signal::SIGSTOP).unwrap();
    append(&fleet.log(), &spans(500..1_000));
    fleet.wait_for_completed(1_000).await;
    fleet.wait_for_position().await;
    kill(asleep, Signal::SIGCONT).unwrap();
    wait_for_log(&holder, "source is on standby", 1);
    append(&fleet.log(), &spans(1_000..1_500));
    fleet.wait_for_completed(1_500).await;
    fleet.wait_for_position().await;
    fleet.check(1_500).await;
    // And back again, at once, when the other one ends.
    standby.stop();
    append(&fleet.log(), &spans(1_500..2_000));
    fleet.wait_for_completed(2_000).await;
    fleet.check(2_000).await;
    holder.stop();
}

#[tokio::test]
async fn files_of_the_same_name_on_two_hosts_are_two_sources() {
    let fleet = Fleet::new().await;
    let (first, second) = (Home::new(), Home::new());
    append(&fleet.log(), &spans(0..10));
    let here = fleet.start(&first, "here");
    let there = fleet.start(&second, "there");
    for collector in [&here, &there] {
        wait_for_log(collector, "following file", 1);
    }
    let names = "select source from beacon_collector.checkpoints order by 1";
    let expected =
        ["here", "there"].map(|host| format!("file:{} on {host}", fleet.log().display()));
    let deadline = Instant::now() + PATIENCE;
    while fleet.db.texts(names).await != expected {
        assert!(
            Instant::now() < deadline,
            "{:?}",
            fleet.db.texts(names).await
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    fleet.check(10).await;
}

/// All spans of a database in the form that [`Home::rows`] has.
async fn rows(db: &Database) -> Vec<String> {
    db.texts(
        "select json_build_array(trace_id, span_id, parent_span_id, service, operation, started_at, \
         completed_at, duration_ms, status, job_id, execution_id, model_id, region, metadata::text)::text \
         from trace_spans order by span_id",
    )
    .await
}

/// One of two collectors that follow an app is killed in the middle of a bad night; the other one takes over at
/// its checkpoint. Following repeats nothing, so what was printed in between must be fetched.
async fn take_over_an_app(seed: u64, via: &str) {
    let db = postgres().await;
    let (first, second) = (Home::new(), Home::new());
    let scenario = first.path("night.jsonl");
    std::fs::write(&scenario, random_night(seed)).unwrap();
    let modal = Modal::play(&scenario, &["--follow-history", "none", "--speed", "0.7"]);
    let start = |home: &Home| {
        let mut command = modal.command("beacon", home, "modal-new", via);
        command
            .args(["--database", &db.url])
            .env("BEACON_LEASE_SECONDS", "3")
            // The night is young: a minute back is all of it.
            .env("BEACON_MODAL_BACKFILL_HOURS", "0");
        home.start(command)
    };
    let holder = start(&first);
    wait_for_log(&holder, "following Modal app", 1);
    let standby = start(&second);
    wait_for_log(&standby, "source is on standby", 1);
    let deadline = Instant::now() + 2 * PATIENCE;
    let checkpoint = "select position ->> 'until' from beacon_collector.checkpoints";
    while rows(&db).await.len() < 15 || db.texts(checkpoint).await.is_empty() {
        assert!(Instant::now() < deadline, "{}", holder.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(!standby.log().contains("following Modal app"));
    holder.kill();
    let until = db.texts(checkpoint).await.remove(0);
    let expected = emitted(&scenario);
    assert!(rows(&db).await.len() < expected.len(), "it was killed late");
    wait_for_equal(&expected, async || stored(&rows(&db).await)).await;
    let resumes = format!("since=\"{until}\" resumes=true");
    assert!(standby.log().contains(&resumes), "{}", standby.log());
    standby.stop();
}

#[tokio::test]
async fn another_collector_takes_over_a_modal_app_through_the_cli() {
    take_over_an_app(7, "cli").await;
}

#[tokio::test]
async fn another_collector_takes_over_a_modal_app_through_the_sdk() {
    take_over_an_app(8, "sdk").await;
}
