//! The log of a Modal app, followed for speed and fetched for truth.
//!
//! Following can miss lines: at a reconnection, at a restart of the tool or of this process. So
//! whatever may have been missed is fetched again and fed into the pipeline, where a line that is
//! known already changes nothing. Invariant: the checkpoint is a time up to which everything was
//! fetched without an error, and it is committed behind what was fetched.

mod reconcile;
mod run;
mod said;
mod tool;

use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::Notify;

use self::reconcile::Reconciler;
pub(super) use self::said::explain;
pub(super) use self::tool::Tool;
pub use self::tool::Via;
use super::backoff::Backoff;
use super::{Outlet, SourceError, SourceState};

/// First and longest pause before a tool that ended is started again.
const RESTART: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));
/// Pause after an end without error: the app has stopped, and may be started again.
const STOPPED: Duration = Duration::from_secs(30);

/// An app and how to read its log.
#[derive(Debug, Clone, Default)]
pub struct ModalOptions {
    /// Name or id.
    pub app: String,
    /// Modal environment; its default where none is named.
    pub environment: Option<String>,
    /// Profile in Modal's configuration.
    pub profile: Option<String>,
    /// The `modal` command; found on the search path where none is named.
    pub cli: Option<PathBuf>,
    /// A Python with the SDK; the command's own where none is named.
    pub python: Option<PathBuf>,
    /// Which tools may be used.
    pub via: Via,
    /// How far back the first fetch reaches.
    pub backfill: Duration,
    /// How often is looked for what following missed.
    pub reconcile_every: Duration,
}

/// Follows a Modal app.
#[derive(Debug, Clone)]
pub struct ModalSource {
    /// What to follow, and how.
    pub options: ModalOptions,
}

impl ModalSource {
    /// Follows until told to stop.
    pub async fn run(self, out: Outlet) -> Result<(), SourceError> {
        let tool = self.find_tool(&out).await?;
        tracing::info!(source = %out.name(), ?tool, "following Modal app");
        let missed = Notify::new();
        let follow = self.follow(&tool, &out, &missed);
        if let Tool::OldCli(_, version) = &tool {
            tracing::warn!(
                source = %out.name(),
                "modal {version} cannot fetch what following missed; `pip install -U modal` mends that"
            );
            return follow.await;
        }
        let reconciler = Reconciler::new(&self.options, &tool, &out, &missed);
        tokio::try_join!(follow, reconciler.run()).map(|_| ())
    }

    async fn find_tool(&self, out: &Outlet) -> Result<Tool, SourceError> {
        let mut backoff = Backoff::new(Duration::from_secs(2), Duration::from_secs(60));
        loop {
            match Tool::find(&self.options).await {
                Ok(tool) => return Ok(tool),
                Err(reason) => out.status.enter(SourceState::Retrying(reason)),
            }
            out.pause(backoff.pause()).await?;
        }
    }

    /// Follows, again and again; tells `missed` whenever lines may have been.
    async fn follow(&self, tool: &Tool, out: &Outlet, missed: &Notify) -> Result<(), SourceError> {
        let mut backoff = Backoff::new(RESTART.0, RESTART.1);
        let mut away_since: Option<DateTime<Utc>> = None;
        loop {
            backoff.begin();
            if let (Tool::OldCli(_, version), Some(since)) = (tool, away_since.take()) {
                let reason = format!("modal {version} cannot fetch what was printed meanwhile");
                out.lose(since, Utc::now(), &reason, 0).await?;
            }
            // An app that has stopped is still waited for: most looks find it as it was.
            if !matches!(out.status.state(), SourceState::Waiting(_)) {
                out.status.enter(SourceState::Running);
            }
            missed.notify_one();
            let stream = out.stream();
            let mut command = tool.follow(&self.options);
            let ended = run::run(&mut command, out, &stream, || missed.notify_one()).await;
            let retrying = |reason| SourceState::Retrying(reason);
            let (state, pause) = match &ended {
                Ok(ended) if ended.spinning => (
                    retrying("Modal's control plane is not available".to_owned()),
                    backoff.pause().max(Duration::from_secs(1)),
                ),
                Ok(ended) if ended.status.success() => (
                    SourceState::Waiting("the app has stopped".to_owned()),
                    STOPPED,
                ),
                Ok(ended) => (
                    retrying(said::explain(&ended.said, &self.options.app)),
                    backoff.pause(),
                ),
                Err(error) => (retrying(error.to_string()), backoff.pause()),
            };
            let whole = match ended {
                Ok(ended) => ended.status.success() && !ended.spinning,
                Err(error) if error.is_shutdown() => return Err(error),
                Err(_) => false,
            };
            run::close(out, stream, whole).await?;
            away_since = Some(Utc::now());
            out.status.enter(state);
            out.status.restarts.fetch_add(1, Relaxed);
            missed.notify_one();
            out.pause(pause).await?;
        }
    }
}
