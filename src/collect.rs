//! Collecting: sources feed the pipeline until they end or the process is told to stop; then
//! everything that was read is stored, within a deadline, and summed up.

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use chrono::Utc;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, SourceSpec};
use crate::pipeline::{Pipeline, Stats, expire};
use crate::source::{SourceError, StdinSource};
use crate::store::Store;

/// How long a drain may take before what is left is given up, well under systemd's 90 s.
const DRAIN_DEADLINE: Duration = Duration::from_secs(30);
/// How often open spans are checked against their deadline.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(10);

/// Collects until the sources end or a signal comes.
pub async fn run(store: Arc<dyn Store>, config: &Config, keep_serving: bool) -> anyhow::Result<()> {
    let began = Instant::now();
    let stop = CancellationToken::new();
    let pipeline = Pipeline::start(Arc::clone(&store), config.batch);
    let stats = Arc::clone(&pipeline.stats);
    let mut sources = JoinSet::new();
    for spec in chosen_sources(config) {
        match spec {
            SourceSpec::Stdin => {
                let progress = progress_of_stdin();
                let bar = progress.clone();
                let source = StdinSource.run(pipeline.input.clone(), stop.clone(), move |bytes| {
                    bar.inc(bytes as u64);
                });
                sources.spawn(async move {
                    let ended = source.await;
                    progress.finish_and_clear();
                    ended
                });
            }
        }
    }
    let stays = keep_serving || sources.is_empty();
    let ended = supervise(&mut sources, &store, &stats, config.deadline, stays).await;
    stop.cancel();
    while sources.join_next().await.is_some() {}
    let drained = tokio::time::timeout(DRAIN_DEADLINE, pipeline.drain()).await;
    let spans_left = matches!(drained, Err(_) | Ok(Err(_)));
    if !spans_left {
        expire(store.as_ref(), &stats, Utc::now(), config.deadline).await?;
    }
    eprint!("{}", stats.snapshot().summary(began.elapsed()));
    drained.with_context(|| {
        format!("the store did not take everything within {DRAIN_DEADLINE:?}; what was not committed is read again from sources that can be")
    })??;
    ended
}

/// Named sources, else stdin when something can be coming from there.
fn chosen_sources(config: &Config) -> Vec<SourceSpec> {
    if !config.sources.is_empty() {
        return config.sources.clone();
    }
    if std::io::stdin().is_terminal() {
        tracing::info!(
            "no source named and standard input is a terminal: serving only; try --help"
        );
        return Vec::new();
    }
    vec![SourceSpec::Stdin]
}

/// Waits for the sources' end or a signal, and expires open spans meanwhile.
async fn supervise(
    sources: &mut JoinSet<Result<(), SourceError>>,
    store: &Arc<dyn Store>,
    stats: &Stats,
    deadline: Duration,
    stays: bool,
) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut expiry = tokio::time::interval(EXPIRY_INTERVAL);
    expiry.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    expiry.tick().await;
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = expiry.tick() => {
                if let Err(error) = expire(store.as_ref(), stats, Utc::now(), deadline).await {
                    tracing::warn!(%error, "cannot look for spans past their deadline; trying again later");
                }
            }
            Some(ended) = sources.join_next() => {
                ended.context("a source ended abnormally")??;
                if sources.is_empty() && !stays {
                    return Ok(());
                }
            }
        }
    }
    tracing::info!("told to stop; storing what was read");
    Ok(())
}

/// A bar on stderr while a file is read through standard input; hidden elsewhere.
fn progress_of_stdin() -> ProgressBar {
    let size = std::fs::metadata("/dev/stdin")
        .ok()
        .filter(std::fs::Metadata::is_file);
    let Some(size) = size
        .map(|file| file.len())
        .filter(|_| std::io::stderr().is_terminal())
    else {
        return ProgressBar::hidden();
    };
    let style =
        ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {bytes_per_sec} eta {eta}");
    let bar = ProgressBar::with_draw_target(Some(size), ProgressDrawTarget::stderr());
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}
