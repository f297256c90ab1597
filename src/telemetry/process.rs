//! What is known of this process itself: which program it is, and what the system says of it, where it
//! has /proc.

use std::fs;

use super::figure::Figure;

/// Which program this is.
pub static ABOUT: &[Figure<()>] = &[Figure::gauge(
    "build_info",
    "1, with the version of the program",
    |(), say| say(&[("version", env!("CARGO_PKG_VERSION"))], 1.0),
)];

/// What the system says.
pub static PROCESS: &[Figure<()>] = &[
    Figure::gauge(
        "process_resident_memory_bytes",
        "Memory that is resident",
        |(), say| known(resident(), say),
    ),
    Figure::gauge("process_open_fds", "Open file descriptors", |(), say| {
        let files = fs::read_dir("/proc/self/fd").ok();
        known(files.map(|files| files.count() as f64), say);
    }),
    Figure::gauge("process_threads", "Threads", |(), say| {
        known(field(20), say)
    }),
    Figure::gauge(
        "process_uptime_seconds",
        "Time since the start",
        |(), say| {
            known(uptime(), say);
        },
    ),
    Figure::sum("process_cpu_seconds", "Processor time used", |(), say| {
        let ticks = field(14).zip(field(15));
        known(ticks.map(|(user, system)| (user + system) / TICKS), say);
    }),
];

/// Ticks a second, on every Linux that Rust runs on.
const TICKS: f64 = 100.0;

fn known(value: Option<f64>, say: super::figure::Say<'_>) {
    if let Some(value) = value {
        say(&[], value);
    }
}

/// A field of /proc/self/stat, numbered as in proc(5), from the third on.
fn field(number: usize) -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name in parentheses may hold anything; what follows are numbers.
    let (_, numbers) = stat.rsplit_once(')')?;
    numbers.split_whitespace().nth(number - 3)?.parse().ok()
}

fn resident() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kib = status.lines().find_map(|line| {
        let kib = line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?;
        kib.trim().parse::<f64>().ok()
    })?;
    Some(kib * 1024.0)
}

fn uptime() -> Option<f64> {
    let system = fs::read_to_string("/proc/uptime").ok()?;
    let system: f64 = system.split_whitespace().next()?.parse().ok()?;
    Some((system - field(22)? / TICKS).max(0.0))
}
