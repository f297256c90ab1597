//! A finding that joins a printed span to a trace of others, and what it may change in the row.
//!
//! Invariant: what a line said itself is never overruled by what was found out.

use serde_json::Value;
use uuid::Uuid;

use super::span::{Span, meta};

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
    /// What goes under [`meta::LINK`].
    pub link: Value,
}

impl SpanLink {
    /// Enters the finding in a row, unless the span's own lines named its trace.
    pub fn apply(&self, span: &mut Span) {
        let named_by_line =
            span.trace_id != span.span_id && !span.metadata.contains_key(meta::LINK);
        if named_by_line {
            return;
        }
        // A span that was renamed since the finding stays its own root when it was left unlinked.
        let unlinked = self.trace_id == self.span_id;
        span.trace_id = if unlinked {
            span.span_id
        } else {
            self.trace_id
        };
        span.parent_span_id = self.parent_span_id.or(span.parent_span_id);
        span.execution_id = self.execution_id.or(span.execution_id);
        for (known, found) in [
            (&mut span.job_id, &self.job_id),
            (&mut span.model_id, &self.model_id),
            (&mut span.region, &self.region),
        ] {
            if known.is_none() {
                known.clone_from(found);
            }
        }
        span.metadata
            .insert(meta::LINK.to_owned(), self.link.clone());
    }
}
