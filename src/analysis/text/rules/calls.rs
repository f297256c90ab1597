//! What callers say: that nobody could be reached, nobody was there, nobody answered, the answer was
//! no good, or somebody called it off.
#![cfg_attr(rustfmt, rustfmt_skip)]

use super::{Rule, rule};
use crate::analysis::text::Class::{
    Answered, BadAnswer, BadSetup, Cancelled, Connection, Endpoint, NoProvider, Timeout,
};

pub(super) const RULES: &[Rule] = &[
    // Reaching somebody.
    rule(Connection, 0.8, &[&[
        "connection refused", "connect refused", "econnrefused", "no route", "unreachable", "no such host", "name resol",
        "name or service", "getaddrinfo", "dns", "nxdomain", "lookup ", "reset by peer", "connection reset", "econnreset",
        "broken pipe", "tls", "ssl", "x509", "certificate", "handshake", "dial ", "cannot connect", "could not connect",
        "couldn t connect", "failed to connect", "connect error", "connection error", "connection closed",
        "connection aborted", "disconnect", "errno 111 ", "errno 113 ", "zero addresses", "socket", "proxy", "network",
    ]]),
    rule(Endpoint, 0.6, &[&[
        "404 ", "405 ", "410 ", "402 ", "501 ", "502 ", "not found", "gone ", "unimplemented", "invalid function",
        "no such function", "no such app", "app ", "stopped", "deleted", "disabled", "billing", "payment", "not deployed",
        "endpoint", "bad gateway", "deployment", "workspace", "suspended",
    ]]),
    rule(NoProvider, 0.6, &[
        &["no ", "all ", "every", "zero", "none", "0 of", "empty", "any "],
        &["provider", "upstream", "backend", "endpoint", "target", "candidate", "replica", "worker", "pool", "region"],
    ]),
    rule(NoProvider, 0.6, &[&["healthy", "unhealthy", "circuit", "marked down", "no capacity", "no live", "503 "]]),
    rule(Answered, 0.7, &[&[
        "returned an error", "returned error", "returned status", "status code", "http 4", "http 5", "400 ", "404 ", "422 ",
        "429 ", "500 ", "502 ", "503 ", "504 ", "responded", "replied", "answered", "router error", "router said",
    ]]),
    // Giving up.
    rule(Timeout, 0.8, &[&[
        "timeout", "timed out", "timedout", "time out", "deadline", "too long", "504 ", "408 ", "524 ", "no response",
        "giving up", "gave up", "time limit", "not respond", "did not answer", "budget",
    ]]),
    rule(Cancelled, 0.8, &[&[
        "cancel", "abort", "interrupt", "sigint", "sigterm", "shutting down", "shutdown", "terminat", "supersed",
        "stopped by", "revoked", "client closed", "499 ", "preempt", "withdrawn", "context done", "obsolete",
    ]]),
    // The answer, and the caller itself.
    rule(BadAnswer, 0.6, &[&[
        "unmarshal", "invalid character", "json", "parse", "decod", "schema", "validat", "unexpected token",
        "empty response", "empty answer", "empty body", "content type", "signature", "checksum", "missing field",
        "required", "too short", "shorter", "malformed", "mismatch", "reject", "unexpected response", "deserial",
    ]]),
    rule(BadSetup, 0.6, &[&[
        "nil pointer", "nil map", "null pointer", "memory address", "executor", "not configured", "not registered",
        "not set", "unset", "config", "environment variable", "undefined", "uninitiali", "not initiali", "is nil",
        "panic", "no handler", "missing", "misconfigur",
    ]]),
];
