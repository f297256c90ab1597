//! Writes a log for load tests to stdout: spans interleaved on twelve containers, a third of the lines
//! trace lines, as `modal app logs` prints them. `make-log SPANS [FIRST [PER_SECOND]]`: the same numbers, the
//! same log. Unless told otherwise a thousand spans begin in a second, which no caller's span can be told
//! apart in; at ten and fewer a span lasts as long as its lines lie apart.

use std::io::Write as _;

const CONTAINERS: u64 = 12;
const MODELS: [&str; 3] = ["llama3.2-1b", "mistral-7b", "qwen2.5-1.5b"];
const REGIONS: [&str; 3] = ["us-east", "eu-west", "asia-pacific"];
const NOISE: [&str; 8] = [
    "[PRELOAD] ✓ llama3.2-1b loaded successfully",
    "[INFERENCE] Using preloaded mistral-7b",
    "[CHAT] Applied chat template: 2 messages",
    "[HF] Token present: True",
    "Loading cached model from /models/qwen2.5-1.5b",
    "[DEBUG] Extracted response: 'Beijing 1989 — 天安门, naïve café, 100 % = ok, key=value'",
    "`torch_dtype` is deprecated! Use `dtype` instead!",
    "[DEBUG] Full response: 'The three branches are legislative, executive and judicial.'",
];

fn main() -> std::io::Result<()> {
    let number = |at| {
        std::env::args()
            .nth(at)
            .and_then(|text| text.parse::<u64>().ok())
    };
    let (spans, first) = (number(1).unwrap_or(450_000), number(2).unwrap_or(0));
    let per_second = number(3).unwrap_or(1000).max(1);
    // In hundredths of a second, between the lines of a span.
    let apart = CONTAINERS * 100 / per_second;
    let mut out = std::io::BufWriter::with_capacity(1 << 20, std::io::stdout().lock());
    // A span of each container is open while the other containers' lines pass: starts run ahead of ends.
    for n in first..first + spans + CONTAINERS {
        if n < first + spans {
            let (model, region) = (pick(&MODELS, n), pick(&REGIONS, n / 3));
            line(
                &mut out,
                n / per_second,
                n,
                &format!("Modal inference started - model={model}, region={region}"),
            )?;
        }
        noise(&mut out, n / per_second, n)?;
        if n >= first + CONTAINERS {
            let done = n - CONTAINERS;
            let took = if apart > 100 {
                apart - done % 50
            } else {
                done % 700
            };
            let (whole, part) = (took / 100, took % 100);
            if done.is_multiple_of(16) {
                line(
                    &mut out,
                    n / per_second,
                    done,
                    &format!(
                        "FAILED - error=RuntimeError: step {done} gave nan, code=7, duration={whole}.{part:02}s"
                    ),
                )?;
            } else {
                line(
                    &mut out,
                    n / per_second,
                    done,
                    &format!(
                        "SUCCESS - duration={whole}.{part:02}s, tokens={}",
                        done % 500
                    ),
                )?;
            }
        }
    }
    out.flush()
}

/// A trace line of span `id`, printed in second `second`.
fn line(out: &mut impl std::io::Write, second: u64, id: u64, text: &str) -> std::io::Result<()> {
    prefix(out, second, id)?;
    // An odd factor makes distinct numbers distinct ids.
    let id = (id.wrapping_mul(2_654_435_761)) & 0xffff_ffff;
    writeln!(out, "🔍 TRACE[{id:08x}]: {text}")
}

/// Two lines of noise for each trace line.
fn noise(out: &mut impl std::io::Write, second: u64, at: u64) -> std::io::Result<()> {
    for extra in 0..4 + at % 2 {
        prefix(out, second, at + extra)?;
        writeln!(out, "{}", pick(&NOISE, at + extra))?;
    }
    Ok(())
}

fn prefix(out: &mut impl std::io::Write, second: u64, id: u64) -> std::io::Result<()> {
    let (day, hour, minute, second) = (
        1 + second / 86_400,
        second / 3600 % 24,
        second / 60 % 60,
        second % 60,
    );
    let container = id % CONTAINERS;
    write!(
        out,
        "2025-10-{day:02} {hour:02}:{minute:02}:{second:02}+00:00 fc-01KARCSEDXHDQQH1P0{id:08} ta-01KA8N1K291JXSYSVDMCB7{container:04} "
    )
}

fn pick<'a>(from: &[&'a str], n: u64) -> &'a str {
    let at = usize::try_from(n % from.len() as u64).unwrap_or(0);
    from.get(at).copied().unwrap_or_default()
}
