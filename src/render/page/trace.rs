//! The page of a trace.

use super::bars::{length, waterfall};
use super::{escape, frame, list, words};
use crate::analysis::report::TraceGaps;

/// A trace as a waterfall, with its gaps, what is missing from it, and the executions it belongs to.
pub fn trace_page(report: &TraceGaps, executions: &[i64]) -> String {
    let id = escape(&report.trace_id);
    let links = executions
        .iter()
        .map(|id| format!(" · <a href=\"/executions/{id}\">execution {id}</a>"));
    let mut page = format!(
        "<h1>Trace <code>{id}</code></h1><p class=\"facts\">{} span{} · {}{} · \
         <a href=\"/api/v1/traces/{id}/gaps\">JSON</a></p>",
        report.total_spans,
        if report.total_spans == 1 { "" } else { "s" },
        length(report),
        links.collect::<String>()
    );
    page.push_str(&waterfall(report));
    findings(&mut page, report);
    frame(&format!("Trace {}", report.trace_id), &page)
}

/// Gaps, missing spans and notes.
pub(super) fn findings(page: &mut String, report: &TraceGaps) {
    list(page, "Gaps", report.gaps.iter().map(|gap| words(&gap.what)));
    list(
        page,
        "Missing",
        report.missing_spans.iter().map(|span| {
            let name = format!("{} {}", words(&span.service), words(&span.operation));
            format!("<b>{name}</b>: {}", words(&span.because))
        }),
    );
    list(page, "Notes", report.notes.iter().map(|note| words(note)));
}
