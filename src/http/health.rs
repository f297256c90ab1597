//! Whether the process lives, whether it does its work, and its counters.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use serde_json::json;

use super::Parts;
use super::api::json_text;
use super::metrics::Meters;
use crate::pipeline::{Health, metrics_of_server};

pub(super) fn routes(meters: Arc<Meters>) -> Router<Arc<Parts>> {
    let metrics = move |parts| metrics(parts, Arc::clone(&meters));
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
}

/// Ready when the database answers, the sources run and nothing read waits for long.
async fn ready(State(parts): State<Arc<Parts>>) -> Response {
    let database = parts.query.ping().await;
    let collecting = parts.health.as_ref().map(|health| health.readiness());
    let ready = database.is_ok() && collecting.as_ref().is_none_or(|state| state.ready);
    let body = json!({
        "ready": ready,
        "database": database.err().map_or("answers".to_owned(), |error| error.to_string()),
        "collecting": collecting,
    });
    let status = match ready {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    json_text(status, format!("{body}\n"))
}

async fn metrics(State(parts): State<Arc<Parts>>, meters: Arc<Meters>) -> Response {
    let health = parts.health.as_ref();
    let collecting = health.map_or_else(metrics_of_server, Health::metrics);
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(CONTENT_TYPE, kind)], meters.render(collecting)).into_response()
}
