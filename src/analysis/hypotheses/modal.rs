//! Causes inside the Modal function. Structure and timing tell a refusal at the door from a failure at
//! work; which failure it was, only the texts can tell.

use super::{
    CONTRADICTS, Facts, Score, State, UNLIKELY, failed_after, note_failures, score, words,
};
use crate::analysis::report::{EvidenceKind, RootCause};
use crate::analysis::score::{on_span, too_long, too_short};
use crate::analysis::text::Class;
use crate::analysis::tree::Tier;
use crate::analysis::words::duration;

/// A request that is refused at the door takes about as long as this at most, in ms.
const AT_THE_DOOR_MS: f64 = 40.0;
/// What a text gains here, where nothing else tells the causes apart.
const GAIN: f64 = 3.5;
/// What the failure of a Modal function costs as explanation when the function has no span.
const UNSEEN: f64 = 2.5;
/// Where the same words may turn up, nearest to the cause first, and what they count there: callers
/// repeat what they were told.
const TOLD: [(Tier, f64); 3] = [(Tier::Modal, 1.0), (Tier::Router, 0.8), (Tier::Runner, 0.6)];

/// It ran out of memory.
pub(super) fn out_of_memory(facts: &Facts<'_>) -> Score {
    let mut s = at_work(RootCause::ModalOutOfMemory, facts);
    gain(
        &mut s,
        facts,
        Class::OutOfMemory,
        "the error text speaks of memory that ran out",
    );
    s
}

/// It could not load the model.
pub(super) fn model_load(facts: &Facts<'_>) -> Score {
    let mut s = at_work(RootCause::ModalModelLoad, facts);
    gain(
        &mut s,
        facts,
        Class::ModelLoad,
        "the error text speaks of the model's files",
    );
    s
}

/// It refused the model's name.
pub(super) fn unknown_model(facts: &Facts<'_>) -> Score {
    let mut s = it_failed(RootCause::ModalUnknownModel, facts);
    if let (State::Failed, Some(modal), Some(ms)) = (
        facts.state(facts.modal),
        facts.modal,
        facts.took_ms(facts.modal),
    ) {
        let because = format!("Modal worked for {} before it failed", duration(ms));
        s.cost(too_long(ms, AT_THE_DOOR_MS), because);
        if ms <= AT_THE_DOOR_MS {
            let what = format!(
                "Modal refused the request within {}, before it did any work",
                duration(ms)
            );
            s.gain(1.0, on_span(modal, EvidenceKind::Timing, what));
        }
    }
    let told = facts.hint(
        Class::UnknownModel,
        &[Tier::Modal, Tier::Router, Tier::Runner],
    );
    if let (weight, Some(at)) = told {
        let what = "the error text speaks of a model that is not known";
        s.gain(weight * 1.5, on_span(at, EvidenceKind::ErrorText, what));
    }
    s
}

/// It failed in any other way.
pub(super) fn exception(facts: &Facts<'_>) -> Score {
    let mut s = at_work(RootCause::ModalException, facts);
    // The other causes have their vocabulary; a text without it is most likely something else.
    let told = facts
        .said
        .iter()
        .find(|said| Some(said.node) == facts.modal);
    if let Some(said) = told.filter(|said| said.hints.informative) {
        let others = [Class::OutOfMemory, Class::ModelLoad].map(|class| said.hints.weight(class));
        let left = 1.0 - others[0].max(others[1]);
        let what = "the error text names neither memory nor the model's files";
        let evidence = on_span(said.node, EvidenceKind::ErrorText, what);
        s.gain(0.8 * left, evidence);
    }
    s.value += 0.6;
    let (weight, at) = facts.hint(Class::Compute, &[Tier::Modal]);
    if let Some(at) = at {
        let what = "the error text speaks of the computation";
        s.gain(weight * 1.2, on_span(at, EvidenceKind::ErrorText, what));
    }
    s
}

/// A failure after the function began to work.
fn at_work(cause: RootCause, facts: &Facts<'_>) -> Score {
    let mut s = it_failed(cause, facts);
    if let (State::Failed, Some(ms)) = (facts.state(facts.modal), facts.took_ms(facts.modal)) {
        let because = format!(
            "Modal failed within {}, before it can have done any work",
            duration(ms)
        );
        s.cost(too_short(ms, AT_THE_DOOR_MS).min(UNLIKELY), because);
    }
    s
}

/// What all failures of the Modal function expect.
fn it_failed(cause: RootCause, facts: &Facts<'_>) -> Score {
    let mut s = score(cause);
    match facts.state(facts.modal) {
        State::Failed => {}
        State::Absent => {
            let unseen = if facts.log_may_be_lost() {
                UNSEEN / 2.0
            } else {
                UNSEEN
            };
            s.cost(unseen, "Modal has no span of this request");
            let provider = facts.state(facts.provider_call());
            let otherwise = match facts.provider {
                Some(_) => "the router's call of Modal did not fail",
                None => "no call of Modal is seen",
            };
            s.expect(
                provider == State::Failed && facts.provider.is_some(),
                CONTRADICTS,
                otherwise,
            );
        }
        state => s.cost(CONTRADICTS, format!("Modal {}", words(state))),
    }
    if let (State::Failed, Some(modal)) = (facts.state(facts.modal), facts.modal) {
        s.note(2.0, failed_after(facts, modal));
    }
    note_failures(&mut s, facts, &[facts.provider, facts.router]);
    s
}

fn gain(s: &mut Score, facts: &Facts<'_>, class: Class, what: &'static str) {
    let told = TOLD.map(|(tier, share)| {
        let (weight, at) = facts.hint(class, &[tier]);
        (weight * share, at)
    });
    let most = told.into_iter().max_by(|a, b| a.0.total_cmp(&b.0));
    if let Some((weight, Some(at))) = most {
        s.gain(weight * GAIN, on_span(at, EvidenceKind::ErrorText, what));
    }
}
