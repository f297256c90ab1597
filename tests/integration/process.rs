//! The program as a person runs it: real processes, pipes and signals, on the embedded database.

use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use beacon_collector::model::{Span, SpanStatus};
use beacon_collector::store::{self, SpanQuestion};
use chrono::{DateTime, Utc};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const SESSION: &str = include_str!("../data/session.log");

/// A home of its own for every test, with the embedded database in it.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_beacon-collector"));
        command
            .args(arguments)
            .env_clear()
            .env("STATE_DIRECTORY", self.0.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn collect(&self, log: &[u8]) -> Output {
        let mut child = self.command(&["--listen", "none"]).spawn().unwrap();
        child.stdin.take().unwrap().write_all(log).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        output
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    async fn spans(&self) -> Vec<Span> {
        let url = format!("sqlite:{}", self.0.path().join("beacon.db").display());
        let store = store::open(&url).await.unwrap();
        store.migrate().await.unwrap();
        let all = SpanQuestion::Window {
            services: vec!["modal".into()],
            from: DateTime::UNIX_EPOCH,
            to: Utc::now() + Duration::from_secs(3600),
        };
        let spans = store.spans(&all, 10_000).await.unwrap();
        store.close().await;
        spans
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn stop(child: &Child, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
}

#[tokio::test]
async fn the_bundled_session_becomes_its_spans_and_quotes_become_none() {
    let home = Home::new();
    let output = home.collect(SESSION.as_bytes());
    let spans = home.spans().await;
    let count = |status| spans.iter().filter(|span| span.status == status).count();
    assert_eq!(spans.len(), 33);
    assert_eq!(count(SpanStatus::Failed), 3);
    assert_eq!(
        count(SpanStatus::Timeout),
        1,
        "the preempted call never ended"
    );
    let quoted = |span: &&Span| matches!(span.text("log_id"), Some("deadbeef" | "00000000"));
    assert_eq!(spans.iter().find(quoted), None);
    let summary = text(&output.stderr);
    assert!(
        summary.contains("201 lines, 96 of them trace lines"),
        "{summary}"
    );
    assert!(
        summary.contains("29 completed, 3 failed, 1 timed out"),
        "{summary}"
    );
}

#[tokio::test]
async fn reading_a_log_again_in_other_pieces_leaves_the_same_rows() {
    let home = Home::new();
    home.collect(SESSION.as_bytes());
    let before = home.spans().await;
    let mut child = home.command(&["--listen", "none"]).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    for piece in SESSION.as_bytes().chunks(37) {
        input.write_all(piece).unwrap();
        input.flush().unwrap();
    }
    drop(input);
    assert!(child.wait().unwrap().success());
    assert_eq!(home.spans().await, before);
}

#[tokio::test]
async fn a_start_is_stored_before_its_end_is_printed() {
    let home = Home::new();
    let mut child = home.command(&["--listen", "none"]).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input
        .write_all("🔍 TRACE[abc123de]: Modal inference started - model=m\n".as_bytes())
        .unwrap();
    let open = wait_for(&home, |spans| spans.len() == 1).await;
    assert_eq!(open[0].status, SpanStatus::Started);
    input
        .write_all("🔍 TRACE[abc123de]: SUCCESS - duration=2.45s, tokens=156\n".as_bytes())
        .unwrap();
    drop(input);
    assert!(child.wait().unwrap().success());
    let done = home.spans().await;
    assert_eq!((done.len(), done[0].status), (1, SpanStatus::Completed));
    assert_eq!(done[0].duration_ms, Some(2450));
    assert_eq!(done[0].metadata["tokens"], 156);
}

#[tokio::test]
async fn told_to_stop_it_stores_what_it_read_and_ends_well() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let home = Home::new();
        let mut child = home.command(&["--listen", "none"]).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(SESSION.as_bytes()).unwrap();
        wait_for(&home, |spans| !spans.is_empty()).await;
        stop(&child, signal);
        let status = child.wait().unwrap();
        assert_eq!(status.code(), Some(0), "{signal}");
        assert_eq!(home.spans().await.len(), 33, "{signal}");
        drop(input);
    }
}

#[tokio::test]
async fn a_reader_that_goes_away_is_no_error() {
    let home = Home::new();
    home.collect(SESSION.as_bytes());
    let mut child = home
        .command(&["trace", "610faa3f", "--json"])
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut errors = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut errors)
        .unwrap();
    assert_eq!(
        (child.wait().unwrap().code(), errors.as_str()),
        (Some(0), "")
    );
}

