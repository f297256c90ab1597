//! The figures of the collecting, and their text form that Prometheus and OpenMetrics scrapers read.
//!
//! Names follow Prometheus' conventions: a prefix of our own, base units, `_total` for counters.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, text::encode};
use prometheus_client::registry::Registry;

use super::stats::Stats;
use crate::source::{SourceState, SourceStatus};
use crate::telemetry::{self, ABOUT, Figure, Say};

/// All figures as they are now; without a pipeline, only which program this is.
pub(super) fn render(stats: Option<&Arc<Stats>>) -> String {
    let mut registry = Registry::with_prefix(telemetry::SCOPE);
    registry.register_collector(Box::new(Scrape(stats.cloned())));
    let mut text = String::new();
    // Writing to a String can't fail.
    let _ = encode(&mut text, &registry);
    text
}

/// Has them exported, where that is configured.
pub(super) fn observe(stats: &Arc<Stats>) {
    for figures in ALL {
        telemetry::observe(figures, stats);
    }
}

#[derive(Debug)]
struct Scrape(Option<Arc<Stats>>);

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        telemetry::encode(ABOUT, &(), &mut encoder)?;
        let Some(stats) = &self.0 else {
            return Ok(());
        };
        ALL.iter()
            .try_for_each(|figures| telemetry::encode(figures, &**stats, &mut encoder))
    }
}

static ALL: [&[Figure<Stats>]; 4] = [PIPELINE, DELIVERY, TABLES, SOURCES];

static PIPELINE: &[Figure<Stats>] = &[
    Figure::counter(
        "malformed_lines",
        "Lines that began like a trace line and could not be read",
        |stats, say| count(&stats.malformed, say),
    ),
    Figure::counter(
        "quoted_lines",
        "Lines that only quote a trace line",
        |stats, say| count(&stats.quoted, say),
    ),
    Figure::counter(
        "cut_lines",
        "Lines cut at the length limit",
        |stats, say| count(&stats.cut, say),
    ),
    Figure::counter(
        "glued_lines",
        "Lines that stood glued to the one before",
        |stats, say| count(&stats.glued, say),
    ),
    Figure::counter(
        "rejoined_lines",
        "Lines put together again from two halves",
        |stats, say| count(&stats.rejoined, say),
    ),
    Figure::counter(
        "invalid_utf8_lines",
        "Lines with bytes that are not UTF-8",
        |stats, say| count(&stats.invalid_utf8, say),
    ),
    Figure::counter(
        "unmatched_lines",
        "Ends and steps whose start was not in memory",
        |stats, say| count(&stats.unmatched, say),
    ),
    Figure::counter("spans_inserted", "Rows inserted", |stats, say| {
        count(&stats.inserted, say);
    }),
    Figure::counter("spans_updated", "Rows changed", |stats, say| {
        count(&stats.updated, say);
    }),
    Figure::counter(
        "spans_rejected",
        "Rows that the database refused, set aside",
        |stats, say| count(&stats.rejected, say),
    ),
    Figure::counter("batches", "Batches committed", |stats, say| {
        count(&stats.batches, say);
    }),
    Figure::counter(
        "write_retries",
        "Writes that failed and were tried again",
        |stats, say| count(&stats.retries, say),
    ),
];

static DELIVERY: &[Figure<Stats>] = &[
    Figure::gauge(
        "store_up",
        "1 when the last write succeeded",
        |stats, say| say(&[], truth(stats.store_trouble().is_none())),
    ),
    Figure::gauge(
        "lag_seconds",
        "Age of the oldest input that is not committed",
        |stats, say| say(&[], stats.lag().as_secs_f64()),
    ),
    Figure::gauge(
        "spool_bytes",
        "Bytes that wait on disk for the database",
        |stats, say| say(&[], stats.spool().0 as f64),
    ),
    Figure::gauge(
        "spool_limit_bytes",
        "Bytes that may wait on disk",
        |stats, say| say(&[], stats.spool_limit() as f64),
    ),
    Figure::gauge(
        "spool_oldest_seconds",
        "Age of what waits longest on disk",
        |stats, say| {
            let (_, since) = stats.spool();
            // A clock that was set back makes no negative age.
            let age = since.and_then(|since| SystemTime::now().duration_since(since).ok());
            say(&[], age.unwrap_or_default().as_secs_f64());
        },
    ),
];

