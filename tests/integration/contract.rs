//! The answers' JSON, field by field: names and shapes that others have built on.

use serde_json::Value;

use crate::support::server::Server;
use crate::support::stories::{self, Told};

/// Fields and what each must be: `int`, `num`, `text`, `bool`, `list`, `map`; `?` also allows null.
type Fields = &'static [(&'static str, &'static str)];

const DIAGNOSIS: Fields = &[
    ("execution_id", "int"),
    ("job_id", "text"),
    ("trace_id", "text?"),
    ("status", "text"),
    ("root_cause", "text"),
    ("root_cause_code", "text"),
    ("affected_service", "text?"),
    ("confidence", "num"),
    ("evidence", "list"),
    ("ruled_out", "list"),
    ("timing_breakdown", "map"),
    ("critical_path", "list"),
    ("anomalies", "list"),
    ("recommendations", "list"),
    ("data_quality", "map"),
];
const EVIDENCE: Fields = &[
    ("kind", "text"),
    ("span_id", "text?"),
    ("service", "text?"),
    ("quoted_log", "text?"),
];
const RULED_OUT: Fields = &[("root_cause_code", "text"), ("because", "text")];
const STEP: Fields = &[
    ("service", "text"),
    ("operation", "text"),
    ("self_ms", "int"),
];
const ANOMALY: Fields = &[
    ("span_id", "text"),
    ("what", "text"),
    ("observed_ms", "int"),
    ("baseline_ms", "int"),
    ("samples", "int"),
];
const QUALITY: Fields = &[
    ("linked_by", "text?"),
    ("link_confidence", "num?"),
    ("missing_spans", "list"),
    ("collector_lag_s", "num?"),
    ("log_loss", "list"),
];
const JOB: Fields = &[
    ("job_id", "text"),
    ("total_executions", "int"),
    ("analysis", "list"),
    ("dominant_cause", "map?"),
    ("recommendations", "list"),
];
const ANALYSED: Fields = &[
    ("execution_id", "int"),
    ("region", "text"),
    ("model", "text?"),
    ("status", "text"),
    ("duration_ms", "int?"),
    ("span_count", "int"),
    ("spans", "list"),
    ("root_cause_code", "text"),
];
const DOMINANT: Fields = &[
    ("root_cause_code", "text"),
    ("share", "num"),
    ("region", "text?"),
    ("model", "text?"),
    ("explanation", "text"),
];
const COMPARISON: Fields = &[
    ("failed_execution", "map"),
    ("similar_successful", "list"),
    ("differences", "list"),
    ("cohort", "map"),
];
const COHORT: Fields = &[("size", "int"), ("chosen_by", "text"), ("too_thin", "bool")];
const FAILURES: Fields = &[
    ("total_failures", "int"),
    ("returned", "int"),
    ("failures", "list"),
    ("patterns", "list"),
];
const FAILURE: Fields = &[
    ("id", "int"),
    ("job_id", "text"),
    ("region", "text"),
    ("model_id", "text?"),
    ("status", "text"),
    ("error_message", "text"),
    ("root_cause_code", "text"),
    ("created_at", "text"),
];
const PATTERN: Fields = &[("root_cause_code", "text"), ("count", "int")];
const PERFORMANCE: Fields = &[
    ("total_executions", "int"),
    ("successful", "int"),
    ("failed", "int"),
    ("avg_duration_sec", "num"),
    ("p50_duration_sec", "num"),
    ("p95_duration_sec", "num"),
    ("p99_duration_sec", "num"),
    ("by_model_region", "list"),
    ("previous_window", "map?"),
];
const GAPS: Fields = &[
    ("trace_id", "text"),
    ("total_spans", "int"),
    ("spans", "list"),
    ("gaps", "list"),
    ("missing_spans", "list"),
    ("clock_skew_ms", "map"),
];
const GAP: Fields = &[
    ("after_span", "text"),
    ("before_span", "text"),
    ("gap_ms", "int"),
    ("inside", "text"),
    ("kind", "text"),
];
const MISSING: Fields = &[
    ("service", "text"),
    ("operation", "text"),
    ("why", "text"),
    ("between", "list"),
];

#[track_caller]
fn has(value: &Value, fields: Fields) {
    for (name, kind) in fields {
        let field = value
            .get(name)
            .unwrap_or_else(|| panic!("no {name} in {value}"));
        let fits = match kind.trim_end_matches('?') {
            "int" => field.is_i64(),
            "num" => field.is_number(),
            "text" => field.is_string(),
            "bool" => field.is_boolean(),
            "list" => field.is_array(),
            _ => field.is_object(),
        };
        assert!(
            fits || (kind.ends_with('?') && field.is_null()),
            "{name} is {field}, not {kind}"
        );
    }
}

#[track_caller]
fn each_has(value: &Value, list: &str, fields: Fields) {
    let items = value[list].as_array().unwrap();
    assert!(!items.is_empty(), "nothing in {list} of {value}");
    items.iter().for_each(|item| has(item, fields));
}

