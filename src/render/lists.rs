//! Lists as text: recent failures, performance, spans, the collector's state.

use std::fmt::Write as _;

use super::Paint;
use super::report::{clean, quoted, section};
use crate::analysis::report::{Performance, Stats};
use crate::query::{CollectorStatus, FoundSpan, FoundSpans, RecentFailuresAndSpans, TraceOverview};

/// What failed lately.
pub fn failures(report: &RecentFailuresAndSpans, paint: Paint) -> String {
    let spans = report.failed_spans.as_deref().unwrap_or_default();
    let report = &report.report;
    let mut text = String::new();
    let _ = match report.patterns.first() {
        Some(pattern) => {
            let cause = pattern.root_cause_code;
            let count = |of_cause: bool| -> usize {
                let counted = report.patterns.iter();
                let counted = counted.filter(|one| !of_cause || one.root_cause_code == cause);
                counted.map(|one| one.count).sum()
            };
            let (same, all) = (count(true), count(false));
            if same == 1 && all > 1 {
                let many = paint.red(&paint.bold(&format!("{all} failures")));
                writeln!(text, "{many}, each of its own kind")
            } else {
                writeln!(
                    text,
                    "{} ({cause}): {same} of {all} failures looked at",
                    paint.red(&paint.bold(cause.title())),
                )
            }
        }
        None if spans.is_empty() => writeln!(text, "{}", paint.green("no failures")),
        None => writeln!(
            text,
            "{} printed spans failed; no execution is known here",
            paint.red(&paint.bold(&spans.len().to_string()))
        ),
    };
    if report.returned > 0 {
        let listed = format!(
            "{} of {} failures, newest first",
            report.returned, report.total_failures
        );
        let _ = writeln!(text, "{}", paint.dim(&listed));
    }
    for failure in &report.failures {
        let _ = writeln!(
            text,
            "  {:>8}  {}  {:<6} {:<16} {}",
            failure.id,
            failure.created_at.as_deref().unwrap_or("-"),
            clean(&failure.region),
            clean(failure.model_id.as_deref().unwrap_or("-")),
            paint.red(failure.root_cause_code.code()),
        );
        let job = failure.job_id.as_deref();
        let job = job.map_or(String::new(), |job| format!("job {}  ", clean(job)));
        let _ = writeln!(
            text,
            "            {}",
            paint.dim(&format!("{job}{}", quoted(&failure.error_message)))
        );
    }
    section(
        &mut text,
        "patterns",
        report.patterns.iter().map(|pattern| {
            let quote = pattern
                .quoted_log
                .as_deref()
                .map_or(String::new(), |log| format!("  \"{}\"", quoted(log)));
            format!("{} × {}{quote}", pattern.count, pattern.root_cause_code)
        }),
    );
    text.push_str(&list(spans, paint));
    section(
        &mut text,
        "notes",
        report.notes.iter().map(|line| clean(line)),
    );
    text
}

/// Spans that a search found.
pub fn spans(report: &FoundSpans, paint: Paint) -> String {
    let mut text = String::new();
    let more = report
        .next_cursor
        .as_deref()
        .map_or(String::new(), |cursor| {
            format!("; more with --cursor {cursor}")
        });
    let count = format!(
        "{} spans from {} to {}{more}",
        report.returned, report.from, report.to
    );
    let _ = writeln!(text, "{}", paint.bold(&count));
    if let Some(note) = &report.note {
        let _ = writeln!(text, "{}", paint.yellow(note));
    }
    text + &list(&report.spans, paint)
}

/// What is in a trace.
pub fn overview(report: &TraceOverview, paint: Paint) -> String {
    let mut text = String::new();
    let count = format!("trace {}: {} spans", report.trace_id, report.total_spans);
    let _ = writeln!(text, "{}", paint.bold(&count));
    text + &list(&report.spans, paint)
}

