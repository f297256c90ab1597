//! From choices to findings: which columns of a printed span a link fills in, and the words for why
//! there is none.

use std::collections::HashMap;

use serde_json::{Value, json};
use uuid::Uuid;

use super::evidence::{Caller, Evidence, State};
use super::matching::Choice;
use super::printed::Printed;
use super::trace::{Closeness, Trace};
use crate::model::{Execution, Span, SpanLink, meta};

/// Links below this confidence are not made: a wrong link misleads, a missing one says so.
const CERTAIN: f64 = 0.9;
/// A link that was made stays as long as it is likelier than everything else together.
const LIKELY: f64 = 0.5;

/// How a span was joined to its trace: what stands under `method` in [`meta::LINK`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    /// Its own lines said so.
    Context,
    /// By model, region and times, against all others.
    Evidence,
    /// It shares the function call of a span that is linked.
    SameCall,
    /// Not at all.
    None,
}

impl Method {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Context => "context",
            Self::Evidence => "evidence",
            Self::SameCall => "same_call",
            Self::None => "none",
        }
    }
}

/// What was found out about one printed span.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// What goes into its row.
    pub link: SpanLink,
    /// Whether it stays like this: the span and its caller have ended, and no closer caller can turn
    /// up.
    pub settled: bool,
}

/// What findings are made of.
pub(super) struct Findings<'e, 'a> {
    pub(super) evidence: &'e Evidence<'a>,
    pub(super) traces: &'e [Trace<'a>],
    pub(super) execution_of: &'e HashMap<Uuid, i64>,
    pub(super) executions: HashMap<i64, &'a Execution>,
}

impl<'a> Findings<'_, 'a> {
    /// What the choices say about each printed span, where they say anything.
    pub(super) fn report(&self, choices: &[Choice]) -> Vec<Finding> {
        let judge = |(row, choice)| self.judge(row, choice);
        let verdicts: Vec<_> = choices.iter().enumerate().map(judge).collect();
        let calls = self.linked_calls(&verdicts);
        let rows = self.evidence.printed.iter().zip(verdicts).enumerate();
        rows.filter_map(|(row, (one, verdict))| match verdict {
            Verdict::Inside(caller, method, confidence) => {
                Some(self.inside(one, caller, method, confidence))
            }
            Verdict::Named => self.named(one),
            Verdict::Unlinked(reason, confidence) => {
                let call = one.span.text(meta::FUNCTION_CALL_ID);
                Some(match call.and_then(|id| calls.get(id)) {
                    Some(&(caller, confidence)) if self.is_candidate(row, caller) => {
                        self.inside(one, caller, Method::SameCall, confidence)
                    }
                    _ => Finding {
                        link: bare(
                            one,
                            one.span.span_id,
                            value(Method::None, confidence, Some(reason)),
                        ),
                        settled: false,
                    },
                })
            }
            Verdict::Nothing => None,
        })
        .collect()
    }

    fn judge(&self, row: usize, choice: &Choice) -> Verdict {
        let one = &self.evidence.printed[row];
        if one.said.names_trace() {
            return match choice.column {
                Some(caller) => Verdict::Inside(caller, Method::Context, 1.0),
                None => Verdict::Named,
            };
        }
        if self.evidence.candidates[row].is_empty() {
            return Verdict::Nothing;
        }
        let Some(caller) = choice.column else {
            return Verdict::Unlinked(
                "callers of this model and region were running then, but none that its times fit",
                0.0,
            );
        };
        let linked_before = self.evidence.callers[caller].span.trace_id == one.span.trace_id;
        let enough = if linked_before { LIKELY } else { CERTAIN };
        if choice.confidence >= enough {
            return Verdict::Inside(caller, Method::Evidence, choice.confidence);
        }
        Verdict::Unlinked(
            match choice.runner_up {
                Some(_) => {
                    "several callers of this model and region fit its times about equally well"
                }
                None => "one caller fits its times, but not well enough to be sure",
            },
            choice.confidence,
        )
    }

    /// The callers of function calls that have a linked span.
    fn linked_calls(&self, verdicts: &[Verdict]) -> HashMap<&'a str, (usize, f64)> {
        let linked = |(one, verdict): (&Printed<'a>, &Verdict)| match *verdict {
            Verdict::Inside(caller, _, confidence) => {
                Some((one.span.text(meta::FUNCTION_CALL_ID)?, (caller, confidence)))
            }
            _ => None,
        };
        self.evidence
            .printed
            .iter()
            .zip(verdicts)
            .filter_map(linked)
            .collect()
    }

    fn is_candidate(&self, row: usize, caller: usize) -> bool {
        self.evidence.candidates[row].contains(&caller)
    }

    fn inside(&self, one: &Printed<'_>, caller: usize, method: Method, confidence: f64) -> Finding {
        let caller: &Caller<'_> = &self.evidence.callers[caller];
        let trace = &self.traces[caller.trace];
        let execution_id = self.execution_of.get(&trace.id).copied();
        let execution = execution_id.and_then(|id| self.executions.get(&id));
        let job = trace.first(Span::job).map(str::to_owned);
        let link = SpanLink {
            span_id: one.span.span_id,
            trace_id: trace.id,
            parent_span_id: Some(caller.span.span_id),
            execution_id,
            job_id: job.or_else(|| execution?.job_id.clone()),
            model_id: caller.model.map(str::to_owned),
            region: trace.region_of(caller.span).map(str::to_owned),
            link: value(method, confidence, None),
        };
        let settled = caller.closeness == Closeness::ModalCall
            && caller.to.is_some()
            && one.state != State::Open;
        Finding { link, settled }
    }

    /// A span whose lines named its trace, none of whose callers we see (yet): its execution is all
    /// there is to add.
    fn named(&self, one: &Printed<'_>) -> Option<Finding> {
        let trace_id = one.said.trace?;
        let execution_id = Some(*self.execution_of.get(&trace_id)?);
        let link = SpanLink {
            execution_id,
            ..bare(one, trace_id, value(Method::Context, 1.0, None))
        };
        Some(Finding {
            link,
            settled: false,
        })
    }
}