static TABLES: &[Figure<Stats>] = &[
    Figure::counter(
        "retention_deleted_rows",
        "Rows deleted because of their age",
        |stats, say| count(&stats.deleted, say),
    ),
    Figure::gauge(
        "table_bytes",
        "Bytes of a table and of its indexes",
        |stats, say| {
            for size in stats.sizes() {
                for (part, bytes) in [("rows", size.bytes), ("indexes", size.index_bytes)] {
                    let labels = [("table", size.table.as_str()), ("part", part)];
                    say(&labels, bytes as f64);
                }
            }
        },
    ),
    Figure::gauge(
        "table_rows",
        "Rows of a table, as the database estimates",
        |stats, say| {
            for size in stats.sizes() {
                if let Some(rows) = size.rows {
                    say(&[("table", size.table.as_str())], rows as f64);
                }
            }
        },
    ),
];

static SOURCES: &[Figure<Stats>] = &[
    Figure::counter("source_bytes", "Bytes read", |stats, say| {
        counted(stats, |source| &source.bytes, say);
    }),
    Figure::counter("source_lines", "Lines read", |stats, say| {
        counted(stats, |source| &source.lines, say);
    }),
    Figure::counter("source_trace_lines", "Trace lines read", |stats, say| {
        counted(stats, |source| &source.trace_lines, say);
    }),
    Figure::counter(
        "source_restarts",
        "Times the source had to start again",
        |stats, say| counted(stats, |source| &source.restarts, say),
    ),
    Figure::counter(
        "source_lost_lines",
        "Lines known to be lost",
        |stats, say| counted(stats, |source| &source.lost, say),
    ),
    Figure::counter(
        "source_gaps",
        "Losses of an unknown number of lines",
        |stats, say| counted(stats, |source| &source.gaps, say),
    ),
    Figure::gauge("source_up", "1 when the source runs", |stats, say| {
        let is_up = |source: &SourceStatus| Some(truth(source.state() == SourceState::Running));
        measured(stats, is_up, say);
    }),
    Figure::gauge(
        "source_lag_seconds",
        "Age of the oldest input of the source that is not committed",
        |stats, say| {
            let lags = stats.lags();
            let lag = |source: &SourceStatus| lags.get(source.name());
            let lag = |source: &SourceStatus| Some(lag(source).map_or(0.0, Duration::as_secs_f64));
            measured(stats, lag, say);
        },
    ),
    Figure::gauge(
        "source_last_input_timestamp_seconds",
        "When something was last read",
        |stats, say| {
            let last = |source: &SourceStatus| Some(source.last_input()?.timestamp() as f64);
            measured(stats, last, say);
        },
    ),
];

fn count(counter: &AtomicU64, say: Say<'_>) {
    say(&[], counter.load(Relaxed) as f64);
}

fn truth(is_so: bool) -> f64 {
    f64::from(u8::from(is_so))
}

/// A counter of every source.
fn counted(stats: &Stats, field: fn(&SourceStatus) -> &AtomicU64, say: Say<'_>) {
    let value = |source: &SourceStatus| Some(field(source).load(Relaxed) as f64);
    measured(stats, value, say);
}

/// A value of every source that has it yet.
fn measured(stats: &Stats, value: impl Fn(&SourceStatus) -> Option<f64>, say: Say<'_>) {
    for source in stats.sources.all() {
        if let Some(value) = value(&source) {
            say(&[("source", &**source.name())], value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_has_its_counters_and_a_scraper_can_read_the_end() {
        let stats = Arc::new(Stats::default());
        let source = stats.sources.named("file:/var/log/\"x\".log");
        source.lines.store(7, Relaxed);
        source.enter(SourceState::Running);
        let text = render(Some(&stats));
        let line = r#"beacon_collector_source_lines_total{source="file:/var/log/\"x\".log"} 7"#;
        assert!(text.contains(line), "{text}");
        assert!(text.contains("beacon_collector_store_up 1.0"), "{text}");
        assert!(
            text.contains("beacon_collector_source_lag_seconds{source="),
            "{text}"
        );
        assert!(text.ends_with("# EOF\n"), "{text}");
    }
}
