//! The HTTP server against those who wish it ill, and those who are only slow or mistaken.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::database::{self, Database};
use crate::support::server::{Server, program};
use crate::support::world;

const ROUTES: [&str; 6] = [
    "/",
    "/healthz",
    "/metrics",
    "/openapi.json",
    "/mcp",
    "/api/v1/failures",
];

async fn world() -> Database {
    let database = database::sqlite().await;
    database.execute(&world::sql()).await;
    database
}

/// A configuration file with these tokens.
fn with_tokens(folder: &std::path::Path, tokens: &[&str]) -> String {
    let mut text = String::new();
    for (at, token) in tokens.iter().enumerate() {
        let file = folder.join(format!("token-{token}"));
        std::fs::write(&file, token).unwrap();
        text.push_str(&format!(
            "[[http.tokens]]\nname = \"t{at}\"\nfile = {:?}\n",
            file.display().to_string()
        ));
    }
    let file = folder.join("config.toml");
    std::fs::write(&file, text).unwrap();
    file.display().to_string()
}

#[tokio::test]
async fn a_foreign_host_or_origin_is_refused_on_every_route() {
    let database = world().await;
    let server = Server::start(&database.url, &[]);
    for route in ROUTES {
        for foreign in [("Host", "evil.example"), ("Origin", "https://evil.example")] {
            assert_eq!(
                server.send("GET", route, &[foreign], "").status,
                403,
                "{route} {foreign:?}"
            );
            assert_eq!(
                server.send("POST", route, &[foreign], "{}").status,
                403,
                "{route}"
            );
        }
    }
    let own = ("Origin", "http://localhost:3000");
    assert_eq!(server.send("GET", "/healthz", &[own], "").status, 200);
}

#[tokio::test]
async fn with_tokens_nobody_passes_without_one_and_sighup_reads_them_again() {
    let database = world().await;
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = ("old-token-0123456789", "new-token-0123456789");
    let config = with_tokens(folder.path(), &[old, "another-0123456789"]);
    let server = Server::start(&database.url, &["--config", &config]);
    let with = |token: &str| {
        let value = format!("Bearer {token}");
        server
            .send("GET", "/api/v1/failures", &[("Authorization", &value)], "")
            .status
    };
    for route in ["/", "/metrics", "/mcp", "/api/v1/failures", "/no/such/path"] {
        let reply = server.get(route);
        assert_eq!(reply.status, 401, "{route}");
        assert!(
            reply.head.contains("www-authenticate: bearer"),
            "{}",
            reply.head
        );
    }
    assert_eq!(server.get("/healthz").status, 200);
    assert_eq!(
        (with(old), with("wrong-token-0123456789"), with("")),
        (200, 401, 401)
    );
    with_tokens(folder.path(), &[new]);
    server.signal(Signal::SIGHUP);
    let began = Instant::now();
    while with(new) != 200 {
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "the new token is not accepted"
        );
    }
    assert_eq!(with(old), 401);
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
async fn what_is_too_large_or_malformed_is_refused_and_the_server_goes_on() {
    let database = world().await;
    let server = Server::start(&database.url, &[]);
    let json = [
        ("Content-Type", "application/json"),
        ("Accept", "application/json, text/event-stream"),
    ];
    let large = "x".repeat(2 * 1024 * 1024);
    assert_eq!(server.send("POST", "/mcp", &json, &large).status, 413);
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    for body in [
        "",
        "{",
        "null",
        "[]",
        "{\"jsonrpc\":\"2.0\"}",
        "\u{0}",
        &deep,
    ] {
        let status = server.send("POST", "/mcp", &json, body).status;
        assert!(
            (400..500).contains(&status),
            "{status} for {:?}",
            body.get(..body.len().min(20))
        );
    }
    let path = format!("/api/v1/traces/{}", "a".repeat(60_000));
    let status = server.get(&path).status;
    assert!((400..500).contains(&status), "{status}");
    assert_eq!(server.get("/healthz").status, 200);
}

#[tokio::test]
async fn sql_in_any_argument_is_only_text() {
    let database = world().await;
    let before = database.dump().await;
    let server = Server::start(&database.url, &[]);
    let list = server.mcp("tools/list", &json!({}));
    for tool in list["result"]["tools"].as_array().unwrap() {
        let names = tool["inputSchema"]["properties"]
            .as_object()
            .unwrap()
            .keys();
        for name in names {
            for sql in [
                "' or 1=1 --",
                "'; drop table trace_spans; --",
                "%",
                "\\' union select 1",
                "🔍\u{0}",
            ] {
                let arguments =
                    json!({ "execution_id": 2301, "job_id": "1", "trace_id": world::TRACE });
                let known = &tool["inputSchema"]["properties"];
                let mut arguments: serde_json::Map<String, Value> =
                    arguments.as_object().unwrap().clone();
                arguments.retain(|name, _| known[name].is_object());
                arguments.insert(name.clone(), sql.into());
                let call = json!({ "name": tool["name"], "arguments": arguments });
                let answer = server.mcp("tools/call", &call);
                let text = answer["result"]["content"][0]["text"].as_str().unwrap();
                for word in ["syntax", "sqlite", "panicked", "database does not answer"] {
                    assert!(!text.to_lowercase().contains(word), "{call}: {text}");
                }
            }
        }
    }
    assert_eq!(database.dump().await, before);
}

#[tokio::test]
async fn what_a_log_says_stays_in_fields_that_are_marked_as_quotes() {
    let database = world().await;
    let server = Server::start(&database.url, &[]);
    let list = server.mcp("tools/list", &json!({}));
    for tool in list["result"]["tools"].as_array().unwrap() {
        let known = &tool["inputSchema"]["properties"];
        let all = json!({ "execution_id": 2301, "job_id": world::JOB, "trace_id": world::TRACE, "since": "2025-10-01" });
        let mut arguments = all.as_object().unwrap().clone();
        arguments.retain(|name, _| known[name].is_object());
        let answer = server.mcp(
            "tools/call",
            &json!({ "name": tool["name"], "arguments": arguments }),
        );
        let content = &answer["result"]["structuredContent"];
        assert!(content.is_object(), "{answer}");
        let mut places = Vec::new();
        find(content, "IGNORE ALL PREVIOUS", "", &mut places);
        for place in places {
            let quoted = place.contains("quoted_") || place.ends_with("error_message");
            assert!(quoted, "{}: {place}", tool["name"]);
        }
        let text = content.to_string();
        assert!(
            !text.contains("\\u001b") && !text.contains('\u{202e}'),
            "{}",
            tool["name"]
        );
    }
}

/// Where a text stands in a value.
fn find(value: &Value, text: &str, place: &str, places: &mut Vec<String>) {
    match value {
        Value::String(own) if own.contains(text) => places.push(place.to_owned()),
        Value::Array(items) => items
            .iter()
            .for_each(|item| find(item, text, place, places)),
        Value::Object(map) => {
            for (name, item) in map {
                find(item, text, &format!("{place}.{name}"), places);
            }
        }
        _ => {}
    }
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
