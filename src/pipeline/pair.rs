//! Joins the lines of one stream to spans: start, steps, end and traceback of one log id in one
//! container (or function call).
//!
//! Pure and synchronous. Memory is bounded: a span leaves it once its end is handed on, and of many open ones
//! the oldest leave early ([`super::spans`]). That costs no correctness, because the store joins a late line
//! with the stored row by the same rules ([`crate::model::reconcile`]).

use std::collections::HashMap;
use std::sync::Arc;

use beacon_parsers::{Body, Envelope, Phase, Record, TraceLine, Traceback};
use chrono::{DateTime, Utc};
use smol_str::SmolStr;

use super::line::{Reader, precision, scope_of};
use super::place::{ByPlace, Place, Places};
use super::spans::{Parts, Spans};
use super::spare::Spare;
use crate::model::{Moment, Observation, Outcome, Precision};
use crate::untrusted::{MAX_TEXT, MAX_TRACEBACK, clean};

/// Log ids without times whose running number is remembered, twice.
const MAX_TIMELESS: usize = 20_000;
/// Fixed cost of a row in the estimate of a batch's size, beside its text.
const ROW_OVERHEAD: usize = 300;

/// Pairing state of one stream.
#[derive(Debug)]
pub(super) struct Pairer {
    reader: Reader,
    places: Places,
    spans: Spans,
    dirty_bytes: usize,
    /// The last failed span of each container and function call.
    last_failed: HashMap<Origin, Place>,
    timeless: Timeless,
    /// The last time that was made a date, in microseconds since 1970.
    last_time: (i64, Option<DateTime<Utc>>),
    unmatched: u64,
}

/// Container and function call: a container goes on to other calls while a traceback is printed.
type Origin = (SmolStr, Option<SmolStr>);

impl Pairer {
    /// A pairer for a stream of this source, whose spans are handed on in so many parts.
    pub(super) fn new(source: Arc<str>, parts: usize, spare: Arc<Spare>) -> Self {
        Self {
            reader: Reader::new(source.into()),
            places: Places::new(),
            spans: Spans::new(parts, spare),
            dirty_bytes: 0,
            last_failed: HashMap::new(),
            timeless: Timeless::default(),
            last_time: (0, Some(DateTime::UNIX_EPOCH)),
            unmatched: 0,
        }
    }

    /// Takes in a record that was read at `arrival`.
    pub(super) fn observe(&mut self, record: Record<'_>, arrival: DateTime<Utc>) {
        match record.body {
            Body::Trace(line) => self.observe_line(record.envelope, line, arrival),
            Body::Traceback(traceback) => self.attach(record.envelope, traceback),
        }
    }

    /// Spans that changed since the last drain.
    pub(super) fn dirty_rows(&self) -> usize {
        self.spans.changed()
    }

    /// Estimated size of what changed since the last drain, in bytes.
    pub(super) fn dirty_bytes(&self) -> usize {
        self.dirty_bytes
    }

    /// Ends and steps so far whose start was not in memory.
    pub(super) fn unmatched(&self) -> u64 {
        self.unmatched
    }

    /// Open spans that had to leave memory so far.
    pub(super) fn evicted(&self) -> u64 {
        self.spans.evicted()
    }

    /// Hands on everything that changed.
    pub(super) fn drain(&mut self, parts: &mut Parts) {
        self.dirty_bytes = 0;
        self.spans.drain(parts);
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
        // Observations are large: this one is handed to functions by reference until it has its place.
        let mut seen = self.reader.observation(line);
        self.reader.read(&mut seen, line, moment);
        seen.occurrence = occurrence;
        self.resolve_parent(&mut seen, envelope, line);
        let outcome = seen.end.as_ref().map(|end| end.outcome);
        if outcome == Some(Outcome::Failed) {
            if self.last_failed.len() >= 1024 {
                self.last_failed.clear();
            }
            self.last_failed.insert(origin_of(envelope), place);
        }
        if let Some(at) = self.spans.find(place, &seen) {
            let (known, is_first) = self.spans.change(at);
            self.reader.locate(&mut seen, envelope, Some(known));
            known.merge(seen);
            self.dirty_bytes += usize::from(is_first) * ROW_OVERHEAD;
        } else {
            self.reader.locate(&mut seen, envelope, None);
            self.unmatched += u64::from(seen.start.is_none());
            self.dirty_bytes += ROW_OVERHEAD;
            self.spans.add(place, seen);
        }
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
        &mut self,
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
        let parent = self.spans.last(place, |span| span.start.is_some());
        let Some(parent) = parent.map(|at| self.spans.get(at)) else {
            return;
        };
        let span_id = parent.span_id();
        seen.context.parent_span_id = Some(span_id);
        seen.context
            .trace_id
            .get_or_insert(parent.context.trace_id.unwrap_or(span_id));
        seen.fields.remove("parent");
    }

    fn attach(&mut self, envelope: &Envelope<'_>, traceback: &Traceback<'_>) {
        let Some(place) = self.last_failed.get(&origin_of(envelope)) else {
            return;
        };
        let has_failed = |seen: &Observation| {
            let outcome = seen.end.as_ref().map(|end| end.outcome);
            outcome == Some(Outcome::Failed)
        };
        let Some(at) = self.spans.last(*place, has_failed) else {
            return;
        };
        let text = clean(&traceback.text, MAX_TRACEBACK);
        // It is long, and stands in memory once more, as JSON, when it is written.
        self.dirty_bytes += 2 * text.len();
        let (span, _) = self.spans.change(at);
        span.traceback = Some(text);
        if let (Some(end), Some(error_type)) = (&mut span.end, &traceback.error_type) {
            end.error_type
                .get_or_insert_with(|| clean(error_type, MAX_TEXT).into());
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

    fn pairer() -> Pairer {
        Pairer::new("test".into(), 1, Arc::default())
    }

    fn drained(pairer: &mut Pairer) -> Vec<Observation> {
        let mut parts = vec![Vec::new()];
        pairer.drain(&mut parts);
        parts.swap_remove(0)
    }

    fn spans_of(log: &str) -> Vec<Span> {
        let mut decoder = Decoder::new();
        let mut pairer = pairer();
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        decoder.push(log.as_bytes(), &mut |record| pairer.observe(record, now));
        decoder.finish(&mut |record| pairer.observe(record, now));
        drained(&mut pairer)
            .iter()
            .map(Observation::to_span)
            .collect()
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
    fn a_traceback_finds_its_span_after_that_was_handed_on_and_counts_twice() {
        let mut decoder = Decoder::new();
        let mut pairer = pairer();
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let mut take_in = |pairer: &mut Pairer, log: &str| {
            decoder.push(log.as_bytes(), &mut |record| pairer.observe(record, now));
        };
        take_in(
            &mut pairer,
            "ta-1 🔍 TRACE[abc123de]: FAILED - error=OSError: no\n",
        );
        assert_eq!(drained(&mut pairer)[0].traceback, None);
        let traceback = "ta-1 Traceback (most recent call last):\nta-1 OSError: no\nta-1 on\n";
        take_in(&mut pairer, traceback);
        let size = pairer.dirty_bytes();
        let again = drained(&mut pairer);
        assert_eq!(again.len(), 1);
        let text = again[0].traceback.as_ref().unwrap();
        assert_eq!(size, 2 * text.len());
    }
}
