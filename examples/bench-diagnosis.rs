//! Measures the diagnosis on worlds in which every cause is known.
//!
//! `cargo run --release --example bench-diagnosis -- [--wrong] analysis.json...` prints how often each
//! cause was found, what it was mistaken for, and whether confidence can be believed. The worlds come
//! from `tests/lab/world.py --analysis-json`.
#![expect(clippy::print_stdout, reason = "printing the table is what it is for")]

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use beacon_collector::analysis::baseline::{Baselines, Settings};
use beacon_collector::analysis::case::ExecutionCase;
use beacon_collector::analysis::report::{MissingReason, OutageScope};
use beacon_collector::analysis::{gaps, job, root_cause};
use beacon_collector::model::{Execution, Span};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use uuid::Uuid;

#[derive(Deserialize)]
struct World {
    executions: Vec<Execution>,
    spans: Vec<Span>,
    /// Execution id to trace id.
    traces: HashMap<i64, Uuid>,
    truth: Truth,
}

#[derive(Deserialize)]
struct Truth {
    faults: Vec<Fault>,
    missing: Vec<Missing>,
    outages: Vec<Outage>,
}

#[derive(Deserialize)]
struct Fault {
    execution_id: i64,
    root_cause_code: String,
}

#[derive(Deserialize)]
struct Missing {
    trace_id: Uuid,
}

#[derive(Deserialize)]
struct Outage {
    job_id: String,
    region: String,
    root_cause_code: String,
}

/// What became of all diagnoses.
#[derive(Default)]
struct Tally {
    /// (truth, answer) → count.
    confusion: BTreeMap<(String, String), usize>,
    /// Tenth of confidence → (right, all).
    confidence: BTreeMap<u32, (usize, usize)>,
    sure_and_wrong: usize,
    outages: (usize, usize),
    false_outages: usize,
    jobs: usize,
    missing: (usize, usize),
    spent: Duration,
    slowest: Duration,
}

fn main() -> Result<()> {
    let (flags, files): (Vec<_>, Vec<_>) = std::env::args()
        .skip(1)
        .partition(|arg| arg.starts_with("--"));
    let show_wrong = flags.iter().any(|flag| flag == "--wrong");
    let mut tally = Tally::default();
    for file in &files {
        let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?;
        let world: World =
            serde_json::from_str(&text).with_context(|| format!("cannot parse {file}"))?;
        measure(&world, &mut tally, show_wrong);
    }
    report(&tally);
    Ok(())
}

fn measure(world: &World, tally: &mut Tally, show_wrong: bool) {
    let now = latest(world) + TimeDelta::hours(1);
    let baselines = Baselines::from_spans(&world.spans, Settings::default(), now);
    let mut of_trace: HashMap<Uuid, Vec<Span>> = HashMap::new();
    for span in &world.spans {
        of_trace
            .entry(span.trace_id)
            .or_default()
            .push(span.clone());
    }
    let causes: HashMap<i64, &str> = (world.truth.faults.iter())
        .map(|fault| (fault.execution_id, fault.root_cause_code.as_str()))
        .collect();
    let mut of_job: HashMap<&Option<String>, Vec<Execution>> = HashMap::new();
    for execution in &world.executions {
        of_job
            .entry(&execution.job_id)
            .or_default()
            .push(execution.clone());
    }
    let siblings: HashMap<&Option<String>, Arc<[Execution]>> = of_job
        .into_iter()
        .map(|(job, rows)| (job, rows.into()))
        .collect();
    let lost: HashSet<Uuid> = world
        .truth
        .missing
        .iter()
        .map(|missing| missing.trace_id)
        .collect();
    let mut jobs: BTreeMap<String, Vec<ExecutionCase>> = BTreeMap::new();
    for execution in &world.executions {
        let trace = world.traces[&execution.id];
        let spans = of_trace.get(&trace).cloned().unwrap_or_default();
        let mut case = ExecutionCase::new(execution.clone(), spans);
        case.siblings = siblings.get(&execution.job_id).cloned().unwrap_or_default();
        let begun = Instant::now();
        let found = root_cause::diagnose(&case, &baselines, now);
        let took = begun.elapsed();
        tally.spent += took;
        tally.slowest = tally.slowest.max(took);
        let truth = causes.get(&execution.id).copied().unwrap_or("none");
        let answer = found.root_cause_code.code();
        tally.count(truth, answer, found.confidence);
        if show_wrong && truth != answer {
            println!(
                "{} is {truth}, not {answer} ({:.2}): {}",
                execution.id, found.confidence, found.explanation
            );
            for span in &case.spans {
                println!(
                    "    {} {} {:?} {:?} {:?} {:?}",
                    span.service,
                    span.operation,
                    span.status,
                    span.duration_ms,
                    span.error_type,
                    span.error_message
                );
            }
            println!(
                "    {:?}",
                found
                    .ruled_out
                    .iter()
                    .map(|r| (r.root_cause_code.code(), r.probability))
                    .collect::<Vec<_>>()
            );
        }
        if lost.contains(&trace) {
            let gaps = gaps::find(trace, &case.spans, &baselines, &[], &[]);
            let right = gaps
                .missing_spans
                .iter()
                .any(|m| m.service == "modal" && m.why == MissingReason::LogLost);
            tally.missing.0 += usize::from(right);
            tally.missing.1 += 1;
        }
        let job = execution.job_id.clone().unwrap_or_default();
        jobs.entry(job).or_default().push(case);
    }
    for (id, cases) in jobs {
        let found = job::analyse(&id, &cases, &baselines, now);
        let truth = world
            .truth
            .outages
            .iter()
            .find(|outage| outage.job_id == id);
        tally.jobs += 1;
        let claimed: Vec<_> = found
            .outages
            .iter()
            .filter(|o| o.scope == OutageScope::Region)
            .collect();
        if let Some(truth) = truth {
            let right = claimed.iter().any(|o| {
                o.name.as_deref() == Some(truth.region.as_str())
                    && o.root_cause_code.code() == truth.root_cause_code
            });
            tally.outages.0 += usize::from(right);
            tally.outages.1 += 1;
        } else if !found.outages.is_empty() {
            tally.false_outages += 1;
        }
    }
}

