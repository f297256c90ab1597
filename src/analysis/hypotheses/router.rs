//! Causes between the router and Modal.

use chrono::TimeDelta;

use super::{
    CONTRADICTS, Facts, ODD, STRAINED, Score, State, TEXT_GAIN, UNLIKELY, failed_after,
    gain_by_text, note_failures, score, words,
};
use crate::analysis::report::{EvidenceKind, RootCause};
use crate::analysis::score::{about, is_round, on_span, too_long, too_short};
use crate::analysis::text::Class;
use crate::analysis::tree::Tier;
use crate::analysis::words::duration;

/// A router that gives up on a silent provider waits about this long at least, in ms.
const PATIENCE_MS: f64 = 6_000.0;
/// After this long an open Modal span will not end any more.
const DEADLINE: TimeDelta = TimeDelta::minutes(15);

/// The router had nobody to ask.
pub(super) fn no_healthy_provider(facts: &Facts<'_>) -> Score {
    let mut s = score(RootCause::NoHealthyProvider);
    match facts.state(facts.router) {
        State::Failed => {}
        State::Open => s.cost(STRAINED, "the router's span has no end"),
        state => s.cost(4.0, format!("the router {}", words(state))),
    }
    if facts.provider.is_some() && facts.provider == facts.router {
        s.cost(ODD, "the router's only span is also its call of Modal");
    } else {
        s.expect(
            facts.provider.is_none(),
            4.0,
            "the router did call a provider",
        );
    }
    s.expect(
        facts.modal.is_none(),
        CONTRADICTS,
        "Modal has a span of this request",
    );
    if let Some(ms) = facts.took_ms(facts.router) {
        let because = format!(
            "the router took {}, it must have asked somebody",
            duration(ms)
        );
        s.cost(too_long(ms, 1_500.0), because);
    }
    if let Some(router) = facts.router {
        s.note(2.0, failed_after(facts, router));
        let what = "the router never called a provider";
        s.note(1.5, about(EvidenceKind::SpanMissing, "modal", what));
    }
    let what = "the error text speaks of nobody being there to serve it";
    gain_by_text(
        &mut s,
        facts,
        Class::NoProvider,
        &[Tier::Router, Tier::Runner],
        TEXT_GAIN,
        what,
    );
    s
}

/// Modal refused the call.
pub(super) fn modal_endpoint_down(facts: &Facts<'_>) -> Score {
    let mut s = score(RootCause::ModalEndpointDown);
    the_router_failed(&mut s, facts);
    s.expect(
        facts.provider.is_some(),
        UNLIKELY,
        "the router never called a provider",
    );
    match facts.state(facts.modal) {
        State::Absent => {}
        State::Open => s.cost(UNLIKELY, "Modal did begin"),
        _ => s.cost(CONTRADICTS, "Modal did run"),
    }
    if let Some(ms) = facts.took_ms(facts.provider_call()) {
        let because = format!(
            "the call to Modal lasted {}, too long for a refusal",
            duration(ms)
        );
        s.cost(too_long(ms, 3_000.0), because);
    }
    note_failures(&mut s, facts, &[facts.provider, facts.router]);
    s.note(
        1.5,
        about(
            EvidenceKind::SpanMissing,
            "modal",
            "no Modal function began",
        ),
    );
    for (class, what) in [
        (
            Class::Endpoint,
            "the error text speaks of an endpoint that is not there",
        ),
        (
            Class::Connection,
            "the error text speaks of a connection that could not be made",
        ),
    ] {
        gain_by_text(&mut s, facts, class, &[Tier::Router], TEXT_GAIN, what);
    }
    s
}

/// Modal began and never ended.
pub(super) fn modal_timeout(facts: &Facts<'_>) -> Score {
    let mut s = score(RootCause::ModalTimeout);
    the_router_gave_up(&mut s, facts);
    let state = facts.state(facts.modal);
    match state {
        State::Open => {}
        State::Absent => s.cost(STRAINED, "no Modal span shows that it began"),
        State::Failed if says_timeout(facts) => {}
        state => s.cost(4.0, format!("Modal {}", words(state))),
    }
    if let (State::Open, Some(modal)) = (state, facts.modal) {
        let begun = facts.tree.nodes[modal].span.started_at;
        let running = facts.now - begun;
        s.expect(running >= DEADLINE, ODD, "Modal may still finish");
        let what = "Modal began and has no end";
        s.note(2.0, on_span(modal, EvidenceKind::SpanOpen, what));
    }
    note_failures(&mut s, facts, &[facts.provider, facts.router]);
    s
}

/// The router gave up on a Modal function that finished.
pub(super) fn router_timeout(facts: &Facts<'_>) -> Score {
    let mut s = score(RootCause::RouterTimeout);
    the_router_gave_up(&mut s, facts);
    match facts.state(facts.modal) {
        State::Completed => {}
        State::Open => s.cost(STRAINED, "Modal has not finished"),
        State::Absent => s.cost(STRAINED + ODD, "no Modal span shows that it finished"),
        State::Failed => s.cost(4.0, "Modal failed"),
    }
    if let Some(late) = facts.outlived_ms(facts.provider_call(), facts.modal) {
        s.expect(
            late > 0.0,
            ODD,
            "Modal had finished before the router gave up",
        );
        if let (Some(modal), State::Completed) = (facts.modal, facts.state(facts.modal)) {
            let what = if late > 0.0 {
                format!(
                    "Modal finished {} after the router had given up",
                    duration(late)
                )
            } else {
                format!(
                    "Modal had finished {} before the router gave up",
                    duration(-late)
                )
            };
            s.note(2.0, on_span(modal, EvidenceKind::Timing, what));
        }
    }
    note_failures(&mut s, facts, &[facts.provider, facts.router]);
    s
}

/// What both time-outs expect of the router's call.
fn the_router_gave_up(s: &mut Score, facts: &Facts<'_>) {
    match facts.state(facts.provider_call()) {
        State::Failed => {}
        State::Open => s.cost(ODD, "the router's call of Modal has no end"),
        state => s.cost(
            CONTRADICTS,
            format!("the router's call of Modal {}", words(state)),
        ),
    }
    if let (Some(at), Some(ms)) = (
        facts.provider_call(),
        facts.lasted_ms(facts.provider_call()),
    ) {
        let because = format!(
            "the router gave up after {}, no time limit is that short",
            duration(ms)
        );
        s.cost(too_short(ms, PATIENCE_MS), because);
        if is_round(ms) {
            let what = format!("the router gave up after {}, a round limit", duration(ms));
            s.gain(0.3, on_span(at, EvidenceKind::Timing, what));
        }
    }
    let what = "the error text speaks of waiting too long";
    let tiers: &[Tier] = match facts.router {
        Some(_) => &[Tier::Router],
        None => &[Tier::Runner],
    };
    gain_by_text(s, facts, Class::Timeout, tiers, TEXT_GAIN, what);
}

fn the_router_failed(s: &mut Score, facts: &Facts<'_>) {
    match facts.state(facts.provider_call()) {
        State::Failed => {}
        State::Open => s.cost(STRAINED, "the router's span has no end"),
        state => s.cost(CONTRADICTS, format!("the router's call {}", words(state))),
    }
}

/// Whether Modal itself said that it ran into a limit.
fn says_timeout(facts: &Facts<'_>) -> bool {
    let modal = facts.node(facts.modal);
    modal.is_some_and(|node| node.span.status == crate::model::SpanStatus::Timeout)
        || facts.hint(Class::Timeout, &[Tier::Modal]).0 > 0.5
}
