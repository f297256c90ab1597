//! What a trace shows of one execution, in the terms that hypotheses are weighed in: how it ended, how
//! far the call got, who failed, who was still running, what was said.
//!
//! Invariant: facts are read off, not interpreted; a fact that the data doesn't hold is absent.

use chrono::{DateTime, Utc};

use super::baseline::Baselines;
use super::case::ExecutionCase;
use super::shape::{Kind, Shape};
use super::text::{Class, Hints};
use super::tree::{Node, Tier, Tree, micros};
use crate::model::{Execution, SpanStatus, meta};

/// Texts read beside those along the call: a trace may have failed in ten thousand places.
const MOST_TEXTS: usize = 200;

/// How the execution ended, by its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It did what it should.
    Succeeded,
    /// It did not.
    Failed,
    /// It has not ended.
    Running,
}

impl Outcome {
    /// Reads the row.
    pub(crate) fn of(execution: &Execution) -> Self {
        Self::read(&execution.status, execution.completed_at.is_some())
    }

    /// Reads what a row's status and its end say.
    pub(crate) fn read(status: &str, ended: bool) -> Self {
        match SpanStatus::parse(status) {
            SpanStatus::Completed => Self::Succeeded,
            SpanStatus::Failed | SpanStatus::Timeout => Self::Failed,
            SpanStatus::Started if ended => Self::Failed,
            SpanStatus::Started => Self::Running,
        }
    }
}

/// How a span stands when its caller is done with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// There is no such span.
    Absent,
    /// It ended well.
    Completed,
    /// It ended with an error.
    Failed,
    /// It began, and no end is known.
    Open,
}

/// What a failing span said.
#[derive(Debug)]
pub(crate) struct Said {
    /// Who said it.
    pub(crate) node: usize,
    /// What it is about.
    pub(crate) hints: Hints,
}

/// What is known of one execution.
pub(crate) struct Facts<'t> {
    pub(crate) case: &'t ExecutionCase,
    pub(crate) tree: &'t Tree<'t>,
    pub(crate) baselines: &'t Baselines,
    pub(crate) now: DateTime<Utc>,
    pub(crate) outcome: Outcome,
    pub(crate) kind: Kind,
    pub(crate) shape: &'t Shape,
    /// The runner's outermost span.
    pub(crate) root: Option<usize>,
    /// The runner's call of the router, where it has a span of its own.
    pub(crate) call: Option<usize>,
    /// The router's outermost span.
    pub(crate) router: Option<usize>,
    /// The router's call of Modal, where it has a span of its own.
    pub(crate) provider: Option<usize>,
    /// Modal's outermost span.
    pub(crate) modal: Option<usize>,
    /// Modal spans of this execution's time, model and region that belong to no trace.
    pub(crate) unlinked: usize,
    /// What failing spans said, callers first.
    pub(crate) said: Vec<Said>,
}

impl<'t> Facts<'t> {
    /// Reads the facts off a case and its tree.
    pub(crate) fn read(
        case: &'t ExecutionCase,
        tree: &'t Tree<'t>,
        baselines: &'t Baselines,
        now: DateTime<Utc>,
    ) -> Self {
        let execution = &case.execution;
        let kind = baselines.kind(execution.model_id.as_deref(), Some(&execution.region));
        let mut facts = Self {
            case,
            tree,
            baselines,
            now,
            outcome: Outcome::of(execution),
            shape: baselines.shapes.of(&kind),
            kind,
            root: None,
            call: None,
            router: None,
            provider: None,
            modal: None,
            unlinked: baselines.unlinked_of(execution, &case.unlinked),
            said: Vec::new(),
        };
        facts.follow_the_call();
        facts.said = facts.read_texts();
        facts
    }

    /// What failing spans said: those along the call, and of others as many as anybody would read.
    fn read_texts(&self) -> Vec<Said> {
        let along = [self.root, self.call, self.router, self.provider, self.modal];
        let mut others = 0;
        let failed = self.tree.order.iter().copied();
        let failed = failed.filter(|&at| self.tree.nodes[at].failed());
        let worth_reading = failed.filter(|&at| {
            let beside = !along.contains(&Some(at));
            others += usize::from(beside);
            !beside || others <= MOST_TEXTS
        });
        let read = |node| Said {
            node,
            hints: Hints::read(&everything_said(&self.tree.nodes[node])),
        };
        worth_reading.map(read).collect()
    }

