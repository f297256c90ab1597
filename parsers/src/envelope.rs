//! Owns what a line is wrapped in: the prefixes of Modal, docker, Kubernetes, journald, syslog,
//! fly.io and railway, and JSON objects.
//! Refuses to fail: a line without a known envelope is its own message.
//! Invariant: an inner envelope's ids and time win over the outer one's.

mod json;
mod modal;
mod prefix;

use std::borrow::Cow;

use serde::Serialize;

use crate::record::Envelope;

pub(crate) use modal::{Prefix, find_second, modal_prefix};

/// Which known form an envelope has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// Nothing known stands before the message.
    Bare,
    /// Modal's `--timestamps` form, or any of its ids.
    Modal,
    /// A time with zone and nothing else (`docker logs --timestamps`, railway).
    Timestamp,
    /// Kubernetes' container runtime interface: time, stream, `F` or `P`.
    Kubernetes,
    /// syslog (RFC 3164 and 5424) and the journal's short forms.
    Syslog,
    /// fly.io: time, `app[machine]`, region, `[level]`.
    Fly,
    /// docker compose: `service-1  | `.
    Compose,
    /// A JSON object per line.
    Json,
}

/// A message and what it was wrapped in.
#[derive(Debug)]
pub(crate) struct Opened<'a> {
    pub(crate) envelope: Envelope<'a>,
    pub(crate) message: Cow<'a, str>,
    pub(crate) form: Form,
}

/// Wrappings around wrappings (docker's JSON around a Modal prefix) end somewhere.
const LAYERS_MAX: usize = 4;

/// Takes a cleaned line out of its envelope.
pub(crate) fn open(line: &str) -> Opened<'_> {
    open_layers(line, LAYERS_MAX)
}

fn open_layers(line: &str, layers: usize) -> Opened<'_> {
    let line = line.trim_start_matches('\u{feff}');
    if let Some(Prefix { envelope, rest }) = modal_prefix(line) {
        return Opened {
            envelope,
            message: Cow::Borrowed(rest),
            form: Form::Modal,
        };
    }
    let opened = match layers {
        0 => None,
        _ if line.trim_start().starts_with('{') => json::open(line),
        _ => prefix::open(line),
    };
    let Some(outer) = opened else {
        return Opened {
            envelope: Envelope::default(),
            message: Cow::Borrowed(line),
            form: Form::Bare,
        };
    };
    match outer.message {
        Cow::Borrowed(message) => {
            let inner = open_layers(message, layers - 1);
            let form = if inner.form == Form::Bare {
                outer.form
            } else {
                inner.form
            };
            let form = if outer.form == Form::Json {
                Form::Json
            } else {
                form
            };
            let envelope = nest(outer.envelope, inner.envelope);
            Opened {
                envelope,
                message: inner.message,
                form,
            }
        }
        Cow::Owned(message) => {
            let inner = open_layers(&message, layers - 1);
            let envelope = nest(outer.envelope, inner.envelope.into_owned());
            let message = Cow::Owned(inner.message.into_owned());
            Opened {
                envelope,
                message,
                form: outer.form,
            }
        }
    }
}

fn nest<'a>(outer: Envelope<'a>, inner: Envelope<'a>) -> Envelope<'a> {
    // The finer time is the better one: Modal's prefix is cut to the second.
    let timestamp = match (outer.timestamp, inner.timestamp) {
        (Some(outer), Some(inner)) if same_second(outer, inner) => {
            Some(if outer.precision > inner.precision {
                outer
            } else {
                inner
            })
        }
        (outer, inner) => inner.or(outer),
    };
    Envelope {
        timestamp,
        function_id: inner.function_id.or(outer.function_id),
        function_call_id: inner.function_call_id.or(outer.function_call_id),
        container_id: inner.container_id.or(outer.container_id),
        stream: inner.stream.or(outer.stream),
        severity: inner.severity.or(outer.severity),
    }
}

fn same_second(a: crate::record::Timestamp, b: crate::record::Timestamp) -> bool {
    a.unix_micros.div_euclid(1_000_000) == b.unix_micros.div_euclid(1_000_000)
}
