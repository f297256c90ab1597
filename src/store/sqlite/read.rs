//! Each question as one statement. A single statement of SQLite reads from one snapshot, so none needs
//! a transaction around it.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Row as _, Sqlite, SqlitePool};
use uuid::Uuid;

use super::row::{self, time_text};
use crate::model::{Execution, ExecutionLink, Job, LossEntry, Span, Tally};
use crate::store::{ExecutionQuestion, Second, SpanQuestion, SpanSearch, Window};

type Query = sqlx::query::Query<'static, Sqlite, SqliteArguments>;

/// The select list, a condition and, unless the condition has one, the order.
macro_rules! spans {
    ($condition:literal) => {
        spans!($condition, "order by s.started_at, s.span_id, s.id limit ")
    };
    ($condition:literal, $order:literal) => {
        concat!(
            include_str!("../sql/sqlite/spans.sql"),
            "trace_spans s where ",
            $condition,
            " ",
            $order,
            "?"
        )
    };
}

/// The same for executions; the last argument is the parameter that is the limit.
macro_rules! executions {
    ($condition:expr, $limit:literal) => {
        concat!(
            include_str!("../sql/sqlite/executions.sql"),
            $condition,
            " order by e.created_at desc, e.id desc limit ",
            $limit
        )
    };
}

macro_rules! recent {
    () => {
        include_str!("../sql/sqlite/recent_executions.sql")
    };
}

/// A job by its public id, else by its integer key.
macro_rules! named_job {
    ($columns:literal) => {
        concat!(
            "select ",
            $columns,
            " from jobs where jobspec_id = ?1 or id = ?2 order by jobspec_id = ?1 desc limit 1"
        )
    };
}

macro_rules! failed {
    () => {
        concat!(
            recent!(),
            include_str!("../sql/sqlite/failed_executions.sql")
        )
    };
}

pub(super) async fn spans(
    pool: &SqlitePool,
    question: &SpanQuestion,
    limit: u32,
) -> sqlx::Result<Vec<Span>> {
    let rows = span_query(question).bind(limit).fetch_all(pool).await?;
    Ok(rows.iter().filter_map(row::span).collect())
}