    /// Walks from the runner's root towards Modal along the attempt that decided the outcome.
    fn follow_the_call(&mut self) {
        let reach = deepest_tiers(self.tree);
        let mut next = first_step(self.tree, &reach);
        while let Some(at) = next {
            let node = &self.tree.nodes[at];
            match node.tier {
                Tier::Runner => {
                    let outermost = self.root.is_none();
                    self.root = self.root.or(Some(at));
                    if self.is_call(node, Tier::Router, outermost) {
                        self.call = Some(at);
                    }
                }
                Tier::Router => {
                    let outermost = self.router.is_none();
                    self.router = self.router.or(Some(at));
                    if self.is_call(node, Tier::Modal, outermost) {
                        self.provider = Some(at);
                    }
                }
                Tier::Modal => self.modal = self.modal.or(Some(at)),
                Tier::Other => {}
            }
            next = decisive_child(self.tree, at, &reach);
        }
    }

    /// Whether a span is its service's call of the next tier: it has such a callee, or spans of its
    /// name have; where nothing is known yet, an inner span that failed or names a provider is.
    fn is_call(&self, node: &Node<'_>, next: Tier, outermost: bool) -> bool {
        let span = node.span;
        let calls_here = || {
            node.children
                .iter()
                .any(|&at| self.tree.nodes[at].tier == next)
        };
        let shapes = &self.baselines.shapes;
        let likely = || !outermost && (node.failed() || span.text("provider").is_some());
        shapes.calls(&span.service, &span.operation, next)
            || calls_here()
            || (!shapes.knows_callers_of(next) && likely())
    }

    /// The node, where there is one.
    pub(crate) fn node(&self, at: Option<usize>) -> Option<&'t Node<'t>> {
        at.map(|at| &self.tree.nodes[at])
    }

    /// How a span stands.
    pub(crate) fn state(&self, at: Option<usize>) -> State {
        match self.node(at) {
            None => State::Absent,
            Some(node) if node.failed() => State::Failed,
            Some(node) if node.open() => State::Open,
            Some(_) => State::Completed,
        }
    }

    /// How long a span took; absent while it is open or when it is not there.
    pub(crate) fn took_ms(&self, at: Option<usize>) -> Option<f64> {
        self.node(at)?.took_ms()
    }

    /// How long the execution took: by its row, else by its root span.
    pub(crate) fn total_ms(&self) -> Option<f64> {
        row_ms(&self.case.execution).or_else(|| self.took_ms(self.root))
    }

    /// The runner's call of the router, or the span that stands in for it.
    pub(crate) fn calling(&self) -> Option<usize> {
        self.call.or(self.root)
    }

    /// The router's call of Modal, or the span that stands in for it: where the router's rows are
    /// lost, the runner's call, which waited for the same answer.
    pub(crate) fn provider_call(&self) -> Option<usize> {
        let beside_the_router = self.modal.and(self.calling());
        self.provider.or(self.router).or(beside_the_router)
    }

    /// The span whose end made the answer ready: the router's, or where that is missing or was never
    /// closed, the one below it.
    pub(crate) fn answering(&self) -> Option<usize> {
        let legs = [self.router, self.provider, self.modal];
        let ended = legs
            .into_iter()
            .find(|&leg| matches!(self.state(leg), State::Completed | State::Failed));
        ended.flatten().or(self.router).or(self.modal)
    }

    /// By how many ms the runner went on after the answer was ready.
    pub(crate) fn silence_ms(&self) -> Option<f64> {
        let answered = self.node(self.answering())?.end?;
        let called = self.node(self.calling()).and_then(|node| node.end);
        Some((called.or(self.ended())? - answered) as f64 / 1000.0)
    }

    /// When the execution ended, in µs since the epoch: by its root span, else by its row.
    fn ended(&self) -> Option<i64> {
        let by_row = || self.case.execution.completed_at.map(micros);
        self.node(self.root)
            .and_then(|node| node.end)
            .or_else(by_row)
    }

    /// How long a span lasted at most: to its own end, else to the execution's.
    pub(crate) fn lasted_ms(&self, at: Option<usize>) -> Option<f64> {
        let node = self.node(at)?;
        Some((node.end.or(self.ended())? - node.start) as f64 / 1000.0)
    }

    /// Whether any span of the runner is known.
    pub(crate) fn sees_runner(&self) -> bool {
        self.root.is_some() || self.call.is_some()
    }

