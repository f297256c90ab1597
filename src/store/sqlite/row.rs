//! Rows of the embedded store as model values and back: text UUIDs, RFC 3339 times, JSON text.
//!
//! Rows of others may hold anything that SQLite lets in: what can't be read is absent, and a row
//! without readable ids is left out.

use chrono::{DateTime, NaiveDateTime, SecondsFormat, Utc};
use serde_json::{Map, Value};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use crate::model::{Execution, ExecutionLink, Job, LossEntry, Span, SpanStatus, Tally};
use crate::store::plan::Stored;
use crate::store::retention::Looked;

/// The stored form of a time.
pub(super) fn time_text(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// A row of [`span`]'s columns and the table's own key.
pub(super) fn stored(row: &SqliteRow) -> Option<Stored> {
    Some(Stored {
        id: integer(row, 16)?,
        span: span(row)?,
    })
}

pub(super) fn span(row: &SqliteRow) -> Option<Span> {
    Some(Span {
        trace_id: uuid(row, 0)?,
        span_id: uuid(row, 1)?,
        parent_span_id: uuid(row, 2),
        service: text(row, 3).unwrap_or_default(),
        operation: text(row, 4).unwrap_or_default(),
        started_at: time(row, 5)?,
        completed_at: time(row, 6),
        duration_ms: integer(row, 7),
        status: SpanStatus::parse(&text(row, 8).unwrap_or_default()),
        job_id: text(row, 9),
        execution_id: integer(row, 10),
        model_id: text(row, 11),
        region: text(row, 12),
        metadata: object(json(row, 13)),
        error_message: text(row, 14),
        error_type: text(row, 15),
    })
}

pub(super) fn execution(row: &SqliteRow) -> Option<Execution> {
    Some(Execution {
        id: integer(row, 0)?,
        job_key: integer(row, 1),
        job_id: text(row, 2),
        provider_id: text(row, 3).unwrap_or_default(),
        region: text(row, 4).unwrap_or_default(),
        status: text(row, 5).unwrap_or_default(),
        started_at: time(row, 6),
        completed_at: time(row, 7),
        created_at: time(row, 8),
        model_id: text(row, 9),
        question_id: text(row, 10),
        output_data: json(row, 11),
    })
}

pub(super) fn tally(row: &SqliteRow) -> Option<Tally> {
    Some(Tally {
        model_id: text(row, 0),
        region: text(row, 1).unwrap_or_default(),
        status: text(row, 2).unwrap_or_default(),
        ended: integer(row, 3)? != 0,
        count: usize::try_from(integer(row, 4)?).ok()?,
        took_ms: row.try_get_unchecked(5).ok()?,
    })
}

pub(super) fn job(row: &SqliteRow) -> Option<Job> {
    Some(Job {
        key: integer(row, 0)?,
        job_id: text(row, 1)?,
        status: text(row, 2),
        created_at: time(row, 3),
    })
}

pub(super) fn execution_link(row: &SqliteRow) -> Option<ExecutionLink> {
    Some(ExecutionLink {
        trace_id: uuid(row, 0)?,
        execution_id: integer(row, 1)?,
        method: text(row, 2)?,
        confidence: row.try_get_unchecked(3).ok()?,
    })
}

pub(super) fn loss(row: &SqliteRow) -> Option<LossEntry> {
    Some(LossEntry {
        source: text(row, 0)?,
        from: time(row, 1)?,
        to: time(row, 2)?,
        reason: text(row, 3)?,
        lost: integer(row, 4)?,
    })
}

pub(super) fn json(row: &SqliteRow, at: usize) -> Option<Value> {
    let text = text(row, at)?;
    Some(serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

fn object(value: Option<Value>) -> Map<String, Value> {
    match value {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(map)) => map,
        Some(other) => Map::from_iter([("value".to_owned(), other)]),
    }
}

/// A span that a sweep has looked at; none where its ids can't be read, so that it stays.
pub(super) fn looked(row: &SqliteRow) -> Option<Looked> {
    Some(Looked {
        id: integer(row, 0)?,
        trace_id: uuid(row, 1)?,
        started_at: time(row, 2)?,
        is_ours: integer(row, 3) == Some(1),
        source: text(row, 4),
    })
}

fn text(row: &SqliteRow, at: usize) -> Option<String> {
    row.try_get_unchecked(at).ok()?
}

pub(super) fn integer(row: &SqliteRow, at: usize) -> Option<i64> {
    row.try_get_unchecked(at).ok()?
}

pub(super) fn uuid(row: &SqliteRow, at: usize) -> Option<Uuid> {
    Uuid::try_parse(row.try_get_unchecked(at).ok()?).ok()
}

/// The stored form, or what others write: an offset, a space for the T, no zone at all (UTC).
fn time(row: &SqliteRow, at: usize) -> Option<DateTime<Utc>> {
    let text: &str = row.try_get_unchecked(at).ok()?;
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.to_utc());
    }
    let naive = ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f"]
        .iter()
        .find_map(|form| NaiveDateTime::parse_from_str(text, form).ok())?;
    Some(naive.and_utc())
}
