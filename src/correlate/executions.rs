//! Which execution a trace of others belongs to: what its spans say (job, model, region, question),
//! and when it ran.
//!
//! Invariant: an execution gets at most one trace that a runner began, and at most one that has none.

use std::collections::HashMap;

use uuid::Uuid;

use super::matching::{Choice, Problem};
use super::sweep::sweep;
use super::trace::{Trace, compatible};
use crate::model::{Execution, ExecutionLink, Regions, Span};

/// Scale of an unexplained difference between a trace's time and its execution's, in seconds: clocks
/// of the database and the runner, rows written in whole seconds.
const SCALE: f64 = 0.5;
/// Mismatch in nats that a trace with the full key may have and still be linked.
const PATIENCE: f64 = 30.0;
/// How far the times of a trace and its execution may lie apart, in µs.
const TOLERANCE: i64 = 15_000_000;
/// How long an execution may have run whose start, or end, is not known, in µs.
const LONGEST: i64 = 3_600_000_000;
/// Links below this confidence are not made.
const CERTAIN: f64 = 0.9;

/// What a trace says about its execution.
struct Facts<'a> {
    id: Uuid,
    job: Option<&'a str>,
    question: Option<&'a str>,
    model: Option<&'a str>,
    region: Option<&'a str>,
    named: Option<(i64, &'static str)>,
    by_runner: bool,
    from: i64,
    to: Option<i64>,
}

/// Finds the execution of each trace, where there is enough to tell.
pub fn executions(
    traces: &[Trace<'_>],
    executions: &[Execution],
    regions: &Regions,
) -> Vec<ExecutionLink> {
    let facts: Vec<_> = traces.iter().map(facts).collect();
    let mut links: Vec<_> = facts.iter().filter_map(named).collect();
    for by_runner in [true, false] {
        let open: Vec<_> = facts
            .iter()
            .filter(|trace| trace.named.is_none() && trace.by_runner == by_runner)
            .collect();
        links.extend(assign(&open, executions, regions));
    }
    links.sort_by_key(|link| link.trace_id);
    links
}

fn named(trace: &Facts<'_>) -> Option<ExecutionLink> {
    let (execution_id, method) = trace.named?;
    Some(ExecutionLink {
        trace_id: trace.id,
        execution_id,
        method: method.to_owned(),
        confidence: 1.0,
    })
}

fn facts<'a>(trace: &Trace<'a>) -> Facts<'a> {
    let root = trace.runner_root();
    let column = trace.first(|span| span.execution_id);
    let written = || {
        trace.first(|span| {
            let value = span.metadata.get("execution_id")?;
            value.as_i64().or_else(|| value.as_str()?.parse().ok())
        })
    };
    let outer = root.or_else(|| trace.spans.first().copied());
    Facts {
        id: trace.id,
        job: trace.first(Span::job),
        question: trace.first(|span| span.text("question_id")),
        model: trace.first(Span::model),
        region: trace.first(Span::region_name),
        named: column
            .map(|id| (id, "column"))
            .or_else(|| written().map(|id| (id, "metadata"))),
        by_runner: root.is_some(),
        from: outer.map_or(0, |span| span.started_at.timestamp_micros()),
        to: outer
            .and_then(|span| span.completed_at)
            .map(|end| end.timestamp_micros()),
    }
}

