//! The MCP server as a command, and the configuration of its clients.

use std::path::PathBuf;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::cli::ClientName;
use crate::config::{Config, first_line, has_password};
use crate::mcp::{Bridge, Client, Server, Way, serve_stdio, snippet};
use crate::query::Query;
use crate::render;
use crate::store::Opening;

/// Serves on standard input and output, from the database or from a daemon.
pub(super) async fn serve(
    config: &Config,
    url: Option<String>,
    token_file: Option<PathBuf>,
) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    let told = stop.clone();
    tokio::spawn(async move {
        // Without signals the end of standard input is still an end.
        drop(super::told_to_stop().await);
        told.cancel();
    });
    if let Some(url) = url {
        let token = match token_file {
            Some(path) => Some(first_line("the token", &path)?.unwrap_or_default()),
            None => std::env::var("BEACON_TOKEN").ok(),
        };
        return Ok(Bridge::new(&url, token.as_deref())?.run(stop).await?);
    }
    let store = super::open(config, Opening::default()).await?;
    let server = Server::new(Query::new(Arc::clone(&store)), "stdio");
    let served = serve_stdio(server, stop).await;
    store.close().await;
    served
}

/// Prints the configuration on stdout, and on stderr where it belongs.
pub(super) fn print_config(
    config: &Config,
    client: ClientName,
    url: Option<&str>,
    token: bool,
) -> anyhow::Result<()> {
    let client = match client {
        ClientName::Windsurf => Client::Windsurf,
        ClientName::Claude => Client::Claude,
        ClientName::ClaudeDesktop => Client::ClaudeDesktop,
        ClientName::Cursor => Client::Cursor,
        ClientName::Vscode => Client::Vscode,
    };
    let program = std::env::current_exe()?.to_string_lossy().into_owned();
    let url = url.map(|url| format!("{}/mcp", url.trim_end_matches('/').trim_end_matches("/mcp")));
    let (way, secret) = match url {
        Some(url) => {
            let token = token || !is_local(&url);
            let secret = token.then_some("BEACON_TOKEN");
            (
                Way::Daemon {
                    url,
                    program,
                    token,
                },
                secret,
            )
        }
        None => {
            // The client starts the command in a folder and an environment of its own.
            let password = has_password(&config.database);
            let database = (!password).then(|| config.database.clone());
            let secret = password.then_some("DATABASE_URL");
            (Way::Command { program, database }, secret)
        }
    };
    eprintln!("for {}:", client.file());
    if let Some(name) = secret {
        eprintln!("{}", client.how_to_give(name));
    }
    let value = snippet(client, &way);
    Ok(render::print(&format!("{value:#}\n"))?)
}

fn is_local(url: &str) -> bool {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest);
    ["127.", "localhost", "[::1]"]
        .iter()
        .any(|local| host.starts_with(local))
}
