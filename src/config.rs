//! What the user asked for, made into what the program needs, in two steps: the file and the command
//! line are read as written, then checked and completed. Nothing is needed to start.

mod http;
mod retention;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;
use xxhash_rust::xxh3::xxh3_64;

pub use http::{HttpFile, TokenFile};
pub use retention::{DaysFile, RetentionFile};

use crate::pipeline::{BatchLimits, Retention};
use crate::source::{ModalOptions, Via};
use crate::telemetry::LogFormat;

/// Where the daemon listens unless told otherwise.
const DEFAULT_LISTEN: &str = "127.0.0.1:7410";
/// After this time without an end a span counts as timed out.
const DEFAULT_DEADLINE: Duration = Duration::from_secs(15 * 60);

/// How much may wait on disk while the database is away, in MiB: hours of a busy application.
const DEFAULT_SPOOL_MIB: u64 = 1024;

/// How long another collector waits for a sign of life before it takes over: three renewals, so that one
/// that fails or comes late changes nothing.
const DEFAULT_LEASE: Duration = Duration::from_secs(30);

/// How far back an app that is new to us is fetched.
const DEFAULT_BACKFILL: Duration = Duration::from_secs(24 * 3600);
/// How often is looked for lines that following missed without a sign; a fetch costs a second of
/// Python.
const DEFAULT_RECONCILE: Duration = Duration::from_secs(120);

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
    /// Name of this host in the database, where its own does not last, as in containers: files and
    /// commands of one host are another's neither to resume nor to take over.
    pub host: Option<String>,
    /// Seconds without an end after which a span counts as timed out.
    pub deadline_seconds: Option<u64>,
    /// When a batch is full.
    pub batch: BatchFile,
    /// Where batches wait while the database is away.
    pub spool: SpoolFile,
    /// How several collectors share sources.
    pub lease: LeaseFile,
    /// How long rows are kept.
    pub retention: RetentionFile,
    /// How Modal is followed.
    pub modal: ModalFile,
    /// Who may ask over the network.
    pub http: HttpFile,
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

/// Section `[spool]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SpoolFile {
    /// Folder; below the state directory unless named.
    pub directory: Option<PathBuf>,
    /// Bound in MiB.
    pub max_mib: Option<u64>,
}

/// Section `[lease]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LeaseFile {
    /// Seconds after which another collector takes over from one that has died.
    pub seconds: Option<u64>,
}

/// Section `[modal]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModalFile {
    /// The `modal` command; found on the search path unless named.
    pub cli: Option<PathBuf>,
    /// A Python that has the package `modal`; the command's own unless named.
    pub python: Option<PathBuf>,
    /// `best`, `sdk` or `cli`.
    pub via: Via,
    /// Environment of apps that name none; `MODAL_ENVIRONMENT` else.
    pub environment: Option<String>,
    /// Profile of Modal's configuration; `MODAL_PROFILE` else.
    pub profile: Option<String>,
    /// Hours that are fetched when an app is followed for the first time.
    pub backfill_hours: Option<u64>,
    /// Seconds between two looks for lines that following missed.
    pub reconcile_seconds: Option<u64>,
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
    /// See [`ConfigFile::host`].
    pub host: Option<String>,
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
    /// Who may ask over the network.
    pub http: HttpFile,
    /// Sources; empty when none were named.
    pub sources: Vec<SourceSpec>,
    /// After this time without an end a span counts as timed out.
    pub deadline: Duration,
    /// When a batch is full.
    pub batch: BatchLimits,
    /// Where batches wait while the database is away.
    pub spool: SpoolPlace,
    /// Name of this host.
    pub host: String,
    /// Term of a lease.
    pub lease: Duration,
    /// How long rows are kept.
    pub retention: Retention,
    /// How Modal is followed; the app is filled in for each source.
    pub modal: ModalOptions,
    /// Level of the process's own log.
    pub log_level: String,
    /// Form of the process's own log.
    pub log_format: LogFormat,
}

/// Where batches wait while the database is away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpoolPlace {
    /// Folder.
    pub directory: PathBuf,
    /// Bound in bytes.
    pub max_bytes: u64,
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
    /// A Modal app, and the environment it is in where that was named.
    Modal {
        /// Name or id of the app.
        app: String,
        /// Modal environment.
        environment: Option<String>,
    },
    /// A command for the shell.
    Command(String),
    /// A path or pattern.
    File(PathBuf),
    /// A URL that answers with a stream of lines.
    Http(String),
}

