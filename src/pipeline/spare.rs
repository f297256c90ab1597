//! Lists of observations that are done with, for the next batch: memory that is new costs a page fault for each
//! four kilobytes, and a batch is megabytes.

use std::sync::{Mutex, PoisonError};

use crate::model::Observation;

/// Lists that are free. Who needs one takes it, and the writer gives it back once its rows are stored. What is in
/// them is forgotten by who takes, because memory is freed cheapest where it was allocated, unless they are so few
/// that their texts may be long.
#[derive(Debug, Default)]
pub(super) struct Spare(Mutex<Vec<Vec<Observation>>>);

impl Spare {
    /// Room for observations that is kept at most, about a batch.
    const MOST: usize = 10_000;
    /// Fewer are forgotten by who gives.
    const FEW: usize = 1_000;

    /// An empty list. The others are emptied as well, so that their contents stay for a batch at most.
    pub(super) fn take(&self) -> Vec<Observation> {
        let mut lists = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lists.iter_mut().for_each(Vec::clear);
        lists.pop().unwrap_or_default()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::SpanKey;

    #[test]
    fn a_list_is_used_again_and_no_more_is_kept_than_a_batch() {
        let spare = Spare::default();
        let list = Vec::with_capacity(100);
        let address = list.as_ptr();
        spare.give(list);
        spare.give(Vec::new());
        let again = spare.take();
        assert_eq!(again.as_ptr(), address);
        assert_eq!(spare.take().capacity(), 0);

        let key = SpanKey {
            log_id: "abc123de".into(),
            scope: "".into(),
        };
        let seen = Observation::new(key, "test");
        for (length, kept) in [(Spare::FEW - 1, 0), (Spare::FEW, Spare::FEW)] {
            spare.give(vec![seen.clone(); length]);
            let lists = std::mem::take(&mut *spare.0.lock().unwrap());
            assert_eq!(lists.concat().len(), kept);
        }

        (0..9).for_each(|_| spare.give(Vec::with_capacity(Spare::MOST / 2)));
        let kept = [(); 3].map(|()| spare.take().capacity());
        assert!(kept[0] > 0 && kept[1] <= Spare::MOST / 2 && kept[2] == 0);
    }
}
