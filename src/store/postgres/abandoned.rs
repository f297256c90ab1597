//! Transactions of ours that we gave up and that the server may not know to be over.
//!
//! When a link falls silent the server goes on with what it was told last: it may wait for the rest of a
//! batch for ever, holding the locks that the next try needs, and behind a pooler not even the end of
//! the connection reaches it. So each transaction takes a lock of its own by which it can be found, and
//! the next one ends those that were given up before it asks for their locks.

use std::sync::{Mutex, PoisonError};

use uuid::Uuid;

use super::fault::Fault;

/// First key of the locks by which attempts are found, "bead" in ASCII.
const MARKS: u32 = 0x6265_6164;
/// Marks kept; a server that was away for longer has given up the older ones by itself.
const MAX_KEPT: usize = 64;

/// What was given up and not looked after yet.
#[derive(Debug, Default)]
pub(super) struct Abandoned {
    marks: Mutex<Vec<u32>>,
}

/// One attempt at a transaction.
#[derive(Debug)]
pub(super) struct Attempt {
    mark: u32,
    /// Marks of earlier ones that may still be under way.
    earlier: Vec<u32>,
}

impl Abandoned {
    /// A new attempt, which looks after all that were given up so far.
    pub(super) fn next_attempt(&self) -> Attempt {
        let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        Attempt {
            mark: (Uuid::new_v4().as_u128() >> 96) as u32,
            earlier: std::mem::take(&mut *marks),
        }
    }

    /// Enters how an attempt ended.
    pub(super) fn ended(&self, attempt: Attempt, fault: Option<&Fault>) {
        if !fault.is_some_and(Fault::leaves_server_alone) {
            return;
        }
        let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        marks.extend(attempt.earlier);
        marks.push(attempt.mark);
        let surplus = marks.len().saturating_sub(MAX_KEPT);
        marks.drain(..surplus);
    }
}

impl Attempt {
    /// What the transaction says first: ends the earlier ones and marks itself.
    pub(super) fn statements(&self) -> String {
        let mut sql = String::new();
        if !self.earlier.is_empty() {
            let earlier: Vec<_> = self.earlier.iter().map(u32::to_string).collect();
            sql = format!(
                "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' \
                 and classid = {MARKS} and objid in ({}) and pid <> pg_backend_pid(); ",
                earlier.join(", ")
            );
        }
        let mark = self.mark.cast_signed();
        sql.push_str(&format!("select pg_advisory_xact_lock({MARKS}, {mark})"));
        sql
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_attempt_ends_those_that_were_given_up_and_only_those() {
        let abandoned = Abandoned::default();
        let done = abandoned.next_attempt();
        abandoned.ended(done, None);
        let given_up = abandoned.next_attempt();
        assert!(!given_up.statements().contains("terminate"));
        let mark = given_up.mark.to_string();
        abandoned.ended(given_up, Some(&Fault::Silence));
        let next = abandoned.next_attempt();
        assert!(next.statements().contains(&format!("in ({mark})")));
        abandoned.ended(next, None);
        assert!(abandoned.next_attempt().earlier.is_empty());
    }
}
