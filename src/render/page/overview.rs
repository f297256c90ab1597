//! The first page: how the collector is doing, what fails most, and what failed last.

use std::fmt::Write as _;

use super::{cause, escape, frame, in_path, list, quote, time, took, words};
use crate::analysis::report::{Failure, Pattern};
use crate::query::{CollectorStatus, FoundSpan, RecentFailuresAndSpans};

/// Patterns shown as cards.
const CARDS: usize = 6;

/// What failed lately.
pub fn failures_page(report: &RecentFailuresAndSpans, status: &CollectorStatus) -> String {
    let failures = &report.report;
    let spans = report.failed_spans.as_deref().unwrap_or_default();
    let mut page = String::from("<h1>What failed lately</h1>");
    state(&mut page, status);
    if !failures.patterns.is_empty() {
        page.push_str("<section class=\"cards\">");
        for pattern in failures.patterns.iter().take(CARDS) {
            card(&mut page, pattern);
        }
        page.push_str("</section>");
    }
    if failures.failures.is_empty() && spans.is_empty() {
        page.push_str("<p class=\"nothing\">Nothing has failed.</p>");
    }
    if !failures.failures.is_empty() {
        // Writing to a String can't fail, here and below.
        let _ = write!(
            page,
            "<section><h2>Executions <small>{} of {}, newest first</small></h2><div class=\"list\">",
            failures.returned, failures.total_failures
        );
        failures
            .failures
            .iter()
            .for_each(|failure| execution(&mut page, failure));
        page.push_str("</div></section>");
    }
    if !spans.is_empty() {
        page.push_str(
            "<section><h2>Printed spans <small>that belong to no execution</small></h2><div class=\"list\">",
        );
        spans.iter().for_each(|span| printed(&mut page, span));
        page.push_str("</div></section>");
    }
    let notes = failures.notes.iter().chain(&status.notes);
    list(&mut page, "Notes", notes.map(|note| words(note)));
    frame("What failed lately", &page)
}

/// One line that says whether the data is fresh.
fn state(page: &mut String, status: &CollectorStatus) {
    let stored = &status.stored;
    let newest = match &stored.newest_printed_span_at {
        Some(at) => format!("newest printed span {}", time(at)),
        None => "no printed span in the last 24 hours".to_owned(),
    };
    let lost = match status.losses.len() {
        0 => "no known loss of log lines".to_owned(),
        some => format!("<b class=\"bad\">{some} known losses of log lines</b>"),
    };
    let _ = write!(
        page,
        "<p class=\"facts\">Last 24 hours: {} executions, {} failed · {newest} · {lost} · times are UTC · \
         <a href=\"/api/v1/status\">status</a></p>",
        stored.executions, stored.failed_executions
    );
}

fn card(page: &mut String, pattern: &Pattern) {
    let _ = write!(
        page,
        "<div class=\"card\"><b>{}</b> {}",
        pattern.count,
        cause(pattern.root_cause_code)
    );
    let places = pattern.regions.iter().chain(&pattern.models);
    let places: Vec<String> = places.map(|place| words(place)).collect();
    let _ = write!(page, "<p>{}</p>", places.join(" · "));
    if let Some(log) = &pattern.quoted_log {
        let _ = write!(page, "<p>{}</p>", quote(log));
    }
    page.push_str("</div>");
}

fn execution(page: &mut String, failure: &Failure) {
    let id = failure.id;
    let _ = write!(
        page,
        "<div class=\"item\"><a class=\"what\" href=\"/executions/{id}\">{} <small>execution {id}</small></a>\
         <div class=\"when\">{}</div><div class=\"where\">{} · {} · {}",
        cause(failure.root_cause_code),
        failure.created_at.as_deref().map(time).unwrap_or_default(),
        words(&failure.region),
        words(failure.model_id.as_deref().unwrap_or("-")),
        took(failure.duration_ms)
    );
    if let Some(job) = &failure.job_id {
        let _ = write!(
            page,
            " · <a href=\"/jobs/{}\">{}</a>",
            in_path(job),
            words(job)
        );
    }
    let _ = write!(
        page,
        "</div><div class=\"note\">{}</div></div>",
        quote(&failure.error_message)
    );
}

fn printed(page: &mut String, span: &FoundSpan) {
    let _ = write!(
        page,
        "<div class=\"item\"><a class=\"what\" href=\"/traces/{}\"><span class=\"cause bad\">{}</span> \
         <small>{}</small></a><div class=\"when\">{}</div><div class=\"where\">{} · {} · {} {} · {}</div>\
         <div class=\"note\">{}</div></div>",
        in_path(&span.trace_id),
        words(span.error_type.as_deref().unwrap_or(&span.status)),
        escape(span.log_id.as_deref().unwrap_or("span")),
        time(&span.started_at),
        words(span.region.as_deref().unwrap_or("-")),
        words(span.model_id.as_deref().unwrap_or("-")),
        words(&span.service),
        words(&span.operation),
        took(span.duration_ms),
        span.quoted_log.as_deref().map(quote).unwrap_or_default()
    );
}
