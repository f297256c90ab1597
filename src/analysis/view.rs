//! How executions, spans and the oddities of a trace are listed in reports.

use super::case::ExecutionCase;
use super::facts::row_ms;
use super::report::{ExecutionView, SpanView};
use super::tree::{Node, Tree};
use super::words::{quote, rfc3339, whole_ms};

/// Spans listed of one trace; the count beside the list is never cut.
const LISTED: usize = 200;

/// An execution with its spans.
pub(crate) fn execution(case: &ExecutionCase, tree: &Tree<'_>) -> ExecutionView {
    ExecutionView {
        spans: spans(tree),
        ..in_short(case, tree)
    }
}

/// An execution without a list of its spans.
pub(crate) fn in_short(case: &ExecutionCase, tree: &Tree<'_>) -> ExecutionView {
    let row = &case.execution;
    ExecutionView {
        execution_id: row.id,
        trace_id: trace_id(tree),
        region: row.region.clone(),
        model: row.model_id.clone(),
        question_id: row.question_id.clone(),
        status: row.status.clone(),
        started_at: row.started_at.map(rfc3339),
        duration_ms: row_ms(row).map(whole_ms),
        span_count: tree.nodes.len(),
        spans: Vec::new(),
        root_cause_code: None,
        confidence: None,
    }
}

/// The trace that the spans are of: the root's, since that is the caller's.
pub(crate) fn trace_id(tree: &Tree<'_>) -> Option<String> {
    let roots = tree.roots.iter().map(|&root| &tree.nodes[root]);
    let outermost = roots.min_by_key(|node| (node.tier, node.start))?;
    Some(outermost.span.trace_id.to_string())
}

/// The first spans of a trace, by aligned start.
pub(crate) fn spans(tree: &Tree<'_>) -> Vec<SpanView> {
    let mut nodes: Vec<&Node<'_>> = tree.nodes.iter().collect();
    nodes.sort_by_key(|node| (node.start, node.tier));
    nodes.truncate(LISTED);
    let begun = tree.start();
    nodes
        .into_iter()
        .map(|node| span(tree, node, begun))
        .collect()
}

fn span(tree: &Tree<'_>, node: &Node<'_>, begun: i64) -> SpanView {
    let row = node.span;
    let found = node.parent.map(|parent| tree.nodes[parent].span.span_id);
    SpanView {
        span_id: row.span_id.to_string(),
        parent_span_id: found.or(row.parent_span_id).map(|id| id.to_string()),
        service: row.service.clone(),
        operation: row.operation.clone(),
        status: row.status.to_string(),
        started_at: rfc3339(row.started_at),
        offset_ms: whole_ms((node.start - begun) as f64 / 1000.0),
        duration_ms: node.took_ms().map(whole_ms),
        error_type: row.error_type.as_deref().map(quote),
        quoted_log: row.error_message.as_deref().map(quote),
    }
}

/// What is odd about a trace, in words.
pub(crate) fn oddities(tree: &Tree<'_>) -> Vec<String> {
    let odd = &tree.oddities;
    let mut notes = Vec::new();
    let some = |ids: &[uuid::Uuid]| {
        let shown: Vec<String> = ids.iter().take(3).map(ToString::to_string).collect();
        shown.join(", ")
    };
    if !odd.cycles.is_empty() {
        notes.push(format!(
            "the parents of some spans go in a circle; cut at {}",
            some(&odd.cycles)
        ));
    }
    if !odd.backwards.is_empty() {
        notes.push(format!(
            "spans that end before they start and count as instantaneous: {}, e.g. {}",
            odd.backwards.len(),
            some(&odd.backwards)
        ));
    }
    if odd.orphans > 0 {
        notes.push(format!("spans whose parent is not stored: {}", odd.orphans));
    }
    if odd.adopted > 0 {
        notes.push(format!(
            "spans without a parent, placed by time: {}",
            odd.adopted
        ));
    }
    if tree.nodes.len() > LISTED {
        notes.push(format!(
            "the first {LISTED} of {} spans are listed",
            tree.nodes.len()
        ));
    }
    notes
}
