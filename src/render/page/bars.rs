//! The waterfall of a page: a row a span, its bar as a small picture that scales with the window.

use std::collections::HashMap;
use std::fmt::Write as _;

use super::{escape, quote, took, words};
use crate::analysis::report::{SpanView, TraceGaps};

/// Width of a bar's picture, in units of its own.
const WIDTH: f64 = 1000.0;
/// Narrowest bar that is still seen.
const NARROWEST: f64 = 3.0;
/// Deepest indentation shown.
const DEEPEST: usize = 6;

/// The spans of a trace in time.
pub(super) fn waterfall(report: &TraceGaps) -> String {
    let end = |span: &SpanView| span.offset_ms + span.duration_ms.unwrap_or(0);
    let whole = report.spans.iter().map(end).max().unwrap_or(0).max(1);
    let depths = depths(&report.spans);
    let mut rows = String::from("<div class=\"waterfall\">");
    for span in &report.spans {
        let depth = depths.get(&*span.span_id).copied().unwrap_or(0);
        row(&mut rows, report, span, depth.min(DEEPEST), whole as f64);
    }
    rows.push_str("</div>");
    if !report.gaps.is_empty() || !report.critical_path.is_empty() {
        rows.push_str(
            "<p class=\"legend\"><b>▸</b> critical path <i class=\"hatched\"></i> time that nothing below covers</p>",
        );
    }
    rows
}

fn row(page: &mut String, report: &TraceGaps, span: &SpanView, depth: usize, whole: f64) {
    let id = &span.span_id;
    let critical = report.critical_path.iter().any(|step| step.span_id == *id);
    // Writing to a String can't fail, here and below.
    let _ = write!(
        page,
        "<div class=\"row\"><div class=\"name d{depth}{}\">{} <span>{}</span></div>",
        if critical { " critical" } else { "" },
        words(&span.service),
        words(&span.operation)
    );
    let at = |ms: i64| (ms as f64 / whole * WIDTH).clamp(0.0, WIDTH);
    let from = at(span.offset_ms).min(WIDTH - NARROWEST);
    let until = span
        .duration_ms
        .map_or(WIDTH, |ms| at(span.offset_ms + ms))
        .max(from + NARROWEST);
    let _ = write!(
        page,
        "<svg viewBox=\"0 0 {WIDTH} 10\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"from {} ms, {}\">\
         <rect class=\"bar {}\" x=\"{from:.1}\" width=\"{:.1}\" height=\"10\"/>",
        span.offset_ms,
        took(span.duration_ms),
        class_of(&span.status),
        until - from
    );
    for gap in report.gaps.iter().filter(|gap| gap.inside == *id) {
        let after = report
            .spans
            .iter()
            .find(|one| one.span_id == gap.after_span);
        let begin = match after {
            Some(after) if gap.after_span != gap.inside => {
                after.offset_ms + after.duration_ms.unwrap_or(0)
            }
            _ => span.offset_ms,
        };
        let _ = write!(
            page,
            "<rect class=\"gap\" x=\"{:.1}\" width=\"{:.1}\" y=\"3\" height=\"4\"/>",
            at(begin),
            at(gap.gap_ms)
        );
    }
    let _ = write!(
        page,
        "</svg><div class=\"took\">{}</div><div class=\"status {}\">{}</div>",
        took(span.duration_ms),
        class_of(&span.status),
        words(&span.status)
    );
    if let Some(log) = &span.quoted_log {
        let kind = span.error_type.as_deref();
        let kind = kind.map_or(String::new(), |kind| format!("{kind}: "));
        let log = quote(&format!("{kind}{log}"));
        let _ = write!(page, "<div class=\"note\">{log}</div>");
    }
    page.push_str("</div>");
}

/// The status as a class name: words of others never become one.
fn class_of(status: &str) -> &'static str {
    match status {
        "completed" => "good",
        "failed" | "timeout" => "bad",
        _ => "unsure",
    }
}

/// How deep each span lies. A parent that is not there, or a circle of parents, counts as none.
fn depths(spans: &[SpanView]) -> HashMap<&str, usize> {
    let parents: HashMap<&str, &str> = spans
        .iter()
        .filter_map(|span| Some((&*span.span_id, span.parent_span_id.as_deref()?)))
        .collect();
    let known = |id: &str| spans.iter().any(|span| span.span_id == id);
    spans
        .iter()
        .map(|span| {
            let mut depth = 0;
            let mut at = &*span.span_id;
            while let Some(parent) = parents.get(at).filter(|id| known(id)) {
                depth += 1;
                at = parent;
                if depth > DEEPEST {
                    break;
                }
            }
            (&*span.span_id, depth)
        })
        .collect()
}

/// The heading's number: how long the whole took.
pub(super) fn length(report: &TraceGaps) -> String {
    let end = |span: &SpanView| span.offset_ms + span.duration_ms.unwrap_or(0);
    escape(&took(report.spans.iter().map(end).max()))
}
