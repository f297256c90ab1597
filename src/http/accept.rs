//! Connections: accepted up to a number, answered in HTTP/1.1, ended in two stages.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::guard::Peer;
use super::{CUT, DRAIN};

/// Connections at once: more wait in the listener's queue.
const MAX_CONNECTIONS: usize = 1_024;
/// How long a client may take to send a request's head, and stay idle between two.
const HEADER_LIMIT: Duration = Duration::from_secs(30);
/// Longest head of a request, with room for the line in hyper's own buffer.
const BUFFER: usize = 64 * 1024;
/// A wait before accepting again when the system is out of file descriptors.
const BREATH: Duration = Duration::from_millis(100);

/// Accepts until `stop`; `cut` is cancelled when calls in flight have had their time.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    stop: CancellationToken,
    cut: CancellationToken,
) {
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accepted => accepted,
            // Ended tasks are let go of as they end.
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            Ok((stream, peer)) => {
                let connection = graceful.watch(connect(stream, peer, &router));
                connections.spawn(async move {
                    // A client that breaks off is its own affair.
                    drop(connection.await);
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(BREATH).await;
            }
        }
    }
    drop(listener);
    if tokio::time::timeout(DRAIN, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!(
            open = connections.len(),
            "cutting connections that did not end"
        );
        cut.cancel();
        let end = async { while connections.join_next().await.is_some() {} };
        drop(tokio::time::timeout(CUT - DRAIN, end).await);
    }
    connections.shutdown().await;
}

fn connect(
    stream: TcpStream,
    peer: SocketAddr,
    router: &Router,
) -> http1::Connection<TokioIo<TcpStream>, TowerToHyperService<Router>> {
    // Answers go out at once: with Nagle's algorithm a keep-alive client waits 40 ms for each. That a
    // closed socket can't be set is found out when it is read.
    drop(stream.set_nodelay(true));
    let service = TowerToHyperService::new(router.clone().layer(Extension(Peer(peer))));
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_LIMIT)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), service)
}
