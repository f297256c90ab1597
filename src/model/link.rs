//! A finding that joins a printed span to a trace of others, and what it may change in the row.
//!
//! Invariants: what a line said itself is never overruled by what was found out; and the row says
//! which of its columns were filled in, so that a better finding takes the place of an earlier one
//! and an earlier one never passes for what a line said.

use serde_json::{Value, json};
use uuid::Uuid;

use super::observation::Context;
use super::span::{Span, meta};

/// Names the columns that the finding filled in, within [`meta::LINK`].
const FILLED: &str = "filled";

/// How a span of ours was joined to a trace, or why it was not.
#[derive(Debug, Clone, PartialEq)]
pub struct SpanLink {
    /// The span, by the id it had when the finding was made.
    pub span_id: Uuid,
    /// The trace it belongs to; its own id when it stays unlinked.
    pub trace_id: Uuid,
    /// The span that encloses it.
    pub parent_span_id: Option<Uuid>,
    /// `executions.id`.
    pub execution_id: Option<i64>,
    /// `jobs.jobspec_id`.
    pub job_id: Option<String>,
    /// Model, where the line named none.
    pub model_id: Option<String>,
    /// Region, where the line named none.
    pub region: Option<String>,
    /// What goes under [`meta::LINK`]: an object.
    pub link: Value,
}

impl SpanLink {
    /// Enters the finding in a row, in the place of an earlier one.
    pub fn apply(&self, span: &mut Span) {
        undo(span);
        let named_by_line = span.trace_id != span.span_id;
        if named_by_line && span.trace_id != self.trace_id {
            return;
        }
        let mut filled = Vec::new();
        // A span that was renamed since the finding stays its own root when it was left unlinked.
        if !named_by_line && self.trace_id != self.span_id {
            span.trace_id = self.trace_id;
            filled.push("trace_id");
        }
        let mut note = |column: &'static str, changed: bool| {
            if changed {
                filled.push(column);
            }
        };
        note(
            "parent_span_id",
            fill(&mut span.parent_span_id, &self.parent_span_id),
        );
        note(
            "execution_id",
            fill(&mut span.execution_id, &self.execution_id),
        );
        note("job_id", fill(&mut span.job_id, &self.job_id));
        note("model_id", fill(&mut span.model_id, &self.model_id));
        note("region", fill(&mut span.region, &self.region));
        let mut link = self.link.clone();
        if let Some(link) = link.as_object_mut() {
            link.insert(FILLED.to_owned(), json!(filled));
        }
        span.metadata.insert(meta::LINK.to_owned(), link);
    }

    /// Whether entering the finding would change more of a row than its confidence.
    pub fn changes(&self, span: &Span) -> bool {
        let mut after = span.clone();
        self.apply(&mut after);
        let method = |span: &Span| span.metadata.get(meta::LINK)?.get("method").cloned();
        method(&after) != method(span)
            || after.trace_id != span.trace_id
            || after.parent_span_id != span.parent_span_id
            || after.execution_id != span.execution_id
            || after.job_id != span.job_id
            || after.model_id != span.model_id
            || after.region != span.region
    }
}

fn fill<T: Clone>(column: &mut Option<T>, found: &Option<T>) -> bool {
    if column.is_some() || found.is_none() {
        return false;
    }
    column.clone_from(found);
    true
}

/// Whether a column of a row of ours was filled in by a finding, not by its lines.
pub fn is_filled(span: &Span, column: &str) -> bool {
    span.metadata
        .get(meta::LINK)
        .and_then(|link| link.get(FILLED)?.as_array())
        .is_some_and(|columns| columns.iter().any(|name| name == column))
}

/// Whether lines that came later say themselves what a finding had filled in.
pub(super) fn is_overruled(stored: &Span, context: &Context) -> bool {
    (context.trace_id.is_some() && is_filled(stored, "trace_id"))
        || (context.parent_span_id.is_some() && is_filled(stored, "parent_span_id"))
        || (context.execution_id.is_some() && is_filled(stored, "execution_id"))
        || (context.job_id.is_some() && is_filled(stored, "job_id"))
}

/// Takes a finding out of a row.
pub(super) fn undo(span: &mut Span) {
    if is_filled(span, "trace_id") {
        span.trace_id = span.span_id;
    }
    if is_filled(span, "parent_span_id") {
        span.parent_span_id = None;
    }
    if is_filled(span, "execution_id") {
        span.execution_id = None;
    }
    if is_filled(span, "job_id") {
        span.job_id = None;
    }
    if is_filled(span, "model_id") {
        span.model_id = None;
    }
    if is_filled(span, "region") {
        span.region = None;
    }
    span.metadata.remove(meta::LINK);
}

