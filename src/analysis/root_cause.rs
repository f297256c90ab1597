//! Why one execution failed or was slow.
//!
//! Builds the joined trace, reads the facts off it, weighs every cause against them and reports the
//! winner with its evidence and the losers with their reasons.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::anomaly::anomalies;
use super::baseline::Baselines;
use super::case::ExecutionCase;
use super::critical_path;
use super::explain::{explanation, recommendations};
use super::facts::{Facts, Outcome, row_ms};
use super::hypotheses;
use super::missing::{Around, missing, unseen};
use super::report::{DataQuality, Diagnosis, LogLoss, RootCause};
use super::row;
use super::score::Score;
use super::slow;
use super::tree::{Tier, Tree};
use super::verdict::{self, Verdict, decide};
use super::view;
use super::words::{duration, quote, rfc3339, rounded, whole_ms};
use crate::model::Span;

/// Services that every execution goes through.
const EXPECTED: [Tier; 3] = [Tier::Runner, Tier::Router, Tier::Modal];

/// Answers why an execution failed or was slow.
///
/// Needs the row; the better the more of the rest of the case is there. `baselines` are learned from
/// some thousand recent spans of the same model. `now` tells how long something open has been so.
pub fn diagnose(case: &ExecutionCase, baselines: &Baselines, now: DateTime<Utc>) -> Diagnosis {
    let tree = Tree::build(&case.spans, &baselines.skews);
    let facts = Facts::read(case, &tree, baselines, now);
    let verdict = judge(&facts);
    let row = &case.execution;
    let running = (facts.outcome == Outcome::Running)
        .then(|| {
            row.started_at
                .map(|start| (now - start).num_milliseconds().max(0))
        })
        .flatten();
    Diagnosis {
        execution_id: row.id,
        job_id: row.job_id.clone(),
        trace_id: view::trace_id(&tree),
        status: row.status.clone(),
        region: row.region.clone(),
        model: row.model_id.clone(),
        duration_ms: row_ms(row).map(whole_ms),
        running_for_ms: running,
        root_cause: verdict.cause.title().to_owned(),
        root_cause_code: verdict.cause,
        affected_service: verdict.cause.service().map(str::to_owned),
        confidence: verdict.confidence,
        explanation: explanation(&facts, &verdict),
        recommendations: recommendations(&facts, &verdict),
        evidence: verdict.evidence,
        ruled_out: verdict.ruled_out,
        timing_breakdown: timing_breakdown(&facts),
        critical_path: critical_path::report(&tree),
        anomalies: anomalies(&facts),
        data_quality: data_quality(&facts),
    }
}

/// The cause and its confidence alone: what lists of executions need of each.
pub(crate) fn cause_of(
    case: &ExecutionCase,
    tree: &Tree<'_>,
    baselines: &Baselines,
    now: DateTime<Utc>,
) -> (RootCause, f64) {
    let facts = Facts::read(case, tree, baselines, now);
    let (cause, confidence) = verdict::cause(weighed(&facts));
    (cause, trusted(confidence, &facts))
}

/// Whether the cause can hang on what was lost or could not be linked while an execution ran: where it
/// failed and no Modal span is seen to have served it.
pub fn hangs_on_surroundings(
    case: &ExecutionCase,
    baselines: &Baselines,
    now: DateTime<Utc>,
) -> bool {
    if Outcome::of(&case.execution) != Outcome::Failed || case.spans.is_empty() {
        return false;
    }
    let is_modal = |span: &Span| Tier::of(&span.service) == Tier::Modal;
    if !case.spans.iter().any(is_modal) {
        return true;
    }
    // One of another attempt shows nothing of the one that counts.
    let tree = Tree::build(&case.spans, &baselines.skews);
    Facts::read(case, &tree, baselines, now).modal.is_none()
}

fn judge(facts: &Facts<'_>) -> Verdict {
    let verdict = decide(weighed(facts), facts.tree);
    Verdict {
        confidence: trusted(verdict.confidence, facts),
        ..verdict
    }
}

