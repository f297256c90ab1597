//! The rows around the place that linking has come to, read once each as it moves on.
//!
//! Invariant: memory is bounded whatever happened in a stretch of time, and a span is judged only with
//! its neighbours on both sides in sight, as far as the bound allows.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::Linker;
use crate::correlate::Surroundings;
use crate::model::{Execution, ExecutionLink, Span};
use crate::store::{ExecutionQuestion, SpanQuestion, StoreError};

/// Printed spans read at once.
const PRINTED: u32 = 4_000;
/// Of how much time, at first.
const PACE: TimeDelta = TimeDelta::minutes(10);
/// Printed spans in sight before the place, and at least behind it.
const IN_SIGHT: usize = 2_000;
/// Printed spans that are passed over where there is too much around them, before it is looked again.
const STEP: usize = 100;
/// Spans of others in sight.
const WRITTEN: usize = 40_000;
/// Spans of others read at once.
const PAGE: u32 = 8_000;
/// Executions read at once.
const EXECUTIONS: u32 = 20_000;
/// Traces asked for at once.
const TRACES: usize = 1_000;
/// Printed spans this close to a place compete for the same callers.
const MARGIN: TimeDelta = TimeDelta::seconds(30);
const INSTANT: TimeDelta = TimeDelta::microseconds(1);

/// What is in sight of a place within a stretch that ends at `to`.
#[derive(Debug)]
pub(super) struct View {
    to: DateTime<Utc>,
    /// Printed spans in order of time; those that began before `printed_to` are all there.
    pub(super) printed: Vec<Span>,
    printed_to: DateTime<Utc>,
    pace: TimeDelta,
    /// How many of them have all spans of others around them in sight.
    pub(super) surrounded: usize,
    /// Spans of others in order of time, likewise; none before the first look.
    pub(super) written: Vec<Span>,
    written_to: Option<DateTime<Utc>>,
    /// What is known of the executions of their traces, and whose were asked for.
    pub(super) links: HashMap<Uuid, ExecutionLink>,
    asked: HashSet<Uuid>,
    pub(super) executions: Vec<Execution>,
}

/// How far can be judged from a place.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sight {
    /// To there.
    Clear(DateTime<Utc>),
    /// To there, and nothing was printed in between.
    Nothing(DateTime<Utc>),
    /// Not at all: there is too much around the printed spans that began before that.
    Crowded(DateTime<Utc>),
}

impl View {
    /// Of nothing yet.
    pub(super) fn new(from: DateTime<Utc>, to: DateTime<Utc>) -> Self {
        Self {
            to,
            printed: Vec::new(),
            printed_to: from - MARGIN,
            pace: PACE,
            surrounded: 0,
            written: Vec::new(),
            written_to: None,
            links: HashMap::new(),
            asked: HashSet::new(),
            executions: Vec::new(),
        }
    }

    /// Reads what is missing around a place, and forgets what lies too far behind it. The places of a view
    /// never go back.
    pub(super) async fn look(
        &mut self,
        linker: &Linker,
        at: DateTime<Utc>,
    ) -> Result<Sight, StoreError> {
        self.read_printed(linker, at).await?;
        let mut reached = self.reached(at);
        self.surrounded = self.printed.len();
        let here =
            (self.printed.iter()).any(|one| at <= one.started_at && one.started_at < reached);
        let (true, Some(first), Some(last)) = (here, self.printed.first(), self.printed.last())
        else {
            return Ok(Sight::Nothing(reached));
        };
        let last = last.started_at;
        let around = Surroundings::of(first.started_at, last);
        if let Some(seen_to) = self.read_written(linker, around).await? {
            // What was printed well before others' spans go out of sight can be judged.
            reached = reached.min(seen_to - (around.to - last));
            if reached <= at {
                return Ok(Sight::Crowded(self.past(at, STEP)));
            }
            self.surrounded = (self.printed).partition_point(|one| one.started_at < reached);
        }
        self.complete(linker).await?;
        Ok(Sight::Clear(reached))
    }

    /// Where so many printed spans have begun behind a place.
    fn past(&self, at: DateTime<Utc>, count: usize) -> DateTime<Utc> {
        let first = self.printed.partition_point(|one| one.started_at < at);
        let past = self.printed.get(first + count);
        past.map_or(self.printed_to, |one| one.started_at)
            .min(self.to)
            .max(at + INSTANT)
    }

    async fn read_printed(&mut self, linker: &Linker, at: DateTime<Utc>) -> Result<(), StoreError> {
        let end = self.to + MARGIN;
        loop {
            let before = self.printed.partition_point(|span| span.started_at < at);
            let near = (self.printed).partition_point(|span| span.started_at < at - MARGIN);
            let forgotten = near.max(before.saturating_sub(IN_SIGHT));
            self.printed.drain(..forgotten);
            let ahead = self.printed.len() - (before - forgotten);
            if self.printed_to >= end || ahead >= IN_SIGHT {
                return Ok(());
            }
            // No further than a page is likely to reach: the database may sort what it finds before it
            // cuts it off.
            let from = self.printed_to;
            let to = from
                .checked_add_signed(self.pace)
                .map_or(end, |to| to.min(end));
            let question = SpanQuestion::Printed { from, to };
            let page = linker.store.spans(&question, PRINTED).await?;
            let is_full = page.len() == PRINTED as usize;
            self.printed_to = extend(&mut self.printed, page, PRINTED, to);
            self.pace = if is_full {
                (self.printed_to - from).max(MARGIN)
            } else {
                self.pace + self.pace
            };
        }
    }

