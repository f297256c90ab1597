//! The boot order: configuration, log, store, pipeline, sources, and back in reverse with a bounded
//! drain. The only place that knows all the parts.

mod ask;
mod doctor;
mod elsewhere;
mod manual;
mod mcp;
mod reload;
mod serve;
mod service;
mod settings;
mod tasks;

use std::path::Path;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use self::ask::Asked;
use self::reload::Reload;
use crate::cli::{Arguments, Command, RunArguments};
use crate::collect::Collection;
use crate::config::{Config, ConfigError, has_password};
use crate::http::Parts;
use crate::query::{Query, QueryError};
use crate::render::{self, Paint};
use crate::service::Starting;
use crate::store::{self, Opening, Store, StoreError};
use crate::telemetry::{self, Export, Log};
use crate::untrusted;

/// How long blocking work may hold up the end of the process.
const RUNTIME_STOP: Duration = Duration::from_millis(200);

/// Threads of the runtime, however many cores there are: each has memory of its own, and with eight of them a
/// large log took half as much again. One collects while another answers; waiting for a database needs none.
const WORKERS: usize = 2;

/// Does what the command line asks for; the exit code is 0 when done, 1 when it failed while
/// running, 2 for wrong usage or configuration.
pub fn start(arguments: Arguments) -> ExitCode {
    if let Some(printed) = on_paper(&arguments.command) {
        return printed.map_or_else(|error| fail(&error), |()| ExitCode::SUCCESS);
    }
    let config = match Config::load(arguments.common.config.as_deref(), &arguments.overrides()) {
        Ok(config) => config,
        Err(error) => return fail(&error.into()),
    };
    untrusted::configure(config.redact.clone());
    // For all TLS of the process; an error means that it was done before.
    drop(rustls::crypto::ring::default_provider().install_default());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return fail(&anyhow::Error::from(error).context("cannot start the runtime")),
    };
    let export = match stays(&arguments.command) {
        true => Export::begin(runtime.handle()),
        false => Export::default(),
    };
    let log = telemetry::init(config.log_format, &config.log_level, &export);
    if arguments
        .common
        .database
        .as_deref()
        .is_some_and(has_password)
    {
        tracing::warn!(
            "the password in --database can be seen by every user of this machine (ps); put the URL into \
             DATABASE_URL or a file named by database_file"
        );
    }
    use_small_pages();
    let done = runtime.block_on(dispatch(arguments, config, log));
    export.end();
    runtime.shutdown_timeout(RUNTIME_STOP);
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

/// Whether a command runs for long: one that answers and ends has nothing to export, nor the time.
const fn stays(command: &Option<Command>) -> bool {
    matches!(command, None | Some(Command::Run(_) | Command::Mcp { .. }))
}

/// What tells about the program itself and so needs no configuration; `None` for everything else.
fn on_paper(command: &Option<Command>) -> Option<anyhow::Result<()>> {
    match command {
        Some(Command::Completions { shell }) => Some(manual::completions(*shell)),
        Some(Command::Man { out }) => Some(manual::man(out.as_deref())),
        _ => None,
    }
}

/// Two megabytes at a time is more than what is held for a moment needs: it made resident memory half as
/// large again, and the kernel clears and compacts all of it.
fn use_small_pages() {
    #[cfg(target_os = "linux")]
    if let Err(error) = nix::sys::prctl::set_thp_disable(true) {
        tracing::debug!(%error, "cannot switch huge pages off");
    }
}

/// Says what failed on stderr, and with which code to end.
fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {error:#}");
    let usage = error.downcast_ref::<ConfigError>().is_some()
        || matches!(error.downcast_ref(), Some(StoreError::Configuration(_)))
        || matches!(
            error.downcast_ref(),
            Some(QueryError::Argument { .. } | QueryError::Arguments(_))
        );
    ExitCode::from(if usage { 2 } else { 1 })
}

