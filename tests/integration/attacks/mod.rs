//! The server against those who wish it ill: every route, every way in. docs/mcp.md has the table.

mod requests;
mod text;

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::database::{self, Database};
use crate::support::server::Server;
use crate::support::world;

/// Every route with the method that it takes; openapi.json is asked whether one is missing.
const ROUTES: [(&str, &str); 19] = [
    ("GET", "/"),
    ("GET", "/traces/00000000-0000-4000-8000-000000002301"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
    ("GET", "/openapi.json"),
    ("POST", "/mcp"),
    ("GET", "/api/v1/executions/2301/diagnosis"),
    ("GET", "/api/v1/executions/2301/comparison"),
    ("GET", "/api/v1/jobs/1/timeouts"),
    ("GET", "/api/v1/failures"),
    ("GET", "/api/v1/performance"),
    ("GET", "/api/v1/traces/00000000-0000-4000-8000-000000002301"),
    (
        "GET",
        "/api/v1/traces/00000000-0000-4000-8000-000000002301/gaps",
    ),
    ("GET", "/api/v1/spans"),
    ("GET", "/api/v1/status"),
    ("POST", "/api/v1/ingest/test"),
    ("POST", "/v1/logs"),
    ("POST", "/v1/traces"),
];

const JSON: [(&str, &str); 2] = [
    ("Content-Type", "application/json"),
    ("Accept", "application/json, text/event-stream"),
];

async fn world() -> Database {
    let database = database::sqlite().await;
    database.execute(&world::sql()).await;
    database
}

/// A path with ids in the place of parameters is the same route as one with others.
fn is_route(described: &str, path: &str) -> bool {
    let (mut described, mut path) = (described.split('/'), path.split('/'));
    loop {
        match (described.next(), path.next()) {
            (None, None) => return true,
            (Some(name), Some(own)) if name.starts_with('{') || name == own => {}
            _ => return false,
        }
    }
}

#[tokio::test]
async fn a_page_elsewhere_reaches_no_route_by_a_name_or_origin_of_its_own() {
    let database = world().await;
    let server = Server::start(&database.url, &[]);
    let described: Value = serde_json::from_str(&server.get("/openapi.json").body).unwrap();
    for path in described["paths"].as_object().unwrap().keys() {
        assert!(
            ROUTES.iter().any(|route| is_route(path, route.1)),
            "{path} is not tried here"
        );
    }
    let port = server.address.rsplit_once(':').unwrap().1;
    let rebound = format!("evil.example:{port}");
    let suffixed = format!("localhost.evil.example:{port}");
    let named = format!("evil.example@{}", server.address);
    let foreign: [&[(&str, &str)]; 8] = [
        &[("Host", &rebound)],
        &[("Host", &suffixed)],
        &[("Host", &named)],
        &[("Host", &server.address), ("Host", "evil.example")],
        &[("Origin", "https://evil.example")],
        &[("Origin", "null")],
        &[("Origin", "http://localhost.evil.example")],
        &[
            ("Origin", "http://localhost"),
            ("Origin", "https://evil.example"),
        ],
    ];
    for (_, path) in ROUTES {
        for headers in foreign {
            for method in ["GET", "POST", "OPTIONS"] {
                let reply = server.send(method, path, headers, "");
                // Two Hosts are refused as a malformed request, before any route.
                assert!(
                    matches!(reply.status, 400 | 403),
                    "{method} {path} {headers:?}: {reply:?}"
                );
                assert!(
                    !reply.head.contains("access-control-allow"),
                    "{}",
                    reply.head
                );
            }
        }
    }
}

/// A configuration file with these tokens, by name.
fn with_tokens(folder: &std::path::Path, tokens: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (name, token) in tokens {
        let file = folder.join(format!("token-{name}"));
        std::fs::write(&file, token).unwrap();
        let file = file.display().to_string();
        text.push_str(&format!(
            "[[http.tokens]]\nname = {name:?}\nfile = {file:?}\n"
        ));
    }
    let file = folder.join("config.toml");
    std::fs::write(&file, text).unwrap();
    file.display().to_string()
}

/// Waits until a request is answered like this.
fn until(what: &str, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(20), "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[tokio::test]
async fn no_route_but_health_answers_without_a_token_in_force() {
    let database = world().await;
    let folder = tempfile::tempdir().unwrap();
    // Made here, so that no file holds what looks like one.
    let token = |name: &str| format!("{name}-{}", "0123456789".repeat(2));
    let (kept, revoked) = (token("kept"), token("revoked"));
    let config = with_tokens(folder.path(), &[("kept", &kept), ("revoked", &revoked)]);
    let server = Server::start(&database.url, &["--config", &config]);
    let ask = |method: &str, path: &str, bearer: &str| {
        let mut headers = vec![("Authorization", bearer)];
        headers.extend(JSON);
        server.send(method, path, &headers, "{}").status
    };
    let good = format!("Bearer {kept}");
    let wrong = [
        String::new(),
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        format!("Bearer {kept}x"),
        format!("Bearer {}", kept.trim_end_matches('9')),
        format!("Basic {kept}"),
        format!("Bearer {kept},{revoked}"),
        kept.clone(),
    ];
    for (method, path) in ROUTES {
        let open = matches!(path, "/healthz" | "/readyz");
        for bearer in &wrong {
            let status = ask(method, path, bearer);
            assert_eq!(status == 401, !open, "{method} {path} {bearer:?}: {status}");
        }
        let in_query = format!("{path}?token={kept}&access_token={kept}");
        assert_eq!(server.get(&in_query).status == 401, !open, "{path}");
        assert_ne!(ask(method, path, &good), 401, "{path}");
    }
    let mut headers = vec![("Authorization", good.as_str())];
    headers.extend(JSON);
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_trace","arguments":{"trace_id":"00000000\u001b[2J"}}}"#;
    assert_eq!(server.send("POST", "/mcp", &headers, call).status, 200);
    let line = server.said(&["tool called", "who=kept", "get_trace", "trace_id"]);
    assert!(line.contains(" ms=") && line.contains(" bytes="), "{line}");
    assert!(!line.contains('\u{1b}'), "{line}");
    server.said(&["asked over REST", "who=kept", "get_recent_failures"]);
    let read = r#"{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"beacon://glossary"}}"#;
    assert_eq!(server.send("POST", "/mcp", &headers, read).status, 200);
    server.said(&["resource read", "who=kept", "beacon://glossary", " bytes="]);
    let log = server.said(&["who=kept"]);
    assert!(!log.contains(&kept), "{log}");
    let old = format!("Bearer {revoked}");
    let failures = |bearer: &str| ask("GET", "/api/v1/failures", bearer);
    assert_eq!(failures(&old), 200);
    with_tokens(folder.path(), &[("kept", &kept)]);
    server.signal(Signal::SIGHUP);
    until("the revoked token is refused", || failures(&old) == 401);
    assert_eq!(failures(&good), 200);
    // Taking away the last one closes the door; it doesn't open it.
    with_tokens(folder.path(), &[]);
    server.signal(Signal::SIGHUP);
    until("the last token is refused", || failures(&good) == 401);
    assert_eq!(server.get("/api/v1/failures").status, 401);
}
