//! Questions that make no sense, and rows that should not be: each gets an answer that helps, on the
//! command line, over REST and over MCP, on both databases, and none is longer than the cap.

use std::process::Output;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::database::{self, Database};
use crate::support::server::{Server, program};
use crate::support::world;

/// Bytes of an answer at most.
const CAP: usize = 24 * 1024;
/// An unoptimised program on a machine that does other things too answers within this; what it guards against
/// took minutes.
const PATIENCE: Duration = Duration::from_secs(60);

async fn world(database: Database) -> Database {
    database.add_runner_tables().await;
    database.execute(&world::sql()).await;
    database
}

async fn both() -> [Database; 2] {
    [
        world(database::sqlite().await).await,
        world(database::postgres().await).await,
    ]
}

fn run(database: &Database, words: &[&str]) -> Output {
    let state = tempfile::tempdir().unwrap();
    program(&database.url, state.path(), words)
        .output()
        .unwrap()
}

/// The answer as JSON, which must fit the cap.
#[track_caller]
fn answer(database: &Database, words: &[&str]) -> Value {
    let output = run(database, &[words, &["--json"]].concat());
    assert!(output.status.success(), "{words:?}: {output:?}");
    assert!(output.stdout.len() <= CAP + 1, "{}", output.stdout.len());
    serde_json::from_slice(&output.stdout).unwrap()
}

#[track_caller]
fn refused(database: &Database, words: &[&str], code: i32, says: &[&str]) {
    let output = run(database, words);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{words:?}: {said}");
    assert!(output.stdout.is_empty(), "{words:?}");
    for word in says {
        assert!(said.contains(word), "{words:?} should say {word}: {said}");
    }
    assert!(
        !said.contains("panicked") && !said.contains("RUST_BACKTRACE"),
        "{said}"
    );
}

#[tokio::test]
async fn an_id_that_is_unknown_or_malformed_is_refused_with_what_to_ask_instead() {
    for database in both().await {
        let huge = "9".repeat(40);
        for command in ["diagnose", "compare"] {
            refused(
                &database,
                &[command, "999999"],
                1,
                &["no execution 999999", "get_recent_failures"],
            );
            for id in ["-5", "0", &huge, "abc", "23 01", "2301; drop table jobs"] {
                refused(
                    &database,
                    &[command, id],
                    2,
                    &["execution_id", "positive integer", "2379"],
                );
            }
        }
        refused(
            &database,
            &["timeouts", "no-such-job"],
            1,
            &["no job \"no-such-job\"", "get_recent_failures"],
        );
        refused(
            &database,
            &["timeouts", &"x".repeat(400)],
            2,
            &["job_id", "longer than 300"],
        );
        refused(&database, &["timeouts", ""], 2, &["job_id is missing"]);
        let unknown = "11111111-2222-4333-8444-555555555555";
        refused(
            &database,
            &["gaps", unknown],
            1,
            &["no trace", "search_spans"],
        );
        refused(
            &database,
            &["gaps", "deadbeef"],
            1,
            &["no trace", "search_spans"],
        );
        refused(
            &database,
            &["gaps", "0000"],
            2,
            &["stands for 13 traces", "name one in full"],
        );
        for id in ["zz", "not a trace", "\u{1b}[2J", &"f".repeat(70)] {
            refused(&database, &["gaps", id], 2, &["trace_id", "UUID"]);
        }
        refused(
            &database,
            &["failures", "--limit", "0"],
            2,
            &["limit", "from 1 to 100"],
        );
        refused(
            &database,
            &["failures", "--since", "yesterday-ish"],
            2,
            &["since", "RFC 3339"],
        );
    }
}

