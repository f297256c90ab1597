//! How an execution differs from successful ones of its kind.
//!
//! Invariant: a difference names its numbers and the number of samples behind them; a cohort too thin
//! to tell a difference from chance is called so.

mod differences;

use chrono::{DateTime, TimeDelta, Utc};

use super::baseline::Baselines;
use super::case::ExecutionCase;
use super::facts::Outcome;
use super::report::{Cohort, Comparison};
use super::tree::Tree;
use super::view;
use crate::model::Execution;

/// Successful executions compared with; the most recent are taken.
pub const COHORT: usize = 20;
/// Fewer than this tell a difference from chance badly.
const ENOUGH: usize = 5;
/// Executions of the cohort that are listed.
const LISTED: usize = 5;

/// How near successful executions have to be to an execution to be compared with it.
#[derive(Clone, Copy)]
struct Nearness {
    same_model: bool,
    same_region: bool,
    words: &'static str,
}

/// From the nearest to the widest.
const STEPS: [Nearness; 4] = [
    Nearness {
        same_model: true,
        same_region: true,
        words: "same model and region",
    },
    Nearness {
        same_model: true,
        same_region: false,
        words: "same model, any region",
    },
    Nearness {
        same_model: false,
        same_region: true,
        words: "same region, any model",
    },
    Nearness {
        same_model: false,
        same_region: false,
        words: "any model and region",
    },
];

/// Answers how an execution differs from successful ones.
///
/// Needs cases of recent successful executions within `window` before `now`, with their spans: of the
/// same model in every region to begin with, of other models where there are few.
pub fn compare<'a>(
    case: &ExecutionCase,
    candidates: impl IntoIterator<Item = &'a ExecutionCase>,
    baselines: &Baselines,
    window: TimeDelta,
    now: DateTime<Utc>,
) -> Comparison {
    let (cohort, step) = choose(case, candidates, baselines, now - window);
    let tree = Tree::build(&case.spans, &baselines.skews);
    let trees: Vec<Tree<'_>> = cohort
        .iter()
        .map(|case| Tree::build(&case.spans, &baselines.skews))
        .collect();
    let details = differences::find(case, &tree, &cohort, &trees);
    let listed = cohort.iter().zip(&trees).take(LISTED);
    Comparison {
        failed_execution: view::execution(case, &tree),
        similar_successful: listed
            .map(|(case, tree)| view::execution(case, tree))
            .collect(),
        differences: details
            .iter()
            .map(|difference| difference.what.clone())
            .collect(),
        difference_details: details,
        notes: notes(case, &cohort),
        cohort: Cohort {
            size: cohort.len(),
            chosen_by: format!("{}, last {}", step.words, in_words(window)),
            too_thin: cohort.len() < ENOUGH,
        },
    }
}

/// The most recent successes at the nearest step that has enough; else at the one that has most.
fn choose<'a>(
    case: &ExecutionCase,
    candidates: impl IntoIterator<Item = &'a ExecutionCase>,
    baselines: &Baselines,
    since: DateTime<Utc>,
) -> (Vec<&'a ExecutionCase>, Nearness) {
    let when = |row: &Execution| row.completed_at.or(row.created_at).or(row.started_at);
    let own = kind(&case.execution, baselines);
    let mut recent: Vec<&ExecutionCase> = (candidates.into_iter())
        .filter(|other| other.execution.id != case.execution.id)
        .filter(|other| Outcome::of(&other.execution) == Outcome::Succeeded)
        .filter(|other| when(&other.execution).is_some_and(|at| at >= since))
        .collect();
    recent.sort_by_key(|other| std::cmp::Reverse((when(&other.execution), other.execution.id)));
    let at_step = |step: &Nearness| -> Vec<&'a ExecutionCase> {
        let near = |other: &&&'a ExecutionCase| {
            let kind = kind(&other.execution, baselines);
            (!step.same_model || kind.0 == own.0) && (!step.same_region || kind.1 == own.1)
        };
        recent.iter().filter(near).take(COHORT).copied().collect()
    };
    let cohorts = STEPS.map(|step| (at_step(&step), step));
    let enough = cohorts
        .iter()
        .position(|(cohort, _)| cohort.len() >= ENOUGH);
    // The first of equals is the nearest.
    let most = (0..STEPS.len()).rev().max_by_key(|&at| cohorts[at].0.len());
    let at = enough.or(most).unwrap_or_default();
    cohorts
        .into_iter()
        .nth(at)
        .unwrap_or((Vec::new(), STEPS[0]))
}

fn kind(row: &Execution, baselines: &Baselines) -> super::shape::Kind {
    baselines.kind(row.model_id.as_deref(), Some(&row.region))
}

