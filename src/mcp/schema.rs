//! Output schemas in short: what stands at the top of each answer and of what type it is. The whole
//! schemas, with every field explained, are part of the OpenAPI page.

use schemars::JsonSchema;
use serde_json::{Map, Value, json};

use crate::analysis::report::{Comparison, Diagnosis, JobTimeouts, Performance, TraceGaps};
use crate::query::{CollectorStatus, FoundSpans, RecentFailuresAndSpans, Tool, TraceOverview};

/// The schema of a tool's answer.
pub(super) fn output(tool: Tool) -> Map<String, Value> {
    let whole = match tool {
        Tool::DiagnoseExecution => whole::<Diagnosis>(),
        Tool::FindTimeoutRootCause => whole::<JobTimeouts>(),
        Tool::CompareWithSuccessful => whole::<Comparison>(),
        Tool::GetRecentFailures => whole::<RecentFailuresAndSpans>(),
        Tool::AnalyzePerformance => whole::<Performance>(),
        Tool::FindTraceGaps => whole::<TraceGaps>(),
        Tool::SearchSpans => whole::<FoundSpans>(),
        Tool::GetTrace => whole::<TraceOverview>(),
        Tool::CollectorStatus => whole::<CollectorStatus>(),
    };
    let mut properties = Map::new();
    for (name, property) in whole["properties"].as_object().into_iter().flatten() {
        properties.insert(name.clone(), in_short(property, &whole["$defs"]));
    }
    properties.insert("truncated".to_owned(), json!({ "type": "object" }));
    let mut schema = Map::new();
    schema.insert("type".to_owned(), "object".into());
    schema.insert("properties".to_owned(), properties.into());
    schema
}

fn whole<T: JsonSchema>() -> Value {
    schemars::SchemaGenerator::default()
        .into_root_schema_for::<T>()
        .to_value()
}

/// A property's type alone, references followed.
fn in_short(property: &Value, definitions: &Value) -> Value {
    let types = types(property, definitions);
    match types.as_slice() {
        [] => json!({}),
        [one] => json!({ "type": one }),
        several => {
            // One type at a time: not every client takes a list of them.
            let branches: Vec<Value> = several.iter().map(|one| json!({ "type": one })).collect();
            json!({ "anyOf": branches })
        }
    }
}

fn types(property: &Value, definitions: &Value) -> Vec<String> {
    if let Some(reference) = property["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap_or_default();
        return types(&definitions[name], definitions);
    }
    let alternatives = property["anyOf"]
        .as_array()
        .or(property["oneOf"].as_array());
    if let Some(alternatives) = alternatives {
        let mut found: Vec<String> = alternatives
            .iter()
            .flat_map(|one| types(one, definitions))
            .collect();
        found.sort_unstable();
        found.dedup();
        return found;
    }
    match &property["type"] {
        Value::String(one) => vec![one.clone()],
        Value::Array(several) => several
            .iter()
            .filter_map(|one| one.as_str().map(str::to_owned))
            .collect(),
        // An enumeration of words.
        _ if property["enum"].is_array() || property["const"].is_string() => {
            vec!["string".to_owned()]
        }
        _ => Vec::new(),
    }
}
