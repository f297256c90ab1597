//! What the tables can hold, the same in every store: cleans observations before they are compared
//! with stored rows, and fits rows to the columns of `trace_spans`.
//!
//! Invariant: a cleaned value comes back from either database equal to what was written, so that a
//! replay finds nothing to change. Nothing is lost in silence: what a column has no room for is kept
//! in `metadata` under `full_<column>`.

use std::ops::RangeInclusive;

use chrono::{DateTime, Datelike, SubsecRound, Utc};
use serde_json::{Map, Number, Value};

use crate::model::{COLLECTOR, Observation, Row, Span, SpanKey, every_byte, meta};

/// Nesting beyond this is kept as text: the JSON reader gives up at 128 levels.
const MAX_DEPTH: usize = 60;
/// Characters for which the columns have room.
const SERVICE: usize = 50;
const OPERATION: usize = 100;
const JOB_ID: usize = 255;
const MODEL_ID: usize = 100;
const REGION: usize = 50;
const ERROR_TYPE: usize = 100;
/// Years that either store can write and read back.
const YEARS: RangeInclusive<i32> = 1..=9999;

/// Whether a key would not come back changed.
pub(super) fn is_clean_key(key: &SpanKey) -> bool {
    is_text(&key.log_id) && is_text(&key.scope)
}

/// Whether nothing else of an observation would come back changed.
pub(super) fn is_clean_beside_key(seen: &Observation) -> bool {
    let end = seen.end.as_ref();
    let name = seen.name.as_ref();
    let short = [
        Some(&seen.source),
        name.map(|(service, _)| service),
        name.map(|(_, operation)| operation),
        seen.container_id.as_ref(),
        seen.function_call_id.as_ref(),
        seen.function_id.as_ref(),
        seen.context.job_id.as_ref(),
        seen.model_id.as_ref(),
        seen.region.as_ref(),
        end.and_then(|end| end.error_type.as_ref()),
    ];
    let long = [
        seen.traceback.as_ref(),
        end.and_then(|end| end.error_message.as_ref()),
    ];
    let times = [seen.start.as_ref(), end.map(|end| &end.moment)];
    let mut times = times.into_iter().flatten();
    short.into_iter().flatten().all(|text| is_text(text))
        && long.into_iter().flatten().all(|text| is_text(text))
        && times.all(|moment| is_in_micros(moment.at))
        && seen.fields.iter().all(is_clean_field)
        && seen.steps.iter().all(|step| {
            let mut fields = step.fields.iter().map(|(key, value)| (key.as_str(), value));
            is_in_micros(step.at) && is_text(&step.name) && fields.all(is_clean_field)
        })
}

/// No text of Postgres can hold a NUL.
fn is_text(text: &str) -> bool {
    every_byte(text.as_bytes(), |byte| byte != 0)
}

fn is_in_micros(at: DateTime<Utc>) -> bool {
    at.timestamp_subsec_nanos().is_multiple_of(1_000)
}

/// Whether a field needs no cleaning; one that holds more than a plain value may.
fn is_clean_field((key, value): (&str, &Value)) -> bool {
    is_text(key)
        && match value {
            Value::Null | Value::Bool(_) => true,
            Value::Number(number) => !is_restated(number),
            Value::String(text) => is_text(text),
            Value::Array(_) | Value::Object(_) => false,
        }
}

/// Removes from an observation what would come back changed.
pub(super) fn clean(seen: &mut Observation) {
    clean_text(&mut seen.key.log_id);
    clean_text(&mut seen.key.scope);
    clean_text(&mut seen.source);
    if let Some((service, operation)) = &mut seen.name {
        clean_text(service);
        clean_text(operation);
    }
    let texts = [
        &mut seen.container_id,
        &mut seen.function_call_id,
        &mut seen.function_id,
        &mut seen.context.job_id,
        &mut seen.model_id,
        &mut seen.region,
    ];
    texts.into_iter().flatten().for_each(clean_text);
    seen.traceback.iter_mut().for_each(clean_text);
    if let Some(start) = &mut seen.start {
        start.at = to_micros(start.at);
    }
    if let Some(end) = &mut seen.end {
        end.moment.at = to_micros(end.moment.at);
        end.error_type.iter_mut().for_each(clean_text);
        end.error_message.iter_mut().for_each(clean_text);
    }
    for step in seen.steps.iter_mut() {
        step.at = to_micros(step.at);
        clean_text(&mut step.name);
        clean_map(&mut step.fields, 3);
    }
    let fields = std::mem::take(&mut seen.fields).into_iter();
    seen.fields = fields
        .map(|(mut key, mut value)| {
            clean_text(&mut key);
            clean_value(&mut value, 2);
            (key, value)
        })
        .collect();
}

