//! From scores to an answer: which hypothesis wins, how sure that is, and why the others lost.
//!
//! Invariants: probabilities of all hypotheses, "something nobody thought of" included, add up to one;
//! the winner's is the confidence, and a small lead means that nothing is determined; the confidence of
//! "undetermined" is that of the likeliest named cause.

use super::report::{Evidence, RootCause, RuledOut};
use super::score::Score;
use super::tree::Tree;
use super::words::rounded;

/// Log-likelihood of a cause that no hypothesis describes.
const UNTHOUGHT: f64 = -3.2;
/// Below this probability nothing is determined.
const LEAST: f64 = 0.42;
/// With a smaller lead over the second, nothing is determined.
const LEAD: f64 = 0.08;
/// Nothing that was inferred is certain.
const MOST: f64 = 0.99;
/// Hypotheses listed as ruled out, and pieces of evidence listed.
const LISTED: usize = 8;
/// Words for a hypothesis that nothing contradicts.
const NO_OBJECTION: &str = "nothing contradicts it, but less speaks for it";

/// The outcome of weighing hypotheses.
#[derive(Debug)]
pub(crate) struct Verdict {
    /// The cause.
    pub(crate) cause: RootCause,
    /// Its probability.
    pub(crate) confidence: f64,
    /// What speaks for it, strongest first.
    pub(crate) evidence: Vec<Evidence>,
    /// The others, likeliest first.
    pub(crate) ruled_out: Vec<RuledOut>,
}

/// Weighs scores against each other; what they observed, they observed on the tree.
pub(crate) fn decide(scores: Vec<Score>, tree: &Tree<'_>) -> Verdict {
    let ranked = ranked(scores);
    let (cause, confidence) = outcome(&ranked);
    let determined = cause != RootCause::Undetermined;
    let others = ranked[usize::from(determined)..].iter();
    let named = others.filter(|(_, score)| score.cause != RootCause::Undetermined);
    let ruled_out = named.map(|(chance, score)| RuledOut {
        root_cause_code: score.cause,
        because: score.objection().unwrap_or(NO_OBJECTION).to_owned(),
        probability: rounded(*chance),
    });
    let ruled_out = ruled_out.take(LISTED).collect();
    // Where nothing is determined, what the two likeliest rest on is all there is to show.
    let shown = ranked.into_iter().take(if determined { 1 } else { 2 });
    let mut observed: Vec<_> = shown.flat_map(|(_, score)| score.evidence).collect();
    if determined {
        observed.sort_by(|a, b| b.0.total_cmp(&a.0));
    }
    let listed = observed.into_iter().map(|(_, one)| one.listed(tree));
    Verdict {
        cause,
        confidence,
        evidence: merged(listed),
        ruled_out,
    }
}

/// What [`decide`] says of the cause and its confidence, without the words for it.
pub(crate) fn cause(scores: Vec<Score>) -> (RootCause, f64) {
    outcome(&ranked(scores))
}

/// Scores with the chance of each, likeliest first.
fn ranked(mut scores: Vec<Score>) -> Vec<(f64, Score)> {
    scores.sort_by(|a, b| b.value.total_cmp(&a.value));
    let most = scores
        .first()
        .map_or(UNTHOUGHT, |best| best.value.max(UNTHOUGHT));
    let odds = |value: f64| (value - most).exp();
    let sum: f64 = scores.iter().map(|s| odds(s.value)).sum::<f64>() + odds(UNTHOUGHT);
    let with_chance = |score: Score| (odds(score.value) / sum, score);
    scores.into_iter().map(with_chance).collect()
}

fn outcome(ranked: &[(f64, Score)]) -> (RootCause, f64) {
    let chance = |at: usize| ranked.get(at).map_or(0.0, |(chance, _)| *chance);
    let (first, second) = (chance(0), chance(1));
    let clear = first >= LEAST && first - second >= LEAD;
    // "Something else" is no cause to be sure of.
    let named = |(_, score): &&(f64, Score)| score.cause != RootCause::Undetermined;
    match ranked.first().filter(named) {
        Some((_, best)) if clear => (best.cause, rounded(first.min(MOST))),
        _ => {
            let chances = ranked.iter().filter(named).map(|(chance, _)| *chance);
            let likeliest = chances.fold(0.0, f64::max);
            (RootCause::Undetermined, rounded(likeliest.min(MOST)))
        }
    }
}

/// Each observation once.
fn merged(evidence: impl Iterator<Item = Evidence>) -> Vec<Evidence> {
    let mut kept: Vec<Evidence> = Vec::new();
    for one in evidence {
        if kept.len() < LISTED && !kept.contains(&one) {
            kept.push(one);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(cause: RootCause, cost: f64) -> Score {
        let mut score = Score::of(cause);
        score.expect(cost == 0.0, cost, "it was not so");
        score
    }

    fn verdict(scores: Vec<Score>) -> Verdict {
        decide(scores, &Tree::join([]))
    }

    #[test]
    fn the_hypothesis_that_nothing_contradicts_wins() {
        let verdict = verdict(vec![
            score(RootCause::RouterUnreachable, 5.0),
            score(RootCause::ExecutorMissing, 0.0),
            score(RootCause::Cancelled, 4.0),
        ]);
        assert_eq!(verdict.cause, RootCause::ExecutorMissing);
        assert!(verdict.confidence > 0.9, "{verdict:?}");
        assert_eq!(verdict.ruled_out[0].root_cause_code, RootCause::Cancelled);
        assert_eq!(verdict.ruled_out[0].because, "it was not so");
    }

    #[test]
    fn two_equal_hypotheses_determine_nothing() {
        let verdict = verdict(vec![
            score(RootCause::ModalTimeout, 0.0),
            score(RootCause::RouterTimeout, 0.0),
        ]);
        assert_eq!(verdict.cause, RootCause::Undetermined);
        assert_eq!(verdict.ruled_out.len(), 2);
    }

    #[test]
    fn a_trace_that_contradicts_every_hypothesis_determines_nothing() {
        let verdict = verdict(vec![score(RootCause::Cancelled, 5.0)]);
        assert_eq!(verdict.cause, RootCause::Undetermined);
    }
}
