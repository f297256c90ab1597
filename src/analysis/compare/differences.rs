//! The differences between one trace and those of a cohort: structure, timing, attributes.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::analysis::baseline::waits;
use crate::analysis::case::ExecutionCase;
use crate::analysis::facts::row_ms;
use crate::analysis::report::{Difference, DifferenceKind};
use crate::analysis::stats::Summary;
use crate::analysis::tree::{Node, Tier, Tree};
use crate::analysis::words::{duration, quote, whole_ms};

/// What most of a cohort has is usual.
const USUAL: f64 = 0.5;
/// What hardly any of it has is unusual.
const RARE: f64 = 0.1;
/// An attribute's value that so many share is what a difference is measured from.
const SHARED: f64 = 0.8;
/// Durations closer than this factor, or within this robust z-score, are no difference.
const FACTOR: f64 = 1.5;
const USUAL_Z: f64 = 2.5;
/// Nor are those that differ by less, in ms.
const LEAST_MS: f64 = 20.0;
/// Differences listed; the weightiest are kept.
const LISTED: usize = 30;

/// All differences, weightiest first.
pub(super) fn find(
    case: &ExecutionCase,
    tree: &Tree<'_>,
    cohort: &[&ExecutionCase],
    trees: &[Tree<'_>],
) -> Vec<Difference> {
    if cohort.is_empty() {
        return Vec::new();
    }
    let mut found = Vec::new();
    structure(tree, trees, &mut found);
    total_time(case, cohort, &mut found);
    timing(case, tree, trees, &mut found);
    attributes(case, tree, cohort, trees, &mut found);
    found.sort_by(|a, b| b.weight.total_cmp(&a.weight));
    found.truncate(LISTED);
    found
}

fn difference(kind: DifferenceKind, what: String, weight: f64, samples: usize) -> Difference {
    Difference {
        kind,
        what,
        weight: (weight * 100.0).round() / 100.0,
        service: None,
        operation: None,
        failed_ms: None,
        successful_ms: None,
        failed_value: None,
        successful_value: None,
        samples,
    }
}

/// Service and operation.
type Name<'a> = (&'a str, &'a str);

fn name<'a>(node: &Node<'a>) -> Name<'a> {
    (&node.span.service, &node.span.operation)
}

fn named(mut difference: Difference, (service, operation): Name<'_>) -> Difference {
    difference.service = Some(service.to_owned());
    difference.operation = Some(operation.to_owned());
    difference
}

/// Services and spans that are missing, extra, or ended otherwise.
fn structure(tree: &Tree<'_>, trees: &[Tree<'_>], found: &mut Vec<Difference>) {
    let own: BTreeMap<Name<'_>, &Node<'_>> =
        tree.nodes.iter().map(|node| (name(node), node)).collect();
    let mut usual: BTreeMap<Name<'_>, (usize, usize)> = BTreeMap::new();
    for other in trees {
        let names: BTreeMap<Name<'_>, bool> = other
            .nodes
            .iter()
            .map(|node| (name(node), !node.failed() && !node.open()))
            .collect();
        for (name, completed) in names {
            let seen = usual.entry(name).or_default();
            *seen = (seen.0 + 1, seen.1 + usize::from(completed));
        }
    }
    let samples = trees.len();
    let share = |count: usize| count as f64 / samples as f64;
    let mut told: BTreeSet<&str> = BTreeSet::new();
    for (&name, (seen, completed)) in &usual {
        let (service, operation) = name;
        if share(*seen) < USUAL {
            continue;
        }
        let Some(node) = own.get(&name) else {
            let service_missing = !own.keys().any(|(known, _)| *known == service);
            if service_missing && !told.insert(service) {
                continue;
            }
            let (what, weight) = if service_missing {
                (format!("Failed execution has no {service} span"), 10.0)
            } else {
                (
                    format!("Failed execution has no {service} {operation} span"),
                    7.0,
                )
            };
            let missing = difference(
                DifferenceKind::Structure,
                what,
                weight * share(*seen),
                samples,
            );
            found.push(named(missing, name));
            continue;
        };
        if (node.failed() || node.open()) && share(*completed) >= USUAL {
            let ended = if node.open() { "has no end" } else { "failed" };
            let what = format!(
                "{service} {operation} {ended}; it completed in {completed} of {samples} successful executions"
            );
            // The failure nearest to its origin says most.
            let weight = 7.5 + 0.5 * f64::from(node.tier as u8);
            found.push(named(
                difference(DifferenceKind::Structure, what, weight, samples),
                name,
            ));
        }
    }
    for (name, node) in own {
        let seen = usual.get(&name).map_or(0, |seen| seen.0);
        if share(seen) < RARE {
            let what = format!("Failed execution has an extra {} {} span", name.0, name.1);
            let weight = if node.failed() { 6.0 } else { 4.0 };
            found.push(named(
                difference(DifferenceKind::Structure, what, weight, samples),
                name,
            ));
        }
    }
}