#[tokio::test]
async fn over_http_the_same_refusals_are_4xx_and_tool_errors() {
    let database = world(database::sqlite().await).await;
    let server = Server::start(&database.url, &[]);
    let paths = [
        ("/api/v1/executions/999999/diagnosis", 404),
        ("/api/v1/executions/-5/diagnosis", 400),
        ("/api/v1/executions/99999999999999999999999/comparison", 400),
        ("/api/v1/executions/abc/diagnosis", 400),
        ("/api/v1/jobs/no-such-job/timeouts", 404),
        ("/api/v1/traces/zz/gaps", 400),
        ("/api/v1/traces/deadbeef/gaps", 404),
        ("/api/v1/failures?limit=-1", 400),
    ];
    for (path, status) in paths {
        let reply = server.get(path);
        assert_eq!(reply.status, status, "{path}: {}", reply.body);
        let problem: Value = serde_json::from_str(&reply.body).unwrap();
        assert!(problem.to_string().len() > 40, "{path}: {problem}");
    }
    for (tool, arguments) in [
        ("diagnose_execution", json!({ "execution_id": 999_999 })),
        ("diagnose_execution", json!({ "execution_id": -5 })),
        ("diagnose_execution", json!({ "execution_id": [1] })),
        (
            "find_timeout_root_cause",
            json!({ "job_id": "no-such-job" }),
        ),
        ("find_trace_gaps", json!({ "trace_id": "zz" })),
        ("get_recent_failures", json!({ "limit": 1e9 })),
    ] {
        let reply = server.mcp(
            "tools/call",
            &json!({ "name": tool, "arguments": arguments }),
        );
        assert_eq!(reply["result"]["isError"], true, "{reply}");
        let text = reply["result"]["content"][0]["text"].as_str().unwrap();
        assert!(text.len() > 40 && !text.contains("panicked"), "{text}");
    }
}

#[tokio::test]
async fn a_job_without_executions_says_so_and_what_to_check() {
    for database in both().await {
        database
            .execute("insert into jobs (id, jobspec_id, jobspec_data, status) values (77, 'empty-job', '{}', 'queued')")
            .await;
        let found = answer(&database, &["timeouts", "empty-job"]);
        assert_eq!(found["total_executions"], 0);
        assert_eq!(found["dominant_cause"], Value::Null);
        assert!(
            found["notes"][0]
                .as_str()
                .unwrap()
                .contains("no executions"),
            "{found}"
        );
        assert!(!found["recommendations"].as_array().unwrap().is_empty());
        // By the integer key, too.
        assert_eq!(
            answer(&database, &["timeouts", "77"])["job_id"],
            "empty-job"
        );
    }
}

#[tokio::test]
async fn an_execution_that_still_runs_is_said_to_and_for_how_long() {
    for database in both().await {
        let ago = match database.is_sqlite() {
            true => "strftime('%Y-%m-%dT%H:%M:%f000Z', 'now', '-90 seconds')",
            false => "(now() at time zone 'utc') - interval '90 seconds'",
        };
        database
            .execute(&format!(
                "insert into executions (id, job_id, provider_id, region, status, started_at, model_id, question_id) \
                 values (5000, 1, 'p', 'US', 'running', {ago}, 'llama3.2-1b', 'q')"
            ))
            .await;
        let found = answer(&database, &["diagnose", "5000"]);
        let ms = found["running_for_ms"].as_i64().unwrap();
        assert!((89_000..600_000).contains(&ms), "{ms}");
        assert_eq!(found["root_cause_code"], "undetermined");
        assert!(
            found["explanation"]
                .as_str()
                .unwrap()
                .contains("still running for"),
            "{found}"
        );
        let text = String::from_utf8(run(&database, &["diagnose", "5000"]).stdout).unwrap();
        assert!(text.starts_with("Still running"), "{text}");
        let job = answer(&database, &["timeouts", world::JOB]);
        assert_eq!(job["running"], 1);
    }
}

/// A span of trace 9 that belongs to the execution that failed; times in seconds.
fn odd_span(id: u32, parent: Option<u32>, from: u32, to: u32) -> String {
    let name = |id: u32| format!("'99999999-0000-4000-8000-{id:012}'");
    format!(
        "insert into trace_spans (trace_id, span_id, parent_span_id, service, operation, started_at, completed_at, \
         status, execution_id) values ({}, {}, {}, 'runner', 'step {id}', '2025-10-22T15:00:{from:02}.000000Z', \
         '2025-10-22T15:00:{to:02}.000000Z', 'completed', 6000);",
        name(0),
        name(id),
        parent.map_or("null".to_owned(), name),
    )
}

async fn odd_trace(database: &Database, spans: &[String]) -> (Value, Value) {
    let (began, ended) = ("2025-10-22T15:00:00.000000Z", "2025-10-22T15:00:30.000000Z");
    let (began, ended) = match database.is_sqlite() {
        true => (began.to_owned(), ended.to_owned()),
        false => (began.replace('Z', ""), ended.replace('Z', "")),
    };
    database
        .execute(&format!(
            "delete from executions where id = 6000; delete from trace_spans where execution_id = 6000; \
             insert into executions (id, job_id, provider_id, region, status, started_at, completed_at, created_at, model_id) \
             values (6000, 1, 'p', 'US', 'failed', '{began}', '{ended}', '{ended}', 'llama3.2-1b'); {}",
            spans.concat()
        ))
        .await;
    let picture = run(database, &["trace", "99999999"]);
    assert!(picture.status.success(), "{picture:?}");
    (
        answer(database, &["gaps", "99999999"]),
        answer(database, &["diagnose", "6000"]),
    )
}

