//! Causes between the runner and the router.

use super::{
    CONTRADICTS, Facts, ODD, STRAINED, Score, State, TEXT_GAIN, UNLIKELY, completed_in,
    failed_after, gain_by_text, note_failures, score, words,
};
use crate::analysis::report::{EvidenceKind, RootCause};
use crate::analysis::score::{about, is_round, on_span, too_long, too_short};
use crate::analysis::text::Class;
use crate::analysis::tree::Tier;
use crate::analysis::words::duration;

/// What fails without anybody being asked takes about as long as this, in ms.
const AT_ONCE_MS: f64 = 250.0;
/// What fails because nobody answered takes about as long as this, in ms.
const PATIENCE_MS: f64 = 6_000.0;

/// The runner gave up before it called anybody.
pub(super) fn executor_missing(facts: &Facts<'_>) -> Score {
    let mut s = score(RootCause::ExecutorMissing);
    nobody_was_reached(&mut s, facts);
    let called = facts.call.is_some();
    if called && facts.call == facts.root {
        s.cost(ODD, "the runner's only span is also its call of the router");
    } else {
        s.expect(!called, 4.0, "the runner did make the call to the router");
    }
    if let Some(ms) = facts.total_ms() {
        s.cost(
            too_long(ms, AT_ONCE_MS),
            format!(
                "it took {}, too long for a runner that never called",
                duration(ms)
            ),
        );
    }
    s.expect(
        facts.sees_runner(),
        UNLIKELY,
        "no span of the runner is known",
    );
    if let (Some(root), false) = (facts.root, called) {
        s.note(2.0, failed_after(facts, root));
        let what = "the runner never called the router";
        s.note(1.5, about(EvidenceKind::SpanMissing, "runner", what));
    }
    let what = "the error text speaks of the runner's own set-up";
    gain_by_text(
        &mut s,
        facts,
        Class::BadSetup,
        &[Tier::Runner],
        TEXT_GAIN,
        what,
    );
    s
}

/// The runner's call found nobody.
pub(super) fn router_unreachable(facts: &Facts<'_>) -> Score {
    let mut s = score(RootCause::RouterUnreachable);
    nobody_was_reached(&mut s, facts);
    match facts.state(facts.call) {
        State::Failed | State::Open => {}
        State::Absent => s.cost(
            UNLIKELY,
            "the runner never got as far as calling the router",
        ),
        State::Completed => s.cost(4.0, "the runner's call of the router completed"),
    }
    if let Some(ms) = facts.took_ms(facts.calling()) {
        // Refused at once, or a connection attempt that ran into its limit.
        let refused = too_long(ms, AT_ONCE_MS);
        let limit = if is_round(ms) {
            ODD
        } else {
            STRAINED + too_short(ms, 20_000.0)
        };
        let cost = refused.min(limit);
        let because = format!(
            "the call failed after {}, neither at once nor at a limit",
            duration(ms)
        );
        s.cost(cost, because);
    }
    note_failures(&mut s, facts, &[facts.call, facts.root]);
    s.note(
        1.5,
        about(
            EvidenceKind::SpanMissing,
            "router",
            "the router has no span of this request",
        ),
    );
    if facts.hint(Class::Answered, &[Tier::Runner]).0 > 0.0 {
        s.cost(STRAINED, "the runner's own words tell of an answer");
    }
    let what = "the error text speaks of a connection that could not be made";
    gain_by_text(
        &mut s,
        facts,
        Class::Connection,
        &[Tier::Runner],
        TEXT_GAIN,
        what,
    );
    s
}

/// Somebody called the execution off.
pub(super) fn cancelled(facts: &Facts<'_>) -> Score {
    let mut s = score(RootCause::Cancelled);
    let outlived = facts.silence_ms().is_some_and(|ms| ms < 0.0);
    match facts.state(facts.answering()) {
        State::Absent | State::Open => {}
        _ if outlived => {}
        State::Completed => s.cost(UNLIKELY, "the answer was ready"),
        State::Failed => s.cost(UNLIKELY, "the router failed first"),
    }
    s.expect(
        facts.call.is_some(),
        STRAINED,
        "the runner had not called the router yet",
    );
    s.expect(
        facts.sees_runner(),
        UNLIKELY,
        "no span of the runner is known",
    );
    if facts.state(facts.call) == State::Completed {
        s.cost(UNLIKELY, "the runner's call completed");
    }
    if let Some(ms) = facts.took_ms(facts.calling()) {
        s.cost(
            too_short(ms, 400.0),
            format!("{} is too short for somebody to call it off", duration(ms)),
        );
        s.expect(
            !is_round(ms) || ms < 20_000.0,
            1.0,
            "it ended at a round limit",
        );
        if let Some(call) = facts.calling() {
            let what = format!(
                "it ended in mid-call, after {}: neither at once nor at a limit",
                duration(ms)
            );
            s.note(1.0, on_span(call, EvidenceKind::Timing, what));
        }
    }
    note_failures(&mut s, facts, &[facts.call, facts.root]);
    if facts.row_says_cancelled() {
        let what = format!(
            "the execution's status is {:?}",
            facts.case.execution.status
        );
        s.gain(3.0, about(EvidenceKind::ExecutionRow, "runner", what));
    }
    let what = "the error text speaks of being called off";
    gain_by_text(
        &mut s,
        facts,
        Class::Cancelled,
        &[Tier::Runner],
        TEXT_GAIN,
        what,
    );
    s
}

