//! What went wrong over all executions of a job: the cause that explains most of it, and whether a
//! region or a model failed as a whole.
//!
//! Invariant: an outage is claimed only where nearly everything in its scope failed, and mostly by one
//! cause; scattered failures never add up to one.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::baseline::Baselines;
use super::case::ExecutionCase;
use super::facts::Outcome;
use super::report::{
    CauseCount, DominantCause, ExecutionView, JobTimeouts, Outage, OutageScope, RootCause,
};
use super::root_cause::cause_of;
use super::row::ended_at_once;
use super::tree::Tree;
use super::view;
use super::words::rounded;
use crate::model::Execution;

/// Fewest executions of a region or model that can make an outage.
const LEAST_EXECUTIONS: usize = 3;
/// Share of them that has to fail.
const NEARLY_ALL: f64 = 0.8;
/// Share of those failures that has to have one cause.
const MOSTLY: f64 = 0.75;
/// In a smaller group all of them have to.
const SMALL: usize = 5;

/// Below this confidence a cause is open to be another one of the same service.
const UNSURE: f64 = 0.75;

/// One execution and what became of it.
struct Judged<'a> {
    row: &'a Execution,
    cause: RootCause,
    confidence: f64,
}

impl Judged<'_> {
    fn in_trouble(&self) -> bool {
        self.cause != RootCause::None && Outcome::of(self.row) != Outcome::Running
    }
}

/// Answers why a job's executions failed or were slow.
///
/// Needs a case for each execution of the job (a few hundred at most), its siblings left empty, and
/// baselines from recent spans of the models in it.
pub fn analyse(
    job_id: &str,
    cases: &[ExecutionCase],
    baselines: &Baselines,
    now: DateTime<Utc>,
) -> JobTimeouts {
    let mut judged = Vec::with_capacity(cases.len());
    let mut analysis: Vec<ExecutionView> = Vec::with_capacity(cases.len());
    for case in cases {
        let tree = Tree::build(&case.spans, &baselines.skews);
        let (cause, confidence) = cause_of(case, &tree, baselines, now);
        // Nobody asks for the spans of those that went well, and they would take up the room of the others.
        let listed = match cause {
            RootCause::None => view::in_short(case, &tree),
            _ => view::execution(case, &tree),
        };
        analysis.push(ExecutionView {
            root_cause_code: Some(cause),
            confidence: Some(confidence),
            ..listed
        });
        judged.push(Judged {
            row: &case.execution,
            cause,
            confidence,
        });
    }
    let trouble = |view: &ExecutionView| view.root_cause_code == Some(RootCause::None);
    analysis.sort_by_key(|view| (trouble(view), view.execution_id));
    let with = |outcome| {
        judged
            .iter()
            .filter(|j| Outcome::of(j.row) == outcome)
            .count()
    };
    let outages = outages(&judged);
    let dominant_cause = dominant(&judged, &outages);
    JobTimeouts {
        job_id: job_id.to_owned(),
        total_executions: cases.len(),
        failed: with(Outcome::Failed),
        running: with(Outcome::Running),
        recommendations: recommendations(job_id, &judged, dominant_cause.as_ref()),
        notes: notes(&judged),
        dominant_cause,
        causes: causes(&judged),
        outages,
        analysis,
    }
}

