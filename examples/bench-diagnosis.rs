//! Measures the diagnosis on worlds in which every cause is known.
//!
//! `bench-diagnosis [--wrong] [--check] analysis.json...` prints how often each cause was found, what it
//! was mistaken for, and whether confidence can be believed; `--wrong` lists every wrong answer,
//! `--check` fails below the targets. `scripts/bench-diagnosis.sh` makes the worlds.
#![expect(clippy::print_stdout, reason = "printing the tables is what it is for")]

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use beacon_collector::analysis::baseline::{Baselines, Settings};
use beacon_collector::analysis::case::ExecutionCase;
use beacon_collector::analysis::report::{Diagnosis, MissingReason, OutageScope};
use beacon_collector::analysis::{gaps, job, root_cause};
use beacon_collector::model::{Execution, Span};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use uuid::Uuid;

/// What `tests/lab/analysis_json.py` writes.
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

/// So many of so many.
#[derive(Default, Clone, Copy)]
struct Share {
    part: usize,
    all: usize,
}

/// What became of all diagnoses.
#[derive(Default)]
struct Tally {
    /// (truth, answer) → count.
    confusion: BTreeMap<(String, String), usize>,
    /// Tenth of confidence → right answers.
    confidence: BTreeMap<u32, Share>,
    sure_and_wrong: usize,
    outages: Share,
    imagined_outages: Share,
    lost_spans: Share,
    spent: Duration,
    slowest: Duration,
}

fn main() -> Result<()> {
    let is_flag = |arg: &String| arg.starts_with("--");
    let (flags, files): (Vec<_>, Vec<_>) = std::env::args().skip(1).partition(is_flag);
    let asked = |flag: &str| flags.iter().any(|given| given == flag);
    let mut tally = Tally::default();
    for file in &files {
        let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?;
        let world: World =
            serde_json::from_str(&text).with_context(|| format!("cannot parse {file}"))?;
        measure(&world, &mut tally, asked("--wrong"));
    }
    tally.print();
    if asked("--check") {
        tally.check()?;
    }
    Ok(())
}

fn measure(world: &World, tally: &mut Tally, list_wrong: bool) {
    let ends = world.executions.iter().filter_map(|row| row.completed_at);
    let now = ends.max().unwrap_or_default() + TimeDelta::hours(1);
    let baselines = Baselines::from_spans(&world.spans, Settings::default(), now);
    let causes: HashMap<i64, &str> = (world.truth.faults.iter())
        .map(|fault| (fault.execution_id, fault.root_cause_code.as_str()))
        .collect();
    let missing = world.truth.missing.iter();
    let lost: HashSet<Uuid> = missing.map(|missing| missing.trace_id).collect();
    for (id, cases) in jobs(world) {
        for case in &cases {
            let row = case.execution.id;
            let truth = causes.get(&row).copied().unwrap_or("none");
            let found = tally.diagnose(case, &baselines, now, truth);
            if list_wrong && found.root_cause_code.code() != truth {
                print_wrong(case, &found, truth);
            }
            if lost.contains(&world.traces[&row]) {
                let trace = world.traces[&row];
                let gaps = gaps::find(trace, &case.spans, &baselines, &[], &[]);
                let right = gaps.missing_spans.iter().any(|missing| {
                    missing.service == "modal" && missing.why == MissingReason::LogLost
                });
                tally.lost_spans.add(right);
            }
        }
        let truth = world
            .truth
            .outages
            .iter()
            .find(|outage| outage.job_id == id);
        tally.judge_job(&job::analyse(&id, &cases, &baselines, now), truth);
    }
}

/// The executions of each job, with what is known of them.
fn jobs(world: &World) -> BTreeMap<String, Vec<ExecutionCase>> {
    let mut of_trace: HashMap<Uuid, Vec<Span>> = HashMap::new();
    for span in &world.spans {
        let spans = of_trace.entry(span.trace_id).or_default();
        spans.push(span.clone());
    }
    let mut jobs: BTreeMap<String, Vec<ExecutionCase>> = BTreeMap::new();
    for row in &world.executions {
        let spans = of_trace.remove(&world.traces[&row.id]).unwrap_or_default();
        let job = jobs.entry(row.job_id.clone().unwrap_or_default());
        job.or_default()
            .push(ExecutionCase::new(row.clone(), spans));
    }
    for cases in jobs.values_mut() {
        let rows = cases.iter().map(|case| case.execution.clone());
        let siblings: Arc<[Execution]> = rows.collect();
        for case in cases {
            case.siblings = Arc::clone(&siblings);
        }
    }
    jobs
}

fn print_wrong(case: &ExecutionCase, found: &Diagnosis, truth: &str) {
    let (id, answer) = (found.execution_id, found.root_cause_code);
    println!(
        "{id} is {truth}, not {answer} ({}): {}",
        found.confidence, found.explanation
    );
    for span in &case.spans {
        println!(
            "    {} {} {} {:?} {:?} {:?}",
            span.service,
            span.operation,
            span.status,
            span.duration_ms,
            span.error_type,
            span.error_message
        );
    }
    for other in &found.ruled_out {
        println!(
            "    {} {}: {}",
            other.probability, other.root_cause_code, other.because
        );
    }
}

