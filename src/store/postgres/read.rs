//! Each question as one statement with its parameters, prepared for binary answers and run by the store in
//! a read-only transaction.

use chrono::{DateTime, Utc};
use sqlx::Postgres;
use sqlx::postgres::PgArguments;

use crate::store::{ExecutionQuestion, SpanQuestion, SpanSearch, Window};

pub(super) type Query<'q> = sqlx::query::Query<'q, Postgres, PgArguments>;

/// The select list, a condition, the order, and the number of the parameter that is the limit.
macro_rules! spans {
    ($condition:literal, $limit:literal) => {
        spans!(
            $condition,
            " order by s.started_at, s.span_id, s.id limit ",
            $limit
        )
    };
    ($condition:literal, $order:literal, $limit:literal) => {
        concat!(
            include_str!("../sql/postgres/spans.sql"),
            "public.trace_spans s where ",
            $condition,
            $order,
            $limit
        )
    };
}

macro_rules! executions {
    ($condition:expr, $limit:literal) => {
        concat!(
            include_str!("../sql/postgres/executions.sql"),
            $condition,
            " order by e.created_at desc, e.id desc limit ",
            $limit
        )
    };
}

macro_rules! recent {
    () => {
        include_str!("../sql/postgres/recent_executions.sql")
    };
}

macro_rules! failed {
    () => {
        concat!(
            recent!(),
            include_str!("../sql/postgres/failed_executions.sql")
        )
    };
}

/// A job by its public id, else by its integer key.
macro_rules! named_job {
    ($columns:literal) => {
        concat!(
            "select ",
            $columns,
            " from public.jobs where jobspec_id = $1 or id = $2 \
             order by jobspec_id = $1 desc limit 1"
        )
    };
}

/// A statement without a name on the server: planned each time for the values that it comes with.
pub(super) fn query<'q>(sql: &'static str) -> Query<'q> {
    sqlx::query(sql).persistent(false)
}

/// A statement that every answer about one execution, job or trace has need of, with a name where names last.
/// Which plan is best must not hang on the values.
fn known<'q>(sql: &'static str) -> Query<'q> {
    sqlx::query(sql).persistent(true)
}

pub(super) fn spans(question: &SpanQuestion, limit: u32) -> Query<'_> {
    let query = match question {
        SpanQuestion::Traces(ids) => known(spans!("s.trace_id = any($1)", "$2")).bind(ids),
        // Ordered by what no index has, or the planner may rather read all spans in the order of their start until
        // the few that are asked for have turned up.
        SpanQuestion::TraceRange(low, high) => query(spans!(
            "s.trace_id between $1 and $2",
            " order by s.started_at + interval '0', s.span_id, s.id limit ",
            "$3"
        ))
        .bind(low)
        .bind(high),
        SpanQuestion::SpanRange(low, high) => query(spans!(
            "s.metadata ->> 'collector' = 'beacon-collector' and s.span_id between $1 and $2",
            "$3"
        ))
        .bind(low)
        .bind(high),
        SpanQuestion::OpenBefore(time) => query(spans!(
            "s.metadata ->> 'collector' = 'beacon-collector' and s.status = 'started' \
             and s.started_at < $1",
            "$2"
        ))
        .bind(time),
        SpanQuestion::Failed { from, to } => query(spans!(
            "s.started_at >= $1 and s.started_at < $2 and lower(s.status) in ('failed', \
             'failure', 'error', 'cancelled', 'canceled', 'timeout', 'timed_out', 'timedout')",
            " order by s.started_at desc, s.span_id desc, s.id desc limit ",
            "$3"
        ))
        .bind(from)
        .bind(to),
        SpanQuestion::Window { services, from, to } => query(spans!(
            "s.started_at >= $1 and s.started_at < $2 and s.service = any($3)",
            "$4"
        ))
        .bind(from)
        .bind(to)
        .bind(services),
        // The mark in other words than the index has it: by time, not by reading all rows of ours.
        SpanQuestion::Unlinked { from, to } => known(spans!(
            "s.started_at >= $1 and s.started_at < $2 and s.trace_id = s.span_id \
             and s.metadata @> '{\"collector\": \"beacon-collector\"}'",
            "$3"
        ))
        .bind(from)
        .bind(to),
        SpanQuestion::Printed { from, to } => query(spans!(
            "s.started_at >= $1 and s.started_at < $2 \
             and s.metadata @> '{\"collector\": \"beacon-collector\"}' \
             and s.metadata -> 'log_id' is not null",
            "$3"
        ))
        .bind(from)
        .bind(to),
        SpanQuestion::Written { since, from, to } => query(spans!(
            "s.started_at >= $1 and s.started_at < $3 and s.service <> 'modal' \
             and (s.completed_at is null or s.completed_at >= $2) \
             and ((s.metadata @> '{\"collector\": \"beacon-collector\"}') is not true \
                  or s.metadata -> 'log_id' is null)",
            "$4"
        ))
        .bind(since)
        .bind(from)
        .bind(to),
        SpanQuestion::Search(search) => search_query(search),
    };
    query.bind(i64::from(limit))
}

pub(super) fn seconds<'q>(from: DateTime<Utc>, to: DateTime<Utc>) -> Query<'q> {
    query(include_str!("../sql/postgres/seconds.sql"))
        .bind(from)
        .bind(to)
}

