//! The spans of one stream that can change still, by place.
//!
//! Those that began since the last drain stand side by side, for each part of a batch by itself, as they are
//! handed on: nearly all have ended by then, and a list of them moves as one. What stays after that, open
//! spans and failed ones whose traceback may follow, is kept in a map.

use std::collections::VecDeque;
use std::sync::Arc;

use super::place::{ByPlace, Place};
use super::spare::{Refilled, Spare};
use crate::model::{Observation, Outcome, find_slot};
use crate::store::shard;

/// Open spans kept in memory for one stream; about 1 KB each.
const MAX_OPEN: usize = 10_000;
/// Drains for which a failed span stays, so that the traceback behind it finds it.
const FAILED_STAYS: u64 = 20;
/// Failed spans that stay at most, and bytes of their texts: a traceback is not waited for while that many lines
/// pass, and those that have one are large.
const MAX_FAILED: usize = 1024;
const MAX_FAILED_BYTES: usize = 1 << 20;

/// What is handed on together: a list for each writer.
pub(super) type Parts = Vec<Vec<Observation>>;

/// Spans that can change still.
#[derive(Debug)]
pub(super) struct Spans {
    fresh: Vec<Fresh>,
    /// The last fresh span of each place.
    newest: ByPlace<Fresher>,
    kept: ByPlace<Vec<Kept>>,
    /// Places of kept spans that have changed, each once per change of state.
    changed: Vec<Place>,
    /// Places of kept spans in the order in which they were handed on first, for eviction.
    order: VecDeque<Place>,
    /// Failed spans that wait for a traceback, in the order in which they leave.
    leaving: VecDeque<Leaving>,
    /// Bytes of their texts.
    leaving_bytes: usize,
    drains: u64,
    evicted: u64,
    /// Where the spans of one place are; only here to be used again.
    found: Vec<At>,
    spare: Arc<Spare>,
}

/// Spans of one part that began since the last drain.
#[derive(Debug, Default)]
struct Fresh {
    seen: Refilled,
    /// Of each of them its place, and the one before it there.
    about: Vec<(Place, Option<Fresher>)>,
}

/// Part and number of a fresh span.
#[derive(Debug, Clone, Copy)]
struct Fresher {
    part: usize,
    number: usize,
}

/// A span that was handed on and stays.
#[derive(Debug)]
struct Kept {
    seen: Observation,
    has_changed: bool,
}

/// A failed span that stays for a while.
#[derive(Debug)]
struct Leaving {
    place: Place,
    /// The drain in which it leaves.
    until: u64,
    /// Of its texts.
    bytes: usize,
}

/// Where a span is, until the next drain.
#[derive(Debug, Clone, Copy)]
pub(super) struct At(Where);

#[derive(Debug, Clone, Copy)]
enum Where {
    Fresh(Fresher),
    Kept(Place, usize),
}

/// Whether nothing more is to come once it is handed on.
fn is_done(seen: &Observation) -> bool {
    let outcome = seen.end.as_ref().map(|end| end.outcome);
    matches!(outcome, Some(Outcome::Completed | Outcome::Timeout))
}

impl Spans {
    /// None yet, to be handed on in so many parts.
    pub(super) fn new(parts: usize, spare: Arc<Spare>) -> Self {
        Self {
            fresh: std::iter::repeat_with(Fresh::default).take(parts).collect(),
            newest: ByPlace::default(),
            kept: ByPlace::default(),
            changed: Vec::new(),
            order: VecDeque::new(),
            leaving: VecDeque::new(),
            leaving_bytes: 0,
            drains: 0,
            evicted: 0,
            found: Vec::new(),
            spare,
        }
    }

    /// Spans that changed since the last drain.
    pub(super) fn changed(&self) -> usize {
        let fresh = self.fresh.iter().map(|fresh| fresh.seen.len());
        fresh.sum::<usize>() + self.changed.len()
    }

    /// Open spans that had to leave so far.
    pub(super) fn evicted(&self) -> u64 {
        self.evicted
    }

    /// The span of this place that `seen` belongs to.
    pub(super) fn find(&mut self, place: Place, seen: &Observation) -> Option<At> {
        self.look(place);
        if self.found.is_empty() {
            return None;
        }
        let known = self.found.iter().map(|at| self.get(*at));
        find_slot(known, seen).map(|number| self.found[number])
    }

    /// The last span of this place that is of some kind.
    pub(super) fn last(
        &mut self,
        place: Place,
        is_meant: impl Fn(&Observation) -> bool,
    ) -> Option<At> {
        self.look(place);
        let found = self.found.iter().rev().copied();
        found.into_iter().find(|at| is_meant(self.get(*at)))
    }

    pub(super) fn get(&self, At(at): At) -> &Observation {
        match at {
            Where::Fresh(Fresher { part, number }) => &self.fresh[part].seen[number],
            Where::Kept(place, number) => &self.kept[&place][number].seen,
        }
    }

