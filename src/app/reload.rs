//! SIGHUP: the configuration is read again. Tokens and the level of the log change at once; what else
//! has changed is named, because it needs a restart. A mistake leaves everything as it was.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::serve;
use crate::config::{Config, Overrides, Setting, changed};
use crate::http::Tokens;
use crate::service::Notifier;
use crate::telemetry::Log;

/// Settings that change while the process runs.
const LIVE: &[&str] = &["log.level", "http.tokens", "http.tokens_file"];

/// What the configuration is read from, and what it is applied to.
#[derive(Debug)]
pub(super) struct Reload {
    pub(super) file: Option<PathBuf>,
    pub(super) overrides: Overrides,
    /// What is in force.
    pub(super) settings: Vec<Setting>,
    pub(super) log: Log,
}

impl Reload {
    /// Listens from here on: a signal that comes before would end the process.
    pub(super) fn listen(self, tokens: Option<Arc<Tokens>>, stop: CancellationToken) {
        match signal(SignalKind::hangup()) {
            Ok(hangups) => drop(tokio::spawn(self.run(hangups, tokens, stop))),
            Err(error) => tracing::warn!(%error, "cannot wait for SIGHUP: nothing can be reloaded"),
        }
    }

    async fn run(self, mut hangups: Signal, tokens: Option<Arc<Tokens>>, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = hangups.recv() => {}
            }
            Notifier::reloading().await;
            if let Err(error) = self.apply(tokens.as_deref()) {
                tracing::warn!(%error, "the configuration stays as it was");
            }
            Notifier::reloaded().await;
        }
    }

    fn apply(&self, tokens: Option<&Tokens>) -> anyhow::Result<()> {
        let config = Config::load(self.file.as_deref(), &self.overrides)?;
        if let Some(tokens) = tokens {
            tokens.replace(&serve::sources(&config.http)?)?;
        }
        if self.log.set_level(&config.log_level) {
            tracing::info!(
                level = config.log_level,
                "level of the log and tokens read again"
            );
        } else {
            tracing::info!("tokens read again; RUST_LOG decides the level of the log");
        }
        for key in changed(&self.settings, &config.settings) {
            if !LIVE.contains(&key) {
                tracing::warn!(
                    key,
                    "this setting has changed and needs a restart to take effect"
                );
            }
        }
        Ok(())
    }
}
