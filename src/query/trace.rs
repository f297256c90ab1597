//! Which trace an id stands for, and its spans. An id is what people have at hand: a UUID, the
//! beginning of one, or what stands between the brackets of a log line.
//!
//! Invariant: an id that stands for several traces is refused with their names, never guessed.

use serde::Serialize;
use uuid::Uuid;

use super::{Query, QueryError};
use crate::model::{Span, log_id_range, meta};
use crate::store::SpanQuestion;

/// Spans of one trace that are read at most.
const MAX_TRACE_SPANS: u32 = 50_000;

/// All spans of a trace.
#[derive(Debug, Clone, Serialize)]
pub struct TraceView {
    /// The trace.
    pub trace_id: Uuid,
    /// Its spans, by start.
    pub spans: Vec<Span>,
}

impl Query {
    /// The spans of a trace, named by its id, a unique beginning of it, or a log id.
    pub async fn trace(&self, id: &str) -> Result<TraceView, QueryError> {
        let trace_id = self.resolve_trace(id).await?;
        let spans = self
            .store
            .spans(&SpanQuestion::Traces(vec![trace_id]), MAX_TRACE_SPANS)
            .await?;
        Ok(TraceView { trace_id, spans })
    }

    /// Finds the trace that an id stands for.
    pub async fn resolve_trace(&self, id: &str) -> Result<Uuid, QueryError> {
        let id = id.trim();
        if let Ok(uuid) = Uuid::parse_str(id) {
            return self.by_uuid(uuid).await;
        }
        let well_formed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if !(4..=64).contains(&id.len()) || !id.bytes().all(well_formed) {
            return Err(QueryError::Argument {
                argument: "trace_id",
                value: crate::untrusted::clean(id, 80),
                reason: "expected a UUID, at least 4 digits of its beginning, or the id between the brackets of a TRACE[…] line".into(),
            });
        }
        let mut found = self.by_log_id(id).await?;
        if found.is_empty()
            && let Some((low, high)) = prefix_range(id)
        {
            found = self.traces_of(SpanQuestion::TraceRange(low, high)).await?;
        }
        match found.as_slice() {
            [one] => Ok(*one),
            [] => Err(no_trace(id)),
            several => {
                let shown: Vec<_> = several.iter().take(5).map(ToString::to_string).collect();
                Err(QueryError::Argument {
                    argument: "trace_id",
                    value: id.to_owned(),
                    reason: format!(
                        "stands for {} traces; name one in full: {}",
                        several.len(),
                        shown.join(", ")
                    ),
                })
            }
        }
    }

    async fn by_uuid(&self, id: Uuid) -> Result<Uuid, QueryError> {
        if !self
            .store
            .spans(&SpanQuestion::Traces(vec![id]), 1)
            .await?
            .is_empty()
        {
            return Ok(id);
        }
        // People also paste the id of a span.
        let spans = self
            .store
            .spans(&SpanQuestion::SpanRange(id, id), 1)
            .await?;
        spans
            .first()
            .map(|span| span.trace_id)
            .ok_or_else(|| no_trace(&id.to_string()))
    }

    async fn by_log_id(&self, id: &str) -> Result<Vec<Uuid>, QueryError> {
        let is_hex = id.bytes().all(|b| b.is_ascii_hexdigit());
        let id = if is_hex {
            id.to_ascii_lowercase()
        } else {
            id.to_owned()
        };
        let (low, high) = log_id_range(&id);
        let spans = self
            .store
            .spans(&SpanQuestion::SpanRange(low, high), 1000)
            .await?;
        let named = spans
            .iter()
            .filter(|span| span.text(meta::LOG_ID) == Some(&id));
        let mut traces: Vec<_> = named.map(|span| span.trace_id).collect();
        traces.sort_unstable();
        traces.dedup();
        Ok(traces)
    }

    async fn traces_of(&self, question: SpanQuestion) -> Result<Vec<Uuid>, QueryError> {
        let spans = self.store.spans(&question, 1000).await?;
        let mut traces: Vec<_> = spans.iter().map(|span| span.trace_id).collect();
        traces.sort_unstable();
        traces.dedup();
        Ok(traces)
    }
}

fn no_trace(id: &str) -> QueryError {
    QueryError::NotFound(format!(
        "no trace {id:?} in this database; get_recent_failures lists what failed lately, search_spans looks by time and text"
    ))
}

/// First and last UUID that begin with these digits.
fn prefix_range(prefix: &str) -> Option<(Uuid, Uuid)> {
    let digits: String = prefix.chars().filter(|c| *c != '-').collect();
    if digits.len() > 32 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let low = u128::from_str_radix(&format!("{digits:0<32}"), 16).ok()?;
    let high = u128::from_str_radix(&format!("{digits:f<32}"), 16).ok()?;
    Some((Uuid::from_u128(low), Uuid::from_u128(high)))
}
