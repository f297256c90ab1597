//! Properties of [`reconcile`]: whatever the order, repetition and batching of what was observed, and
//! whichever transport each line came over, the same rows result.
//!
//! Calls of one log id in one container lie hours apart here. Lines of calls that overlap can't be told
//! apart by anything they print, and are outside what the property promises.

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use proptest::prelude::*;
use serde_json::json;

use super::{
    Change, End, Moment, Observation, Outcome, Precision, RowKey, Span, SpanKey, Step, reconcile,
};

/// One call of a function, as it really was.
#[derive(Debug, Clone)]
struct Call {
    key: SpanKey,
    start: DateTime<Utc>,
    took: TimeDelta,
    outcome: Option<Outcome>,
    reports: bool,
    steps: Vec<(i64, u8)>,
}

/// Which lines an observation holds, and how exactly their times were printed.
#[derive(Debug, Clone, Copy)]
struct Glimpse {
    call: usize,
    start: bool,
    end: bool,
    step: Option<usize>,
    precision: Precision,
}

impl Call {
    fn end(&self) -> DateTime<Utc> {
        self.start + self.took
    }

    fn observe(&self, glimpse: Glimpse) -> Observation {
        let printed = |at: DateTime<Utc>| Moment {
            at: match glimpse.precision {
                Precision::Second => at.trunc_subsecs(0),
                Precision::Milli => at.trunc_subsecs(3),
                _ => at,
            },
            precision: glimpse.precision,
        };
        let mut seen = Observation::new(self.key.clone(), "test");
        seen.container_id = Some(self.key.scope.clone());
        if glimpse.start {
            seen.start = Some(printed(self.start));
            seen.name = Some(("modal".into(), "load".into()));
            seen.model_id = Some("llama3.2-1b".into());
        }
        if let (true, Some(outcome)) = (glimpse.end, self.outcome) {
            seen.end = Some(End {
                moment: printed(self.end()),
                outcome,
                reported_us: self
                    .reports
                    .then(|| self.took.num_milliseconds() / 10 * 10_000),
                error_type: (outcome == Outcome::Failed).then(|| "OSError".into()),
                error_message: (outcome == Outcome::Failed).then(|| "no such file".into()),
            });
            seen.fields.insert("tokens", json!(156));
        }
        if let Some(&(after, name)) = glimpse.step.and_then(|step| self.steps.get(step)) {
            let after = TimeDelta::microseconds(after % self.took.num_microseconds().unwrap());
            seen.add_step(Step {
                at: printed(self.start + after).at,
                name: format!("step {name}"),
                fields: serde_json::Map::new(),
            });
        }
        seen
    }
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let outcome = prop_oneof![
        Just(None),
        Just(Some(Outcome::Completed)),
        Just(Some(Outcome::Failed)),
        Just(Some(Outcome::Timeout)),
    ];
    let step = (0..i64::from(u32::MAX), 0..4_u8);
    let call = (
        0..3_usize,
        0..3_600_000_000_i64,
        1_000..600_000_000_i64,
        outcome,
        any::<bool>(),
        proptest::collection::vec(step, 0..4),
    );
    proptest::collection::vec(call, 1..5).prop_map(|calls| {
        let place = |number: usize, key, offset, took, outcome, reports, steps| Call {
            key: SpanKey {
                log_id: format!("abc0000{key}").into(),
                scope: "ta-1".into(),
            },
            // Two days apart: no line of one can be taken for a line of another.
            start: DateTime::from_timestamp(1_760_000_000 + number as i64 * 172_800, 0).unwrap()
                + TimeDelta::microseconds(offset),
            took: TimeDelta::microseconds(took),
            outcome,
            reports,
            steps,
        };
        calls
            .into_iter()
            .enumerate()
            .map(|(n, (key, offset, took, outcome, reports, steps))| {
                place(n, key, offset, took, outcome, reports, steps)
            })
            .collect()
    })
}

/// Every line of every call at least once, in parts and over transports as they come.
fn glimpses(calls: &[Call]) -> impl Strategy<Value = Vec<Glimpse>> + use<> {
    let precision = || {
        prop_oneof![
            Just(Precision::Second),
            Just(Precision::Milli),
            Just(Precision::Micro),
        ]
    };
    let mut lines = Vec::new();
    for (call, real) in calls.iter().enumerate() {
        let whole = (
            any::<bool>(),
            any::<bool>(),
            proptest::option::of(0..4_usize),
        );
        let parts =
            (Just(call), whole, precision()).prop_map(|(call, (start, end, step), precision)| {
                Glimpse {
                    call,
                    start,
                    end,
                    step,
                    precision,
                }
            });
        lines.push(proptest::collection::vec(parts, 0..4).boxed());
        for (start, end, step) in [(true, false, None), (false, true, None)]
            .into_iter()
            .chain((0..real.steps.len()).map(|step| (false, false, Some(step))))
        {
            let line = precision().prop_map(move |precision| {
                vec![Glimpse {
                    call,
                    start,
                    end,
                    step,
                    precision,
                }]
            });
            lines.push(line.boxed());
        }
    }
    lines.prop_map(|lines| lines.concat()).prop_shuffle()
}

/// Writes batches one after another, as a store would.
fn store(batches: impl IntoIterator<Item = Vec<Observation>>) -> Vec<Span> {
    let mut rows: Vec<Span> = Vec::new();
    for batch in batches {
        for change in reconcile(&rows, batch) {
            match change {
                Change::Insert(span) => rows.push(span),
                Change::Update { row, span } => {
                    let at = rows.iter().position(|stored| {
                        (RowKey {
                            trace_id: stored.trace_id,
                            span_id: stored.span_id,
                        }) == row
                    });
                    rows[at.unwrap()] = span;
                }
            }
        }
    }
    rows.sort_by_key(|span| span.span_id);
    rows
}

fn is_empty(seen: &Observation) -> bool {
    seen.start.is_none() && seen.end.is_none() && seen.steps.is_empty()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn order_repetition_and_batching_make_no_difference(
        (calls, glimpses) in calls().prop_flat_map(|calls| {
            let glimpses = glimpses(&calls);
            (Just(calls), glimpses)
        }),
        repeats in proptest::collection::vec(any::<prop::sample::Index>(), 0..5),
        cuts in proptest::collection::vec(any::<bool>(), 64),
    ) {
        let seen: Vec<_> = glimpses
            .iter()
            .map(|glimpse| calls[glimpse.call].observe(*glimpse))
            .filter(|seen| !is_empty(seen))
            .collect();
        prop_assume!(!seen.is_empty());
        let mut ordered = glimpses.clone();
        ordered.sort_by_key(|glimpse| (glimpse.call, !glimpse.start, glimpse.end));
        let plain = ordered
            .iter()
            .map(|glimpse| calls[glimpse.call].observe(*glimpse))
            .filter(|seen| !is_empty(seen));
        let expected = store([plain.collect()]);
        prop_assert_eq!(expected.len(), calls.len());

        let mut again = seen.clone();
        again.extend(repeats.iter().map(|index| index.get(&seen).clone()));
        let mut batches = vec![Vec::new()];
        for (line, cut) in again.into_iter().zip(cuts.iter().cycle()) {
            if *cut {
                batches.push(Vec::new());
            }
            batches.last_mut().unwrap().push(line);
        }
        let rows = store(batches);
        prop_assert_eq!(&rows, &expected);
        prop_assert_eq!(reconcile(&rows, seen), []);
    }
}
