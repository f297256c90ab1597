//! Joins the lines of one stream to spans: start, steps, end and traceback of one log id in one
//! container (or function call).
//!
//! Pure and synchronous. Memory is bounded: a span leaves it once its end is handed on, and beyond
//! [`MAX_OPEN`] the oldest open ones leave early. That costs no correctness, because the store joins
//! a late line with the stored row by the same rules ([`crate::model::reconcile`]).

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use beacon_parsers::{Body, Envelope, Phase, Record, TraceLine, Traceback};
use chrono::{DateTime, Utc};
use smol_str::SmolStr;

use super::line::{Reader, precision, scope_of};
use super::place::{ByPlace, Place, Places};
use crate::model::{Moment, Observation, Outcome, Precision, find_slot};
use crate::untrusted::{MAX_TEXT, MAX_TRACEBACK, clean};

/// Open spans kept in memory for one stream; about 1 KB each.
const MAX_OPEN: usize = 10_000;
/// Drains for which a failed span stays, so that the traceback behind it finds it.
const FAILED_STAYS: u64 = 20;
/// Failed spans that stay at most: a traceback is not waited for while that many lines pass.
const MAX_FAILED: usize = 1024;
/// Log ids without times whose running number is remembered, twice.
const MAX_TIMELESS: usize = 20_000;
/// Fixed cost of a row in the estimate of a batch's size, beside its text.
const ROW_OVERHEAD: usize = 300;

/// Pairing state of one stream.
#[derive(Debug)]
pub struct Pairer {
    reader: Reader,
    places: Places,
    spans: ByPlace<Vec<Tracked>>,
    /// Emptied, for the next spans: as many as the last drain handed on.
    spare: Vec<Vec<Tracked>>,
    /// Places with something to hand on, each once per change of state.
    dirty: Vec<Place>,
    dirty_bytes: usize,
    /// Places whose spans were still open when they were handed on, in that order, for eviction.
    order: VecDeque<Place>,
    /// Failed spans that were handed on and wait for a traceback: (drain in which they leave, place).
    leaving: VecDeque<(u64, Place)>,
    /// The last failed span of each container and function call.
    last_failed: HashMap<Origin, Place>,
    timeless: Timeless,
    /// The last time that was made a date, in microseconds since 1970.
    last_time: (i64, Option<DateTime<Utc>>),
    drains: u64,
    unmatched: u64,
    evicted: u64,
}

/// Container and function call: a container goes on to other calls while a traceback is printed.
type Origin = (SmolStr, Option<SmolStr>);

#[derive(Debug)]
struct Tracked {
    seen: Observation,
    dirty: bool,
    /// Whether it stayed when it was handed on.
    stayed: bool,
}

impl Tracked {
    fn outcome(&self) -> Option<Outcome> {
        self.seen.end.as_ref().map(|end| end.outcome)
    }

    /// Whether nothing more is to come once it is handed on.
    fn is_done(&self) -> bool {
        matches!(self.outcome(), Some(Outcome::Completed | Outcome::Timeout))
    }
}

impl Pairer {
    /// A pairer for a stream of this source.
    pub fn new(source: Arc<str>) -> Self {
        Self {
            reader: Reader::new(source.into()),
            places: Places::new(),
            spans: ByPlace::default(),
            spare: Vec::new(),
            dirty: Vec::new(),
            dirty_bytes: 0,
            order: VecDeque::new(),
            leaving: VecDeque::new(),
            last_failed: HashMap::new(),
            timeless: Timeless::default(),
            last_time: (0, Some(DateTime::UNIX_EPOCH)),
            drains: 0,
            unmatched: 0,
            evicted: 0,
        }
    }

    /// Takes in a record that was read at `arrival`.
    pub fn observe(&mut self, record: &Record<'_>, arrival: DateTime<Utc>) {
        match &record.body {
            Body::Trace(line) => self.observe_line(&record.envelope, line, arrival),
            Body::Traceback(traceback) => self.attach(&record.envelope, traceback),
        }
    }