impl FromStr for SourceSpec {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (kind, rest) = text
            .split_once(':')
            .map_or((text, ""), |(kind, rest)| (kind, rest.trim()));
        match (kind, rest) {
            ("stdin" | "-", "") => Ok(Self::Stdin),
            ("modal", app) if !app.is_empty() => Ok(match app.rsplit_once('@') {
                Some((app, environment)) => Self::Modal {
                    app: app.to_owned(),
                    environment: Some(environment.to_owned()),
                },
                None => Self::Modal {
                    app: app.to_owned(),
                    environment: None,
                },
            }),
            ("command", command) if !command.is_empty() => Ok(Self::Command(command.to_owned())),
            ("file", path) if !path.is_empty() => Ok(Self::File(path.into())),
            ("http" | "https", rest) if rest.starts_with("//") => Ok(Self::Http(text.to_owned())),
            ("http", url) if url.starts_with("http://") || url.starts_with("https://") => {
                Ok(Self::Http(url.to_owned()))
            }
            _ => Err(ConfigError::Value {
                what: "source",
                // What stands behind the kind can hold a secret.
                value: format!("{kind}:…"),
                reason: "expected stdin, modal:APP, modal:APP@ENVIRONMENT, command:COMMAND, \
                         file:PATH-OR-PATTERN or http:URL"
                    .into(),
            }),
        }
    }
}

impl std::fmt::Display for SourceSpec {
    /// The name under which the source is known everywhere.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stdin => f.write_str("stdin"),
            Self::Modal {
                app,
                environment: None,
            } => write!(f, "modal:{app}"),
            Self::Modal {
                app,
                environment: Some(environment),
            } => write!(f, "modal:{app}@{environment}"),
            Self::Command(command) => {
                let hash = short_hash(command);
                write!(f, "command:{}#{hash}", program(command))
            }
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Http(url) => write!(f, "http:{}", without_secrets(url)),
        }
    }
}

/// Tells sources apart whose names would be the same, and too short to tell anything of a secret.
fn short_hash(text: &str) -> String {
    format!("{:04x}", xxh3_64(text.as_bytes()) & 0xffff)
}

/// The program that a command begins with. What stands behind it, or before it as `NAME=VALUE`, can
/// hold a secret; so can any word where quotes come first.
fn program(command: &str) -> &str {
    let is_plain = |word: &str| {
        word.chars()
            .all(|c| c.is_ascii_alphanumeric() || "/._+-".contains(c))
    };
    command
        .split_whitespace()
        .take_while(|word| !word.contains(['"', '\'', '\\', '`', '$']))
        .find(|word| !word.contains('='))
        .filter(|word| is_plain(word))
        .unwrap_or("sh")
}

/// Words by which the parameters of a URL that hold secrets are known.
const SECRETS: [&str; 9] = [
    "token", "key", "secret", "pass", "pwd", "sig", "auth", "cred", "session",
];

/// A URL without user, password, query and fragment, which can hold secrets. Of a query that says more
/// than who asks a hash stays, so that two streams of one server are two sources, and remain the same
/// ones when a token is replaced.
fn without_secrets(url: &str) -> String {
    let url = url.split('#').next().unwrap_or_default();
    let (plain, query) = url.split_once('?').unwrap_or((url, ""));
    let (scheme, rest) = plain.split_once("://").unwrap_or(("http", plain));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    let telling: Vec<_> = query
        .split('&')
        .filter(|pair| {
            let key = pair.split('=').next().unwrap_or_default().to_lowercase();
            !key.is_empty() && !SECRETS.iter().any(|word| key.contains(word))
        })
        .collect();
    let mark = match telling.as_slice() {
        [] => String::new(),
        telling => format!("#{}", short_hash(&telling.join("&"))),
    };
    format!("{scheme}://{host}/{path}{mark}")
}

