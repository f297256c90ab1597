//! Counters of the pipeline, cheap enough to update per chunk and per batch.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use beacon_parsers::Counts;
use chrono::{DateTime, Utc};
use serde::Serialize;

use super::ledger::Ledger;
use super::pulse::{Pulse, Pulses};
use crate::source::Sources;
use crate::store::{TableSize, Written};

/// What waits in the spool for one writer: bytes, and since when.
type Waiting = (u64, Option<SystemTime>);

/// Counters since the start of the process. Relaxed everywhere: each number stands for itself.
#[derive(Debug, Default)]
pub struct Stats {
    /// What is known of each source.
    pub sources: Arc<Sources>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) pulses: Pulses,
    /// Why the last write failed; none when it did not.
    store_trouble: Mutex<Option<String>>,
    spool: Mutex<BTreeMap<usize, Waiting>>,
    pub(super) spool_limit: AtomicU64,
    pub(super) lines: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) trace_lines: AtomicU64,
    pub(super) malformed: AtomicU64,
    pub(super) quoted: AtomicU64,
    pub(super) cut: AtomicU64,
    pub(super) glued: AtomicU64,
    pub(super) rejoined: AtomicU64,
    pub(super) invalid_utf8: AtomicU64,
    pub(super) unmatched: AtomicU64,
    pub(super) evicted: AtomicU64,
    pub(super) inserted: AtomicU64,
    pub(super) updated: AtomicU64,
    pub(super) rejected: AtomicU64,
    pub(super) batches: AtomicU64,
    pub(super) retries: AtomicU64,
    /// Rows deleted because of their age.
    pub(super) deleted: AtomicU64,
    sizes: Mutex<Vec<TableSize>>,
    /// Minutes in which rows began that changed and that nobody has asked for yet.
    touched: Mutex<BTreeSet<i64>>,
    /// By how much this process changed the number of spans in each state.
    pub(super) statuses: [AtomicI64; 4],
}

/// The counters at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct StatsSnapshot {
    /// Lines read.
    pub lines: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Lines that are trace lines.
    pub trace_lines: u64,
    /// Lines that began like a trace line and could not be read.
    pub malformed: u64,
    /// Lines that only quote a trace line.
    pub quoted: u64,
    /// Lines cut at the length limit.
    pub cut: u64,
    /// Lines that stood glued to the one before.
    pub glued: u64,
    /// Lines put together again from two halves.
    pub rejoined: u64,
    /// Lines with bytes that are not UTF-8.
    pub invalid_utf8: u64,
    /// Ends and steps whose start was not in memory when they came.
    pub unmatched: u64,
    /// Open spans that were dropped from memory to stay within its bound (they are stored).
    pub evicted: u64,
    /// Rows inserted.
    pub inserted: u64,
    /// Rows changed.
    pub updated: u64,
    /// Rows that the database refused, set aside.
    pub rejected: u64,
    /// Batches committed.
    pub batches: u64,
    /// Writes that had to be tried again.
    pub retries: u64,
    /// Lines or spans known to be lost.
    pub lost: u64,
    /// By how much the number of open spans changed.
    pub open: i64,
    /// By how much the number of timed-out spans changed.
    pub timeout: i64,
    /// By how much the number of completed spans changed.
    pub completed: i64,
    /// By how much the number of failed spans changed.
    pub failed: i64,
}

impl Stats {
    /// The counters now.
    pub fn snapshot(&self) -> StatsSnapshot {
        StatsSnapshot {
            lines: self.lines.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            trace_lines: self.trace_lines.load(Relaxed),
            malformed: self.malformed.load(Relaxed),
            quoted: self.quoted.load(Relaxed),
            cut: self.cut.load(Relaxed),
            glued: self.glued.load(Relaxed),
            rejoined: self.rejoined.load(Relaxed),
            invalid_utf8: self.invalid_utf8.load(Relaxed),
            unmatched: self.unmatched.load(Relaxed),
            evicted: self.evicted.load(Relaxed),
            inserted: self.inserted.load(Relaxed),
            updated: self.updated.load(Relaxed),
            rejected: self.rejected.load(Relaxed),
            batches: self.batches.load(Relaxed),
            retries: self.retries.load(Relaxed),
            lost: self
                .sources
                .all()
                .iter()
                .map(|source| source.lost.load(Relaxed))
                .sum(),
            open: self.statuses[0].load(Relaxed),
            timeout: self.statuses[1].load(Relaxed),
            completed: self.statuses[2].load(Relaxed),
            failed: self.statuses[3].load(Relaxed),
        }
    }

    /// How long the oldest input that is not committed has been waiting.
    pub fn lag(&self) -> Duration {
        self.ledger.lag()
    }

    /// The same for each source that has something waiting.
    pub fn lags(&self) -> BTreeMap<Arc<str>, Duration> {
        self.ledger.lags()
    }

    /// The pulse of a new stage.
    pub fn pulse(&self, name: &str) -> Arc<Pulse> {
        self.pulses.of(name)
    }

