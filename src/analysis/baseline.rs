//! What is normal: how long spans take, how long a call waits to be taken up, what a trace looks like
//! and how far clocks disagree, learned from recent spans.
//!
//! Invariants: a summary is robust (median and deviation of log durations) and rests on successful
//! traces only, so the faults that are looked for don't define what is normal; a look-up says which
//! samples it used.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::shape::{Kind, Shapes, levels, succeeded};
use super::skew::Skews;
use super::stats::Summary;
use super::tree::{Node, Tier, Tree};
use crate::model::{Execution, Regions, Span, SpanStatus};

/// What makes a baseline.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How far back samples are used.
    pub window: TimeDelta,
    /// Samples needed before the narrowest baseline is used; with fewer, a wider one.
    pub min_samples: usize,
    /// Which region names mean the same place.
    pub regions: Regions,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            window: TimeDelta::days(7),
            min_samples: 12,
            regions: Regions::default(),
        }
    }
}

/// Fewest samples that say anything at all.
const LEAST: usize = 5;

/// How far clocks of different hosts may be apart.
const CLOCKS: TimeDelta = TimeDelta::seconds(5);

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Measure {
    /// A span from its start to its end.
    Span,
    /// From a call's start to the start of the span that serves it.
    Lead,
    /// From the end of the span that serves a call to the call's end.
    Tail,
}

/// What a look-up found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Reference {
    /// The samples, summarised.
    pub(crate) summary: Summary,
    /// Which samples they are.
    pub(crate) level: Level,
}

/// How narrow a baseline is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// Same service, operation, model and region.
    ModelAndRegion,
    /// Same model in any region.
    Model,
    /// Any model in the same region.
    Region,
    /// Any model in any region.
    All,
}

impl Level {
    const NARROW_FIRST: [Self; 4] = [Self::ModelAndRegion, Self::Model, Self::Region, Self::All];

    /// In words.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::ModelAndRegion => "same model and region",
            Self::Model => "same model, any region",
            Self::Region => "same region, any model",
            Self::All => "any model, any region",
        }
    }

    /// Whether the samples are of the same model, so that inference times compare.
    pub(crate) const fn same_model(self) -> bool {
        matches!(self, Self::ModelAndRegion | Self::Model)
    }

    fn of(self, kind: &Kind) -> Named<'_> {
        let (model, region) = named(kind);
        match self {
            Self::ModelAndRegion => (model, region),
            Self::Model => (model, None),
            Self::Region => (None, region),
            Self::All => (None, None),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    measure: Measure,
    service: String,
    operation: String,
    kind: Kind,
}

/// What is normal, learned from recent spans.
#[derive(Debug, Clone)]
pub struct Baselines {
    summaries: Summaries,
    pub(crate) shapes: Shapes,
    pub(crate) skews: Skews,
    settings: Settings,
}

