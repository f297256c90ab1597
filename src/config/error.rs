//! Mistakes in the configuration or on the command line: what is wrong, where, and what form is wanted.

use std::path::{Path, PathBuf};

use super::Origin;

/// A mistake in the configuration or on the command line.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file can't be read.
    #[error("cannot read {what} {path}: {source}", path = .path.display())]
    Unreadable {
        /// What the file is.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The file is not what it should be.
    #[error("mistake in the configuration {path}, line {line}, column {column}: {reason}", path = .path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column, from 1, in characters.
        column: usize,
        /// What is wrong.
        reason: String,
    },
    /// A value can't be used.
    #[error("{what} {value:?} is not usable: {reason}")]
    Value {
        /// Name of the setting.
        what: &'static str,
        /// What was given.
        value: String,
        /// What is wrong, and what form is wanted.
        reason: String,
    },
    /// An environment variable can't be read as the setting it stands for.
    #[error("environment variable {name}: {reason}")]
    Variable {
        /// Its name.
        name: String,
        /// What is wrong; never the value, which may be a secret.
        reason: String,
    },
    /// Two settings of which only one can hold.
    #[error("{0}")]
    Conflict(String),
    /// The mistake of a setting, with the place where it was set.
    #[error("{origin}: {error}")]
    At {
        /// Where it was set.
        origin: Origin,
        /// The mistake.
        error: Box<ConfigError>,
    },
    /// There is no place for the state.
    #[error(
        "no directory for the database: set HOME, XDG_STATE_HOME or STATE_DIRECTORY, or name a database with --database"
    )]
    NoStateDirectory,
}

impl ConfigError {
    /// The same, with the place where the setting was set.
    pub(super) fn at(self, origin: &Origin) -> Self {
        match origin {
            Origin::Default | Origin::Flag(_) => self,
            origin => Self::At {
                origin: origin.clone(),
                error: Box::new(self),
            },
        }
    }

    /// What the TOML reader says about a file, without the line itself, which may hold a secret.
    pub(super) fn of_toml(path: &Path, text: &str, error: &toml::de::Error) -> Self {
        let at = error.span().map_or(0, |span| span.start);
        let (line, column) = position(text, at);
        Self::Invalid {
            path: path.to_owned(),
            line,
            column,
            reason: explained(error.message()),
        }
    }
}

/// Line and column of a byte, both from 1.
pub(super) fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default();
    (line, column.chars().count() + 1)
}

/// A message of the TOML reader in our words: the nearest name for one that is unknown, and no values.
pub(super) fn explained(message: &str) -> String {
    if let Some(rest) = message.strip_prefix("unknown field ") {
        let mut names = rest.split('`').skip(1).step_by(2);
        let unknown = names.next().unwrap_or_default();
        let known: Vec<&str> = names.collect();
        return match nearest(unknown, &known) {
            Some(near) => format!("unknown key `{unknown}`; did you mean `{near}`?"),
            None => format!("unknown key `{unknown}`; there are: {}", known.join(", ")),
        };
    }
    if message.starts_with("invalid type: string")
        && let Some((_, expected)) = message.rsplit_once(", expected ")
    {
        return format!("expected {expected}, not a text");
    }
    message.trim().replace('\n', "; ")
}

/// The known name that was most likely meant.
pub(super) fn nearest<'a>(unknown: &str, known: &[&'a str]) -> Option<&'a str> {
    let likeness = |name: &&&str| strsim::jaro_winkler(unknown, name);
    let best = known
        .iter()
        .max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    // Below this, names of other meaning begin to be proposed.
    (likeness(&best) > 0.8).then_some(*best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_is_named_with_the_nearest_known_one() {
        let message = "unknown field `databse`, expected one of `database`, `listen`, `sources`";
        assert_eq!(
            explained(message),
            "unknown key `databse`; did you mean `database`?"
        );
        let message = "unknown field `zzz`, expected `rows` or `bytes`";
        assert_eq!(
            explained(message),
            "unknown key `zzz`; there are: rows, bytes"
        );
    }

    #[test]
    fn a_value_of_the_wrong_type_is_not_repeated() {
        let value = ["hun", "ter2"].concat();
        let message = format!("invalid type: string \"{value}\", expected a sequence");
        assert_eq!(explained(&message), "expected a sequence, not a text");
    }

    #[test]
    fn positions_count_lines_and_characters_from_one() {
        assert_eq!(position("", 0), (1, 1));
        assert_eq!(position("a = 1\nü = 2\n", 9), (2, 3));
    }
}
