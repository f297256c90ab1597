//! Owns JSON lines: one object with message, time, level and ids under their common names.
//! Refuses objects without a message, and arrays.
//! Invariant: what a nested object says loses against the outer one; of all control characters only
//! line feeds are left in the message.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value;

use super::prefix::{severity, syslog_severity};
use super::{Form, Opened};
use crate::record::{Envelope, Severity, Stream, Timestamp};
use crate::timestamp;

type Object = BTreeMap<String, Value>;

const MESSAGE: [&str; 8] = [
    "message", "msg", "log", "text", "body", "event", "MESSAGE", "data",
];
const TIME: [&str; 10] = [
    "timestamp",
    "time",
    "ts",
    "@timestamp",
    "__REALTIME_TIMESTAMP",
    "datetime",
    "date",
    "asctime",
    "_SOURCE_REALTIME_TIMESTAMP",
    "timestamp_ns",
];
const SEVERITY: [&str; 7] = [
    "level",
    "severity",
    "levelname",
    "PRIORITY",
    "lvl",
    "severity_text",
    "log.level",
];
const STREAM: [&str; 4] = ["stream", "source", "fd", "file_descriptor"];
const CONTAINER: [&str; 7] = [
    "container_id",
    "container",
    "task_id",
    "modal.container_id",
    "CONTAINER_ID_FULL",
    "CONTAINER_ID",
    "containerId",
];
const CALL: [&str; 4] = [
    "function_call_id",
    "function_call",
    "modal.function_call_id",
    "functionCallId",
];
const FUNCTION: [&str; 3] = ["function_id", "modal.function_id", "functionId"];
/// Objects one level down that carry the same keys.
const NESTED: [&str; 7] = [
    "kubernetes",
    "attributes",
    "modal",
    "context",
    "resource",
    "extra",
    "context_ids",
];

/// Reads an object that holds a message.
pub(super) fn open(line: &str) -> Option<Opened<'static>> {
    let object: Object = serde_json::from_str(line).ok()?;
    let message = MESSAGE.iter().find_map(|key| match object.get(*key)? {
        Value::String(text) => Some(text.as_str()),
        Value::Object(body) => body.get("stringValue")?.as_str(),
        _ => None,
    })?;
    // Container runtimes keep the line's own newline.
    let message = message.trim_end_matches(['\n', '\r']);
    let lines: Vec<_> = message.split('\n').map(crate::text::clean).collect();
    let message = lines.join("\n");
    let envelope = Envelope {
        timestamp: find(&object, &TIME, time),
        function_id: find(&object, &FUNCTION, text),
        function_call_id: find(&object, &CALL, text),
        container_id: find(&object, &CONTAINER, text),
        stream: find(&object, &STREAM, stream),
        severity: find(&object, &SEVERITY, level),
    };
    Some(Opened {
        envelope,
        message: Cow::Owned(message),
        form: Form::Json,
    })
}

fn find<T>(object: &Object, names: &[&str], read: impl Fn(&Value) -> Option<T>) -> Option<T> {
    let outer = names
        .iter()
        .find_map(|name| object.get(*name).and_then(&read));
    outer.or_else(|| {
        NESTED
            .iter()
            .filter_map(|name| object.get(*name)?.as_object())
            .find_map(|nested| {
                names
                    .iter()
                    .find_map(|name| nested.get(*name).and_then(&read))
            })
    })
}

fn text(value: &Value) -> Option<Cow<'static, str>> {
    value
        .as_str()
        .filter(|text| !text.is_empty())
        .map(|text| Cow::Owned(text.to_owned()))
}

fn time(value: &Value) -> Option<Timestamp> {
    match value {
        Value::Number(number) => timestamp::from_epoch(number.as_f64()?),
        Value::String(text) => match timestamp::datetime(text) {
            Ok((_, time)) => Some(time),
            Err(_) => timestamp::from_epoch(text.parse().ok()?),
        },
        _ => None,
    }
}

fn level(value: &Value) -> Option<Severity> {
    match value {
        Value::String(name) => severity(name).or_else(|| name.parse().ok().and_then(numeric_level)),
        Value::Number(number) => numeric_level(u32::try_from(number.as_u64()?).ok()?),
        _ => None,
    }
}

/// One digit is syslog's priority; 10 to 60 are the tens of Python, bunyan and pino, which disagree
/// by one step: Python's own spelling names its levels, so numbers are read as pino's.
fn numeric_level(number: u32) -> Option<Severity> {
    match number {
        0..=7 => syslog_severity(number),
        10 => Some(Severity::Trace),
        20 => Some(Severity::Debug),
        30 => Some(Severity::Info),
        40 => Some(Severity::Warn),
        50 => Some(Severity::Error),
        60 => Some(Severity::Fatal),
        _ => None,
    }
}

fn stream(value: &Value) -> Option<Stream> {
    match value {
        Value::String(name) => match name.as_str() {
            "stdout" | "1" => Some(Stream::Stdout),
            "stderr" | "2" => Some(Stream::Stderr),
            "system" => Some(Stream::System),
            _ => None,
        },
        Value::Number(number) => match number.as_u64()? {
            1 => Some(Stream::Stdout),
            2 => Some(Stream::Stderr),
            3 => Some(Stream::System),
            _ => None,
        },
        _ => None,
    }
}
