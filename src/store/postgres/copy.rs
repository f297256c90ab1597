//! Rows in the binary format of `COPY trace_spans (…) FROM STDIN`: the fastest way in, and no value is
//! ever quoted or parsed on the way.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::row::EPOCH;
use crate::model::{Metadata, Row};

const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const TRAILER: i16 = -1;
const COLUMNS: i16 = 16;
/// Room for one row of usual size.
const ROW: usize = 1024;
/// Bytes sent at once: enough that a system call costs little for each row, and no batch stands in
/// memory a second time as a whole.
const PIECE: usize = 64 << 10;

/// The input of one `COPY`, to be sent piece by piece; columns in the order of `copy.sql`.
pub(super) struct Rows(Vec<u8>);

impl Rows {
    pub(super) fn begin() -> Self {
        let mut rows = Vec::with_capacity(PIECE + ROW);
        rows.extend_from_slice(HEADER);
        Self(rows)
    }

    /// What has been written since the last piece, if that is enough for one.
    pub(super) fn piece(&self) -> Option<&[u8]> {
        (self.0.len() >= PIECE).then_some(&self.0)
    }

    /// Forgets a piece that was sent.
    pub(super) fn sent(&mut self) {
        self.0.clear();
    }

    /// The last piece.
    pub(super) fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(&TRAILER.to_be_bytes());
        self.0
    }

    pub(super) fn row(&mut self, row: &Row<'_>) {
        self.0.extend_from_slice(&COLUMNS.to_be_bytes());
        self.uuid(Some(row.trace_id));
        self.uuid(Some(row.span_id));
        self.uuid(row.parent_span_id);
        self.text(Some(row.service));
        self.text(Some(row.operation));
        self.time(Some(row.started_at));
        self.time(row.completed_at);
        // Fitted to the column before.
        let took = row.duration_ms.map(|ms| (ms as i32).to_be_bytes());
        self.field(took.as_ref().map(<[u8; 4]>::as_slice));
        self.text(Some(row.status.as_str()));
        self.text(row.job_id);
        let execution = row.execution_id.map(i64::to_be_bytes);
        self.field(execution.as_ref().map(<[u8; 8]>::as_slice));
        self.text(row.model_id);
        self.text(row.region);
        self.metadata(row.metadata);
        self.text(row.error_message);
        self.text(row.error_type);
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
    fn metadata(&mut self, metadata: Metadata<'_>) {
        let at = self.0.len();
        self.0.extend_from_slice(&[0, 0, 0, 0, 1]);
        metadata.write(&mut self.0);
        let length = (self.0.len() - at - 4) as i32;
        self.0[at..at + 4].copy_from_slice(&length.to_be_bytes());
    }
}
