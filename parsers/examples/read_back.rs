//! Owns a view of the decoder for tests in other languages: logs on stdin, one JSON object for each
//! record on stdout. A line with nothing but a record separator (U+001E) ends a log: what it held is answered
//! at once, with an empty line behind it, and the next log begins.
//! Refuses to choose: every record is printed, with the type of each field's value.
//! Invariant: what is printed is what the decoder found, nothing more.

use std::io::{self, BufRead, Write};

use beacon_parsers::{Body, Decoder, Phase, Record, Value};
use serde_json::{Value as Json, json};

const END_OF_LOG: &[u8] = b"\x1e\n";

fn main() -> io::Result<()> {
    let (mut input, mut out) = (io::stdin().lock(), io::stdout().lock());
    let (mut log, mut line) = (Vec::new(), Vec::new());
    while input.read_until(b'\n', &mut line)? > 0 {
        if line == END_OF_LOG {
            answer(&log, &mut out)?;
            out.write_all(b"\n")?;
            out.flush()?;
            log.clear();
        } else {
            log.append(&mut line);
        }
        line.clear();
    }
    answer(&log, &mut out)
}

fn answer(log: &[u8], out: &mut impl Write) -> io::Result<()> {
    let mut lines = Vec::new();
    let mut keep = |record: Record<'_>| lines.push(describe(&record));
    let mut decoder = Decoder::new();
    decoder.push(log, &mut keep);
    decoder.finish(&mut keep);
    lines.iter().try_for_each(|line| writeln!(out, "{line}"))
}

fn describe(record: &Record<'_>) -> Json {
    let line = match &record.body {
        Body::Trace(line) => line,
        Body::Traceback(traceback) => return json!({"phase": "traceback", "text": traceback.text}),
    };
    let (phase, text) = match &line.phase {
        Phase::Started { name } => ("started", Some(name)),
        Phase::Step { text } => ("step", Some(text)),
        Phase::Succeeded => ("succeeded", None),
        Phase::Failed => ("failed", None),
        Phase::TimedOut => ("timed_out", None),
    };
    let fields: Vec<Json> = line
        .fields
        .iter()
        .map(|(key, value)| field(key, value))
        .collect();
    let error = line
        .error()
        .map(|(kind, message)| json!({"type": kind, "message": message}));
    json!({"id": line.id, "phase": phase, "text": text, "fields": fields, "error": error})
}

fn field(key: &str, value: &Value<'_>) -> Json {
    let (kind, value) = match value {
        Value::Text(text) => ("text", json!(text)),
        Value::Int(number) => ("int", json!(number)),
        Value::Float(number) => ("float", json!(number)),
        Value::Bool(flag) => ("bool", json!(flag)),
        Value::None => ("none", Json::Null),
        Value::Duration { micros, .. } => ("duration", json!(micros)),
    };
    json!({"key": key, "type": kind, "value": value})
}
