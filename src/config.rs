//! What the user asked for, made into what the program needs, in two steps: the file and the command
//! line are read as written, then checked and completed. Nothing is needed to start.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;

use crate::pipeline::BatchLimits;
use crate::telemetry::LogFormat;

/// Where the daemon listens unless told otherwise.
const DEFAULT_LISTEN: &str = "127.0.0.1:7410";
/// After this time without an end a span counts as timed out.
const DEFAULT_DEADLINE: Duration = Duration::from_secs(15 * 60);

/// A mistake in the configuration or on the command line.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("cannot read the configuration {path}: {source}", path = .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The file is not what it should be; the text says line and column.
    #[error("mistake in the configuration {path}: {reason}", path = .path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
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
    /// There is no place for the state.
    #[error(
        "no directory for the database: set HOME, XDG_STATE_HOME or STATE_DIRECTORY, or name a database with --database"
    )]
    NoStateDirectory,
}

/// The configuration file as written.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConfigFile {
    /// `sqlite:PATH` or `postgres://…`.
    pub database: Option<String>,
    /// Address, or `none`.
    pub listen: Option<String>,
    /// Source specifications, as for `--source`.
    pub sources: Vec<String>,
    /// Seconds without an end after which a span counts as timed out.
    pub deadline_seconds: Option<u64>,
    /// When a batch is full.
    pub batch: BatchFile,
    /// The process's own log.
    pub log: LogFile,
}

/// Section `[batch]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BatchFile {
    /// Rows.
    pub rows: Option<usize>,
    /// Bytes.
    pub bytes: Option<usize>,
    /// Milliseconds.
    pub age_ms: Option<u64>,
}

/// Section `[log]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogFile {
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub level: Option<String>,
    /// `text` or `json`.
    pub format: Option<LogFormat>,
}

/// What the command line and the environment say; wins over the file.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// See [`ConfigFile::database`].
    pub database: Option<String>,
    /// See [`ConfigFile::listen`].
    pub listen: Option<String>,
    /// See [`ConfigFile::sources`].
    pub sources: Vec<String>,
    /// See [`LogFile::format`].
    pub log_format: Option<LogFormat>,
}

/// What the program needs.
#[derive(Debug, Clone)]
pub struct Config {
    /// Database URL.
    pub database: String,
    /// Where to listen.
    pub listen: Option<Listen>,
    /// Sources; empty when none were named.
    pub sources: Vec<SourceSpec>,
    /// After this time without an end a span counts as timed out.
    pub deadline: Duration,
    /// When a batch is full.
    pub batch: BatchLimits,
    /// Level of the process's own log.
    pub log_level: String,
    /// Form of the process's own log.
    pub log_format: LogFormat,
}

/// An address to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listen {
    /// The address.
    pub address: SocketAddr,
    /// Whether the user named it: then it is an error when it is taken.
    pub explicit: bool,
}

/// A source, as named by the user.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SourceSpec {
    /// Standard input.
    Stdin,
}

impl FromStr for SourceSpec {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text
            .split_once(':')
            .map_or((text, ""), |(kind, rest)| (kind, rest.trim()))
        {
            ("stdin" | "-", "") => Ok(Self::Stdin),
            _ => Err(ConfigError::Value {
                what: "source",
                value: text.to_owned(),
                reason: "expected stdin".into(),
            }),
        }
    }
}

impl Config {
    /// Reads the file, if there is one, and completes it.
    pub fn load(file: Option<&Path>, overrides: Overrides) -> Result<Self, ConfigError> {
        let written = match file {
            Some(path) => read_file(path)?,
            None => ConfigFile::default(),
        };
        let database = match overrides.database.or(written.database) {
            Some(url) => url,
            None => format!("sqlite:{}", state_directory()?.join("beacon.db").display()),
        };
        let sources = if overrides.sources.is_empty() {
            written.sources
        } else {
            overrides.sources
        };
        let defaults = BatchLimits::default();
        Ok(Self {
            database,
            listen: listen(overrides.listen.or(written.listen))?,
            sources: sources
                .iter()
                .map(|text| text.parse())
                .collect::<Result<_, _>>()?,
            deadline: written
                .deadline_seconds
                .map_or(DEFAULT_DEADLINE, Duration::from_secs),
            batch: BatchLimits {
                rows: written.batch.rows.unwrap_or(defaults.rows).max(1),
                bytes: written.batch.bytes.unwrap_or(defaults.bytes).max(1),
                age: written
                    .batch
                    .age_ms
                    .map_or(defaults.age, Duration::from_millis),
            },
            log_level: written.log.level.unwrap_or_else(|| "info".into()),
            log_format: overrides
                .log_format
                .or(written.log.format)
                .unwrap_or_default(),
        })
    }
}

fn read_file(path: &Path) -> Result<ConfigFile, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    toml::from_str(&text).map_err(|error| ConfigError::Invalid {
        path: path.to_owned(),
        reason: error.to_string(),
    })
}

fn listen(text: Option<String>) -> Result<Option<Listen>, ConfigError> {
    let explicit = text.is_some();
    let text = text.unwrap_or_else(|| DEFAULT_LISTEN.into());
    if text == "none" {
        return Ok(None);
    }
    let address = text.parse().map_err(|_| ConfigError::Value {
        what: "listen address",
        value: text.clone(),
        reason: format!("expected ADDRESS:PORT such as {DEFAULT_LISTEN}, or none"),
    })?;
    Ok(Some(Listen { address, explicit }))
}

/// Where state is kept: what systemd gives, else as XDG has it.
fn state_directory() -> Result<PathBuf, ConfigError> {
    let from = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    if let Some(given) = from("STATE_DIRECTORY") {
        return Ok(given);
    }
    let base = from("XDG_STATE_HOME")
        .filter(|path| path.is_absolute())
        .or_else(|| from("HOME").map(|home| home.join(".local/state")));
    base.map(|base| base.join("beacon-collector"))
        .ok_or(ConfigError::NoStateDirectory)
}
