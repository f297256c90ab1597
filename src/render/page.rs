//! The pages for people, as HTML without scripts. Everything that comes from elsewhere is escaped.

use std::fmt::Write as _;

use super::report::quoted;
use super::waterfall::milliseconds;
use crate::analysis::report::{SpanView, TraceGaps};
use crate::query::RecentFailuresAndSpans;

const HEAD: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
    <meta name=\"viewport\" content=\"width=device-width\"><style>\
    :root{color-scheme:light dark}body{font:14px/1.5 system-ui,sans-serif;margin:2rem;max-width:80rem}\
    h1{font-size:1.3rem}table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.2rem .6rem;\
    border-bottom:1px solid #8884;vertical-align:top}code,.q{font-family:ui-monospace,monospace;font-size:12px}\
    .q{opacity:.75}.track{position:relative;height:1.1rem;background:#8882;min-width:24rem}\
    .bar{position:absolute;top:0;bottom:0;min-width:2px;background:#3a7}.failed,.timeout{background:#c44}\
    .started{background:#ca3}.gap{position:absolute;top:0;bottom:0;background:repeating-linear-gradient(45deg,\
    #0000,#0000 3px,#fff8 3px,#fff8 6px)}.critical{font-weight:600}</style>";

/// What failed lately.
pub fn failures_page(report: &RecentFailuresAndSpans) -> String {
    let mut page = format!("{HEAD}<title>Recent failures</title><h1>Recent failures</h1>");
    let failures = &report.report;
    // Writing to a String can't fail, here and below.
    let _ = write!(
        page,
        "<p>{} of {}</p>",
        failures.returned, failures.total_failures
    );
    page.push_str("<table><tr><th>execution<th>when<th>region<th>model<th>cause<th>error");
    for failure in &failures.failures {
        let _ = write!(
            page,
            "<tr><td><a href=\"/api/v1/executions/{}/diagnosis\">{0}</a><td>{}<td>{}<td>{}<td>{}<td class=\"q\">{}",
            failure.id,
            escape(failure.created_at.as_deref().unwrap_or("-")),
            escape(&failure.region),
            escape(failure.model_id.as_deref().unwrap_or("-")),
            failure.root_cause_code,
            escape(&quoted(&failure.error_message)),
        );
    }
    for span in report.failed_spans.iter().flatten() {
        let _ = write!(
            page,
            "<tr><td><a href=\"/traces/{}\">{}</a><td>{}<td>{}<td>{}<td>{}<td class=\"q\">{}",
            escape(&span.trace_id),
            escape(span.log_id.as_deref().unwrap_or("span")),
            escape(&span.started_at),
            escape(span.region.as_deref().unwrap_or("-")),
            escape(span.model_id.as_deref().unwrap_or("-")),
            escape(span.error_type.as_deref().unwrap_or("-")),
            escape(&quoted(span.quoted_log.as_deref().unwrap_or(""))),
        );
    }
    page.push_str("</table>");
    page
}

/// A trace as a waterfall, with its gaps and critical path.
pub fn trace_page(report: &TraceGaps) -> String {
    let id = escape(&report.trace_id);
    let mut page = format!(
        "{HEAD}<title>Trace {id}</title><p><a href=\"/\">Recent failures</a></p><h1>Trace <code>{id}</code></h1>"
    );
    let end = |span: &SpanView| span.offset_ms + span.duration_ms.unwrap_or(0);
    let whole = report.spans.iter().map(end).max().unwrap_or(0).max(1) as f64;
    let _ = write!(
        page,
        "<p>{} spans, {}</p>",
        report.total_spans,
        milliseconds(whole)
    );
    page.push_str("<table><tr><th>span<th>time<th>status<th>");
    for span in &report.spans {
        row(&mut page, report, span, whole);
    }
    page.push_str("</table>");
    let mut notes: Vec<String> = report.gaps.iter().map(|gap| gap.what.clone()).collect();
    notes.extend(report.missing_spans.iter().map(|span| {
        format!(
            "{} {} is missing: {}",
            span.service, span.operation, span.because
        )
    }));
    notes.extend(report.notes.iter().cloned());
    page.push_str("<ul>");
    for note in &notes {
        let _ = write!(page, "<li>{}", escape(note));
    }
    page.push_str("</ul>");
    page
}

fn row(page: &mut String, report: &TraceGaps, span: &SpanView, whole: f64) {
    let share = |ms: i64| ms as f64 / whole * 100.0;
    let critical = report
        .critical_path
        .iter()
        .any(|step| step.span_id == span.span_id);
    let took = span.duration_ms;
    let _ = write!(
        page,
        "<tr><td class=\"{}\">{} {}<td>{}<td>{}<td><div class=\"track\"><div class=\"bar {}\" style=\"left:{:.2}%;width:{:.2}%\"></div>",
        if critical { "critical" } else { "" },
        escape(&span.service),
        escape(&span.operation),
        took.map_or("open".to_owned(), |ms| milliseconds(ms as f64)),
        escape(&span.status),
        escape(&span.status),
        share(span.offset_ms).clamp(0.0, 100.0),
        took.map_or(100.0 - share(span.offset_ms), share)
            .clamp(0.0, 100.0),
    );
    for gap in report.gaps.iter().filter(|gap| gap.inside == span.span_id) {
        let after = report
            .spans
            .iter()
            .find(|span| span.span_id == gap.after_span);
        let from = match after {
            Some(after) if gap.after_span != gap.inside => {
                after.offset_ms + after.duration_ms.unwrap_or(0)
            }
            _ => span.offset_ms,
        };
        let _ = write!(
            page,
            "<div class=\"gap\" style=\"left:{:.2}%;width:{:.2}%\"></div>",
            share(from).clamp(0.0, 100.0),
            share(gap.gap_ms).clamp(0.0, 100.0),
        );
    }
    page.push_str("</div>");
    if let Some(log) = &span.quoted_log {
        let _ = write!(page, "<span class=\"q\">{}</span>", escape(&quoted(log)));
    }
}

/// Text as HTML shows it.
fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_can_not_become_markup() {
        assert_eq!(
            escape("<script>alert('\"&')</script>"),
            "&lt;script&gt;alert(&#39;&quot;&amp;&#39;)&lt;/script&gt;"
        );
    }
}