/// Does the same for a span of a sender with ids of its own, and marks it as written by us.
pub(super) fn clean_span(span: &mut Span) {
    clean_text(&mut span.service);
    clean_text(&mut span.operation);
    let texts = [
        &mut span.job_id,
        &mut span.model_id,
        &mut span.region,
        &mut span.error_message,
        &mut span.error_type,
    ];
    texts.into_iter().flatten().for_each(clean_text);
    span.started_at = to_micros(span.started_at);
    span.completed_at = span.completed_at.map(to_micros);
    clean_map(&mut span.metadata, 1);
    span.metadata
        .insert(meta::COLLECTOR.to_owned(), COLLECTOR.into());
}

/// Whether every column has room for its value.
pub(super) fn fits(row: &Row<'_>) -> bool {
    let columns = [
        (Some(row.service), SERVICE),
        (Some(row.operation), OPERATION),
        (row.job_id, JOB_ID),
        (row.model_id, MODEL_ID),
        (row.region, REGION),
        (row.error_type, ERROR_TYPE),
    ];
    let mut times = [Some(row.started_at), row.completed_at]
        .into_iter()
        .flatten();
    let fits = |text: &str, limit| text.len() <= limit || text.chars().count() <= limit;
    times.all(|at| YEARS.contains(&at.year()))
        && row.duration_ms.is_none_or(|ms| i32::try_from(ms).is_ok())
        && (columns.into_iter()).all(|(text, limit)| text.is_none_or(|text| fits(text, limit)))
}

/// Cuts a row to its columns; says why when no cutting helps.
pub(super) fn fit(span: &mut Span) -> Result<(), String> {
    for at in [Some(span.started_at), span.completed_at]
        .into_iter()
        .flatten()
    {
        if !YEARS.contains(&at.year()) {
            return Err(format!("time out of range: {at}"));
        }
    }
    if let Some(took) = span.duration_ms
        && i32::try_from(took).is_err()
    {
        keep_full(&mut span.metadata, "duration_ms", took.into());
        span.duration_ms = Some(took.clamp(i32::MIN.into(), i32::MAX.into()));
    }
    cut(&mut span.metadata, "service", &mut span.service, SERVICE);
    cut(
        &mut span.metadata,
        "operation",
        &mut span.operation,
        OPERATION,
    );
    let columns = [
        ("job_id", &mut span.job_id, JOB_ID),
        ("model_id", &mut span.model_id, MODEL_ID),
        ("region", &mut span.region, REGION),
        ("error_type", &mut span.error_type, ERROR_TYPE),
    ];
    for (column, text, limit) in columns {
        if let Some(text) = text {
            cut(&mut span.metadata, column, text, limit);
        }
    }
    Ok(())
}

fn cut(metadata: &mut Map<String, Value>, column: &str, text: &mut String, limit: usize) {
    let Some((end, _)) = text.char_indices().nth(limit) else {
        return;
    };
    keep_full(metadata, column, text.as_str().into());
    text.truncate(end);
}

fn keep_full(metadata: &mut Map<String, Value>, column: &str, value: Value) {
    metadata.insert(format!("full_{column}"), value);
}

/// Postgres keeps microseconds, and so does the text form.
fn to_micros(at: DateTime<Utc>) -> DateTime<Utc> {
    at.trunc_subsecs(6)
}

fn clean_text<T: AsRef<str> + From<String>>(text: &mut T) {
    if !is_text(text.as_ref()) {
        *text = text.as_ref().replace('\0', "\u{fffd}").into();
    }
}