    /// Why the last write failed; none when it did not.
    pub fn store_trouble(&self) -> Option<String> {
        let trouble = self.store_trouble.lock();
        trouble.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Bytes that wait in the spool, and since when the oldest of them do.
    pub fn spool(&self) -> (u64, Option<SystemTime>) {
        let lanes = self.spool.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = lanes.values().map(|(bytes, _)| bytes).sum();
        (bytes, lanes.values().filter_map(|(_, since)| *since).min())
    }

    /// Bytes that may wait in the spool.
    pub fn spool_limit(&self) -> u64 {
        self.spool_limit.load(Relaxed)
    }

    /// How large the tables were when they were measured last.
    pub fn sizes(&self) -> Vec<TableSize> {
        let sizes = self.sizes.lock().unwrap_or_else(PoisonError::into_inner);
        sizes.clone()
    }

    /// Enters how large the tables are.
    pub(super) fn show_sizes(&self, sizes: Vec<TableSize>) {
        let mut known = self.sizes.lock().unwrap_or_else(PoisonError::into_inner);
        *known = sizes;
    }

    /// Enters whether the last write failed, and why.
    pub(super) fn store_answered(&self, trouble: Option<String>) {
        self.sources.set_store_is_away(trouble.is_some());
        let mut known = self
            .store_trouble
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *known = trouble;
    }

    /// Enters what waits in the spool for a writer.
    pub(super) fn show_spool(&self, writer: usize, bytes: u64, since: Option<SystemTime>) {
        let mut lanes = self.spool.lock().unwrap_or_else(PoisonError::into_inner);
        lanes.insert(writer, (bytes, since));
    }

    /// Adds what a decoder counted since `before`.
    pub(super) fn add_counts(&self, before: &Counts, now: &Counts) {
        let pairs = [
            (&self.lines, before.lines, now.lines),
            (&self.bytes, before.bytes, now.bytes),
            (&self.trace_lines, before.trace_lines, now.trace_lines),
            (&self.malformed, before.rejected, now.rejected),
            (&self.quoted, before.quoted, now.quoted),
            (&self.cut, before.cut_lines, now.cut_lines),
            (&self.glued, before.glued, now.glued),
            (&self.rejoined, before.rejoined, now.rejoined),
            (&self.invalid_utf8, before.invalid_utf8, now.invalid_utf8),
        ];
        for (counter, before, now) in pairs {
            counter.fetch_add(now - before, Relaxed);
        }
    }

    /// Adds what a pairer counted.
    pub(super) fn add_pairing(&self, unmatched: u64, evicted: u64) {
        self.unmatched.fetch_add(unmatched, Relaxed);
        self.evicted.fetch_add(evicted, Relaxed);
    }

    /// The minutes, since 1970, in which the rows began that changed since this was asked last.
    pub(super) fn take_touched(&self) -> BTreeSet<i64> {
        let mut touched = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut touched)
    }

    /// Has the last hour linked again.
    pub fn touch_recent(&self, now: DateTime<Utc>) {
        let minute = now.timestamp().div_euclid(60);
        self.touch(minute - 60..=minute);
    }

    /// Enters minutes in which rows began that have changed.
    pub(super) fn touch(&self, minutes: impl IntoIterator<Item = i64>) {
        let mut touched = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
        touched.extend(minutes);
    }

    /// Adds what a write did.
    pub(super) fn add_written(&self, written: &Written) {
        self.inserted.fetch_add(written.inserted, Relaxed);
        self.updated.fetch_add(written.updated, Relaxed);
        self.rejected.fetch_add(written.rejected, Relaxed);
        self.batches.fetch_add(1, Relaxed);
        self.touch(written.began.iter().copied());
        for (counter, change) in self.statuses.iter().zip(written.statuses) {
            counter.fetch_add(change, Relaxed);
        }
    }
}

impl StatsSnapshot {
    /// The summary that ends a run.
    pub fn summary(&self, took: Duration) -> String {
        let stats = self;
        let rate = stats.lines as f64 / took.as_secs_f64().max(0.001);
        let mut text = format!(
            "read     {} lines, {} of them trace lines, in {:.1} s ({:.0} lines/s)\n",
            stats.lines,
            stats.trace_lines,
            took.as_secs_f64(),
            rate
        );
        // A run can end what an earlier one left open: a number of spans in some state falls then.
        let spans: Vec<String> = [
            ("completed", "completed", stats.completed),
            ("failed", "failed", stats.failed),
            ("timed out", "timed out", stats.timeout),
            ("still open", "open", stats.open),
        ]
        .into_iter()
        .filter(|(.., change)| *change != 0)
        .map(|(more, fewer, change)| match change {
            ..0 => format!("{} no longer {fewer}", change.unsigned_abs()),
            _ => format!("{change} {more}"),
        })
        .collect();
        let changes = if spans.is_empty() {
            "nothing new".to_owned()
        } else {
            spans.join(", ")
        };
        // Writing to a String can't fail.
        let _ = writeln!(
            text,
            "stored   {} new spans, {} changed: {changes}",
            stats.inserted, stats.updated
        );
        let oddities: Vec<String> = [
            ("without a start line", stats.unmatched),
            ("malformed", stats.malformed),
            ("only quoting a trace line", stats.quoted),
            ("cut at the length limit", stats.cut),
            ("unglued", stats.glued),
            ("rejoined", stats.rejoined),
            ("not UTF-8", stats.invalid_utf8),
            ("refused by the database", stats.rejected),
            ("known to be lost", stats.lost),
        ]
        .iter()
        .filter(|(_, count)| *count != 0)
        .map(|(word, count)| format!("{count} {word}"))
        .collect();
        if !oddities.is_empty() {
            let _ = writeln!(text, "of note  {}", oddities.join(", "));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_says_what_an_earlier_run_left_open_and_this_one_ended() {
        let stats = StatsSnapshot {
            updated: 13,
            completed: 1,
            timeout: 12,
            open: -13,
            ..StatsSnapshot::default()
        };
        let summary = stats.summary(Duration::from_secs(1));
        let stored =
            "stored   0 new spans, 13 changed: 1 completed, 12 timed out, 13 no longer open\n";
        assert!(summary.contains(stored), "{summary}");
    }
}
