//! The official OpenTelemetry SDK for Python as a sender.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::collector::append;
use crate::support::database;
use crate::support::modal::installed;
use crate::support::server::Server;

fn send(server: &Server, compression: &str) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/otlp/send.py");
    let output = Command::new(installed("modal-new", "python"))
        .args([script, &format!("http://{}", server.address), compression])
        .env_remove("HTTP_PROXY")
        .env_remove("http_proxy")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(!said.contains("Failed to export"), "{said}");
}

#[tokio::test]
async fn spans_and_logs_of_the_official_sdk_are_stored_with_their_context() {
    let db = database::sqlite().await;
    let server = Server::start(&db.url, &[]);
    for compression in ["none", "gzip"] {
        send(&server, compression);
    }
    let rows = db
        .texts(
            "select json_array(service, operation, status, execution_id, region, error_type, \
             parent_span_id is null, metadata ->> 'container_id', metadata ->> 'tokens', duration_ms is null) \
             from trace_spans order by service, operation, started_at",
        )
        .await;
    let rows: Vec<Value> = rows
        .iter()
        .map(|row| serde_json::from_str(row).unwrap())
        .collect();
    let modal = serde_json::json!([
        "modal",
        "inference",
        "completed",
        null,
        "eu-west",
        null,
        1,
        "ta-01OTLP",
        7,
        0
    ]);
    let inner = serde_json::json!([
        "runner",
        "call_router",
        "failed",
        null,
        null,
        "OSError",
        0,
        null,
        null,
        0
    ]);
    let outer = serde_json::json!([
        "runner",
        "execute",
        "completed",
        2379,
        "US",
        null,
        1,
        null,
        null,
        0
    ]);
    assert!(rows.contains(&modal), "{rows:?}");
    assert_eq!(
        rows.iter().filter(|row| **row == inner).count(),
        2,
        "{rows:?}"
    );
    assert_eq!(
        rows.iter().filter(|row| **row == outer).count(),
        2,
        "{rows:?}"
    );
}

#[tokio::test]
async fn the_lines_of_the_official_sdk_and_of_the_cli_are_one_span() {
    let db = database::sqlite().await;
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("app.log");
    let source = format!("file:{}", log.display());
    let server = Server::start(&db.url, &["--source", &source]);
    send(&server, "gzip");
    let modal = "from trace_spans where service = 'modal' and status = 'completed'";
    // As the CLI prints it: whole seconds, ids in front.
    let started = db
        .texts(&format!(
            "select strftime('%Y-%m-%d %H:%M:%S', started_at) {modal}"
        ))
        .await;
    let prefix = format!("{}+00:00 ta-01OTLP 🔍 TRACE[0badcafe]: ", started[0]);
    let lines = format!(
        "{prefix}Modal inference started - model=mistral-7b, region=eu-west\n\
         {prefix}SUCCESS - duration=0.00s, tokens=7\n"
    );
    append(&log, &lines);
    // Another span behind it shows that it was read.
    append(&log, &lines.replace("0badcafe", "0badcaff"));
    let seen = "select metadata ->> 'log_id' from trace_spans where service = 'modal' order by 1";
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let spans = db.texts(seen).await;
        if spans.iter().any(|span| span == "0badcaff") {
            assert_eq!(spans, ["0badcafe", "0badcaff"]);
            break;
        }
        assert!(Instant::now() < deadline, "{spans:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(server);
}
