//! What an execution's row tells when there is no span of it: how long it took, what became of its
//! siblings, what its output says.
//!
//! Invariant: without a trace the confidence stays low; what cannot be told from a row is not told.

use serde_json::Value;

use super::facts::{Facts, Outcome, row_ms};
use super::report::{EvidenceKind, RootCause};
use super::score::{Score, about, is_round, too_long, too_short};
use super::text::{Class, Hints};
use super::words::duration;
use crate::model::Execution;

/// A runner that asks nobody is done within about this, in ms.
const AT_ONCE_MS: f64 = 60.0;
/// A caller that gives up on somebody has waited about this long at least, in ms.
const PATIENCE_MS: f64 = 20_000.0;
/// How much the output's own words can say.
const TEXT_GAIN: f64 = 2.0;

/// What each cause would leave in a row: (cause, how rare it is, when it ends, what its text is about).
const CAUSES: [(RootCause, f64, When, Class); 12] = [
    (
        RootCause::ExecutorMissing,
        0.0,
        When::AtOnce,
        Class::BadSetup,
    ),
    (
        RootCause::RouterUnreachable,
        0.8,
        When::AtOnce,
        Class::Connection,
    ),
    (
        RootCause::NoHealthyProvider,
        0.9,
        When::AtOnce,
        Class::NoProvider,
    ),
    (
        RootCause::ModalEndpointDown,
        2.2,
        When::Soon,
        Class::Endpoint,
    ),
    (
        RootCause::ModalUnknownModel,
        2.2,
        When::Soon,
        Class::UnknownModel,
    ),
    (
        RootCause::ModalOutOfMemory,
        1.8,
        When::Later,
        Class::OutOfMemory,
    ),
    (
        RootCause::ModalModelLoad,
        1.8,
        When::Later,
        Class::ModelLoad,
    ),
    (RootCause::ModalException, 1.6, When::Later, Class::Compute),
    (RootCause::Cancelled, 1.6, When::Later, Class::Cancelled),
    (RootCause::ModalTimeout, 0.6, When::AtALimit, Class::Timeout),
    (
        RootCause::RouterTimeout,
        1.0,
        When::AtALimit,
        Class::Timeout,
    ),
    (RootCause::ResponseLost, 1.0, When::AtALimit, Class::Timeout),
];

#[derive(Clone, Copy)]
enum When {
    AtOnce,
    Soon,
    Later,
    AtALimit,
}

/// Weighs the causes by the row alone.
pub(crate) fn of_row(facts: &Facts<'_>) -> Vec<Score> {
    let execution = &facts.case.execution;
    let ms = row_ms(execution);
    let text = execution
        .output_data
        .as_ref()
        .map(words_of)
        .unwrap_or_default();
    let hints = Hints::read(&text);
    let asked = !execution.provider_id.trim().is_empty();
    let scores = CAUSES.map(|(cause, rarity, when, class)| {
        let mut s = Score::of(cause);
        s.value = -rarity;
        if let Some(ms) = ms {
            let what = format!("the row says that it took {}", duration(ms));
            s.cost(when.cost(ms), what.clone());
            s.note(1.0, about(EvidenceKind::ExecutionRow, "runner", what));
        }
        s.note(
            0.5,
            about(
                EvidenceKind::SpanMissing,
                "runner",
                "no span of it was found",
            ),
        );
        if asked && matches!(when, When::AtOnce) {
            s.cost(
                1.0,
                format!("a provider ({}) had been chosen", execution.provider_id),
            );
        }
        if matches!(cause, RootCause::Cancelled) && facts.row_says_cancelled() {
            let what = format!("the execution's status is {:?}", execution.status);
            s.gain(3.0, about(EvidenceKind::ExecutionRow, "runner", what));
        }
        if hints.weight(class) > 0.0 {
            let what = "the row's output speaks of it";
            let said = about(EvidenceKind::ErrorText, "runner", what);
            s.gain(hints.weight(class) * TEXT_GAIN, said.quoting(text.clone()));
        }
        s
    });
    let mut scores = Vec::from(scores);
    if let Some(what) = siblings_fell_at_once(execution, &facts.case.siblings) {
        scores[0].gain(0.5, about(EvidenceKind::Siblings, "runner", what));
    }
    scores
}

impl When {
    fn cost(self, ms: f64) -> f64 {
        match self {
            Self::AtOnce => too_long(ms, AT_ONCE_MS),
            Self::Soon => too_long(ms, 1_500.0) + too_short(ms, AT_ONCE_MS),
            Self::Later => too_short(ms, 400.0) + if is_round(ms) { 1.0 } else { 0.0 },
            Self::AtALimit => too_short(ms, PATIENCE_MS) + if is_round(ms) { 0.0 } else { 0.5 },
        }
    }
}

/// Whether most of the job's other executions in the region ended at once, too.
fn siblings_fell_at_once(execution: &Execution, siblings: &[Execution]) -> Option<String> {
    let same_region = siblings.iter().filter(|other| {
        other.id != execution.id && other.region.eq_ignore_ascii_case(&execution.region)
    });
    let all = same_region.clone().count();
    let at_once = same_region.filter(|other| ended_at_once(other)).count();
    let most = all >= 2 && at_once * 5 >= all * 4;
    most.then(|| {
        format!(
            "{at_once} of {all} other executions in {} ended at once, too",
            execution.region
        )
    })
}

/// Whether an execution failed so fast that nobody can have worked on it.
pub(crate) fn ended_at_once(execution: &Execution) -> bool {
    Outcome::of(execution) == Outcome::Failed
        && row_ms(execution).is_some_and(|ms| ms <= AT_ONCE_MS)
}

/// What the row's output says about a failure.
pub(crate) fn said_by(execution: &Execution) -> Option<String> {
    let text = words_of(execution.output_data.as_ref()?);
    (!text.trim().is_empty()).then_some(text)
}

/// The texts of an output that can explain a failure.
fn words_of(output: &Value) -> String {
    let keys = [
        "error",
        "error_message",
        "message",
        "error_type",
        "reason",
        "detail",
        "failure",
    ];
    match output {
        Value::String(text) => text.clone(),
        Value::Object(map) => {
            let texts = keys.iter().filter_map(|key| map.get(*key)).map(words_of);
            texts.collect::<Vec<_>>().join(" ")
        }
        _ => String::new(),
    }
}