impl Baselines {
    /// Learns from spans that began within the window before `now`.
    ///
    /// Needs the runner's, router's and Modal's spans of recent traces, successful and failed, whole
    /// traces where possible: some thousand of the same model are plenty. Copies do no harm.
    pub fn from_spans<'a>(
        spans: impl IntoIterator<Item = &'a Span>,
        settings: Settings,
        now: DateTime<Utc>,
    ) -> Self {
        let since = now - settings.window;
        let mut traces: BTreeMap<Uuid, Vec<&Span>> = BTreeMap::new();
        for span in spans {
            if span.started_at >= since {
                traces.entry(span.trace_id).or_default().push(span);
            }
        }
        let mut trees: Vec<Tree<'_>> = traces.into_values().map(Tree::join).collect();
        let skews = Skews::estimate(&trees);
        let (mut shapes, mut samples) = (Shapes::default(), BTreeMap::new());
        for tree in &mut trees {
            tree.align(&skews);
            if succeeded(tree) {
                let kind = kind_of(tree, &settings.regions);
                shapes.add(tree, &kind);
                measure(tree, &kind, &mut samples);
            }
        }
        Self {
            summaries: Summaries::of_samples(samples),
            shapes,
            skews,
            settings,
        }
    }

    /// Nothing learned yet.
    pub fn empty() -> Self {
        Self::from_spans([], Settings::default(), DateTime::UNIX_EPOCH)
    }

    /// What is normal for a span or for the wait before or after it: of the narrowest kind with
    /// samples enough, else of the kind with the most.
    pub(crate) fn reference(
        &self,
        measure: Measure,
        span: &Span,
        kind: &Kind,
    ) -> Option<Reference> {
        let kinds = self.summaries.of(measure, span);
        let find = |level: Level| {
            let wanted = level.of(kind);
            let at = kinds.binary_search_by(|(kind, _)| named(kind).cmp(&wanted));
            let summary = kinds[at.ok()?].1;
            Some(Reference { summary, level })
        };
        let found = Level::NARROW_FIRST.map(find);
        let found = || found.iter().flatten();
        let same_model = || found().filter(|r| r.level.same_model());
        let enough = |r: &&Reference| r.summary.samples >= self.settings.min_samples;
        let least = |r: &&Reference| r.summary.samples >= LEAST;
        // Few samples of the same model say more than many of others.
        same_model()
            .find(enough)
            .or_else(|| same_model().rfind(least))
            .or_else(|| found().find(enough))
            .or_else(|| found().rfind(least))
            .copied()
    }

    /// The kind that an execution in this region with this model is of.
    pub(crate) fn kind(&self, model: Option<&str>, region: Option<&str>) -> Kind {
        kind(model, region, &self.settings.regions)
    }

    /// How many of the Modal spans that belong to no trace can be this execution's.
    pub(crate) fn unlinked_of(&self, row: &Execution, unlinked: &[Span]) -> usize {
        let kind = self.kind(row.model_id.as_deref(), Some(&row.region));
        let until = row.completed_at.or(row.created_at);
        self.unlinked_like(&kind, unlinked, row.started_at.zip(until))
    }

    /// How many of the Modal spans that belong to no trace are of this kind and time.
    pub(crate) fn unlinked_like(
        &self,
        kind: &Kind,
        unlinked: &[Span],
        time: Option<(DateTime<Utc>, DateTime<Utc>)>,
    ) -> usize {
        let like = unlinked.iter().filter(|span| {
            let within = |(from, to): (DateTime<Utc>, DateTime<Utc>)| {
                (from - CLOCKS..=to + CLOCKS).contains(&span.started_at)
            };
            time.is_none_or(within) && self.kind(span.model(), span.region_name()) == *kind
        });
        like.count()
    }

    /// The kind of a trace of which no execution is known.
    pub(crate) fn kind_of(&self, tree: &Tree<'_>) -> Kind {
        kind_of(tree, &self.settings.regions)
    }
}

fn kind(model: Option<&str>, region: Option<&str>, regions: &Regions) -> Kind {
    let region = region.map(|region| regions.group(region).to_ascii_lowercase());
    (model.map(str::to_owned), region)
}

/// The kind of a trace, from the span nearest to the caller that says it.
fn kind_of(tree: &Tree<'_>, regions: &Regions) -> Kind {
    let spans = || tree.order.iter().map(|&at| tree.nodes[at].span);
    let model = spans().find_map(Span::model);
    let region = spans().find_map(Span::region_name);
    kind(model, region, regions)
}

type Samples = BTreeMap<Key, Vec<f64>>;

fn measure(tree: &Tree<'_>, kind: &Kind, samples: &mut Samples) {
    for node in &tree.nodes {
        if node.span.status != SpanStatus::Completed {
            continue;
        }
        let Some(took) = node.took_ms() else { continue };
        note(samples, Measure::Span, node, kind, took);
        if let Some((lead, tail)) = waits(tree, node) {
            note(samples, Measure::Lead, node, kind, lead);
            if let Some(tail) = tail {
                note(samples, Measure::Tail, node, kind, tail);
            }
        }
    }
}

/// Milliseconds that a call waited before the span that serves it began, and after it ended; `None`
/// for spans that are no other service's callee. Never negative.
pub(crate) fn waits(tree: &Tree<'_>, node: &Node<'_>) -> Option<(f64, Option<f64>)> {
    let caller = &tree.nodes[node.parent?];
    if caller.tier == node.tier || node.tier == Tier::Other {
        return None;
    }
    let ms = |us: i64| us.max(0) as f64 / 1000.0;
    let tail = caller
        .end
        .zip(node.end)
        .map(|(caller, own)| ms(caller - own));
    Some((ms(node.start - caller.start), tail))
}

