//! Whether an execution that succeeded was slow, and what made it so.
//!
//! Invariant: slow means slow against successful executions of the same kind; without those, only a
//! wait that makes up most of the execution counts, and with little confidence.

use super::baseline::{Measure, Reference, waits};
use super::facts::Facts;
use super::report::{Evidence, EvidenceKind, RootCause};
use super::score::{Score, about, on_span};
use super::words::duration;

/// A wait counts as slow when it adds about this much of a usual execution.
const ADDED_SHARE: f64 = 1.0;
/// Shorter executions are measured as if they took this long, in ms: nobody calls three seconds slow.
const LEAST_TOTAL_MS: f64 = 3_000.0;
/// An inference counts as slow when it takes about this many times its median.
const TIMES_MEDIAN: f64 = 4.0;
/// A robust z-score below this is within what happens.
const USUAL_Z: f64 = 3.5;
/// How sharply the odds rise around these marks.
const STEEPNESS: f64 = 5.0;
/// Without a baseline, a wait has to last this long, in ms, and be most of the execution.
const LONG_WAIT_MS: f64 = 15_000.0;
/// Log odds of what is as good as excluded.
const HARDLY: f64 = -6.0;

/// Weighs "nothing is wrong" against everything that makes an execution slow.
pub(crate) fn of_success(facts: &Facts<'_>) -> Vec<Score> {
    let mut fine = Score::of(RootCause::None);
    let what = "the execution completed, and took as long as others do";
    fine.note(0.5, about(EvidenceKind::ExecutionRow, "runner", what));
    let mut scores = vec![
        fine,
        wait(
            RootCause::QueueWait,
            facts,
            facts.router,
            "the router began",
        ),
        wait(RootCause::ColdStart, facts, facts.modal, "Modal began"),
        inference(facts),
    ];
    let explained = scores[1..].iter().any(|score| score.value > 0.0);
    if !explained {
        scores.push(somewhere_else(facts));
    }
    scores
}

fn wait(cause: RootCause, facts: &Facts<'_>, at: Option<usize>, until: &str) -> Score {
    let mut s = Score::of(cause);
    let node = facts.node(at);
    let lead = node.and_then(|node| waits(facts.tree, node));
    let (Some(at), Some(node), Some((lead, _))) = (at, node, lead) else {
        s.value = HARDLY;
        s.cost(0.5, format!("it cannot be seen when {until}"));
        return s;
    };
    let reference = facts
        .baselines
        .reference(Measure::Lead, node.span, &facts.kind);
    let odds = match reference {
        Some(usual) => {
            let added = (lead - usual.summary.median_ms).max(1.0);
            let total = usual_total(facts).unwrap_or(lead).max(LEAST_TOTAL_MS);
            STEEPNESS * (added / total / ADDED_SHARE).ln()
        }
        None if lead >= LONG_WAIT_MS && lead * 2.0 >= facts.total_ms().unwrap_or(lead) => 0.8,
        None => HARDLY,
    };
    let what = format!(
        "{} passed before {until}{}",
        duration(lead),
        usually(reference)
    );
    weigh(
        &mut s,
        odds,
        &what,
        on_span(facts.tree, at, EvidenceKind::Timing, what.clone()),
    );
    s
}

fn inference(facts: &Facts<'_>) -> Score {
    let mut s = Score::of(RootCause::SlowInference);
    let (Some(at), Some(node), Some(ms)) = (
        facts.modal,
        facts.node(facts.modal),
        facts.took_ms(facts.modal),
    ) else {
        s.value = HARDLY;
        s.cost(
            0.5,
            "no finished Modal span shows how long the inference took",
        );
        return s;
    };
    let reference = facts
        .baselines
        .reference(Measure::Span, node.span, &facts.kind);
    let odds = match reference {
        Some(usual) if usual.summary.robust_z(ms) < USUAL_Z => HARDLY / 2.0,
        Some(usual) => {
            let odds = STEEPNESS * (ms / usual.summary.median_ms / TIMES_MEDIAN).ln();
            // Models differ by more than slowness does.
            if usual.level.same_model() {
                odds
            } else {
                odds.min(0.3)
            }
        }
        None => HARDLY,
    };
    let what = format!("the inference took {}{}", duration(ms), usually(reference));
    weigh(
        &mut s,
        odds,
        &what,
        on_span(facts.tree, at, EvidenceKind::Timing, what.clone()),
    );
    s
}

/// The execution as a whole was slow, and none of the known waits explains it.
fn somewhere_else(facts: &Facts<'_>) -> Score {
    let mut s = Score::of(RootCause::Undetermined);
    s.value = HARDLY;
    let (Some(root), Some(node), Some(ms)) = (facts.root, facts.node(facts.root), facts.total_ms())
    else {
        return s;
    };
    let reference = facts
        .baselines
        .reference(Measure::Span, node.span, &facts.kind);
    if let Some(usual) = reference.filter(|r| r.summary.robust_z(ms) >= USUAL_Z) {
        s.value =
            STEEPNESS * (ms / usual.summary.median_ms.max(LEAST_TOTAL_MS) / TIMES_MEDIAN).ln();
        let what = format!("the execution took {}{}", duration(ms), usually(reference));
        s.note(1.0, on_span(facts.tree, root, EvidenceKind::Timing, what));
    }
    s
}

fn weigh(s: &mut Score, odds: f64, what: &str, evidence: Evidence) {
    if odds > 0.0 {
        s.gain(odds.min(6.0), evidence);
    } else {
        s.cost(0.5, what);
        s.value = odds;
    }
}

fn usually(reference: Option<Reference>) -> String {
    reference.map_or_else(
        || "; there is no baseline to measure it with".to_owned(),
        |usual| {
            format!(
                ", usual is {} ({} samples, {})",
                duration(usual.summary.median_ms),
                usual.summary.samples,
                usual.level.words()
            )
        },
    )
}

/// How long an execution of this kind usually takes, in ms.
pub(crate) fn usual_total(facts: &Facts<'_>) -> Option<f64> {
    let root = facts.node(facts.root)?;
    let usual = facts
        .baselines
        .reference(Measure::Span, root.span, &facts.kind)?;
    Some(usual.summary.median_ms)
}
