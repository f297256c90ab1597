//! The database: whether it answers, its schema, rights, clock and indexes, who writes to it, and what is
//! known to be lost.

use std::path::Path;

use chrono::{DateTime, TimeDelta, Utc};

use super::Report;
use crate::store::{Examination, SpanWriter, Store};

/// A clock that differs by more makes spans of two hosts seem out of order.
const SKEW: TimeDelta = TimeDelta::seconds(2);
/// Printed spans without a start line beyond which, in a hundred, something is wrong with the input.
const UNMATCHED_PERCENT: u64 = 5;

/// Whether the URL names a file that does not exist; opening it would make it.
pub(super) fn is_missing_file(url: &str) -> bool {
    let path = url.strip_prefix("sqlite:");
    let path = path.map(|path| path.strip_prefix("//").unwrap_or(path));
    path.is_some_and(|path| !Path::new(path).exists())
}

/// Looks at all of it.
pub(super) async fn examine(report: &mut Report, store: &dyn Store) {
    let before = Utc::now();
    let seen = match store.examine().await {
        Ok(seen) => seen,
        Err(error) => {
            let remedy = match error.is_transient() {
                true => "start the database, or mend host, port and network in its URL",
                false => "mend the URL, or give its role what it asks for",
            };
            return report.fail("database", &error.to_string(), remedy);
        }
    };
    let after = Utc::now();
    let took = (after - before).num_milliseconds();
    report.fine(
        "database",
        &format!("{} answers; the look took {took} ms", seen.version),
    );
    schema(report, &seen);
    clock(report, before, after, seen.clock);
    writers(report, &seen.writers);
    if seen.doubled > 0 {
        report.warn(
            "duplicates",
            &format!(
                "{} spans of the last day stand there more than once",
                seen.doubled
            ),
            "a service writes spans twice; make (trace_id, span_id) unique where it does",
        );
    }
    losses(report, store).await;
}

/// Compares the database's clock, read between `before` and `after`, with ours.
fn clock(report: &mut Report, before: DateTime<Utc>, after: DateTime<Utc>, theirs: DateTime<Utc>) {
    let middle = before + (after - before) / 2;
    let ahead = theirs - middle;
    // Where between is not known; what may be that is no difference.
    match ahead.abs() - (after - before) / 2 > SKEW {
        true => report.warn(
            "clock",
            &format!(
                "the database's clock differs by {} ms",
                ahead.num_milliseconds()
            ),
            "synchronise both clocks (NTP): spans of two hosts seem out of order",
        ),
        false => report.fine("clock", "agrees with the database's"),
    }
}

fn schema(report: &mut Report, seen: &Examination) {
    match seen.steps {
        (done, newest) if done == newest => {
            report.fine("schema", &format!("complete (step {done})"));
        }
        (done, newest) if done > newest => report.warn(
            "schema",
            &format!("step {done} was made by a newer collector; this one knows {newest}"),
            "run the newer collector everywhere",
        ),
        (done, newest) => report.fail(
            "schema",
            &format!("at step {done} of {newest}"),
            "run `beacon-collector migrate` with a role that may create tables",
        ),
    }
    match seen.missing_rights.as_slice() {
        [] => report.fine("rights", "all that are needed"),
        missing => report.fail(
            "rights",
            &format!("missing: {}", missing.join(", ")),
            "run what `beacon-collector migrate --print-grants` prints",
        ),
    }
    for statement in &seen.missing_indexes {
        report.warn(
            "index",
            "one is missing; questions and writes are slow",
            statement,
        );
    }
}

fn writers(report: &mut Report, writers: &[SpanWriter]) {
    let told = |writer: &SpanWriter| {
        let mark = if writer.ours { ", collected" } else { "" };
        format!("{} ({}{mark})", writer.service, writer.spans)
    };
    let all: Vec<String> = writers.iter().map(told).collect();
    let ours = |count: fn(&SpanWriter) -> u64| -> u64 {
        let ours = writers.iter().filter(|writer| writer.ours);
        ours.map(count).sum()
    };
    let (printed, unmatched) = (
        ours(|writer| writer.spans),
        ours(|writer| writer.without_start),
    );
    if printed == 0 {
        report.warn(
            "spans",
            &match all.as_slice() {
                [] => "nobody wrote any in the last day".to_owned(),
                all => format!(
                    "none collected in the last day; others wrote: {}",
                    all.join(", ")
                ),
            },
            "look at the sources below; `beacon-collector explain-line` says how a line is read",
        );
    } else {
        report.fine("spans", &format!("of the last day: {}", all.join(", ")));
    }
    if unmatched * 100 > printed * UNMATCHED_PERCENT {
        report.warn(
            "unmatched",
            &format!("{unmatched} of {printed} spans have no start line"),
            "lines are missing or reach the collector without their container: use a modal: source, or \
             `modal app logs` with --show-container-id",
        );
    } else if printed > 0 {
        report.fine(
            "unmatched",
            &format!("{unmatched} of {printed} spans have no start line"),
        );
    }
}

async fn losses(report: &mut Report, store: &dyn Store) {
    let now = Utc::now();
    match store.losses(now - TimeDelta::days(7), now).await {
        Ok(losses) if losses.is_empty() => report.fine("losses", "none known within a week"),
        Ok(losses) => {
            let last = losses
                .last()
                .map(|loss| format!("{}: {}", loss.source, loss.reason));
            report.warn(
                "losses",
                &format!(
                    "{} within a week, the last of {}",
                    losses.len(),
                    last.unwrap_or_default()
                ),
                "answers about these times say so; `beacon-collector status` lists them",
            );
        }
        Err(error) => report.warn("losses", &error.to_string(), "complete the schema first"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    #[test]
    fn a_clock_differs_only_beyond_what_the_look_itself_may_have_taken() {
        let before = DateTime::from_timestamp(1_761_138_000, 0).unwrap();
        for (took, ahead, verdict) in [
            (10, 0, Verdict::Ok),
            (10, 1_900, Verdict::Ok),
            (10, 2_100, Verdict::Warn),
            (10, -2_100, Verdict::Warn),
            // A look that took four seconds may have read the clock at its end.
            (4_000, 5_900, Verdict::Ok),
            (4_000, 6_100, Verdict::Warn),
        ] {
            let mut report = Report::default();
            let after = before + TimeDelta::milliseconds(took);
            let theirs = before + TimeDelta::milliseconds(ahead);
            clock(&mut report, before, after, theirs);
            assert_eq!(report.findings[0].verdict, verdict, "{took} {ahead}");
        }
    }
}
