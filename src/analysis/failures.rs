//! Recent failures, each with its cause, and the patterns in them.
//!
//! Invariant: two failures are one pattern only when they have one cause and one text, numbers, ids
//! and paths in the text aside.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::baseline::Baselines;
use super::case::ExecutionCase;
use super::facts::row_ms;
use super::report::{Failure, Pattern, RecentFailures, RootCause};
use super::root_cause::cause_of;
use super::row::said_by;
use super::tree::Tree;
use super::words::{quote, quoted_error, rfc3339, whole_ms};

/// What stands for the text of a failure that left none.
const NO_MESSAGE: &str = "No error message";
/// Executions named per pattern, and patterns listed.
const LISTED: usize = 10;

/// Answers what failed lately.
///
/// Needs cases of the newest failed executions, newest first: those to list (`limit`) and as many more
/// as the patterns should rest on; `total` counts all that match.
pub fn recent(
    total: u64,
    cases: &[ExecutionCase],
    limit: usize,
    baselines: &Baselines,
    now: DateTime<Utc>,
) -> RecentFailures {
    let mut failures: Vec<Failure> = cases
        .iter()
        .map(|case| failure(case, baselines, now))
        .collect();
    let patterns = patterns(&failures);
    failures.truncate(limit);
    let mut notes = Vec::new();
    if (cases.len() as u64) < total {
        notes.push(format!(
            "patterns are over the newest {} of {total} failures",
            cases.len()
        ));
    }
    RecentFailures {
        total_failures: total,
        returned: failures.len(),
        failures,
        patterns,
        notes,
    }
}

fn failure(case: &ExecutionCase, baselines: &Baselines, now: DateTime<Utc>) -> Failure {
    let tree = Tree::build(&case.spans, &baselines.skews);
    let (root_cause_code, confidence) = cause_of(case, &tree, baselines, now);
    let row = &case.execution;
    let text = deepest_text(&tree).or_else(|| said_by(row).map(|text| quote(&text)));
    Failure {
        id: row.id,
        job_id: row.job_id.clone(),
        region: row.region.clone(),
        model_id: row.model_id.clone(),
        status: row.status.clone(),
        error_message: text.unwrap_or_else(|| NO_MESSAGE.to_owned()),
        root_cause_code,
        confidence,
        duration_ms: row_ms(row).map(whole_ms),
        created_at: row.created_at.map(rfc3339),
    }
}

/// What the failing span farthest from the caller said: callers only repeat it.
fn deepest_text(tree: &Tree<'_>) -> Option<String> {
    let failed = tree.order.iter().filter(|&&at| tree.nodes[at].failed());
    let telling = failed.filter_map(|&at| {
        let text = quoted_error(tree.nodes[at].span)?;
        Some((tree.nodes[at].tier, text))
    });
    // The last of equals is the deepest, since callers come first.
    telling.max_by_key(|(tier, _)| *tier).map(|(_, text)| text)
}

fn patterns(failures: &[Failure]) -> Vec<Pattern> {
    let mut clusters: BTreeMap<(RootCause, String), Vec<&Failure>> = BTreeMap::new();
    for failure in failures {
        let key = (failure.root_cause_code, template(&failure.error_message));
        clusters.entry(key).or_default().push(failure);
    }
    let mut patterns: Vec<Pattern> = (clusters.into_iter())
        .map(|((root_cause_code, text), cluster)| Pattern {
            root_cause_code,
            count: cluster.len(),
            quoted_log: (text != NO_MESSAGE).then_some(text),
            regions: distinct(cluster.iter().map(|failure| Some(&failure.region))),
            models: distinct(cluster.iter().map(|failure| failure.model_id.as_ref())),
            execution_ids: cluster
                .iter()
                .take(LISTED)
                .map(|failure| failure.id)
                .collect(),
            first_seen: cluster
                .iter()
                .filter_map(|failure| failure.created_at.clone())
                .min(),
            last_seen: cluster
                .iter()
                .filter_map(|failure| failure.created_at.clone())
                .max(),
        })
        .collect();
    patterns.sort_by_key(|pattern| std::cmp::Reverse(pattern.count));
    patterns
}

fn distinct<'a>(values: impl Iterator<Item = Option<&'a String>>) -> Vec<String> {
    let mut values: Vec<String> = values.flatten().cloned().collect();
    values.sort_unstable();
    values.dedup();
    values
}

