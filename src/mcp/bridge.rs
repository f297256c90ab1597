//! MCP on stdio answered by a daemon elsewhere: every message goes to its `/mcp` as it is, every answer
//! comes back as one line. The daemon keeps no sessions, so neither does the bridge.
//!
//! Invariant: every request gets exactly one answer, an error when the daemon can't be reached.

use std::collections::HashMap;
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;

/// Longest time for one request; the daemon's own limit is shorter.
const REQUEST: Duration = Duration::from_secs(60);
/// Answers waiting for standard output.
const QUEUE: usize = 64;
/// JSON-RPC's code for an error that is nobody's fault.
const INTERNAL: i64 = -32603;

/// Why a bridge can't be built.
#[derive(Debug, thiserror::Error)]
pub enum BridgeError {
    /// The token can't stand in a header.
    #[error("the token holds characters that a header can't carry; use printable ASCII")]
    Token,
    /// The client can't be built.
    #[error("cannot build the HTTP client: {0}")]
    Client(#[from] reqwest::Error),
    /// Standard input or output failed.
    #[error("standard input or output failed: {0}")]
    Pipe(#[from] std::io::Error),
}

/// A way to a daemon.
#[derive(Debug, Clone)]
pub struct Bridge {
    client: reqwest::Client,
    url: String,
}

impl Bridge {
    /// A bridge to the daemon at `url` (with or without `/mcp`).
    pub fn new(url: &str, token: Option<&str>) -> Result<Self, BridgeError> {
        let mut headers = HeaderMap::new();
        let both = HeaderValue::from_static("application/json, text/event-stream");
        headers.insert(ACCEPT, both);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(token) = token {
            let value = HeaderValue::from_str(&format!("Bearer {token}"));
            let mut value = value.map_err(|_| BridgeError::Token)?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let client = reqwest::Client::builder()
            .default_headers(headers)
            .timeout(REQUEST)
            .build()?;
        let base = url.trim_end_matches('/').trim_end_matches("/mcp");
        Ok(Self {
            client,
            url: format!("{base}/mcp"),
        })
    }

    /// Carries messages until standard input ends, or `stop`.
    pub async fn run(self, stop: CancellationToken) -> Result<(), BridgeError> {
        let (answers, mut waiting) = mpsc::channel::<String>(QUEUE);
        let writer = tokio::spawn(async move {
            let mut out = tokio::io::stdout();
            while let Some(mut line) = waiting.recv().await {
                line.push('\n');
                out.write_all(line.as_bytes()).await?;
                out.flush().await?;
            }
            Ok::<_, std::io::Error>(())
        });
        let mut lines = BufReader::new(tokio::io::stdin()).lines();
        let mut calls = JoinSet::new();
        let mut in_flight: HashMap<String, AbortHandle> = HashMap::new();
        let mut version = None;
        loop {
            let line = tokio::select! {
                () = stop.cancelled() => break,
                Some(_) = calls.join_next() => {
                    in_flight.retain(|_, call| !call.is_finished());
                    continue;
                }
                line = lines.next_line() => line?,
            };
            let Some(line) = line else { break };
            if line.trim().is_empty() {
                continue;
            }
            let message: Value = serde_json::from_str(&line).unwrap_or_default();
            if message["method"] == "notifications/cancelled" {
                let id = message["params"]["requestId"].to_string();
                if let Some(call) = in_flight.remove(&id) {
                    call.abort();
                }
                continue;
            }
            if message["method"] == "initialize" {
                version = message["params"]["protocolVersion"]
                    .as_str()
                    .map(str::to_owned);
            }
            let id = message.get("id").map(Value::to_string);
            let call = self
                .clone()
                .carry(line, message, version.clone(), answers.clone());
            let handle = calls.spawn(call);
            if let Some(id) = id {
                in_flight.insert(id, handle);
            }
        }
        // What was asked before the end is answered.
        while calls.join_next().await.is_some() {}
        drop(answers);
        match writer.await {
            Ok(written) => Ok(written?),
            Err(_) => Ok(()),
        }
    }

    async fn carry(
        self,
        line: String,
        message: Value,
        version: Option<String>,
        answers: mpsc::Sender<String>,
    ) {
        let id = message.get("id").cloned();
        let answer = match self.post(line, &message, version).await {
            Ok(answer) => answer,
            Err(reason) => id.map(|id| {
                json!({ "jsonrpc": "2.0", "id": id, "error": { "code": INTERNAL, "message": reason } })
                    .to_string()
            }),
        };
        if let Some(answer) = answer {
            // Fails only when standard output is gone, and everything with it.
            drop(answers.send(answer).await);
        }
    }

    /// The daemon's answer on one line; `None` for what is not answered.
    async fn post(
        &self,
        line: String,
        message: &Value,
        version: Option<String>,
    ) -> Result<Option<String>, String> {
        let mut request = self.client.post(&self.url).body(line);
        let own = message["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"].as_str();
        if message["method"] != "initialize"
            && let Some(version) = own.or(version.as_deref())
        {
            request = request.header("mcp-protocol-version", version);
        }
        if let Some(method) = message["method"].as_str() {
            request = request.header("mcp-method", method);
        }
        let name = message["params"]["name"].as_str();
        if let Some(name) = name.or(message["params"]["uri"].as_str()) {
            request = request.header("mcp-name", name);
        }
        let url = &self.url;
        let answer = request
            .send()
            .await
            .map_err(|error| format!("cannot reach the collector at {url}: {error}"))?;
        let status = answer.status();
        let text = answer.text().await.map_err(|error| error.to_string())?;
        let value: Option<Value> = serde_json::from_str(&text).ok();
        match value {
            Some(value) if value["jsonrpc"].is_string() => Ok(Some(value.to_string())),
            _ if status.is_success() => Ok(None),
            _ if status.as_u16() == 401 => Err(format!(
                "the collector at {url} wants a token: set BEACON_TOKEN"
            )),
            _ => Err(format!("the collector at {url} answered {status}")),
        }
    }
}
