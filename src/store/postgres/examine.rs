//! The state of a Postgres database, for people who look for a fault.

use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::question::Ask as _;
use super::{PostgresStore, index, read, row};
use crate::store::examine::{Examination, SpanWriter};
use crate::store::{StoreError, migration};

impl PostgresStore {
    /// Reads it; what is not there yet is left out.
    pub(super) async fn look(&self) -> Result<Examination, StoreError> {
        const ACTION: &str = "examine the database";
        let query = read::query(include_str!("../sql/postgres/examine.sql"));
        let rows = self.ask(ACTION, query).await?;
        let first = rows.first();
        let there = |at: usize| first.is_some_and(|row| row.try_get(at).unwrap_or(false));
        let text = |at: usize| -> String {
            let row = first.and_then(|row| row.try_get(at).ok());
            row.unwrap_or_default()
        };
        let rights = text(4);
        let mut seen = Examination {
            version: format!("Postgres {}", text(0)),
            clock: first
                .and_then(|row| row.try_get(1).ok())
                .unwrap_or_else(chrono::Utc::now),
            steps: (0, migration::POSTGRES.last().map_or(0, |step| step.version)),
            missing_rights: rights
                .split(", ")
                .filter(|right| !right.is_empty())
                .map(ToOwned::to_owned)
                .collect(),
            missing_indexes: Vec::new(),
            writers: Vec::new(),
            doubled: 0,
        };
        if there(2) && !rights.contains("beacon_collector.migrations") {
            let query = "select coalesce(max(version), 0) from beacon_collector.migrations";
            let rows = self.ask(ACTION, read::query(query)).await?;
            seen.steps.0 = rows.first().map_or(0, number);
        }
        if there(3) && !rights.contains("select on public.trace_spans") {
            seen.missing_indexes = match index::lacking(&self.connections).await {
                Ok(statements) => statements,
                Err(fault) => return Err(fault.sort(ACTION)),
            };
            let query = read::query(include_str!("../sql/postgres/writers.sql"));
            seen.writers = self.ask(ACTION, query).await?.iter().map(writer).collect();
            let query = read::query(include_str!("../sql/postgres/doubled.sql"));
            let rows = self.ask(ACTION, query).await?;
            seen.doubled = rows.first().map_or(0, |row| number(row).unsigned_abs());
        }
        Ok(seen)
    }
}

fn number(row: &PgRow) -> i64 {
    row::integer(row, 0).unwrap_or_default()
}

fn writer(row: &PgRow) -> SpanWriter {
    let count = |at| row::integer(row, at).unwrap_or_default().unsigned_abs();
    SpanWriter {
        service: row.try_get(0).unwrap_or_default(),
        ours: row.try_get(1).unwrap_or_default(),
        spans: count(2),
        without_start: count(3),
    }
}
