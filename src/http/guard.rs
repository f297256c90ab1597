//! What stands before every route: the names a request may come under, who sends it, how much and how
//! long.
//!
//! A web page anywhere can make a browser send requests to this machine; it can't make it lie about
//! Host and Origin. A Host that is an address needs no list, because rebinding takes a name.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{Extension, MatchedPath, Request, State};
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, HOST, ORIGIN, RETRY_AFTER, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::uri::{Authority, Uri};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use tokio::sync::Semaphore;

use super::Access;
use super::api::refusal;
use super::metrics::Meters;
use crate::mcp::Caller;

/// Requests answered at once.
const AT_ONCE: usize = 256;
/// Largest question.
const QUESTION_BODY: usize = 1024 * 1024;
/// Largest push, compressed.
pub(super) const PUSH_BODY: usize = 16 * 1024 * 1024;
/// How long a client may take to send a body.
const BODY_LIMIT: Duration = Duration::from_secs(20);
/// How long an answer may take; questions to the database end sooner.
const ANSWER_LIMIT: Duration = Duration::from_secs(40);

/// The other end of the connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) SocketAddr);

/// Decides who may pass.
#[derive(Debug)]
pub(super) struct Guard {
    access: Access,
    places: Semaphore,
    meters: Arc<Meters>,
}

impl Guard {
    pub(super) fn new(access: Access, meters: Arc<Meters>) -> Self {
        Self {
            access,
            meters,
            places: Semaphore::new(AT_ONCE),
        }
    }

    /// Who sends the request, or the answer that refuses it.
    fn admit(&self, peer: SocketAddr, request: &Request) -> Result<Caller, Box<Response>> {
        let refuse = |status, why: &str| Err(Box::new(refusal(status, why)));
        if !self.is_named_right(request.uri(), request.headers()) {
            return refuse(
                StatusCode::FORBIDDEN,
                "this Host or Origin is not allowed; add it to allowed_hosts in section [http] of the configuration",
            );
        }
        let tokens = &self.access.tokens;
        let named = bearer(request.headers()).and_then(|token| tokens.name_of(token));
        let open = matches!(request.uri().path(), "/healthz" | "/readyz");
        if tokens.are_wanted() && named.is_none() && !open {
            let mut answer = refusal(
                StatusCode::UNAUTHORIZED,
                "a bearer token is needed: Authorization: Bearer …",
            );
            let scheme = HeaderValue::from_static("Bearer realm=\"beacon-collector\"");
            answer.headers_mut().insert(WWW_AUTHENTICATE, scheme);
            return Err(Box::new(answer));
        }
        let caller = named.unwrap_or_else(|| peer.ip().to_string().into());
        // Somebody on this machine can slow it down in easier ways.
        let local = peer.ip().to_canonical().is_loopback();
        if !local && !self.access.rate.allows(&caller, Instant::now()) {
            let mut answer = refusal(StatusCode::TOO_MANY_REQUESTS, "too many requests");
            answer
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from_static("1"));
            return Err(Box::new(answer));
        }
        Ok(Caller(caller))
    }

    fn is_named_right(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        let mut hosts = headers.get_all(HOST).iter();
        let host = match (hosts.next(), hosts.next()) {
            (Some(host), None) => host.to_str().ok(),
            (None, _) => uri.authority().map(Authority::as_str),
            // Two of them are made to be read differently by two readers.
            (Some(_), Some(_)) => None,
        };
        let host = host.and_then(|host| host.parse::<Authority>().ok());
        let Some(host) = host else { return false };
        // A user part has no place in a Host; readers differ on what comes behind it.
        if host.as_str().contains('@') || !self.is_own_host(host.host(), true) {
            return false;
        }
        let mut origins = headers.get_all(ORIGIN).iter();
        origins.all(|origin| {
            let origin = origin
                .to_str()
                .ok()
                .and_then(|text| text.parse::<Uri>().ok());
            let authority = origin.as_ref().and_then(Uri::authority);
            authority.is_some_and(|origin| {
                origin.as_str().eq_ignore_ascii_case(host.as_str())
                    || self.is_own_host(origin.host(), false)
            })
        })
    }

    /// Whether a name is one of this host's. An address is good as a Host; as an Origin only the
    /// loopback one is, since others may be anybody's.
    fn is_own_host(&self, host: &str, any_address: bool) -> bool {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = bare.parse::<IpAddr>() {
            return any_address || address.to_canonical().is_loopback();
        }
        let mut names = self.access.allowed_hosts.iter();
        host.eq_ignore_ascii_case("localhost") || names.any(|name| name.eq_ignore_ascii_case(host))
    }
}

