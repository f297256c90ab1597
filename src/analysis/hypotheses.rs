//! The hypotheses: each cause says what it expects of a trace, and pays for what is otherwise.
//!
//! Structure weighs most, then timing, then text. Invariant: a text never outweighs a structure that
//! contradicts it.

mod modal;
mod router;
mod runner;

use super::facts::{Facts, State};
use super::report::{EvidenceKind, RootCause};
use super::score::{Observation, Score, on_span};
use super::text::Class;
use super::tree::Tier;
use super::words::duration;

/// What an observation costs that flatly contradicts a hypothesis.
const CONTRADICTS: f64 = 5.0;
/// What one costs that a hypothesis can hardly explain.
const UNLIKELY: f64 = 3.0;
/// What one costs that a hypothesis can explain by a second coincidence.
const STRAINED: f64 = 1.5;
/// What one costs that merely fits other hypotheses better.
const ODD: f64 = 0.5;
/// What a text gains at most where structure leaves several hypotheses open.
const TEXT_GAIN: f64 = 1.2;

/// Weighs every cause that can make an execution fail.
pub(crate) fn of_failure(facts: &Facts<'_>) -> Vec<Score> {
    vec![
        runner::executor_missing(facts),
        runner::router_unreachable(facts),
        runner::cancelled(facts),
        runner::response_lost(facts),
        runner::result_rejected(facts),
        router::no_healthy_provider(facts),
        router::modal_endpoint_down(facts),
        router::modal_timeout(facts),
        router::router_timeout(facts),
        modal::out_of_memory(facts),
        modal::model_load(facts),
        modal::unknown_model(facts),
        modal::exception(facts),
    ]
}

/// Gains by a text of the class on the tiers, as evidence on the span that said it.
fn gain_by_text(
    score: &mut Score,
    facts: &Facts<'_>,
    class: Class,
    tiers: &[Tier],
    most: f64,
    what: &'static str,
) {
    if let (weight, Some(at)) = facts.hint(class, tiers) {
        let evidence = on_span(at, EvidenceKind::ErrorText, what);
        score.gain(weight * most, evidence);
    }
}

/// The observation that a span failed after so long.
fn failed_after(facts: &Facts<'_>, at: usize) -> Observation {
    let node = &facts.tree.nodes[at];
    let after = node
        .took_ms()
        .map_or_else(String::new, |ms| format!(" after {}", duration(ms)));
    let what = format!(
        "{} {} failed{after}",
        node.span.service, node.span.operation
    );
    on_span(at, EvidenceKind::SpanFailed, what)
}

/// The observation that a span completed.
fn completed_in(facts: &Facts<'_>, at: usize) -> Observation {
    let node = &facts.tree.nodes[at];
    let took = node
        .took_ms()
        .map_or_else(String::new, |ms| format!(" in {}", duration(ms)));
    let what = format!(
        "{} {} completed{took}",
        node.span.service, node.span.operation
    );
    on_span(at, EvidenceKind::SpanCompleted, what)
}

/// Notes the failing spans among the given ones.
fn note_failures(score: &mut Score, facts: &Facts<'_>, spans: &[Option<usize>]) {
    let mut noted = Vec::new();
    for &at in spans.iter().flatten() {
        if facts.state(Some(at)) == State::Failed && !noted.contains(&at) {
            score.note(1.0, failed_after(facts, at));
            noted.push(at);
        }
    }
}

/// In words, how a leg of the call stands.
fn words(state: State) -> &'static str {
    match state {
        State::Absent => "is missing",
        State::Completed => "completed",
        State::Failed => "failed",
        State::Open => "has no end",
    }
}

fn score(cause: RootCause) -> Score {
    Score::of(cause)
}
