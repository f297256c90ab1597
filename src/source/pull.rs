//! Logs that a server streams: lines, JSON lines or server-sent events, over one long answer.
//!
//! Server-sent events with ids are resumed behind the last one that is committed, so nothing is lost
//! where the server keeps them. Any other stream can't be resumed, and every break is entered as a loss.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use chrono::{DateTime, Utc};
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use serde_json::json;

use super::backoff::Backoff;
use super::command::Shed;
use super::{Input, Outlet, SourceError, SourceState, StreamId};

/// First and longest pause before a stream that broke off is asked for again.
const RESTART: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// How long making a connection may take.
const CONNECT: Duration = Duration::from_secs(10);
/// A stream that is silent for longer is asked for again; most servers send a sign of life sooner.
const SILENCE: Duration = Duration::from_secs(300);
/// Longest unfinished event or line kept.
const MAX_EVENT: usize = 1 << 20;

/// Reads a streamed answer, again and again.
#[derive(Debug, Clone)]
pub struct PullSource {
    /// Where to ask.
    pub url: String,
}

/// Why a stream is over.
enum Over {
    /// The server says that there will be nothing more.
    Finished,
    /// It broke off, or could not be begun.
    Broken(String),
}

impl PullSource {
    /// Reads until told to stop, or until the server says that there is no more.
    pub async fn run(self, out: Outlet) -> Result<(), SourceError> {
        // An error: another one is installed already.
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .build()
            .map_err(|error| SourceError::Abnormal(plain(&error)))?;
        let stored = out.position(out.name()).await?;
        let stored = stored
            .as_ref()
            .and_then(|at| at.get("last_event_id")?.as_str());
        let mut last_id = stored.map(str::to_owned);
        let mut backoff = Backoff::new(RESTART.0, RESTART.1);
        let mut away_since: Option<DateTime<Utc>> = None;
        loop {
            backoff.begin();
            let before = last_id.clone();
            let over = self
                .once(&client, &out, &mut last_id, &mut away_since)
                .await?;
            let Over::Broken(reason) = over else {
                return Ok(());
            };
            out.status.enter(SourceState::Retrying(reason));
            out.status
                .restarts
                .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            if last_id != before {
                // It got on: many servers end even a good answer every minute.
                backoff.good();
            }
            out.pause(backoff.pause()).await?;
        }
    }

    async fn once(
        &self,
        client: &reqwest::Client,
        out: &Outlet,
        last_id: &mut Option<String>,
        away_since: &mut Option<DateTime<Utc>>,
    ) -> Result<Over, SourceError> {
        let mut request = client.get(&self.url).header(
            ACCEPT,
            "text/event-stream, application/x-ndjson, text/plain",
        );
        if let Some(id) = last_id.as_deref() {
            request = request.header("Last-Event-ID", id);
        }
        let answer = tokio::select! {
            answer = request.send() => answer,
            () = out.stop.cancelled() => return Err(SourceError::Stopped),
        };
        let mut answer = match answer {
            Ok(answer) if answer.status().as_u16() == 204 => return Ok(Over::Finished),
            Ok(answer) if answer.status().is_success() => answer,
            Ok(answer) => {
                let status = answer.status();
                return Ok(Over::Broken(format!(
                    "the server answers {status}; check the URL and its rights"
                )));
            }
            Err(error) => return Ok(Over::Broken(plain(&error))),
        };
        out.status.enter(SourceState::Running);
        if let Some(since) = away_since.take() {
            let reason = "the stream broke off and cannot be resumed";
            out.lose(since, Utc::now(), reason, 0).await?;
        }
        let kind = answer.headers().get(CONTENT_TYPE);
        let events = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
        let mut feed = Feed {
            out,
            stream: out.stream(),
            shed: Shed::default(),
            events: events.then(Events::default),
        };
        let over = loop {
            let piece = tokio::select! {
                piece = answer.chunk() => piece,
                () = out.stop.cancelled() => return Err(SourceError::Stopped),
            };
            match piece {
                Ok(Some(piece)) => feed.take(piece, last_id).await?,
                Ok(None) => break Over::Broken("the server ended the stream".to_owned()),
                Err(error) => break Over::Broken(plain(&error)),
            }
        };
        let resumable = events && last_id.is_some();
        *away_since = (!resumable).then(Utc::now);
        out.send(Input::Broken(feed.stream)).await?;
        Ok(over)
    }
}