fn list(spans: &[FoundSpan], paint: Paint) -> String {
    let mut text = String::new();
    for span in spans {
        let id = clean(span.log_id.as_deref().unwrap_or(&span.span_id));
        let status = match span.status.as_str() {
            "completed" => paint.green("completed"),
            "started" => paint.yellow("started"),
            other => paint.red(&clean(other)),
        };
        let _ = writeln!(
            text,
            "  {id}  {}  {} {}  {status}",
            span.started_at,
            clean(&span.service),
            clean(&span.operation),
        );
        if let Some(message) = &span.quoted_log {
            let kind = span
                .error_type
                .as_deref()
                .map_or(String::new(), |kind| format!("{kind}: "));
            let _ = writeln!(
                text,
                "            {}",
                paint.dim(&quoted(&format!("{kind}{message}")))
            );
        }
    }
    text
}

/// How executions performed.
pub fn performance(report: &Performance, paint: Paint) -> String {
    let mut text = String::new();
    let stats = &report.stats;
    let rate = stats
        .success_rate
        .map_or("no execution ended".to_owned(), |rate| {
            format!("{:.1} % succeeded", rate * 100.0)
        });
    let _ = writeln!(
        text,
        "{}: {} executions, {} failed, {} running",
        paint.bold(&rate),
        stats.total_executions,
        stats.failed,
        stats.running
    );
    let window = format!("{} to {}", report.window.from, report.window.to);
    let _ = writeln!(text, "{}\n", paint.dim(&window));
    let _ = writeln!(
        text,
        "{:<16} {:<6}    runs failed      p50      p95      p99  tokens/s",
        "model", "region"
    );
    let _ = writeln!(text, "{:<16} {:<6} {}", "all", "all", numbers(stats));
    for group in &report.by_model_region {
        let model = clean(group.model_id.as_deref().unwrap_or("-"));
        let _ = writeln!(
            text,
            "{model:<16} {:<6} {}",
            clean(&group.region),
            numbers(&group.stats)
        );
    }
    let changes = report
        .previous_window
        .iter()
        .flat_map(|before| &before.changes);
    section(
        &mut text,
        "against the window before",
        changes.map(|change| {
            let what = clean(&change.what);
            if change.significant {
                paint.yellow(&what)
            } else {
                what
            }
        }),
    );
    section(
        &mut text,
        "notes",
        report.notes.iter().map(|line| clean(line)),
    );
    text
}

fn numbers(stats: &Stats) -> String {
    let seconds = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.2}s"));
    format!(
        "{:>7} {:>6} {:>8} {:>8} {:>8} {:>9}",
        stats.total_executions,
        stats.failed,
        seconds(stats.p50_duration_sec),
        seconds(stats.p95_duration_sec),
        seconds(stats.p99_duration_sec),
        stats
            .tokens_per_second
            .map_or("-".to_owned(), |rate| format!("{rate:.1}")),
    )
}

/// How the collector is doing.
pub fn status(report: &CollectorStatus, paint: Paint) -> String {
    let mut text = String::new();
    let stored = &report.stored;
    let first = match stored.newest_printed_span_age_s {
        Some(age) => paint.bold(&format!("the newest printed span is {age} s old")),
        None => paint.yellow("no printed span in the last 24 hours"),
    };
    let _ = writeln!(text, "{first}");
    let _ = writeln!(
        text,
        "last 24 hours: {} executions, {} of them failed; {} failed spans",
        stored.executions, stored.failed_executions, stored.failed_spans
    );
    section(
        &mut text,
        "known losses of log lines, last 7 days",
        report.losses.iter().map(|loss| {
            let lost = format!("{} ({})", clean(&loss.reason), loss.lost);
            format!(
                "{}  {} to {}: {lost}",
                clean(&loss.source),
                loss.from,
                loss.to
            )
        }),
    );
    section(
        &mut text,
        "notes",
        report.notes.iter().map(|line| clean(line)),
    );
    text
}
