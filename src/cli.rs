//! The command line: what can be said, and which part of the program answers it.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::config::Overrides;
use crate::telemetry::LogFormat;

/// Turns the trace lines that Modal functions print into stored spans, and says why an execution
/// failed.
///
/// Without a command it collects: `modal app logs APP -f | beacon-collector`.
#[derive(Debug, Parser)]
#[command(version, about, args_conflicts_with_subcommands = true)]
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
pub struct CommonArguments {
    /// Database: sqlite:PATH or postgres://…  [default: SQLite in the state directory]
    #[arg(
        long,
        global = true,
        env = "DATABASE_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub database: Option<String>,
    /// Configuration file (TOML); flags and environment variables win over it
    #[arg(long, global = true, env = "BEACON_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Form of the program's own log on stderr
    #[arg(long, global = true, env = "BEACON_LOG_FORMAT", value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
}

/// How to collect.
#[derive(Debug, Clone, Default, Args)]
pub struct RunArguments {
    /// Where lines come from: stdin. Repeatable. [default: stdin when it is not a terminal]
    #[arg(long = "source", value_name = "SPEC")]
    pub sources: Vec<String>,
    /// Address to serve on, or none  [default: 127.0.0.1:7410]
    #[arg(long, env = "BEACON_LISTEN", value_name = "ADDR")]
    pub listen: Option<String>,
    /// Go on serving after standard input has ended
    #[arg(long)]
    pub keep_serving: bool,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Collect and serve (what happens without a command)
    Run(RunArguments),
    /// Draw a trace: its spans in time, as a waterfall
    Trace {
        /// A trace id, a unique beginning of one, or the id out of a log line
        id: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Create or complete the database schema
    Migrate,
}

/// Reads the command line; ends the process with 2 when it is wrong.
pub fn parse() -> Arguments {
    Arguments::parse()
}

impl Arguments {
    /// The settings that win over the configuration file.
    pub fn overrides(&self) -> Overrides {
        let run = match &self.command {
            Some(Command::Run(run)) => run,
            _ => &self.run,
        };
        Overrides {
            database: self.common.database.clone(),
            listen: run.listen.clone(),
            sources: run.sources.clone(),
            log_format: self.common.log_format,
        }
    }
}