impl Share {
    fn add(&mut self, counts: bool) {
        self.part += usize::from(counts);
        self.all += 1;
    }

    fn percent(self) -> f64 {
        self.part as f64 * 100.0 / self.all.max(1) as f64
    }
}

impl std::fmt::Display for Share {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.all {
            0 => f.write_str("none to find"),
            _ => write!(f, "{:.2} % ({} of {})", self.percent(), self.part, self.all),
        }
    }
}

impl Tally {
    fn diagnose(
        &mut self,
        case: &ExecutionCase,
        baselines: &Baselines,
        now: DateTime<Utc>,
        truth: &str,
    ) -> Diagnosis {
        let begun = Instant::now();
        let found = root_cause::diagnose(case, baselines, now);
        let took = begun.elapsed();
        self.spent += took;
        self.slowest = self.slowest.max(took);
        let answer = found.root_cause_code.code();
        let right = truth == answer;
        let pair = (truth.to_owned(), answer.to_owned());
        *self.confusion.entry(pair).or_default() += 1;
        let tenth = ((found.confidence * 10.0) as u32).min(9);
        self.confidence.entry(tenth).or_default().add(right);
        self.sure_and_wrong += usize::from(!right && found.confidence > 0.8);
        found
    }

    fn judge_job(
        &mut self,
        found: &beacon_collector::analysis::report::JobTimeouts,
        truth: Option<&Outage>,
    ) {
        let Some(truth) = truth else {
            self.imagined_outages.add(!found.outages.is_empty());
            return;
        };
        self.outages.add(found.outages.iter().any(|outage| {
            outage.scope == OutageScope::Region
                && outage.name.as_deref() == Some(&truth.region)
                && outage.root_cause_code.code() == truth.root_cause_code
        }));
    }

    fn share(&self, all: impl Fn(&str, &str) -> bool, part: impl Fn(&str, &str) -> bool) -> Share {
        let mut share = Share::default();
        for ((truth, answer), count) in &self.confusion {
            if all(truth, answer) {
                share.all += count;
                share.part += if part(truth, answer) { *count } else { 0 };
            }
        }
        share
    }

    fn found(&self) -> Share {
        self.share(|truth, _| truth != "none", |truth, answer| truth == answer)
    }

    fn false_alarms(&self) -> Share {
        self.share(|truth, _| truth == "none", |_, answer| answer != "none")
    }

    fn sure_and_wrong(&self) -> Share {
        let all = self.share(|_, _| true, |_, _| false).all;
        Share {
            part: self.sure_and_wrong,
            all,
        }
    }

    fn check(&self) -> Result<()> {
        ensure!(
            self.found().percent() >= 97.0,
            "fewer causes found than 97 %"
        );
        ensure!(
            self.sure_and_wrong().percent() <= 1.0,
            "more than 1 % wrong above 0.8"
        );
        ensure!(
            self.false_alarms().percent() <= 0.5,
            "more false alarms than 0.5 %"
        );
        ensure!(
            self.outages.part == self.outages.all,
            "an outage was not recognised"
        );
        let lost = self.lost_spans;
        ensure!(
            lost.all == 0 || lost.percent() >= 95.0,
            "lost Modal spans not told apart"
        );
        Ok(())
    }

    fn print(&self) {
        let undetermined = self.share(
            |truth, _| truth != "none",
            |_, answer| answer == "undetermined",
        );
        let executions = self.sure_and_wrong().all;
        let mean = self.spent / u32::try_from(executions.max(1)).unwrap_or(u32::MAX);
        println!("executions              {executions}");
        println!("cause found             {}", self.found());
        println!("undetermined            {undetermined}");
        println!("wrong above 0.8         {}", self.sure_and_wrong());
        println!("false alarms            {}", self.false_alarms());
        println!("outages recognised      {}", self.outages);
        println!("outages imagined        {}", self.imagined_outages);
        println!("lost Modal spans        {}", self.lost_spans);
        println!(
            "time per diagnosis      {mean:?} mean, {:?} worst",
            self.slowest
        );
        println!("\n| cause | executions | found | mistaken for |\n| --- | ---: | ---: | --- |");
        let truths: BTreeSet<&str> = self
            .confusion
            .keys()
            .map(|(truth, _)| truth.as_str())
            .collect();
        for truth in truths {
            let share = self.share(|t, _| t == truth, |_, answer| answer == truth);
            let wrong = self
                .confusion
                .iter()
                .filter(|((t, a), _)| t == truth && a != truth);
            let wrong: Vec<_> = wrong
                .map(|((_, answer), count)| format!("{answer} {count}"))
                .collect();
            println!(
                "| {truth} | {} | {} | {} |",
                share.all,
                share.part,
                wrong.join(", ")
            );
        }
        println!("\n| confidence | answers | right |\n| --- | ---: | ---: |");
        for (tenth, share) in &self.confidence {
            println!(
                "| 0.{tenth} and up | {} | {:.1} % |",
                share.all,
                share.percent()
            );
        }
    }
}
