//! Who belongs to whom, found out by evidence: printed spans to the callers that enclose them, traces
//! of others to their executions.
//!
//! Pure: rows in, findings out; no clock, no I/O. What a line says itself comes first; else the
//! callers of the same model and region that were running are weighed by how well the times go
//! together, in the best total one-to-one assignment. Invariant: what could as well be otherwise
//! stays unlinked, with the reason. `docs/linking.md` tells how, and how well it works.

mod clocks;
mod cost;
mod density;
mod evidence;
mod executions;
mod knowledge;
mod learn;
mod links;
mod matching;
mod printed;
mod sweep;
mod trace;

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use crate::model::{Execution, ExecutionLink, Regions, Span};
use cost::Costs;
use evidence::{Evidence, Known};
pub use executions::executions;
pub use knowledge::Knowledge;
use links::Findings;
pub use links::{Finding, with_execution};
pub use trace::{Trace, traces};

/// When the spans ran that may enclose spans printed in an interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Surroundings {
    /// They began at or after this,
    pub since: DateTime<Utc>,
    /// had not ended before this,
    pub from: DateTime<Utc>,
    /// and had begun before this.
    pub to: DateTime<Utc>,
}

impl Surroundings {
    /// Of spans printed in `[from, to)`.
    pub fn of(from: DateTime<Utc>, to: DateTime<Utc>) -> Self {
        let skew = TimeDelta::microseconds(evidence::MOST_SKEW);
        let from = from.checked_sub_signed(skew).unwrap_or(from);
        let longest = TimeDelta::seconds(density::REACH as i64);
        Self {
            since: from.checked_sub_signed(longest).unwrap_or(from),
            from,
            to: to.checked_add_signed(skew).unwrap_or(to),
        }
    }
}

/// Rows of one stretch of time, ready to be compared.
#[derive(Debug)]
pub struct Correlation<'a> {
    evidence: Evidence<'a>,
    traces: &'a [Trace<'a>],
    execution_of: HashMap<Uuid, i64>,
    executions: &'a [Execution],
}

impl<'a> Correlation<'a> {
    /// Compares printed spans (`modal`, rows of ours) with the traces of others around them.
    ///
    /// `known` says which execution a trace belongs to, `executions` holds those executions.
    pub fn new(
        modal: &'a [Span],
        traces: &'a [Trace<'a>],
        known: &[ExecutionLink],
        executions: &'a [Execution],
        regions: &'a Regions,
    ) -> Self {
        let execution_of = known
            .iter()
            .map(|link| (link.trace_id, link.execution_id))
            .collect();
        let known = Known {
            traces,
            execution_of: &execution_of,
        };
        Self {
            evidence: Evidence::gather(modal, known, regions),
            traces,
            execution_of,
            executions,
        }
    }

    /// What the printed spans that began at or after `since` teach, on top of `before`.
    ///
    /// The same spans must not teach twice: learn from a stretch of time once it is complete.
    pub fn learn(&self, since: DateTime<Utc>, before: &Knowledge) -> Knowledge {
        learn::learn(&self.evidence, since.timestamp_micros(), before)
    }

    /// The findings, in order of time; printed spans for which there is nothing to weigh have none.
    pub fn links(&self, knowledge: &Knowledge) -> Vec<Finding> {
        let costs = Costs::new(&self.evidence, knowledge);
        let choices = learn::assign(&costs, 0..self.evidence.printed.len());
        let findings = Findings {
            evidence: &self.evidence,
            traces: self.traces,
            execution_of: &self.execution_of,
            executions: self.executions.iter().map(|row| (row.id, row)).collect(),
        };
        findings.report(&choices)
    }
}

#[cfg(test)]
mod tests;
