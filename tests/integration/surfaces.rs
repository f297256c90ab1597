//! The same question asked on the command line, over REST and over MCP, on both databases.

use std::io::Write as _;
use std::process::Stdio;

use beacon_collector::query::Tool;
use serde_json::{Map, Value, json};

use crate::support::database::{self, Database};
use crate::support::server::{Server, program};
use crate::support::world;

/// A tool, its arguments, the command line and the path that ask the same.
type Question = (Tool, Value, Vec<String>, String);

/// A span of the trace of the execution that failed.
const SPAN: &str = "00000000-0000-4000-9001-000000002301";

fn questions() -> Vec<Question> {
    let (id, job, trace) = (world::FAILED, world::JOB, world::TRACE);
    let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let (since, until) = ("2025-10-22T00:00:00Z", "2025-10-23T00:00:00Z");
    vec![
        (
            Tool::DiagnoseExecution,
            json!({ "execution_id": id }),
            words(&format!("diagnose-execution {id}")),
            format!("/api/v1/executions/{id}/diagnosis"),
        ),
        (
            Tool::FindTimeoutRootCause,
            json!({ "job_id": job }),
            words(&format!("timeouts {job}")),
            format!("/api/v1/jobs/{job}/timeouts"),
        ),
        (
            Tool::CompareWithSuccessful,
            json!({ "execution_id": id }),
            words(&format!("compare {id}")),
            format!("/api/v1/executions/{id}/comparison"),
        ),
        (
            Tool::GetRecentFailures,
            json!({ "limit": 5, "region": "US" }),
            words("failures --limit 5 --region US"),
            "/api/v1/failures?limit=5&region=US".to_owned(),
        ),
        (
            Tool::AnalyzePerformance,
            json!({ "model_id": "llama3.2-1b" }),
            words("performance --model-id llama3.2-1b"),
            "/api/v1/performance?model_id=llama3.2-1b".to_owned(),
        ),
        (
            Tool::FindTraceGaps,
            json!({ "trace_id": trace }),
            words(&format!("gaps {trace}")),
            format!("/api/v1/traces/{trace}/gaps"),
        ),
        (
            Tool::SearchSpans,
            json!({ "since": since, "until": until, "status": "failed", "limit": 2 }),
            words(&format!(
                "search --since {since} --until {until} --status failed --limit 2"
            )),
            format!("/api/v1/spans?since={since}&until={until}&status=failed&limit=2"),
        ),
        (
            Tool::GetTrace,
            json!({ "trace_id": trace, "span_id": SPAN }),
            words(&format!("trace {trace} --span-id {SPAN}")),
            format!("/api/v1/traces/{trace}?span_id={SPAN}"),
        ),
    ]
}

async fn with_world(database: &Database) {
    database.add_runner_tables().await;
    database.execute(&world::sql()).await;
}

async fn surfaces_agree(database: Database) {
    with_world(&database).await;
    let server = Server::start(&database.url, &[]);
    let state = tempfile::tempdir().unwrap();
    for (tool, arguments, mut words, path) in questions() {
        let rest = server.get(&path);
        assert_eq!(rest.status, 200, "{path}: {}", rest.body);
        words.push("--json".to_owned());
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let printed = program(&database.url, state.path(), &words)
            .output()
            .unwrap();
        assert_eq!(
            String::from_utf8(printed.stdout).unwrap(),
            rest.body,
            "{path}"
        );
        let call = json!({ "name": tool.name(), "arguments": arguments });
        let answer = server.mcp("tools/call", &call);
        let text = answer["result"]["content"][0]["text"].as_str().unwrap();
        assert_eq!(format!("{text}\n"), rest.body, "{path}");
        let value: Value = serde_json::from_str(text).unwrap();
        assert_eq!(answer["result"]["structuredContent"], value, "{path}");
        assert_eq!(on_stdio(&database.url, &["mcp"], &call), answer, "{path}");
    }
    // The collector's own state has times of the moment in it, and the command collects nothing.
    let state_of = |text: &str| {
        let mut state: Value = serde_json::from_str(text).unwrap();
        for (name, value) in state.as_object_mut().unwrap() {
            if matches!(name.as_str(), "checked_at" | "collecting" | "notes") {
                *value = Value::Null;
            }
        }
        state
    };
    let rest = server.get("/api/v1/status");
    let printed = program(&database.url, state.path(), &["status", "--json"]).output();
    let printed = String::from_utf8(printed.unwrap().stdout).unwrap();
    let call = json!({ "name": "collector_status", "arguments": {} });
    let answer = server.mcp("tools/call", &call);
    let text = answer["result"]["content"][0]["text"].as_str().unwrap();
    assert_eq!(state_of(&printed), state_of(&rest.body));
    assert_eq!(state_of(text), state_of(&rest.body));
    let url = format!("http://{}", server.address);
    let call =
        json!({ "name": "diagnose_execution", "arguments": { "execution_id": world::FAILED } });
    let through_daemon = on_stdio("sqlite:/nowhere", &["mcp", "--url", &url], &call);
    assert_eq!(through_daemon, server.mcp("tools/call", &call));
}

