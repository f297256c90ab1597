//! What an error text is about, as far as words tell.
//!
//! Texts come from many libraries and runtimes, so a rule names concepts (something to allocate, a
//! refusal) rather than whole messages; see [`rules`]. Invariant: a class is a hint with a weight and
//! never decides alone; what a text is about counts only beside structure and timing.

mod rules;

use std::collections::HashMap;
use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use regex::Regex;

use rules::{Rule, rules};

/// From this weight on a text says plainly that memory ran out.
const PLAIN_SHORTAGE: f64 = 0.8;
/// What the activity counts beside that.
const ACTIVITY: f64 = 0.4;

/// What a text can be about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Class {
    /// Memory ran out.
    OutOfMemory,
    /// The model's files could not be had or read.
    ModelLoad,
    /// The name of the model means nothing.
    UnknownModel,
    /// The computation itself went wrong.
    Compute,
    /// A host could not be reached.
    Connection,
    /// What was called is not there or not in service.
    Endpoint,
    /// Nobody is there to serve the request.
    NoProvider,
    /// Something took too long.
    Timeout,
    /// Somebody called it off.
    Cancelled,
    /// Whoever was called did answer.
    Answered,
    /// An answer came and was not acceptable.
    BadAnswer,
    /// The caller itself is set up wrongly.
    BadSetup,
}

/// How strongly a text speaks for each class.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Hints {
    weights: Vec<(Class, f64)>,
    /// Whether the text says more than that there was an error.
    pub(crate) informative: bool,
}

impl Hints {
    /// Reads a text.
    pub(crate) fn read(text: &str) -> Self {
        let words = normalised(text) + sizes(text);
        let mut hints = Self {
            weights: Vec::new(),
            informative: is_informative(&words),
        };
        for rule in Terms::rules_that_apply(&words) {
            hints.add(rule.class, rule.weight);
        }
        hints.prefer_the_shortage();
        hints
    }

    /// A text that tells of memory running out while a model was loaded names what was being done and
    /// what went wrong; the latter is the cause.
    fn prefer_the_shortage(&mut self) {
        if self.weight(Class::OutOfMemory) < PLAIN_SHORTAGE {
            return;
        }
        let load = self.weights.iter_mut();
        for (_, weight) in load.filter(|(class, _)| *class == Class::ModelLoad) {
            *weight *= ACTIVITY;
        }
    }

    /// How strongly the text speaks for a class, 0 to 1.
    pub(crate) fn weight(&self, class: Class) -> f64 {
        let found = self.weights.iter().find(|(known, _)| *known == class);
        found.map_or(0.0, |(_, weight)| *weight)
    }

    /// Independent hints add up without ever reaching certainty.
    fn add(&mut self, class: Class, weight: f64) {
        match self.weights.iter_mut().find(|(known, _)| *known == class) {
            Some((_, known)) => *known = 1.0 - (1.0 - *known) * (1.0 - weight),
            None => self.weights.push((class, weight)),
        }
    }
}

/// Words that stand for amounts of bytes in a text: rules can't count, and units are spelled in many ways.
fn sizes(text: &str) -> &'static str {
    static SIZE: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"(?i)\b\d+(?:[.,]\d+)?\s*(?:[kmgt]i?b|bytes)\b").ok());
    let found = SIZE
        .as_ref()
        .map_or(0, |size| size.find_iter(text).take(2).count());
    ["", "#size ", "#size #sizes "][found]
}

/// Lower-case words between single spaces, one before and one after: `CUDA_OutOfMemoryError` and
/// `cuda: out-of-memory error` come out alike.
fn normalised(text: &str) -> String {
    let mut words = String::with_capacity(text.len() + 8);
    words.push(' ');
    let letters: Vec<char> = text.chars().collect();
    for (at, &letter) in letters.iter().enumerate() {
        let before = at.checked_sub(1).map(|at| letters[at]);
        let after = letters.get(at + 1);
        if !letter.is_alphanumeric() {
            push_space(&mut words);
            continue;
        }
        // `outOf` and the `E` of `OSError` begin words; the `S` doesn't.
        let hump = letter.is_uppercase()
            && before.is_some_and(|b| {
                b.is_lowercase() || (b.is_uppercase() && after.is_some_and(|a| a.is_lowercase()))
            });
        if hump {
            push_space(&mut words);
        }
        words.extend(letter.to_lowercase());
    }
    push_space(&mut words);
    words
}

fn push_space(words: &mut String) {
    if !words.ends_with(' ') {
        words.push(' ');
    }
}

/// The terms of all rules, sought in one pass over a text (Aho and Corasick, 1975).
struct Terms {
    automaton: AhoCorasick,
    rules: Vec<Numbered>,
}

/// A rule with the numbers of its terms.
struct Numbered {
    rule: &'static Rule,
    all: Vec<Vec<usize>>,
    unless: Vec<usize>,
}

