//! The questions that a store answers, each served by an index.

use std::ops::Range;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

/// A question for spans.
#[derive(Debug, Clone, PartialEq)]
pub enum SpanQuestion {
    /// All spans of the traces.
    Traces(Vec<Uuid>),
    /// Spans whose trace id lies between two ids, both included: a prefix that a person typed.
    TraceRange(Uuid, Uuid),
    /// Spans of ours whose span id lies between two ids, both included: a log id.
    SpanRange(Uuid, Uuid),
    /// Spans of ours that are open and began before a time, oldest first.
    OpenBefore(DateTime<Utc>),
    /// Failed and timed-out spans that began in `[from, to)`, newest first.
    Failed {
        /// Start of the interval.
        from: DateTime<Utc>,
        /// End of the interval.
        to: DateTime<Utc>,
    },
    /// Spans of the services that began in `[from, to)`.
    Window {
        /// Services, e.g. `runner`.
        services: Vec<String>,
        /// Start of the interval.
        from: DateTime<Utc>,
        /// End of the interval.
        to: DateTime<Utc>,
    },
    /// Spans of ours that began in `[from, to)` and are not linked to a trace of others.
    Unlinked {
        /// Start of the interval.
        from: DateTime<Utc>,
        /// End of the interval.
        to: DateTime<Utc>,
    },
    /// Printed spans that began in `[from, to)`.
    Printed {
        /// Start of the interval.
        from: DateTime<Utc>,
        /// End of the interval.
        to: DateTime<Utc>,
    },
    /// Spans of services other than Modal that were not printed but written by their services, or sent
    /// as spans, that ran at some time in `[from, to)` and began at or after `since`.
    Written {
        /// Earliest start.
        since: DateTime<Utc>,
        /// Start of the interval.
        from: DateTime<Utc>,
        /// End of the interval.
        to: DateTime<Utc>,
    },
    /// Spans that match a search, newest first.
    Search(SpanSearch),
}

/// A question for executions.
#[derive(Debug, Clone, PartialEq)]
pub enum ExecutionQuestion {
    /// By `executions.id`.
    Ids(Vec<i64>),
    /// All of a job, by `jobs.id`.
    Job(i64),
    /// All of the job that [`super::Questions::job`] finds by this id.
    NamedJob(String),
    /// Written in `[from, to)` (`created_at`), filtered.
    Recent {
        /// Start of the interval.
        from: DateTime<Utc>,
        /// End of the interval.
        to: DateTime<Utc>,
        /// Only executions that did not succeed.
        failed_only: bool,
        /// Only this model.
        model_id: Option<String>,
        /// Only this region.
        region: Option<String>,
    },
    /// That ran at some time in `[from, to)`, where they were written within an hour of it.
    Overlapping {
        /// Start of the interval.
        from: DateTime<Utc>,
        /// End of the interval.
        to: DateTime<Utc>,
    },
}

/// Executions written in a stretch of time.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    /// Start of the interval.
    pub from: DateTime<Utc>,
    /// End of the interval, not included.
    pub to: DateTime<Utc>,
    /// Only this model.
    pub model_id: Option<String>,
    /// Only this region.
    pub region: Option<String>,
}

/// What spans are searched by; what is absent or empty matches all.
#[derive(Debug, Clone, PartialEq)]
pub struct SpanSearch {
    /// Start of the interval in which the span began.
    pub from: DateTime<Utc>,
    /// End of the interval, not included.
    pub to: DateTime<Utc>,
    /// Only this service.
    pub service: Option<String>,
    /// Only this status word, in any letter case.
    pub status: Option<String>,
    /// Only this model: the column, else `metadata`.
    pub model_id: Option<String>,
    /// Only this region as its writer spells it, in any letter case: the column, else `metadata`.
    pub region: Option<String>,
    /// Only this job: the column, else `metadata`.
    pub job_id: Option<String>,
    /// Only spans at least this long.
    pub min_duration_ms: Option<i64>,
    /// Only spans whose error, operation or log id contains this text, in any letter case.
    pub text: Option<String>,
    /// Only spans of ours.
    pub ours: bool,
    /// Only spans that come after this start and span id, newest first.
    pub after: Option<(DateTime<Utc>, Uuid)>,
}

/// How many spans began in one second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Second {
    /// Its number since 1970.
    pub at: i64,
    /// All of them.
    pub spans: u64,
    /// Those of services other than Modal.
    pub of_others: u64,
}

impl SpanSearch {
    /// All spans that began in `[from, to)`.
    pub fn all(from: DateTime<Utc>, to: DateTime<Utc>) -> Self {
        Self {
            from,
            to,
            service: None,
            status: None,
            model_id: None,
            region: None,
            job_id: None,
            min_duration_ms: None,
            text: None,
            ours: false,
            after: None,
        }
    }
}

impl ExecutionQuestion {
    /// When the rows of executions that ran in `[from, to)` are taken to have been written.
    pub(super) fn written_around(from: DateTime<Utc>, to: DateTime<Utc>) -> Range<DateTime<Utc>> {
        let away = TimeDelta::hours(1);
        let from = from.checked_sub_signed(away).unwrap_or(from);
        from..to.checked_add_signed(away).unwrap_or(to)
    }
}
