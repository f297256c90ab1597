//! Which spans a trace should have and has not, and why.
//!
//! Invariant: a span is missed only where successful traces of the kind have it, or where its service
//! must have worked; the reason is told from the caller's fate, the ledger of losses and the shape.

use super::facts::Outcome;
use super::report::{MissingReason, MissingSpan};
use super::shape::{Name, Shape};
use super::tree::{Tier, Tree};
use super::words::rfc3339;
use crate::model::{LossEntry, SpanStatus};

/// What is known beside the trace.
pub(crate) struct Around<'a> {
    /// What successful traces of the kind look like.
    pub(crate) shape: &'a Shape,
    /// Known losses of log lines.
    pub(crate) losses: &'a [LossEntry],
    /// Number of Modal spans of this kind and time that belong to no trace.
    pub(crate) unlinked: usize,
}

/// Operations to name where no successful trace has shown them.
const DEFAULTS: [(&str, &str); 3] = [
    ("runner", "execute_question"),
    ("router", "inference_request"),
    ("modal", "inference"),
];

/// The missing spans, callers first.
pub(crate) fn missing(tree: &Tree<'_>, around: &Around<'_>) -> Vec<MissingSpan> {
    let has_name = |(service, operation): &Name| {
        let all = tree.nodes.iter().map(|node| node.span);
        all.clone()
            .any(|span| &span.service == service && &span.operation == operation)
    };
    let expected = around.shape.expected();
    let mut names: Vec<(Name, Option<Name>)> = expected
        .filter(|(name, _, _)| !has_name(name))
        .map(|(name, parent, _)| (name.clone(), parent.cloned()))
        .collect();
    for (service, operation) in DEFAULTS {
        let tier = Tier::of(service);
        let known = names
            .iter()
            .any(|((service, _), _)| Tier::of(service) == tier);
        if !known && !tree.nodes.iter().any(|node| node.tier == tier) {
            names.push(((service.to_owned(), operation.to_owned()), None));
        }
    }
    names.sort_by_key(|((service, operation), _)| (Tier::of(service), operation.clone()));
    names
        .into_iter()
        .map(|(name, parent)| explain(tree, name, parent.as_ref(), around))
        .collect()
}

/// What is missing where the row is all there is: who must have worked, by what the row says.
pub(crate) fn unseen(outcome: Outcome) -> Vec<MissingSpan> {
    let must = DEFAULTS
        .iter()
        .filter(|(service, _)| match Tier::of(service) {
            Tier::Runner => true,
            _ => outcome == Outcome::Succeeded,
        });
    must.map(|(service, operation)| MissingSpan {
        service: (*service).to_owned(),
        operation: (*operation).to_owned(),
        why: MissingReason::LogLost,
        between: Vec::new(),
        inside: None,
        because: match Tier::of(service) {
            Tier::Runner => "the execution has a row, so the runner worked on it".to_owned(),
            _ => "the execution succeeded, so it was answered".to_owned(),
        },
    })
    .collect()
}

fn explain(
    tree: &Tree<'_>,
    (service, operation): Name,
    parent: Option<&Name>,
    around: &Around<'_>,
) -> MissingSpan {
    let tier = Tier::of(&service);
    let caller = caller_of(tree, tier, parent);
    let (why, because) = reason(tree, tier, caller, around);
    let between = caller.map_or_else(Vec::new, |at| {
        let span = tree.nodes[at].span;
        let ends = [Some(span.started_at), span.completed_at];
        ends.into_iter().flatten().map(rfc3339).collect()
    });
    MissingSpan {
        service,
        operation,
        why,
        between,
        inside: caller.map(|at| tree.nodes[at].span.span_id.to_string()),
        because,
    }
}

/// The span that would have made the call: of the usual parent's name, else the nearest before it in
/// the chain of calls.
fn caller_of(tree: &Tree<'_>, tier: Tier, parent: Option<&Name>) -> Option<usize> {
    let named = |at: &usize| {
        let span = tree.nodes[*at].span;
        parent.is_some_and(|(service, operation)| {
            &span.service == service && &span.operation == operation
        })
    };
    let order = tree.order.iter().copied();
    let nearer = |at: &usize| tree.nodes[*at].tier < tier;
    order.clone().rfind(named).or_else(|| {
        // Later in the order is deeper along a chain of calls.
        order.filter(nearer).max_by_key(|&at| tree.nodes[at].tier)
    })
}

/// Whether a call completed; where its own end was never written, whether what waited for it did.
fn completed(tree: &Tree<'_>, at: usize) -> bool {
    let mut next = Some(at);
    while let Some(at) = next {
        let node = &tree.nodes[at];
        if !node.open() {
            return node.span.status == SpanStatus::Completed;
        }
        next = node.parent;
    }
    false
}

fn reason(
    tree: &Tree<'_>,
    tier: Tier,
    caller: Option<usize>,
    around: &Around<'_>,
) -> (MissingReason, String) {
    let name = tier.name();
    let worked_below = tree
        .nodes
        .iter()
        .any(|node| node.tier > tier && node.tier != Tier::Other);
    let caller_completed = caller.is_some_and(|at| completed(tree, at));
    let caller = caller.map(|at| &tree.nodes[at]);
    if around.shape.lacks(tier) && (caller_completed || worked_below) {
        let because = format!("no successful execution of this kind has a span of {name}");
        return (MissingReason::NotInstrumented, because);
    }
    if let (true, Some(caller)) = (caller_completed, caller) {
        let call = format!("{} {}", caller.span.service, caller.span.operation);
        let because = format!("{call} completed, so {name} must have answered it");
        return (MissingReason::LogLost, because);
    }
    if worked_below {
        let because = format!("a service that {name} calls has a span of this request");
        return (MissingReason::LogLost, because);
    }
    let until =
        |node: &super::tree::Node<'_>| node.span.completed_at.unwrap_or(node.span.started_at);
    let lost = caller.and_then(|node| {
        let overlaps =
            |loss: &&LossEntry| loss.from <= until(node) && loss.to >= node.span.started_at;
        around.losses.iter().find(overlaps)
    });
    if let (Some(loss), Tier::Modal) = (lost, tier) {
        let because = format!("{} lost lines at that time: {}", loss.source, loss.reason);
        return (MissingReason::LogLost, because);
    }
    let because = match caller {
        Some(node) if node.failed() && tier == Tier::Modal && around.unlinked > 0 => {
            format!(
                "{} failed; {} Modal spans of that time belong to no trace, one of them may be it",
                node.span.operation, around.unlinked
            )
        }
        Some(node) => format!(
            "{} {} never got there",
            node.span.service, node.span.operation
        ),
        None => "nothing called it".to_owned(),
    };
    (MissingReason::NeverRan, because)
}
