//! Commands that neither collect nor answer a question: the schema, linking history, and how a line is
//! read.

use std::io::Read as _;

use chrono::Utc;
use indicatif::{ProgressBar, ProgressStyle};

use super::open;
use crate::config::Config;
use crate::model::Regions;
use crate::pipeline::Linker;
use crate::query::parse_time;
use crate::store::Opening;
use crate::{render, store};

/// Longest input of `explain-line`: the longest line that the collector keeps.
const MAX_LINE: u64 = 256 * 1024;

/// Creates or completes the schema, or prints what that takes.
pub(super) async fn migrate(
    config: &Config,
    dry_run: bool,
    print_grants: bool,
) -> anyhow::Result<()> {
    if print_grants {
        return Ok(render::print(&store::grants_sql(config.retention.is_on()))?);
    }
    if dry_run {
        return Ok(render::print(&store::migration_sql(&config.database)?)?);
    }
    open(config, Opening::BRIEF).await?.close().await;
    Ok(render::print("the schema is complete\n")?)
}

/// Completes the schema and spreads its tables over the machines of a Citus cluster, or prints what the
/// latter takes.
pub(super) async fn distribute(config: &Config, dry_run: bool) -> anyhow::Result<()> {
    if !dry_run {
        open(config, Opening::BRIEF).await?.close().await;
    }
    // An error: nobody reads it, and the statements run all the same.
    let say = |statement: &str| drop(render::print(&format!("{statement};\n")));
    store::distribute(&config.database, dry_run, say).await?;
    if dry_run {
        return Ok(());
    }
    Ok(render::print("trace_spans is distributed by trace_id\n")?)
}

/// Links everything since a time, showing how far it has come.
pub(super) async fn link(config: &Config, since: &str, json: bool) -> anyhow::Result<()> {
    let now = Utc::now();
    let from = parse_time("since", since, now)?;
    let store = open(config, Opening::default()).await?;
    let linker = Linker::new(std::sync::Arc::clone(&store), Regions::default());
    let seconds = u64::try_from((now - from).num_seconds()).unwrap_or(0);
    let bar = ProgressBar::new(seconds);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {percent}% {msg}") {
        bar.set_style(style);
    }
    let summary = linker
        .link_window(from, now, |reached, so_far| {
            bar.set_position(u64::try_from((reached - from).num_seconds()).unwrap_or(0));
            bar.set_message(format!("{} linked", so_far.linked));
        })
        .await?;
    bar.finish_and_clear();
    store.close().await;
    let text = if json {
        serde_json::to_string(&summary)? + "\n"
    } else {
        format!(
            "looked at {} printed spans: {summary}; {} traces joined to their executions\n",
            summary.seen, summary.executions
        )
    };
    Ok(render::print(&text)?)
}

/// Says how a line is read.
pub(super) fn explain_line(line: Option<String>, json: bool) -> anyhow::Result<()> {
    let line = match line {
        Some(line) => line.into_bytes(),
        None => {
            let mut bytes = Vec::new();
            std::io::stdin()
                .lock()
                .take(MAX_LINE)
                .read_to_end(&mut bytes)?;
            bytes
        }
    };
    let explanation = beacon_parsers::explain(line.trim_ascii_end());
    let text = if json {
        serde_json::to_string(&explanation)?
    } else {
        explanation.to_string()
    };
    Ok(render::print(&(text.trim_end().to_owned() + "\n"))?)
}