fn search_query(search: &SpanSearch) -> Query<'_> {
    let (after, after_id) = search.after.unzip();
    query(concat!(
        include_str!("../sql/postgres/spans.sql"),
        include_str!("../sql/postgres/search_spans.sql")
    ))
    .bind(search.from)
    .bind(search.to)
    .bind(&search.service)
    .bind(&search.status)
    .bind(&search.model_id)
    .bind(&search.region)
    .bind(&search.job_id)
    .bind(search.min_duration_ms)
    .bind(&search.text)
    .bind(search.ours)
    .bind(after)
    .bind(after_id)
}

pub(super) fn executions(question: &ExecutionQuestion, limit: u32) -> Query<'_> {
    let limit = i64::from(limit);
    match question {
        ExecutionQuestion::Ids(ids) => known(executions!("where e.id = any($1)", "$2"))
            .bind(ids)
            .bind(limit),
        ExecutionQuestion::Job(key) => known(executions!("where e.job_id = $1", "$2"))
            .bind(key)
            .bind(limit),
        ExecutionQuestion::NamedJob(id) => bind_job(
            known(executions!(
                concat!("where e.job_id = (", named_job!("id"), ")"),
                "$3"
            )),
            id,
        )
        .bind(limit),
        ExecutionQuestion::Recent { failed_only, .. } => bind_recent(
            query(match failed_only {
                true => executions!(failed!(), "$5"),
                false => executions!(recent!(), "$5"),
            }),
            question,
        )
        .bind(limit),
        ExecutionQuestion::Overlapping { from, to } => bind_overlapping(
            query(executions!(
                include_str!("../sql/postgres/overlapping_executions.sql"),
                "$5"
            )),
            *from,
            *to,
        )
        .bind(limit),
    }
}

pub(super) fn count_executions(question: &ExecutionQuestion) -> Query<'_> {
    match question {
        ExecutionQuestion::Ids(ids) => {
            query("select count(*) from public.executions e where e.id = any($1)").bind(ids)
        }
        ExecutionQuestion::Job(key) => {
            query("select count(*) from public.executions e where e.job_id = $1").bind(key)
        }
        ExecutionQuestion::NamedJob(id) => bind_job(
            query(concat!(
                "select count(*) from public.executions e where e.job_id = (",
                named_job!("id"),
                ")"
            )),
            id,
        ),
        ExecutionQuestion::Recent { failed_only, .. } => bind_recent(
            query(match failed_only {
                true => concat!("select count(*) from public.executions e\n", failed!()),
                false => concat!("select count(*) from public.executions e\n", recent!()),
            }),
            question,
        ),
        ExecutionQuestion::Overlapping { from, to } => bind_overlapping(
            query(concat!(
                "select count(*) from public.executions e\n",
                include_str!("../sql/postgres/overlapping_executions.sql")
            )),
            *from,
            *to,
        ),
    }
}

fn bind_overlapping(query: Query<'_>, from: DateTime<Utc>, to: DateTime<Utc>) -> Query<'_> {
    let written = ExecutionQuestion::written_around(from, to);
    query
        .bind(from.naive_utc())
        .bind(to.naive_utc())
        .bind(written.start.naive_utc())
        .bind(written.end.naive_utc())
}

fn bind_recent<'q>(query: Query<'q>, question: &'q ExecutionQuestion) -> Query<'q> {
    match question {
        ExecutionQuestion::Recent {
            from,
            to,
            model_id,
            region,
            failed_only: _,
        } => query
            .bind(from.naive_utc())
            .bind(to.naive_utc())
            .bind(model_id)
            .bind(region),
        ExecutionQuestion::Ids(_)
        | ExecutionQuestion::Job(_)
        | ExecutionQuestion::NamedJob(_)
        | ExecutionQuestion::Overlapping { .. } => query,
    }
}

pub(super) fn tally(window: &Window, most: u32) -> Query<'_> {
    query(include_str!("../sql/postgres/tally_executions.sql"))
        .bind(window.from.naive_utc())
        .bind(window.to.naive_utc())
        .bind(&window.model_id)
        .bind(&window.region)
        .bind(i64::from(most))
}

pub(super) fn job(id: &str) -> Query<'_> {
    bind_job(known(named_job!("id, jobspec_id, status, created_at")), id)
}

/// The public id wins over an integer key that reads the same.
fn bind_job<'q>(query: Query<'q>, id: &'q str) -> Query<'q> {
    query.bind(id).bind(id.parse::<i64>().ok())
}

pub(super) fn links_of_traces(traces: &[uuid::Uuid]) -> Query<'_> {
    known(
        "select trace_id, execution_id, method, confidence from beacon_collector.execution_links \
         where trace_id = any($1) order by trace_id, execution_id",
    )
    .bind(traces)
}

pub(super) fn spans_of_executions(ids: &[i64], limit: u32) -> Query<'_> {
    known(include_str!("../sql/postgres/spans_of_executions.sql"))
        .bind(ids)
        .bind(i64::from(limit))
}

pub(super) fn losses<'q>(from: DateTime<Utc>, to: DateTime<Utc>) -> Query<'q> {
    known(
        "select source, lost_from, lost_to, reason, lost from beacon_collector.loss_ledger \
         where lost_to >= $1 and lost_from <= $2 order by lost_from, source",
    )
    .bind(from)
    .bind(to)
}
