//! What to look at again, and when: spans whose rows changed, spans that are not settled, history that
//! has come in.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use chrono::{DateTime, TimeDelta, Utc};

use super::slice::Slice;
use crate::model::Execution;

/// Unsettled spans are looked at again at these ages at the latest, and forgotten after the last: a
/// caller's row that comes later still is found by linking the window.
const AGES: [(TimeDelta, TimeDelta); 3] = [
    // Younger than …, every …
    (TimeDelta::minutes(1), TimeDelta::seconds(2)),
    (TimeDelta::minutes(5), TimeDelta::seconds(10)),
    (TimeDelta::minutes(30), TimeDelta::seconds(60)),
];
/// Spans that are kept in mind; the oldest are forgotten beyond it.
const MOST: usize = 50_000;
/// Stretches that are this close are looked at together: recent ones, which are looked at often, and
/// stretches of history, which are learned from.
const TOGETHER: (TimeDelta, TimeDelta) = (TimeDelta::seconds(10), TimeDelta::hours(1));
const MINUTE: TimeDelta = TimeDelta::minutes(1);
const INSTANT: TimeDelta = TimeDelta::microseconds(1);

/// A stretch of time that must be looked at again.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    to: DateTime<Utc>,
    /// When it was looked at last; the beginning of time for what was never looked at.
    looked_at: DateTime<Utc>,
}

/// What is still to be looked at. Nothing leaves it but by [`Pending::settle`], so that a look that is
/// cut short is taken again.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// Recent stretches that are not settled, by their start.
    unsettled: BTreeMap<DateTime<Utc>, Stretch>,
    /// Minutes, since 1970, in which rows of long ago have changed.
    history: BTreeSet<i64>,
    /// Executions that have no trace yet, and up to when they have been read.
    pub(super) executions: BTreeMap<i64, Execution>,
    pub(super) executions_to: Option<DateTime<Utc>>,
}

impl Pending {
    /// Enters minutes in which rows changed; says whether there are any before `recent`.
    pub(super) fn touch(&mut self, minutes: &BTreeSet<i64>, recent: DateTime<Utc>) -> bool {
        let first = recent.timestamp().div_euclid(60);
        self.history.extend(minutes.range(..first));
        for (from, to) in minutes.range(first..).copied().filter_map(minute) {
            self.look_at(from, to);
        }
        minutes.range(..first).next().is_some()
    }

    /// Enters a stretch of the recent past.
    pub(super) fn look_at(&mut self, from: DateTime<Utc>, to: DateTime<Utc>) {
        let known = self
            .unsettled
            .get(&from)
            .map_or(to, |known| known.to.max(to));
        let looked_at = DateTime::<Utc>::MIN_UTC;
        let stretch = Stretch {
            to: known,
            looked_at,
        };
        self.unsettled.insert(from, stretch);
    }

    /// Enters what came of a look.
    pub(super) fn settle(&mut self, slice: &Slice) {
        let minutes = |at: DateTime<Utc>| at.timestamp().div_euclid(60);
        let done: Vec<_> = self
            .history
            .range(minutes(slice.from)..minutes(slice.reached))
            .copied()
            .collect();
        for minute in done {
            self.history.remove(&minute);
        }
        let looked_at = self.unsettled.range(slice.from..slice.reached);
        let looked_at: Vec<_> = looked_at
            .map(|(from, stretch)| (*from, stretch.to))
            .collect();
        for (from, to) in looked_at {
            self.unsettled.remove(&from);
            if to > slice.reached {
                self.look_at(slice.reached, to);
            }
        }
        let now = Utc::now();
        let instants = slice
            .unsettled
            .iter()
            .map(|began| (*began, *began + INSTANT));
        let blank = minutes_of(&slice.blank, now - AGES[2].0);
        for (from, to) in instants
            .chain(blank)
            .filter(|(from, _)| now - *from < AGES[2].0)
        {
            let looked_at = now;
            let stretch = Stretch { to, looked_at };
            let known = self.unsettled.entry(from).or_insert(stretch);
            known.to = known.to.max(to);
        }
        while self.unsettled.len() > MOST {
            self.unsettled.pop_first();
        }
    }

    /// Stretches of history.
    pub(super) fn history(&self) -> Vec<(DateTime<Utc>, DateTime<Utc>)> {
        joined(self.history.iter().copied().filter_map(minute), TOGETHER.1)
    }

    /// Stretches of the recent past that are due.
    pub(super) fn due(&mut self, now: DateTime<Utc>) -> Vec<(DateTime<Utc>, DateTime<Utc>)> {
        let never = DateTime::<Utc>::MIN_UTC;
        let young = |stretch: &Stretch| now - stretch.to < AGES[2].0;
        self.unsettled
            .retain(|_, stretch| stretch.looked_at == never || young(stretch));
        let due = self.unsettled.iter().filter(|(_, stretch)| {
            let age = now - stretch.to;
            let every = AGES.iter().find(|(younger, _)| age < *younger);
            let since = now.signed_duration_since(stretch.looked_at);
            stretch.looked_at == never || every.is_some_and(|(_, every)| since >= *every)
        });
        joined(due.map(|(from, stretch)| (*from, stretch.to)), TOGETHER.0)
    }
}