async fn dispatch(arguments: Arguments, config: Config, log: Log) -> anyhow::Result<()> {
    let run_arguments = arguments.run_arguments();
    let overrides = arguments.overrides();
    let file = arguments.common.config;
    match arguments.command {
        None | Some(Command::Run(_)) => {
            let reload = Reload {
                file,
                overrides,
                settings: config.settings.clone(),
                log,
            };
            run(&run_arguments, config, reload).await
        }
        Some(Command::Trace { id, output, .. }) if !output.json => {
            say_which_database(&config);
            let store = open(&config, Opening::BRIEF).await?;
            let query = Query::new(Arc::clone(&store));
            let text = ask::picture(&query, &id, columns(), Paint::for_stdout()).await?;
            store.close().await;
            Ok(render::print(&text)?)
        }
        Some(Command::Mcp { url, token_file }) => mcp::serve(&config, url, token_file).await,
        Some(Command::McpConfig { client, url, token }) => {
            mcp::print_config(&config, client, url.as_deref(), token)
        }
        Some(Command::Migrate {
            dry_run,
            print_grants,
            distributed,
        }) => match distributed {
            true => tasks::distribute(&config, dry_run).await,
            false => tasks::migrate(&config, dry_run, print_grants).await,
        },
        Some(Command::Link { since, json }) => tasks::link(&config, &since, json).await,
        Some(Command::CheckConfig { json, .. }) => settings::check(&config, file.as_deref(), json),
        Some(Command::Doctor { json, .. }) => {
            let given = arguments.common.database.as_deref();
            doctor::doctor(&config, given.is_some_and(has_password), json).await
        }
        Some(Command::Service { action }) => service::service(action),
        Some(Command::Config { action }) => settings::config(action),
        Some(Command::ExplainLine { line, json }) => tasks::explain_line(line, json),
        Some(question) => {
            let Some(asked) = Asked::of(question) else {
                return Ok(());
            };
            say_which_database(&config);
            let store = open(&config, Opening::BRIEF).await?;
            let text = asked.answer(&store, columns()).await?;
            store.close().await;
            Ok(render::print(&text)?)
        }
    }
}

async fn run(arguments: &RunArguments, config: Config, reload: Reload) -> anyhow::Result<()> {
    let starting = Starting::begin();
    let store = store::open(&config.database).await?;
    let listening = serve::listen(&config).await?;
    let stop = CancellationToken::new();
    let _stops = stop.clone().drop_guard();
    reload.listen(listening.as_ref().map(serve::Listening::tokens), stop);
    let collection = Collection::start(Arc::clone(&store), &config).await?;
    let health = collection.health();
    let sources = health.clone();
    let query = Query::new(Arc::clone(&store))
        .with_sources(move || serde_json::to_value(sources.readiness()).unwrap_or_default());
    let parts = Parts {
        query,
        intake: Some(collection.intake()),
        health: Some(health.clone()),
    };
    let stopping = collection.stopping();
    let mut running = pin!(collection.run(arguments.keep_serving));
    // It listens for signals from its first step on; whoever reads the address may send one.
    let mut ended = tokio::select! {
        biased;
        ended = &mut running => Some(ended),
        () = std::future::ready(()) => None,
    };
    let serving = match listening {
        Some(listening) => Some(listening.serve(parts)?),
        None => None,
    };
    let _notifier = starting.ready(health, stopping).await;
    if ended.is_none() {
        ended = Some(running.await);
    }
    if let Some(serving) = serving {
        serving.end().await;
    }
    store.close().await;
    ended.unwrap_or(Ok(()))
}

/// Says where a question goes, when that may not be where it was meant to go.
fn say_which_database(config: &Config) {
    if let Some(remark) = elsewhere::remark(config, Path::new("/")) {
        eprintln!("note: {remark}");
    }
}

/// Opens the database and completes its schema.
async fn open(config: &Config, opening: Opening) -> anyhow::Result<Arc<dyn Store>> {
    let store = store::open_with(&config.database, opening).await?;
    store.migrate().await?;
    Ok(store)
}

/// Ends when the process is told to stop.
async fn told_to_stop() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// Columns that there are to write in; `None` when nobody limits them, as in a pipe.
fn columns() -> Option<usize> {
    let said = std::env::var("COLUMNS").ok();
    let said = said.and_then(|columns| columns.parse().ok());
    let terminal = || terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
    said.or_else(terminal)
}