fn note(samples: &mut Samples, measure: Measure, node: &Node<'_>, kind: &Kind, ms: f64) {
    for kind in levels(kind) {
        let key = Key {
            measure,
            service: node.span.service.clone(),
            operation: node.span.operation.clone(),
            kind,
        };
        samples.entry(key).or_default().push(ms);
    }
}

/// Summaries by measure, service and operation, those of one by kind and in its order: looked up several
/// times for each execution, so without making a key.
#[derive(Debug, Clone)]
struct Summaries([BTreeMap<String, Operations>; 3]);

type Operations = BTreeMap<String, Vec<(Kind, Summary)>>;

impl Summaries {
    fn of_samples(samples: Samples) -> Self {
        let mut all: [BTreeMap<String, Operations>; 3] = Default::default();
        for (key, mut ms) in samples {
            if let Some(summary) = Summary::of(&mut ms) {
                let services = &mut all[key.measure as usize];
                let operations = services.entry(key.service).or_default();
                let kinds = operations.entry(key.operation).or_default();
                kinds.push((key.kind, summary));
            }
        }
        Self(all)
    }

    fn of(&self, measure: Measure, span: &Span) -> &[(Kind, Summary)] {
        let operations = self.0[measure as usize].get(&span.service);
        let kinds = operations.and_then(|operations| operations.get(&span.operation));
        kinds.map_or(&[], Vec::as_slice)
    }
}

/// A kind, borrowed.
type Named<'a> = (Option<&'a str>, Option<&'a str>);

fn named((model, region): &Kind) -> Named<'_> {
    (model.as_deref(), region.as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::scene::{MODEL, Said, at, baselines, healthy_traces, modal};

    fn settings() -> Settings {
        Settings::default()
    }

    fn inference(baselines: &Baselines, region: &str) -> Option<Reference> {
        let kind = baselines.kind(Some(MODEL), Some(region));
        baselines.reference(Measure::Span, &modal(0, 1), &kind)
    }

    #[test]
    fn enough_samples_of_the_same_model_and_region_are_the_baseline() {
        let found = inference(&baselines(), "US").unwrap();
        assert_eq!(
            (found.level, found.summary.samples),
            (Level::ModelAndRegion, 20)
        );
        assert!((found.summary.median_ms - 2_220.0).abs() < 1.0, "{found:?}");
    }

    #[test]
    fn a_region_without_samples_is_measured_with_the_model_elsewhere() {
        let found = inference(&baselines(), "EU").unwrap();
        assert_eq!((found.level, found.summary.samples), (Level::Model, 20));
    }

    #[test]
    fn another_model_is_measured_with_what_there_is_and_says_so() {
        let baselines = baselines();
        let kind = baselines.kind(Some("mistral-7b"), Some("us-east-1"));
        let found = baselines
            .reference(Measure::Span, &modal(0, 1), &kind)
            .unwrap();
        assert_eq!(found.level, Level::Region);
        assert!(!found.level.same_model());
    }

    #[test]
    fn failed_traces_do_not_define_what_is_normal() {
        let mut spans = healthy_traces(30);
        for span in spans.iter_mut().take(10 * 5) {
            let end = span.started_at + TimeDelta::minutes(5);
            span.completed_at = Some(end);
            if span.service != "modal" {
                *span = span.clone().failed("error", "error");
            }
        }
        let baselines = Baselines::from_spans(&spans, settings(), at(60_000));
        let found = inference(&baselines, "US").unwrap();
        assert_eq!(found.summary.samples, 20);
        assert!(found.summary.median_ms < 3_000.0);
    }

    #[test]
    fn samples_older_than_the_window_do_not_count() {
        let late = at(0) + TimeDelta::days(8);
        let baselines = Baselines::from_spans(&healthy_traces(20), settings(), late);
        assert_eq!(inference(&baselines, "US"), None);
    }

    #[test]
    fn few_samples_say_nothing() {
        let baselines = Baselines::from_spans(&healthy_traces(4), settings(), at(60_000));
        assert_eq!(inference(&baselines, "US"), None);
    }
}