#[tokio::test]
async fn a_single_span_a_circle_and_a_span_that_ends_before_it_starts_are_answered_and_told() {
    for database in both().await {
        let notes = |report: &Value| report["notes"].to_string();
        let (gaps, diagnosis) = odd_trace(&database, &[odd_span(1, None, 1, 20)]).await;
        assert!(notes(&gaps).contains("single span"), "{gaps}");
        assert!(
            notes(&diagnosis["data_quality"]).contains("single span"),
            "{diagnosis}"
        );
        let circle = [
            odd_span(1, Some(3), 1, 20),
            odd_span(2, Some(1), 2, 19),
            odd_span(3, Some(2), 3, 18),
        ];
        let (gaps, diagnosis) = odd_trace(&database, &circle).await;
        assert_eq!(gaps["total_spans"], 3);
        assert!(
            notes(&gaps).contains("circle") || notes(&gaps).contains("cycle"),
            "{gaps}"
        );
        assert_eq!(diagnosis["execution_id"], 6000);
        let backwards = [odd_span(1, None, 1, 20), odd_span(2, Some(1), 15, 5)];
        let (gaps, diagnosis) = odd_trace(&database, &backwards).await;
        assert!(notes(&gaps).contains("before"), "{gaps}");
        let took = diagnosis["critical_path"].as_array().unwrap();
        assert!(
            took.iter().all(|step| step["self_ms"].as_i64() >= Some(0)),
            "{diagnosis}"
        );
    }
}

/// With the one that is there 50,000 spans in a trace, each with a text.
fn crowd(is_sqlite: bool) -> String {
    let (numbers, id, time) = match is_sqlite {
        true => (
            "with recursive n (i) as (select 1 union all select i + 1 from n where i < 49999)",
            "'99999999-0000-4000-8000-' || printf('%012d', i)",
            "strftime('%Y-%m-%dT%H:%M:%f000Z', '2025-10-22 15:00:00', '+' || (i * 0.01) || ' seconds')",
        ),
        false => (
            "with n (i) as (select generate_series(1, 49999))",
            "('99999999-0000-4000-8000-' || lpad(i::text, 12, '0'))::uuid",
            "timestamptz '2025-10-22 15:00:00Z' + i * interval '10 milliseconds'",
        ),
    };
    format!(
        "insert into trace_spans (trace_id, span_id, service, operation, started_at, completed_at, duration_ms, status, \
         execution_id, error_message) {numbers} select '99999999-0000-4000-8000-000000000000', {id}, 'runner', 'step', \
         {time}, {time}, 5, 'failed', 6000, 'step ' || i || ' failed: connection refused' from n"
    )
}

#[tokio::test]
async fn fifty_thousand_spans_in_one_trace_are_answered_in_time_and_within_the_cap() {
    for database in both().await {
        odd_trace(&database, &[odd_span(0, None, 0, 29)]).await;
        database.execute(&crowd(database.is_sqlite())).await;
        let trace = "99999999-0000-4000-8000-000000000000";
        let questions = [
            ["diagnose", "6000"],
            ["gaps", trace],
            ["compare", "6000"],
            ["timeouts", world::JOB],
        ];
        // The answers are the same; half of the questions are enough to see that the other store keeps up.
        let asked = if database.is_sqlite() { 4 } else { 2 };
        for words in questions.into_iter().take(asked) {
            let began = Instant::now();
            let found = answer(&database, &words);
            let took = began.elapsed();
            assert!(took < PATIENCE, "{words:?}: {took:?}");
            if words[0] == "gaps" {
                assert_eq!(found["total_spans"], 50_000);
                assert!(
                    found["truncated"].to_string().contains("spans"),
                    "{}",
                    found["truncated"]
                );
                let cursor = found["truncated"]["next_cursor"].as_str().unwrap();
                let more = answer(&database, &["gaps", words[1], "--cursor", cursor]);
                assert_ne!(more["spans"][0], found["spans"][0]);
            }
        }
        let began = Instant::now();
        let picture = run(
            &database,
            &["trace", "99999999-0000-4000-8000-000000000000"],
        );
        let picture = String::from_utf8(picture.stdout).unwrap();
        assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
        assert!(
            picture.contains("49500 spans more") && picture.lines().count() < 1_100,
            "{}",
            picture.lines().count()
        );
    }
}
