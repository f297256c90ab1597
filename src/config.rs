//! What the user asked for, made into what the program needs, in two steps: the file, the environment
//! and the command line are read as written and merged, then checked and completed. Nothing is needed
//! to start.

mod error;
mod example;
mod layers;
mod retention;
mod secret;
mod settings;
mod source_spec;
mod written;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use error::ConfigError;
pub use example::EXAMPLE;
pub use layers::Origin;
pub use retention::{DaysFile, RetentionFile};
pub use secret::{first_line, has_password, masked};
pub use settings::{Setting, changed};
pub use source_spec::SourceSpec;
pub use written::{HttpFile, TokenFile};

use self::layers::{Environment, Layers};
use self::written::{ModalFile, RedactFile, SpoolFile};
use crate::pipeline::{BatchLimits, Retention};
use crate::source::ModalOptions;
use crate::telemetry::LogFormat;
use crate::untrusted::{FORM_NAMES, Redaction};

/// Where the daemon listens unless told otherwise.
const DEFAULT_LISTEN: &str = "127.0.0.1:7410";
/// After this time without an end a span counts as timed out.
const DEFAULT_DEADLINE: Duration = Duration::from_secs(15 * 60);

/// Requests a second that each caller from another host may send.
const DEFAULT_RATE: u32 = 50;

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

/// What the command line says; wins over the environment and the file.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// See `ConfigFile::database`.
    pub database: Option<String>,
    /// See `ConfigFile::listen`.
    pub listen: Option<String>,
    /// See `ConfigFile::sources`.
    pub sources: Vec<String>,
    /// See `ConfigFile::host`.
    pub host: Option<String>,
    /// See `LogFile::format`.
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
    /// Requests that each caller from another host may send.
    pub requests_per_second: u32,
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
    /// Whether printed spans are linked while collecting.
    pub links: bool,
    /// How long rows are kept.
    pub retention: Retention,
    /// What is taken out of log text.
    pub redact: Redaction,
    /// How Modal is followed; the app is filled in for each source.
    pub modal: ModalOptions,
    /// Level of the process's own log.
    pub log_level: String,
    /// Form of the process's own log.
    pub log_format: LogFormat,
    /// All of it as it may be printed, with the places where it was set.
    pub settings: Vec<Setting>,
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

impl Config {
    /// Reads the file, if there is one, and the environment, and completes them.
    pub fn load(file: Option<&Path>, overrides: &Overrides) -> Result<Self, ConfigError> {
        Self::read(file, overrides, &|name| std::env::var_os(name))
    }

    fn read(
        file: Option<&Path>,
        overrides: &Overrides,
        environment: Environment<'_>,
    ) -> Result<Self, ConfigError> {
        let layers = Layers::read(file, environment, overrides)?;
        let written = layers.written()?;
        let (database, origin) = match layers.database()? {
            Some(named) => named,
            None => {
                let path = state_directory(environment)?.join("beacon.db");
                (format!("sqlite:{}", path.display()), Origin::Default)
            }
        };
        let at = |key: &str| layers.origin(key);
        let sources = written.sources.iter().map(|text| text.parse());
        let defaults = BatchLimits::of(&database);
        let mut config = Self {
            listen: listen(written.listen).map_err(|error| error.at(&at("listen")))?,
            requests_per_second: written.http.requests_per_second.unwrap_or(DEFAULT_RATE),
            http: written.http,
            sources: sources
                .collect::<Result<_, ConfigError>>()
                .map_err(|error| error.at(&at("sources")))?,
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
            spool: spool(written.spool, &database, environment)?,
            retention: retention::checked(&written.retention)?,
            host: written.host.unwrap_or_else(host_name),
            lease: written
                .lease
                .seconds
                .map_or(DEFAULT_LEASE, |seconds| Duration::from_secs(seconds.max(1))),
            links: written.link.enabled.unwrap_or(true),
            database,
            redact: redaction(written.redact).map_err(|(key, error)| error.at(&at(key)))?,
            modal: modal(written.modal),
            log_level: level(written.log.level).map_err(|error| error.at(&at("log.level")))?,
            log_format: written.log.format.unwrap_or_default(),
            settings: Vec::new(),
        };
        config.settings = settings::list(&layers, &config, &origin);
        Ok(config)
    }
}

/// Checks names and patterns; a mistake comes with its key.
fn redaction(written: RedactFile) -> Result<Redaction, (&'static str, ConfigError)> {
    let wrong = |what, value: &str, reason: String| ConfigError::Value {
        what,
        value: value.to_owned(),
        reason,
    };
    if let Some(name) = written
        .off
        .iter()
        .find(|name| !FORM_NAMES.contains(&name.as_str()))
    {
        let reason = format!("expected names of {}", FORM_NAMES.join(", "));
        return Err(("redact.off", wrong("form of secrets", name, reason)));
    }
    let compile = |text: &String| {
        regex::Regex::new(text).map_err(|error| {
            let reason = error.to_string().replace('\n', " ");
            ("redact.also", wrong("pattern", text, reason))
        })
    };
    Ok(Redaction {
        emails: written.emails,
        also: written.also.iter().map(compile).collect::<Result<_, _>>()?,
        off: written.off,
    })
}

/// One of the words that a filter takes for a level.
fn level(text: Option<String>) -> Result<String, ConfigError> {
    let text = text.unwrap_or_else(|| "info".into());
    let known = ["off", "error", "warn", "info", "debug", "trace"];
    if known.contains(&text.as_str()) {
        return Ok(text);
    }
    Err(ConfigError::Value {
        what: "log level",
        value: text,
        reason: format!("expected one of {}", known.join(", ")),
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
fn spool(
    written: SpoolFile,
    database: &str,
    environment: Environment<'_>,
) -> Result<SpoolPlace, ConfigError> {
    let beside = || {
        let path = Path::new(database.strip_prefix("sqlite:")?);
        Some(path.parent()?.to_owned())
    };
    let directory = match written.directory {
        Some(directory) => directory,
        None => state_directory(environment)
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
fn state_directory(environment: Environment<'_>) -> Result<PathBuf, ConfigError> {
    let from = |name: &str| {
        environment(name)
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
mod tests;
