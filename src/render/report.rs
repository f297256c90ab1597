//! Reports on jobs, comparisons and gaps as text: the finding in the first line, then what it rests on.
//! Text of logs is shown in quotes, cleaned and cut.

use std::fmt::Write as _;

use super::Paint;
use super::waterfall::milliseconds;
use crate::analysis::report::{Comparison, ExecutionView, JobTimeouts, RootCause, TraceGaps};
use crate::untrusted;

/// Columns of quoted text.
const QUOTE: usize = 240;
/// Executions and differences listed.
const LISTED: usize = 20;

/// Why a job's executions failed.
pub fn job(report: &JobTimeouts, paint: Paint) -> String {
    let mut text = String::new();
    let _ = match &report.dominant_cause {
        Some(cause) => {
            let title = cause.root_cause_code.title();
            writeln!(
                text,
                "{} ({}) explains {:.0} % of the trouble\n{}",
                headline(cause.root_cause_code, title, paint),
                cause.root_cause_code,
                cause.share * 100.0,
                clean(&cause.explanation)
            )
        }
        None => writeln!(
            text,
            "{}",
            paint.green("nothing went wrong that can be seen")
        ),
    };
    let counts = format!(
        "job {} · {} executions, {} failed, {} running",
        clean(&report.job_id),
        report.total_executions,
        report.failed,
        report.running
    );
    let _ = writeln!(text, "{}", paint.dim(&counts));
    section(
        &mut text,
        "outages",
        report
            .outages
            .iter()
            .map(|outage| clean(&outage.explanation)),
    );
    executions(
        &mut text,
        "executions",
        &report.analysis,
        report.total_executions,
        paint,
    );
    section(
        &mut text,
        "what to do",
        report.recommendations.iter().map(|line| clean(line)),
    );
    section(
        &mut text,
        "notes",
        report.notes.iter().map(|line| clean(line)),
    );
    text
}

/// How an execution differs from successful ones.
pub fn comparison(report: &Comparison, paint: Paint) -> String {
    let mut text = String::new();
    let first = report.differences.first();
    let first = first.map_or_else(|| "no difference was found".to_owned(), |line| clean(line));
    let _ = writeln!(text, "{}", paint.bold(&first));
    let cohort = &report.cohort;
    let thin = if cohort.too_thin {
        ", too few to tell a difference from chance"
    } else {
        ""
    };
    let against = format!(
        "execution {} against {} successful ones ({}{thin})",
        report.failed_execution.execution_id,
        cohort.size,
        clean(&cohort.chosen_by)
    );
    let _ = writeln!(text, "{}", paint.dim(&against));
    section(
        &mut text,
        "differences",
        report.differences.iter().skip(1).map(|line| clean(line)),
    );
    let this = std::slice::from_ref(&report.failed_execution);
    executions(&mut text, "this execution", this, 1, paint);
    let others = &report.similar_successful;
    executions(&mut text, "successful ones", others, cohort.size, paint);
    section(
        &mut text,
        "notes",
        report.notes.iter().map(|line| clean(line)),
    );
    text
}

/// Where a trace has gaps.
pub fn gaps(report: &TraceGaps, paint: Paint) -> String {
    let mut text = String::new();
    let first = match (report.gaps.first(), report.missing_spans.first()) {
        (Some(gap), _) => paint.yellow(&clean(&gap.what)),
        (None, Some(span)) => paint.yellow(&clean(&span.because)),
        (None, None) => paint.green("no gaps over 100 ms, and no span is missing"),
    };
    let _ = writeln!(text, "{first}");
    let counts = format!(
        "trace {} · {} spans, {} gaps, {} missing",
        report.trace_id,
        report.total_spans,
        report.gaps.len(),
        report.missing_spans.len()
    );
    let _ = writeln!(text, "{}", paint.dim(&counts));
    section(
        &mut text,
        "gaps",
        report.gaps.iter().map(|gap| {
            format!(
                "{:>8}  {}",
                milliseconds(gap.gap_ms as f64),
                clean(&gap.what)
            )
        }),
    );
    section(
        &mut text,
        "missing spans",
        report.missing_spans.iter().map(|span| {
            let name = format!("{} {}", clean(&span.service), clean(&span.operation));
            format!("{name}: {}", clean(&span.because))
        }),
    );
    section(
        &mut text,
        "critical path",
        report.critical_path.iter().map(|step| {
            let own = milliseconds(step.self_ms as f64);
            format!(
                "{own:>8}  {} {}",
                clean(&step.service),
                clean(&step.operation)
            )
        }),
    );
    section(
        &mut text,
        "clock skew",
        report
            .clock_skew_ms
            .iter()
            .map(|(hosts, ms)| format!("{}: {ms} ms", clean(hosts))),
    );
    section(
        &mut text,
        "notes",
        report.notes.iter().map(|line| clean(line)),
    );
    text
}

/// The name of a cause in the colour of how bad it is.
pub(super) fn headline(cause: RootCause, title: &str, paint: Paint) -> String {
    let title = paint.bold(&clean(title));
    match cause {
        RootCause::None => paint.green(&title),
        RootCause::Undetermined => paint.yellow(&title),
        cause if cause.is_slowness() => paint.yellow(&title),
        _ => paint.red(&title),
    }
}

fn executions(text: &mut String, title: &str, views: &[ExecutionView], total: usize, paint: Paint) {
    if views.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n{title}");
    for view in views.iter().take(LISTED) {
        let took = view
            .duration_ms
            .map_or("-".to_owned(), |ms| milliseconds(ms as f64));
        let cause = match view.root_cause_code {
            None => String::new(),
            Some(RootCause::None) => paint.green("none"),
            Some(cause) => paint.red(cause.code()),
        };
        let _ = writeln!(
            text,
            "  {:>8}  {:<6} {:<16} {:<10} {took:>9}  {:>2} spans  {cause}",
            view.execution_id,
            clean(&view.region),
            clean(view.model.as_deref().unwrap_or("-")),
            clean(&view.status),
            view.span_count,
        );
    }
    let listed = views.len().min(LISTED);
    if listed < total {
        let _ = writeln!(text, "  … {} more; --json lists them", total - listed);
    }
}

/// A titled list, nothing when it is empty.
pub(super) fn section(text: &mut String, title: &str, lines: impl Iterator<Item = String>) {
    let mut lines = lines.peekable();
    if lines.peek().is_none() {
        return;
    }
    let _ = writeln!(text, "\n{title}");
    for line in lines {
        let _ = writeln!(text, "  - {line}");
    }
}

/// One line of foreign text, for a terminal.
pub(super) fn clean(text: &str) -> String {
    untrusted::clean(text, untrusted::MAX_TRACEBACK).replace(['\n', '\t'], " ")
}

pub(super) fn quoted(text: &str) -> String {
    untrusted::clean(&clean(text), QUOTE)
}