pub(super) async fn seconds(
    pool: &SqlitePool,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> sqlx::Result<Vec<Second>> {
    let rows = sqlx::query(include_str!("../sql/sqlite/seconds.sql"))
        .bind(time_text(from))
        .bind(time_text(to))
        .fetch_all(pool)
        .await?;
    let count = |row: &SqliteRow, at: usize| row.try_get::<i64, _>(at).map(i64::unsigned_abs);
    rows.iter()
        .map(|row| {
            Ok(Second {
                at: row.try_get(0)?,
                spans: count(row, 1)?,
                of_others: count(row, 2)?,
            })
        })
        .collect()
}

fn span_query(question: &SpanQuestion) -> Query {
    match question {
        SpanQuestion::Traces(ids) => {
            sqlx::query(spans!("s.trace_id in (select value from json_each(?))"))
                .bind(json!(ids).to_string())
        }
        SpanQuestion::TraceRange(low, high) => sqlx::query(spans!("s.trace_id between ? and ?"))
            .bind(low.to_string())
            .bind(high.to_string()),
        SpanQuestion::SpanRange(low, high) => sqlx::query(spans!(
            "s.metadata ->> 'collector' = 'beacon-collector' \
             and (s.trace_id between ? and ? and s.trace_id = s.span_id \
                  or s.span_id between ? and ? and s.trace_id <> s.span_id)"
        ))
        .bind(low.to_string())
        .bind(high.to_string())
        .bind(low.to_string())
        .bind(high.to_string()),
        SpanQuestion::OpenBefore(time) => sqlx::query(spans!(
            "s.metadata ->> 'collector' = 'beacon-collector' and s.status = 'started' \
             and s.started_at < ?"
        ))
        .bind(time_text(*time)),
        SpanQuestion::Failed { from, to } => sqlx::query(spans!(
            "s.started_at >= ? and s.started_at < ? and lower(s.status) in ('failed', 'failure', \
             'error', 'cancelled', 'canceled', 'timeout', 'timed_out', 'timedout')",
            "order by s.started_at desc, s.span_id desc, s.id desc limit "
        ))
        .bind(time_text(*from))
        .bind(time_text(*to)),
        SpanQuestion::Window { services, from, to } => sqlx::query(spans!(
            "s.started_at >= ? and s.started_at < ? \
             and s.service in (select value from json_each(?))"
        ))
        .bind(time_text(*from))
        .bind(time_text(*to))
        .bind(json!(services).to_string()),
        SpanQuestion::Unlinked { from, to } => sqlx::query(spans!(
            "s.started_at >= ? and s.started_at < ? and s.trace_id = s.span_id \
             and s.metadata ->> 'collector' = 'beacon-collector'"
        ))
        .bind(time_text(*from))
        .bind(time_text(*to)),
        SpanQuestion::Printed { from, to } => sqlx::query(spans!(
            "s.started_at >= ? and s.started_at < ? \
             and s.metadata ->> 'collector' = 'beacon-collector' \
             and s.metadata ->> 'log_id' is not null"
        ))
        .bind(time_text(*from))
        .bind(time_text(*to)),
        SpanQuestion::Written { since, from, to } => sqlx::query(spans!(
            "s.started_at >= ? and s.started_at < ? and s.service <> 'modal' \
             and (s.completed_at is null or s.completed_at >= ?) \
             and (s.metadata ->> 'collector' is not 'beacon-collector' \
                  or s.metadata ->> 'log_id' is null)"
        ))
        .bind(time_text(*since))
        .bind(time_text(*to))
        .bind(time_text(*from)),
        SpanQuestion::Search(search) => search_query(search),
    }
}

fn search_query(search: &SpanSearch) -> Query {
    let (after, after_id) = search.after.unzip();
    sqlx::query(concat!(
        include_str!("../sql/sqlite/spans.sql"),
        include_str!("../sql/sqlite/search_spans.sql")
    ))
    .bind(time_text(search.from))
    .bind(time_text(search.to))
    .bind(search.service.clone())
    .bind(search.status.clone())
    .bind(search.model_id.clone())
    .bind(search.region.clone())
    .bind(search.job_id.clone())
    .bind(search.min_duration_ms)
    .bind(search.text.clone())
    .bind(search.ours)
    .bind(after.map(time_text))
    .bind(after_id.map(|id| id.to_string()))
}

pub(super) async fn executions(
    pool: &SqlitePool,
    question: &ExecutionQuestion,
    limit: u32,
) -> sqlx::Result<Vec<Execution>> {
    let query = match question {
        ExecutionQuestion::Ids(ids) => sqlx::query(executions!(
            "where e.id in (select value from json_each(?1))",
            "?2"
        ))
        .bind(json!(ids).to_string()),
        ExecutionQuestion::Job(key) => {
            sqlx::query(executions!("where e.job_id = ?1", "?2")).bind(*key)
        }
        ExecutionQuestion::NamedJob(id) => bind_job(
            sqlx::query(executions!(
                concat!("where e.job_id = (", named_job!("id"), ")"),
                "?3"
            )),
            id,
        ),
        recent @ ExecutionQuestion::Recent { failed_only, .. } => bind_recent(
            sqlx::query(match failed_only {
                true => executions!(failed!(), "?5"),
                false => executions!(recent!(), "?5"),
            }),
            recent,
        ),
        ExecutionQuestion::Overlapping { from, to } => bind_overlapping(
            sqlx::query(executions!(
                include_str!("../sql/sqlite/overlapping_executions.sql"),
                "?5"
            )),
            *from,
            *to,
        ),
    };
    let rows = query.bind(limit).fetch_all(pool).await?;
    Ok(rows.iter().filter_map(row::execution).collect())
}

pub(super) async fn count_executions(
    pool: &SqlitePool,
    question: &ExecutionQuestion,
) -> sqlx::Result<u64> {
    let query = match question {
        ExecutionQuestion::Ids(ids) => sqlx::query(
            "select count(*) from executions e where e.id in (select value from json_each(?))",
        )
        .bind(json!(ids).to_string()),
        ExecutionQuestion::Job(key) => {
            sqlx::query("select count(*) from executions e where e.job_id = ?").bind(*key)
        }
        ExecutionQuestion::NamedJob(id) => bind_job(
            sqlx::query(concat!(
                "select count(*) from executions e where e.job_id = (",
                named_job!("id"),
                ")"
            )),
            id,
        ),
        recent @ ExecutionQuestion::Recent { failed_only, .. } => bind_recent(
            sqlx::query(match failed_only {
                true => concat!("select count(*) from executions e\n", failed!()),
                false => concat!("select count(*) from executions e\n", recent!()),
            }),
            recent,
        ),
        ExecutionQuestion::Overlapping { from, to } => bind_overlapping(
            sqlx::query(concat!(
                "select count(*) from executions e\n",
                include_str!("../sql/sqlite/overlapping_executions.sql")
            )),
            *from,
            *to,
        ),
    };
    let row = query.fetch_one(pool).await?;
    sqlx::Row::try_get::<i64, _>(&row, 0).map(i64::unsigned_abs)
}

fn bind_overlapping(query: Query, from: DateTime<Utc>, to: DateTime<Utc>) -> Query {
    let written = ExecutionQuestion::written_around(from, to);
    query
        .bind(time_text(from))
        .bind(time_text(to))
        .bind(time_text(written.start))
        .bind(time_text(written.end))
}

fn bind_recent(query: Query, question: &ExecutionQuestion) -> Query {
    let ExecutionQuestion::Recent {
        from,
        to,
        model_id,
        region,
        failed_only: _,
    } = question
    else {
        return query;
    };
    query
        .bind(time_text(*from))
        .bind(time_text(*to))
        .bind(model_id.clone())
        .bind(region.clone())
}

pub(super) async fn tally(
    pool: &SqlitePool,
    window: &Window,
    most: u32,
) -> sqlx::Result<Vec<Tally>> {
    let rows = sqlx::query(include_str!("../sql/sqlite/tally_executions.sql"))
        .bind(time_text(window.from))
        .bind(time_text(window.to))
        .bind(window.model_id.clone())
        .bind(window.region.clone())
        .bind(most)
        .fetch_all(pool)
        .await?;
    Ok(rows.iter().filter_map(row::tally).collect())
}

pub(super) async fn job(pool: &SqlitePool, id: &str) -> sqlx::Result<Option<Job>> {
    let row = bind_job(
        sqlx::query(named_job!("id, jobspec_id, status, created_at")),
        id,
    )
    .fetch_optional(pool)
    .await?;
    Ok(row.as_ref().and_then(row::job))
}

/// The public id wins over an integer key that reads the same.
fn bind_job(query: Query, id: &str) -> Query {
    query.bind(id.to_owned()).bind(id.parse::<i64>().ok())
}

pub(super) async fn links_of_traces(
    pool: &SqlitePool,
    traces: &[Uuid],
) -> sqlx::Result<Vec<ExecutionLink>> {
    let query = sqlx::query(
        "select trace_id, execution_id, method, confidence from execution_links \
         where trace_id in (select value from json_each(?)) order by trace_id, execution_id",
    );
    links(query.bind(json!(traces).to_string()).fetch_all(pool).await)
}

/// Its parameter, an array of ids, comes twice.
const SPANS_OF_EXECUTIONS: &str = spans!(
    "s.trace_id in (select l.trace_id from execution_links l \
     where l.execution_id in (select value from json_each(?)) union \
     select n.trace_id from trace_spans n \
     where n.execution_id in (select value from json_each(?)))"
);

pub(super) async fn spans_of_executions(
    pool: &SqlitePool,
    ids: &[i64],
    limit: u32,
) -> sqlx::Result<(Vec<Span>, Vec<ExecutionLink>)> {
    let ids = json!(ids).to_string();
    let known = sqlx::query(
        "select trace_id, execution_id, method, confidence from execution_links \
         where execution_id in (select value from json_each(?)) order by execution_id, trace_id",
    );
    let mut known = links(known.bind(ids.clone()).fetch_all(pool).await)?;
    let query = sqlx::query(SPANS_OF_EXECUTIONS).bind(ids.clone()).bind(ids);
    let rows = query.bind(limit).fetch_all(pool).await?;
    let spans: Vec<Span> = rows.iter().filter_map(row::span).collect();
    let traces: HashSet<Uuid> = spans.iter().map(|span| span.trace_id).collect();
    known.retain(|link| traces.contains(&link.trace_id));
    Ok((spans, known))
}

fn links(rows: sqlx::Result<Vec<SqliteRow>>) -> sqlx::Result<Vec<ExecutionLink>> {
    Ok(rows?.iter().filter_map(row::execution_link).collect())
}

pub(super) async fn losses(
    pool: &SqlitePool,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> sqlx::Result<Vec<LossEntry>> {
    let rows = sqlx::query(
        "select source, lost_from, lost_to, reason, lost from loss_ledger \
         where lost_to >= ? and lost_from <= ? order by lost_from, source",
    )
    .bind(time_text(from))
    .bind(time_text(to))
    .fetch_all(pool)
    .await?;
    Ok(rows.iter().filter_map(row::loss).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{DateTime, Utc};
    use sqlx::Execute;

    async fn plan(pool: &SqlitePool, sql: &str) -> String {
        let sql = sqlx::AssertSqlSafe(format!("explain query plan {sql}"));
        let rows = sqlx::query(sql).fetch_all(pool).await.unwrap();
        let details = rows.iter().map(|row| row.get::<String, _>(3));
        details.collect::<Vec<_>>().join("; ")
    }

    /// An empty database with all tables.
    async fn migrated() -> SqlitePool {
        let pool = sqlx::sqlite::SqlitePoolOptions::new()
            .max_connections(1)
            .connect("sqlite::memory:")
            .await
            .unwrap();
        for step in crate::store::migration::SQLITE {
            sqlx::raw_sql(step.sql).execute(&pool).await.unwrap();
        }
        pool
    }

    #[tokio::test]
    async fn every_question_is_served_by_an_index() {
        let pool = migrated().await;
        let (id, from, to) = (
            Uuid::nil(),
            DateTime::<Utc>::MIN_UTC,
            DateTime::<Utc>::MAX_UTC,
        );
        let services = vec![];
        let questions = [
            (SpanQuestion::Traces(vec![]), "idx_trace_spans_trace_id"),
            (SpanQuestion::TraceRange(id, id), "idx_trace_spans_trace_id"),
            (SpanQuestion::SpanRange(id, id), "idx_trace_spans_trace_id"),
            (SpanQuestion::SpanRange(id, id), "beacon_linked_spans"),
            (SpanQuestion::OpenBefore(to), "beacon_open_spans"),
            (
                SpanQuestion::Failed { from, to },
                "idx_trace_spans_started_at",
            ),
            (
                SpanQuestion::Window { services, from, to },
                "idx_trace_spans_started_at",
            ),
            (
                SpanQuestion::Unlinked { from, to },
                "idx_trace_spans_started_at",
            ),
        ];
        for (question, index) in questions {
            let sql = span_query(&question).sql();
            let plan = plan(&pool, sql.as_str()).await;
            assert!(plan.contains(index), "{question:?}: {plan}");
        }
        let failed = concat!("select count(*) from executions e\n", failed!());
        let tally = include_str!("../sql/sqlite/tally_executions.sql");
        for (sql, index) in [
            (SPANS_OF_EXECUTIONS, "idx_trace_spans_execution_id"),
            (failed, "COVERING INDEX beacon_failed_executions"),
            (
                tally,
                "beacon_executions_created_at (created_at>? AND created_at<?)",
            ),
        ] {
            let plan = plan(&pool, sql).await;
            assert!(plan.contains(index), "{plan}");
        }
        let own = concat!(
            include_str!("../sql/sqlite/spans.sql"),
            include_str!("../sql/sqlite/own_rows.sql")
        );
        let plan = plan(&pool, own).await;
        for index in [
            "idx_trace_spans_trace_id (trace_id>? AND trace_id<?)",
            "beacon_linked_spans (span_id>? AND span_id<?)",
        ] {
            assert!(plan.contains(index), "{plan}");
        }
        assert!(
            !plan.contains("SCAN u") && !plan.contains("SCAN l") && !plan.contains("SCAN s"),
            "{plan}"
        );
    }

    #[tokio::test]
    async fn a_trace_an_execution_and_a_span_are_looked_up_in_anybodys_sql() {
        let pool = migrated().await;
        let span = "trace_id = 'x' and span_id = 'x' or span_id = 'x' and trace_id <> span_id";
        for (condition, indexes) in [
            (
                "trace_id = 'x'",
                &["idx_trace_spans_trace_id (trace_id=?)"][..],
            ),
            (
                "execution_id = 7",
                &["idx_trace_spans_execution_id (execution_id=?)"],
            ),
            (
                span,
                &[
                    "idx_trace_spans_trace_id (trace_id=?)",
                    "beacon_linked_spans (span_id=?)",
                ],
            ),
        ] {
            let plan = plan(
                &pool,
                &format!("select * from trace_spans where {condition}"),
            )
            .await;
            for index in indexes {
                assert!(plan.contains(index), "{plan}");
            }
            assert!(!plan.contains("SCAN"), "{plan}");
        }
    }
}
