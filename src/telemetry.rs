//! What the process says of itself: its log, structured, on stderr, filtered by `RUST_LOG` or a level that
//! can be changed while it runs; its figures; and, where a receiver is named, its traces and metrics by
//! OTLP.
//!
//! Invariant: spans are for the export alone. Where there is none they are switched off where they are
//! made, and lines of the log never carry them.

mod export;
mod figure;
mod process;
mod receiver;
mod settings;

use std::io::IsTerminal as _;

use tracing_subscriber::filter::{FilterExt as _, filter_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, Registry, reload};

pub use export::Export;
pub use figure::{Figure, Labels, Say, Spread, encode, observe};
pub use process::{ABOUT, PROCESS};

/// Marks a span as failed, for this reason.
pub fn fail(span: &tracing::Span, reason: &dyn std::fmt::Display) {
    if !span.is_disabled() {
        span.record("otel.status_code", "ERROR");
        span.record("otel.status_description", reason.to_string());
    }
}

/// The name that our own traces and metrics bear, whatever the service is called.
pub const SCOPE: &str = "beacon_collector";

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

/// Starts logging, and making spans where they are exported. `RUST_LOG` overrides the level of the log.
pub fn init(format: LogFormat, level: &str, export: &Export) -> Log {
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
    let lines = lines.with_filter(filter.and(filter_fn(|of| of.is_event())));
    let spans = export.tracer().map(|tracer| {
        let layer = tracing_opentelemetry::layer().with_tracer(tracer);
        let layer = layer.with_location(false).with_threads(false);
        let layer = layer.with_target(false).with_tracked_inactivity(false);
        // Libraries make spans of their own, for the sending of ours among them.
        layer.with_filter(filter_fn(|of| {
            of.is_span() && of.target().starts_with(SCOPE)
        }))
    });
    let started = tracing_subscriber::registry().with(lines).with(spans);
    // An error means that logging was started before, as tests do.
    drop(started.try_init());
    export.announce();
    Log {
        filter: (!fixed).then_some(handle),
    }
}

fn of_level(level: &str) -> EnvFilter {
    // rmcp and sqlx tell every request at `info`.
    EnvFilter::new(format!("{level},rmcp=warn,sqlx=warn"))
}
