//! The MCP server as a command, and the configuration of its clients.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::cli::ClientName;
use crate::config::Config;
use crate::mcp::{Bridge, Client, Server, serve_stdio, snippet};
use crate::query::Query;
use crate::render;

/// Serves on standard input and output, from the database or from a daemon.
pub(super) async fn serve(
    config: &Config,
    url: Option<String>,
    token: Option<String>,
) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    let told = stop.clone();
    tokio::spawn(async move {
        // Without signals the end of standard input is still an end.
        drop(super::told_to_stop().await);
        told.cancel();
    });
    if let Some(url) = url {
        return Ok(Bridge::new(&url, token.as_deref())?.run(stop).await?);
    }
    let store = super::open(config).await?;
    let server = Server::new(Query::new(Arc::clone(&store)), "stdio");
    let served = serve_stdio(server, stop).await;
    store.close().await;
    served
}

/// Prints the configuration on stdout, and on stderr where it belongs.
pub(super) fn print_config(client: ClientName, url: Option<&str>) -> anyhow::Result<()> {
    let client = match client {
        ClientName::Windsurf => Client::Windsurf,
        ClientName::Claude => Client::Claude,
        ClientName::Cursor => Client::Cursor,
        ClientName::Vscode => Client::Vscode,
    };
    let own = std::env::current_exe()?;
    let url = url.map(|url| format!("{}/mcp", url.trim_end_matches('/').trim_end_matches("/mcp")));
    let remote = url.as_deref().is_some_and(|url| !is_local(url));
    let value = snippet(client, url.as_deref(), &own.to_string_lossy(), remote);
    eprintln!("for {}:", client.file());
    Ok(render::print(&format!("{value:#}\n"))?)
}

fn is_local(url: &str) -> bool {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest);
    ["127.", "localhost", "[::1]"]
        .iter()
        .any(|local| host.starts_with(local))
}