/// The router answered and the runner went on waiting.
pub(super) fn response_lost(facts: &Facts<'_>) -> Score {
    let mut s = score(RootCause::ResponseLost);
    let answered = facts.state(facts.answering()) == State::Completed;
    match facts.state(facts.router) {
        State::Completed => {}
        State::Absent | State::Open if answered => {
            s.cost(
                ODD,
                "the router has no end of this request, only what it called",
            );
        }
        State::Open => s.cost(STRAINED, "the router's span has no end"),
        state => s.cost(4.0, format!("the router {}", words(state))),
    }
    s.expect(
        facts.state(facts.call) != State::Completed,
        4.0,
        "the runner's call completed",
    );
    if let Some(silence) = facts.silence_ms() {
        s.expect(
            silence >= 0.0,
            STRAINED,
            "the answer was ready only after the runner had given up",
        );
        let because = format!(
            "the runner failed {} after the answer",
            duration(silence.max(0.0))
        );
        s.cost(too_short(silence.max(1.0), PATIENCE_MS), because);
        if let Some(answering) = facts.answering() {
            let what = format!(
                "the runner waited {} more after the answer",
                duration(silence)
            );
            let waiting = facts.calling().unwrap_or(answering);
            s.note(2.0, on_span(waiting, EvidenceKind::Timing, what));
            s.note(1.5, completed_in(facts, answering));
        }
    }
    note_failures(&mut s, facts, &[facts.call, facts.root]);
    for (class, what) in [
        (Class::Timeout, "the error text speaks of waiting too long"),
        (
            Class::Connection,
            "the error text speaks of a broken connection",
        ),
    ] {
        gain_by_text(&mut s, facts, class, &[Tier::Runner], TEXT_GAIN / 2.0, what);
    }
    s
}

/// Everybody below did their part and the runner failed nevertheless.
pub(super) fn result_rejected(facts: &Facts<'_>) -> Score {
    let mut s = score(RootCause::ResultRejected);
    let answered = facts.state(facts.answering()) == State::Completed;
    match facts.state(facts.router) {
        State::Completed => {}
        State::Open if answered => {
            s.cost(ODD, "the router's span has no end, only what it called");
        }
        State::Absent if answered || facts.shape.lacks(Tier::Router) => {
            s.cost(STRAINED, "the router has no span of this request");
        }
        State::Absent => s.cost(UNLIKELY, "nobody is seen to have answered"),
        state => s.cost(CONTRADICTS, format!("the router {}", words(state))),
    }
    s.expect(
        facts.state(facts.modal) != State::Failed,
        CONTRADICTS,
        "Modal failed",
    );
    match facts.state(facts.call) {
        State::Completed => {}
        State::Failed if facts.router.is_some() => {
            s.cost(ODD, "the runner's call itself failed");
        }
        State::Open => s.cost(ODD, "the runner's call has no end"),
        State::Absent if !facts.sees_runner() => {
            s.cost(ODD, "no span of the runner is known");
        }
        state => s.cost(4.0, format!("the runner's call {}", words(state))),
    }
    if let Some(silence) = facts.silence_ms() {
        let because = format!(
            "the runner failed only {} after the answer",
            duration(silence)
        );
        s.cost(too_long(silence.max(0.0), 5_000.0), because);
    }
    for at in [facts.call, facts.router, facts.modal] {
        if let (Some(at), State::Completed) = (at, facts.state(at)) {
            s.note(1.0, completed_in(facts, at));
        }
    }
    note_failures(&mut s, facts, &[facts.root, facts.call]);
    let what = "the error text speaks of the answer itself";
    gain_by_text(
        &mut s,
        facts,
        Class::BadAnswer,
        &[Tier::Runner],
        TEXT_GAIN,
        what,
    );
    s
}

/// What hypotheses expect by which the router never heard of the request.
fn nobody_was_reached(s: &mut Score, facts: &Facts<'_>) {
    s.expect(
        facts.router.is_none(),
        CONTRADICTS,
        "the router has a span of this request",
    );
    s.expect(
        facts.modal.is_none(),
        CONTRADICTS,
        "Modal has a span of this request",
    );
    if facts.shape.lacks(Tier::Router) {
        s.cost(
            ODD,
            "the router writes no spans here, so that it has none says nothing",
        );
    }
}
