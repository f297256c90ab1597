//! The finding in words, and what to do about it.
//!
//! Invariant: every recommendation names a concrete place to look or a command to run; text of logs
//! never gets into either.

use super::facts::{Facts, Outcome};
use super::report::RootCause;
use super::slow::usual_total;
use super::tree::Tier;
use super::verdict::Verdict;
use super::words::duration;

/// What happened, in a sentence or two.
pub(crate) fn explanation(facts: &Facts<'_>, verdict: &Verdict) -> String {
    if facts.outcome == Outcome::Running {
        return still_running(facts);
    }
    let total = facts
        .total_ms()
        .map_or_else(|| "an unknown time".to_owned(), duration);
    let modal = facts
        .took_ms(facts.modal)
        .map_or_else(|| "some time".to_owned(), duration);
    let call = facts
        .took_ms(facts.provider_call())
        .map_or_else(|| "some time".to_owned(), duration);
    match verdict.cause {
        RootCause::NoHealthyProvider => format!(
            "The router refused the request within {}: it had no provider to send it to, and Modal was never called.",
            facts.took_ms(facts.router).map_or(total, duration)
        ),
        RootCause::RouterUnreachable => format!(
            "The runner's call to the router failed after {} and the router has no trace of it: the request never arrived.",
            facts.took_ms(facts.calling()).map_or(total, duration)
        ),
        RootCause::ExecutorMissing => format!(
            "The runner failed after {total} without calling anybody: it had nothing to execute the question with."
        ),
        RootCause::ModalEndpointDown => {
            format!("Modal refused the router's call within {call}; no Modal function began.")
        }
        RootCause::ModalOutOfMemory => {
            format!("The Modal function ran out of memory after {modal}.")
        }
        RootCause::ModalModelLoad => {
            format!("The Modal function could not load the model; it failed after {modal}.")
        }
        RootCause::ModalUnknownModel => {
            let when = match facts.took_ms(facts.modal) {
                Some(ms) if ms < 1.0 => "at once".to_owned(),
                _ => format!("after {modal}"),
            };
            format!("The Modal function refused the model's name {when}.")
        }
        RootCause::ModalException => {
            format!("The Modal function failed with an exception after {modal}.")
        }
        RootCause::ModalTimeout => {
            format!("The Modal function began and never ended; the router gave up after {call}.")
        }
        RootCause::RouterTimeout => format!(
            "The router gave up after {call}, though the Modal function finished ({modal} of work)."
        ),
        RootCause::ResponseLost => format!(
            "The router answered after {}, but the answer never reached the runner, which gave up after {total}.",
            facts
                .took_ms(facts.router)
                .map_or_else(|| "some time".to_owned(), duration)
        ),
        RootCause::ResultRejected => format!(
            "Router and Modal did their work, and the runner refused the answer after {total}."
        ),
        RootCause::Cancelled => format!(
            "The execution was called off after {total}, while the runner waited for the router."
        ),
        RootCause::ColdStart | RootCause::QueueWait | RootCause::SlowInference => {
            slow(facts, verdict, &total)
        }
        RootCause::None => {
            format!("The execution completed in {total}, as fast as others of its kind.")
        }
        RootCause::Undetermined => undetermined(facts, verdict, &total),
    }
}

fn slow(facts: &Facts<'_>, verdict: &Verdict, total: &str) -> String {
    let usual =
        usual_total(facts).map_or_else(String::new, |ms| format!("; {} is usual", duration(ms)));
    let why = verdict
        .evidence
        .first()
        .map_or("", |evidence| &evidence.what);
    format!("The execution completed, but took {total}{usual}: {why}.")
}

fn undetermined(facts: &Facts<'_>, verdict: &Verdict, total: &str) -> String {
    let open: Vec<&str> = verdict
        .ruled_out
        .iter()
        .take(3)
        .filter(|other| other.probability >= 0.05)
        .map(|other| other.root_cause_code.code())
        .collect();
    let seen = if facts.tree.is_empty() {
        "Only the row is known, and it does not tell"
    } else {
        "The trace does not tell"
    };
    if open.is_empty() {
        return format!("{seen} why it ended after {total}: that fits none of the known causes.");
    }
    format!(
        "{seen} why it ended after {total}; it may be {}.",
        open.join(" or ")
    )
}

fn still_running(facts: &Facts<'_>) -> String {
    let since = facts
        .case
        .execution
        .started_at
        .map(|start| facts.now - start);
    let long = since.map_or_else(String::new, |long| {
        format!(" for {}", duration(long.num_milliseconds() as f64))
    });
    let usual =
        usual_total(facts).map_or_else(String::new, |ms| format!(", usual is {}", duration(ms)));
    let deepest = (facts.tree.nodes.iter().filter(|node| node.open())).max_by_key(|node| node.tier);
    let place = deepest.map_or_else(String::new, |node| {
        format!(
            "; it is waiting in {} {}",
            node.span.service, node.span.operation
        )
    });
    format!("The execution is still running{long}{usual}{place}.")
}