    /// Spans that changed since the last drain.
    pub fn dirty_rows(&self) -> usize {
        self.dirty.len()
    }

    /// Estimated size of what changed since the last drain, in bytes.
    pub fn dirty_bytes(&self) -> usize {
        self.dirty_bytes
    }

    /// Ends and steps so far whose start was not in memory.
    pub fn unmatched(&self) -> u64 {
        self.unmatched
    }

    /// Open spans that had to leave memory so far.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Hands on everything that changed.
    pub fn drain(&mut self, mut emit: impl FnMut(Observation)) {
        self.drains += 1;
        self.dirty_bytes = 0;
        let earlier = self.spare.len();
        let mut dirty = std::mem::take(&mut self.dirty);
        for place in dirty.drain(..) {
            let Entry::Occupied(mut spans) = self.spans.entry(place) else {
                continue;
            };
            let tracked = spans.get_mut();
            if tracked.iter().all(|span| span.dirty && span.is_done()) {
                tracked.drain(..).for_each(|span| emit(span.seen));
                self.spare.push(spans.remove());
                continue;
            }
            let (mut stays, mut failed) = (false, false);
            for mut span in std::mem::take(tracked) {
                if !std::mem::take(&mut span.dirty) {
                    tracked.push(span);
                } else if span.is_done() {
                    emit(span.seen);
                } else {
                    emit(span.seen.clone());
                    failed |= span.outcome().is_some();
                    stays |= !std::mem::replace(&mut span.stayed, true);
                    tracked.push(span);
                }
            }
            if stays {
                self.order.push_back(place);
            }
            if failed {
                self.leaving.push_back((self.drains + FAILED_STAYS, place));
            }
        }
        self.dirty = dirty;
        let handed_on = self.spare.len() - earlier;
        self.spare.truncate(handed_on);
        self.forget();
    }

    fn forget(&mut self) {
        while let Some((drain, place)) = self.leaving.pop_front() {
            if drain > self.drains && self.leaving.len() < MAX_FAILED {
                self.leaving.push_front((drain, place));
                break;
            }
            if let Some(tracked) = self.spans.get_mut(&place) {
                tracked.retain(|span| span.seen.end.is_none());
                if tracked.is_empty() {
                    self.spans.remove(&place);
                }
            }
        }
        while self.spans.len() > MAX_OPEN {
            let Some(place) = self.order.pop_front() else {
                break;
            };
            if self.spans.remove(&place).is_some() {
                self.evicted += 1;
            }
        }
        // Places that were left since would pile up behind one that stays open.
        if self.order.len() > 4 * MAX_OPEN {
            self.order.retain(|place| self.spans.contains_key(place));
        }
    }

    fn observe_line(
        &mut self,
        envelope: &Envelope<'_>,
        line: &TraceLine<'_>,
        arrival: DateTime<Utc>,
    ) {
        let place = self.places.of(&line.id, scope_of(envelope));
        self.dirty_bytes += line.text.len();
        let started = matches!(line.phase, Phase::Started { .. });
        let ended = !started && !matches!(line.phase, Phase::Step { .. });
        let (moment, occurrence) = match envelope.timestamp {
            Some(time) => {
                let at = self.time(time.unix_micros).unwrap_or(arrival);
                let precision = precision(time.precision);
                (Moment { at, precision }, None)
            }
            None => {
                let number = self.timeless.number(place, started, ended);
                let precision = Precision::Arrival;
                let at = arrival;
                (Moment { at, precision }, Some(number))
            }
        };
        let mut seen = self.reader.observation(line, moment);
        seen.occurrence = occurrence;
        self.resolve_parent(&mut seen, envelope, line);
        let outcome = seen.end.as_ref().map(|end| end.outcome);
        if outcome == Some(Outcome::Failed) {
            if self.last_failed.len() >= 1024 {
                self.last_failed.clear();
            }
            self.last_failed.insert(origin_of(envelope), place);
        }
        self.take_in(place, seen, envelope);
    }

