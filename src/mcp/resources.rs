//! Resources: executions and traces by address, the tables, and the words that answers use; and the
//! completion of ids. Whatever stands here can be had through the tools as well, because some clients
//! show tools only.

use rmcp::model::{
    ArgumentInfo, CompleteResult, CompletionInfo, ErrorData, ReadResourceResult, Resource,
    ResourceContents, ResourceTemplate,
};
use serde_json::Map;

use crate::query::{Ids, Query, QueryError, Tool};

const JSON: &str = "application/json";
const MARKDOWN: &str = "text/markdown";
const SCHEMA: &str = "beacon://schema";
const GLOSSARY: &str = "beacon://glossary";
/// Ids offered as completions.
const OFFERED: usize = 50;

/// The resources that are always there.
pub(super) fn list() -> Vec<Resource> {
    vec![
        Resource::new(SCHEMA, "schema")
            .with_title("Tables")
            .with_description("The tables and what their columns mean")
            .with_mime_type(MARKDOWN),
        Resource::new(GLOSSARY, "glossary")
            .with_title("Glossary")
            .with_description("Root causes, services and states, and what each looks like")
            .with_mime_type(MARKDOWN),
    ]
}

/// The resources that have an id.
pub(super) fn templates() -> Vec<ResourceTemplate> {
    vec![
        ResourceTemplate::new("execution://{execution_id}", "execution")
            .with_title("Execution")
            .with_description("The diagnosis of an execution")
            .with_mime_type(JSON),
        ResourceTemplate::new("trace://{trace_id}", "trace")
            .with_title("Trace")
            .with_description("The spans of a trace")
            .with_mime_type(JSON),
    ]
}

/// Reads a resource: its text and of which kind it is.
pub(super) async fn read(query: &Query, uri: &str) -> Result<(String, &'static str), ErrorData> {
    Ok(match uri {
        SCHEMA => (include_str!("schema.md").to_owned(), MARKDOWN),
        GLOSSARY => (include_str!("glossary.md").to_owned(), MARKDOWN),
        _ => (by_id(query, uri).await?, JSON),
    })
}

/// What was read, as it is sent.
pub(super) fn contents(uri: &str, text: String, kind: &str) -> ReadResourceResult {
    let contents = ResourceContents::text(text, uri).with_mime_type(kind);
    ReadResourceResult::new(vec![contents])
}

async fn by_id(query: &Query, uri: &str) -> Result<String, ErrorData> {
    let (tool, argument, id) = match uri.split_once("://") {
        Some(("execution", id)) => (Tool::DiagnoseExecution, "execution_id", id),
        Some(("trace", id)) => (Tool::GetTrace, "trace_id", id),
        _ => return Err(not_found(uri, "there are execution://ID and trace://ID")),
    };
    let arguments = Map::from_iter([(argument.to_owned(), id.into())]);
    match query.ask(tool, arguments).await {
        Ok(answer) => Ok(answer.text().to_owned()),
        Err(QueryError::Store(_) | QueryError::Failed(_)) => Err(ErrorData::internal_error(
            "the database does not answer at the moment",
            None,
        )),
        Err(error) => Err(not_found(uri, &error.to_string())),
    }
}

fn not_found(uri: &str, why: &str) -> ErrorData {
    let uri = crate::untrusted::clean(uri, 120);
    ErrorData::resource_not_found(
        format!("no resource {uri}: {why}"),
        Some(serde_json::json!({ "uri": uri })),
    )
}

/// Ids that begin with what was typed, newest first.
pub(super) async fn complete(
    query: &Query,
    argument: &ArgumentInfo,
) -> Result<CompleteResult, ErrorData> {
    let ids = match argument.name.as_str() {
        "execution_id" => Ids::Executions,
        "job_id" => Ids::Jobs,
        "trace_id" => Ids::Traces,
        _ => return Ok(CompleteResult::default()),
    };
    let found = query.recent_ids(ids, &argument.value).await;
    // A completion is a convenience: without the database there is none.
    let mut values = found.unwrap_or_default();
    let total = values.len();
    values.truncate(OFFERED);
    let more = total > values.len();
    let info = CompletionInfo::with_pagination(values, u32::try_from(total).ok(), more);
    Ok(CompleteResult::new(info.unwrap_or_default()))
}
