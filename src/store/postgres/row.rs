//! Rows of Postgres as model values, read from the wire format.
//!
//! Rows of others may hold what a stricter reader refuses: infinite times, numbers beyond any integer
//! or float, metadata that is not an object. All of it is read; nothing here can fail or panic.

use std::borrow::Cow;

use chrono::{DateTime, NaiveDate, Utc};
use serde_json::{Map, Value};
use sqlx::postgres::{PgRow, PgValueFormat};
use sqlx::{Row, ValueRef};
use uuid::Uuid;

use crate::model::{Execution, ExecutionLink, Job, LossEntry, Span, SpanStatus, Tally};
use crate::store::plan::{Found, Stored};
use crate::store::retention::Looked;
use crate::store::{Lease, Second};

/// Microseconds from 1970 to 2000, where Postgres begins to count.
pub(super) const EPOCH: i64 = 946_684_800_000_000;

/// A row of [`span`]'s columns and the table's own key.
pub(super) struct OwnRow(pub(super) PgRow);

impl Found for OwnRow {
    fn place(&self) -> (Uuid, Uuid, i64) {
        let id = |at| uuid(&self.0, at).unwrap_or_default();
        (id(1), id(0), own_key(&self.0).unwrap_or_default())
    }

    fn read(self) -> Stored {
        Stored {
            id: self.place().2,
            span: span(&self.0),
        }
    }
}

pub(super) fn span(row: &PgRow) -> Span {
    Span {
        trace_id: uuid(row, 0).unwrap_or_default(),
        span_id: uuid(row, 1).unwrap_or_default(),
        parent_span_id: uuid(row, 2),
        service: text(row, 3).unwrap_or_default(),
        operation: text(row, 4).unwrap_or_default(),
        started_at: time(row, 5).unwrap_or_default(),
        completed_at: time(row, 6),
        duration_ms: integer(row, 7),
        status: SpanStatus::parse(&words(row, 8).unwrap_or_default()),
        job_id: text(row, 9),
        execution_id: integer(row, 10),
        model_id: text(row, 11),
        region: text(row, 12),
        metadata: object(json(row, 13)),
        error_message: text(row, 14),
        error_type: text(row, 15),
    }
}

pub(super) fn execution(row: &PgRow) -> Execution {
    Execution {
        id: integer(row, 0).unwrap_or_default(),
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
    }
}

pub(super) fn second(row: &PgRow) -> Second {
    let count = |at| integer(row, at).map_or(0, i64::unsigned_abs);
    Second {
        at: integer(row, 0).unwrap_or_default(),
        spans: count(1),
        of_others: count(2),
    }
}

pub(super) fn tally(row: &PgRow) -> Tally {
    Tally {
        model_id: text(row, 0),
        region: text(row, 1).unwrap_or_default(),
        status: text(row, 2).unwrap_or_default(),
        ended: bytes(row, 3) == Some(&[1]),
        count: integer(row, 4).map_or(0, |count| usize::try_from(count).unwrap_or(0)),
        took_ms: number(row, 5),
    }
}

pub(super) fn job(row: &PgRow) -> Job {
    Job {
        key: integer(row, 0).unwrap_or_default(),
        job_id: text(row, 1).unwrap_or_default(),
        status: text(row, 2),
        created_at: time(row, 3),
    }
}

pub(super) fn execution_link(row: &PgRow) -> ExecutionLink {
    ExecutionLink {
        trace_id: uuid(row, 0).unwrap_or_default(),
        execution_id: integer(row, 1).unwrap_or_default(),
        method: text(row, 2).unwrap_or_default(),
        confidence: number(row, 3).unwrap_or_default(),
    }
}

/// The link that stands behind a span's columns.
pub(super) fn link_beside_span(row: &PgRow) -> Option<ExecutionLink> {
    Some(ExecutionLink {
        trace_id: uuid(row, 0)?,
        execution_id: integer(row, 17)?,
        method: text(row, 18)?,
        confidence: number(row, 19)?,
    })
}

