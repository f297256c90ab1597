//! Rows in the binary format of `COPY trace_spans (…) FROM STDIN`: the fastest way in, and no value is
//! ever quoted or parsed on the way.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::row::EPOCH;
use crate::model::Span;

const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const TRAILER: i16 = -1;
const COLUMNS: i16 = 16;
/// Room for one row of usual size.
const ROW: usize = 512;

/// The whole input of one `COPY`; columns in the order of `copy.sql`.
pub(super) fn encode(spans: &[Span]) -> Vec<u8> {
    let mut rows = Rows(Vec::with_capacity(HEADER.len() + spans.len() * ROW));
    rows.0.extend_from_slice(HEADER);
    for span in spans {
        rows.row(span);
    }
    rows.0.extend_from_slice(&TRAILER.to_be_bytes());
    rows.0
}

struct Rows(Vec<u8>);

impl Rows {
    fn row(&mut self, span: &Span) {
        self.0.extend_from_slice(&COLUMNS.to_be_bytes());
        self.uuid(Some(span.trace_id));
        self.uuid(Some(span.span_id));
        self.uuid(span.parent_span_id);
        self.text(Some(&span.service));
        self.text(Some(&span.operation));
        self.time(Some(span.started_at));
        self.time(span.completed_at);
        // Fitted to the column before.
        let took = span.duration_ms.map(|ms| (ms as i32).to_be_bytes());
        self.field(took.as_ref().map(<[u8; 4]>::as_slice));
        self.text(Some(span.status.as_str()));
        self.text(span.job_id.as_deref());
        let execution = span.execution_id.map(i64::to_be_bytes);
        self.field(execution.as_ref().map(<[u8; 8]>::as_slice));
        self.text(span.model_id.as_deref());
        self.text(span.region.as_deref());
        self.metadata(span);
        self.text(span.error_message.as_deref());
        self.text(span.error_type.as_deref());
    }

    fn field(&mut self, bytes: Option<&[u8]>) {
        let Some(bytes) = bytes else {
            self.0.extend_from_slice(&(-1_i32).to_be_bytes());
            return;
        };
        self.0
            .extend_from_slice(&(bytes.len() as i32).to_be_bytes());
        self.0.extend_from_slice(bytes);
    }

    fn uuid(&mut self, id: Option<Uuid>) {
        self.field(id.as_ref().map(|id| id.as_bytes().as_slice()));
    }

    fn text(&mut self, text: Option<&str>) {
        self.field(text.map(str::as_bytes));
    }

    fn time(&mut self, at: Option<DateTime<Utc>>) {
        let micros = at.map(|at| (at.timestamp_micros() - EPOCH).to_be_bytes());
        self.field(micros.as_ref().map(<[u8; 8]>::as_slice));
    }

    /// `jsonb`: its version, then text, written in place; the length is known afterwards.
    fn metadata(&mut self, span: &Span) {
        let at = self.0.len();
        self.0.extend_from_slice(&[0, 0, 0, 0, 1]);
        // Neither a map with text keys nor a vector can fail to be written.
        let _ = serde_json::to_writer(&mut self.0, &span.metadata);
        let length = (self.0.len() - at - 4) as i32;
        self.0[at..at + 4].copy_from_slice(&length.to_be_bytes());
    }
}
