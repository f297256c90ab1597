//! The command line: what can be said, and which part of the program answers it.

mod help;
mod questions;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub use self::questions::{ByExecution, OutputArguments, SearchArguments, SelectionArguments};
use crate::config::Overrides;
use crate::service::Instance;
use crate::telemetry::LogFormat;

/// Turns the trace lines that Modal functions print into stored spans, and says why an execution
/// failed.
///
/// Without a command it collects: `modal app logs APP -f | beacon-collector`.
#[derive(Debug, Parser)]
#[command(version = env!("BEACON_VERSION"), about, after_help = help::COLLECT)]
pub struct Arguments {
    /// What to do; collecting is the default.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// How to collect.
    #[command(flatten)]
    pub run: RunArguments,
    /// What every command understands.
    #[command(flatten)]
    pub common: CommonArguments,
}

/// What every command understands.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Options of every command")]
pub struct CommonArguments {
    /// Database: sqlite:PATH or postgres://…; a password is safer in DATABASE_URL or database_file
    /// [default: SQLite in the state directory]
    #[arg(long, global = true, value_name = "URL")]
    pub database: Option<String>,
    /// Configuration file (TOML); flags and environment variables win over it
    #[arg(long, global = true, env = "BEACON_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Form of the program's own log on stderr
    /// [env: BEACON_LOG_FORMAT]
    #[arg(long, global = true, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
}