impl Tally {
    fn count(&mut self, truth: &str, answer: &str, confidence: f64) {
        let right = truth == answer;
        *self
            .confusion
            .entry((truth.to_owned(), answer.to_owned()))
            .or_default() += 1;
        let tenth = ((confidence * 10.0) as u32).min(9);
        let bin = self.confidence.entry(tenth).or_default();
        bin.0 += usize::from(right);
        bin.1 += 1;
        self.sure_and_wrong += usize::from(!right && confidence > 0.8);
    }

    fn sum(&self, keep: impl Fn(&str, &str) -> bool) -> usize {
        let kept = self
            .confusion
            .iter()
            .filter(|((truth, answer), _)| keep(truth, answer));
        kept.map(|(_, count)| count).sum()
    }
}

fn latest(world: &World) -> DateTime<Utc> {
    let ends = world
        .executions
        .iter()
        .filter_map(|execution| execution.completed_at);
    ends.max().unwrap_or_default()
}

fn share(part: usize, of: usize) -> String {
    let percent = if of == 0 {
        100.0
    } else {
        part as f64 * 100.0 / of as f64
    };
    format!("{percent:.2} % ({part} of {of})")
}

fn report(tally: &Tally) {
    let all = tally.sum(|_, _| true);
    let faults = tally.sum(|truth, _| truth != "none");
    let found = tally.sum(|truth, answer| truth != "none" && truth == answer);
    let undetermined = tally.sum(|truth, answer| truth != "none" && answer == "undetermined");
    let healthy = tally.sum(|truth, _| truth == "none");
    let alarms = tally.sum(|truth, answer| truth == "none" && answer != "none");
    println!("executions {all}, faults {faults}");
    println!("top-1 cause            {}", share(found, faults));
    println!("  undetermined         {}", share(undetermined, faults));
    println!(
        "wrong above 0.8        {}",
        share(tally.sure_and_wrong, all)
    );
    println!("false alarms           {}", share(alarms, healthy));
    println!(
        "outages recognised     {}",
        share(tally.outages.0, tally.outages.1)
    );
    println!(
        "outages imagined       {}",
        share(tally.false_outages, tally.jobs - tally.outages.1)
    );
    println!(
        "lost Modal spans       {}",
        share(tally.missing.0, tally.missing.1)
    );
    println!(
        "time per diagnosis     {:?} mean, {:?} worst",
        tally.spent / all.max(1) as u32,
        tally.slowest
    );
    println!("\n| cause | executions | found | mistaken for |\n| --- | ---: | ---: | --- |");
    let truths: HashSet<&str> = tally
        .confusion
        .keys()
        .map(|(truth, _)| truth.as_str())
        .collect();
    let mut truths: Vec<_> = truths.into_iter().collect();
    truths.sort_unstable();
    for truth in truths {
        let of_truth = tally.sum(|t, _| t == truth);
        let right = tally.sum(|t, a| t == truth && a == truth);
        let wrong: Vec<String> = (tally.confusion.iter())
            .filter(|((t, a), _)| t == truth && a != truth)
            .map(|((_, answer), count)| format!("{answer} {count}"))
            .collect();
        println!("| {truth} | {of_truth} | {right} | {} |", wrong.join(", "));
    }
    println!("\n| confidence | answers | right |\n| --- | ---: | ---: |");
    for (tenth, (right, count)) in &tally.confidence {
        println!(
            "| {:.1} to {:.1} | {count} | {} |",
            f64::from(*tenth) / 10.0,
            f64::from(tenth + 1) / 10.0,
            share(*right, *count)
        );
    }
}
