//! What the server itself counts — requests, their time, the process — beside the counters of the
//! collecting, in the text form that Prometheus and OpenMetrics scrapers read.
//!
//! Invariant: labels come from the list of routes, never from what a caller sent.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, text::encode};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::telemetry::{self, Figure, PROCESS, Spread};

/// Upper bounds of the histogram, in seconds: from a refused request to the limit of an answer.
const BUCKETS: [f64; 10] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 40.0];
/// The histogram, for scrapers and for the export.
const SECONDS: (&str, &str) = (
    "http_request_seconds",
    "Time from the head of a request to its answer",
);
/// What ends the text; it may stand there once.
const END: &str = "# EOF\n";

type Path = [(&'static str, String); 1];
/// Requests by route and status.
type Answered = BTreeMap<(String, StatusCode), u64>;

static REQUESTS: &[Figure<Counts>] = &[Figure::counter(
    "http_requests",
    "Requests answered",
    |counts, say| {
        for ((route, status), count) in &*counts.answered() {
            let labels = [("route", route.as_str()), ("status", status.as_str())];
            say(&labels, *count as f64);
        }
    },
)];
static IN_FLIGHT: &[Figure<Counts>] = &[Figure::gauge(
    "http_requests_in_flight",
    "Requests being answered",
    |counts, say| say(&[], counts.in_flight.load(Relaxed) as f64),
)];

/// The server's own counters.
#[derive(Debug)]
pub(super) struct Meters {
    registry: Registry,
    counts: Arc<Counts>,
    seconds: Family<Path, Histogram, fn() -> Histogram>,
    exported: Spread,
}

/// What is counted one by one.
#[derive(Debug, Default)]
struct Counts {
    answered: Mutex<Answered>,
    in_flight: AtomicI64,
}

impl Counts {
    fn answered(&self) -> MutexGuard<'_, Answered> {
        // A panic while holding the lock leaves whole numbers; going on is right.
        self.answered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Figures about something, for a scraper.
#[derive(Debug)]
struct Scrape<S: 'static>(&'static [Figure<S>], Arc<S>);

impl<S: std::fmt::Debug + Send + Sync> Collector for Scrape<S> {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        telemetry::encode(self.0, &*self.1, &mut encoder)
    }
}

impl Meters {
    pub(super) fn new() -> Self {
        let counts = Arc::new(Counts::default());
        telemetry::observe(REQUESTS, &counts);
        telemetry::observe(IN_FLIGHT, &counts);
        let new: fn() -> Histogram = || Histogram::new(BUCKETS);
        let seconds = Family::<Path, Histogram, fn() -> Histogram>::new_with_constructor(new);
        let mut registry = Registry::with_prefix(telemetry::SCOPE);
        registry.register(SECONDS.0, SECONDS.1, seconds.clone());
        for figures in [REQUESTS, IN_FLIGHT] {
            registry.register_collector(Box::new(Scrape(figures, Arc::clone(&counts))));
        }
        registry.register_collector(Box::new(Scrape(PROCESS, Arc::new(()))));
        Self {
            registry,
            counts,
            seconds,
            exported: Spread::new(SECONDS.0, SECONDS.1, &BUCKETS),
        }
    }

    /// Counts a request from here to the drop of what is returned.
    pub(super) fn begin(&self) -> InFlight<'_> {
        self.counts.in_flight.fetch_add(1, Relaxed);
        InFlight(&self.counts.in_flight)
    }

    /// Enters an answer. `route` is the path as it is registered.
    pub(super) fn enter(&self, route: &str, status: StatusCode, took: Duration) {
        let took = took.as_secs_f64();
        let key = (route.to_owned(), status);
        *self.counts.answered().entry(key).or_default() += 1;
        self.exported.record(&[("route", route)], took);
        let path = [("route", route.to_owned())];
        self.seconds.get_or_create(&path).observe(took);
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
pub(super) struct InFlight<'a>(&'a AtomicI64);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
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