fn clean_map(map: &mut Map<String, Value>, depth: usize) {
    if map.keys().any(|key| key.contains('\0')) {
        *map = std::mem::take(map)
            .into_iter()
            .map(|(mut key, value)| {
                clean_text(&mut key);
                (key, value)
            })
            .collect();
    }
    for value in map.values_mut() {
        clean_value(value, depth + 1);
    }
}

fn clean_value(value: &mut Value, depth: usize) {
    match value {
        Value::Null | Value::Bool(_) => {}
        Value::Number(number) => clean_number(number),
        Value::String(text) => clean_text(text),
        Value::Array(_) | Value::Object(_) if depth > MAX_DEPTH => {
            let mut text = value.to_string();
            clean_text(&mut text);
            *value = Value::String(text);
        }
        Value::Array(items) => items
            .iter_mut()
            .for_each(|item| clean_value(item, depth + 1)),
        Value::Object(map) => clean_map(map, depth),
    }
}

/// Whether `jsonb` gives a number back in another form.
fn is_restated(number: &Number) -> bool {
    number.is_f64()
        && number
            .as_f64()
            .is_some_and(|float| float == 0.0 || float.abs() >= 1e16)
}

/// `jsonb` has no negative zero and prints no exponents: a float that is a large whole number comes
/// back as an integer.
fn clean_number(number: &mut Number) {
    if !is_restated(number) {
        return;
    }
    let Some(float) = number.as_f64() else {
        return;
    };
    if float == 0.0 {
        *number = Number::from_f64(0.0).unwrap_or_else(|| 0.into());
    } else if (1e16..u64::MAX as f64).contains(&float) {
        *number = (float as u64).into();
    } else if (i64::MIN as f64..=-1e16).contains(&float) {
        *number = (float as i64).into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn span() -> Span {
        Span {
            trace_id: uuid::Uuid::nil(),
            span_id: uuid::Uuid::nil(),
            parent_span_id: None,
            service: "modal".into(),
            operation: "inference".into(),
            started_at: DateTime::UNIX_EPOCH,
            completed_at: None,
            duration_ms: None,
            status: crate::model::SpanStatus::Started,
            job_id: None,
            execution_id: None,
            model_id: None,
            region: None,
            metadata: Map::new(),
            error_message: None,
            error_type: None,
        }
    }

    #[test]
    fn a_value_too_long_for_its_column_is_cut_by_characters_and_kept_whole_beside_it() {
        let mut span = span();
        span.region = Some("é".repeat(51));
        span.duration_ms = Some(i64::from(i32::MAX) + 1);
        fit(&mut span).unwrap();
        assert_eq!(span.region, Some("é".repeat(50)));
        assert_eq!(span.metadata["full_region"], json!("é".repeat(51)));
        assert_eq!(span.duration_ms, Some(i32::MAX.into()));
        assert_eq!(span.metadata["full_duration_ms"], json!(2_147_483_648_i64));
        let once = span.clone();
        fit(&mut span).unwrap();
        assert_eq!(span, once);
    }

    #[test]
    fn what_the_databases_would_change_is_changed_before() {
        let mut span = span();
        span.error_message = Some("a\0b".into());
        span.started_at = DateTime::from_timestamp_nanos(1_700_000_000_123_456_789);
        span.metadata = json!({"k\0": ["\0", -0.0, 1e16, -3e17, 1e300, 0.5]})
            .as_object()
            .unwrap()
            .clone();
        clean_span(&mut span);
        assert_eq!(span.error_message.as_deref(), Some("a\u{fffd}b"));
        assert_eq!(span.started_at.timestamp_subsec_nanos(), 123_456_000);
        assert_eq!(
            Value::from(span.metadata).to_string(),
            "{\"collector\":\"beacon-collector\",\"k\u{fffd}\":[\"\u{fffd}\",0.0,\
             10000000000000000,-300000000000000000,1e+300,0.5]}"
        );
    }

    #[test]
    fn nesting_that_could_not_be_read_back_becomes_text() {
        let mut deep = json!("x");
        for _ in 0..500 {
            deep = json!([deep]);
        }
        let mut span = span();
        span.metadata.insert("deep".into(), deep);
        clean_span(&mut span);
        let text = Value::from(span.metadata).to_string();
        assert!(serde_json::from_str::<Value>(&text).is_ok());
    }
}
