//! Which executions and spans a question is about, and how its answer is printed.

use clap::Args;

/// A question about one execution.
#[derive(Debug, Clone, Args)]
pub struct ByExecution {
    /// executions.id
    #[arg(allow_negative_numbers = true)]
    pub execution_id: String,
    /// How the answer is printed
    #[command(flatten)]
    pub output: OutputArguments,
}

/// Which executions a question is about.
#[derive(Debug, Clone, Args)]
pub struct SelectionArguments {
    /// Only this model
    #[arg(long, value_name = "MODEL")]
    pub model_id: Option<String>,
    /// Only this region, as the runner spells it
    #[arg(long)]
    pub region: Option<String>,
    /// RFC 3339, now-1h, or an age such as 7d
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
}

/// Which spans are searched for.
#[derive(Debug, Clone, Args)]
pub struct SearchArguments {
    /// From when: RFC 3339, now-1h, or an age such as 7d  [default: 24h before --until]
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Until when, in the same forms  [default: now]
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// runner, router, modal, backend
    #[arg(long)]
    pub service: Option<String>,
    /// started, completed, failed, timeout
    #[arg(long)]
    pub status: Option<String>,
    /// Only this model
    #[arg(long, value_name = "MODEL")]
    pub model_id: Option<String>,
    /// Only this region, as the span's writer spells it
    #[arg(long)]
    pub region: Option<String>,
    /// Only this job
    #[arg(long, value_name = "JOB")]
    pub job_id: Option<String>,
    /// Only spans at least so long, in milliseconds
    #[arg(long, value_name = "MS")]
    pub min_duration_ms: Option<String>,
    /// Part of the error, the operation or the log id
    #[arg(long)]
    pub text: Option<String>,
    /// Spans listed: 1 to 200  [default: 20]
    #[arg(long)]
    pub limit: Option<String>,
    /// How the answer is printed
    #[command(flatten)]
    pub output: OutputArguments,
}

/// How an answer is printed.
#[derive(Debug, Clone, Args)]
pub struct OutputArguments {
    /// Print JSON, the same that MCP and REST answer
    #[arg(long)]
    pub json: bool,
    /// Goes on where an earlier JSON answer was cut
    #[arg(long)]
    pub cursor: Option<String>,
}
