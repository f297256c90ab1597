//! Owns the running of fixtures and the printing of records for snapshots.
//! Refuses expectations, but for the one that chunking changes nothing.
//! Invariant: a printed record shows everything that a reader of it could use.

use std::fmt::Write as _;

use beacon_parsers::{Body, Counts, Decoder, Envelope, Phase, Record, Value};

/// Decodes a fixture whole and byte by byte, and prints its records.
pub(crate) fn decode(log: &str) -> String {
    let (records, _) = decode_bytes(log.as_bytes());
    records.join("\n")
}

/// The same for bytes; gives the counts too.
pub(crate) fn decode_bytes(log: &[u8]) -> (Vec<String>, Counts) {
    let whole = run(log.chunks(log.len().max(1)));
    let single = run(log.chunks(1));
    assert_eq!(whole, single, "chunking changed the result");
    whole
}

fn run<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> (Vec<String>, Counts) {
    let mut decoder = Decoder::new();
    let mut records = Vec::new();
    for chunk in chunks {
        decoder.push(chunk, &mut |record| records.push(print(&record)));
    }
    decoder.finish(&mut |record| records.push(print(&record)));
    assert_eq!(
        decoder.resume_offset(),
        decoder.counts().bytes,
        "something was held back"
    );
    (records, *decoder.counts())
}

/// One record on one line (a traceback on several).
pub(crate) fn print(record: &Record<'_>) -> String {
    let mut out = envelope(record.envelope);
    match &record.body {
        Body::Trace(line) => {
            let phase = match &line.phase {
                Phase::Started { name } => format!("started<{name}>"),
                Phase::Step { text } => format!("step<{text}>"),
                phase => format!("{phase:?}"),
            };
            let _ = write!(out, "{} {phase}", line.id);
            for (key, value) in line.fields.iter() {
                let _ = write!(out, " {key}={}", print_value(value));
            }
        }
        Body::Traceback(traceback) => {
            let _ = write!(
                out,
                "traceback {:?} {:?}{}\n{}",
                traceback.error_type,
                traceback.error_message,
                if traceback.truncated {
                    " truncated"
                } else {
                    ""
                },
                traceback.text
            );
        }
    }
    out
}

fn envelope(envelope: &Envelope<'_>) -> String {
    let mut out = String::new();
    if let Some(time) = envelope.timestamp {
        let _ = write!(out, "{}/{:?} ", time.unix_micros, time.precision);
    }
    let ids = [
        &envelope.function_id,
        &envelope.function_call_id,
        &envelope.container_id,
    ];
    for id in ids.into_iter().flatten() {
        let _ = write!(out, "{id} ");
    }
    if let Some(stream) = envelope.stream {
        let _ = write!(out, "{stream:?} ");
    }
    if let Some(severity) = envelope.severity {
        let _ = write!(out, "{severity:?} ");
    }
    out
}

fn print_value(value: &Value<'_>) -> String {
    match value {
        Value::Text(text) => format!("{text:?}"),
        Value::Int(n) => n.to_string(),
        Value::Float(n) => format!("{n:?}"),
        Value::Bool(b) => b.to_string(),
        Value::None => "None".to_owned(),
        Value::Duration { micros, .. } => format!("{micros}µs"),
    }
}
