//! The keys and values of a payload, sorted by key: a handful at most, side by side in memory, where a
//! tree would take a page for one. Many spans have one, which needs no memory of its own.

use std::cmp::Ordering;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use smallvec::SmallVec;
use smol_str::SmolStr;

/// The order of keys in `jsonb`, the shorter one first: in it Postgres has nothing to sort, which is a twentieth
/// of the work of writing a row.
pub(super) fn in_jsonb(a: &str, b: &str) -> Ordering {
    (a.len().cmp(&b.len())).then_with(|| a.cmp(b))
}

/// Keys, each once, and their values.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Fields(SmallVec<[(SmolStr, Value); 1]>);

impl Fields {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Forgets all of them.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Enters a value, in the place of an earlier one of the same key.
    pub fn insert(&mut self, key: impl Into<SmolStr>, value: Value) {
        let key = key.into();
        match self.find(&key) {
            Ok(at) => self.0[at].1 = value,
            Err(at) => self.0.insert(at, (key, value)),
        }
    }

    /// Takes out a value.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        let at = self.find(key).ok()?;
        Some(self.0.remove(at).1)
    }

    /// All of them, in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }

    fn find(&self, key: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| in_jsonb(known, key))
    }
}

impl IntoIterator for Fields {
    type Item = (SmolStr, Value);
    type IntoIter = smallvec::IntoIter<[(SmolStr, Value); 1]>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<K: Into<SmolStr>> FromIterator<(K, Value)> for Fields {
    fn from_iter<I: IntoIterator<Item = (K, Value)>>(pairs: I) -> Self {
        let mut fields = Self::default();
        for (key, value) in pairs {
            fields.insert(key, value);
        }
        fields
    }
}

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;

        impl<'de> Visitor<'de> for Pairs {
            type Value = Fields;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a map of fields")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut pairs: A) -> Result<Fields, A::Error> {
                let mut fields = Fields::default();
                while let Some((key, value)) = pairs.next_entry::<SmolStr, Value>()? {
                    fields.insert(key, value);
                }
                Ok(fields)
            }
        }

        deserializer.deserialize_map(Pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_key_stands_once_and_in_its_order() {
        let mut fields: Fields = [("b", json!(1)), ("aa", json!(2)), ("b", json!(3))]
            .into_iter()
            .collect();
        let text = serde_json::to_string(&fields).unwrap();
        assert_eq!(text, "{\"b\":3,\"aa\":2}");
        assert_eq!(fields.remove("b"), Some(json!(3)));
        assert_eq!(fields.remove("b"), None);
        let again: Fields = serde_json::from_str("{\"aa\":2}").unwrap();
        assert_eq!(again, fields);
    }
}
