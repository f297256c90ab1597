//! The example file: the only list of all keys, their defaults and their meaning. It is what
//! `config init` prints and what names the environment variables.

use std::sync::LazyLock;

use toml::{Table, Value};

/// Every key with its default and what it means.
pub const EXAMPLE: &str = include_str!("example.toml");

/// A key of the example.
#[derive(Debug, Clone)]
pub(super) struct Key {
    /// Section and name, such as `batch.rows`.
    pub(super) path: String,
    /// The default, or an example where there is none.
    pub(super) value: Value,
    /// Whether the value is what holds when nothing is set.
    pub(super) is_default: bool,
}

/// All keys in the order of the example; sections that can stand several times are not among them.
pub(super) fn keys() -> &'static [Key] {
    static KEYS: LazyLock<Vec<Key>> = LazyLock::new(read);
    &KEYS
}

fn read() -> Vec<Key> {
    let mut section = String::new();
    let mut keys = Vec::new();
    for line in EXAMPLE.lines() {
        if line.starts_with('[') {
            section = format!("{}.", line.trim_matches(['[', ']']));
        }
        // Sections that the user names, or can write several times, stand behind a `#`.
        if line.starts_with("#[") {
            section = "#".to_owned();
        }
        let Some((assignment, is_default)) = shown(line).filter(|_| section != "#") else {
            continue;
        };
        // That each such line is TOML is what a test below checks.
        for (name, value) in toml::from_str::<Table>(assignment).unwrap_or_default() {
            keys.push(Key {
                path: format!("{section}{name}"),
                value,
                is_default,
            });
        }
    }
    keys
}

/// The key and value that a line shows, and whether it is the default.
fn shown(line: &str) -> Option<(&str, bool)> {
    let assignment = line.strip_prefix('#')?;
    let is_prose = assignment.is_empty() || assignment.starts_with([' ', '[']);
    let is_example = assignment.contains(" # no default") || assignment.contains(" # default:");
    (!is_prose).then_some((assignment, !is_example))
}

/// The example with its keys in force.
#[cfg(test)]
pub(super) fn uncommented(only_defaults: bool) -> String {
    let mut named_by_the_user = false;
    let in_force = |line: &str| {
        named_by_the_user = line.starts_with("#[") || named_by_the_user && !line.starts_with('[');
        match shown(line) {
            Some((bare, is_default)) if !only_defaults || is_default && !named_by_the_user => {
                bare.to_owned()
            }
            None if line.starts_with("#[") && !only_defaults => line.replacen('#', "", 1),
            _ => line.to_owned(),
        }
    };
    let lines: Vec<String> = EXAMPLE.lines().map(in_force).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::written::ConfigFile;
    use super::*;

    /// Names that the reader knows in a section, taken from its word on one that it does not know.
    fn known_in(section: &str) -> BTreeSet<String> {
        let text = format!("{section}\nno_such_key = 1\n");
        let error = toml::from_str::<ConfigFile>(&text).unwrap_err();
        let names = error.message().split('`').skip(3).step_by(2);
        names.map(ToOwned::to_owned).collect()
    }

    fn shown_in(section: &str) -> BTreeSet<String> {
        let mut table: Table = toml::from_str(&uncommented(false)).unwrap();
        for name in section.split('.').filter(|name| !name.is_empty()) {
            table = table[name.trim_matches('"')].as_table().unwrap().clone();
        }
        table.keys().cloned().collect()
    }

    #[test]
    fn every_key_that_is_read_stands_in_the_example_and_no_other() {
        assert_eq!(shown_in(""), known_in(""), "add the key to example.toml");
        let table: Table = toml::from_str(&uncommented(false)).unwrap();
        let sections = table.iter().filter(|(_, value)| value.is_table());
        let sections = sections.map(|(section, _)| section.as_str());
        let deeper = ["retention.others", "retention.sources.\"modal:my-app\""];
        for section in sections.chain(deeper) {
            assert_eq!(
                shown_in(section),
                known_in(&format!("[{section}]")),
                "add the key of [{section}] to example.toml"
            );
        }
        let tokens = table["http"]["tokens"].as_array().unwrap();
        let shown: BTreeSet<String> = tokens
            .iter()
            .flat_map(|token| token.as_table().unwrap().keys().cloned())
            .collect();
        assert_eq!(shown, known_in("[[http.tokens]]"));
    }

    #[test]
    fn the_example_can_be_read_as_it_is_and_with_all_keys_in_force() {
        for text in [EXAMPLE, &uncommented(true), &uncommented(false)] {
            toml::from_str::<ConfigFile>(text).unwrap();
        }
    }

    #[test]
    fn every_line_that_shows_a_key_is_a_key() {
        let mut named_by_the_user = false;
        let shows = |line: &&str| {
            named_by_the_user =
                line.starts_with("#[") || named_by_the_user && !line.starts_with('[');
            shown(line).is_some() && !named_by_the_user
        };
        assert_eq!(keys().len(), EXAMPLE.lines().filter(shows).count());
    }
}
