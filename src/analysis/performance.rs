//! How fast and how reliable executions are, per model and region, and whether that changed.
//!
//! Invariant: a change is called significant only when a test that fits small and skewed samples says
//! so; otherwise it is called what chance does.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::facts::Outcome;
use super::report::{Change, ModelRegion, Performance, PreviousWindow, Stats, TimeWindow};
use super::stats::{quantile, same_distribution, same_rate};
use super::words::{duration, rfc3339, rounded};
use crate::model::{Regions, Span, SpanStatus, Tally};

/// Below this probability a change is not taken for chance. Several are tested at once, so it is low.
const SIGNIFICANT: f64 = 0.01;
/// Fewest ended executions on either side for which a change of the success rate is worth a word.
const LEAST: usize = 5;

/// The rows of a window.
#[derive(Debug, Clone)]
pub struct Window {
    /// Start, included.
    pub from: DateTime<Utc>,
    /// End, not included.
    pub to: DateTime<Utc>,
    /// Executions written in it, filtered as asked and counted.
    pub executions: Vec<Tally>,
    /// Modal spans that began in it, for tokens per second; may be a sample, may be empty.
    pub modal_spans: Vec<Span>,
}

/// Model and region.
type Group = (Option<String>, String);

/// Answers how executions of a window performed, and what changed since the window before.
///
/// Needs the executions of both windows and the Modal spans that began in them.
pub fn analyse(current: &Window, previous: &Window, regions: &Regions) -> Performance {
    let (now, before) = (Sample::of(current), Sample::of(previous));
    let groups = |window: &Window| by_group(window, regions);
    let (groups_now, mut groups_before) = (groups(current), groups(previous));
    let mut by_model_region: Vec<ModelRegion> = groups_now
        .into_iter()
        .map(|(group, sample)| {
            let before = groups_before.remove(&group);
            ModelRegion {
                changes: before.map_or_else(Vec::new, |before| changes(&before, &sample)),
                stats: sample.stats(),
                model_id: group.0,
                region: group.1,
            }
        })
        .collect();
    by_model_region.sort_by_key(|group| std::cmp::Reverse(group.stats.total_executions));
    let previous_window = (before.total > 0).then(|| PreviousWindow {
        window: window(previous),
        stats: before.stats(),
        changes: changes(&before, &now),
    });
    let mut notes = Vec::new();
    if now.total == 0 {
        notes.push("no execution was written in this window".to_owned());
    } else if now.token_ms == 0.0 {
        notes.push("no Modal span of this window reports tokens".to_owned());
    }
    Performance {
        stats: now.stats(),
        window: window(current),
        by_model_region,
        previous_window,
        notes,
    }
}

fn window(window: &Window) -> TimeWindow {
    TimeWindow {
        from: rfc3339(window.from),
        to: rfc3339(window.to),
    }
}

/// What is counted and measured of some executions.
#[derive(Debug, Default)]
struct Sample {
    total: usize,
    successful: usize,
    failed: usize,
    /// Durations in ms of all that have both ends, sorted.
    durations: Vec<f64>,
    /// The same of those that succeeded.
    good: Vec<f64>,
    tokens: f64,
    token_ms: f64,
}

impl Sample {
    fn of(window: &Window) -> Self {
        let mut sample = Self::default();
        window.executions.iter().for_each(|some| sample.add(some));
        window
            .modal_spans
            .iter()
            .for_each(|span| sample.add_tokens(span));
        sample.sort();
        sample
    }

    fn add(&mut self, some: &Tally) {
        let outcome = Outcome::read(&some.status, some.ended);
        self.total += some.count;
        match outcome {
            Outcome::Succeeded => self.successful += some.count,
            Outcome::Failed => self.failed += some.count,
            Outcome::Running => {}
        }
        if let Some(ms) = some.took_ms {
            let each = || std::iter::repeat_n(ms, some.count);
            self.durations.extend(each());
            if outcome == Outcome::Succeeded {
                self.good.extend(each());
            }
        }
    }

