//! How a hypothesis collects what speaks for and against it.
//!
//! A score is a log-likelihood up to a constant: a hypothesis that explains every observation stands
//! at zero, each observation it doesn't expect costs, each that it alone expects gains. Invariant: no
//! cost or gain without a reason in words.

use std::borrow::Cow;

use super::report::{Evidence, EvidenceKind, RootCause};
use super::tree::Tree;
use super::words::{quote, quoted_error};

/// Most that one graded observation can cost: beyond it there may be a reason nobody thought of.
const MAX_COST: f64 = 5.0;

/// One hypothesis and what was held against it.
#[derive(Debug)]
pub(crate) struct Score {
    /// The hypothesis.
    pub(crate) cause: RootCause,
    /// Its log-likelihood, up to a constant.
    pub(crate) value: f64,
    /// What speaks for it, with its weight.
    pub(crate) evidence: Vec<(f64, Observation)>,
    /// What speaks against it, with its weight.
    against: Vec<(f64, Words)>,
}

/// An observation in words.
pub(crate) type Words = Cow<'static, str>;

/// What was observed. Most of it is never listed, so it becomes [`Evidence`], with ids and quotations, only
/// then.
#[derive(Debug)]
pub(crate) struct Observation {
    kind: EvidenceKind,
    place: Place,
    what: Words,
}

#[derive(Debug)]
enum Place {
    /// On the span of this node.
    Span(usize),
    /// About a service without a span, with what its row said.
    Service(&'static str, Option<String>),
}

impl Score {
    /// A hypothesis that nothing speaks for or against yet.
    pub(crate) const fn of(cause: RootCause) -> Self {
        Self {
            cause,
            value: 0.0,
            evidence: Vec::new(),
            against: Vec::new(),
        }
    }

    /// Costs when an observation is not what the hypothesis expects.
    pub(crate) fn expect(&mut self, holds: bool, cost: f64, otherwise: impl Into<Words>) {
        if !holds {
            self.cost(cost, otherwise);
        }
    }

    /// Costs by as much as an observation is unlikely under the hypothesis.
    pub(crate) fn cost(&mut self, cost: f64, because: impl Into<Words>) {
        let cost = cost.min(MAX_COST);
        self.value -= cost;
        self.against.push((cost, because.into()));
    }

    /// Gains by an observation.
    pub(crate) fn gain(&mut self, gain: f64, evidence: Observation) {
        self.value += gain;
        self.evidence.push((gain, evidence));
    }

    /// Notes an observation that other hypotheses expect as well.
    pub(crate) fn note(&mut self, weight: f64, evidence: Observation) {
        self.evidence.push((weight, evidence));
    }

    /// What speaks against it most.
    pub(crate) fn objection(&self) -> Option<&str> {
        let worst = self.against.iter().max_by(|a, b| a.0.total_cmp(&b.0))?;
        (worst.0 >= 0.3).then_some(&*worst.1)
    }
}

/// An observation on the span of a node.
pub(crate) fn on_span(at: usize, kind: EvidenceKind, what: impl Into<Words>) -> Observation {
    Observation {
        kind,
        place: Place::Span(at),
        what: what.into(),
    }
}

/// An observation about a service without a span.
pub(crate) fn about(
    kind: EvidenceKind,
    service: &'static str,
    what: impl Into<Words>,
) -> Observation {
    Observation {
        kind,
        place: Place::Service(service, None),
        what: what.into(),
    }
}

impl Observation {
    /// The same with what the service's row said.
    pub(crate) fn quoting(mut self, text: String) -> Self {
        if let Place::Service(_, said) = &mut self.place {
            *said = Some(text);
        }
        self
    }

    /// The observation as it is listed, with what the span said.
    pub(crate) fn listed(self, tree: &Tree<'_>) -> Evidence {
        let (span_id, service, quoted_log) = match self.place {
            Place::Span(at) => {
                let span = tree.nodes[at].span;
                let id = span.span_id.to_string();
                (Some(id), span.service.clone(), quoted_error(span))
            }
            Place::Service(name, said) => (None, name.to_owned(), said.as_deref().map(quote)),
        };
        Evidence {
            kind: self.kind,
            span_id,
            service: Some(service),
            what: self.what.into_owned(),
            quoted_log,
        }
    }
}

/// What a duration costs a hypothesis that expects about `scale_ms` at most.
pub(crate) fn too_long(ms: f64, scale_ms: f64) -> f64 {
    (1.0 + (ms / scale_ms).powi(2)).ln().min(MAX_COST)
}

/// What a duration costs a hypothesis that expects about `scale_ms` at least.
pub(crate) fn too_short(ms: f64, scale_ms: f64) -> f64 {
    (1.0 + (scale_ms / ms.max(0.01)).powi(2)).ln().min(MAX_COST)
}

/// Whether a duration looks like a configured time limit: a round number of seconds, and a little.
pub(crate) fn is_round(ms: f64) -> bool {
    const LIMITS_S: [f64; 21] = [
        5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 40.0, 45.0, 50.0, 60.0, 75.0, 90.0, 100.0, 120.0, 150.0,
        180.0, 240.0, 300.0, 600.0, 900.0, 1800.0,
    ];
    LIMITS_S.iter().any(|limit| {
        let over = ms - limit * 1000.0;
        (-20.0..=limit * 5.0 + 50.0).contains(&over)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_round_number_of_seconds_and_a_little() {
        for ms in [60_000.0, 60_120.0, 30_010.0, 120_400.0] {
            assert!(is_round(ms), "{ms}");
        }
        for ms in [13.0, 1_500.0, 61_000.0, 137_000.0] {
            assert!(!is_round(ms), "{ms}");
        }
    }

    #[test]
    fn durations_cost_by_how_far_off_they_are() {
        assert!(too_long(20.0, 200.0) < 0.02 && too_long(2_000.0, 200.0) > 4.0);
        assert!(too_short(60_000.0, 5_000.0) < 0.02 && too_short(20.0, 5_000.0) == MAX_COST);
        assert_eq!(too_short(0.0, 50.0), MAX_COST);
    }

    #[test]
    fn the_heaviest_objection_is_the_reason() {
        let mut score = Score::of(RootCause::Cancelled);
        score.expect(false, 1.0, "light");
        score.expect(true, 9.0, "not held");
        score.cost(3.0, "heavy");
        assert_eq!(score.objection(), Some("heavy"));
        assert!((score.value + 4.0).abs() < 1e-9);
    }
}
