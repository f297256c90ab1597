//! One page for people: what failed lately, and a trace as a waterfall. No scripts, nothing from
//! elsewhere.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;

use super::Parts;
use super::api::refused;
use crate::query::{Page, Selection};
use crate::render;

/// Failures on the first page.
const LISTED: usize = 50;

pub(super) fn routes() -> Router<Arc<Parts>> {
    Router::new()
        .route("/", get(overview))
        .route("/traces/{trace_id}", get(trace))
}

async fn overview(State(parts): State<Arc<Parts>>) -> Response {
    let selection = Selection::default();
    let report = parts
        .query
        .get_recent_failures(&selection, LISTED, Page::default());
    match report.await {
        Ok(report) => html(render::failures_page(&report)),
        Err(error) => refused(&error),
    }
}

async fn trace(State(parts): State<Arc<Parts>>, Path(id): Path<String>) -> Response {
    let view = match parts.query.trace(&id).await {
        Ok(view) => view,
        Err(error) => return refused(&error),
    };
    match parts
        .query
        .find_trace_gaps(&view.trace_id.to_string())
        .await
    {
        Ok(gaps) => html(render::trace_page(&gaps)),
        Err(error) => refused(&error),
    }
}

fn html(text: String) -> Response {
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
        (REFERRER_POLICY, "no-referrer"),
    ];
    (StatusCode::OK, headers, text).into_response()
}