/// What is to be done about a printed span.
enum Verdict {
    /// It ran inside this caller.
    Inside(usize, Method, f64),
    /// Its lines named its trace, and that is all.
    Named,
    /// There are callers, and this is why it is none of theirs; with the confidence of the best.
    Unlinked(&'static str, f64),
    /// There is nothing to weigh.
    Nothing,
}

fn bare(one: &Printed<'_>, trace_id: Uuid, link: Value) -> SpanLink {
    SpanLink {
        span_id: one.span.span_id,
        trace_id,
        parent_span_id: None,
        execution_id: None,
        job_id: None,
        model_id: None,
        region: None,
        link,
    }
}

fn value(method: Method, confidence: f64, reason: Option<&str>) -> Value {
    // Three digits: more would only make rows differ.
    let confidence = (confidence * 1000.0).round() / 1000.0;
    let mut link = json!({ "method": method.as_str(), "confidence": confidence });
    if let Some(reason) = reason {
        link["reason"] = reason.into();
    }
    link
}

/// The link of a row whose trace turned out to belong to an execution.
pub fn with_execution(row: &Span, execution: &Execution) -> SpanLink {
    let link = row.metadata.get(meta::LINK).cloned();
    SpanLink {
        span_id: row.span_id,
        trace_id: row.trace_id,
        parent_span_id: row.parent_span_id,
        execution_id: Some(execution.id),
        job_id: row.job_id.clone().or_else(|| execution.job_id.clone()),
        model_id: row.model_id.clone(),
        region: row.region.clone(),
        link: link.unwrap_or_else(|| value(Method::Context, 1.0, None)),
    }
}
