//! What whole seconds and reported durations say of a start, and what reads back.

use super::super::find_slot;
use super::*;

const SECOND: i64 = 1_760_000_000;

fn printed(ends_in: i64, took_ms: i64) -> Observation {
    let key = SpanKey {
        log_id: "abc123de".into(),
        scope: "ta-1".into(),
    };
    let moment = |second: i64| Moment {
        at: DateTime::from_timestamp(SECOND + second, 0).unwrap(),
        precision: Precision::Second,
    };
    let mut seen = Observation::new(key, "test");
    seen.container_id = Some("ta-1".into());
    seen.start = Some(moment(0));
    seen.end = Some(End {
        moment: moment(ends_in),
        outcome: Outcome::Completed,
        reported_us: Some(took_ms * 1000),
        error_type: None,
        error_message: None,
    });
    seen
}

fn started_ms(seen: &Observation) -> i64 {
    seen.to_span().started_at.timestamp_millis() - SECOND * 1000
}

#[test]
fn whole_seconds_of_both_lines_narrow_the_start() {
    // It can't have begun before 0.10 to have ended in second 2 after 1.90 s.
    assert_eq!(started_ms(&printed(2, 1_900)), 100);
    // Ended in second 1: it began by 0.09.
    assert_eq!(started_ms(&printed(1, 1_900)), 0);
}

#[test]
fn a_duration_that_does_not_cover_the_span_leaves_the_start_alone() {
    assert_eq!(started_ms(&printed(30, 1_900)), 0);
    assert_eq!(started_ms(&printed(0, 1_900)), 0);
}

#[test]
fn a_duration_beyond_the_calendar_says_nothing_and_harms_nothing() {
    let mut seen = printed(5, i64::MAX / 1000);
    assert_eq!(started_ms(&seen), 0);
    assert_eq!(seen.to_span().duration_ms, Some(5_000));
    seen.start = None;
    assert_eq!(started_ms(&seen), 5_000);
    let mut tail = Observation::new(seen.key.clone(), "test");
    tail.add_step(Step {
        at: DateTime::from_timestamp(SECOND, 0).unwrap(),
        name: "step".into(),
        fields: Map::new(),
    });
    assert_eq!(find_slot([&tail].into_iter(), &seen), Some(0));
    tail.start = printed(0, 0).start;
    assert_eq!(find_slot([&tail].into_iter(), &seen), Some(0));
}

#[test]
fn a_narrowed_row_reads_back_to_itself() {
    for (ends_in, took_ms) in [(2, 1_900), (1, 1_900), (30, 1_900), (0, 1_900), (1, 10)] {
        let fresh = printed(ends_in, took_ms);
        let row = fresh.to_span();
        let mut again = Observation::from_span(&row).unwrap();
        assert_eq!(again.to_span(), row);
        again.merge(fresh);
        assert_eq!(again.to_span(), row);
    }
}