/// How long the whole took.
fn total_time(case: &ExecutionCase, cohort: &[&ExecutionCase], found: &mut Vec<Difference>) {
    let mut others: Vec<f64> = cohort
        .iter()
        .filter_map(|case| row_ms(&case.execution))
        .collect();
    let (Some(own), Some(usual)) = (row_ms(&case.execution), Summary::of(&mut others)) else {
        return;
    };
    let median = usual.median_ms;
    if !differs(own, &usual) {
        return;
    }
    let what = format!("Successful executions took {:.0}ms vs {own:.0}ms", median);
    let weight = 6.0 + (own.max(1.0) / median.max(1.0)).ln().abs().min(3.0);
    let mut total = difference(DifferenceKind::Timing, what, weight, usual.samples);
    total.failed_ms = Some(whole_ms(own));
    total.successful_ms = Some(whole_ms(median));
    found.push(total);
}

fn differs(own: f64, usual: &Summary) -> bool {
    let factor = own.max(usual.median_ms).max(1.0) / own.min(usual.median_ms).max(1.0);
    factor >= FACTOR
        && usual.robust_z(own).abs() >= USUAL_Z
        && (own - usual.median_ms).abs() >= LEAST_MS
}

/// Where extra time went and where time is missing, span by span.
fn timing(case: &ExecutionCase, tree: &Tree<'_>, trees: &[Tree<'_>], found: &mut Vec<Difference>) {
    let own = measures(tree);
    let mut usual: BTreeMap<Measure<'_>, Vec<f64>> = BTreeMap::new();
    for other in trees {
        for (key, ms) in measures(other) {
            usual.entry(key).or_default().push(ms);
        }
    }
    let total = row_ms(&case.execution).unwrap_or(0.0);
    for (key, ms) in own {
        let Some(summary) = usual.get_mut(&key).and_then(|samples| Summary::of(samples)) else {
            continue;
        };
        if !differs(ms, &summary) {
            continue;
        }
        let (name, measured) = key;
        let median = summary.median_ms;
        let more = if ms > median { "longer" } else { "shorter" };
        let off = (ms - median).abs();
        let what = format!(
            "{measured} {} {} was {} {more}: {} vs {} ({} samples)",
            name.0,
            name.1,
            duration(off),
            duration(ms),
            duration(median),
            summary.samples
        );
        let part = off / total.max(median).max(1.0);
        let weight = 5.0 * part.min(1.0) + summary.robust_z(ms).abs().min(10.0) / 10.0;
        let mut timing = named(
            difference(DifferenceKind::Timing, what, weight, summary.samples),
            name,
        );
        timing.failed_ms = Some(whole_ms(ms));
        timing.successful_ms = Some(whole_ms(median));
        found.push(timing);
    }
}