/// A stretch in pieces of a minute, as far as it lies after a time.
fn minutes_of(
    stretch: &Range<DateTime<Utc>>,
    after: DateTime<Utc>,
) -> impl Iterator<Item = (DateTime<Utc>, DateTime<Utc>)> {
    let end = stretch.end;
    let first = stretch.start.max(after);
    let next = move |from: &DateTime<Utc>| Some(*from + MINUTE).filter(|next| *next < end);
    let starts = std::iter::successors(Some(first).filter(|first| *first < end), next);
    starts.map(move |from| (from, (from + MINUTE).min(end)))
}

fn minute(number: i64) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
    let from = DateTime::from_timestamp(number * 60, 0)?;
    Some((from, from + MINUTE))
}

/// Stretches, given in order of their start, that touch or nearly do become one.
fn joined(
    stretches: impl IntoIterator<Item = (DateTime<Utc>, DateTime<Utc>)>,
    together: TimeDelta,
) -> Vec<(DateTime<Utc>, DateTime<Utc>)> {
    let mut joined: Vec<(DateTime<Utc>, DateTime<Utc>)> = Vec::new();
    for (from, to) in stretches {
        match joined.last_mut() {
            Some(last) if from - last.1 <= together => last.1 = last.1.max(to),
            _ => joined.push((from, to)),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::LinkSummary;

    fn now() -> DateTime<Utc> {
        Utc::now()
    }

    fn slice(from: DateTime<Utc>, to: DateTime<Utc>, unsettled: Vec<DateTime<Utc>>) -> Slice {
        Slice {
            from,
            reached: to,
            summary: LinkSummary::default(),
            blank: from..from,
            unsettled,
            knowledge: None,
            changes: Vec::new(),
            joined: Vec::new(),
        }
    }

    #[test]
    fn an_unsettled_span_is_due_again_until_a_look_settles_it() {
        let (now, began) = (now(), now() - TimeDelta::seconds(30));
        let (from, to) = (began - MINUTE, began + MINUTE);
        let mut pending = Pending::default();
        pending.settle(&slice(from, to, vec![began]));
        assert_eq!(pending.due(now), [], "it was looked at just now");
        let later = now + TimeDelta::seconds(3);
        assert_eq!(pending.due(later), [(began, began + INSTANT)]);
        assert_eq!(pending.due(later).len(), 1, "until it was looked at");
        pending.settle(&slice(from, to, vec![]));
        assert_eq!(pending.due(later), []);
    }

    #[test]
    fn the_older_a_span_the_rarer_it_is_looked_at_and_in_the_end_no_more() {
        let now = now();
        let mut pending = Pending::default();
        let began = now - TimeDelta::minutes(10);
        pending.settle(&slice(began, now, vec![began]));
        assert_eq!(pending.due(now + TimeDelta::seconds(30)), []);
        assert_eq!(pending.due(now + TimeDelta::seconds(61)).len(), 1);
        assert_eq!(pending.due(now + TimeDelta::minutes(21)), []);
    }

    #[test]
    fn a_stretch_without_callers_is_looked_at_again_as_a_whole() {
        let now = now();
        let from = now - TimeDelta::minutes(3);
        let mut pending = Pending::default();
        let mut blank = slice(from, now, vec![]);
        blank.blank = from..now;
        pending.settle(&blank);
        let due = pending.due(now + TimeDelta::seconds(11));
        assert_eq!(due, [(from, now)]);
    }

    #[test]
    fn a_look_that_was_cut_short_is_taken_up_where_it_stopped() {
        let now = now();
        let from = now - TimeDelta::minutes(3);
        let mut pending = Pending::default();
        pending.look_at(from, now);
        assert_eq!(pending.due(now), [(from, now)]);
        pending.settle(&slice(from, from + MINUTE, vec![]));
        assert_eq!(pending.due(now), [(from + MINUTE, now)]);
    }

    #[test]
    fn rows_of_long_ago_are_history_and_left_for_later() {
        let now = now();
        let minute = now.timestamp().div_euclid(60);
        let mut pending = Pending::default();
        assert!(!pending.touch(&BTreeSet::from([minute]), now - MINUTE * 15));
        assert!(pending.touch(
            &BTreeSet::from([minute - 99, minute - 98]),
            now - MINUTE * 15
        ));
        assert_eq!(pending.due(now).len(), 1);
        let history = pending.history();
        assert_eq!(history.len(), 1);
        assert_eq!(history[0].1 - history[0].0, MINUTE * 2);
        let (from, to) = history[0];
        pending.settle(&slice(from, to, vec![]));
        assert_eq!(pending.history(), []);
    }
}
