//! What a stretch of history is like before it is read: where nobody can have called, and where so much
//! happened at once that nothing could be told apart.
//!
//! Invariant: what is left out is empty or crowded in every second, by counts that one statement takes
//! from an index.

use chrono::{DateTime, TimeDelta, Utc};

use super::Linker;
use crate::correlate::Surroundings;
use crate::store::{Second, StoreError};

/// Spans of others that began within reach of one instant, and printed ones, beyond which nothing is linked
/// there: each would be weighed against thousands that began in the same seconds.
const CROWD: u64 = 10_000;
/// Time that one look takes in: first, least and most; it grows while little happens.
const LOOK: (TimeDelta, TimeDelta, TimeDelta) = (
    TimeDelta::minutes(10),
    TimeDelta::minutes(1),
    TimeDelta::hours(6),
);
/// Spans in a look below which the next takes in more, and above which less.
const SPANS: (u64, u64) = (20_000, 400_000);

/// What can be linked in a stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ground {
    /// Nothing: nobody of whom a row is there can have called.
    Empty,
    /// Whatever was printed, so many spans.
    Open(u64),
    /// Nothing, of so many printed spans: too much happened at once.
    Crowded(u64),
}

/// A stretch of time of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) from: DateTime<Utc>,
    pub(super) to: DateTime<Utc>,
    pub(super) ground: Ground,
}

impl Linker {
    /// Divides `[from, to)` by what can be linked there.
    pub(super) async fn survey(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Vec<Stretch>, StoreError> {
        let mut all: Vec<Stretch> = Vec::new();
        let (mut at, mut look) = (from, LOOK.0);
        // Callers that had begun before, so that no second is counted twice.
        let mut seconds: Vec<Second> = Vec::new();
        let mut counted_to = Surroundings::of(from, to).since;
        while at < to {
            let end = at.checked_add_signed(look).map_or(to, |end| end.min(to));
            let around = Surroundings::of(at, end);
            let counted = match self.store.seconds(counted_to, around.to).await {
                Ok(counted) => counted,
                // More in it than can be counted in the time of one answer, perhaps.
                Err(_) if look > LOOK.1 => {
                    look = LOOK.1;
                    continue;
                }
                Err(error) => return Err(error),
            };
            let spans: u64 = counted.iter().map(|second| second.spans).sum();
            append(&mut seconds, counted);
            counted_to = around.to.max(counted_to);
            let first = around.since.timestamp();
            seconds.retain(|second| second.at >= first);
            for stretch in divide(&seconds, at, end) {
                join(&mut all, stretch);
            }
            at = end;
            look = match spans {
                few if few < SPANS.0 => (look * 2).min(LOOK.2),
                many if many > SPANS.1 => (look / 2).max(LOOK.1),
                _ => look,
            };
        }
        Ok(all)
    }
}

/// Adds counts behind others; the second in between was counted in two parts.
fn append(seconds: &mut Vec<Second>, more: Vec<Second>) {
    let mut more = more.into_iter().peekable();
    if let (Some(last), Some(first)) = (seconds.last_mut(), more.peek().copied())
        && last.at == first.at
    {
        last.spans += first.spans;
        last.of_others += first.of_others;
        more.next();
    }
    seconds.extend(more);
}

/// The stretches of `[from, to)`, by the seconds in and around it.
fn divide(seconds: &[Second], from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<Stretch> {
    if seconds.is_empty() {
        let ground = Ground::Empty;
        return vec![Stretch { from, to, ground }];
    }
    let mut stretches = Vec::new();
    let (mut near, mut running, mut next) = (0, 0, 0);
    let (mut others, mut printed, mut callers) = (0, 0, 0);
    let mut at = from;
    while at < to {
        let end = (at - TimeDelta::nanoseconds(i64::from(at.timestamp_subsec_nanos()))
            + TimeDelta::seconds(1))
        .min(to);
        let around = Surroundings::of(at, end);
        let (first, last) = (around.from.timestamp(), around.to.timestamp());
        let oldest = around.since.timestamp();
        while let Some(second) = seconds.get(next).filter(|second| second.at <= last) {
            others += second.of_others;
            printed += second.spans - second.of_others.min(second.spans);
            callers += second.of_others;
            next += 1;
        }
        while let Some(second) = seconds.get(near).filter(|second| second.at < first) {
            others -= second.of_others;
            printed -= second.spans - second.of_others.min(second.spans);
            near += 1;
        }
        while let Some(second) = seconds.get(running).filter(|second| second.at < oldest) {
            callers -= second.of_others;
            running += 1;
        }
        let here = seconds.binary_search_by_key(&at.timestamp(), |second| second.at);
        let here = here.map_or(0, |found| seconds[found].spans - seconds[found].of_others);
        let ground = match (callers, others.max(printed)) {
            (0, _) => Ground::Empty,
            (_, crowd) if crowd > CROWD => Ground::Crowded(here),
            _ => Ground::Open(here),
        };
        let stretch = Stretch {
            from: at,
            to: end,
            ground,
        };
        join(&mut stretches, stretch);
        at = end;
    }
    stretches
}

/// Adds a stretch, as part of the one before it where it is of the same kind.
fn join(stretches: &mut Vec<Stretch>, next: Stretch) {
    if let Some(last) = stretches.last_mut() {
        let ground = match (last.ground, next.ground) {
            (Ground::Crowded(a), Ground::Crowded(b)) => Some(Ground::Crowded(a + b)),
            (Ground::Open(a), Ground::Open(b)) => Some(Ground::Open(a + b)),
            (a, b) => (a == b).then_some(a),
        };
        if let Some(ground) = ground {
            (last.to, last.ground) = (next.to, ground);
            return;
        }
    }
    stretches.push(next);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_000_000 + second, 0).unwrap()
    }

