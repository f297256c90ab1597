//! `doctor` on a set-up that works and on one in which nothing does.

use std::process::Output;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::support::collector::{Home, append};

fn findings(output: &Output) -> Vec<Value> {
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{error}: {}", String::from_utf8_lossy(&output.stderr));
    });
    report["findings"].as_array().unwrap().clone()
}

/// Verdict and text of what was found about something.
fn about(findings: &[Value], what: &str) -> (String, String) {
    let found = findings.iter().find(|finding| finding["about"] == what);
    let found = found.unwrap_or_else(|| panic!("nothing about {what}: {findings:#?}"));
    let text = |name: &str| found[name].as_str().unwrap_or_default().to_owned();
    (
        text("verdict"),
        format!("{} → {}", text("found"), text("remedy")),
    )
}

#[tokio::test]
async fn a_set_up_that_works_has_no_failure() {
    let home = Home::new();
    let now = chrono::Utc::now().format("%Y-%m-%d %H:%M:%S+00:00");
    let line = |what: &str| format!("{now} fc-01F1 ta-01C1 🔍 TRACE[0000abcd]: {what}\n");
    append(
        &home.path("app.log"),
        &line("Modal inference started - model=m, region=us-east"),
    );
    append(&home.path("app.log"), &line("SUCCESS - duration=0.50s"));
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let sources = ["--source", "file:app.log", "--source", "command:sleep 1000"];
    let arguments = [&["--listen", &address][..], &sources].concat();
    let collector = home.start(home.command(&arguments));
    home.wait_for_completed(1).await;

    let arguments = [&["doctor", "--json", "--listen", &address][..], &sources].concat();
    let patience = Instant::now() + Duration::from_secs(60);
    let output = loop {
        let output = home.command(&arguments).output().unwrap();
        // The daemon is ready a moment after the first row.
        if output.status.success() || Instant::now() > patience {
            break output;
        }
    };
    let found = findings(&output);
    assert_eq!(output.status.code(), Some(0), "{found:#?}");
    for what in [
        "database",
        "schema",
        "rights",
        "clock",
        "spans",
        "unmatched",
        "losses",
        "daemon",
        "tokens",
        "spool",
        "source file:app.log",
    ] {
        assert_eq!(about(&found, what).0, "ok", "{found:#?}");
    }
    assert!(
        about(&found, "spans").1.contains("modal (1, collected)"),
        "{found:#?}"
    );
    assert!(about(&found, "daemon").1.contains("lag"), "{found:#?}");
    // The same for people.
    let words = [&["doctor", "--listen", &address][..], &sources].concat();
    let output = home.command(&words).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("ok    database: SQLite 3"), "{text}");
    assert!(text.contains(" 0 failed\n"), "{text}");
    collector.stop();
}

#[test]
fn each_fault_is_found_and_has_a_remedy() {
    let home = Home::new();
    let word = ["hun", "ter2"].concat();
    let url = format!("postgres://me:{word}@127.0.0.1:1/x");
    let config = "[http]\ntokens_file = \"/no/such/tokens\"\n[modal]\ncli = \"/no/such/modal\"\nvia = \"cli\"\n";
    std::fs::write(home.path("c.toml"), config).unwrap();
    let output = home
        .command(&[
            "doctor",
            "--json",
            "--config",
            "c.toml",
            "--database",
            &url,
            "--listen",
            "127.0.0.1:1",
            "--source",
            "file:none.log",
            "--source",
            "command:no-such-program -x",
            "--source",
            "modal:app",
            "--source",
            "http://127.0.0.1:1/x",
        ])
        .output()
        .unwrap();
    let found = findings(&output);
    assert_eq!(output.status.code(), Some(1), "{found:#?}");
    for (what, verdict, says) in [
        ("secrets", "warn", "database_file"),
        ("tokens", "fail", "/no/such/tokens"),
        ("database", "fail", "start the database"),
        ("source file:none.log", "fail", "no such file yet"),
        ("source modal:app", "fail", "[modal]"),
        (
            "source http:http://127.0.0.1:1/x",
            "fail",
            "cannot be reached",
        ),
        ("daemon", "warn", "nobody listens"),
    ] {
        let (told, text) = about(&found, what);
        assert_eq!(told, verdict, "{what}: {text}");
        assert!(text.contains(says), "{what}: {text}");
    }
    let command = found.iter().find(|finding| {
        let about = finding["about"].as_str().unwrap();
        about.starts_with("source command:no-such-program#")
    });
    assert_eq!(command.unwrap()["verdict"], "fail", "{found:#?}");
    let everything = format!("{found:?}{}", String::from_utf8_lossy(&output.stderr));
    assert!(!everything.contains(&word), "{everything}");
    // Everything that is not well says what to do.
    for finding in &found {
        assert!(
            finding["verdict"] == "ok" || finding["remedy"].is_string(),
            "{finding}"
        );
    }
}

#[test]
fn looking_makes_no_database() {
    let home = Home::new();
    let output = home
        .command(&["doctor", "--json", "--listen", "none", "--source", "stdin"])
        .output()
        .unwrap();
    let (verdict, _) = about(&findings(&output), "database");
    assert_eq!(verdict, "warn");
    assert!(!home.path("beacon.db").exists());
    assert!(!home.path("spool").exists());
}
