//! Modal apps through the real CLI and SDK against a fake control plane: what it emitted and what is
//! stored must be equal, span for span.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::collector::{Collector, Home, append};
use crate::support::modal::{self, Modal, Said, emitted, fixture, random_night, stored};

/// How long what was emitted may take to be stored, a busy machine and all.
const PATIENCE: Duration = Duration::from_secs(90);

/// Waits until what is stored equals what the scenario emitted.
async fn wait_for_equality(home: &Home, scenario: &Path) {
    wait_for_equal(home, &emitted(scenario)).await;
}

async fn wait_for_equal(home: &Home, expected: &BTreeMap<String, Said>) {
    modal::wait_for_equal(expected, async || stored(&home.rows().await)).await;
}

async fn check(scenario: &str, options: &[&str], environment: &str, via: &str) {
    let scenario = fixture(scenario);
    let modal = Modal::play(&scenario, options);
    let home = Home::new();
    let collector = modal.follow(&home, environment, via);
    wait_for_equality(&home, &scenario).await;
    collector.stop();
}

#[tokio::test]
async fn a_quiet_day_through_the_newest_cli() {
    check("quiet-day.jsonl", &["--speed", "40"], "modal-new", "cli").await;
}

#[tokio::test]
async fn a_quiet_day_through_the_sdk() {
    check("quiet-day.jsonl", &["--speed", "40"], "modal-new", "sdk").await;
}

#[tokio::test]
async fn a_quiet_day_through_the_first_cli_that_can_fetch() {
    let options = ["--speed", "40", "--follow-history", "none"];
    check("quiet-day.jsonl", &options, "modal-1.4", "best").await;
}

#[tokio::test]
async fn a_quiet_day_through_a_cli_that_can_only_follow() {
    let scenario = fixture("quiet-day.jsonl");
    let modal = Modal::play(&scenario, &["--speed", "40"]);
    let home = Home::new();
    let collector = modal.follow(&home, "modal-1.3", "best");
    // It prints no ids, so nobody knows the containers.
    let mut expected = emitted(&scenario);
    expected
        .values_mut()
        .for_each(|said| said.container.clear());
    wait_for_equal(&home, &expected).await;
    assert!(
        collector
            .log()
            .contains("cannot fetch what following missed")
    );
    collector.stop();
}

#[tokio::test]
async fn a_bad_night_through_the_newest_cli() {
    let options = ["--follow-history", "none", "--poll-s", "7"];
    check("bad-night.jsonl", &options, "modal-new", "cli").await;
}

#[tokio::test]
async fn a_bad_night_through_the_sdk() {
    let options = [
        "--follow-history",
        "20",
        "--poll-s",
        "5",
        "--fetch-lag-ms",
        "3000",
    ];
    check("bad-night.jsonl", &options, "modal-new", "sdk").await;
}

#[tokio::test]
async fn what_was_printed_while_the_collector_was_dead_is_fetched() {
    let scenario = fixture("quiet-day.jsonl");
    let modal = Modal::play(&scenario, &["--speed", "30", "--follow-history", "none"]);
    let home = Home::new();
    for pause in [4, 3] {
        let collector = modal.follow(&home, "modal-new", "best");
        tokio::time::sleep(Duration::from_secs(pause)).await;
        collector.kill();
    }
    let collector = modal.follow(&home, "modal-new", "best");
    wait_for_equality(&home, &scenario).await;
    collector.stop();
}

async fn random(seed: u64, via: &str) {
    let home = Home::new();
    let scenario = home.path("night.jsonl");
    std::fs::write(&scenario, random_night(seed)).unwrap();
    let modal = Modal::play(&scenario, &["--follow-history", "50", "--poll-s", "6"]);
    let collector = modal.follow(&home, "modal-new", via);
    tokio::time::sleep(Duration::from_secs(8)).await;
    collector.kill();
    let collector = modal.follow(&home, "modal-new", via);
    wait_for_equality(&home, &scenario).await;
    collector.stop();
}

#[tokio::test]
async fn a_random_night_through_the_newest_cli() {
    random(20_251_123, "cli").await;
}

#[tokio::test]
async fn a_random_night_through_the_sdk() {
    random(42, "sdk").await;
}

