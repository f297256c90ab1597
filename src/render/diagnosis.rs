//! A diagnosis as text for a person who was woken up: the cause in the first line, then what speaks for
//! it, then what to do. What would be said twice is said once.

use std::fmt::Write as _;

use super::Paint;
use super::report::{clean, headline, quoted, section};
use super::waterfall::milliseconds;
use crate::analysis::report::{Anomaly, Diagnosis, Evidence, RootCause};

/// Services in the order in which a call goes through them.
const ORDER: [&str; 3] = ["runner", "router", "modal"];

/// Why an execution failed.
pub fn diagnosis(report: &Diagnosis, paint: Paint) -> String {
    let mut text = String::new();
    // Writing to a String can't fail, here and below.
    let _ = writeln!(text, "{}", first_line(report, paint));
    let _ = writeln!(text, "{}", clean(&report.explanation));
    let _ = writeln!(text, "{}", paint.dim(&facts(report)));
    let _ = writeln!(text, "\ntiming    {}", timing(report, paint));
    evidence(&mut text, &report.evidence, paint);
    others(&mut text, report);
    unusual(&mut text, &report.anomalies);
    section(
        &mut text,
        "what to do",
        report.recommendations.iter().map(|line| clean(line)),
    );
    section(&mut text, "data quality", quality(report).into_iter());
    text
}

fn first_line(report: &Diagnosis, paint: Paint) -> String {
    let cause = report.root_cause_code;
    let sure = report.confidence * 100.0;
    let named = |title: &str| format!("{} ({cause})", headline(cause, title, paint));
    match (cause, report.running_for_ms) {
        (RootCause::Undetermined, Some(_)) => named("Still running"),
        (RootCause::Undetermined, None) => match report.ruled_out.first() {
            Some(other) => format!(
                "{}; likeliest is {}, {sure:.0} %",
                named("Undetermined"),
                other.root_cause_code
            ),
            None => named("Undetermined"),
        },
        (RootCause::None, _) => format!("{}, {sure:.0} % sure", named("Nothing wrong")),
        _ => {
            let place = report.affected_service.as_deref();
            let place = place.map_or(String::new(), |service| format!(", in {service}"));
            format!("{}{place}, {sure:.0} % sure", named(&report.root_cause))
        }
    }
}

fn facts(report: &Diagnosis) -> String {
    let took = match (report.duration_ms, report.running_for_ms) {
        (Some(ms), _) => format!("{} after {}", report.status, milliseconds(ms as f64)),
        (None, Some(ms)) => format!("{}, for {} now", report.status, milliseconds(ms as f64)),
        (None, None) => report.status.clone(),
    };
    let facts = [
        Some(format!("execution {}", report.execution_id)),
        report.job_id.as_ref().map(|job| format!("job {job}")),
        Some(report.region.clone()),
        report.model.clone(),
        Some(took),
    ];
    let facts: Vec<String> = facts.iter().flatten().map(|fact| clean(fact)).collect();
    facts.join(" · ")
}

fn timing(report: &Diagnosis, paint: Paint) -> String {
    let place = |service: &String| ORDER.iter().position(|known| known == service);
    let mut services: Vec<_> = report.timing_breakdown.iter().collect();
    services.sort_by_key(|(service, _)| place(service).unwrap_or(ORDER.len()));
    let services = services.into_iter().map(|(service, took)| {
        let took = clean(took);
        let took = if took == "missing" {
            paint.yellow(&took)
        } else {
            took
        };
        format!("{} {took}", clean(service))
    });
    services.collect::<Vec<_>>().join(" · ")
}

/// What speaks for the cause; callers repeat what they were told, so that each text is quoted once.
fn evidence(text: &mut String, evidence: &[Evidence], paint: Paint) {
    if evidence.is_empty() {
        return;
    }
    let _ = writeln!(text, "\nevidence");
    let mut said: Vec<&str> = Vec::new();
    for item in evidence {
        let _ = writeln!(text, "  - {}", clean(&item.what));
        let quote = item
            .quoted_log
            .as_deref()
            .filter(|quote| !said.contains(quote));
        if let Some(quote) = quote {
            let _ = writeln!(text, "    {}", paint.dim(&format!("\"{}\"", quoted(quote))));
            said.push(quote);
        }
    }
}

/// Things with the same reason together, in the order of their first.
fn by_reason<'a, T>(things: impl Iterator<Item = (T, &'a str)>) -> Vec<(&'a str, Vec<T>)> {
    let mut groups: Vec<(&str, Vec<T>)> = Vec::new();
    for (thing, reason) in things {
        match groups.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, group)) => group.push(thing),
            None => groups.push((reason, vec![thing])),
        }
    }
    groups
}

/// The causes that it is not, or those that it may be.
fn others(text: &mut String, report: &Diagnosis) {
    let open = report.root_cause_code == RootCause::Undetermined;
    let weighed = report.ruled_out.iter();
    if open {
        let lines = weighed.map(|cause| {
            let chance = cause.probability * 100.0;
            format!(
                "{chance:.0} % {}: {}",
                cause.root_cause_code,
                clean(&cause.because)
            )
        });
        return section(text, "it may be", lines);
    }
    let weighed = weighed.map(|cause| (cause.root_cause_code.code(), cause.because.as_str()));
    let lines = by_reason(weighed).into_iter();
    let lines = lines.map(|(because, causes)| format!("{}: {}", causes.join(", "), clean(because)));
    section(text, "ruled out", lines);
}

fn unusual(text: &mut String, anomalies: &[Anomaly]) {
    let measure = |odd: &Anomaly| format!("{} samples, {}", odd.samples, clean(&odd.compared_with));
    let common = anomalies.first().map(measure);
    let common = common.filter(|all| anomalies.iter().all(|odd| measure(odd) == *all));
    let title = common
        .as_ref()
        .map_or("unusual".to_owned(), |all| format!("unusual ({all})"));
    let lines = anomalies.iter().map(|odd| {
        let (now, usual) = (odd.observed_ms as f64, odd.baseline_ms as f64);
        let own = match common {
            Some(_) => String::new(),
            None => format!(" ({})", measure(odd)),
        };
        format!(
            "{}: {} instead of {}{own}",
            clean(&odd.what),
            milliseconds(now),
            milliseconds(usual)
        )
    });
    section(text, &title, lines);
}

fn quality(report: &Diagnosis) -> Vec<String> {
    let quality = &report.data_quality;
    let mut lines: Vec<String> = Vec::new();
    if let Some(how) = &quality.linked_by {
        let sure = quality.link_confidence.unwrap_or_default() * 100.0;
        lines.push(format!("trace joined by {}, {sure:.0} % sure", clean(how)));
    }
    let missing = quality.missing_spans.iter().map(|span| {
        let name = format!("{} {}", clean(&span.service), clean(&span.operation));
        (name, span.because.as_str())
    });
    lines.extend(by_reason(missing).into_iter().map(|(because, names)| {
        let are = if names.len() == 1 { "is" } else { "are" };
        format!("{} {are} missing: {}", names.join(", "), clean(because))
    }));
    lines.extend(quality.log_loss.iter().map(|loss| {
        format!(
            "{} lost log lines from {} to {}",
            clean(&loss.source),
            loss.from,
            loss.to
        )
    }));
    lines.extend(quality.notes.iter().map(|note| clean(note)));
    lines
}