impl Terms {
    fn new() -> Option<Self> {
        let mut patterns: Vec<String> = Vec::new();
        let mut numbers: HashMap<&str, usize> = HashMap::new();
        let mut number = |term: &'static str| {
            *numbers.entry(term).or_insert_with(|| {
                // Where a word begins.
                patterns.push(format!(" {term}"));
                patterns.len() - 1
            })
        };
        let mut number_all = |terms: &&'static [&'static str]| -> Vec<usize> {
            terms.iter().map(|term| number(term)).collect()
        };
        let rules = rules().map(|rule| Numbered {
            rule,
            all: rule.all.iter().map(&mut number_all).collect(),
            unless: number_all(&rule.unless),
        });
        let rules = rules.collect();
        let automaton = AhoCorasick::new(patterns).ok()?;
        Some(Self { automaton, rules })
    }

    /// The rules whose terms stand in a text of lower-case words between single spaces.
    fn rules_that_apply(words: &str) -> Vec<&'static Rule> {
        static TERMS: LazyLock<Option<Terms>> = LazyLock::new(Terms::new);
        let Some(terms) = &*TERMS else {
            return Vec::new();
        };
        let mut found = vec![false; terms.automaton.patterns_len()];
        for term in terms.automaton.find_overlapping_iter(words) {
            found[term.pattern().as_usize()] = true;
        }
        let any_of = |terms: &Vec<usize>| terms.iter().any(|term| found[*term]);
        let apply = terms.rules.iter();
        let apply = apply.filter(|one| one.all.iter().all(any_of) && !any_of(&one.unless));
        apply.map(|one| one.rule).collect()
    }
}

/// Words that only say that something went wrong.
const EMPTY_WORDS: [&str; 14] = [
    "error",
    "errors",
    "failed",
    "failure",
    "exception",
    "execution",
    "internal",
    "server",
    "router",
    "returned",
    "an",
    "unknown",
    "status",
    "inference",
];

fn is_informative(words: &str) -> bool {
    words
        .split_whitespace()
        .any(|word| !EMPTY_WORDS.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn strongest(text: &str) -> Class {
        let hints = Hints::read(text);
        let most = hints.weights.iter().max_by(|a, b| a.1.total_cmp(&b.1));
        most.unwrap_or_else(|| panic!("no hint in {text:?}")).0
    }

    #[test]
    fn one_class_is_recognised_in_the_words_of_different_runtimes() {
        for text in [
            "CUDA out of memory. Tried to allocate 1.16 GiB",
            "MemoryError: cannot allocate 16384 MB",
            "fatal error: runtime: out of memory",
            "OOMKilled",
            "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory",
        ] {
            assert_eq!(strongest(text), Class::OutOfMemory, "{text}");
        }
    }

    #[test]
    fn a_word_that_belongs_to_two_classes_is_decided_by_its_neighbours() {
        assert_eq!(
            strongest("CUDA error: an illegal memory access was encountered"),
            Class::Compute
        );
        assert_eq!(
            strongest("invalid memory address or nil pointer dereference"),
            Class::BadSetup
        );
        assert_eq!(
            strongest(
                "OSError: Error no file named model.safetensors found in directory /models/x"
            ),
            Class::ModelLoad
        );
    }

    #[test]
    fn words_of_memory_files_and_parameters_can_be_about_something_else() {
        for (text, class) in [
            (
                "OutOfResources: out of resource: shared memory, Required: 81920, Hardware limit: 65536",
                Class::Compute,
            ),
            (
                "RuntimeError: generate() entered twice on one KV cache handle",
                Class::Compute,
            ),
            (
                "RuntimeError: Failed to advance FSM for token 24. Please file an issue.",
                Class::Compute,
            ),
            (
                "RuntimeError: shape mismatch for model.embed_positions.weight, expected [8], got [4]",
                Class::ModelLoad,
            ),
            (
                "OSError: [Errno 28] No space left on device",
                Class::ModelLoad,
            ),
            (
                "RuntimeError: 显存不足，无法分配 KV 缓存",
                Class::OutOfMemory,
            ),
        ] {
            // A failed function is one of these three.
            let three = [Class::OutOfMemory, Class::ModelLoad, Class::Compute];
            let hints = Hints::read(text);
            let most = three
                .into_iter()
                .max_by(|&a, &b| hints.weight(a).total_cmp(&hints.weight(b)));
            assert_eq!(most, Some(class), "{text}: {hints:?}");
        }
    }

    #[test]
    fn a_text_that_says_nothing_gives_no_hint() {
        for text in ["", "error", "Error: error", "InternalServerError"] {
            let hints = Hints::read(text);
            assert!(!hints.informative && hints.weights.is_empty(), "{text:?}");
        }
    }

    #[test]
    fn a_rule_applies_where_each_group_has_a_term_at_the_beginning_of_a_word() {
        let simple = |words: &str, rule: &Rule| {
            let has = |term: &&str| words.contains(&format!(" {term}"));
            let any_of = |terms: &&[&str]| terms.iter().any(has);
            rule.all.iter().all(any_of) && !any_of(&rule.unless)
        };
        for text in [
            "CUDA out of memory. Tried to allocate 1.16 GiB",
            "HTTPStatusError: 404 from https://app.modal.run: no such app",
            "context deadline exceeded (Client.Timeout exceeded while awaiting headers)",
            "ValueError: unknown model family: dprogramming",
            "",
        ] {
            let words = normalised(text) + sizes(text);
            let expected: Vec<_> = rules()
                .filter(|rule| simple(&words, rule))
                .map(std::ptr::from_ref)
                .collect();
            let found = Terms::rules_that_apply(&words).into_iter();
            assert_eq!(
                found.map(std::ptr::from_ref).collect::<Vec<_>>(),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn words_are_found_in_any_spelling() {
        assert_eq!(normalised("HTTPStatusError"), " http status error ");
        assert_eq!(normalised("CUBLAS_STATUS"), " cublas status ");
        assert_eq!(
            normalised("out-of-memory: 天安门"),
            " out of memory 天安门 "
        );
    }
}