#[cfg(test)]
mod tests {
    use super::super::{Change, Context};
    use super::super::{Moment, Observation, Precision, SpanKey, reconcile};
    use super::*;

    fn seen(context: Context) -> Observation {
        let key = SpanKey {
            log_id: "abc123de".into(),
            scope: "ta-1".into(),
        };
        let mut seen = Observation::new(key, "test");
        seen.container_id = Some("ta-1".into());
        seen.start = Some(Moment {
            at: "2026-01-01T00:00:01Z".parse().unwrap(),
            precision: Precision::Second,
        });
        seen.context = context.into();
        seen
    }

    fn link_to(span: &Span, trace: u128) -> SpanLink {
        SpanLink {
            span_id: span.span_id,
            trace_id: Uuid::from_u128(trace),
            parent_span_id: Some(Uuid::from_u128(trace + 1)),
            execution_id: Some(trace as i64),
            job_id: Some(format!("job-{trace}")),
            model_id: Some("m".into()),
            region: None,
            link: json!({"method": "evidence", "confidence": 0.97}),
        }
    }

    #[test]
    fn a_better_finding_takes_the_place_of_an_earlier_one() {
        let row = seen(Context::default()).to_span();
        let (mut once, mut twice) = (row.clone(), row.clone());
        link_to(&row, 20).apply(&mut once);
        link_to(&row, 10).apply(&mut twice);
        link_to(&row, 20).apply(&mut twice);
        assert_eq!(once, twice);
        assert_eq!(once.execution_id, Some(20));
    }

    #[test]
    fn a_finding_that_leaves_the_span_unlinked_takes_back_what_was_filled_in() {
        let row = seen(Context::default()).to_span();
        let mut span = row.clone();
        link_to(&row, 10).apply(&mut span);
        let mut nothing = link_to(&row, 10);
        nothing.trace_id = row.span_id;
        nothing.parent_span_id = None;
        nothing.execution_id = None;
        nothing.job_id = None;
        nothing.model_id = None;
        nothing.apply(&mut span);
        span.metadata.remove(meta::LINK);
        assert_eq!(span, row);
    }

    #[test]
    fn what_a_line_said_is_never_overruled() {
        let row = seen(Context {
            trace_id: Some(Uuid::from_u128(7)),
            execution_id: Some(7),
            ..Context::default()
        })
        .to_span();
        let mut span = row.clone();
        link_to(&row, 10).apply(&mut span);
        assert_eq!(span, row, "another trace");
        link_to(&row, 7).apply(&mut span);
        assert_eq!(span.execution_id, Some(7));
        assert_eq!(span.job_id.as_deref(), Some("job-7"), "filled in beside it");
        assert!(!is_filled(&span, "trace_id") && is_filled(&span, "job_id"));
    }

    #[test]
    fn a_late_line_with_a_context_overrules_what_was_found_out() {
        let mut row = seen(Context::default()).to_span();
        link_to(&row.clone(), 10).apply(&mut row);
        let said = Context {
            execution_id: Some(99),
            ..Context::default()
        };
        let changes = reconcile(std::slice::from_ref(&row), [seen(said)]);
        let [Change::Update { span, .. }] = changes.as_slice() else {
            panic!("one update: {changes:?}");
        };
        assert_eq!(span.execution_id, Some(99));
        assert_eq!(span.trace_id, span.span_id, "to be linked again");
    }

    #[test]
    fn the_same_lines_again_leave_a_linked_row_alone() {
        for context in [
            Context::default(),
            Context {
                execution_id: Some(10),
                ..Context::default()
            },
        ] {
            let mut row = seen(context.clone()).to_span();
            link_to(&row.clone(), 10).apply(&mut row);
            assert_eq!(reconcile(&[row], [seen(context)]), []);
        }
    }

    #[test]
    fn a_finding_that_only_differs_in_its_confidence_changes_nothing() {
        let row = seen(Context::default()).to_span();
        let mut span = row.clone();
        let mut link = link_to(&row, 10);
        assert!(link.changes(&span));
        link.apply(&mut span);
        link.link = json!({"method": "evidence", "confidence": 0.98});
        assert!(!link.changes(&span));
    }
}
