//! Logs that others push: answered once they are stored.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;

use super::Parts;
use super::api::refusal;
use super::guard::PUSH_BODY;
use crate::source::Intake;
use crate::source::otlp::Encoding;
use crate::source::push::{PushError, decompress};

/// Largest push once it is decompressed, as a multiple of what it may be before.
const EXPANSION: usize = 4;

pub(super) fn routes() -> Router<Arc<Parts>> {
    Router::new()
        .route("/api/v1/ingest/{source}", post(lines))
        .route("/v1/logs", post(otlp_logs))
        .route("/v1/traces", post(otlp_traces))
}

async fn otlp_logs(state: State<Arc<Parts>>, headers: HeaderMap, body: Bytes) -> Response {
    otlp(&state, Signal::Logs, &headers, body).await
}

async fn otlp_traces(state: State<Arc<Parts>>, headers: HeaderMap, body: Bytes) -> Response {
    otlp(&state, Signal::Traces, &headers, body).await
}

/// What an OpenTelemetry sender sends.
enum Signal {
    Logs,
    Traces,
}

async fn otlp(parts: &Parts, signal: Signal, headers: &HeaderMap, body: Bytes) -> Response {
    let kind = headers.get(CONTENT_TYPE);
    let encoding = kind
        .and_then(|kind| kind.to_str().ok())
        .and_then(Encoding::of);
    let Some(encoding) = encoding else {
        let why = "expected application/x-protobuf or application/json";
        return refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, why);
    };
    let Some(intake) = &parts.intake else {
        return refusal(
            StatusCode::SERVICE_UNAVAILABLE,
            "this process does not collect",
        );
    };
    let taken = async {
        let body = plain(headers, body).await?;
        match signal {
            Signal::Logs => intake.otlp_logs(encoding, body).await,
            Signal::Traces => intake.otlp_traces(encoding, body).await,
        }
    };
    match taken.await {
        Ok(answer) => ([(CONTENT_TYPE, encoding.content_type())], answer).into_response(),
        Err(error) => {
            let (head, _) = refused(&error).into_parts();
            let body = encoding.refusal(&error.to_string());
            let mut answer = Response::from_parts(head, body.into());
            let kind = HeaderValue::from_static(encoding.content_type());
            answer.headers_mut().insert(CONTENT_TYPE, kind);
            answer.headers_mut().remove(CONTENT_LENGTH);
            answer
        }
    }
}

async fn lines(
    State(parts): State<Arc<Parts>>,
    Path(source): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some(intake) = &parts.intake else {
        return refusal(
            StatusCode::SERVICE_UNAVAILABLE,
            "this process does not collect",
        );
    };
    match take(intake, &source, &headers, body).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => refused(&error),
    }
}

async fn take(
    intake: &Intake,
    source: &str,
    headers: &HeaderMap,
    body: Bytes,
) -> Result<(), PushError> {
    let body = plain(headers, body).await?;
    intake.lines(source, body).await
}

/// The body without its compression.
async fn plain(headers: &HeaderMap, body: Bytes) -> Result<Bytes, PushError> {
    let encoding = headers
        .get(CONTENT_ENCODING)
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    let Some(encoding) = encoding else {
        return Ok(body);
    };
    // Megabytes take milliseconds.
    let done = tokio::task::spawn_blocking(move || {
        decompress(Some(&encoding), body, PUSH_BODY * EXPANSION)
    });
    done.await
        .unwrap_or_else(|error| Err(PushError::Unreadable(error.to_string())))
}

fn refused(error: &PushError) -> Response {
    let status = match error {
        PushError::Busy { .. } => StatusCode::TOO_MANY_REQUESTS,
        PushError::Away { .. } | PushError::Stopped => StatusCode::SERVICE_UNAVAILABLE,
        PushError::Unreadable(_) => StatusCode::BAD_REQUEST,
        PushError::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
        PushError::UnknownEncoding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
    };
    let mut answer = refusal(status, &error.to_string());
    if let Some(retry_after) = error.retry_after() {
        let seconds = retry_after.as_secs().into();
        answer.headers_mut().insert(RETRY_AFTER, seconds);
    }
    answer
}
