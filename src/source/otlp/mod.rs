//! OTLP over HTTP: requests in protobuf or JSON into log messages and spans, and the answer, given only
//! once they are committed.
//!
//! Log records are read as printed lines, so a trace line that comes this way and through a CLI is one
//! span. Spans of any sender are stored as they are. What can't be stored is named in the answer as
//! partial success and never fails the rest.

mod logs;
mod traces;
mod value;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::push::PushError;
use super::{Input, Intake, StreamId};

/// The name under which everything that comes this way is known.
const SOURCE: &str = "otlp";

/// Number of the field `message` of a `google.rpc.Status`.
const MESSAGE: u32 = 2;

/// How a request is written; the answer is written alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// `application/x-protobuf`
    Protobuf,
    /// `application/json`
    Json,
}

impl Encoding {
    /// Reads a content type; none when it is another one.
    pub fn of(content_type: &str) -> Option<Self> {
        match content_type.split(';').next().map(str::trim) {
            Some("application/x-protobuf" | "application/protobuf") => Some(Self::Protobuf),
            Some("application/json") => Some(Self::Json),
            _ => None,
        }
    }

    /// The content type of the answer.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        }
    }

    /// The body of an answer that refuses: a `google.rpc.Status` with its message alone.
    pub fn refusal(self, message: &str) -> Vec<u8> {
        match self {
            Self::Protobuf => {
                let mut body = Vec::new();
                prost::encoding::string::encode(MESSAGE, &message.to_owned(), &mut body);
                body
            }
            Self::Json => serde_json::json!({ "message": message }).to_string().into(),
        }
    }

    fn read<T: prost::Message + Default + DeserializeOwned>(
        self,
        body: Bytes,
    ) -> Result<T, PushError> {
        let unreadable = |error: String| PushError::Unreadable(format!("no OTLP request: {error}"));
        match self {
            Self::Protobuf => T::decode(body).map_err(|error| unreadable(error.to_string())),
            Self::Json => {
                serde_json::from_slice(&body).map_err(|error| unreadable(error.to_string()))
            }
        }
    }

    fn write(self, answer: &(impl prost::Message + Serialize)) -> Vec<u8> {
        match self {
            Self::Protobuf => answer.encode_to_vec(),
            // These messages hold a number and a text, which always have a JSON form.
            Self::Json => serde_json::to_vec(answer).unwrap_or_default(),
        }
    }
}

/// What a request became.
#[derive(Debug, Default)]
struct Refused {
    count: i64,
    reason: String,
}

impl Refused {
    fn add(&mut self, reason: &str) {
        self.count += 1;
        if self.reason.is_empty() {
            reason.clone_into(&mut self.reason);
        }
    }
}

impl Intake {
    /// Takes in a request for `/v1/logs`; returns the body of the answer once all is committed.
    pub async fn otlp_logs(&self, encoding: Encoding, body: Bytes) -> Result<Vec<u8>, PushError> {
        self.status(SOURCE).received(body.len());
        let request: ExportLogsServiceRequest = encoding.read(body)?;
        let (messages, refused) = logs::messages(request);
        let stream = StreamId::new(SOURCE);
        let end = Input::End(stream.clone());
        self.deliver(vec![Input::Messages { stream, messages }, end])
            .await?;
        Ok(encoding.write(&ExportLogsServiceResponse {
            partial_success: (refused.count > 0).then_some(ExportLogsPartialSuccess {
                rejected_log_records: refused.count,
                error_message: refused.reason,
            }),
        }))
    }

    /// Takes in a request for `/v1/traces`; returns the body of the answer once all is committed.
    pub async fn otlp_traces(&self, encoding: Encoding, body: Bytes) -> Result<Vec<u8>, PushError> {
        self.status(SOURCE).received(body.len());
        let request: ExportTraceServiceRequest = encoding.read(body)?;
        let (spans, refused) = traces::spans(request);
        self.deliver(vec![Input::Spans(spans)]).await?;
        Ok(encoding.write(&ExportTraceServiceResponse {
            partial_success: (refused.count > 0).then_some(ExportTracePartialSuccess {
                rejected_spans: refused.count,
                error_message: refused.reason,
            }),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_written_as_the_request_was() {
        let whole = ExportLogsServiceResponse::default();
        assert_eq!(Encoding::Protobuf.write(&whole), b"");
        let read: serde_json::Value =
            serde_json::from_slice(&Encoding::Json.write(&whole)).unwrap();
        assert!(read.is_object());
        assert_eq!(
            Encoding::of("application/json; charset=utf-8"),
            Some(Encoding::Json)
        );
        assert_eq!(Encoding::of("text/plain"), None);
        assert_eq!(Encoding::Protobuf.refusal("no"), b"\x12\x02no");
        assert_eq!(Encoding::Json.refusal("no"), br#"{"message":"no"}"#);
    }
}