/// A text with everything taken out that differs from one occurrence to the next: words with digits
/// become `#`, paths keep their last part.
fn template(text: &str) -> String {
    let words = text
        .split_whitespace()
        .map(|word| match word.rsplit_once('/') {
            Some((before, last)) if before.contains('/') && !last.is_empty() => {
                let quote = before
                    .chars()
                    .next()
                    .filter(|c| !c.is_alphanumeric() && *c != '/');
                quote.into_iter().collect::<String>() + &mask_numbers(last)
            }
            _ => mask_numbers(word),
        });
    words.collect::<Vec<_>>().join(" ")
}

/// Replaces each run of letters and digits that contains a digit by `#`, unless it begins with a
/// letter that makes it a name (`cuda`, `v1`): those keep their letters.
fn mask_numbers(word: &str) -> String {
    let mut masked = String::with_capacity(word.len());
    let mut run = String::new();
    for letter in word.chars().chain([' ']) {
        if letter.is_alphanumeric() {
            run.push(letter);
            continue;
        }
        if run.chars().any(|c| c.is_ascii_digit()) {
            masked.extend(
                run.chars()
                    .take_while(|c| c.is_alphabetic())
                    .filter(|_| run.len() < 8),
            );
            masked.push('#');
        } else {
            masked.push_str(&run);
        }
        run.clear();
        masked.push(letter);
    }
    masked.truncate(masked.trim_end().len());
    masked
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::case::ExecutionCase;
    use crate::analysis::scene::{Said, at, baselines, failed, healthy, runner};

    fn out_of_memory(id: i64, gib: &str) -> ExecutionCase {
        let mut spans = healthy();
        for span in &mut spans {
            *span = span
                .clone()
                .failed("ModalError", "provider returned an error");
        }
        let text = format!("CUDA out of memory. Tried to allocate {gib} GiB");
        spans[4] = spans[4].clone().failed("OutOfMemoryError", &text);
        let mut case = failed(spans);
        case.execution.id = id;
        case
    }

    #[test]
    fn failures_of_one_cause_and_text_are_one_pattern_with_the_innermost_text() {
        let mut silent = failed(
            runner(25)
                .into_iter()
                .map(|span| span.failed("", ""))
                .collect(),
        );
        silent.execution.id = 1;
        let cases = [out_of_memory(3, "1.16"), out_of_memory(2, "2.50"), silent];
        let found = recent(40, &cases, 2, &baselines(), at(100_000_000));
        assert_eq!(
            (found.total_failures, found.returned, found.failures.len()),
            (40, 2, 2)
        );
        let largest = &found.patterns[0];
        assert_eq!(
            (largest.root_cause_code, largest.count),
            (RootCause::ModalOutOfMemory, 2)
        );
        assert_eq!(largest.execution_ids, [3, 2]);
        let text = largest.quoted_log.as_deref();
        assert_eq!(
            text,
            Some("OutOfMemoryError: CUDA out of memory. Tried to allocate #.# GiB")
        );
        assert_eq!(found.patterns[1].quoted_log, None);
        assert!(found.notes[0].contains("newest 3 of 40"));
    }

    #[test]
    fn a_failure_without_a_text_says_so() {
        let case = ExecutionCase::new(crate::analysis::scene::row(9, "failed", 13), Vec::new());
        let found = recent(1, &[case], 10, &baselines(), at(0));
        assert_eq!(found.failures[0].error_message, NO_MESSAGE);
        assert_eq!(
            found.failures[0].root_cause_code,
            RootCause::ExecutorMissing
        );
    }

    #[test]
    fn texts_that_differ_in_numbers_ids_and_paths_have_one_template() {
        for (a, b) in [
            (
                "CUDA out of memory. Tried to allocate 1.16 GiB (GPU 0)",
                "CUDA out of memory. Tried to allocate 2.50 GiB (GPU 1)",
            ),
            (
                "dial tcp 10.0.0.7:443: refused",
                "dial tcp 10.1.2.3:8443: refused",
            ),
            ("no file /models/a/model.bin", "no file /cache/b/model.bin"),
            ("call fc-01ABCDEF23 failed", "call fc-99ZZZZZZ88 failed"),
        ] {
            assert_eq!(template(a), template(b));
        }
        assert_ne!(template("out of memory"), template("out of range"));
    }
}