    /// A time as a date; lines come in runs of the same second.
    fn time(&mut self, unix_micros: i64) -> Option<DateTime<Utc>> {
        if self.last_time.0 != unix_micros {
            self.last_time = (unix_micros, DateTime::from_timestamp_micros(unix_micros));
        }
        self.last_time.1
    }

    /// A span printed inside another one names it by its log id; both are of one container.
    fn resolve_parent(
        &self,
        seen: &mut Observation,
        envelope: &Envelope<'_>,
        line: &TraceLine<'_>,
    ) {
        let Some(parent) = line.fields.text("parent") else {
            return;
        };
        if seen.context.parent_span_id.is_some() {
            return;
        }
        let place = (self.places).of(&parent.to_lowercase(), scope_of(envelope));
        let open = self.spans.get(&place).into_iter().flatten();
        let Some(parent) = open
            .map(|span| &span.seen)
            .rfind(|span| span.start.is_some())
        else {
            return;
        };
        let span_id = parent.span_id();
        seen.context.parent_span_id = Some(span_id);
        seen.context
            .trace_id
            .get_or_insert(parent.context.trace_id.unwrap_or(span_id));
        seen.fields.remove("parent");
    }

    fn take_in(&mut self, place: Place, mut seen: Observation, envelope: &Envelope<'_>) {
        let spare = || self.spare.pop().unwrap_or_else(|| Vec::with_capacity(1));
        let tracked = self.spans.entry(place).or_insert_with(spare);
        let at = find_slot(tracked.iter().map(|span| &span.seen), &seen);
        let span = if let Some(at) = at {
            let span = &mut tracked[at];
            self.reader.locate(&mut seen, envelope, Some(&span.seen));
            span.seen.merge(seen);
            span
        } else {
            self.reader.locate(&mut seen, envelope, None);
            self.unmatched += u64::from(seen.start.is_none());
            tracked.push(Tracked {
                seen,
                dirty: false,
                stayed: false,
            });
            let last = tracked.len() - 1;
            &mut tracked[last]
        };
        if !std::mem::replace(&mut span.dirty, true) {
            self.dirty_bytes += ROW_OVERHEAD;
            self.dirty.push(place);
        }
    }

    fn attach(&mut self, envelope: &Envelope<'_>, traceback: &Traceback<'_>) {
        let Some(place) = self.last_failed.get(&origin_of(envelope)) else {
            return;
        };
        let failed = |span: &&mut Tracked| span.outcome() == Some(Outcome::Failed);
        let tracked = self.spans.get_mut(place).into_iter().flatten();
        let Some(span) = tracked.filter(failed).last() else {
            return;
        };
        let text = clean(&traceback.text, MAX_TRACEBACK);
        self.dirty_bytes += text.len();
        span.seen.traceback = Some(text);
        if let (Some(end), Some(error_type)) = (&mut span.seen.end, &traceback.error_type) {
            end.error_type
                .get_or_insert_with(|| clean(error_type, MAX_TEXT).into());
        }
        if !std::mem::replace(&mut span.dirty, true) {
            self.dirty.push(*place);
        }
    }
}

fn origin_of(envelope: &Envelope<'_>) -> Origin {
    let call = envelope.function_call_id.as_deref().map(SmolStr::new);
    (scope_of(envelope).into(), call)
}

/// Running numbers for spans whose lines carry no time; the older half is forgotten when full.
#[derive(Debug, Default)]
struct Timeless {
    young: ByPlace<(u32, bool)>,
    old: ByPlace<(u32, bool)>,
}

