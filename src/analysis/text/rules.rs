//! The rules of text classes: concepts that occur together, and how much that says.
//!
//! To teach a new wording, add a term to a group or a rule to a table. A term matches where a word
//! begins; with a space at its end it matches whole words only. Texts are lower-case words between
//! single spaces: `HTTPStatusError: 404` reads ` http status error 404 `. Invariant: no rule copies a
//! whole message, so that the next library's wording has a chance.

mod calls;
mod modal;

use super::Class;

/// A class, groups of terms of which each must have one in the text, and terms that must not be there.
pub(super) struct Rule {
    pub(super) class: Class,
    pub(super) weight: f64,
    pub(super) all: &'static [&'static [&'static str]],
    pub(super) unless: &'static [&'static str],
}

const fn rule(class: Class, weight: f64, all: &'static [&'static [&'static str]]) -> Rule {
    Rule {
        class,
        weight,
        all,
        unless: &[],
    }
}

/// All rules.
pub(super) fn rules() -> impl Iterator<Item = &'static Rule> {
    modal::RULES.iter().chain(calls::RULES)
}
