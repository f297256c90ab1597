//! The server on standard input and output, for clients that start a command. Nothing but protocol goes
//! to stdout.

use rmcp::service::{ServerInitializeError, ServiceExt};
use rmcp::transport::stdio_pipes;
use tokio_util::sync::CancellationToken;

use super::Server;

/// Serves until the client closes standard input, or `stop`.
pub async fn serve_stdio(server: Server, stop: CancellationToken) -> anyhow::Result<()> {
    let running = match server.serve_with_ct(stdio_pipes(), stop).await {
        Ok(running) => running,
        // A client that only looked whether there is somebody.
        Err(ServerInitializeError::ConnectionClosed(_) | ServerInitializeError::Cancelled) => {
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    running.waiting().await?;
    Ok(())
}
