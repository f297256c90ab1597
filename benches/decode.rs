//! Owns the measurement of decoding speed, on one core.
//! Refuses toy input: the lines are those that Modal functions and the CLI print, ids in full length.
//! Invariant: every record is read as its consumer would read it, fields included.

use beacon_parsers::{Body, Decoder};
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};

const LINES: usize = 300_000;
/// What one read from a pipe or a file gives.
const CHUNK: usize = 64 * 1024;

const NOISE: [&str; 10] = [
    "[PRELOAD] Starting preload of 3 models...",
    "[PRELOAD] ✓ llama3.2-1b loaded successfully",
    "[INFERENCE] Using preloaded mistral-7b",
    "[CHAT] Applied chat template: 2 messages",
    "[HF] Token present: True",
    "Loading cached model from /models/qwen2.5-1.5b",
    "[DEBUG] Extracted response: 'Beijing 1989 — 天安门, naïve café, 100 % = ok, key=value'",
    "`torch_dtype` is deprecated! Use `dtype` instead!",
    "Loading checkpoint shards:  50%|█████     | 1/2 [00:03<00:03,  3.41s/it]\r 100%|██████████| 2/2",
    "Runner scaled to 2 containers",
];

fn main() {
    divan::main();
}

/// Lines with short prefixes, and with the ids that Modal really prints.
#[derive(Debug, Clone, Copy)]
enum Prefix {
    Short,
    Full,
}

fn log(prefix: Prefix, trace_lines: bool) -> Vec<u8> {
    let mut log = String::new();
    for n in 0..LINES {
        let second = n / 1000 % 60;
        let source = n / 7 % 12;
        log.push_str(&match prefix {
            Prefix::Short => format!("2026-11-23 12:00:{second:02}+00:00 "),
            Prefix::Full => format!(
                "2026-11-23 12:00:{second:02}+00:00 fc-01KARCSEDXHDQQH1P0ZNR1{source:04} ta-01KA8N1K291JXSYSVDMCB7{source:04} "
            ),
        });
        if trace_lines && n % 3 == 0 {
            log.push_str(&trace_line(n));
        } else {
            log.push_str(NOISE.get(n % NOISE.len()).unwrap_or(&""));
        }
        log.push('\n');
    }
    log.into_bytes()
}

fn trace_line(n: usize) -> String {
    let (id, tenth) = (n.wrapping_mul(2_654_435_761) % 0xffff_ffff, n % 90);
    match n / 3 % 20 {
        0 => format!(
            "🔍 TRACE[{id:08x}]: FAILED - error=OSError: You are trying to access a gated repo. 401 Client Error, duration=2.{tenth:02}s"
        ),
        1 => format!("🔍 TRACE[{id:08x}]: Model validated - model=llama3.2-1b"),
        n if n % 2 == 0 => format!(
            "🔍 TRACE[{id:08x}]: Modal inference started - model=llama3.2-1b, region=us-east"
        ),
        _ => format!("🔍 TRACE[{id:08x}]: SUCCESS - duration=2.{tenth:02}s, tokens=156"),
    }
}

/// Touches what a consumer reads.
fn decode(log: &[u8]) -> (u64, u64) {
    let mut decoder = Decoder::new();
    let mut fields = 0;
    let mut sink = |record: beacon_parsers::Record<'_>| {
        if let Body::Trace(line) = &record.body {
            fields += line
                .fields
                .iter()
                .filter(|(key, _)| !key.is_empty())
                .count() as u64;
            fields += u64::from(line.reported_duration_micros().is_some());
        }
    };
    for chunk in log.chunks(CHUNK) {
        decoder.push(chunk, &mut sink);
    }
    decoder.finish(&mut sink);
    (decoder.counts().trace_lines, fields)
}

fn measure(bencher: Bencher<'_, '_>, log: &[u8]) {
    let lines = log
        .iter()
        .filter(|byte| matches!(byte, b'\n' | b'\r'))
        .count();
    bencher
        .counter(BytesCount::of_slice(log))
        .counter(ItemsCount::new(lines))
        .bench(|| decode(log));
}

#[divan::bench(args = [Prefix::Short, Prefix::Full])]
fn a_third_are_trace_lines(bencher: Bencher<'_, '_>, prefix: Prefix) {
    measure(bencher, &log(prefix, true));
}

#[divan::bench(args = [Prefix::Short, Prefix::Full])]
fn noise_alone(bencher: Bencher<'_, '_>, prefix: Prefix) {
    measure(bencher, &log(prefix, false));
}
