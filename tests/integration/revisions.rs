//! The revisions of the Model Context Protocol that clients in the field speak: each is agreed upon and
//! answers the same, over HTTP and on standard input and output.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::database::{self, Database};
use crate::support::server::{Server, program};
use crate::support::world;

/// Those with a handshake, oldest first.
const WITH_HANDSHAKE: [&str; 4] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];
/// The one without: every request says what it is.
const WITHOUT: &str = "2026-07-28";

async fn world() -> Database {
    let database = database::sqlite().await;
    database.execute(&world::sql()).await;
    database
}

fn hello(revision: &str) -> Value {
    json!({
        "jsonrpc": "2.0", "id": 0, "method": "initialize",
        "params": { "protocolVersion": revision, "capabilities": {}, "clientInfo": { "name": "test", "version": "1" } },
    })
}

/// A method, its parameters, and what must hold of the answer.
type Question = (&'static str, Value, fn(&Value) -> bool);

/// What every client asks.
fn questions() -> Vec<Question> {
    let call = |name: &str, id: i64| json!({ "name": name, "arguments": { "execution_id": id } });
    vec![
        ("tools/list", json!({}), |answer| {
            answer["result"]["tools"].as_array().map(Vec::len) == Some(9)
        }),
        (
            "tools/call",
            call("diagnose_execution", world::FAILED),
            |answer| {
                answer["result"]["isError"] == false
                    && answer["result"]["content"][0]["text"]
                        .as_str()
                        .is_some_and(|text| text.contains("no_healthy_provider"))
            },
        ),
        ("tools/call", call("diagnose_execution", -1), |answer| {
            answer["result"]["isError"] == true
        }),
        ("tools/call", call("no_such_tool", 1), |answer| {
            answer["error"]["code"] == -32602
        }),
        ("prompts/list", json!({}), |answer| {
            answer["result"]["prompts"].as_array().map(Vec::len) == Some(3)
        }),
        (
            "resources/read",
            json!({ "uri": "execution://2301" }),
            |answer| answer["result"]["contents"][0]["text"].is_string(),
        ),
        ("no/such/method", json!({}), |answer| {
            answer["error"]["code"] == -32601
        }),
    ]
}

/// A request of a revision, which says itself what it is where there was no handshake.
fn request(revision: &str, id: usize, method: &str, mut params: Value) -> Value {
    if revision == WITHOUT {
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": WITHOUT,
            "io.modelcontextprotocol/clientCapabilities": {},
            "io.modelcontextprotocol/clientInfo": { "name": "test", "version": "1" },
        });
    }
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
}

fn over_http(server: &Server, revision: Option<&str>, body: &Value) -> Value {
    let mut headers = vec![
        ("Content-Type", "application/json"),
        ("Accept", "application/json, text/event-stream"),
    ];
    let method = body["method"].as_str().unwrap();
    let name = body["params"]["name"].as_str();
    let name = name.or(body["params"]["uri"].as_str()).unwrap_or_default();
    if let Some(revision) = revision {
        headers.push(("MCP-Protocol-Version", revision));
        if revision == WITHOUT {
            headers.push(("Mcp-Method", method));
            if !name.is_empty() {
                headers.push(("Mcp-Name", name));
            }
        }
    }
    let reply = server.send("POST", "/mcp", &headers, &body.to_string());
    serde_json::from_str(&reply.body).unwrap_or_else(|_| panic!("{revision:?} {body}: {reply:?}"))
}

#[tokio::test]
async fn every_revision_is_answered_over_http() {
    let database = world().await;
    let server = Server::start(&database.url, &[]);
    for revision in WITH_HANDSHAKE {
        let hello = over_http(&server, None, &hello(revision));
        assert_eq!(hello["result"]["protocolVersion"], revision, "{hello}");
        assert!(
            hello["result"]["capabilities"]["tools"].is_object(),
            "{hello}"
        );
    }
    for revision in WITH_HANDSHAKE.into_iter().chain([WITHOUT]) {
        for (id, (method, params, holds)) in questions().into_iter().enumerate() {
            let asked = request(revision, id, method, params);
            let answer = over_http(&server, Some(revision), &asked);
            assert_eq!(answer["id"], id, "{revision}: {answer}");
            assert!(holds(&answer), "{revision}: {asked}: {answer}");
        }
    }
    let discovered = request(WITHOUT, 1, "server/discover", json!({}));
    let answer = over_http(&server, Some(WITHOUT), &discovered);
    let listed = answer["result"]["supportedVersions"].to_string();
    assert!(listed.contains(WITHOUT), "{answer}");
}

#[tokio::test]
async fn a_revision_that_nobody_knows_is_answered_with_one_that_both_can_learn() {
    let database = world().await;
    let server = Server::start(&database.url, &[]);
    let answer = over_http(&server, None, &hello("2099-01-01"));
    let offered = answer["result"]["protocolVersion"].as_str().unwrap();
    assert!(WITH_HANDSHAKE.contains(&offered), "{answer}");
}

/// Sends lines to the server that is a command and reads as many answers as there are requests.
fn on_stdio(database: &str, arguments: &[&str], lines: &[Value]) -> Vec<Value> {
    let state = tempfile::tempdir().unwrap();
    let mut child = program(database, state.path(), arguments)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut answers = Vec::new();
    for line in lines {
        writeln!(input, "{line}").unwrap();
        if line.get("id").is_some() {
            let mut answer = String::new();
            out.read_line(&mut answer).unwrap();
            answers.push(serde_json::from_str(&answer).unwrap());
        }
    }
    drop(input);
    assert!(child.wait().unwrap().success());
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut out, &mut rest).unwrap();
    assert_eq!(rest, "", "nothing but answers goes to stdout");
    answers
}

#[tokio::test]
async fn every_revision_is_answered_on_standard_input_and_output_straight_and_through_a_daemon() {
    let database = world().await;
    let server = Server::start(&database.url, &[]);
    let url = format!("http://{}", server.address);
    for revision in WITH_HANDSHAKE.into_iter().chain([WITHOUT]) {
        let mut lines = Vec::new();
        if revision != WITHOUT {
            lines.push(hello(revision));
            lines.push(json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
        }
        let greeted = lines.len().min(1);
        for (id, (method, params, _)) in questions().into_iter().enumerate() {
            lines.push(request(revision, id + 1, method, params));
        }
        let straight = on_stdio(&database.url, &["mcp"], &lines);
        let carried = on_stdio("sqlite:/nowhere", &["mcp", "--url", &url], &lines);
        for answers in [straight, carried] {
            for answer in &answers[..greeted] {
                assert_eq!(answer["result"]["protocolVersion"], revision, "{answer}");
            }
            for (answer, (method, _, holds)) in answers[greeted..].iter().zip(questions()) {
                assert!(holds(answer), "{revision}: {method}: {answer}");
            }
        }
    }
}
