//! The HTTP server: where it listens, what it takes in, how it ends.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::database::{self, Database};
use crate::support::server::{Server, program};
use crate::support::world;

async fn world() -> Database {
    let database = database::sqlite().await;
    database.execute(&world::sql()).await;
    database
}

#[tokio::test]
async fn an_address_that_others_can_reach_needs_a_token() {
    let database = world().await;
    let state = tempfile::tempdir().unwrap();
    let arguments = ["run", "--listen", "0.0.0.0:0"];
    let output = program(&database.url, state.path(), &arguments)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("needs a token"), "{said}");
}

#[tokio::test]
async fn when_the_default_address_is_taken_it_collects_without_serving() {
    let database = world().await;
    // Taken by somebody else is as good.
    let _taken = std::net::TcpListener::bind("127.0.0.1:7410");
    let state = tempfile::tempdir().unwrap();
    let output = program(&database.url, state.path(), &[]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("not serving HTTP"), "{said}");
    let arguments = ["run", "--listen", "127.0.0.1:7410"];
    let output = program(&database.url, state.path(), &arguments)
        .output()
        .unwrap();
    assert_eq!(
        output.status.code(),
        Some(1),
        "a named address has to be free"
    );
}

#[tokio::test]
async fn a_daemon_that_is_not_there_is_an_error_and_not_silence() {
    let state = tempfile::tempdir().unwrap();
    let arguments = ["mcp", "--url", "http://127.0.0.1:1"];
    let mut child = program("sqlite:/nowhere", state.path(), &arguments)
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    writeln!(
        input,
        "{}",
        json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/list" })
    )
    .unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["id"], 7);
    let said = answer["error"]["message"].as_str().unwrap();
    assert!(said.contains("cannot reach the collector"), "{said}");
}

#[tokio::test]
async fn a_pushed_log_is_stored_when_the_push_is_answered() {
    let database = world().await;
    let server = Server::start(&database.url, &[]);
    let lines = "2026-01-02T03:04:05.000000Z TRACE[00c0ffee]: Modal inference started - model=m, region=us-east\n\
                 2026-01-02T03:04:06.000000Z TRACE[00c0ffee]: SUCCESS - duration=1.00s\n";
    for _ in 0..2 {
        assert_eq!(
            server
                .send("POST", "/api/v1/ingest/test", &[], lines)
                .status,
            204
        );
    }
    let reply = server.get("/api/v1/traces/00c0ffee");
    let trace: Value = serde_json::from_str(&reply.body).unwrap();
    assert_eq!(
        (&trace["total_spans"], &trace["spans"][0]["status"]),
        (&json!(1), &json!("completed"))
    );
}

#[tokio::test]
async fn open_connections_hold_up_no_shutdown() {
    let database = world().await;
    let server = Server::start(&database.url, &[]);
    let idle = TcpStream::connect(&server.address).unwrap();
    let mut half = TcpStream::connect(&server.address).unwrap();
    half.write_all(b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
        .unwrap();
    let began = Instant::now();
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait(), Some(0));
    assert!(
        began.elapsed() < Duration::from_secs(15),
        "{:?}",
        began.elapsed()
    );
    drop((idle, half));
}

#[tokio::test]
async fn keep_alive_answers_come_at_once() {
    let database = world().await;
    let server = Server::start(&database.url, &[]);
    let mut stream = TcpStream::connect(&server.address).unwrap();
    let request = format!("GET /healthz HTTP/1.1\r\nHost: {}\r\n\r\n", server.address);
    let began = Instant::now();
    for _ in 0..50 {
        stream.write_all(request.as_bytes()).unwrap();
        let mut seen = Vec::new();
        while !seen.ends_with(b"ok\n") {
            let mut piece = [0; 512];
            let read = stream.read(&mut piece).unwrap();
            assert!(read > 0, "the connection was closed");
            seen.extend_from_slice(&piece[..read]);
        }
    }
    // With Nagle's algorithm each would take 40 ms.
    assert!(
        began.elapsed() < Duration::from_secs(1),
        "{:?}",
        began.elapsed()
    );
}
