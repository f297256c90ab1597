//! Questions over REST: each tool under its own path, its other arguments in the query string, the same
//! JSON as MCP and the command line.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{Extension, Query as QueryString, RawPathParams, State};
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use serde_json::{Map, Value, json};

use super::Parts;
use crate::mcp::Caller;
use crate::query::{Arguments, QueryError, Tool};

/// The path of a tool, in axum's form, which is OpenAPI's too.
pub(super) const fn path(tool: Tool) -> &'static str {
    match tool {
        Tool::DiagnoseExecution => "/api/v1/executions/{execution_id}/diagnosis",
        Tool::FindTimeoutRootCause => "/api/v1/jobs/{job_id}/timeouts",
        Tool::CompareWithSuccessful => "/api/v1/executions/{execution_id}/comparison",
        Tool::GetRecentFailures => "/api/v1/failures",
        Tool::AnalyzePerformance => "/api/v1/performance",
        Tool::FindTraceGaps => "/api/v1/traces/{trace_id}/gaps",
        Tool::SearchSpans => "/api/v1/spans",
        Tool::GetTrace => "/api/v1/traces/{trace_id}",
        Tool::CollectorStatus => "/api/v1/status",
    }
}

pub(super) fn routes() -> Router<Arc<Parts>> {
    let mut router = Router::new();
    for tool in Tool::ALL {
        let ask = move |State(parts): State<Arc<Parts>>,
                        caller: Extension<Caller>,
                        ids: RawPathParams,
                        QueryString(given): QueryString<Vec<(String, String)>>| async move {
            // What stands in the path wins over what the query string calls the same.
            let given = given.into_iter();
            let ids = ids
                .iter()
                .map(|(name, id)| (name.to_owned(), id.to_owned()));
            let all = given.chain(ids.collect::<Vec<_>>());
            let arguments = all.map(|(name, value)| (name, Value::String(value)));
            answer(&parts, tool, arguments.collect(), &caller).await
        };
        router = router.route(path(tool), get(ask));
    }
    router
}

async fn answer(
    parts: &Parts,
    tool: Tool,
    arguments: Map<String, Value>,
    caller: &Caller,
) -> Response {
    let began = Instant::now();
    let shown = Arguments::in_log(&arguments);
    let answered = parts.query.ask(tool, arguments).await;
    let (response, bytes) = match answered {
        Ok(answer) => {
            let text = format!("{}\n", answer.text());
            let bytes = text.len();
            (json_text(StatusCode::OK, text), bytes)
        }
        Err(error) => (refused(&error), 0),
    };
    tracing::info!(
        who = %caller.0,
        tool = tool.name(),
        arguments = %shown,
        ms = began.elapsed().as_millis() as u64,
        bytes,
        status = response.status().as_u16(),
        "asked over REST"
    );
    response
}

/// The answer to a question that can't be answered.
pub(super) fn refused(error: &QueryError) -> Response {
    let (status, why) = reason(error);
    let mut answer = refusal(status, &why);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        let later = HeaderValue::from_static("5");
        answer.headers_mut().insert(RETRY_AFTER, later);
    }
    answer
}

/// Why a question can't be answered, as the outside may know it.
pub(super) fn reason(error: &QueryError) -> (StatusCode, String) {
    let ours = |status, why: &str| {
        tracing::warn!(%error, "a question could not be answered");
        (status, why.to_owned())
    };
    match error {
        QueryError::NotFound(why) => (StatusCode::NOT_FOUND, why.clone()),
        QueryError::Argument { .. } | QueryError::Arguments(_) => {
            (StatusCode::BAD_REQUEST, error.to_string())
        }
        QueryError::Failed(_) => ours(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the analysis failed; the log says more",
        ),
        QueryError::Store(_) => ours(
            StatusCode::SERVICE_UNAVAILABLE,
            "the database does not answer at the moment; try again",
        ),
    }
}

/// A path that leads nowhere.
pub(super) async fn no_route() -> Response {
    refusal(
        StatusCode::NOT_FOUND,
        "no such path; /openapi.json lists them",
    )
}

/// An error as JSON.
pub(super) fn refusal(status: StatusCode, why: &str) -> Response {
    let body = json!({ "error": { "status": status.as_u16(), "message": why } });
    json_text(status, format!("{body}\n"))
}

pub(super) fn json_text(status: StatusCode, text: String) -> Response {
    let kind = [(CONTENT_TYPE, "application/json")];
    (status, kind, text).into_response()
}
