//! The configuration file as written: every section and key, none of them needed. A key that is not
//! here is refused; one that is here stands in `example.toml` too, which a test checks.

use std::path::PathBuf;

use serde::Deserialize;

use super::retention::RetentionFile;
use crate::source::Via;
use crate::telemetry::LogFormat;

/// The configuration file as written.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ConfigFile {
    /// `sqlite:PATH` or `postgres://…`.
    pub database: Option<String>,
    /// A file that holds the same.
    pub database_file: Option<PathBuf>,
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
    /// Whether printed spans are linked.
    pub link: LinkFile,
    /// How long rows are kept.
    pub retention: RetentionFile,
    /// How Modal is followed.
    pub modal: ModalFile,
    /// What is taken out of log text.
    pub redact: RedactFile,
    /// Who may ask over the network.
    pub http: HttpFile,
    /// The process's own log.
    pub log: LogFile,
}

/// Section `[batch]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct BatchFile {
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
pub(super) struct SpoolFile {
    /// Folder; below the state directory unless named.
    pub directory: Option<PathBuf>,
    /// Bound in MiB.
    pub max_mib: Option<u64>,
}

/// Section `[lease]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LeaseFile {
    /// Seconds after which another collector takes over from one that has died.
    pub seconds: Option<u64>,
}

/// Section `[link]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LinkFile {
    /// Whether it is done while collecting.
    pub enabled: Option<bool>,
}

/// Section `[modal]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ModalFile {
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

/// Section `[redact]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RedactFile {
    /// Whether e-mail addresses go.
    pub emails: bool,
    /// Names of forms that stay.
    pub off: Vec<String>,
    /// Regular expressions whose matches go.
    pub also: Vec<String>,
}

/// Section `[http]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpFile {
    /// Tokens, one of which every request has to bear; none are asked for when there are none.
    pub tokens: Vec<TokenFile>,
    /// A file with a line `NAME TOKEN` for each token.
    pub tokens_file: Option<PathBuf>,
    /// Names of this host under which requests may come, beside localhost and addresses.
    pub allowed_hosts: Vec<String>,
    /// Requests that each caller from another host may send.
    pub requests_per_second: Option<u32>,
}

/// A token, by its hash or by a file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenFile {
    /// Name that the log calls its bearer by.
    pub name: String,
    /// Hexadecimal SHA-256 of the token.
    pub sha256: Option<String>,
    /// File whose first line is the token.
    pub file: Option<PathBuf>,
}

/// Section `[log]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LogFile {
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub level: Option<String>,
    /// `text` or `json`.
    pub format: Option<LogFormat>,
}