    fn second(number: i64, spans: u64, of_others: u64) -> Second {
        Second {
            at: 1_000_000 + number,
            spans,
            of_others,
        }
    }

    fn kinds(seconds: &[Second], from: i64, to: i64) -> Vec<(i64, i64, Ground)> {
        let plain = |time: DateTime<Utc>| time.timestamp() - 1_000_000;
        divide(seconds, at(from), at(to))
            .into_iter()
            .map(|stretch| (plain(stretch.from), plain(stretch.to), stretch.ground))
            .collect()
    }

    #[test]
    fn where_nobody_called_for_a_quarter_of_an_hour_there_is_nothing_to_link() {
        let seconds = [second(0, 5, 0), second(2_000, 1, 1), second(5_000, 7, 0)];
        assert_eq!(
            kinds(&seconds, 0, 6_000),
            [
                // Clocks may differ by twelve seconds, calls wait for a quarter of an hour.
                (0, 1_987, Ground::Empty),
                (1_987, 2_913, Ground::Open(0)),
                (2_913, 6_000, Ground::Empty)
            ]
        );
    }

    #[test]
    fn a_crowd_is_passed_over_as_far_as_it_reaches_and_counted() {
        let mut seconds: Vec<_> = (0..400).map(|number| second(number, 11, 1)).collect();
        for crowd in &mut seconds[200..220] {
            crowd.spans = 1_001;
        }
        let kinds = kinds(&seconds, 0, 400);
        let [
            (0, from, Ground::Open(before)),
            (_, to, Ground::Crowded(printed)),
            (_, 400, Ground::Open(after)),
        ] = kinds[..]
        else {
            panic!("{kinds:?}");
        };
        assert!(
            (190..200).contains(&from) && (220..230).contains(&to),
            "{kinds:?}"
        );
        assert_eq!(printed, 20 * 1_000 + (to - from - 20) as u64 * 10);
        assert_eq!(before + after, (400 - (to - from)) as u64 * 10);
    }

    #[test]
    fn a_second_that_two_looks_count_in_parts_is_one() {
        let mut seconds = vec![second(1, 2, 1)];
        append(&mut seconds, vec![second(1, 3, 1), second(2, 1, 0)]);
        assert_eq!(seconds, [second(1, 5, 2), second(2, 1, 0)]);
    }
}
