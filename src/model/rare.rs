//! A part that few values have: a pointer where there is none of it, so that the many without stay small.

use std::ops::{Deref, DerefMut};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What stands in for a part that is not there.
pub trait Nothing: Default + PartialEq + 'static {
    /// The same as the default.
    fn nothing() -> &'static Self;
}

/// A part that is made when it is first changed.
#[derive(Debug, Clone, Default)]
pub struct Rare<T>(Option<Box<T>>);

impl<T> Rare<T> {
    /// The part, if it is there.
    pub fn into_inner(self) -> Option<T> {
        self.0.map(|part| *part)
    }
}

impl<T: Nothing> Deref for Rare<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_deref().unwrap_or_else(|| T::nothing())
    }
}

impl<T: Nothing> DerefMut for Rare<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.get_or_insert_default()
    }
}

impl<T: Nothing> From<T> for Rare<T> {
    fn from(part: T) -> Self {
        Self((part != *T::nothing()).then(|| Box::new(part)))
    }
}

impl<T: Nothing> PartialEq for Rare<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Nothing + Serialize> Serialize for Rare<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (**self).serialize(serializer)
    }
}

impl<'de, T: Nothing + Deserialize<'de>> Deserialize<'de> for Rare<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Step;
    use super::*;

    #[test]
    fn a_part_that_is_not_there_takes_a_pointer_and_is_written_like_one_that_is_empty() {
        let none: Rare<Vec<Step>> = Rare::default();
        assert_eq!(size_of_val(&none), size_of::<usize>());
        let text = serde_json::to_string(&none).unwrap();
        assert_eq!(text, "[]");
        let again: Rare<Vec<Step>> = serde_json::from_str(&text).unwrap();
        assert!(again.into_inner().is_none());
        let mut changed = none.clone();
        changed.clear();
        assert_eq!(changed, none);
    }
}
