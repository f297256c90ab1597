//! One full answer for each cause, as a person reads it in a terminal: `tests/golden/CODE.txt`. After
//! a change on purpose, run with `UPDATE_GOLDEN=1`, and read what changed.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::support::stories::{self, Told};

/// Every code of the contract.
const CODES: [&str; 18] = [
    "no_healthy_provider",
    "router_unreachable",
    "executor_missing",
    "modal_endpoint_down",
    "modal_out_of_memory",
    "modal_model_load",
    "modal_unknown_model",
    "modal_exception",
    "modal_timeout",
    "router_timeout",
    "response_lost",
    "result_rejected",
    "cancelled",
    "cold_start",
    "queue_wait",
    "slow_inference",
    "none",
    "undetermined",
];

/// Compares with a golden file, or writes it.
#[track_caller]
fn is_golden(name: &str, text: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{name}.txt"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        text,
        golden,
        "{} (UPDATE_GOLDEN=1 writes it)",
        path.display()
    );
}

#[tokio::test]
async fn there_is_a_golden_answer_for_every_cause() {
    let told = Told::all().await;
    let codes: BTreeSet<&str> = told.executions.iter().map(|(code, _)| *code).collect();
    assert_eq!(codes, BTreeSet::from(CODES));
    for (code, id) in &told.executions {
        let text = told.say(&["diagnose", &id.to_string()], "100");
        let first = text.lines().next().unwrap();
        assert!(first.contains(&format!("({code})")), "{text}");
        assert!(!text.contains('\u{1b}'), "no colour in a pipe: {text}");
        is_golden(code, &text);
    }
}

#[tokio::test]
async fn a_narrow_terminal_still_shows_the_cause_first_and_no_line_is_wider() {
    let told = Told::all().await;
    let text = told.say(&["diagnose", &told.id("modal_out_of_memory")], "60");
    let widest = text.lines().map(|line| line.chars().count()).max();
    assert!(widest <= Some(60), "{text}");
    is_golden("narrow", &text);
}

#[tokio::test]
async fn a_job_is_told_in_a_screenful() {
    let told = Told::all().await;
    is_golden("job", &told.say(&["timeouts", stories::JOB], "100"));
    let id = told.id("executor_missing");
    is_golden("comparison", &told.say(&["compare", &id], "100"));
    is_golden("failures", &told.say(&["failures"], "100"));
}