/// What a wrongly joined trace shows is of another execution.
fn trusted(confidence: f64, facts: &Facts<'_>) -> f64 {
    match &facts.case.link {
        Some(link) if !facts.tree.is_empty() => {
            rounded(confidence * link.confidence.clamp(0.0, 1.0))
        }
        _ => confidence,
    }
}

/// Every hypothesis there is about what happened; none while it still does.
fn weighed(facts: &Facts<'_>) -> Vec<Score> {
    match facts.outcome {
        Outcome::Running => Vec::new(),
        Outcome::Succeeded => slow::of_success(facts),
        Outcome::Failed if facts.tree.is_empty() => row::of_row(facts),
        Outcome::Failed => hypotheses::of_failure(facts),
    }
}

/// How long each service was at it: from its first span's start to its last one's end.
fn timing_breakdown(facts: &Facts<'_>) -> BTreeMap<String, String> {
    let mut services: BTreeMap<String, String> = EXPECTED
        .iter()
        .map(|tier| (tier.name().to_owned(), "missing".to_owned()))
        .collect();
    if let Some(ms) = facts.total_ms() {
        services.insert(Tier::Runner.name().to_owned(), duration(ms));
    }
    let ends = critical_path::known_ends(facts.tree);
    let mut times: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    for (at, node) in facts.tree.nodes.iter().enumerate() {
        let service = match node.tier {
            Tier::Other => node.span.service.clone(),
            tier => tier.name().to_owned(),
        };
        let time = times.entry(service).or_insert((node.start, ends[at]));
        *time = (time.0.min(node.start), time.1.max(ends[at]));
    }
    for (service, (from, to)) in times {
        services.insert(service, duration((to - from) as f64 / 1000.0));
    }
    services
}

fn data_quality(facts: &Facts<'_>) -> DataQuality {
    let (case, tree) = (facts.case, facts.tree);
    let around = Around {
        shape: facts.shape,
        losses: &case.losses,
        unlinked: facts.unlinked,
    };
    let carries_id = case
        .spans
        .iter()
        .any(|span| span.execution_id == Some(case.execution.id));
    let linked_by = match &case.link {
        Some(link) => Some((link.method.clone(), rounded(link.confidence))),
        None if carries_id => Some(("column".to_owned(), 1.0)),
        None => None,
    };
    let open = tree.nodes.iter().filter(|node| node.open());
    let mut notes = view::oddities(tree);
    notes.extend(doubts(facts));
    DataQuality {
        link_confidence: linked_by.as_ref().map(|(_, confidence)| *confidence),
        linked_by: linked_by.map(|(method, _)| method),
        missing_spans: match (tree.is_empty(), facts.outcome) {
            (false, _) => missing(tree, &around),
            (true, outcome) => unseen(outcome),
        },
        collector_lag_s: case.collector_lag_s,
        log_loss: case
            .losses
            .iter()
            .map(|loss| LogLoss {
                source: loss.source.clone(),
                from: rfc3339(loss.from),
                to: rfc3339(loss.to),
                reason: quote(&loss.reason),
                lost: loss.lost,
            })
            .collect(),
        duplicates_removed: tree.oddities.duplicates,
        open_spans: open.map(|node| node.span.span_id.to_string()).collect(),
        clock_skew_ms: facts.baselines.skews.report(tree),
        notes,
    }
}

/// What else makes the answer doubtful.
fn doubts(facts: &Facts<'_>) -> Vec<String> {
    let mut notes = Vec::new();
    match facts.tree.nodes.len() {
        0 => notes.push("no span of this execution is known; the row is all there is".to_owned()),
        1 => notes.push("the trace has a single span".to_owned()),
        _ => {}
    }
    if facts.shape.traces == 0 {
        notes.push("no successful execution is known to measure this one with".to_owned());
    }
    if facts.unlinked > 0 {
        let count = facts.unlinked;
        notes.push(format!(
            "Modal spans of this time, model and region that belong to no trace: {count}"
        ));
    }
    if facts.outcome == Outcome::Running {
        notes.push("the execution is still running".to_owned());
    }
    notes
}

#[cfg(test)]
mod tests;