    /// A span, to be changed, and whether this is its first change since it was handed on.
    #[expect(clippy::expect_used, reason = "a place is good until the next drain")]
    pub(super) fn change(&mut self, At(at): At) -> (&mut Observation, bool) {
        match at {
            Where::Fresh(Fresher { part, number }) => (&mut self.fresh[part].seen[number], false),
            Where::Kept(place, number) => {
                let kept = self.kept.get_mut(&place).expect("kept");
                let kept = &mut kept[number];
                let is_first = !std::mem::replace(&mut kept.has_changed, true);
                if is_first {
                    self.changed.push(place);
                }
                (&mut kept.seen, is_first)
            }
        }
    }

    /// Takes in a span that nothing is known of yet.
    pub(super) fn add(&mut self, place: Place, seen: Observation) {
        let part = shard(&seen.key) % self.fresh.len();
        let fresh = &mut self.fresh[part];
        if !fresh.seen.has_room() {
            fresh.seen = self.spare.take();
        }
        let number = fresh.seen.len();
        let before = self.newest.insert(place, Fresher { part, number });
        fresh.seen.push(seen);
        fresh.about.push((place, before));
    }

    /// Finds the spans of a place, the oldest first.
    fn look(&mut self, place: Place) {
        self.found.clear();
        if let Some(kept) = self.kept.get(&place) {
            let kept = (0..kept.len()).map(|number| At(Where::Kept(place, number)));
            self.found.extend(kept);
        }
        let older = self.found.len();
        let mut next = self.newest.get(&place).copied();
        while let Some(fresh) = next {
            self.found.push(At(Where::Fresh(fresh)));
            next = self.fresh[fresh.part].about[fresh.number].1;
        }
        self.found[older..].reverse();
    }

    /// Hands on everything that changed.
    pub(super) fn drain(&mut self, parts: &mut Parts) {
        self.drains += 1;
        for (number, part) in parts.iter_mut().enumerate() {
            // Its places are many: their list is used again.
            let Fresh { seen, mut about } = std::mem::take(&mut self.fresh[number]);
            let mut seen = seen.into_list();
            for (seen, (place, _)) in seen.iter().zip(about.drain(..)) {
                if !is_done(seen) {
                    self.order.push_back(place);
                    self.line_up(seen, place);
                    let (seen, has_changed) = (seen.clone(), false);
                    // Room for this one alone: there is rarely another, and they are large.
                    let kept = self.kept.entry(place);
                    let kept = kept.or_insert_with(|| Vec::with_capacity(1));
                    kept.push(Kept { seen, has_changed });
                }
            }
            self.fresh[number].about = about;
            if part.is_empty() {
                std::mem::swap(part, &mut seen);
            }
            part.append(&mut seen);
            self.spare.give(seen);
        }
        self.newest.clear();
        self.drain_kept(parts);
        self.forget();
    }

    fn drain_kept(&mut self, parts: &mut Parts) {
        let mut changed = std::mem::take(&mut self.changed);
        for place in changed.drain(..) {
            let known = self.kept.remove(&place).unwrap_or_default();
            // Collected in place.
            let stay = known.into_iter().filter_map(|mut span| {
                if std::mem::take(&mut span.has_changed) {
                    let part = &mut parts[shard(&span.seen.key) % self.fresh.len()];
                    if is_done(&span.seen) {
                        part.push(span.seen);
                        return None;
                    }
                    part.push(span.seen.clone());
                    self.line_up(&span.seen, place);
                }
                Some(span)
            });
            let stay: Vec<_> = stay.collect();
            if !stay.is_empty() {
                self.kept.insert(place, stay);
            }
        }
        self.changed = changed;
    }

    /// Has a failed span leave when it is time.
    fn line_up(&mut self, seen: &Observation, place: Place) {
        if seen.end.is_none() {
            return;
        }
        let bytes = seen.long_texts();
        let until = self.drains + FAILED_STAYS;
        self.leaving_bytes += bytes;
        self.leaving.push_back(Leaving {
            place,
            until,
            bytes,
        });
    }

    fn forget(&mut self) {
        while let Some(first) = self.leaving.front() {
            let are_many = self.leaving.len() > MAX_FAILED;
            let are_large = self.leaving_bytes > MAX_FAILED_BYTES;
            if !are_many && !are_large && first.until > self.drains {
                break;
            }
            let place = first.place;
            self.leaving_bytes -= first.bytes;
            self.leaving.pop_front();
            if let Some(kept) = self.kept.get_mut(&place) {
                kept.retain(|span| span.seen.end.is_none());
                if kept.is_empty() {
                    self.kept.remove(&place);
                }
            }
        }
        while self.kept.len() > MAX_OPEN {
            let Some(place) = self.order.pop_front() else {
                break;
            };
            if self.kept.remove(&place).is_some() {
                self.evicted += 1;
            }
        }
        // Places that were left since would pile up behind one that stays open.
        if self.order.len() > 4 * MAX_OPEN {
            self.order.retain(|place| self.kept.contains_key(place));
        }
    }
}

#[cfg(test)]
mod tests;
