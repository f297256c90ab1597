//! Owns a payload's fields and the types of their values.
//! Refuses to parse: that is the payload grammar's part.
//! Invariant: fields keep the order of the line; a key that occurs twice keeps both.

use std::borrow::Cow;

use crate::record::own;

/// Enough for every line that Modal functions print without context keys, so that these grow once.
const USUAL: usize = 4;

/// A payload's keys and values, in the order of the line.
// Not beside the rest of a line: a record is moved a few times, which is more work than an allocation.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Fields<'a>(Vec<Field<'a>>);

/// One `key=value`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Field<'a> {
    pub(crate) key: Cow<'a, str>,
    pub(crate) value: Value<'a>,
}

/// A value of a payload.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// Text, without its quotes and escapes.
    Text(Cow<'a, str>),
    /// A whole number.
    Int(i64),
    /// A number with a fraction or an exponent, `inf` or `nan`.
    Float(f64),
    /// `True` or `False`.
    Bool(bool),
    /// `None`.
    None,
    /// A number with a unit of time.
    Duration {
        /// The duration in microseconds, rounded.
        micros: i64,
        /// As it was written.
        raw: Cow<'a, str>,
    },
}

impl<'a> Value<'a> {
    /// Copies what is borrowed.
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Value::Text(text) => Value::Text(own(text)),
            Value::Int(n) => Value::Int(n),
            Value::Float(n) => Value::Float(n),
            Value::Bool(b) => Value::Bool(b),
            Value::None => Value::None,
            Value::Duration { micros, raw } => Value::Duration {
                micros,
                raw: own(raw),
            },
        }
    }

    /// The value as text, where it is text.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The value as a duration; a bare number counts in units of `unit_micros`.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "a float to integer cast saturates, and a duration of 2^53 µs is 285 years"
    )]
    pub(crate) fn micros(&self, unit_micros: f64) -> Option<i64> {
        match self {
            Value::Duration { micros, .. } => Some(*micros),
            Value::Int(n) => Some((*n as f64 * unit_micros).round() as i64),
            Value::Float(n) if n.is_finite() => Some((n * unit_micros).round() as i64),
            _ => None,
        }
    }
}

impl<'a> Fields<'a> {
    /// The pairs in the order of the line.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value<'a>)> {
        self.0
            .iter()
            .map(|field| (field.key.as_ref(), &field.value))
    }

    /// The first value of this key.
    pub fn get(&self, key: &str) -> Option<&Value<'a>> {
        let field = self.0.iter().find(|field| field.key == key);
        field.map(|field| &field.value)
    }

    /// The first value of this key, where it is text.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.get(key)?.as_text()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Copies what is borrowed.
    pub fn into_owned(self) -> Fields<'static> {
        let pairs = self.0.into_iter();
        pairs
            .map(|field| (own(field.key), field.value.into_owned()))
            .collect()
    }

    pub(crate) fn push(&mut self, key: Cow<'a, str>, value: Value<'a>) {
        if self.0.is_empty() {
            self.0.reserve_exact(USUAL);
        }
        self.0.push(Field { key, value });
    }

    pub(crate) fn last(&self) -> Option<&Field<'a>> {
        self.0.last()
    }
}

impl<'a, K: Into<Cow<'a, str>>> FromIterator<(K, Value<'a>)> for Fields<'a> {
    fn from_iter<I: IntoIterator<Item = (K, Value<'a>)>>(pairs: I) -> Self {
        let mut fields = Fields::default();
        for (key, value) in pairs {
            fields.push(key.into(), value);
        }
        fields
    }
}