fn causes(judged: &[Judged<'_>]) -> Vec<CauseCount> {
    let mut counts: BTreeMap<RootCause, usize> = BTreeMap::new();
    for one in judged.iter().filter(|one| one.in_trouble()) {
        *counts.entry(one.cause).or_default() += 1;
    }
    let mut causes: Vec<_> = (counts.into_iter())
        .map(|(root_cause_code, count)| CauseCount {
            root_cause_code,
            count,
        })
        .collect();
    causes.sort_by_key(|cause| std::cmp::Reverse(cause.count));
    causes
}

/// Outages, widest scope first.
fn outages(judged: &[Judged<'_>]) -> Vec<Outage> {
    let all: Vec<&Judged<'_>> = judged.iter().collect();
    let by_region = groups(judged, |row| Some(&row.region));
    let by_model = groups(judged, |row| row.model_id.as_ref());
    let find = |scope, groups: &BTreeMap<String, Vec<&Judged<'_>>>| -> Vec<Outage> {
        let found = groups.iter();
        found
            .filter_map(|(name, group)| outage(scope, Some(name.clone()), group))
            .collect()
    };
    let regions = find(OutageScope::Region, &by_region);
    let models = find(OutageScope::Model, &by_model);
    let everywhere = regions.len() > 1 && regions.len() == by_region.len();
    let whole = outage(OutageScope::Job, None, &all);
    if let Some(whole) = whole.filter(|_| everywhere || by_region.len() == 1) {
        return vec![whole];
    }
    regions.into_iter().chain(models).collect()
}

fn groups<'a>(
    judged: &'a [Judged<'a>],
    key: impl Fn(&'a Execution) -> Option<&'a String>,
) -> BTreeMap<String, Vec<&'a Judged<'a>>> {
    let mut groups: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for one in judged {
        if let Some(name) = key(one.row) {
            groups.entry(name.clone()).or_default().push(one);
        }
    }
    groups
}

fn outage(scope: OutageScope, name: Option<String>, group: &[&Judged<'_>]) -> Option<Outage> {
    let troubled: Vec<&Judged<'_>> = group
        .iter()
        .copied()
        .filter(|one| one.in_trouble())
        .collect();
    let share = |part: usize, of: usize| part as f64 / of.max(1) as f64;
    if group.len() < LEAST_EXECUTIONS || share(troubled.len(), group.len()) < NEARLY_ALL {
        return None;
    }
    // One cause may be told less clearly in some executions than in others, so certainty votes.
    let mut votes: BTreeMap<RootCause, (f64, usize)> = BTreeMap::new();
    for one in &troubled {
        let vote = votes.entry(one.cause).or_default();
        *vote = (vote.0 + one.confidence, vote.1 + 1);
    }
    let (&cause, &(_, count)) = (votes.iter())
        .filter(|(cause, _)| **cause != RootCause::Undetermined)
        .max_by(|a, b| a.1.0.total_cmp(&b.1.0))?;
    let open_to_it = |one: &&&Judged<'_>| {
        one.cause != cause && one.cause.service() == cause.service() && one.confidence < UNSURE
    };
    let fitting = count + troubled.iter().filter(open_to_it).count();
    let mostly = if group.len() < SMALL { 1.0 } else { MOSTLY };
    if count < 2 || share(fitting, troubled.len()) < mostly {
        return None;
    }
    let place = match (&scope, &name) {
        (OutageScope::Region, Some(name)) => format!("in region {name}"),
        (OutageScope::Model, Some(name)) => format!("with model {name}"),
        _ => "of the job".to_owned(),
    };
    let explanation = format!(
        "{} of {} executions {place} failed or were slow, {count} of them by {}",
        troubled.len(),
        group.len(),
        cause.code()
    );
    Some(Outage {
        scope,
        name,
        root_cause_code: cause,
        failed: troubled.len(),
        total: group.len(),
        explanation,
    })
}

