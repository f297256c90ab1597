//! A row of `trace_spans` as it is written: borrowed from a span, or from what was observed of one, so
//! that a new row goes from the lines to the database without being put together in between.
//!
//! Invariant: the row of an observation holds what [`Observation::to_span`] holds.

use chrono::{DateTime, Utc};
use serde::{Serialize, Serializer as _};
use uuid::Uuid;

use super::fields::in_jsonb;
use super::observation::{Key, Said};
use super::{Observation, Span, SpanStatus, every_byte};

/// The columns of one row; what absence means is said at [`Span`].
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// Trace the span belongs to.
    pub trace_id: Uuid,
    /// The span itself.
    pub span_id: Uuid,
    /// Enclosing span.
    pub parent_span_id: Option<Uuid>,
    /// Service.
    pub service: &'a str,
    /// What was done.
    pub operation: &'a str,
    /// Start.
    pub started_at: DateTime<Utc>,
    /// End.
    pub completed_at: Option<DateTime<Utc>>,
    /// Duration in ms.
    pub duration_ms: Option<i64>,
    /// State.
    pub status: SpanStatus,
    /// The job's public id.
    pub job_id: Option<&'a str>,
    /// `executions.id`.
    pub execution_id: Option<i64>,
    /// Model.
    pub model_id: Option<&'a str>,
    /// Region.
    pub region: Option<&'a str>,
    /// Everything else.
    pub metadata: Metadata<'a>,
    /// Text of the failure.
    pub error_message: Option<&'a str>,
    /// Class of the failure.
    pub error_type: Option<&'a str>,
}

/// The `metadata` column.
#[derive(Debug, Clone, Copy)]
pub enum Metadata<'a> {
    /// Of a span.
    Span(&'a Span),
    /// Of what was observed of one.
    Observation(&'a Observation),
}

impl Metadata<'_> {
    /// Appends it as JSON text.
    pub fn write(self, json: &mut Vec<u8>) {
        match self {
            Self::Span(span) => {
                let mut pairs: Vec<_> = span.metadata.iter().collect();
                pairs.sort_unstable_by(|(a, _), (b, _)| in_jsonb(a, b));
                // Neither text keys nor a vector can fail to be written.
                let _ = serde_json::Serializer::new(json).collect_map(pairs);
            }
            Self::Observation(seen) => {
                let begin = json.len();
                seen.each_metadata(|key, value| {
                    match key {
                        Key::Own(_, in_json) => json.extend_from_slice(in_json),
                        Key::Field(name) => {
                            json.push(b',');
                            write_text(json, name);
                            json.push(b':');
                        }
                    }
                    match value {
                        // It stood there with its key.
                        Said::Word(_) => {}
                        Said::Text(text) => write_text(json, text),
                        Said::Truth => json.extend_from_slice(b"true"),
                        Said::Number(number) => write_any(json, &number),
                        Said::Field(value) => write_any(json, value),
                        Said::Events(events) => write_any(json, &events),
                    }
                });
                // In the place of the first comma: there is always a log id.
                json[begin] = b'{';
                json.push(b'}');
            }
        }
    }
}

fn write_any(json: &mut Vec<u8>, value: &impl Serialize) {
    // As above.
    let _ = serde_json::to_writer(json, value);
}

/// Ids and names have nothing to escape.
fn write_text(json: &mut Vec<u8>, text: &str) {
    let is_plain = |byte: u8| byte >= b' ' && byte != b'"' && byte != b'\\';
    if every_byte(text.as_bytes(), is_plain) {
        write_plain(json, text);
    } else {
        write_any(json, &text);
    }
}

fn write_plain(json: &mut Vec<u8>, text: &str) {
    json.reserve(text.len() + 2);
    json.push(b'"');
    json.extend_from_slice(text.as_bytes());
    json.push(b'"');
}

impl Span {
    /// The span as a row.
    pub fn row(&self) -> Row<'_> {
        Row {
            trace_id: self.trace_id,
            span_id: self.span_id,
            parent_span_id: self.parent_span_id,
            service: &self.service,
            operation: &self.operation,
            started_at: self.started_at,
            completed_at: self.completed_at,
            duration_ms: self.duration_ms,
            status: self.status,
            job_id: self.job_id.as_deref(),
            execution_id: self.execution_id,
            model_id: self.model_id.as_deref(),
            region: self.region.as_deref(),
            metadata: Metadata::Span(self),
            error_message: self.error_message.as_deref(),
            error_type: self.error_type.as_deref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Context, End, Fields, Moment, Outcome, Precision, SpanKey, Step};
    use super::*;
    use serde_json::{Value, json};

    /// Two observations that between them know everything that can be known.
    fn observations() -> [Observation; 2] {
        let key = SpanKey {
            log_id: "abc123de".into(),
            scope: "ta-1".into(),
        };
        let moment = |ms: i64| Moment {
            at: DateTime::from_timestamp_millis(1_760_000_000_000 + ms).unwrap(),
            precision: Precision::Milli,
        };
        let mut open = Observation::new(key, "file:/var/log/\"x\".log");
        open.function_id = Some("fu-1".into());
        open.function_call_id = Some("fc-1".into());
        open.deadline_passed = true;
        open.steps_dropped = true;
        open.add_step(Step {
            at: moment(5).at,
            name: "Model validated".into(),
            fields: json!({"size": 3}).as_object().unwrap().clone(),
        });
        let mut whole = open.clone();
        whole.container_id = Some("ta-1".into());
        whole.name = Some(("router".into(), "route".into()));
        whole.start = Some(moment(0));
        whole.end = Some(End {
            moment: moment(1_500),
            outcome: Outcome::Failed,
            reported_us: Some(1_234_567),
            error_type: Some("OSError".into()),
            error_message: Some("line\nfeed, \"quote\" and 天安门".into()),
        });
        whole.traceback = Some("Traceback…\nOSError".into());
        whole.model_id = Some("m".into());
        whole.region = Some("r".into());
        whole.context = Context {
            trace_id: Some(Uuid::from_u128(1)),
            parent_span_id: Some(Uuid::from_u128(2)),
            execution_id: Some(3),
            job_id: Some("job".into()),
        }
        .into();
        let fields = [
            ("tokens", json!(7)),
            ("log_id", json!("x")),
            ("t", json!(0.5)),
        ];
        whole.fields = Fields::from_iter(fields);
        [open, whole]
    }

    #[test]
    fn the_row_of_an_observation_is_the_row_of_its_span() {
        for seen in observations() {
            let span = seen.to_span();
            let (borrowed, owned) = (seen.row(span.span_id, seen.times()), span.row());
            let columns = |row: &Row<'_>| {
                let mut metadata = Vec::new();
                row.metadata.write(&mut metadata);
                let metadata: Value = serde_json::from_slice(&metadata).unwrap();
                let without = format!(
                    "{:?}",
                    Row {
                        metadata: Metadata::Span(&span),
                        ..*row
                    }
                );
                (without, metadata)
            };
            assert_eq!(columns(&borrowed), columns(&owned));
        }
    }

    #[test]
    fn the_text_of_metadata_does_not_tell_how_a_row_came_about() {
        for seen in observations() {
            let (span, mut text, mut of_span) = (seen.to_span(), Vec::new(), Vec::new());
            Metadata::Observation(&seen).write(&mut text);
            Metadata::Span(&span).write(&mut of_span);
            assert_eq!(text, of_span);
            let map: Value = serde_json::from_slice(&text).unwrap();
            assert_eq!(map, Value::from(span.metadata));
        }
    }
}