impl SourceSpec {
    /// Name of the lease under which collectors that share a database share the source; none where it
    /// can't be shared. Files and commands are those of a host.
    pub fn lease(&self, host: &str) -> Option<String> {
        match self {
            Self::Stdin => None,
            Self::Modal { .. } | Self::Http(_) => Some(self.to_string()),
            Self::Command(_) | Self::File(_) => Some(format!("{self} on {host}")),
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
            listen: listen(overrides.listen.or(written.listen))?,
            http: written.http,
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
            spool: spool(written.spool, &database)?,
            retention: retention::checked(&written.retention)?,
            host: overrides.host.or(written.host).unwrap_or_else(host_name),
            lease: written
                .lease
                .seconds
                .map_or(DEFAULT_LEASE, |seconds| Duration::from_secs(seconds.max(1))),
            database,
            modal: modal(written.modal),
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

fn modal(written: ModalFile) -> ModalOptions {
    let reconcile = written.reconcile_seconds.map(Duration::from_secs);
    let backfill = written
        .backfill_hours
        .map(|hours| Duration::from_secs(hours * 3600));
    ModalOptions {
        app: String::new(),
        environment: written.environment,
        profile: written.profile,
        cli: written.cli,
        python: written.python,
        via: written.via,
        backfill: backfill.unwrap_or(DEFAULT_BACKFILL),
        reconcile_every: reconcile.unwrap_or(DEFAULT_RECONCILE),
    }
}

/// Beside an embedded database where no state directory is known.
fn spool(written: SpoolFile, database: &str) -> Result<SpoolPlace, ConfigError> {
    let beside = || {
        let path = Path::new(database.strip_prefix("sqlite:")?);
        Some(path.parent()?.to_owned())
    };
    let directory = match written.directory {
        Some(directory) => directory,
        None => state_directory()
            .or_else(|error| beside().ok_or(error))?
            .join("spool"),
    };
    Ok(SpoolPlace {
        directory,
        max_bytes: written.max_mib.unwrap_or(DEFAULT_SPOOL_MIB) << 20,
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

/// What the system calls this host.
fn host_name() -> String {
    nix::unistd::gethostname()
        .ok()
        .and_then(|name| name.into_string().ok())
        .unwrap_or_else(|| "localhost".to_owned())
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

#[cfg(test)]
mod tests {
    use super::*;

    fn name(spec: &str) -> String {
        spec.parse::<SourceSpec>().unwrap().to_string()
    }

    #[test]
    fn a_source_is_named_without_what_can_be_secret() {
        assert_eq!(name("modal:app@prod"), "modal:app@prod");
        assert_eq!(name("file: /var/log/*.log"), "file:/var/log/*.log");
        let word = ["hid", "den"].concat();
        for (command, program) in [
            (format!("KEY={word} flyctl logs --token {word}"), "flyctl"),
            (format!("KEY=\"a {word}\" flyctl logs"), "sh"),
            (format!("KEY=$(cat {word}) flyctl logs"), "sh"),
            (format!("curl https://me:{word}@logs.example/x"), "curl"),
        ] {
            let name = name(&format!("command:{command}"));
            assert!(name.starts_with(&format!("command:{program}#")), "{name}");
            assert!(!name.contains(&word), "{name}");
        }
        let url = |query: &str| name(&format!("https://me:{word}@logs.example/stream{query}"));
        assert_eq!(url(""), "http:https://logs.example/stream");
        assert_eq!(url(&format!("?access_token={word}")), url(""));
    }

    #[test]
    fn streams_of_one_server_are_told_apart_and_survive_a_new_token() {
        let url = |query: &str| name(&format!("https://logs.example/stream?{query}"));
        assert_ne!(url("app=a"), url("app=b"));
        assert_eq!(url("app=a&token=1"), url("app=a&token=2"));
    }

    #[test]
    fn a_mistake_in_a_source_is_told_without_what_can_be_secret() {
        let word = ["hid", "den"].concat();
        for text in [format!("htps://me:{word}@x"), format!("comand:KEY={word}")] {
            let error = text.parse::<SourceSpec>().unwrap_err().to_string();
            assert!(!error.contains(&word), "{error}");
        }
    }

    #[test]
    fn a_source_that_is_none_says_what_is_expected() {
        let error = "modal:".parse::<SourceSpec>().unwrap_err().to_string();
        assert!(error.contains("modal:APP"), "{error}");
    }
}
