//! The HTTP server: questions over REST, MCP, pushed logs, health and a page, on one address.
//!
//! It decides who may ask and how much; what is answered is decided elsewhere. Invariants: no request
//! reaches a route unless its Host, Origin and token are right; every body, wait and number of requests
//! has a bound; a shutdown is over after [`CUT`], whatever clients do.

mod accept;
mod api;
mod guard;
mod health;
mod ingest;
mod metrics;
mod openapi;
mod page;
mod rate;
mod token;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use rate::Rate;
pub use token::{TokenError, TokenSource, Tokens};

use crate::mcp;
use crate::pipeline::Health;
use crate::query::Query;
use crate::source::Intake;

/// How long calls in flight may take to end once the server was told to stop.
const DRAIN: Duration = Duration::from_secs(5);
/// After this time every connection is cut.
pub const CUT: Duration = Duration::from_secs(6);

/// Who may ask, and how much.
#[derive(Debug, Clone)]
pub struct Access {
    /// Tokens, one of which every request has to bear; none are asked for when there are none.
    pub tokens: Arc<Tokens>,
    /// Names of this host beside the loopback ones and addresses.
    pub allowed_hosts: Vec<String>,
    /// How many requests each caller may send.
    pub rate: Arc<Rate>,
}

/// What the routes answer from.
#[derive(Debug, Clone)]
pub struct Parts {
    /// Questions to the database.
    pub query: Query,
    /// Takes in pushed logs, where this process collects.
    pub intake: Option<Intake>,
    /// State of the collecting, where this process does.
    pub health: Option<Health>,
}

/// Serves until `stop`, then ends in two stages: calls in flight may end, then everything is cut.
pub async fn serve(listener: TcpListener, parts: Parts, access: Access, stop: CancellationToken) {
    let cut = CancellationToken::new();
    let router = routes(parts, access, cut.clone());
    accept::serve(listener, router, stop, cut).await;
}

fn routes(parts: Parts, access: Access, cut: CancellationToken) -> Router {
    let server = mcp::Server::new(parts.query.clone(), "http");
    let meters = Arc::new(metrics::Meters::new());
    let guard = Arc::new(guard::Guard::new(access, Arc::clone(&meters)));
    let mut router = Router::new()
        .merge(api::routes())
        .merge(health::routes(meters))
        .merge(page::routes())
        .merge(openapi::routes());
    if parts.intake.is_some() {
        router = router.merge(ingest::routes());
    }
    router
        .with_state(Arc::new(parts))
        .route_service("/mcp", server.over_http(cut))
        .fallback(api::no_route)
        .layer(from_fn_with_state(guard, guard::check))
}
