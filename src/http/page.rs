//! Pages for people who would rather look than read: what failed lately, an execution's diagnosis, a
//! job, a trace as a waterfall. No scripts, nothing from elsewhere.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;

use super::Parts;
use super::api::reason;
use crate::analysis::report::{Diagnosis, TraceGaps};
use crate::query::{Page, QueryError, Selection};
use crate::render;

/// Failures on the first page.
const LISTED: usize = 50;

pub(super) fn routes() -> Router<Arc<Parts>> {
    Router::new()
        .route("/", get(overview))
        .route("/executions/{execution_id}", get(execution))
        .route("/jobs/{job_id}", get(job))
        .route("/traces/{trace_id}", get(trace))
        .route("/style.css", get(stylesheet))
}

async fn overview(State(parts): State<Arc<Parts>>) -> Response {
    let asked = async {
        let selection = Selection::default();
        let query = &parts.query;
        let report = query.get_recent_failures(&selection, LISTED, Page::default());
        let report = report.await?;
        let status = query.collector_status().await?;
        Ok(render::failures_page(&report, &status))
    };
    page(asked.await)
}

async fn execution(State(parts): State<Arc<Parts>>, Path(id): Path<String>) -> Response {
    let asked = async {
        let number = id.parse().map_err(|_| QueryError::Argument {
            argument: "execution_id",
            value: crate::untrusted::clean(&id, 80),
            reason: "expected a whole number, executions.id".into(),
        })?;
        let report = parts.query.diagnose_execution(number).await?;
        let trace = trace_of(&parts, &report).await?;
        Ok(render::execution_page(&report, trace.as_ref()))
    };
    page(asked.await)
}

async fn trace_of(parts: &Parts, report: &Diagnosis) -> Result<Option<TraceGaps>, QueryError> {
    match &report.trace_id {
        Some(trace) => parts.query.find_trace_gaps(trace).await.map(Some),
        None => Ok(None),
    }
}

async fn job(State(parts): State<Arc<Parts>>, Path(id): Path<String>) -> Response {
    let report = parts.query.find_timeout_root_cause(&id).await;
    page(report.map(|report| render::job_page(&report)))
}

async fn trace(State(parts): State<Arc<Parts>>, Path(id): Path<String>) -> Response {
    let asked = async {
        let overview = parts.query.trace_overview(&id, None).await?;
        let gaps = parts.query.find_trace_gaps(&overview.trace_id).await?;
        Ok(render::trace_page(&gaps, &overview.execution_ids))
    };
    page(asked.await)
}

async fn stylesheet() -> Response {
    let kind = [(CONTENT_TYPE, "text/css; charset=utf-8")];
    (kind, render::STYLESHEET).into_response()
}

/// A page, or the page that says why there is none, with the status that the API gives.
fn page(asked: Result<String, QueryError>) -> Response {
    match asked {
        Ok(text) => html(StatusCode::OK, text),
        Err(error) => {
            let (status, why) = reason(&error);
            html(status, render::error_page(status.as_u16(), &why))
        }
    }
}

fn html(status: StatusCode, text: String) -> Response {
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
        (REFERRER_POLICY, "no-referrer"),
    ];
    (status, headers, text).into_response()
}
