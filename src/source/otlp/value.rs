//! Attribute values of OTLP as JSON, cleaned, with bounded depth.

use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use serde_json::{Map, Value};

use crate::untrusted::{MAX_TEXT, clean};

/// Nesting beyond this is dropped: nobody reads it, and everything that walks it would recurse.
const MAX_DEPTH: usize = 8;

/// Attributes as an object; the last of several values of one key wins.
pub(super) fn object(attributes: Vec<KeyValue>) -> Map<String, Value> {
    nested(attributes, 0)
}

/// The text of a log record's body: a text as it is, anything else as JSON.
pub(super) fn text(body: Option<AnyValue>) -> Option<String> {
    match body?.value? {
        Any::StringValue(text) => Some(text),
        other => Some(json(Some(other), 0).to_string()),
    }
}

fn nested(attributes: Vec<KeyValue>, depth: usize) -> Map<String, Value> {
    attributes
        .into_iter()
        .map(|pair| {
            let value = pair.value.and_then(|value| value.value);
            (clean(&pair.key, MAX_TEXT), json(value, depth + 1))
        })
        .collect()
}

fn json(value: Option<Any>, depth: usize) -> Value {
    match value {
        Some(Any::StringValue(text)) => clean(&text, MAX_TEXT).into(),
        Some(Any::BoolValue(truth)) => truth.into(),
        Some(Any::IntValue(number)) => number.into(),
        Some(Any::DoubleValue(number)) => number.into(),
        Some(Any::BytesValue(bytes)) => format!("({} bytes)", bytes.len()).into(),
        Some(Any::ArrayValue(list)) if depth < MAX_DEPTH => list
            .values
            .into_iter()
            .map(|item| json(item.value, depth + 1))
            .collect(),
        Some(Any::KvlistValue(list)) if depth < MAX_DEPTH => nested(list.values, depth).into(),
        _ => Value::Null,
    }
}
