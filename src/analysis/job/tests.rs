//! Jobs with and without outages.

use super::*;
use crate::analysis::scene::{Said, at, baselines, ended, healthy, runner};

const REGIONS: [&str; 3] = ["US", "EU", "ASIA"];

/// Two healthy executions for each of three models in each of three regions.
fn job() -> Vec<ExecutionCase> {
    let kinds = REGIONS.iter().flat_map(|region| {
        let models = ["a", "b", "c"];
        models
            .into_iter()
            .flat_map(move |model| [(region, model), (region, model)])
    });
    kinds
        .enumerate()
        .map(|(number, (region, model))| {
            let mut case = ended("completed", healthy());
            case.execution.id = 2_301 + number as i64;
            case.execution.region = (*region).to_owned();
            case.execution.model_id = Some(model.to_owned());
            case
        })
        .collect()
}

/// Makes an execution fail to reach the router.
fn unreachable(case: &mut ExecutionCase) {
    let spans = runner(25).into_iter();
    case.spans = spans.map(|span| span.failed("error", "error")).collect();
    case.execution.status = "failed".to_owned();
    case.execution.completed_at = Some(at(25));
}

fn analysed(cases: &[ExecutionCase]) -> JobTimeouts {
    analyse("bias-detection-1", cases, &baselines(), at(100_000_000))
}

#[test]
fn a_region_that_fails_as_a_whole_is_an_outage() {
    let mut cases = job();
    cases
        .iter_mut()
        .filter(|case| case.execution.region == "EU")
        .for_each(unreachable);
    let found = analysed(&cases);
    assert_eq!((found.total_executions, found.failed), (18, 6));
    let outage = &found.outages[0];
    assert_eq!(
        (outage.scope, outage.name.as_deref()),
        (OutageScope::Region, Some("EU"))
    );
    assert_eq!((outage.failed, outage.total), (6, 6));
    let listed = |failed: bool| {
        let spans = found
            .analysis
            .iter()
            .filter(|one| (one.region == "EU") == failed);
        spans
            .map(|one| (one.span_count > 0, one.spans.is_empty()))
            .collect::<Vec<_>>()
    };
    assert_eq!(listed(true), [(true, false); 6]);
    assert_eq!(listed(false), [(true, true); 12]);
    let dominant = found.dominant_cause.unwrap();
    assert_eq!(dominant.root_cause_code, RootCause::RouterUnreachable);
    assert_eq!(
        (dominant.region.as_deref(), dominant.model),
        (Some("EU"), None)
    );
    assert!(
        dominant.explanation.contains("never ran"),
        "{}",
        dominant.explanation
    );
    assert!((dominant.share - 1.0).abs() < 1e-9);
    let first = &found.analysis[0];
    assert_eq!(
        first.root_cause_code,
        Some(RootCause::RouterUnreachable),
        "failed ones come first"
    );
}

#[test]
fn a_model_that_fails_everywhere_is_an_outage_of_the_model() {
    let mut cases = job();
    let of_model = |case: &&mut ExecutionCase| case.execution.model_id.as_deref() == Some("b");
    cases.iter_mut().filter(of_model).for_each(unreachable);
    let found = analysed(&cases);
    assert_eq!(found.outages.len(), 1);
    assert_eq!(found.outages[0].scope, OutageScope::Model);
    assert_eq!(
        found
            .dominant_cause
            .and_then(|cause| cause.model)
            .as_deref(),
        Some("b")
    );
}

#[test]
fn a_job_that_fails_everywhere_is_one_outage() {
    let mut cases = job();
    cases.iter_mut().for_each(unreachable);
    let found = analysed(&cases);
    assert_eq!(found.outages.len(), 1);
    assert_eq!(
        (found.outages[0].scope, found.outages[0].total),
        (OutageScope::Job, 18)
    );
    assert!(
        found
            .notes
            .iter()
            .any(|note| note.contains("nothing was ever run"))
    );
}

#[test]
fn scattered_failures_are_no_outage() {
    let mut cases = job();
    cases.iter_mut().step_by(5).for_each(unreachable);
    let found = analysed(&cases);
    assert_eq!((found.failed, found.outages.len()), (4, 0));
    assert_eq!(found.dominant_cause.map(|cause| cause.region), Some(None));
}

#[test]
fn two_causes_in_one_region_are_no_outage() {
    let mut cases = job();
    let of_region = |case: &&mut ExecutionCase| case.execution.region == "EU";
    for (number, case) in cases.iter_mut().filter(of_region).take(5).enumerate() {
        unreachable(case);
        if number >= 3 {
            let spans = runner(4_000).into_iter();
            case.spans = spans
                .map(|span| span.failed("error", "context canceled"))
                .collect();
            case.execution.completed_at = Some(at(4_000));
        }
    }
    let found = analysed(&cases);
    let counts = found.causes.iter().map(|cause| cause.count);
    assert_eq!(counts.collect::<Vec<_>>(), [3, 2]);
    assert_eq!((found.failed, found.outages.len()), (5, 0));
}

#[test]
fn a_job_in_which_nothing_is_wrong_has_no_cause() {
    let found = analysed(&job());
    assert_eq!((found.dominant_cause, found.causes.len()), (None, 0));
}

#[test]
fn a_job_without_executions_says_what_to_check() {
    let found = analysed(&[]);
    assert_eq!(found.total_executions, 0);
    assert!(found.notes[0].contains("no executions"));
    assert!(found.recommendations[0].contains("bias-detection-1"));
}
