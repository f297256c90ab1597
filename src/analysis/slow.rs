//! Whether an execution that succeeded was slow, and what made it so.
//!
//! Invariant: slow means slow against successful executions of the same kind; without those, only a
//! wait that makes up most of the execution counts, and with little confidence.

use super::baseline::{Measure, Reference, waits};
use super::facts::{Facts, Outcome, row_ms};
use super::report::{EvidenceKind, RootCause};
use super::score::{Score, about, on_span};
use super::stats::Summary;
use super::tree::{Tier, micros};
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
/// Siblings needed to say what is usual.
const LEAST_SIBLINGS: usize = 5;
/// Log odds of what is as good as excluded.
const HARDLY: f64 = -6.0;

/// Weighs "nothing is wrong" against everything that makes an execution slow.
pub(crate) fn of_success(facts: &Facts<'_>) -> Vec<Score> {
    if facts.tree.is_empty() {
        return by_row(facts);
    }
    let mut fine = Score::of(RootCause::None);
    let what = "the execution completed, and took as long as others do";
    fine.note(0.5, about(EvidenceKind::ExecutionRow, "runner", what));
    let mut scores = vec![
        fine,
        wait(RootCause::QueueWait, facts, "the router began"),
        wait(RootCause::ColdStart, facts, "Modal began"),
        inference(facts),
    ];
    let explained = scores[1..].iter().any(|score| score.value > 0.0);
    if !explained {
        scores.push(somewhere_else(facts));
    }
    scores
}

/// A wait before a span of the next service began, in ms.
struct Wait {
    until: usize,
    ms: f64,
    /// It cannot be told which service's wait it was, because what lies between has no span.
    mixed: bool,
}

/// The wait before the router began, or before Modal did.
fn measured(cause: RootCause, facts: &Facts<'_>) -> Option<Wait> {
    let lead = |at: Option<usize>| Some(waits(facts.tree, facts.node(at)?)?.0);
    let since_row = |at: Option<usize>| {
        let begun = micros(facts.case.execution.started_at?);
        Some((facts.node(at)?.start - begun).max(0) as f64 / 1000.0)
    };
    let router_unseen = facts.router.is_none() && !facts.shape.lacks(Tier::Router);
    let (until, mixed) = match cause {
        RootCause::QueueWait => (facts.router.or(facts.modal)?, facts.router.is_none()),
        _ => (facts.modal?, router_unseen),
    };
    let ms = lead(Some(until)).or_else(|| since_row(Some(until)))?;
    Some(Wait { until, ms, mixed })
}

fn wait(cause: RootCause, facts: &Facts<'_>, until: &str) -> Score {
    let mut s = Score::of(cause);
    let Some(wait) = measured(cause, facts) else {
        s.value = HARDLY;
        s.cost(0.5, format!("it cannot be seen when {until}"));
        return s;
    };
    let span = facts.tree.nodes[wait.until].span;
    let reference = facts.baselines.reference(Measure::Lead, span, &facts.kind);
    let taken = facts.total_ms().unwrap_or(wait.ms);
    let odds = match reference {
        Some(usual) => {
            let added = (wait.ms - usual.summary.median_ms).max(1.0);
            let total = usual_total(facts)
                .unwrap_or(taken - added)
                .max(LEAST_TOTAL_MS);
            STEEPNESS * (added / total / ADDED_SHARE).ln()
        }
        None if wait.ms >= LONG_WAIT_MS && wait.ms * 2.0 >= taken => 0.8,
        None => HARDLY,
    };
    let odds = if wait.mixed { odds - 0.7 } else { odds };
    let what = format!(
        "{} passed before {until}{}",
        duration(wait.ms),
        usually(reference)
    );
    weigh(&mut s, odds, wait.until, what);
    s
}

/// An execution of which only the row is known, beside its siblings of the same model.
fn by_row(facts: &Facts<'_>) -> Vec<Score> {
    let row = &facts.case.execution;
    let mut fine = Score::of(RootCause::None);
    let mut slow = Score::of(RootCause::Undetermined);
    let like = facts.case.siblings.iter().filter(|other| {
        let succeeded = Outcome::of(other) == Outcome::Succeeded;
        other.id != row.id && succeeded && other.model_id == row.model_id
    });
    let mut others: Vec<f64> = like.filter_map(row_ms).collect();
    let usual = Summary::of(&mut others).filter(|usual| usual.samples >= LEAST_SIBLINGS);
    let Some((ms, usual)) = row_ms(row).zip(usual) else {
        slow.value = -0.4;
        fine.note(
            1.0,
            about(
                EvidenceKind::ExecutionRow,
                "runner",
                "the row says that it completed",
            ),
        );
        return vec![fine, slow];
    };
    let what = format!(
        "it took {}; {} siblings with the same model took {}",
        duration(ms),
        usual.samples,
        duration(usual.median_ms)
    );
    slow.value = STEEPNESS * (ms / usual.median_ms.max(LEAST_TOTAL_MS) / TIMES_MEDIAN).ln();
    slow.value = slow.value.max(HARDLY / 2.0);
    fine.note(1.0, about(EvidenceKind::Siblings, "runner", what.clone()));
    slow.note(1.0, about(EvidenceKind::Siblings, "runner", what));
    vec![fine, slow]
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
                odds.min(HARDLY / 6.0)
            }
        }
        None => HARDLY,
    };
    let what = format!("the inference took {}{}", duration(ms), usually(reference));
    weigh(&mut s, odds, at, what);
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
    let comparable = |r: &Reference| r.level.same_model() && r.summary.robust_z(ms) >= USUAL_Z;
    if let Some(usual) = reference.filter(comparable) {
        s.value =
            STEEPNESS * (ms / usual.summary.median_ms.max(LEAST_TOTAL_MS) / TIMES_MEDIAN).ln();
        let what = format!("the execution took {}{}", duration(ms), usually(reference));
        s.note(1.0, on_span(root, EvidenceKind::Timing, what));
    }
    s
}

/// Enters a duration of a node for or against a cause.
fn weigh(s: &mut Score, odds: f64, at: usize, what: String) {
    if odds > 0.0 {
        s.gain(odds.min(6.0), on_span(at, EvidenceKind::Timing, what));
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
