//! Collecting: sources feed the pipeline until they end or the process is told to stop; then
//! everything that was read is stored, within a deadline, and summed up.
//!
//! Each source runs in a task of its own; one that fails is reported and never stops another.

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::config::{Config, SourceSpec};
use crate::model::Regions;
use crate::pipeline::{
    Health, Keeper, LinkSummary, Linker, Pipeline, RETENTION_LEASE, Stats, expire,
};
use crate::source::{
    CommandSource, FileSource, Intake, Leases, ModalSource, Outlet, PullSource, SourceError,
    SourceState, StdinSource, Tenure, while_ours,
};
use crate::store::{Holder, Spool, Store};

/// How long a drain may take before what is left is given up, well under systemd's 90 s.
const DRAIN_DEADLINE: Duration = Duration::from_secs(30);
/// How long sources may take to end once told to.
const SOURCES_DEADLINE: Duration = Duration::from_secs(5);
/// How long the last look at what can be linked may take; what it leaves is linked at the next start,
/// or by `link`.
const LINK_DEADLINE: Duration = Duration::from_secs(60);
/// How often open spans are checked against their deadline.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(10);

/// Sources and pipeline, running.
#[derive(Debug)]
pub struct Collection {
    store: Arc<dyn Store>,
    deadline: Duration,
    began: Instant,
    stop: CancellationToken,
    pipeline: Pipeline,
    /// And its task; none where linking is switched off.
    linking: Option<(Arc<Linker>, JoinHandle<()>)>,
    leases: Arc<Leases>,
    keeper: JoinHandle<()>,
    /// Ends after the drain: until then nobody else needs to read what is being stored.
    keeping: (CancellationToken, JoinHandle<()>),
    sources: JoinSet<Result<(), SourceError>>,
}

impl Collection {
    /// Starts everything that the configuration names. A database that is away keeps nobody from
    /// starting, one that refuses does.
    pub async fn start(store: Arc<dyn Store>, config: &Config) -> anyhow::Result<Self> {
        match store.migrate().await {
            Ok(()) => {}
            Err(error) if error.is_transient() => {
                tracing::warn!(%error, "starting without the database; what is read is spooled");
            }
            Err(error) => return Err(error.into()),
        }
        let place = &config.spool;
        let spool = Spool::open(&place.directory, &config.database, place.max_bytes)?;
        let holder = Holder {
            id: spool.identity()?,
            label: format!("{} (process {})", config.host, std::process::id()),
        };
        let leases = Arc::new(Leases::new(Arc::clone(&store), holder, config.lease));
        let pipeline = Pipeline::start(Arc::clone(&store), spool, config.batch)?;
        let stop = CancellationToken::new();
        let linking = config.links.then(|| {
            let linker = Arc::new(Linker::new(Arc::clone(&store), Regions::default()));
            let run = Arc::clone(&linker).run(Arc::clone(&pipeline.stats), stop.clone());
            (linker, tokio::spawn(run))
        });
        let keeper = Keeper::new(Arc::clone(&store), config.retention.clone());
        let lease = leases.want(RETENTION_LEASE);
        let keeper = tokio::spawn(keeper.run(lease, Arc::clone(&pipeline.stats), stop.clone()));
        let keep = CancellationToken::new();
        let (renewed, until) = (Arc::clone(&leases), keep.clone());
        let keeping = tokio::spawn(async move { renewed.keep(until).await });
        let mut collection = Self {
            pipeline,
            leases,
            keeper,
            keeping: (keep, keeping),
            linking,
            store,
            deadline: config.deadline,
            began: Instant::now(),
            stop,
            sources: JoinSet::new(),
        };
        for spec in chosen_sources(config) {
            collection.spawn(&spec, config);
        }
        Ok(collection)
    }

    /// What takes in pushed logs; it answers that it has stopped once collecting has.
    pub fn intake(&self) -> Intake {
        Intake::new(&self.pipeline.input, &self.pipeline.stats.sources)
    }

