//! OTLP spans as rows: ids and times as they came, the columns from the attributes that name them, and
//! everything else in `metadata`.

use std::sync::Once;

use chrono::{DateTime, Utc};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::span::Event;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ScopeSpans, Span as Sent, Status};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Refused, SOURCE, value};
use crate::model::{Span, SpanStatus, meta, span_id_of_otlp};
use crate::telemetry::SCOPE;
use crate::untrusted::{MAX_TEXT, MAX_TRACEBACK, clean};

/// Services that the analysis knows; a `service.name` such as `beacon-runner` names one of them.
const SERVICES: [&str; 4] = ["runner", "router", "modal", "backend"];
/// Why a collector's own spans are refused.
const OURS: &str = "spans of a collector's own work are not stored by a collector; let \
    OTEL_EXPORTER_OTLP_ENDPOINT name another receiver";
/// Names in `metadata` that are the collector's own.
const OWN: [&str; 6] = [
    meta::COLLECTOR,
    meta::LOG_ID,
    meta::SOURCE,
    meta::EVENTS,
    meta::LINK,
    meta::TIME_PRECISION,
];
/// Events kept of a span.
const MAX_EVENTS: usize = 64;

/// All spans that can be stored.
pub(super) fn spans(request: ExportTraceServiceRequest) -> (Vec<Span>, Refused) {
    let mut spans = Vec::new();
    let mut refused = Refused::default();
    for resource_spans in request.resource_spans {
        let resource = resource_spans.resource.unwrap_or_default();
        let resource = value::object(resource.attributes);
        let (ours, scopes): (Vec<_>, Vec<_>) = resource_spans
            .scope_spans
            .into_iter()
            .partition(is_of_a_collector);
        for _ in ours.iter().flat_map(|scope| &scope.spans) {
            refused.add(OURS);
        }
        for sent in scopes.into_iter().flat_map(|scope| scope.spans) {
            match span(sent, &resource) {
                Ok(span) => spans.push(span),
                Err(reason) => refused.add(reason),
            }
        }
    }
    (spans, refused)
}

/// Whether these spans tell of a collector's own work. Storing them would be work to tell of, without end;
/// through two collectors that send to each other as well.
fn is_of_a_collector(scope: &ScopeSpans) -> bool {
    let ours = scope
        .scope
        .as_ref()
        .is_some_and(|scope| scope.name == SCOPE);
    if ours {
        static SAID: Once = Once::new();
        SAID.call_once(|| tracing::warn!("{OURS}"));
    }
    ours
}

fn span(sent: Sent, resource: &Map<String, Value>) -> Result<Span, &'static str> {
    let trace_id: [u8; 16] = sent
        .trace_id
        .try_into()
        .map_err(|_| "a trace id has not 16 bytes")?;
    let span_id = id(sent.span_id)?.ok_or("a span id is missing")?;
    if trace_id == [0; 16] {
        return Err("a trace id is missing");
    }
    let started_at = time(sent.start_time_unix_nano).ok_or("a span has no start")?;
    let completed_at = time(sent.end_time_unix_nano);
    let (error_type, error_message) = failure(sent.status.as_ref(), &sent.events);
    let failed = sent
        .status
        .is_some_and(|status| status.code == StatusCode::Error as i32);
    let mut attributes = value::object(sent.attributes);
    let text = |names: &[&str]| {
        names.iter().find_map(|name| match attributes.get(*name)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        })
    };
    let (service, full_name) = service(resource);
    let span = Span {
        trace_id: Uuid::from_bytes(trace_id),
        span_id,
        parent_span_id: id(sent.parent_span_id)?,
        service,
        operation: clean(&sent.name, MAX_TEXT),
        started_at,
        completed_at,
        duration_ms: completed_at.map(|end| (end - started_at).num_milliseconds().max(0)),
        status: match completed_at {
            _ if failed => SpanStatus::Failed,
            Some(_) => SpanStatus::Completed,
            None => SpanStatus::Started,
        },
        job_id: text(&["job_id", "job.id"]),
        execution_id: text(&["execution_id", "execution.id"]).and_then(|id| id.parse().ok()),
        model_id: text(&["model_id", "model", "gen_ai.request.model"]),
        region: text(&["region", "cloud.region"]),
        error_type: error_type.or_else(|| text(&["error.type"]).filter(|_| failed)),
        error_message,
        metadata: Map::new(),
    };
    for name in OWN {
        if let Some(value) = attributes.remove(name) {
            attributes.insert(format!("attributes.{name}"), value);
        }
    }
    attributes.insert(meta::SOURCE.to_owned(), SOURCE.into());
    if let Some(name) = full_name {
        attributes.insert("service.name".to_owned(), name.into());
    }
    let events: Vec<Value> = sent
        .events
        .into_iter()
        .take(MAX_EVENTS)
        .map(event)
        .collect();
    if !events.is_empty() {
        attributes.insert(meta::EVENTS.to_owned(), events.into());
    }
    Ok(Span {
        metadata: attributes,
        ..span
    })
}

/// The span id of eight bytes; none where there is none.
fn id(bytes: Vec<u8>) -> Result<Option<Uuid>, &'static str> {
    if bytes.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    let bytes = bytes.try_into().map_err(|_| "a span id has not 8 bytes")?;
    Ok(Some(span_id_of_otlp(bytes)))
}