    /// By how many ms the callee went on after its caller had ended; negative when it ended before.
    /// Absent when either end is unknown.
    pub(crate) fn outlived_ms(&self, caller: Option<usize>, callee: Option<usize>) -> Option<f64> {
        let (caller, callee) = (self.node(caller)?, self.node(callee)?);
        Some((callee.end? - caller.end?) as f64 / 1000.0)
    }

    /// How strongly the texts of failing spans speak for a class, and which span's does.
    pub(crate) fn hint(&self, class: Class, tiers: &[Tier]) -> (f64, Option<usize>) {
        let here = self
            .said
            .iter()
            .filter(|said| tiers.contains(&self.tree.nodes[said.node].tier));
        here.map(|said| (said.hints.weight(class), Some(said.node)))
            .filter(|(weight, _)| *weight > 0.0)
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .unwrap_or((0.0, None))
    }

    /// Whether Modal lines of this time are known to be lost, or Modal spans of this kind and time
    /// could not be linked to any trace.
    pub(crate) fn log_may_be_lost(&self) -> bool {
        !self.case.losses.is_empty() || self.unlinked > 0
    }

    /// Whether the row's own words say that it was called off.
    pub(crate) fn row_says_cancelled(&self) -> bool {
        self.case
            .execution
            .status
            .to_ascii_lowercase()
            .contains("cancel")
    }
}

/// From the row's start to its end, in ms.
pub(crate) fn row_ms(execution: &Execution) -> Option<f64> {
    let took = execution.completed_at? - execution.started_at?;
    Some(took.num_microseconds()?.max(0) as f64 / 1000.0)
}

/// What a failing span says: its error, and of a traceback what was being done and how it ended. File
/// names and code around it are about the program, not about the failure.
fn everything_said(node: &Node<'_>) -> String {
    let span = node.span;
    let kind = span.error_type.as_deref().unwrap_or_default();
    let message = span.error_message.as_deref().unwrap_or_default();
    let traceback = span.text(meta::TRACEBACK).unwrap_or_default();
    let in_function = |line: &str| {
        Some(
            line.trim()
                .strip_prefix("File ")?
                .rsplit_once(", in ")?
                .1
                .to_owned(),
        )
    };
    let doing: Vec<String> = traceback.lines().filter_map(in_function).collect();
    let ended = traceback.trim_end().lines().next_back().unwrap_or_default();
    format!("{kind} {message} {} {ended}", doing.join(" "))
}

/// The deepest tier that each node's subtree reaches.
fn deepest_tiers(tree: &Tree<'_>) -> Vec<Tier> {
    let own = |node: &Node<'_>| match node.tier {
        Tier::Other => Tier::Runner,
        tier => tier,
    };
    let mut reach: Vec<Tier> = tree.nodes.iter().map(own).collect();
    for &at in tree.order.iter().rev() {
        if let Some(parent) = tree.nodes[at].parent {
            reach[parent] = reach[parent].max(reach[at]);
        }
    }
    reach
}

/// The root to begin with: the runner's, else the one nearest to it.
fn first_step(tree: &Tree<'_>, reach: &[Tier]) -> Option<usize> {
    let roots = tree.roots.iter().copied();
    roots.min_by_key(|&at| {
        (
            tree.nodes[at].tier,
            std::cmp::Reverse(reach[at]),
            tree.nodes[at].start,
        )
    })
}

/// The child along which the call went on: the kind that reaches deepest, of its attempts the last,
/// unless one beside that failed.
fn decisive_child(tree: &Tree<'_>, at: usize, reach: &[Tier]) -> Option<usize> {
    let children = &tree.nodes[at].children;
    let name = |child: usize| {
        let span = tree.nodes[child].span;
        (&span.service, &span.operation)
    };
    let deepest = *children.iter().max_by_key(|&&child| reach[child])?;
    // A later attempt may not have come as far as an earlier one; it is the one that counts.
    let tried = || {
        let all = children.iter().copied();
        all.filter(|&child| reach[child] == reach[deepest] || name(child) == name(deepest))
    };
    let last = tried().max_by_key(|&child| tree.nodes[child].start)?;
    let beside = |child: &usize| {
        let node = &tree.nodes[*child];
        node.failed() && node.end.is_none_or(|end| end > tree.nodes[last].start)
    };
    Some(tried().find(beside).unwrap_or(last))
}