    /// Cancelled when collecting begins to end.
    pub fn stopping(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// What health checks and metrics read.
    pub fn health(&self) -> Health {
        Health::new(Arc::clone(&self.pipeline.stats))
    }

    fn spawn(&mut self, spec: &SourceSpec, config: &Config) {
        let out = Outlet {
            input: self.pipeline.input.clone(),
            status: self.pipeline.stats.sources.named(&spec.to_string()),
            stop: self.stop.clone(),
            store: Arc::clone(&self.store),
            tenure: Tenure::on(&config.host.as_str().into()),
        };
        match spec.clone() {
            SourceSpec::Stdin => {
                self.supervise(out.clone(), async move {
                    let progress = progress_of_stdin();
                    let bar = progress.clone();
                    let ended = StdinSource
                        .run(out, move |bytes| bar.inc(bytes as u64))
                        .await;
                    progress.finish_and_clear();
                    ended
                });
            }
            SourceSpec::Command(command) => {
                let source = CommandSource { command };
                self.share(spec, out, config, move |out| source.clone().run(out));
            }
            SourceSpec::File(pattern) => {
                let source = FileSource { pattern };
                self.share(spec, out, config, move |out| source.clone().run(out));
            }
            SourceSpec::Modal { app, environment } => {
                let mut options = config.modal.clone();
                options.app = app;
                options.environment = environment.or(options.environment);
                let source = ModalSource { options };
                self.share(spec, out, config, move |out| source.clone().run(out));
            }
            SourceSpec::Http(url) => {
                let source = PullSource { url };
                self.share(spec, out, config, move |out| source.clone().run(out));
            }
        }
    }

    /// Runs a source for as long as no other collector has its lease.
    fn share<F>(
        &mut self,
        spec: &SourceSpec,
        out: Outlet,
        config: &Config,
        start: impl Fn(Outlet) -> F + Send + Sync + 'static,
    ) where
        F: Future<Output = Result<(), SourceError>> + Send + 'static,
    {
        let Some(name) = spec.lease(&config.host) else {
            return;
        };
        let lease = self.leases.want(&name);
        let stats = Arc::clone(&self.pipeline.stats);
        // What the one before left to be linked again is known to nobody now.
        let taken_over = move || stats.touch_recent(Utc::now());
        self.supervise(out.clone(), while_ours(lease, out, taken_over, start));
    }

    /// Runs a source in a task of its own and reports its end.
    fn supervise(
        &mut self,
        out: Outlet,
        source: impl Future<Output = Result<(), SourceError>> + Send + 'static,
    ) {
        // A task of its own for the source, so that even its panic is only its own end.
        let source = tokio::spawn(source);
        self.sources.spawn(async move {
            let ended = source
                .await
                .unwrap_or_else(|error| Err(SourceError::Abnormal(error.to_string())));
            match &ended {
                Ok(()) => out.status.enter(SourceState::Ended),
                Err(error) if error.is_shutdown() => out.status.stopped(),
                Err(error) => out.status.enter(SourceState::Failed(error.to_string())),
            }
            ended
        });
    }

    /// Runs until the sources end or a signal comes, and stores what was read. With `stays` it goes
    /// on after the sources have ended.
    pub async fn run(mut self, stays: bool) -> anyhow::Result<()> {
        let stays = stays || self.sources.is_empty();
        let ended = self.wait(stays).await;
        self.stop.cancel();
        let all = async { while self.sources.join_next().await.is_some() {} };
        if tokio::time::timeout(SOURCES_DEADLINE, all).await.is_err() {
            tracing::warn!("some sources did not end in time; going on without them");
            self.sources.abort_all();
        }
        drop(self.sources);
        let stats = Arc::clone(&self.pipeline.stats);
        let drained = tokio::time::timeout(DRAIN_DEADLINE, self.pipeline.drain()).await;
        self.keeping.0.cancel();
        // Errors: they panicked. Leases run out, and what was to be linked is looked at again below.
        drop(self.keeping.1.await);
        drop(self.keeper.await);
        self.leases.give_back().await;
        let drained_whole = matches!(drained, Ok(Ok(())));
        if drained_whole {
            expire(self.store.as_ref(), &stats, Utc::now(), self.deadline).await?;
        }
        let mut linked = None;
        if let Some((linker, task)) = self.linking {
            drop(task.await);
            if drained_whole {
                linked = link_rest(&linker, &stats).await;
            }
        }
        eprint!("{}", stats.snapshot().summary(self.began.elapsed()));
        if let Some((linked, took)) = linked.filter(|(summary, _)| summary.has_met_printed()) {
            eprintln!("linked   {linked}, in {:.1} s", took.as_secs_f64());
        }
        match drained {
            Ok(drained) => drained?,
            Err(_) => return Err(left_behind(&stats)),
        }
        ended
    }

    /// Waits for the sources' end or a signal, and expires open spans meanwhile.
    async fn wait(&mut self, stays: bool) -> anyhow::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        // Beside the signals: an answer of the database may be long in coming.
        let expiring = expire_now_and_then(
            Arc::clone(&self.store),
            Arc::clone(&self.pipeline.stats),
            self.deadline,
        );
        let _expiring = AbortOnDropHandle::new(tokio::spawn(expiring));
        let mut last = Ok(());
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                Some(ended) = self.sources.join_next() => {
                    last = ended.unwrap_or(Ok(()));
                    if self.sources.is_empty() && !stays {
                        return Ok(last?);
                    }
                }
            }
        }
        drop(last);
        tracing::info!("told to stop; storing what was read");
        Ok(())
    }
}

/// Marks open spans that are past their deadline, for ever.
async fn expire_now_and_then(store: Arc<dyn Store>, stats: Arc<Stats>, deadline: Duration) {
    let pulse = stats.pulse("the watch over open spans");
    loop {
        pulse.rest();
        tokio::time::sleep(EXPIRY_INTERVAL).await;
        pulse.work();
        if let Err(error) = expire(store.as_ref(), &stats, Utc::now(), deadline).await {
            tracing::warn!(%error, "cannot look for spans past their deadline; trying again later");
        }
    }
}

/// Links what this run has stored, as far as the time allows.
async fn link_rest(linker: &Linker, stats: &Stats) -> Option<(LinkSummary, Duration)> {
    let began = Instant::now();
    let rest = linker.catch_up(stats, Utc::now(), true);
    match tokio::time::timeout(LINK_DEADLINE, rest).await {
        Ok(Ok(summary)) => Some((summary, began.elapsed())),
        Ok(Err(error)) => {
            tracing::warn!(%error, "cannot link what was stored; `link` does it later");
            None
        }
        Err(_) => {
            tracing::warn!("linking takes longer than the end of a run may; `link` does the rest");
            None
        }
    }
}

/// The error of a drain that took too long.
fn left_behind(stats: &Stats) -> anyhow::Error {
    let trouble = stats
        .store_trouble()
        .unwrap_or_else(|| "it is too slow".into());
    let (spooled, _) = stats.spool();
    anyhow::anyhow!(
        "the store did not take everything within {} s: {trouble}; {spooled} bytes wait in the spool \
         and are stored when the collector next runs with this database",
        DRAIN_DEADLINE.as_secs()
    )
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
