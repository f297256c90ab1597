//! What took unusually long or short in a trace, measured against successful executions.

use super::baseline::{Measure, Reference, waits};
use super::facts::Facts;
use super::report::Anomaly;
use super::words::whole_ms;

/// A robust z-score beyond this is unusual.
const UNUSUAL_Z: f64 = 3.5;
/// A deviation also has to be this factor, or nobody would call it one.
const UNUSUAL_FACTOR: f64 = 2.0;
/// Nor does anybody care about less, in ms.
const LEAST_MS: f64 = 100.0;
/// Anomalies listed; the largest are kept.
const LISTED: usize = 20;

/// The anomalies of a trace, largest first.
pub(crate) fn anomalies(facts: &Facts<'_>) -> Vec<Anomaly> {
    let mut found = Vec::new();
    for node in &facts.tree.nodes {
        let name = format!("{} {}", node.span.service, node.span.operation);
        let lead = waits(facts.tree, node);
        let measured = [
            (Measure::Span, node.took_ms(), format!("duration of {name}")),
            (
                Measure::Lead,
                lead.map(|(lead, _)| lead),
                format!("wait before {name}"),
            ),
            (
                Measure::Tail,
                lead.and_then(|(_, tail)| tail),
                format!("wait after {name}"),
            ),
        ];
        for (measure, ms, what) in measured {
            let reference = facts.baselines.reference(measure, node.span, &facts.kind);
            if let (Some(ms), Some(usual)) = (ms, reference) {
                let span_id = node.span.span_id.to_string();
                found.extend(anomaly(span_id, what, ms, usual));
            }
        }
    }
    found.sort_by(|a, b| b.robust_z.abs().total_cmp(&a.robust_z.abs()));
    found.truncate(LISTED);
    found
}

fn anomaly(span_id: String, what: String, ms: f64, usual: Reference) -> Option<Anomaly> {
    let z = usual.summary.robust_z(ms);
    let median = usual.summary.median_ms;
    let factor = ms.max(median) / ms.min(median).max(1.0);
    let unusual =
        z.abs() >= UNUSUAL_Z && factor >= UNUSUAL_FACTOR && (ms - median).abs() >= LEAST_MS;
    unusual.then(|| Anomaly {
        span_id,
        what,
        observed_ms: whole_ms(ms),
        baseline_ms: whole_ms(median),
        samples: usual.summary.samples,
        robust_z: (z * 10.0).round() / 10.0,
        compared_with: usual.level.words().to_owned(),
    })
}