#[tokio::test]
async fn any_bytes_are_read_without_harm() {
    let home = Home::new();
    let mut log = vec![0xff, 0, b'\r', 0x1b, b'['];
    log.extend_from_slice("🔍 TRACE[abc123de]: SUCCESS - duration=1.00s\r\n".as_bytes());
    log.extend_from_slice(&[b'x'; 600_000]);
    log.extend_from_slice(b"\nTRACE[ TRACE[]: TRACE[abc");
    let output = home.collect(&log);
    assert_eq!(home.spans().await.len(), 1, "{}", text(&output.stderr));
}

#[test]
fn exit_codes_tell_wrong_usage_from_failure() {
    let home = Home::new();
    let code = |arguments: &[&str]| home.run(arguments).status.code();
    assert_eq!(code(&["--no-such-flag"]), Some(2));
    assert_eq!(code(&["--source", "nonsense"]), Some(2));
    assert_eq!(code(&["--listen", "nowhere"]), Some(2));
    assert_eq!(
        code(&["--database", "mysql://x", "trace", "abc123de"]),
        Some(2)
    );
    assert_eq!(
        code(&["--config", "/no/such/file", "trace", "abc123de"]),
        Some(2)
    );
    assert_eq!(code(&["trace", "'; drop table trace_spans; --"]), Some(2));
    assert_eq!(code(&["trace", "abc123de"]), Some(1));
    assert_eq!(code(&["migrate"]), Some(0));
}

/// Looks until the rows are as wanted; a whole minute is far beyond the flush interval.
async fn wait_for(home: &Home, wanted: impl Fn(&[Span]) -> bool) -> Vec<Span> {
    let patience = Instant::now() + Duration::from_secs(60);
    loop {
        // The database appears a moment after the process.
        if home.0.path().join("beacon.db").exists() {
            let spans = home.spans().await;
            if wanted(&spans) {
                return spans;
            }
        }
        assert!(Instant::now() < patience, "the spans never came");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn completions_and_manual_pages_are_made_without_home_or_configuration() {
    let bare = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_beacon-collector"));
        command.args(arguments).env_clear().output().unwrap()
    };
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let output = bare(&["completions", shell]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert!(
            text(&output.stdout).contains("diagnose-execution"),
            "{shell}"
        );
    }
    let page = text(&bare(&["man"]).stdout);
    assert!(page.contains(".TH beacon-collector 1"), "{page}");
    let folder = tempfile::tempdir().unwrap();
    let man1 = folder.path().join("man1");
    let output = bare(&["man", "--out", man1.to_str().unwrap()]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let page = std::fs::read_to_string(man1.join("beacon-collector-diagnose-execution.1")).unwrap();
    assert!(page.contains("Why one execution failed"), "{page}");
    assert!(page.contains("beacon\\-collector diagnose 2379"), "{page}");
}

#[tokio::test]
async fn addresses_go_however_short_when_the_configuration_says_so() {
    let home = Home::new();
    let config = home.0.path().join("config.toml");
    std::fs::write(
        &config,
        "[redact]\nemails = true\nalso = [\"ticket-[0-9]+\"]\n",
    )
    .unwrap();
    let mut child = home
        .command(&["--listen", "none", "--config", config.to_str().unwrap()])
        .spawn()
        .unwrap();
    let log = "TRACE[ab12cd34]: Modal inference started - model=m, region=us-east\n\
               TRACE[ab12cd34]: FAILED - error=E: no quota, owner=a@b.io, see=ticket-77, duration=1s\n";
    let mut input = child.stdin.take().unwrap();
    input.write_all(log.as_bytes()).unwrap();
    drop(input);
    assert!(child.wait_with_output().unwrap().status.success());
    let stored = serde_json::to_string(&home.spans().await).unwrap();
    assert!(stored.contains("no quota"), "{stored}");
    assert!(
        !stored.contains("a@b.io") && !stored.contains("ticket-77"),
        "{stored}"
    );
}