impl Timeless {
    /// Which span of its place a line belongs to: a start behind an end begins the next one.
    fn number(&mut self, place: Place, started: bool, ended: bool) -> u32 {
        let known = self.young.get(&place).or_else(|| self.old.get(&place));
        let (mut number, mut closed) = known.copied().unwrap_or((0, false));
        if started && closed {
            number += 1;
            closed = false;
        }
        if self.young.len() >= MAX_TIMELESS {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(place, (number, closed || ended));
        number
    }
}

#[cfg(test)]
mod tests {
    use beacon_parsers::Decoder;

    use super::*;
    use crate::model::Span;

    fn spans_of(log: &str) -> Vec<Span> {
        let mut decoder = Decoder::new();
        let mut pairer = Pairer::new("test".into());
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        decoder.push(log.as_bytes(), &mut |record| pairer.observe(&record, now));
        decoder.finish(&mut |record| pairer.observe(&record, now));
        let mut spans = Vec::new();
        pairer.drain(|seen| spans.push(seen.to_span()));
        spans
    }

    #[test]
    fn a_span_inside_another_one_is_its_child() {
        let spans = spans_of(
            "ta-1 🔍 TRACE[aaaaaaaa]: Modal inference started - model=m\n\
             ta-1 🔍 TRACE[bbbbbbbb]: Modal model load started - parent=aaaaaaaa\n\
             ta-1 🔍 TRACE[bbbbbbbb]: SUCCESS - duration=1.00s\n\
             ta-1 🔍 TRACE[aaaaaaaa]: SUCCESS - duration=2.00s\n",
        );
        let child = spans
            .iter()
            .find(|span| span.operation == "model_load")
            .unwrap();
        let parent = spans
            .iter()
            .find(|span| span.operation == "inference")
            .unwrap();
        assert_eq!(child.parent_span_id, Some(parent.span_id));
        assert_eq!(child.trace_id, parent.trace_id);
    }

    #[test]
    fn a_traceback_behind_a_failure_stays_with_its_span() {
        let spans = spans_of(
            "2025-10-22 13:00:00+00:00 ta-1 🔍 TRACE[abc123de]: Modal inference started - model=m\n\
             2025-10-22 13:00:02+00:00 ta-1 🔍 TRACE[abc123de]: FAILED - error=OSError: no, duration=2.00s\n\
             2025-10-22 13:00:02+00:00 ta-1 Traceback (most recent call last):\n\
             2025-10-22 13:00:02+00:00 ta-1   File \"x.py\", line 1, in f\n\
             2025-10-22 13:00:02+00:00 ta-1 OSError: no\n\
             2025-10-22 13:00:03+00:00 ta-2 something else\n",
        );
        let text = spans[0].text(crate::model::meta::TRACEBACK).unwrap();
        assert!(text.ends_with("OSError: no"), "{text}");
    }
    #[test]
    fn failed_spans_stay_for_their_traceback_and_no_more_than_may_stay() {
        let mut decoder = Decoder::new();
        let mut pairer = Pairer::new("test".into());
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        for id in 0..=MAX_FAILED {
            let line = format!("ta-{id} 🔍 TRACE[{id:08x}]: FAILED - error=OSError: no\n");
            decoder.push(line.as_bytes(), &mut |record| pairer.observe(&record, now));
        }
        let mut handed_on = 0;
        pairer.drain(|_| handed_on += 1);
        assert_eq!(handed_on, MAX_FAILED + 1);
        assert_eq!(pairer.spans.len(), MAX_FAILED);
        let traceback = format!(
            "ta-{MAX_FAILED} Traceback (most recent call last):\nta-{MAX_FAILED} OSError: no\n"
        );
        decoder.push(traceback.as_bytes(), &mut |record| {
            pairer.observe(&record, now);
        });
        decoder.finish(&mut |record| pairer.observe(&record, now));
        let mut texts = Vec::new();
        pairer.drain(|seen| texts.extend(seen.traceback));
        assert_eq!(texts.len(), 1);
        (0..FAILED_STAYS).for_each(|_| pairer.drain(|_| {}));
        assert_eq!(pairer.spans.len(), 0);
    }
}