    fn add_tokens(&mut self, span: &Span) {
        let tokens = span
            .metadata
            .get("tokens")
            .and_then(serde_json::Value::as_f64);
        if let (Some(tokens), Some(ms), SpanStatus::Completed) =
            (tokens, span.elapsed_ms(), span.status)
        {
            self.tokens += tokens;
            self.token_ms += ms;
        }
    }

    fn sort(&mut self) {
        self.durations.sort_unstable_by(f64::total_cmp);
        self.good.sort_unstable_by(f64::total_cmp);
    }

    const fn ended(&self) -> usize {
        self.successful + self.failed
    }

    fn rate(&self) -> f64 {
        self.successful as f64 / self.ended().max(1) as f64
    }

    fn stats(&self) -> Stats {
        let seconds = |ms: f64| rounded(ms / 1000.0);
        let at = |share| quantile(&self.durations, share).map(seconds);
        let mean = self.durations.iter().sum::<f64>() / self.durations.len().max(1) as f64;
        Stats {
            total_executions: self.total,
            successful: self.successful,
            failed: self.failed,
            running: self.total - self.ended(),
            success_rate: (self.ended() > 0).then(|| rounded(self.rate())),
            avg_duration_sec: (!self.durations.is_empty()).then(|| seconds(mean)),
            p50_duration_sec: at(0.5),
            p95_duration_sec: at(0.95),
            p99_duration_sec: at(0.99),
            p50_successful_sec: quantile(&self.good, 0.5).map(seconds),
            tokens_per_second: (self.token_ms > 0.0)
                .then(|| rounded(self.tokens * 1000.0 / self.token_ms)),
        }
    }
}

fn by_group(window: &Window, regions: &Regions) -> BTreeMap<Group, Sample> {
    let mut groups: BTreeMap<Group, Sample> = BTreeMap::new();
    for some in &window.executions {
        let group = (some.model_id.clone(), some.region.clone());
        groups.entry(group).or_default().add(some);
    }
    for span in &window.modal_spans {
        let (Some(model), Some(region)) = (span.model(), span.region_name()) else {
            continue;
        };
        let same = |(known, place): &&Group| {
            known.as_deref() == Some(model) && regions.same(place, region)
        };
        if let Some(group) = groups.keys().find(same).cloned() {
            groups.entry(group).or_default().add_tokens(span);
        }
    }
    groups.values_mut().for_each(Sample::sort);
    groups
}

/// What changed from one sample to the next, as far as there is enough to say.
fn changes(before: &Sample, now: &Sample) -> Vec<Change> {
    let mut changes = Vec::new();
    if before.ended() >= LEAST && now.ended() >= LEAST {
        let p = same_rate(
            [before.successful, now.successful],
            [before.ended(), now.ended()],
        );
        let percent = |share: f64| format!("{:.1} %", share * 100.0);
        changes.push(change(
            "success_rate",
            before.rate(),
            now.rate(),
            p,
            percent,
        ));
    }
    let medians = quantile(&before.good, 0.5).zip(quantile(&now.good, 0.5));
    if let (Some(p), Some((old, new))) = (same_distribution(&before.good, &now.good), medians) {
        let seconds = |s: f64| duration(s * 1000.0);
        changes.push(change("duration", old / 1000.0, new / 1000.0, p, seconds));
    }
    changes
}

