//! The process's own log: structured, on stderr, filtered by `RUST_LOG` or a level that can be changed
//! while it runs.

use std::io::IsTerminal as _;

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, Registry, reload};

/// How log records are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl LogFormat {
    /// The word for it in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

/// The running log.
#[derive(Debug)]
pub struct Log {
    filter: Option<reload::Handle<EnvFilter, Registry>>,
}

impl Log {
    /// Changes the level. `false` when `RUST_LOG` decides.
    pub fn set_level(&self, level: &str) -> bool {
        let filter = self.filter.as_ref();
        filter.is_some_and(|filter| filter.reload(of_level(level)).is_ok())
    }
}

/// Starts logging. `RUST_LOG` overrides the level.
pub fn init(format: LogFormat, level: &str) -> Log {
    let given = EnvFilter::try_from_default_env().ok();
    let fixed = given.is_some();
    let (filter, handle) = reload::Layer::new(given.unwrap_or_else(|| of_level(level)));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        LogFormat::Text => {
            let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            lines.with_ansi(colour).with_target(false).boxed()
        }
        LogFormat::Json => lines.json().boxed(),
    };
    let started = tracing_subscriber::registry().with(filter).with(lines);
    // An error means that logging was started before, as tests do.
    drop(started.try_init());
    Log {
        filter: (!fixed).then_some(handle),
    }
}

fn of_level(level: &str) -> EnvFilter {
    // rmcp and sqlx tell every request at `info`.
    EnvFilter::new(format!("{level},rmcp=warn,sqlx=warn"))
}