fn dominant(judged: &[Judged<'_>], outages: &[Outage]) -> Option<DominantCause> {
    let troubled: Vec<&Judged<'_>> = judged.iter().filter(|one| one.in_trouble()).collect();
    let counts = causes(judged);
    let told = counts
        .iter()
        .find(|count| count.root_cause_code != RootCause::Undetermined);
    let outage = outages.iter().max_by_key(|outage| outage.failed);
    let cause = match outage {
        Some(outage) => outage.root_cause_code,
        None => told.or(counts.first())?.root_cause_code,
    };
    let of_cause: Vec<&&Judged<'_>> = troubled.iter().filter(|one| one.cause == cause).collect();
    let name = |scope| {
        outage
            .filter(|o| o.scope == scope)
            .and_then(|o| o.name.clone())
    };
    let share = of_cause.len() as f64 / troubled.len().max(1) as f64;
    let never_ran = of_cause.iter().filter(|one| ended_at_once(one.row)).count();
    let mut explanation = match outage {
        Some(outage) => outage.explanation.clone(),
        None => format!(
            "{} of {} executions that failed or were slow did so by {}",
            of_cause.len(),
            troubled.len(),
            cause.code()
        ),
    };
    if never_ran > 0 && never_ran == of_cause.len() {
        explanation.push_str(match of_cause.len() {
            1 => "; it ended within milliseconds: it never ran",
            _ => "; all of these ended within milliseconds: they never ran",
        });
    }
    let of = |key: fn(&Execution) -> Option<&String>| confined(judged, &of_cause, key);
    Some(DominantCause {
        root_cause_code: cause,
        share: rounded(share),
        region: name(OutageScope::Region).or_else(|| of(|row| Some(&row.region))),
        model: name(OutageScope::Model).or_else(|| of(|row| row.model_id.as_ref())),
        explanation,
    })
}

/// The value that all executions of the cause share while the job has others.
fn confined(
    judged: &[Judged<'_>],
    of_cause: &[&&Judged<'_>],
    key: fn(&Execution) -> Option<&String>,
) -> Option<String> {
    let first = key(of_cause.first()?.row)?;
    let same = of_cause.iter().all(|one| key(one.row) == Some(first));
    let others = judged.iter().any(|one| key(one.row) != Some(first));
    (of_cause.len() >= LEAST_EXECUTIONS && same && others).then(|| first.clone())
}

fn notes(judged: &[Judged<'_>]) -> Vec<String> {
    let mut notes = Vec::new();
    let failed: Vec<&Judged<'_>> = judged
        .iter()
        .filter(|one| Outcome::of(one.row) == Outcome::Failed)
        .collect();
    if judged.is_empty() {
        notes.push("the job has no executions: it was not started, or its rows are written when executions end".to_owned());
    }
    if !failed.is_empty() && failed.iter().all(|one| ended_at_once(one.row)) {
        notes.push(
            "every failed execution ended within milliseconds: nothing was ever run".to_owned(),
        );
    }
    let running = judged
        .iter()
        .filter(|one| Outcome::of(one.row) == Outcome::Running)
        .count();
    if running > 0 {
        notes.push(format!(
            "executions that are still running and not counted: {running}"
        ));
    }
    notes
}

fn recommendations(
    job_id: &str,
    judged: &[Judged<'_>],
    dominant: Option<&DominantCause>,
) -> Vec<String> {
    let Some(dominant) = dominant else {
        return match judged.is_empty() {
            true => vec![format!(
                "Check that the runner took up {job_id} and writes to this database"
            )],
            false => Vec::new(),
        };
    };
    let of_cause = |one: &&Judged<'_>| one.cause == dominant.root_cause_code;
    let clearest = judged
        .iter()
        .filter(of_cause)
        .max_by(|a, b| a.confidence.total_cmp(&b.confidence));
    let mut list = Vec::new();
    if let Some(one) = clearest {
        let id = one.row.id;
        list.push(format!(
            "Look at the clearest case: beacon-collector diagnose {id}"
        ));
        list.push(format!(
            "Compare it with executions that went well: beacon-collector compare {id}"
        ));
    }
    if let Some(region) = &dominant.region {
        list.push(format!(
            "See whether {region} still fails: beacon-collector failures --region {region}"
        ));
    }
    if let Some(model) = &dominant.model {
        list.push(format!(
            "See whether {model} still fails: beacon-collector failures --model {model}"
        ));
    }
    list
}

#[cfg(test)]
mod tests;