/// The same call to the server that is a command.
fn on_stdio(database: &str, arguments: &[&str], call: &Value) -> Value {
    let state = tempfile::tempdir().unwrap();
    let mut child = program(database, state.path(), arguments)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let hello = json!({
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "test", "version": "1" },
    });
    let mut input = child.stdin.take().unwrap();
    let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut answer = || {
        let mut line = String::new();
        std::io::BufRead::read_line(&mut out, &mut line).unwrap();
        serde_json::from_str::<Value>(&line).unwrap()
    };
    let mut say = |message: Value| writeln!(input, "{message}").unwrap();
    say(json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": hello }));
    // A client says nothing more before it is greeted.
    let _hello = answer();
    say(json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
    say(json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call }));
    let answer = answer();
    drop(input);
    assert!(child.wait().unwrap().success());
    answer
}

#[tokio::test]
async fn command_line_rest_and_mcp_answer_with_the_same_bytes_on_sqlite() {
    surfaces_agree(database::sqlite().await).await;
}

#[tokio::test]
async fn command_line_rest_and_mcp_answer_with_the_same_bytes_on_postgres() {
    surfaces_agree(database::postgres().await).await;
}

#[tokio::test]
async fn the_first_line_for_people_names_the_cause() {
    let database = database::sqlite().await;
    with_world(&database).await;
    let state = tempfile::tempdir().unwrap();
    let id = world::FAILED.to_string();
    let output = program(&database.url, state.path(), &["diagnose", &id])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let first = text.lines().next().unwrap();
    assert!(
        first.starts_with("No healthy provider (no_healthy_provider)"),
        "{text}"
    );
    assert!(
        !text.contains('\u{1b}') && !text.contains('\u{202e}'),
        "{text}"
    );
}

#[tokio::test]
async fn every_tool_of_the_list_has_schemas_that_its_answer_fits() {
    let database = database::sqlite().await;
    with_world(&database).await;
    let server = Server::start(&database.url, &[]);
    let list = server.mcp("tools/list", &json!({}));
    let tools = list["result"]["tools"].as_array().unwrap();
    assert_eq!(tools.len(), Tool::ALL.len());
    let mut calls: Vec<(Tool, Value)> = questions().into_iter().map(|q| (q.0, q.1)).collect();
    calls.push((Tool::CollectorStatus, json!({})));
    for (tool, arguments) in calls {
        let listed = tools.iter().find(|one| one["name"] == tool.name()).unwrap();
        let given: Map<String, Value> = arguments.as_object().unwrap().clone();
        for name in given.keys() {
            assert!(
                listed["inputSchema"]["properties"][name].is_object(),
                "{name}"
            );
        }
        let answer = server.mcp(
            "tools/call",
            &json!({ "name": tool.name(), "arguments": given }),
        );
        let answer = &answer["result"];
        assert_eq!(answer["isError"], false, "{answer}");
        let known = listed["outputSchema"]["properties"].as_object().unwrap();
        for (name, value) in answer["structuredContent"].as_object().unwrap() {
            assert!(known.contains_key(name), "{}: {name}", tool.name());
            assert!(
                fits(&known[name], value),
                "{}: {name}: {value}",
                tool.name()
            );
        }
    }
}

fn fits(schema: &Value, value: &Value) -> bool {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let is = |one: &Value| one == kind || (one == "number" && kind == "integer");
    match schema["anyOf"].as_array() {
        Some(branches) => branches.iter().any(|branch| is(&branch["type"])),
        None => is(&schema["type"]),
    }
}

#[tokio::test]
async fn an_execution_is_diagnosed_before_anybody_has_linked_its_trace() {
    let database = database::sqlite().await;
    with_world(&database).await;
    database
        .execute("update trace_spans set execution_id = null, metadata = json_set(metadata, '$.job_id', 'bias-detection-1761138000000')")
        .await;
    let state = tempfile::tempdir().unwrap();
    let id = world::FAILED.to_string();
    let output = program(&database.url, state.path(), &["diagnose", &id, "--json"])
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["trace_id"], world::TRACE, "{report}");
    assert_eq!(report["root_cause_code"], "no_healthy_provider");
    let kept = database.texts("select trace_id from execution_links").await;
    assert!(kept.is_empty(), "an answer must not write");
}