    /// Up to where printed spans can be judged: to the end if all are in sight, else as far as their
    /// neighbours are.
    fn reached(&self, at: DateTime<Utc>) -> DateTime<Utc> {
        if self.printed_to >= self.to + MARGIN {
            return self.to;
        }
        let ahead = self.printed.partition_point(|span| span.started_at < at);
        let middle = (ahead + self.printed.len()) / 2;
        let middle = self.printed.get(middle).map_or(at, |span| span.started_at);
        middle
            .max(self.printed_to - MARGIN)
            .max(at + INSTANT)
            .min(self.to)
    }

    /// Reads spans of others; says up to where they are in sight when it is not to the end.
    async fn read_written(
        &mut self,
        linker: &Linker,
        around: Surroundings,
    ) -> Result<Option<DateTime<Utc>>, StoreError> {
        self.written.retain(|span| {
            span.started_at >= around.since
                && span.completed_at.is_none_or(|end| end >= around.from)
        });
        let mut since = self.written_to.unwrap_or(around.since).max(around.since);
        while since < around.to {
            if self.written.len() >= WRITTEN {
                self.written_to = Some(since);
                return Ok(Some(since));
            }
            let question = SpanQuestion::Written {
                since,
                from: around.from,
                to: around.to,
            };
            let page = linker.store.spans(&question, PAGE).await?;
            since = extend(&mut self.written, page, PAGE, around.to);
        }
        self.written_to = Some(since);
        Ok(None)
    }

    /// Adds what is known of the traces, and the executions that the others can be of.
    async fn complete(&mut self, linker: &Linker) -> Result<(), StoreError> {
        let traces: HashSet<Uuid> = self.written.iter().map(|span| span.trace_id).collect();
        self.links.retain(|trace, _| traces.contains(trace));
        self.asked.retain(|trace| traces.contains(trace));
        let mut new: Vec<Uuid> = traces.difference(&self.asked).copied().collect();
        new.sort_unstable();
        for ids in new.chunks(TRACES) {
            let links = linker.store.execution_links(ids).await?;
            self.know(&links);
        }
        self.asked.extend(new);
        let open = (self.written.iter()).filter(|span| !self.links.contains_key(&span.trace_id));
        let from = open.clone().map(|span| span.started_at).min();
        let to = open
            .map(|span| span.completed_at.unwrap_or(span.started_at))
            .max();
        self.executions.clear();
        if let (Some(from), Some(to)) = (from, to) {
            let question = ExecutionQuestion::Overlapping { from, to };
            self.executions = linker.store.executions(&question, EXECUTIONS).await?;
        }
        if self.executions.len() == EXECUTIONS as usize {
            // Not all of them: who is missing could be the one. They are joined by their own rows.
            self.executions.clear();
        }
        Ok(())
    }

    /// Enters what was found out about traces.
    pub(super) fn know(&mut self, links: &[ExecutionLink]) {
        for link in links {
            self.links.insert(link.trace_id, link.clone());
        }
    }
}

/// Adds a page to rows in order of time; says up to where they are all there now.
fn extend(
    rows: &mut Vec<Span>,
    mut page: Vec<Span>,
    limit: u32,
    end: DateTime<Utc>,
) -> DateTime<Utc> {
    let last = match page.last() {
        Some(last) if page.len() == limit as usize => last.started_at,
        _ => {
            rows.append(&mut page);
            return end;
        }
    };
    // More may have begun in the instant of the last: they come with the next page, unless there are
    // more of them than fit on one.
    let whole = page.partition_point(|span| span.started_at < last);
    if whole == 0 {
        rows.append(&mut page);
        return last + INSTANT;
    }
    page.truncate(whole);
    rows.append(&mut page);
    last
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::*;
    use crate::model::SpanStatus;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(second)
    }

    fn page(seconds: &[i64]) -> Vec<Span> {
        let span = |second: &i64| Span {
            trace_id: Uuid::nil(),
            span_id: Uuid::nil(),
            parent_span_id: None,
            service: "modal".to_owned(),
            operation: "inference".to_owned(),
            started_at: at(*second),
            completed_at: None,
            duration_ms: None,
            status: SpanStatus::Started,
            job_id: None,
            execution_id: None,
            model_id: None,
            region: None,
            metadata: Map::new(),
            error_message: None,
            error_type: None,
        };
        seconds.iter().map(span).collect()
    }

    #[test]
    fn a_page_that_is_not_full_reaches_to_the_end_of_what_was_asked_for() {
        let mut rows = page(&[1]);
        assert_eq!(extend(&mut rows, page(&[2, 3]), 3, at(9)), at(9));
        assert_eq!(rows.len(), 3);
    }

    #[test]
    fn what_began_in_the_last_instant_of_a_full_page_is_read_again_with_the_rest_of_it() {
        let mut rows = Vec::new();
        assert_eq!(extend(&mut rows, page(&[1, 2, 3, 3]), 4, at(9)), at(3));
        assert_eq!(rows.len(), 2);
    }

    #[test]
    fn an_instant_that_fills_a_page_is_passed() {
        let mut rows = Vec::new();
        assert_eq!(extend(&mut rows, page(&[3, 3]), 2, at(9)), at(3) + INSTANT);
        assert_eq!(rows.len(), 2);
    }
}
