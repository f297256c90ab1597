//! Arguments of a question as they arrive — JSON from MCP, text from a URL or the command line — made
//! into typed values. Every refusal says which argument, what was given and what form is wanted.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::{QueryError, parse_time};

/// Longest text argument, in characters: longer than any id, region or model name.
const MAX_TEXT: usize = 300;

/// Bytes of arguments that go to the log.
const LOGGED: usize = 300;

/// Arguments that have not been taken yet.
#[derive(Debug)]
pub struct Arguments {
    given: Map<String, Value>,
    known: Vec<&'static str>,
}

impl Arguments {
    /// Reads these arguments; `null` counts as not given.
    pub fn new(mut given: Map<String, Value>) -> Self {
        given.retain(|_, value| !value.is_null());
        Self {
            given,
            known: Vec::new(),
        }
    }

    /// Arguments as they may stand in the program's own log.
    pub fn in_log(given: &Map<String, Value>) -> String {
        crate::untrusted::clean(&Value::Object(given.clone()).to_string(), LOGGED)
    }

    /// A text that must be there.
    pub fn text(&mut self, name: &'static str) -> Result<String, QueryError> {
        let missing = || {
            QueryError::Arguments(format!(
                "{name} is missing; get_recent_failures lists failures with their ids"
            ))
        };
        self.text_if_given(name)?.ok_or_else(missing)
    }

    /// A text that may be left out; empty counts as left out.
    pub fn text_if_given(&mut self, name: &'static str) -> Result<Option<String>, QueryError> {
        let text = match self.take(name) {
            None => return Ok(None),
            Some(Value::String(text)) => text,
            // Ids that look like numbers come as numbers.
            Some(Value::Number(number)) => number.to_string(),
            Some(other) => return Err(refuse(name, &other, "expected text")),
        };
        let text = text.trim();
        if text.chars().count() > MAX_TEXT {
            let reason = format!("longer than {MAX_TEXT} characters");
            return Err(refuse(name, &Value::from(text), &reason));
        }
        Ok(Some(text.to_owned()).filter(|text| !text.is_empty()))
    }

    /// The id of an execution.
    pub fn execution_id(&mut self) -> Result<i64, QueryError> {
        let form = "expected the positive integer that stands in executions.id, such as 2379; get_recent_failures lists some";
        let id = self.integer("execution_id", 1, i64::MAX, form)?;
        id.ok_or_else(|| QueryError::Arguments(format!("execution_id is missing: {form}")))
    }

    /// A whole number between two others, which may be left out.
    pub fn number(
        &mut self,
        name: &'static str,
        least: i64,
        most: i64,
    ) -> Result<Option<i64>, QueryError> {
        let form = format!("expected a whole number from {least} to {most}");
        self.integer(name, least, most, &form)
    }

    /// A time, which may be left out.
    pub fn time(
        &mut self,
        name: &'static str,
        now: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>, QueryError> {
        let text = self.text_if_given(name)?;
        text.map(|text| parse_time(name, &text, now)).transpose()
    }

    /// `since`, which may be left out: a time before `end`; any other is refused for this reason.
    pub fn since(
        &mut self,
        now: DateTime<Utc>,
        end: DateTime<Utc>,
        reason: &str,
    ) -> Result<Option<DateTime<Utc>>, QueryError> {
        let Some(text) = self.text_if_given("since")? else {
            return Ok(None);
        };
        let since = parse_time("since", &text, now)?;
        if since >= end {
            return Err(refuse("since", &text.into(), reason));
        }
        Ok(Some(since))
    }

    /// Refuses what was given and not taken.
    pub fn finish(self) -> Result<(), QueryError> {
        let Some(unknown) = self.given.keys().next() else {
            return Ok(());
        };
        let known = match self.known.as_slice() {
            [] => "it takes none".to_owned(),
            names => format!("there are: {}", names.join(", ")),
        };
        let unknown = crate::untrusted::clean(unknown, 80);
        Err(QueryError::Arguments(format!(
            "unknown argument {unknown:?}; {known}"
        )))
    }

    fn integer(
        &mut self,
        name: &'static str,
        least: i64,
        most: i64,
        form: &str,
    ) -> Result<Option<i64>, QueryError> {
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        let number = match &value {
            Value::Number(number) => number.as_i64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        let number = number.filter(|number| (least..=most).contains(number));
        number.map(Some).ok_or_else(|| refuse(name, &value, form))
    }

    fn take(&mut self, name: &'static str) -> Option<Value> {
        self.known.push(name);
        self.given.remove(name)
    }
}

fn refuse(argument: &'static str, value: &Value, reason: &str) -> QueryError {
    let shown = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    QueryError::Argument {
        argument,
        value: crate::untrusted::clean(&shown, 80),
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn arguments(value: Value) -> Arguments {
        Arguments::new(value.as_object().cloned().unwrap_or_default())
    }

    #[test]
    fn an_execution_id_is_taken_as_number_or_text() {
        for value in [json!(2379), json!("2379"), json!(" 2379 ")] {
            let mut given = arguments(json!({ "execution_id": value }));
            assert_eq!(given.execution_id().ok(), Some(2379));
            assert!(given.finish().is_ok());
        }
    }

    #[test]
    fn an_impossible_execution_id_is_refused_with_the_form_and_the_next_tool() {
        let huge = "9".repeat(40);
        for value in [
            json!(-1),
            json!(0),
            json!(1.5),
            json!("abc"),
            json!([1]),
            json!(huge),
        ] {
            let mut given = arguments(json!({ "execution_id": value }));
            let refused = given.execution_id().map_err(|error| error.to_string());
            assert!(
                matches!(&refused, Err(text) if text.contains("positive integer") && text.contains("get_recent_failures")),
                "{refused:?}"
            );
        }
    }

    #[test]
    fn a_window_that_ends_before_it_begins_is_refused() {
        let now = DateTime::UNIX_EPOCH + chrono::TimeDelta::days(20_000);
        let since = |text: &str| {
            let mut given = arguments(json!({ "since": text }));
            let since = given.since(now, now, "in the future");
            since.map_err(|error| error.to_string())
        };
        assert!(since("1h").is_ok());
        assert_eq!(
            since("2099-01-01"),
            Err("since \"2099-01-01\": in the future".to_owned())
        );
    }

    #[test]
    fn an_unknown_argument_is_refused_with_the_known_ones() {
        let mut given = arguments(json!({ "execution_id": 1, "exeuction": 2 }));
        assert!(given.execution_id().is_ok());
        let refused = given.finish().map_err(|error| error.to_string());
        assert_eq!(
            refused,
            Err("unknown argument \"exeuction\"; there are: execution_id".to_owned())
        );
    }
}