/// The table's own key of a span.
pub(super) fn own_key(row: &PgRow) -> Option<i64> {
    integer(row, 16)
}

pub(super) fn loss(row: &PgRow) -> LossEntry {
    LossEntry {
        source: text(row, 0).unwrap_or_default(),
        from: time(row, 1).unwrap_or_default(),
        to: time(row, 2).unwrap_or_default(),
        reason: text(row, 3).unwrap_or_default(),
        lost: integer(row, 4).unwrap_or_default(),
    }
}

/// A `jsonb` or `json` column.
pub(super) fn json(row: &PgRow, at: usize) -> Option<Value> {
    let bytes = bytes(row, at)?;
    // jsonb goes over the wire as its version, 1, and then text.
    let text = bytes.strip_prefix(&[1]).unwrap_or(bytes);
    Some(
        serde_json::from_slice(text)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(text).into_owned())),
    )
}

fn object(value: Option<Value>) -> Map<String, Value> {
    match value {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(map)) => map,
        Some(other) => Map::from_iter([("value".to_owned(), other)]),
    }
}

pub(super) fn lease(row: &PgRow) -> Lease {
    Lease {
        name: text(row, 0).unwrap_or_default(),
        fence: integer(row, 1),
        before: text(row, 2),
    }
}

/// A span that a sweep has looked at; none where its ids can't be read, so that it stays.
pub(super) fn looked(row: &PgRow) -> Option<Looked> {
    Some(Looked {
        id: integer(row, 0)?,
        trace_id: uuid(row, 1)?,
        started_at: time(row, 2)?,
        is_ours: row.try_get(3).unwrap_or(false),
        source: text(row, 4),
    })
}

pub(super) fn text(row: &PgRow, at: usize) -> Option<String> {
    words(row, at).map(Cow::into_owned)
}

fn words(row: &PgRow, at: usize) -> Option<Cow<'_, str>> {
    bytes(row, at).map(String::from_utf8_lossy)
}

pub(super) fn uuid(row: &PgRow, at: usize) -> Option<Uuid> {
    Uuid::from_slice(bytes(row, at)?).ok()
}

/// An integer of any width.
pub(super) fn integer(row: &PgRow, at: usize) -> Option<i64> {
    let bytes = bytes(row, at)?;
    match bytes.len() {
        2 => Some(i16::from_be_bytes(bytes.try_into().ok()?).into()),
        4 => Some(i32::from_be_bytes(bytes.try_into().ok()?).into()),
        8 => Some(i64::from_be_bytes(bytes.try_into().ok()?)),
        _ => None,
    }
}

/// A `double precision`.
fn number(row: &PgRow, at: usize) -> Option<f64> {
    Some(f64::from_be_bytes(bytes(row, at)?.try_into().ok()?))
}

/// A `timestamptz`, or a `timestamp` that holds UTC: both count microseconds, whatever the session's
/// time zone. The infinite ones become the ends of the calendar.
fn time(row: &PgRow, at: usize) -> Option<DateTime<Utc>> {
    let micros = i64::from_be_bytes(bytes(row, at)?.try_into().ok()?);
    let edge = |year, month, day| {
        let date = NaiveDate::from_ymd_opt(year, month, day)?;
        Some(date.and_hms_opt(0, 0, 0)?.and_utc())
    };
    match micros.checked_add(EPOCH) {
        _ if micros == i64::MAX => edge(9999, 12, 31),
        _ if micros == i64::MIN => edge(1, 1, 1),
        unix => DateTime::from_timestamp_micros(unix?),
    }
}

fn bytes(row: &PgRow, at: usize) -> Option<&[u8]> {
    let value = row.try_get_raw(at).ok()?;
    // Extended-protocol answers are binary; only they are read with this module.
    debug_assert_eq!(value.format(), PgValueFormat::Binary);
    (!value.is_null()).then(|| value.as_bytes().ok()).flatten()
}