fn time(nanos: u64) -> Option<DateTime<Utc>> {
    let nanos = i64::try_from(nanos).ok().filter(|nanos| *nanos > 0)?;
    Some(DateTime::from_timestamp_nanos(nanos))
}

/// The service by the word that the analysis knows it by, and its full name.
fn service(resource: &Map<String, Value>) -> (String, Option<String>) {
    let Some(name) = resource.get("service.name").and_then(Value::as_str) else {
        return ("unknown".to_owned(), None);
    };
    let lower = name.to_lowercase();
    let mut words = lower.split(|c: char| !c.is_ascii_alphanumeric());
    let known = words.find(|word| SERVICES.contains(word));
    (known.unwrap_or(name).to_owned(), Some(name.to_owned()))
}

/// Class and text of a failure, from the exception that was recorded, else from the status.
fn failure(status: Option<&Status>, events: &[Event]) -> (Option<String>, Option<String>) {
    let said = status
        .filter(|status| status.code == StatusCode::Error as i32)
        .map(|status| status.message.as_str())
        .filter(|message| !message.is_empty());
    let exception = events.iter().rev().find(|event| event.name == "exception");
    let of = |key: &str| {
        let attributes = value::object(exception?.attributes.clone());
        attributes.get(key)?.as_str().map(str::to_owned)
    };
    let message = of("exception.message").or_else(|| said.map(|text| clean(text, MAX_TEXT)));
    (of("exception.type"), message)
}

fn event(sent: Event) -> Value {
    let mut fields = value::object(sent.attributes);
    if let Some(Value::String(trace)) = fields.get_mut("exception.stacktrace") {
        *trace = clean(trace, MAX_TRACEBACK);
    }
    json!({
        "at": time(sent.time_unix_nano),
        "name": clean(&sent.name, MAX_TEXT),
        "fields": fields,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(span: Value) -> ExportTraceServiceRequest {
        serde_json::from_value(json!({"resourceSpans": [{
            "resource": {"attributes": [
                {"key": "service.name", "value": {"stringValue": "beacon-runner"}}]},
            "scopeSpans": [{"spans": [span]}]}]}))
        .unwrap()
    }

    #[test]
    fn a_failed_span_keeps_its_ids_its_context_and_its_exception() {
        let (spans, refused) = spans(request(json!({
            "traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174",
            "parentSpanId": "eee19b7ec3c1b173", "name": "execute",
            "startTimeUnixNano": "1763899200000000000", "endTimeUnixNano": "1763899202500000000",
            "status": {"code": 2, "message": "it broke"},
            "attributes": [
                {"key": "execution_id", "value": {"intValue": "2379"}},
                {"key": "log_id", "value": {"stringValue": "abc123de"}},
                {"key": "region", "value": {"stringValue": "US"}}],
            "events": [{"timeUnixNano": "1763899201000000000", "name": "exception", "attributes": [
                {"key": "exception.type", "value": {"stringValue": "OSError"}},
                {"key": "exception.message", "value": {"stringValue": "no such file"}}]}]
        })));
        assert_eq!(refused.count, 0);
        let span = &spans[0];
        assert_eq!(
            span.trace_id.to_string(),
            "5b8efff7-9803-8103-d269-b633813fc60c"
        );
        assert_eq!(
            span.span_id.to_string(),
            "00000000-0000-0000-eee1-9b7ec3c1b174"
        );
        assert!(span.parent_span_id.is_some());
        assert_eq!(
            (span.service.as_str(), span.operation.as_str()),
            ("runner", "execute")
        );
        assert_eq!(
            (span.execution_id, span.duration_ms),
            (Some(2379), Some(2500))
        );
        assert_eq!(
            (span.status, span.region.as_deref()),
            (SpanStatus::Failed, Some("US"))
        );
        assert_eq!(span.error_type.as_deref(), Some("OSError"));
        assert_eq!(span.error_message.as_deref(), Some("no such file"));
        assert_eq!(span.metadata["attributes.log_id"], "abc123de");
    }

    #[test]
    fn spans_of_a_collectors_own_work_are_refused() {
        let mut request = request(json!({
            "traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174",
            "startTimeUnixNano": "1763899200000000000"}));
        let scope = json!({"name": SCOPE});
        request.resource_spans[0].scope_spans[0].scope = serde_json::from_value(scope).unwrap();
        let (spans, refused) = spans(request);
        assert_eq!((spans.len(), refused.count), (0, 1));
        assert!(refused.reason.contains("another receiver"), "{refused:?}");
    }

    #[test]
    fn a_span_without_ids_or_start_is_refused_with_the_reason() {
        for span in [
            json!({"traceId": "", "spanId": "eee19b7ec3c1b174", "startTimeUnixNano": "1"}),
            json!({"traceId": "5b8efff798038103d269b633813fc60c", "spanId": "", "startTimeUnixNano": "1"}),
            json!({"traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174"}),
        ] {
            let (spans, refused) = spans(request(span));
            assert_eq!((spans.len(), refused.count), (0, 1));
            assert!(!refused.reason.is_empty());
        }
    }
}