fn assign(
    traces: &[&Facts<'_>],
    executions: &[Execution],
    regions: &Regions,
) -> Vec<ExecutionLink> {
    let mut problem = Problem::new(executions.len());
    let candidates = candidates(traces, executions, regions);
    for (trace, edges) in traces.iter().zip(candidates) {
        let keyed = trace.job.is_some() && trace.model.is_some() && trace.region.is_some();
        problem.add_row(if keyed { PATIENCE } else { PATIENCE / 3.0 }, edges);
    }
    let choices = problem.solve();
    let found = |(trace, choice): (&&Facts<'_>, Choice)| {
        let execution = &executions[choice.column?];
        let method = if trace.job.is_some() {
            "metadata"
        } else {
            "time"
        };
        (choice.confidence >= CERTAIN).then(|| ExecutionLink {
            trace_id: trace.id,
            execution_id: execution.id,
            method: method.to_owned(),
            confidence: choice.confidence,
        })
    };
    traces.iter().zip(choices).filter_map(found).collect()
}

/// For each trace the executions that it can be of, with how badly they fit.
fn candidates(
    traces: &[&Facts<'_>],
    executions: &[Execution],
    regions: &Regions,
) -> Vec<Vec<(usize, f64)>> {
    let mut ordered: Vec<Run> = executions.iter().enumerate().filter_map(Run::of).collect();
    ordered.sort_unstable_by_key(|run| run.interval);
    let mut by_job: HashMap<&str, Vec<Run>> = HashMap::new();
    for run in &ordered {
        if let Some(job) = executions[run.execution].job_id.as_deref() {
            by_job.entry(job).or_default().push(*run);
        }
    }
    let mut jobs: HashMap<Option<&str>, Vec<usize>> = HashMap::new();
    for (at, trace) in traces.iter().enumerate() {
        jobs.entry(trace.job).or_default().push(at);
    }
    let mut found = vec![Vec::new(); traces.len()];
    for (job, mut rows) in jobs {
        // A trace that names no job can be of any.
        let pool = match job {
            Some(job) => by_job.get(job).map_or([].as_slice(), Vec::as_slice),
            None => &ordered,
        };
        rows.sort_by_key(|&row| traces[row].from);
        let intervals: Vec<_> = pool.iter().map(|run| run.interval).collect();
        let points: Vec<_> = rows.iter().map(|&row| traces[row].from).collect();
        sweep(points, &intervals, |at, running| {
            let trace = traces[rows[at]];
            let running = running.iter().map(|&run| pool[run].execution);
            found[rows[at]] = running
                .filter(|&at| agree(trace, &executions[at], regions))
                .filter_map(|at| Some((at, mismatch(trace, &executions[at])?)))
                .collect();
        });
    }
    found
}

/// An execution, by its index, and when a trace of it may begin, in µs.
#[derive(Clone, Copy)]
struct Run {
    interval: (i64, i64),
    execution: usize,
}

impl Run {
    /// An execution without a start ran before its row was written.
    fn of((at, execution): (usize, &Execution)) -> Option<Self> {
        let start = execution.started_at.map(|at| at.timestamp_micros());
        let end = end_of(execution);
        let from = start.or_else(|| Some(end? - LONGEST))?;
        let to = end.unwrap_or(from + LONGEST);
        Some(Self {
            interval: (from - TOLERANCE, to + TOLERANCE),
            execution: at,
        })
    }
}

fn end_of(execution: &Execution) -> Option<i64> {
    let end = execution.completed_at.or(execution.created_at)?;
    Some(end.timestamp_micros())
}

fn agree(trace: &Facts<'_>, execution: &Execution, regions: &Regions) -> bool {
    compatible(trace.question, execution.question_id.as_deref(), |a, b| {
        a == b
    }) && compatible(
        trace.model,
        execution.model_id.as_deref(),
        str::eq_ignore_ascii_case,
    ) && compatible(trace.region, Some(&execution.region), |a, b| {
        a == b || regions.same(a, b)
    })
}

/// How badly the times go together, in nats; `None` when they can't.
fn mismatch(trace: &Facts<'_>, execution: &Execution) -> Option<f64> {
    let start = execution.started_at.map(|at| at.timestamp_micros());
    let end = end_of(execution);
    let seconds = |a: i64, b: i64| (a - b) as f64 / 1e6;
    let mut nats = 0.0;
    match start {
        // A runner's trace begins with its execution; a router's somewhere inside.
        Some(start) if trace.by_runner => nats += seconds(trace.from, start).abs() / SCALE,
        Some(start) => {
            let after = seconds(trace.from, start);
            nats += if after < 0.0 {
                -after / SCALE
            } else {
                (1.0 + after).ln()
            };
        }
        None => nats += 2.0,
    }
    match (trace.to, end) {
        (Some(to), Some(end)) => {
            let left = seconds(end, to);
            nats += if trace.by_runner || left < 0.0 {
                left.abs() / SCALE
            } else {
                (1.0 + left).ln()
            };
        }
        // A span whose end was never written, or an execution that still runs.
        _ => nats += 2.0,
    }
    (nats < PATIENCE).then_some(nats)
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta, Utc};
    use serde_json::json;

    use super::super::traces;
    use super::*;
    use crate::model::SpanStatus;

    fn at(ms: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_760_000_000, 0).unwrap() + TimeDelta::milliseconds(ms)
    }

    fn root(trace: u128, service: &str, from: i64, to: i64, metadata: serde_json::Value) -> Span {
        Span {
            trace_id: Uuid::from_u128(trace),
            span_id: Uuid::from_u128(trace + 1),
            parent_span_id: None,
            service: service.into(),
            operation: "execute_question".into(),
            started_at: at(from),
            completed_at: Some(at(to)),
            duration_ms: Some(to - from),
            status: SpanStatus::Completed,
            job_id: None,
            execution_id: None,
            model_id: None,
            region: None,
            metadata: metadata.as_object().unwrap().clone(),
            error_message: None,
            error_type: None,
        }
    }

    fn key() -> serde_json::Value {
        json!({"job_id": "job", "model_id": "llama", "region": "us-east", "question_id": "q1"})
    }

    fn execution(id: i64, question: &str, from: i64, to: i64) -> Execution {
        Execution {
            id,
            job_key: Some(1),
            job_id: Some("job".into()),
            provider_id: String::new(),
            region: "US".into(),
            status: "completed".into(),
            started_at: Some(at(from)),
            completed_at: Some(at(to)),
            created_at: Some(at(to)),
            model_id: Some("llama".into()),
            question_id: Some(question.into()),
            output_data: None,
        }
    }

    fn found(spans: &[Span], rows: &[Execution]) -> Vec<(u128, i64, String)> {
        executions(&traces(spans), rows, &Regions::default())
            .into_iter()
            .map(|link| (link.trace_id.as_u128(), link.execution_id, link.method))
            .collect()
    }

    #[test]
    fn a_trace_belongs_to_the_execution_of_its_job_model_region_and_question() {
        let spans = [root(10, "runner", 0, 3_000, key())];
        let rows = [execution(1, "q2", 0, 3_000), execution(2, "q1", 0, 3_000)];
        assert_eq!(found(&spans, &rows), [(10, 2, "metadata".to_owned())]);
    }

    #[test]
    fn attempts_with_the_same_key_are_told_apart_by_time() {
        let spans = [
            root(10, "runner", 0, 3_000, key()),
            root(20, "runner", 4_000, 9_000, key()),
        ];
        let rows = [
            execution(2, "q1", 4_000, 9_000),
            execution(1, "q1", 0, 3_000),
        ];
        let links: Vec<_> = found(&spans, &rows)
            .into_iter()
            .map(|(trace, id, _)| (trace, id))
            .collect();
        assert_eq!(links, [(10, 1), (20, 2)]);
    }

    #[test]
    fn an_execution_of_hours_ago_is_not_that_of_a_trace_of_now() {
        let spans = [root(10, "runner", 7_200_000, 7_203_000, key())];
        assert_eq!(found(&spans, &[execution(1, "q1", 0, 3_000)]), []);
    }

    #[test]
    fn an_execution_id_that_a_span_carries_settles_it() {
        let mut metadata = key();
        metadata["execution_id"] = json!(7);
        let mut column = root(20, "runner", 0, 3_000, key());
        column.execution_id = Some(8);
        let spans = [root(10, "runner", 0, 3_000, metadata), column];
        assert_eq!(
            found(&spans, &[execution(1, "q1", 0, 3_000)]),
            [(10, 7, "metadata".to_owned()), (20, 8, "column".to_owned())]
        );
    }

    #[test]
    fn a_trace_that_only_the_router_wrote_is_found_by_model_region_and_time() {
        let router = json!({"model": "llama", "region": "US"});
        let spans = [root(10, "router", 30, 2_960, router.clone())];
        let rows = [
            execution(1, "q1", 0, 3_000),
            execution(2, "q1", 60_000, 63_000),
        ];
        assert_eq!(found(&spans, &rows), [(10, 1, "time".to_owned())]);
        let twins = [execution(1, "q1", 0, 3_000), execution(2, "q2", 0, 3_000)];
        assert_eq!(found(&spans, &twins), [], "either could be it");
    }
}
