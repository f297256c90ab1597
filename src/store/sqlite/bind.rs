//! Rows as the arguments of a statement, with few allocations: a batch has thousands of rows, and most of
//! their texts are those of the row before.

use std::sync::Arc;

use sqlx::sqlite::SqliteArguments;
use sqlx::{Arguments as _, Encode, Sqlite, Type};
use uuid::Uuid;

use super::row::time_text;
use crate::model::Row;
use crate::store::plan::New;

/// Columns of a new row.
pub(super) const COLUMNS: usize = 17;

/// What is kept from row to row.
#[derive(Debug, Default)]
pub(super) struct Binder {
    metadata: Vec<u8>,
    /// Texts of the last row, by column.
    last: [Option<Arc<str>>; 5],
}

impl Binder {
    /// New rows, written `now`.
    pub(super) fn rows(
        &mut self,
        rows: &[New<'_>],
        now: &Arc<str>,
    ) -> sqlx::Result<SqliteArguments> {
        let mut arguments = SqliteArguments::default();
        arguments.reserve(rows.len() * COLUMNS, 0);
        for row in rows {
            self.row(&mut arguments, &row.row())?;
            add(&mut arguments, Arc::clone(now))?;
        }
        Ok(arguments)
    }

    /// The columns that an update changes, in their order.
    pub(super) fn row(
        &mut self,
        arguments: &mut SqliteArguments,
        row: &Row<'_>,
    ) -> sqlx::Result<()> {
        self.metadata.clear();
        row.metadata.write(&mut self.metadata);
        // It is JSON, so it is UTF-8.
        let metadata = std::str::from_utf8(&self.metadata).ok();
        let text = |text: Option<&str>| text.map(Arc::<str>::from);
        let [service, operation, status, model, region] = &mut self.last;
        let trace = id_text(row.trace_id);
        // A span that is not linked is a trace of its own.
        let span = if row.span_id == row.trace_id {
            Arc::clone(&trace)
        } else {
            id_text(row.span_id)
        };
        add(arguments, trace)?;
        add(arguments, span)?;
        add(arguments, row.parent_span_id.map(id_text))?;
        add(arguments, repeated(service, Some(row.service)))?;
        add(arguments, repeated(operation, Some(row.operation)))?;
        add(arguments, time_text(row.started_at))?;
        add(arguments, row.completed_at.map(time_text))?;
        add(arguments, row.duration_ms)?;
        add(arguments, repeated(status, Some(row.status.as_str())))?;
        add(arguments, text(row.job_id))?;
        add(arguments, row.execution_id)?;
        add(arguments, repeated(model, row.model_id))?;
        add(arguments, repeated(region, row.region))?;
        add(arguments, text(metadata))?;
        add(arguments, text(row.error_message))?;
        add(arguments, text(row.error_type))
    }
}

/// Adds one argument.
pub(super) fn add<'a, T>(arguments: &mut SqliteArguments, value: T) -> sqlx::Result<()>
where
    T: Encode<'a, Sqlite> + Type<Sqlite>,
{
    arguments.add(value).map_err(sqlx::Error::Encode)
}

fn id_text(id: Uuid) -> Arc<str> {
    Arc::from(&*id.hyphenated().encode_lower(&mut Uuid::encode_buffer()))
}

/// The text, shared with the row before where that had the same.
fn repeated(last: &mut Option<Arc<str>>, text: Option<&str>) -> Option<Arc<str>> {
    let text = text?;
    if last.as_deref() != Some(text) {
        *last = Some(text.into());
    }
    last.clone()
}