/// Counts a request, and lets it pass to its route or refuses it.
pub(super) async fn check(
    State(guard): State<Arc<Guard>>,
    Extension(Peer(peer)): Extension<Peer>,
    request: Request,
    next: Next,
) -> Response {
    let began = Instant::now();
    let _in_flight = guard.meters.begin();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let answer = pass(&guard, peer, request, next).await;
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    guard.meters.enter(route, answer.status(), began.elapsed());
    answer
}

async fn pass(guard: &Guard, peer: SocketAddr, mut request: Request, next: Next) -> Response {
    let caller = match guard.admit(peer, &request) {
        Ok(caller) => caller,
        Err(refused) => return *refused,
    };
    let Ok(_place) = guard.places.try_acquire() else {
        let mut answer = refusal(StatusCode::SERVICE_UNAVAILABLE, "too many requests at once");
        answer
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from_static("1"));
        return answer;
    };
    request.extensions_mut().insert(caller);
    let request = match with_whole_body(request).await {
        Ok(request) => request,
        Err(refused) => return *refused,
    };
    let mut answer = match tokio::time::timeout(ANSWER_LIMIT, next.run(request)).await {
        Ok(answer) => answer,
        Err(_) => refusal(StatusCode::GATEWAY_TIMEOUT, "no answer in time"),
    };
    let headers = answer.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    answer
}

/// Reads the body within its size and time, so that no route waits on a slow client.
async fn with_whole_body(request: Request) -> Result<Request, Box<Response>> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path();
    let push = path.starts_with("/api/v1/ingest/") || matches!(path, "/v1/logs" | "/v1/traces");
    let limit = if push { PUSH_BODY } else { QUESTION_BODY };
    let read = tokio::time::timeout(BODY_LIMIT, axum::body::to_bytes(body, limit));
    match read.await {
        Ok(Ok(bytes)) => Ok(Request::from_parts(parts, Body::from(bytes))),
        Ok(Err(_)) => Err(Box::new(refusal(
            StatusCode::PAYLOAD_TOO_LARGE,
            &format!("the body is broken off or larger than {limit} bytes"),
        ))),
        Err(_) => Err(Box::new(refusal(
            StatusCode::REQUEST_TIMEOUT,
            "the body came too slowly",
        ))),
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Rate, Tokens};

    fn guard(allowed: &[&str]) -> Guard {
        let access = Access {
            tokens: Arc::new(Tokens::default()),
            allowed_hosts: allowed.iter().map(|name| (*name).to_owned()).collect(),
            rate: Arc::new(Rate::new(10)),
        };
        Guard::new(access, Arc::new(Meters::new()))
    }

    fn passes(guard: &Guard, host: &str, origin: Option<&str>) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(ORIGIN, origin.parse().unwrap());
        }
        guard.is_named_right(&Uri::from_static("/mcp"), &headers)
    }

    #[test]
    fn only_own_names_and_addresses_pass_as_host() {
        let guard = guard(&["collector.internal"]);
        for host in [
            "localhost:7410",
            "127.0.0.1:7410",
            "[::1]:7410",
            "10.0.0.7",
            "Collector.Internal:80",
        ] {
            assert!(passes(&guard, host, None), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:7410",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "evil.example@127.0.0.1:7410",
        ] {
            assert!(!passes(&guard, host, None), "{host}");
        }
    }

    #[test]
    fn only_own_pages_pass_as_origin() {
        let guard = guard(&["collector.internal"]);
        for origin in [
            "http://localhost:3000",
            "http://127.0.0.1:7410",
            "https://collector.internal",
        ] {
            assert!(passes(&guard, "localhost:7410", Some(origin)), "{origin}");
        }
        for origin in [
            "https://evil.example",
            "http://10.0.0.7",
            "null",
            "http://localhost.evil.example",
        ] {
            assert!(!passes(&guard, "localhost:7410", Some(origin)), "{origin}");
        }
        assert!(passes(
            &guard,
            "10.0.0.7:7410",
            Some("http://10.0.0.7:7410")
        ));
    }
}