/// How to collect.
#[derive(Debug, Clone, Default, Args)]
pub struct RunArguments {
    /// Where lines come from: stdin, modal:APP, command:COMMAND, file:PATH-OR-PATTERN or http:URL.
    /// Repeatable. [default: stdin when it is not a terminal]
    #[arg(long = "source", value_name = "SPEC")]
    pub sources: Vec<String>,
    /// Address to serve on, or none  [env: BEACON_LISTEN] [default: 127.0.0.1:7410]
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,
    /// Name of this host among collectors that share a database
    /// [env: BEACON_HOST] [default: the system's]
    #[arg(long, value_name = "NAME")]
    pub host: Option<String>,
    /// Go on serving after standard input has ended
    #[arg(long)]
    pub keep_serving: bool,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Collect and serve (what happens without a command)
    #[command(after_help = help::RUN)]
    Run(RunArguments),
    /// Draw a trace: its spans in time, as a waterfall
    #[command(alias = "get_trace", after_help = help::TRACE)]
    Trace {
        /// A trace id, a unique beginning of one, or the id out of a log line
        id: String,
        /// With --json: a span that is shown whole, by its id or a beginning of it
        #[arg(long, value_name = "ID", requires = "json")]
        span_id: Option<String>,
        /// How it is printed
        #[command(flatten)]
        output: OutputArguments,
    },
    /// Why one execution failed or was slow
    #[command(visible_alias = "diagnose", alias = "diagnose_execution")]
    #[command(after_help = help::DIAGNOSE)]
    DiagnoseExecution(ByExecution),
    /// Why a job's executions failed or timed out
    #[command(visible_alias = "timeouts", alias = "find_timeout_root_cause")]
    #[command(after_help = help::TIMEOUTS)]
    FindTimeoutRootCause {
        /// jobs.jobspec_id, or jobs.id
        job_id: String,
        /// How the answer is printed
        #[command(flatten)]
        output: OutputArguments,
    },
    /// How an execution differs from successful ones
    #[command(visible_alias = "compare", alias = "compare_with_successful")]
    #[command(after_help = help::COMPARE)]
    CompareWithSuccessful(ByExecution),
    /// What failed lately, and the patterns in it
    #[command(visible_alias = "failures", alias = "get_recent_failures")]
    #[command(after_help = help::FAILURES)]
    GetRecentFailures {
        /// Failures listed: 1 to 100  [default: 10]
        #[arg(long)]
        limit: Option<String>,
        /// Which executions
        #[command(flatten)]
        selection: SelectionArguments,
        /// How the answer is printed
        #[command(flatten)]
        output: OutputArguments,
    },
    /// How fast and how reliable executions are, against the window before
    #[command(visible_alias = "performance", alias = "analyze_performance")]
    #[command(after_help = help::PERFORMANCE)]
    AnalyzePerformance {
        /// Which executions
        #[command(flatten)]
        selection: SelectionArguments,
        /// How the answer is printed
        #[command(flatten)]
        output: OutputArguments,
    },
    /// Where a trace has gaps, and which spans are missing from it
    #[command(visible_alias = "gaps", alias = "find_trace_gaps")]
    #[command(after_help = help::GAPS)]
    FindTraceGaps {
        /// A trace id, a unique beginning of one, or the id out of a log line
        trace_id: String,
        /// How the answer is printed
        #[command(flatten)]
        output: OutputArguments,
    },
    /// Which spans are stored, newest first
    #[command(visible_alias = "search", alias = "search_spans")]
    #[command(after_help = help::SEARCH)]
    SearchSpans(SearchArguments),
    /// Whether the data is fresh and whole: lag and known losses
    #[command(visible_alias = "status", alias = "collector_status")]
    #[command(after_help = help::STATUS)]
    CollectorStatus {
        /// How the answer is printed
        #[command(flatten)]
        output: OutputArguments,
    },
    /// Serve the Model Context Protocol on standard input and output, for clients that start a command
    #[command(after_help = help::MCP)]
    Mcp {
        /// Ask the daemon at this address instead of the database, e.g. http://127.0.0.1:7410
        #[arg(long, env = "BEACON_URL", value_name = "URL")]
        url: Option<String>,
        /// A file whose first line is the daemon's token  [env: BEACON_TOKEN, the token itself]
        #[arg(long, value_name = "FILE")]
        token_file: Option<PathBuf>,
    },
    /// Print what to put into the configuration of an MCP client
    #[command(after_help = help::MCP_CONFIG)]
    McpConfig {
        /// The client
        client: ClientName,
        /// Use the daemon at this address instead of starting a command, e.g. http://127.0.0.1:7410
        #[arg(long, env = "BEACON_URL", value_name = "URL")]
        url: Option<String>,
        /// Let the client send a token, which it takes from BEACON_TOKEN or asks for. Without this it does so
        /// for a daemon on another host
        #[arg(long, requires = "url")]
        token: bool,
    },
    /// Create or complete the database schema
    #[command(after_help = help::MIGRATE)]
    Migrate {
        /// Print the SQL instead of running it
        #[arg(long)]
        dry_run: bool,
        /// Print the least privileges that the collector needs, as SQL
        #[arg(long, conflicts_with = "dry_run")]
        print_grants: bool,
        /// Also spread the tables over a Citus cluster by trace, printing what that takes
        #[arg(long, conflicts_with = "print_grants")]
        distributed: bool,
    },
    /// Link stored spans to the traces of their callers, and those to their executions
    #[command(after_help = help::LINK)]
    Link {
        /// How far back: 30d, 12h, or a time such as 2025-10-22T13:00:00Z
        #[arg(long, default_value = "1d")]
        since: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show the settings in force and where each was set; fail on a mistake, naming line and column
    #[command(after_help = help::CHECK_CONFIG)]
    CheckConfig {
        /// How it would collect
        #[command(flatten)]
        run: RunArguments,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Look at everything that can be wrong: database, clock, disk, sources, losses, the daemon; each
    /// finding with its remedy. Exit code 1 when something does not work
    #[command(after_help = help::DOCTOR)]
    Doctor {
        /// How it would collect
        #[command(flatten)]
        run: RunArguments,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Work on the configuration file
    Config {
        /// What to do
        #[command(subcommand)]
        action: ConfigAction,
    },
    /// Run the collector as a service: systemd's, for the machine or one user, or launchd's on macOS
    Service {
        /// What to do
        #[command(subcommand)]
        action: ServiceAction,
    },
    /// Say how each stage reads a log line, and why it does or does not become a span
    #[command(after_help = help::EXPLAIN)]
    ExplainLine {
        /// The line; standard input when absent
        line: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the completions for a shell
    #[command(after_help = help::COMPLETIONS)]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write those of all commands into a folder
    #[command(after_help = help::MAN)]
    Man {
        /// Where to write beacon-collector.1, beacon-collector-diagnose-execution.1, …
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
}

/// What can be done with the configuration file.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum ConfigAction {
    /// Print a configuration with every key, its default and what it means
    #[command(after_help = help::CONFIG_INIT)]
    Init,
}

/// What can be done with the service.
#[derive(Debug, Clone, Subcommand)]
pub enum ServiceAction {
    /// Write its files, enable and start it
    #[command(after_help = help::SERVICE_INSTALL)]
    Install {
        /// A source to write into its configuration, where there is none yet; repeatable
        #[arg(long = "source", value_name = "SPEC")]
        sources: Vec<String>,
        /// Where
        #[command(flatten)]
        place: ServiceArguments,
    },
    /// Stop and disable it and remove its file; configuration and data stay
    #[command(after_help = help::SERVICE_UNINSTALL)]
    Uninstall(ServiceArguments),
    /// Show whether it is installed, enabled and running; exit code 1 when it does not run
    #[command(after_help = help::SERVICE_STATUS)]
    Status(ServiceArguments),
}

/// Which service is meant.
#[derive(Debug, Clone, Default, Args)]
pub struct ServiceArguments {
    /// A service of this user, also for root  [default: of the machine when run by root]
    #[arg(long, conflicts_with = "system")]
    pub user: bool,
    /// A service of the machine
    #[arg(long)]
    pub system: bool,
    /// A service of its own for an app, beside others: beacon-collector@APP
    #[arg(long, value_name = "APP")]
    pub instance: Option<Instance>,
    /// Print what would be done, as a script
    #[arg(long)]
    pub dry_run: bool,
    /// A folder that stands for /, to install into an image; nothing is started
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
}

/// An MCP client whose configuration is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ClientName {
    /// Windsurf
    Windsurf,
    /// Claude Code
    #[value(alias = "claude-code")]
    Claude,
    /// Claude Desktop
    ClaudeDesktop,
    /// Cursor
    Cursor,
    /// Visual Studio Code
    Vscode,
}

/// Reads the command line; ends the process with 2 when it is wrong.
pub fn parse() -> Arguments {
    Arguments::parse()
}

impl Arguments {
    /// How to collect; what stands before `run` counts as well.
    pub fn run_arguments(&self) -> RunArguments {
        let mut all = self.run.clone();
        if let Some(
            Command::Run(run) | Command::CheckConfig { run, .. } | Command::Doctor { run, .. },
        ) = &self.command
        {
            all.sources.extend(run.sources.iter().cloned());
            all.listen = run.listen.clone().or(all.listen);
            all.host = run.host.clone().or(all.host);
            all.keep_serving |= run.keep_serving;
        }
        all
    }

    /// The settings that win over the configuration file.
    pub fn overrides(&self) -> Overrides {
        let run = self.run_arguments();
        Overrides {
            database: self.common.database.clone(),
            listen: run.listen,
            sources: run.sources,
            host: run.host,
            log_format: self.common.log_format,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn without_examples(command: &clap::Command) -> Vec<String> {
        let help = command.get_after_help().map(ToString::to_string);
        let shows = help.is_some_and(|help| help.contains("Examples:\n  "));
        let below = command
            .get_subcommands()
            .filter(|sub| sub.get_name() != "help");
        let below: Vec<_> = below.flat_map(without_examples).collect();
        // One that only has commands of its own is explained by them.
        match shows || command.has_subcommands() {
            true => below,
            false => [vec![command.get_name().to_owned()], below].concat(),
        }
    }

    #[test]
    fn every_command_shows_examples() {
        assert_eq!(
            without_examples(&Arguments::command()),
            Vec::<String>::new()
        );
    }
}