/// Whose time, and which.
type Measure<'a> = (Name<'a>, &'static str);

/// Durations and waits of a trace by name; of several spans of a name, the longest.
fn measures<'a>(tree: &Tree<'a>) -> BTreeMap<Measure<'a>, f64> {
    let mut measures: BTreeMap<Measure<'a>, f64> = BTreeMap::new();
    let mut note = |name: Name<'a>, what: &'static str, ms: f64| {
        let known = measures.entry((name, what)).or_insert(ms);
        *known = known.max(ms);
    };
    for node in &tree.nodes {
        if let Some(ms) = node.took_ms() {
            note(name(node), "duration of", ms);
        }
        if let Some((lead, tail)) = waits(tree, node) {
            note(name(node), "wait before", lead);
            if let Some(tail) = tail {
                note(name(node), "wait after", tail);
            }
        }
    }
    measures
}

/// Attributes whose value the cohort agrees on and this execution has otherwise.
fn attributes(
    case: &ExecutionCase,
    tree: &Tree<'_>,
    cohort: &[&ExecutionCase],
    trees: &[Tree<'_>],
    found: &mut Vec<Difference>,
) {
    let own = values(case, tree);
    let mut usual: BTreeMap<Attribute<'_>, BTreeMap<Cow<'_, str>, usize>> = BTreeMap::new();
    for (case, tree) in cohort.iter().zip(trees) {
        for (attribute, value) in values(case, tree) {
            *usual
                .entry(attribute)
                .or_default()
                .entry(value)
                .or_default() += 1;
        }
    }
    for (attribute, value) in own {
        let Some(seen) = usual.get(&attribute) else {
            continue;
        };
        if seen.contains_key(&value) {
            continue;
        }
        // Texts that differ may look the same as quoted, and what can't be shown is no difference.
        let value = quote(&value);
        let mut quoted: BTreeMap<String, usize> = BTreeMap::new();
        for (text, count) in seen {
            *quoted.entry(quote(text)).or_default() += count;
        }
        let samples: usize = quoted.values().sum();
        let Some((common, count)) = quoted.iter().max_by_key(|(_, count)| **count) else {
            continue;
        };
        let share = *count as f64 / samples as f64;
        if share < SHARED || quoted.contains_key(&value) {
            continue;
        }
        let (service, key) = attribute;
        let shown = |value: &str| {
            if value.is_empty() {
                "empty".to_owned()
            } else {
                format!("{value:?}")
            }
        };
        let what = format!(
            "{service} {key} is {}; it is {} in {count} of {samples} successful executions",
            shown(&value),
            shown(common)
        );
        let mut one = difference(DifferenceKind::Attribute, what, 3.0 * share, samples);
        one.service = Some(service.to_owned());
        one.failed_value = Some(value);
        one.successful_value = Some(common.clone());
        found.push(one);
    }
}

/// Service and key.
type Attribute<'a> = (&'a str, &'a str);

/// The attributes of an execution and its spans.
fn values<'a>(case: &'a ExecutionCase, tree: &Tree<'a>) -> BTreeMap<Attribute<'a>, Cow<'a, str>> {
    let row = &case.execution;
    let runner = Tier::Runner.name();
    let mut values = BTreeMap::from([
        ((runner, "provider_id"), Cow::from(&row.provider_id)),
        ((runner, "region"), Cow::from(&row.region)),
    ]);
    if let Some(model) = &row.model_id {
        values.insert((runner, "model"), model.into());
    }
    for node in &tree.nodes {
        for (key, value) in &node.span.metadata {
            let text = match value {
                Value::String(text) => Cow::from(text.trim()),
                Value::Bool(_) | Value::Number(_) => value.to_string().into(),
                Value::Null | Value::Array(_) | Value::Object(_) => continue,
            };
            values
                .entry((node.span.service.as_str(), key.as_str()))
                .or_insert(text);
        }
    }
    values
}
