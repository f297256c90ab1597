//! The way to a receiver of our own traces or metrics. What fails is said once, and once more when it
//! works again; headers and URLs, which can hold a token, are never said.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use opentelemetry_http::{HttpClient, HttpError};
use tokio::runtime::Handle;

/// Of an answer, this much is read: it holds a number and a sentence.
const MAX_ANSWER: usize = 64 * 1024;

/// Sends what one exporter has.
#[derive(Debug)]
pub(super) struct Receiver {
    /// `traces` or `metrics`.
    what: &'static str,
    client: reqwest::Client,
    /// Exporters have threads of their own, without a runtime.
    runtime: Handle,
    is_in_trouble: AtomicBool,
}

impl Receiver {
    pub(super) fn new(
        what: &'static str,
        timeout: Duration,
        runtime: &Handle,
    ) -> Result<Self, String> {
        // A redirect would carry the headers to where nobody meant them to go.
        let redirect = reqwest::redirect::Policy::none();
        let client = reqwest::Client::builder()
            .redirect(redirect)
            .timeout(timeout)
            .build();
        Ok(Self {
            what,
            client: client.map_err(|error| format!("cannot prepare to send: {error}"))?,
            runtime: runtime.clone(),
            is_in_trouble: AtomicBool::new(false),
        })
    }

    /// Says what changed.
    fn enter(&self, trouble: Option<String>) {
        let was = self.is_in_trouble.swap(trouble.is_some(), Relaxed);
        match trouble {
            Some(reason) if !was => tracing::warn!(
                reason,
                "own {} do not reach their receiver; trying on without another word",
                self.what
            ),
            None if was => tracing::info!("own {} reach their receiver again", self.what),
            _ => {}
        }
    }
}

#[async_trait]
impl HttpClient for Receiver {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let request = reqwest::Request::try_from(request)?;
        let sent = self.runtime.spawn(send(self.client.clone(), request));
        match sent.await? {
            Ok(answer) => {
                self.enter(refusal(answer.status()));
                Ok(answer)
            }
            Err(error) => {
                let error = error.without_url();
                self.enter(Some(root(&error)));
                Err(error.into())
            }
        }
    }
}

async fn send(
    client: reqwest::Client,
    request: reqwest::Request,
) -> Result<Response<Bytes>, reqwest::Error> {
    let mut answer = client.execute(request).await?;
    let mut body = BytesMut::new();
    while let Some(piece) = answer.chunk().await? {
        if body.len() + piece.len() > MAX_ANSWER {
            break;
        }
        body.extend_from_slice(&piece);
    }
    let mut response = Response::new(body.freeze());
    *response.status_mut() = answer.status();
    *response.headers_mut() = answer.headers().clone();
    Ok(response)
}

/// Why a receiver does not take what is sent, and what to do.
fn refusal(status: http::StatusCode) -> Option<String> {
    let remedy = match status.as_u16() {
        200..300 => return None,
        401 | 403 => "look at OTEL_EXPORTER_OTLP_HEADERS",
        404 | 405 => "look at the path in the endpoint",
        429 | 503 => "it has too much to do",
        _ => "look at its own log",
    };
    Some(format!("it answers {status}; {remedy}"))
}

/// The innermost cause, which says why.
fn root(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    cause.to_string()
}
