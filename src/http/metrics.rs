//! What the server itself counts — requests, their time, the process — beside the counters of the
//! collecting, in the text form that Prometheus and OpenMetrics scrapers read.
//!
//! Invariant: labels come from the list of routes, never from what a caller sent.

use std::fmt;
use std::sync::atomic::AtomicI64;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::StatusCode;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _, text::encode};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Upper bounds of the histogram, in seconds: from a refused request to the limit of an answer.
const BUCKETS: [f64; 10] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 40.0];
/// What ends the text; it may stand there once.
const END: &str = "# EOF\n";

type Labels = [(&'static str, String); 2];
type Path = [(&'static str, String); 1];

/// The server's own counters.
#[derive(Debug)]
pub(super) struct Meters {
    registry: Registry,
    requests: Family<Labels, Counter>,
    seconds: Family<Path, Histogram, fn() -> Histogram>,
    in_flight: Gauge<i64, AtomicI64>,
}

impl Meters {
    pub(super) fn new() -> Self {
        let mut registry = Registry::with_prefix("beacon_collector");
        let requests = Family::<Labels, Counter>::default();
        registry.register("http_requests", "Requests answered", requests.clone());
        let new: fn() -> Histogram = || Histogram::new(BUCKETS);
        let seconds = Family::<Path, Histogram, fn() -> Histogram>::new_with_constructor(new);
        registry.register(
            "http_request_seconds",
            "Time from the head of a request to its answer",
            seconds.clone(),
        );
        let in_flight = Gauge::default();
        registry.register(
            "http_requests_in_flight",
            "Requests being answered",
            in_flight.clone(),
        );
        registry.register_collector(Box::new(Process));
        Self {
            registry,
            requests,
            seconds,
            in_flight,
        }
    }

    /// Counts a request from here to the drop of what is returned.
    pub(super) fn begin(&self) -> InFlight<'_> {
        self.in_flight.inc();
        InFlight(&self.in_flight)
    }

    /// Enters an answer. `route` is the path as it is registered.
    pub(super) fn enter(&self, route: &str, status: StatusCode, took: Duration) {
        let labels = [
            ("route", route.to_owned()),
            ("status", status.as_str().to_owned()),
        ];
        self.requests.get_or_create(&labels).inc();
        let path = [("route", route.to_owned())];
        self.seconds
            .get_or_create(&path)
            .observe(took.as_secs_f64());
    }

    /// These counters, after those of the collecting.
    pub(super) fn render(&self, collecting: String) -> String {
        let mut text = collecting;
        text.truncate(text.trim_end_matches(END).len());
        // Writing to a String can't fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct InFlight<'a>(&'a Gauge<i64, AtomicI64>);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// What the system says of this process; only where it has /proc.
#[derive(Debug)]
struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(seen) = Seen::now() else {
            return Ok(());
        };
        let gauges = [
            (
                "process_resident_memory_bytes",
                "Memory that is resident",
                seen.resident,
            ),
            ("process_open_fds", "Open file descriptors", seen.files),
            ("process_threads", "Threads", seen.threads),
            (
                "process_uptime_seconds",
                "Time since the start",
                seen.uptime,
            ),
        ];
        for (name, help, value) in gauges {
            let metric = ConstGauge::new(value);
            metric.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
        }
        let help = "Processor time used";
        let descriptor =
            encoder.encode_descriptor("process_cpu_seconds", help, None, MetricType::Counter)?;
        ConstCounter::new(seen.processor).encode(descriptor)
    }
}

struct Seen {
    resident: f64,
    files: f64,
    threads: f64,
    uptime: f64,
    processor: f64,
}

impl Seen {
    fn now() -> Option<Self> {
        // Ticks a second are 100 on every Linux that Rust runs on.
        const TICKS: f64 = 100.0;
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        // The name in parentheses may hold anything; what follows are numbers, from the third field on.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let number = |at: usize| fields.get(at - 3)?.parse::<f64>().ok();
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let resident = status.lines().find_map(|line| {
            let kib = line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?;
            kib.trim().parse::<f64>().ok()
        })?;
        let boot = std::fs::read_to_string("/proc/stat").ok()?;
        let boot: f64 = boot
            .lines()
            .find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok())?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
        Some(Self {
            resident: resident * 1024.0,
            files: std::fs::read_dir("/proc/self/fd").ok()?.count() as f64,
            threads: number(20)?,
            uptime: (now.as_secs_f64() - boot - number(22)? / TICKS).max(0.0),
            processor: (number(14)? + number(15)?) / TICKS,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_the_process_stand_beside_the_counters_of_the_collecting() {
        let meters = Meters::new();
        let flying = meters.begin();
        meters.enter("/mcp", StatusCode::OK, Duration::from_millis(3));
        meters.enter("/mcp", StatusCode::FORBIDDEN, Duration::from_micros(9));
        let text = meters.render(format!("x_lines_total 7\n{END}"));
        for line in [
            "x_lines_total 7",
            "beacon_collector_http_requests_total{route=\"/mcp\",status=\"403\"} 1",
            "beacon_collector_http_request_seconds_bucket{le=\"0.005\",route=\"/mcp\"} 2",
            "beacon_collector_http_requests_in_flight 1",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
        assert_eq!(text.matches(END).count(), 1, "{text}");
        if cfg!(target_os = "linux") {
            let line = text.lines().find_map(|line| {
                line.strip_prefix("beacon_collector_process_resident_memory_bytes ")
            });
            assert!(line.unwrap().parse::<f64>().unwrap() > 1e6, "{text}");
        }
        drop(flying);
        assert!(meters.render(String::new()).contains("in_flight 0"));
    }
}
