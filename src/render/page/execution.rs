//! The pages of an execution and of a job: the cause in the first line, then what to do, then what speaks
//! for it.

use std::fmt::Write as _;

use super::bars::waterfall;
use super::trace::findings;
use super::{cause, frame, in_path, list, milliseconds, mood, quote, time, took, words};
use crate::analysis::report::{Diagnosis, ExecutionView, JobTimeouts, TraceGaps};

/// Why an execution failed, with its trace where there is one.
pub fn execution_page(report: &Diagnosis, trace: Option<&TraceGaps>) -> String {
    let id = report.execution_id;
    let mut page = format!("<p class=\"facts\">{}</p>", facts(report));
    // Writing to a String can't fail, here and below.
    let _ = write!(
        page,
        "<h1 class=\"{}\">{}</h1><p class=\"lead\">{}</p>",
        mood(report.root_cause_code),
        words(&report.root_cause),
        words(&report.explanation)
    );
    sure(&mut page, report);
    list(
        &mut page,
        "What to do",
        report.recommendations.iter().map(|line| words(line)),
    );
    if let Some(trace) = trace {
        page.push_str("<section><h2>Where the time went</h2>");
        page.push_str(&waterfall(trace));
        page.push_str("</section>");
    }
    list(
        &mut page,
        "Evidence",
        report.evidence.iter().map(|item| {
            let log = item.quoted_log.as_deref().map(quote);
            format!("{} {}", words(&item.what), log.unwrap_or_default())
        }),
    );
    list(
        &mut page,
        "Unusual",
        report.anomalies.iter().map(|odd| {
            format!(
                "{}: {} instead of {} <small>({} samples, {})</small>",
                words(&odd.what),
                milliseconds(odd.observed_ms as f64),
                milliseconds(odd.baseline_ms as f64),
                odd.samples,
                words(&odd.compared_with)
            )
        }),
    );
    list(
        &mut page,
        "Ruled out",
        report.ruled_out.iter().map(|other| {
            let title = words(other.root_cause_code.title());
            format!("<b>{title}</b>: {}", words(&other.because))
        }),
    );
    if let Some(trace) = trace {
        findings(&mut page, trace);
    }
    let quality = &report.data_quality;
    list(
        &mut page,
        "Data quality",
        quality.notes.iter().map(|note| words(note)),
    );
    frame(&format!("Execution {id}: {}", report.root_cause), &page)
}

fn facts(report: &Diagnosis) -> String {
    let id = report.execution_id;
    let mut facts = vec![format!("execution {id}")];
    if let Some(job) = &report.job_id {
        facts.push(format!(
            "<a href=\"/jobs/{}\">{}</a>",
            in_path(job),
            words(job)
        ));
    }
    facts.push(words(&report.region));
    facts.extend(report.model.as_deref().map(words));
    facts.push(match (report.duration_ms, report.running_for_ms) {
        (None, Some(ms)) => format!("{}, for {} now", words(&report.status), took(Some(ms))),
        (None, None) => words(&report.status),
        (ms, _) => format!("{} after {}", words(&report.status), took(ms)),
    });
    if let Some(trace) = &report.trace_id {
        facts.push(format!("<a href=\"/traces/{}\">trace</a>", in_path(trace)));
    }
    facts.push(format!(
        "<a href=\"/api/v1/executions/{id}/diagnosis\">JSON</a>"
    ));
    facts.push(format!(
        "<a href=\"/api/v1/executions/{id}/comparison\">comparison</a>"
    ));
    facts.join(" · ")
}

/// How sure the diagnosis is, and what each service took.
fn sure(page: &mut String, report: &Diagnosis) {
    let percent = (report.confidence * 100.0).clamp(0.0, 100.0);
    let _ = write!(
        page,
        "<p class=\"chips\"><span class=\"sure\">{percent:.0} % sure <meter value=\"{percent:.0}\" min=\"0\" max=\"100\">\
         {percent:.0} %</meter></span>"
    );
    if let Some(service) = &report.affected_service {
        let _ = write!(page, " <span>in <b>{}</b></span>", words(service));
    }
    for (service, took) in &report.timing_breakdown {
        let class = if took == "missing" { "unsure" } else { "" };
        let _ = write!(
            page,
            " <span class=\"{class}\">{} {}</span>",
            words(service),
            words(took)
        );
    }
    page.push_str("</p>");
}

/// Why a job's executions failed.
pub fn job_page(report: &JobTimeouts) -> String {
    let mut page = format!(
        "<p class=\"facts\">job {} · {} executions, {} failed, {} running · \
         <a href=\"/api/v1/jobs/{}/timeouts\">JSON</a></p>",
        words(&report.job_id),
        report.total_executions,
        report.failed,
        report.running,
        in_path(&report.job_id)
    );
    let _ = match &report.dominant_cause {
        Some(dominant) => write!(
            page,
            "<h1 class=\"{}\">{}</h1><p class=\"lead\">{} ({:.0} % of the trouble)</p>",
            mood(dominant.root_cause_code),
            words(dominant.root_cause_code.title()),
            words(&dominant.explanation),
            dominant.share * 100.0
        ),
        None => write!(
            page,
            "<h1 class=\"good\">Nothing went wrong that can be seen</h1>"
        ),
    };
    let outages = report.outages.iter();
    list(
        &mut page,
        "Outages",
        outages.map(|outage| words(&outage.explanation)),
    );
    list(
        &mut page,
        "What to do",
        report.recommendations.iter().map(|line| words(line)),
    );
    page.push_str("<section><h2>Executions</h2><div class=\"list\">");
    report
        .analysis
        .iter()
        .for_each(|execution| item(&mut page, execution));
    page.push_str("</div></section>");
    list(
        &mut page,
        "Notes",
        report.notes.iter().map(|note| words(note)),
    );
    frame(&format!("Job {}", report.job_id), &page)
}

fn item(page: &mut String, execution: &ExecutionView) {
    let id = execution.execution_id;
    let label = execution.root_cause_code.map(cause).unwrap_or_default();
    let _ = write!(
        page,
        "<div class=\"item\"><a class=\"what\" href=\"/executions/{id}\">{label} <small>execution {id}</small></a>\
         <div class=\"when\">{}</div><div class=\"where\">{} · {} · {} · {} · {} spans</div></div>",
        execution
            .started_at
            .as_deref()
            .map(time)
            .unwrap_or_default(),
        words(&execution.region),
        words(execution.model.as_deref().unwrap_or("-")),
        words(&execution.status),
        took(execution.duration_ms),
        execution.span_count
    );
}