fn ask(told: &Told, words: &[&str]) -> Value {
    let text = told.say(&[words, &["--json"]].concat(), "80");
    serde_json::from_str(&text).unwrap()
}

#[tokio::test]
async fn a_diagnosis_has_the_fields_of_the_contract_for_every_cause() {
    let told = Told::all().await;
    for (code, id) in &told.executions {
        let found = ask(&told, &["diagnose", &id.to_string()]);
        has(&found, DIAGNOSIS);
        assert_eq!(found["root_cause_code"], *code);
        assert_eq!(found["execution_id"], *id);
        let sure = found["confidence"].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&sure), "{found}");
        each_has(&found, "evidence", EVIDENCE);
        each_has(&found, "ruled_out", RULED_OUT);
        has(&found["data_quality"], QUALITY);
        for service in ["runner", "router", "modal"] {
            let took = found["timing_breakdown"][service].as_str().unwrap();
            let measured = took.ends_with('s') && took.starts_with(|c: char| c.is_ascii_digit());
            assert!(took == "missing" || measured, "{service}: {took}");
        }
        if *code != "undetermined" {
            each_has(&found, "critical_path", STEP);
        }
    }
    let slow = ask(&told, &["diagnose", &told.id("slow_inference")]);
    each_has(&slow, "anomalies", ANOMALY);
}

#[tokio::test]
async fn job_comparison_failures_performance_and_gaps_have_the_fields_of_the_contract() {
    let told = Told::all().await;
    let job = ask(&told, &["timeouts", stories::JOB]);
    has(&job, JOB);
    each_has(&job, "analysis", ANALYSED);
    has(&job["dominant_cause"], DOMINANT);

    let found = ask(&told, &["compare", &told.id("executor_missing")]);
    has(&found, COMPARISON);
    has(&found["cohort"], COHORT);
    let differences: Vec<&str> = found["differences"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert!(
        differences.contains(&"Failed execution has no router span"),
        "{differences:?}"
    );
    assert!(
        differences.contains(&"Successful executions took 2540ms vs 13ms"),
        "{differences:?}"
    );

    let found = ask(&told, &["failures"]);
    has(&found, FAILURES);
    each_has(&found, "failures", FAILURE);
    each_has(&found, "patterns", PATTERN);
    assert_eq!(
        (&found["returned"], &found["total_failures"]),
        (&10.into(), &14.into())
    );
    // The newest is the one of which only the row is known.
    assert_eq!(found["failures"][0]["error_message"], "No error message");
    assert!(
        found["failures"][0]["created_at"]
            .as_str()
            .unwrap()
            .ends_with('Z')
    );

    has(&ask(&told, &["performance"]), PERFORMANCE);

    let found = ask(&told, &["gaps", "00000000-0000-4000-8000-000000000044"]);
    has(&found, GAPS);
    each_has(&found, "gaps", GAP);
    assert_eq!(found["gaps"][0]["kind"], "boot");
    let found = ask(&told, &["gaps", "00000000-0000-4000-8000-000000000031"]);
    each_has(&found, "missing_spans", MISSING);
}

#[tokio::test]
async fn the_openapi_document_describes_what_each_route_answers() {
    let told = Told::all().await;
    let server = Server::start(&told.database.url, &[]);
    let document: Value = serde_json::from_str(&server.get("/openapi.json").body).unwrap();
    let (id, job) = (told.id("cold_start"), stories::JOB);
    let trace = "00000000-0000-4000-8000-000000000044";
    for (template, path) in [
        (
            "/executions/{execution_id}/diagnosis",
            format!("/executions/{id}/diagnosis"),
        ),
        ("/jobs/{job_id}/timeouts", format!("/jobs/{job}/timeouts")),
        (
            "/executions/{execution_id}/comparison",
            format!("/executions/{id}/comparison"),
        ),
        ("/failures", "/failures".to_owned()),
        ("/performance", "/performance".to_owned()),
        ("/traces/{trace_id}/gaps", format!("/traces/{trace}/gaps")),
    ] {
        let answer: Value =
            serde_json::from_str(&server.get(&format!("/api/v1{path}")).body).unwrap();
        let described = &document["paths"][format!("/api/v1{template}")]["get"]["responses"]["200"]
            ["content"]["application/json"]["schema"];
        let mut known = Vec::new();
        properties(&document, described, &mut known);
        for name in answer
            .as_object()
            .unwrap()
            .keys()
            .filter(|name| *name != "truncated")
        {
            assert!(
                known.contains(name),
                "{template} does not describe {name}: {known:?} {described}"
            );
        }
    }
}

/// Names of the properties that a schema describes, through references and parts.
fn properties(document: &Value, schema: &Value, known: &mut Vec<String>) {
    if let Some(name) = schema["$ref"]
        .as_str()
        .and_then(|path| path.rsplit('/').next())
    {
        properties(document, &document["components"]["schemas"][name], known);
    }
    for part in schema["allOf"].as_array().into_iter().flatten() {
        properties(document, part, known);
    }
    known.extend(
        schema["properties"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, _)| name.clone()),
    );
}
