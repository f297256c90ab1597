//! Printed lines as the pipeline would hand them to a store. Times count in milliseconds from
//! [`epoch`].

use beacon_collector::model::{End, Moment, Observation, Outcome, Precision, SpanKey, Step};
use beacon_collector::store::Batch;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, json};

/// The time from which tests count.
pub(crate) fn epoch() -> DateTime<Utc> {
    DateTime::from_timestamp(1_761_138_000, 0).unwrap()
}

/// A time, `ms` after [`epoch`].
pub(crate) fn at(ms: i64) -> DateTime<Utc> {
    epoch() + TimeDelta::milliseconds(ms)
}

fn moment(ms: i64) -> Moment {
    Moment {
        at: at(ms),
        precision: Precision::Micro,
    }
}

/// Nothing yet of the span `log_id`, in the one container that tests use.
pub(crate) fn seen(log_id: &str) -> Observation {
    let container = "ta-01TEST";
    let key = SpanKey {
        log_id: log_id.into(),
        scope: container.into(),
    };
    let mut seen = Observation::new(key, "test");
    seen.container_id = Some(container.into());
    seen
}

/// `TRACE[log_id]: Modal inference started - model=…, region=…`
pub(crate) fn start(log_id: &str, ms: i64) -> Observation {
    let mut seen = seen(log_id);
    seen.start = Some(moment(ms));
    seen.name = Some(("modal".into(), "inference".into()));
    seen.model_id = Some("llama3.2-1b".into());
    seen.region = Some("us-east".into());
    seen
}

/// `TRACE[log_id]: SUCCESS - duration=…, tokens=156`
pub(crate) fn success(log_id: &str, ms: i64, took_ms: i64) -> Observation {
    let mut seen = seen(log_id);
    seen.end = Some(End {
        moment: moment(ms),
        outcome: Outcome::Completed,
        reported_us: Some(took_ms * 1000),
        error_type: None,
        error_message: None,
    });
    seen.fields.insert("tokens", json!(156));
    seen
}

/// `TRACE[log_id]: FAILED - error=OSError: …, duration=…`
pub(crate) fn failure(log_id: &str, ms: i64, took_ms: i64, text: &str) -> Observation {
    let mut seen = success(log_id, ms, took_ms);
    if let Some(end) = &mut seen.end {
        end.outcome = Outcome::Failed;
        end.error_type = Some("OSError".into());
        end.error_message = Some(text.to_owned());
    }
    seen.fields.clear();
    seen
}

/// `TRACE[log_id]: Model validated`
pub(crate) fn step(log_id: &str, ms: i64, name: &str) -> Observation {
    let mut seen = seen(log_id);
    seen.add_step(Step {
        at: at(ms),
        name: name.to_owned(),
        fields: Map::new(),
    });
    seen
}

/// A batch of observations alone.
pub(crate) fn batch(observations: impl IntoIterator<Item = Observation>) -> Batch {
    Batch {
        observations: observations.into_iter().collect(),
        ..Batch::default()
    }
}