fn change(measure: &str, before: f64, now: f64, p: f64, words: impl Fn(f64) -> String) -> Change {
    let significant = p < SIGNIFICANT;
    let name = if measure == "duration" {
        "median duration of successful executions"
    } else {
        "success rate"
    };
    let judgement = if significant {
        "unlikely to be chance"
    } else {
        "no more than chance does"
    };
    // As the reader sees them: what differs in no digit that is shown has stayed.
    let (old, new) = (words(before), words(now));
    let what = if old == new {
        format!("{name} stayed at {new} (p = {p:.2})")
    } else {
        let verb = if now < before { "fell" } else { "rose" };
        format!("{name} {verb} from {old} to {new}: {judgement} (p = {p:.2})")
    };
    Change {
        measure: measure.to_owned(),
        before: rounded(before),
        now: rounded(now),
        p_value: (p * 1e6).round() / 1e6,
        significant,
        what,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::analysis::facts::row_ms;
    use crate::analysis::scene::{Said, at, modal, row};

    /// So many successes of this length and failures of 13 ms.
    fn window(good: usize, took: i64, bad: usize) -> Window {
        let successes = (0..good).map(|id| row(id as i64, "completed", took + id as i64 % 50));
        let failures = (0..bad).map(|id| row(1_000 + id as i64, "failed", 13));
        Window {
            from: at(0),
            to: at(1_000_000),
            executions: successes.chain(failures).map(|row| alone(&row)).collect(),
            modal_spans: vec![modal(0, 2_000).with("tokens", json!(100))],
        }
    }

    fn alone(row: &crate::model::Execution) -> Tally {
        Tally {
            model_id: row.model_id.clone(),
            region: row.region.clone(),
            status: row.status.clone(),
            ended: row.completed_at.is_some(),
            count: 1,
            took_ms: row_ms(row),
        }
    }

    fn analysed(now: &Window, before: &Window) -> Performance {
        analyse(now, before, &Regions::default())
    }

    #[test]
    fn counts_and_durations_are_over_every_execution_of_the_window() {
        let found = analysed(&window(85, 2_500, 15), &window(0, 0, 0));
        let stats = &found.stats;
        assert_eq!(
            (stats.total_executions, stats.successful, stats.failed),
            (100, 85, 15)
        );
        assert_eq!(stats.success_rate, Some(0.85));
        assert_eq!(stats.p95_duration_sec, Some(2.544));
        assert_eq!(stats.tokens_per_second, Some(50.0));
        assert_eq!(found.previous_window, None);
        assert_eq!(found.by_model_region.len(), 1);
        assert_eq!(found.by_model_region[0].stats.tokens_per_second, Some(50.0));
        let json = serde_json::to_value(&found).unwrap();
        assert_eq!(
            (&json["total_executions"], &json["p50_duration_sec"]),
            (&json!(100), &json!(2.517))
        );
    }

    #[test]
    fn a_real_change_is_called_unlikely_to_be_chance() {
        let found = analysed(&window(60, 5_000, 40), &window(95, 2_500, 5));
        let changes = found.previous_window.unwrap().changes;
        assert!(
            changes.iter().all(|change| change.significant),
            "{changes:#?}"
        );
        assert!(
            changes[0]
                .what
                .starts_with("success rate fell from 95.0 % to 60.0 %")
        );
        assert!(changes[1].what.contains("rose from"), "{}", changes[1].what);
    }

    #[test]
    fn what_looks_the_same_is_said_to_have_stayed() {
        let found = analysed(&window(19, 2_500, 1), &window(19, 2_500, 1));
        let changes = found.previous_window.unwrap().changes;
        assert!(
            changes[0]
                .what
                .starts_with("success rate stayed at 95.0 % (p = "),
            "{changes:#?}"
        );
    }

    #[test]
    fn a_small_change_is_called_chance() {
        let found = analysed(&window(18, 2_500, 2), &window(19, 2_500, 1));
        let changes = found.previous_window.unwrap().changes;
        assert!(
            changes.iter().all(|change| !change.significant),
            "{changes:#?}"
        );
        assert!(changes[0].what.contains("no more than chance does"));
    }

    #[test]
    fn an_empty_window_has_no_numbers() {
        let found = analysed(&window(0, 0, 0), &window(0, 0, 0));
        assert_eq!(
            (found.stats.total_executions, found.stats.avg_duration_sec),
            (0, None)
        );
        assert!(found.notes[0].contains("no execution"));
    }
}
