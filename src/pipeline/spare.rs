//! Lists of observations that are done with, for the next batch: memory that is new costs a page fault for each
//! four kilobytes, and a batch is megabytes.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

use crate::model::Observation;

/// Lists that are free. Who needs one takes it, and the writer gives it back once its rows are stored. What is in
/// them is forgotten by who takes ([`Refilled`]), because memory is freed cheapest where it was allocated, unless
/// they are so few that their texts may be long.
#[derive(Debug, Default)]
pub(super) struct Spare(Mutex<Vec<Vec<Observation>>>);

impl Spare {
    /// Room for observations that is kept at most, about a batch.
    const MOST: usize = 10_000;
    /// Fewer are forgotten by who gives.
    const FEW: usize = 1_000;

    /// A list to be filled.
    pub(super) fn take(&self) -> Refilled {
        let mut lists = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let list = lists.pop().unwrap_or_default();
        Refilled { list, filled: 0 }
    }

    /// Takes a list back.
    pub(super) fn give(&self, mut list: Vec<Observation>) {
        if list.capacity() == 0 {
            return;
        }
        if list.len() < Self::FEW {
            list.clear();
        }
        let mut lists = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = lists.iter().map(Vec::capacity).sum::<usize>();
        if room + list.capacity() <= Self::MOST {
            lists.push(list);
        }
    }
}

/// A list that is filled over what stands in it and is done with. Each of that is forgotten when its place is
/// needed, so that both, and the memory of its texts, come into the processor's caches once.
#[derive(Debug, Default)]
pub(super) struct Refilled {
    list: Vec<Observation>,
    filled: usize,
}

impl Refilled {
    /// Whether there is room in it that was used before.
    pub(super) fn has_room(&self) -> bool {
        self.list.capacity() > 0
    }

    /// Appends one.
    pub(super) fn push(&mut self, seen: Observation) {
        match self.list.get_mut(self.filled) {
            Some(stale) => *stale = seen,
            None => self.list.push(seen),
        }
        self.filled += 1;
    }

    /// The list, as far as it is filled.
    pub(super) fn into_list(mut self) -> Vec<Observation> {
        self.list.truncate(self.filled);
        self.list
    }
}

impl Deref for Refilled {
    type Target = [Observation];

    fn deref(&self) -> &[Observation] {
        &self.list[..self.filled]
    }
}

impl DerefMut for Refilled {
    fn deref_mut(&mut self) -> &mut [Observation] {
        &mut self.list[..self.filled]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::SpanKey;

    fn observation() -> Observation {
        let key = SpanKey {
            log_id: "abc123de".into(),
            scope: "".into(),
        };
        Observation::new(key, "test")
    }

    #[test]
    fn a_list_is_used_again_and_no_more_is_kept_than_a_batch() {
        let spare = Spare::default();
        let list = Vec::with_capacity(100);
        let address = list.as_ptr();
        spare.give(list);
        spare.give(Vec::new());
        let again = spare.take().into_list();
        assert_eq!(again.as_ptr(), address);
        assert!(!spare.take().has_room());

        for (length, kept) in [(Spare::FEW - 1, 0), (Spare::FEW, Spare::FEW)] {
            spare.give(vec![observation(); length]);
            let lists = std::mem::take(&mut *spare.0.lock().unwrap());
            assert_eq!(lists.concat().len(), kept);
        }

        (0..9).for_each(|_| spare.give(Vec::with_capacity(Spare::MOST / 2)));
        let kept = [(); 3].map(|()| spare.take().into_list().capacity());
        assert!(kept[0] > 0 && kept[1] <= Spare::MOST / 2 && kept[2] == 0);
    }

    #[test]
    fn what_is_done_with_is_never_among_what_is_filled_in() {
        let spare = Spare::default();
        for length in [3, 1, 5] {
            spare.give(vec![observation(); Spare::FEW + 2]);
            let mut list = spare.take();
            let mut fresh = Vec::new();
            for number in 0..Spare::FEW + length {
                let mut seen = observation();
                seen.occurrence = Some(number as u32);
                list.push(seen.clone());
                fresh.push(seen);
                assert_eq!(list.last(), fresh.last());
            }
            assert_eq!(*list, *fresh);
            list[0].deadline_passed = true;
            fresh[0].deadline_passed = true;
            assert_eq!(list.into_list(), fresh);
        }
    }
}