/// What to look at and which command to run next.
pub(crate) fn recommendations(facts: &Facts<'_>, verdict: &Verdict) -> Vec<String> {
    let row = &facts.case.execution;
    let id = row.id;
    let model = row.model_id.as_deref().unwrap_or("the model");
    let region = &row.region;
    let mut list = advice(facts, verdict.cause, model, region);
    if facts.log_may_be_lost() && facts.modal.is_none() {
        list.push("Check the collector's losses: beacon-collector doctor".to_owned());
    }
    match (facts.outcome, &row.job_id) {
        (Outcome::Running, _) => list.push(format!(
            "Ask again when it has ended: beacon-collector diagnose {id}"
        )),
        (Outcome::Failed, Some(job)) => {
            list.push(format!(
                "See whether the whole job suffers: beacon-collector timeouts {job}"
            ));
        }
        _ => {}
    }
    if verdict.cause != RootCause::None && facts.outcome != Outcome::Running {
        list.push(format!(
            "Compare with executions that went well: beacon-collector compare {id}"
        ));
    }
    list
}

fn advice(facts: &Facts<'_>, cause: RootCause, model: &str, region: &str) -> Vec<String> {
    let container = facts
        .node(facts.modal)
        .and_then(|node| node.span.text(crate::model::meta::CONTAINER_ID));
    let logs = container.map_or_else(
        || "Read the function's log around the failure: modal app logs APP --timestamps".to_owned(),
        |container| {
            format!("Read the container's log around the failure: modal container logs {container}")
        },
    );
    let texts: &[String] = &match cause {
        RootCause::NoHealthyProvider => [
            format!("Check the router's provider list and health checks for region {region}"),
            format!("Check that the Modal app for {region} is deployed: modal app list"),
        ],
        RootCause::RouterUnreachable => [
            "Check hybrid router connectivity from the runner: name resolution, port, certificate".to_owned(),
            "Check that the router's process is up and its address in the runner's configuration is right".to_owned(),
        ],
        RootCause::ExecutorMissing => [
            format!("Check the runner's configuration: is an executor set up for region {region}?"),
            "Read the runner's log at the start of the execution for a panic".to_owned(),
        ],
        RootCause::ModalEndpointDown => [
            format!("Check that the Modal app for {region} is deployed and its URL in the router is current: modal app list"),
            "Check the workspace's billing and limits on Modal's dashboard".to_owned(),
        ],
        RootCause::ModalOutOfMemory => [
            format!("Give the function for {model} a larger GPU or more memory, or shorten prompt and batch"),
            logs,
        ],
        RootCause::ModalModelLoad => [
            format!("Check that the files of {model} are complete in the volume and that the access token may read its repository"),
            logs,
        ],
        RootCause::ModalUnknownModel => [
            format!("Check how {model} is spelled in the job and in the function's model table"),
            logs,
        ],
        RootCause::ModalException => [
            "Read the traceback and reproduce it with the same question".to_owned(),
            logs,
        ],
        RootCause::ModalTimeout => [
            format!("Check whether the container still runs or was killed: modal container list ({region})"),
            logs,
        ],
        RootCause::RouterTimeout => [
            format!("Compare the router's time limit with how long {model} takes; raise it or make the inference shorter"),
            "Check why the inference took that long: beacon-collector performance".to_owned(),
        ],
        RootCause::ResponseLost => [
            "Check proxies and load balancers between router and runner for idle time limits".to_owned(),
            "Check the runner's log for the connection it was reading from".to_owned(),
        ],
        RootCause::ResultRejected => [
            "Look at the answer the runner received: is it what its parser expects?".to_owned(),
            "Check whether the router's answer format changed".to_owned(),
        ],
        RootCause::Cancelled => [
            "Find out who called it off: a shutdown of the runner, a cancelled job, a parent's deadline".to_owned(),
            "Read the runner's log at the end of the execution".to_owned(),
        ],
        RootCause::ColdStart => [
            format!("Keep a container warm for {model} in {region} (min_containers) or shorten its start"),
            "See how often it happens: beacon-collector performance".to_owned(),
        ],
        RootCause::QueueWait => [
            "Check the router's queue and its number of workers at that time".to_owned(),
            "See how often it happens: beacon-collector performance".to_owned(),
        ],
        RootCause::SlowInference => [
            "Check the number of tokens asked for and which GPU the container ran on".to_owned(),
            "See whether the model got slower: beacon-collector performance".to_owned(),
        ],
        RootCause::None => return Vec::new(),
        RootCause::Undetermined => return undetermined_advice(facts),
    };
    texts.to_vec()
}

fn undetermined_advice(facts: &Facts<'_>) -> Vec<String> {
    let mut list = Vec::new();
    if facts.outcome == Outcome::Running {
        return list;
    }
    if !facts.sees_runner() {
        list.push(
            "Link the runner's and router's spans first: beacon-collector link --since 24h"
                .to_owned(),
        );
    }
    if facts.modal.is_none() && !facts.shape.lacks(Tier::Modal) {
        list.push(
            "Check whether Modal's log of that time was collected: beacon-collector doctor"
                .to_owned(),
        );
    }
    list.push("Read the runner's log of that time".to_owned());
    list
}