#[tokio::test]
async fn an_unknown_app_and_a_missing_login_say_what_to_do() {
    let scenario = fixture("bad-night.jsonl");
    for via in ["cli", "sdk"] {
        let modal = Modal::play(&scenario, &["--token", "some:other"]);
        let home = Home::new();
        let collector = modal.follow(&home, "modal-new", via);
        wait_for_log(&collector, "modal setup").await;
        drop((collector, modal));

        let modal = Modal::play(&scenario, &[]);
        let home = Home::new();
        let collector = modal.follow_app("nobody", &home, "modal-new", via);
        wait_for_log(&collector, "Modal knows no app nobody").await;
        wait_for_log(&collector, "modal app list").await;
    }
}

#[tokio::test]
async fn an_app_that_has_stopped_is_waited_for_and_no_fault() {
    for via in ["cli", "sdk"] {
        let home = Home::new();
        let scenario = home.path("stopped.jsonl");
        append(&scenario, "{\"at_ms\":500,\"event\":\"app_done\"}\n");
        let modal = Modal::play(&scenario, &[]);
        let collector = modal.follow(&home, "modal-new", via);
        wait_for_log(&collector, "source is waiting for something to read").await;
        let log = collector.log();
        assert!(log.contains("the app has stopped"), "{log}");
        assert!(!log.contains("source is waiting to run again"), "{log}");
        collector.stop();
    }
}

/// A collector for an app, with a script of ours in the place of Modal's CLI.
fn with_script(home: &Home, script: Option<&str>) -> Collector {
    let cli = home.path("modal");
    if let Some(script) = script {
        append(&cli, script);
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&cli, executable).unwrap();
    }
    let settings = format!("[modal]\nvia = \"cli\"\ncli = {cli:?}\n");
    std::fs::write(home.path("beacon.toml"), settings).unwrap();
    let arguments = [
        "--listen",
        "none",
        "--config",
        "beacon.toml",
        "--source",
        "modal:x",
    ];
    home.start(home.command(&arguments))
}

#[tokio::test]
async fn a_missing_tool_and_one_without_the_flags_say_what_to_do() {
    let home = Home::new();
    wait_for_log(&with_script(&home, None), "pip install modal").await;
    let home = Home::new();
    let script = "#!/bin/sh\n\
        [ \"$1\" = --version ] && exec echo modal client version: 1.6.4\n\
        echo 'Error: No such option: --show-container-id' >&2; exit 2\n";
    wait_for_log(
        &with_script(&home, Some(script)),
        "has not the flags that are needed; upgrade it",
    )
    .await;
}

#[tokio::test]
async fn a_tool_that_reconnects_without_pause_is_stopped_and_started_again_later() {
    let home = Home::new();
    let script = "#!/bin/sh\n\
        [ \"$1\" = --version ] && exec echo modal client version: 1.6.4\n\
        case \"$*\" in *--since*) exit 0;; esac\n\
        echo $$ >> starts\n\
        while :; do echo '[modal-client] Stream closed. Retrying ...' >&2; done\n";
    let collector = with_script(&home, Some(script));
    let starts = || {
        let pids = std::fs::read_to_string(home.path("starts")).unwrap_or_default();
        pids.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let deadline = Instant::now() + PATIENCE;
    while starts().len() < 2 {
        assert!(Instant::now() < deadline, "{}", collector.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    wait_for_log(&collector, "control plane is not available").await;
    let first = format!("/proc/{}", starts()[0]);
    assert!(!Path::new(&first).exists(), "it goes on");
}

#[tokio::test]
async fn a_notice_that_lines_were_dropped_is_entered_as_a_loss() {
    for via in ["cli", "sdk"] {
        let home = Home::new();
        let scenario = home.path("limited.jsonl");
        let notice = "{\"at_ms\":500,\"container\":\"ta-01R\",\
            \"data\":\"Log rate limit exceeded: some logs were dropped\\n\"}\n";
        append(&scenario, notice);
        let modal = Modal::play(&scenario, &[]);
        let collector = modal.follow(&home, "modal-new", via);
        home.wait_for(
            "select count(*) > 0 from loss_ledger where source = 'modal:beacon'",
            1,
        )
        .await;
        collector.stop();
    }
}

async fn wait_for_log(collector: &Collector, words: &str) {
    let deadline = Instant::now() + PATIENCE;
    while !collector.log().contains(words) {
        assert!(Instant::now() < deadline, "{}", collector.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
