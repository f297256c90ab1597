//! OTLP log records as messages: the body is what was printed, the attributes say where.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use serde_json::{Map, Value};

use super::{Refused, value};
use crate::source::Message;

/// All records that hold a text, in their order.
pub(super) fn messages(request: ExportLogsServiceRequest) -> (Vec<Message>, Refused) {
    let mut messages = Vec::new();
    let mut refused = Refused::default();
    for resource_logs in request.resource_logs {
        let resource = resource_logs.resource.unwrap_or_default();
        let resource = value::object(resource.attributes);
        let scopes = resource_logs.scope_logs.into_iter();
        for record in scopes.flat_map(|scope| scope.log_records) {
            match message(record, &resource) {
                Some(message) => messages.push(message),
                None => refused.add("a log record has no body"),
            }
        }
    }
    (messages, refused)
}

fn message(record: LogRecord, resource: &Map<String, Value>) -> Option<Message> {
    let attributes = value::object(record.attributes);
    let find = |names: [&str; 2]| {
        names
            .iter()
            .flat_map(|name| [attributes.get(*name), resource.get(*name)])
            .flatten()
            .find_map(Value::as_str)
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    };
    let nanos = match record.time_unix_nano {
        0 => record.observed_time_unix_nano,
        nanos => nanos,
    };
    Some(Message {
        text: value::text(record.body)?,
        // 0: the sender knew no time, and the line counts as printed when it came.
        unix_micros: i64::try_from(nanos / 1000)
            .ok()
            .filter(|micros| *micros > 0),
        function_id: find(["function_id", "modal.function_id"]),
        function_call_id: find(["function_call_id", "modal.function_call_id"]),
        container_id: find(["container_id", "container.id"]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_modal_keeps_its_exact_time_and_its_ids() {
        let request = serde_json::from_value(serde_json::json!({"resourceLogs": [{
            "resource": {"attributes": [
                {"key": "service.name", "value": {"stringValue": "modal.function-logs"}},
                {"key": "container_id", "value": {"stringValue": "ta-1"}}]},
            "scopeLogs": [{"logRecords": [
                {"timeUnixNano": "1763899200123456789", "body": {"stringValue": "hello"},
                 "attributes": [{"key": "function_call_id", "value": {"stringValue": "fc-1"}}]},
                {"timeUnixNano": "0"}]}]}]}));
        let (messages, refused) = messages(request.unwrap());
        assert_eq!((messages.len(), refused.count), (1, 1));
        let message = &messages[0];
        assert_eq!(message.unix_micros, Some(1_763_899_200_123_456));
        assert_eq!(message.container_id.as_deref(), Some("ta-1"));
        assert_eq!(message.function_call_id.as_deref(), Some("fc-1"));
    }
}