/// What came, on its way into the pipeline.
struct Feed<'a> {
    out: &'a Outlet,
    stream: StreamId,
    shed: Shed,
    events: Option<Events>,
}

impl Feed<'_> {
    async fn take(
        &mut self,
        piece: Bytes,
        last_id: &mut Option<String>,
    ) -> Result<(), SourceError> {
        self.out.status.received(piece.len());
        let Some(events) = &mut self.events else {
            let input = self.input(piece.clone());
            if self.shed.send(self.out, input).await? {
                return self.shed.report(self.out).await;
            }
            self.shed.count(&piece);
            return Ok(());
        };
        let (lines, id) = events.read(&piece);
        if !lines.is_empty() {
            let input = self.input(lines.freeze());
            // It can be asked for again: waiting loses nothing.
            self.out.send(input).await?;
        }
        if let Some(id) = id {
            let position = json!({"last_event_id": id});
            *last_id = Some(id);
            self.out.mark(position).await?;
        }
        Ok(())
    }

    fn input(&self, bytes: Bytes) -> Input {
        Input::Bytes {
            stream: self.stream.clone(),
            bytes,
            checkpoint: None,
        }
    }
}

/// Takes server-sent events apart.
#[derive(Debug, Default)]
struct Events {
    /// The line that has not ended.
    line: Vec<u8>,
    /// Lines of the event that has not ended.
    event: BytesMut,
    id: Option<String>,
}

impl Events {
    /// Reads on: the lines of the events that ended, and the id of the last of them.
    fn read(&mut self, piece: &[u8]) -> (BytesMut, Option<String>) {
        let mut lines = BytesMut::new();
        let mut seen = None;
        let mut parts = piece.split(|byte| *byte == b'\n');
        let last = parts.next_back().unwrap_or_default();
        for part in parts {
            let mut line = std::mem::take(&mut self.line);
            line.extend_from_slice(part);
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            if line.is_empty() {
                lines.extend_from_slice(&self.event);
                self.event.clear();
                seen = self.id.clone().or(seen);
            } else {
                self.field(&line);
            }
        }
        if self.line.len() < MAX_EVENT {
            self.line.extend_from_slice(last);
        }
        (lines, seen)
    }

    fn field(&mut self, line: &[u8]) {
        let at = line
            .iter()
            .position(|byte| *byte == b':')
            .unwrap_or(line.len());
        let (name, value) = line.split_at(at);
        let value = value.strip_prefix(b":").unwrap_or(value);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            b"data" if self.event.len() < MAX_EVENT => {
                self.event.extend_from_slice(value);
                self.event.extend_from_slice(b"\n");
            }
            // An id that could not stand in a header can't be asked for again.
            b"id" if value.iter().all(|byte| (b' '..0x7f).contains(byte)) => {
                self.id = Some(String::from_utf8_lossy(value).into_owned());
            }
            // Comments, types and hints of when to come back.
            _ => {}
        }
    }
}

/// An error without the URL, which can hold a token, and with its cause, which says why.
fn plain(error: &reqwest::Error) -> String {
    let what = if error.is_connect() {
        "cannot connect"
    } else {
        "the stream broke off"
    };
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    if cause.is::<reqwest::Error>() {
        return what.to_owned();
    }
    format!("{what}: {cause}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_taken_apart_in_any_pieces() {
        let stream = b"retry: 10\n: hello\n\nid: 7\ndata: one\ndata:two\r\n\r\nid: 8\ndata: three\n\ndata: cut";
        for size in 1..stream.len() {
            let mut events = Events::default();
            let (mut lines, mut last) = (Vec::new(), None);
            for piece in stream.chunks(size) {
                let (some, id) = events.read(piece);
                lines.extend_from_slice(&some);
                last = id.or(last);
            }
            assert_eq!(lines, b"one\ntwo\nthree\n");
            assert_eq!(last.as_deref(), Some("8"));
        }
    }
}
