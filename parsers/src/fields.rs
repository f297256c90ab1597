//! Owns a payload's fields and the types of their values.
//! Refuses to parse: that is the payload grammar's part.
//! Invariant: fields keep the order of the line; a key that occurs twice keeps both.

use std::borrow::Cow;

use crate::record::own;

/// Enough for every line that Modal functions print without context keys, so that a record of the
/// common kind needs no allocation.
const INLINE: usize = 4;

/// A payload's keys and values, in the order of the line.
#[derive(Debug, Clone, Default)]
pub struct Fields<'a> {
    inline: [Field<'a>; INLINE],
    inline_len: usize,
    spilled: Vec<Field<'a>>,
}

/// One `key=value`.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Field<'a> {
    pub(crate) key: Cow<'a, str>,
    pub(crate) value: Value<'a>,
}

/// A value of a payload.
#[derive(Debug, Clone, Default, PartialEq)]
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
    #[default]
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
        self.all().map(|field| (field.key.as_ref(), &field.value))
    }

    /// The first value of this key.
    pub fn get(&self, key: &str) -> Option<&Value<'a>> {
        self.all()
            .find(|field| field.key == key)
            .map(|field| &field.value)
    }

    /// The first value of this key, where it is text.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.get(key)?.as_text()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.inline_len + self.spilled.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.inline_len == 0
    }

    /// Copies what is borrowed.
    pub fn into_owned(self) -> Fields<'static> {
        let mut owned = Fields::default();
        for field in self
            .inline
            .into_iter()
            .take(self.inline_len)
            .chain(self.spilled)
        {
            owned.push(own(field.key), field.value.into_owned());
        }
        owned
    }

    pub(crate) fn push(&mut self, key: Cow<'a, str>, value: Value<'a>) {
        let field = Field { key, value };
        match self.inline.get_mut(self.inline_len) {
            Some(free) => {
                *free = field;
                self.inline_len += 1;
            }
            None => self.spilled.push(field),
        }
    }

    pub(crate) fn last(&self) -> Option<&Field<'a>> {
        self.spilled
            .last()
            .or_else(|| self.inline.get(self.inline_len.checked_sub(1)?))
    }

    fn all(&self) -> impl Iterator<Item = &Field<'a>> {
        self.inline
            .iter()
            .take(self.inline_len)
            .chain(&self.spilled)
    }
}

impl PartialEq for Fields<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.all().eq(other.all())
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
