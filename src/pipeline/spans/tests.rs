//! What is handed on when, and what stays.

use chrono::DateTime;
use proptest::prelude::*;

use super::*;
use crate::model::{End, Moment, Precision, SpanKey, reconcile};

const PARTS: usize = 3;

fn spans() -> Spans {
    Spans::new(PARTS, Arc::default())
}

fn moment(second: i64) -> Moment {
    let at = DateTime::from_timestamp(1_800_000_000 + second, 0).unwrap();
    let precision = Precision::Second;
    Moment { at, precision }
}

/// A span whose place is its number; both seconds are those of its lines.
fn span(number: usize, start: Option<i64>, end: Option<(i64, Outcome)>) -> Observation {
    let key = SpanKey {
        log_id: format!("{number:08x}").into(),
        scope: "ta-1".into(),
    };
    let mut seen = Observation::new(key, "test");
    seen.start = start.map(moment);
    seen.end = end.map(|(second, outcome)| End {
        moment: moment(second),
        outcome,
        reported_us: None,
        error_type: None,
        error_message: None,
    });
    seen
}

fn take_in(spans: &mut Spans, number: usize, seen: Observation) {
    let place = number as Place;
    match spans.find(place, &seen) {
        Some(at) => spans.change(at).0.merge(seen),
        None => spans.add(place, seen),
    }
}

fn drained(spans: &mut Spans) -> Vec<Observation> {
    let mut parts = vec![Vec::new(); PARTS];
    spans.drain(&mut parts);
    for (number, part) in parts.iter().enumerate() {
        let is_there = |seen: &Observation| shard(&seen.key) % PARTS == number;
        assert!(part.iter().all(is_there));
    }
    assert_eq!(spans.changed(), 0);
    parts.concat()
}

proptest! {
    /// Lines of calls of three log ids in any order, with a drain wherever one may be.
    #[test]
    fn nothing_is_lost_or_told_apart_by_handing_on(
        lines in proptest::collection::vec(
            (0..3_usize, 0..3_i64, any::<bool>(), any::<bool>()),
            1..40,
        ),
    ) {
        let (mut spans, mut all, mut handed_on) = (spans(), Vec::new(), Vec::new());
        for (number, call, is_start, is_drained) in lines {
            // Calls of one log id lie days apart, so that each line is of one of them.
            let second = call * 200_000;
            // A call always ends in the same way.
            let ends = [Outcome::Completed, Outcome::Failed][(call as usize + number) % 2];
            let seen = if is_start {
                span(number, Some(second), None)
            } else {
                span(number, None, Some((second + 1, ends)))
            };
            all.push(seen.clone());
            take_in(&mut spans, number, seen);
            if is_drained {
                handed_on.extend(drained(&mut spans));
            }
        }
        handed_on.extend(drained(&mut spans));
        prop_assert!(drained(&mut spans).is_empty());
        prop_assert!(handed_on.len() <= all.len());
        prop_assert_eq!(reconcile([], handed_on), reconcile([], all));
    }
}

#[test]
fn a_span_is_handed_on_whenever_it_has_changed_until_it_has_ended() {
    let mut spans = spans();
    (0..9).for_each(|number| take_in(&mut spans, number, span(number, Some(0), None)));
    assert_eq!(spans.changed(), 9);
    assert_eq!(drained(&mut spans).len(), 9);
    assert_eq!(drained(&mut spans).len(), 0);

    let end = Some((2, Outcome::Completed));
    take_in(&mut spans, 4, span(4, None, end));
    assert_eq!(spans.changed(), 1);
    assert_eq!(drained(&mut spans), [span(4, Some(0), end)]);
    assert_eq!(spans.kept.len(), 8);

    // Known no longer: the store knows it.
    take_in(&mut spans, 4, span(4, None, end));
    assert_eq!(drained(&mut spans), [span(4, None, end)]);
}

#[test]
fn an_end_finds_the_span_that_began_last_before_it_wherever_that_is() {
    let mut spans = spans();
    take_in(&mut spans, 0, span(0, Some(0), None));
    drained(&mut spans);
    take_in(&mut spans, 0, span(0, Some(100), None));
    take_in(&mut spans, 0, span(0, Some(200), None));
    assert_eq!(spans.changed(), 2);
    for (start, end) in [(100, 101), (0, 1), (200, 201)] {
        let at = spans.find(0, &span(0, None, Some((end, Outcome::Completed))));
        assert_eq!(spans.get(at.unwrap()).start, Some(moment(start)));
    }
    let last = spans.last(0, |seen| seen.start != Some(moment(200)));
    assert_eq!(spans.get(last.unwrap()).start, Some(moment(100)));
    take_in(&mut spans, 0, span(0, None, Some((1, Outcome::Completed))));
    let starts = drained(&mut spans).into_iter().map(|seen| seen.start);
    assert_eq!(starts.flatten().count(), 3);
    assert_eq!(spans.kept[&0].len(), 2);
}

#[test]
fn failed_spans_stay_for_their_traceback_and_no_more_than_may_stay() {
    let mut spans = spans();
    for number in 0..=MAX_FAILED {
        let end = Some((0, Outcome::Failed));
        take_in(&mut spans, number, span(number, None, end));
    }
    let handed_on = drained(&mut spans);
    assert_eq!(handed_on.len(), MAX_FAILED + 1);
    assert_eq!(spans.kept.len(), MAX_FAILED);
    let place = |seen: &Observation| Place::from_str_radix(&seen.key.log_id, 16).unwrap();
    let (first, last) = (place(&handed_on[0]), place(&handed_on[MAX_FAILED]));
    assert!(spans.last(first, |_| true).is_none());
    assert!(spans.last(last, |_| true).is_some());
    (0..FAILED_STAYS).for_each(|_| assert!(drained(&mut spans).is_empty()));
    assert_eq!(spans.kept.len(), 0);
}

#[test]
fn the_oldest_of_too_many_open_spans_leave() {
    let mut spans = spans();
    for number in 0..MAX_OPEN + 5 {
        take_in(&mut spans, number, span(number, Some(0), None));
    }
    assert_eq!(drained(&mut spans).len(), MAX_OPEN + 5);
    assert_eq!((spans.evicted(), spans.kept.len()), (5, MAX_OPEN));
}

#[test]
fn failed_spans_of_long_texts_leave_before_they_are_many() {
    let mut spans = spans();
    for number in 0..10 {
        let mut seen = span(number, Some(0), Some((1, Outcome::Failed)));
        seen.traceback = Some("x".repeat(MAX_FAILED_BYTES / 4));
        take_in(&mut spans, number, seen);
    }
    assert_eq!(drained(&mut spans).len(), 10);
    assert_eq!(spans.kept.len(), 4);
    (0..FAILED_STAYS).for_each(|_| assert!(drained(&mut spans).is_empty()));
    assert!(spans.kept.is_empty());
    assert_eq!(spans.leaving_bytes, 0);
}