fn notes(case: &ExecutionCase, cohort: &[&ExecutionCase]) -> Vec<String> {
    let mut notes = Vec::new();
    if cohort.is_empty() {
        notes.push("no successful execution of this time is known to compare with".to_owned());
    } else if cohort.len() < ENOUGH {
        notes.push(format!(
            "only {} successful executions to compare with: too thin to tell a difference from chance",
            cohort.len()
        ));
    }
    match Outcome::of(&case.execution) {
        Outcome::Succeeded => notes.push("this execution did not fail".to_owned()),
        Outcome::Running => notes.push("this execution is still running".to_owned()),
        Outcome::Failed => {}
    }
    if case.spans.is_empty() {
        notes.push("no span of this execution is known; only its row is compared".to_owned());
    }
    notes
}

fn in_words(window: TimeDelta) -> String {
    match (window.num_days(), window.num_hours()) {
        (1, _) => "day".to_owned(),
        (days, _) if days > 1 => format!("{days} days"),
        (_, 1) => "hour".to_owned(),
        (_, hours) if hours > 1 => format!("{hours} hours"),
        _ => format!("{} minutes", window.num_minutes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::report::DifferenceKind;
    use crate::analysis::scene::{Said, at, baselines, ended, failed, healthy, row, runner, span};

    fn successes(count: i64, model: &str, region: &str) -> Vec<ExecutionCase> {
        let numbers = 1..=count;
        numbers
            .map(|number| {
                let mut case = ended("completed", healthy());
                case.execution = row(100 + number, "completed", 2_500);
                case.execution.model_id = Some(model.to_owned());
                case.execution.region = region.to_owned();
                case.execution.provider_id = "modal-us-east".to_owned();
                case
            })
            .collect()
    }

    fn compared(case: &ExecutionCase, candidates: &[ExecutionCase]) -> Comparison {
        compare(
            case,
            candidates,
            &baselines(),
            TimeDelta::days(7),
            at(60_000),
        )
    }

    fn at_once() -> ExecutionCase {
        failed(vec![
            span(1, "runner", "execute_question", 0, 13).failed("error", "error"),
        ])
    }

    #[test]
    fn what_is_missing_and_what_took_otherwise_is_said_weightiest_first() {
        let found = compared(&at_once(), &successes(20, "llama3.2-1b", "US"));
        let said = &found.differences;
        assert!(
            said[..2].contains(&"Failed execution has no modal span".to_owned()),
            "{said:#?}"
        );
        assert!(
            said[..2].contains(&"Failed execution has no router span".to_owned()),
            "{said:#?}"
        );
        assert!(
            said.contains(&"Successful executions took 2500ms vs 13ms".to_owned()),
            "{said:#?}"
        );
        assert!(
            found
                .difference_details
                .is_sorted_by(|a, b| a.weight >= b.weight)
        );
        assert_eq!((found.cohort.size, found.cohort.too_thin), (20, false));
        assert_eq!(found.cohort.chosen_by, "same model and region, last 7 days");
        let provider = found
            .difference_details
            .iter()
            .find(|d| d.kind == DifferenceKind::Attribute);
        assert_eq!(provider.and_then(|d| d.failed_value.as_deref()), Some(""));
    }

    #[test]
    fn extra_time_is_found_where_it_went() {
        let mut spans = runner(42_500);
        spans.extend(crate::analysis::scene::router(20, 42_480));
        spans.push(crate::analysis::scene::modal(40_300, 42_400));
        let found = compared(
            &ended("completed", spans),
            &successes(20, "llama3.2-1b", "US"),
        );
        let wait = "wait before modal inference was 40.00s longer: 40.27s vs 275ms (20 samples)";
        assert!(
            found.differences.iter().any(|what| what == wait),
            "{:#?}",
            found.differences
        );
        assert!(
            !found
                .differences
                .iter()
                .any(|what| what.contains("duration of modal"))
        );
    }

    #[test]
    fn a_cohort_is_widened_step_by_step() {
        let mut candidates = successes(2, "llama3.2-1b", "US");
        candidates.extend(successes(9, "llama3.2-1b", "EU"));
        candidates.extend(successes(30, "mistral-7b", "US"));
        let found = compared(&at_once(), &candidates);
        assert_eq!(found.cohort.size, 11);
        assert_eq!(
            found.cohort.chosen_by,
            "same model, any region, last 7 days"
        );
    }

    #[test]
    fn a_thin_cohort_is_called_thin_and_none_is_called_none() {
        let found = compared(&at_once(), &successes(2, "llama3.2-1b", "US"));
        assert!(found.cohort.too_thin && found.notes[0].contains("too thin"));
        let found = compared(&at_once(), &[]);
        assert!(found.cohort.too_thin && found.differences.is_empty());
        assert!(found.notes[0].contains("no successful execution"));
    }

    #[test]
    fn equal_executions_have_no_differences() {
        let mut case = successes(1, "llama3.2-1b", "US").remove(0);
        case.execution.id = 1;
        let found = compared(&case, &successes(20, "llama3.2-1b", "US"));
        assert_eq!(found.differences, Vec::<String>::new());
    }
}
