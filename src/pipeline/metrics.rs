//! The counters in the text form that Prometheus and OpenMetrics scrapers read.
//!
//! Names follow Prometheus' conventions: a prefix of our own, base units, `_total` for counters.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _, text::encode};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::stats::Stats;
use crate::source::{SourceState, SourceStatus};

/// All counters as they are now; without a pipeline, only which program this is.
pub(super) fn render(stats: Option<&Arc<Stats>>) -> String {
    let mut registry = Registry::with_prefix("beacon_collector");
    registry.register_collector(Box::new(Scrape(stats.cloned())));
    let mut text = String::new();
    // Writing to a String can't fail.
    let _ = encode(&mut text, &registry);
    text
}

#[derive(Debug)]
struct Scrape(Option<Arc<Stats>>);

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let encoder = &mut encoder;
        about(encoder)?;
        let Some(stats) = &self.0 else {
            return Ok(());
        };
        pipeline(stats, encoder)?;
        delivery(stats, encoder)?;
        tables(stats, encoder)?;
        sources(stats, encoder)
    }
}

fn pipeline(stats: &Stats, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let now = stats.snapshot();
    let counters = [
        (
            "malformed_lines",
            "Lines that began like a trace line and could not be read",
            now.malformed,
        ),
        (
            "quoted_lines",
            "Lines that only quote a trace line",
            now.quoted,
        ),
        ("cut_lines", "Lines cut at the length limit", now.cut),
        (
            "glued_lines",
            "Lines that stood glued to the one before",
            now.glued,
        ),
        (
            "rejoined_lines",
            "Lines put together again from two halves",
            now.rejoined,
        ),
        (
            "invalid_utf8_lines",
            "Lines with bytes that are not UTF-8",
            now.invalid_utf8,
        ),
        (
            "unmatched_lines",
            "Ends and steps whose start was not in memory",
            now.unmatched,
        ),
        ("spans_inserted", "Rows inserted", now.inserted),
        ("spans_updated", "Rows changed", now.updated),
        (
            "spans_rejected",
            "Rows that the database refused, set aside",
            now.rejected,
        ),
        ("batches", "Batches committed", now.batches),
        (
            "write_retries",
            "Writes that failed and were tried again",
            now.retries,
        ),
    ];
    for (name, help, value) in counters {
        counter(encoder, name, help, value)?;
    }
    Ok(())
}

fn delivery(stats: &Stats, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let (spooled, since) = stats.spool();
    // A clock that was set back makes no negative age.
    let age = since.and_then(|since| SystemTime::now().duration_since(since).ok());
    let store_up = if stats.store_trouble().is_none() {
        1.0
    } else {
        0.0
    };
    let gauges = [
        ("store_up", "1 when the last write succeeded", store_up),
        (
            "lag_seconds",
            "Age of the oldest input that is not committed",
            stats.lag().as_secs_f64(),
        ),
        (
            "spool_bytes",
            "Bytes that wait on disk for the database",
            spooled as f64,
        ),
        (
            "spool_limit_bytes",
            "Bytes that may wait on disk",
            stats.spool_limit() as f64,
        ),
        (
            "spool_oldest_seconds",
            "Age of what waits longest on disk",
            age.unwrap_or_default().as_secs_f64(),
        ),
    ];
    for (name, help, value) in gauges {
        let metric = ConstGauge::new(value);
        metric.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
    }
    Ok(())
}

fn tables(stats: &Stats, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let help = "Rows deleted because of their age";
    let deleted = stats.deleted.load(Relaxed);
    counter(encoder, "retention_deleted_rows", help, deleted)?;
    let sizes = stats.sizes();
    let help = "Bytes of a table and of its indexes";
    let mut family = encoder.encode_descriptor("table_bytes", help, None, MetricType::Gauge)?;
    for size in &sizes {
        for (part, bytes) in [("rows", size.bytes), ("indexes", size.index_bytes)] {
            let labels = [("table", size.table.as_str()), ("part", part)];
            ConstGauge::new(bytes as f64).encode(family.encode_family(&labels)?)?;
        }
    }
    let help = "Rows of a table, as the database estimates";
    let mut family = encoder.encode_descriptor("table_rows", help, None, MetricType::Gauge)?;
    for size in &sizes {
        if let Some(rows) = size.rows {
            let labels = [("table", size.table.as_str())];
            ConstGauge::new(rows as f64).encode(family.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

/// Reads a gauge of a source; none where it has no value yet.
type Gauge<'a> = &'a dyn Fn(&SourceStatus) -> Option<f64>;

fn sources(stats: &Stats, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    type Field = fn(&SourceStatus) -> &AtomicU64;
    let counters: [(&str, &str, Field); 6] = [
        ("source_bytes", "Bytes read", |source| &source.bytes),
        ("source_lines", "Lines read", |source| &source.lines),
        ("source_trace_lines", "Trace lines read", |source| {
            &source.trace_lines
        }),
        (
            "source_restarts",
            "Times the source had to start again",
            |source| &source.restarts,
        ),
        ("source_lost_lines", "Lines known to be lost", |source| {
            &source.lost
        }),
        (
            "source_gaps",
            "Losses of an unknown number of lines",
            |source| &source.gaps,
        ),
    ];
    let listed = stats.sources.all();
    for (name, help, field) in counters {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for source in &listed {
            let metric = ConstCounter::new(field(source).load(Relaxed));
            metric.encode(family.encode_family(&[("source", &**source.name())])?)?;
        }
    }
    let lags = stats.lags();
    let gauges: [(&str, &str, Gauge<'_>); 3] = [
        ("source_up", "1 when the source runs", &|source| {
            Some(f64::from(u8::from(source.state() == SourceState::Running)))
        }),
        (
            "source_lag_seconds",
            "Age of the oldest input of the source that is not committed",
            &|source| Some(lags.get(source.name()).map_or(0.0, Duration::as_secs_f64)),
        ),
        (
            "source_last_input_timestamp_seconds",
            "When something was last read",
            &|source| source.last_input().map(|at| at.timestamp() as f64),
        ),
    ];
    for (name, help, value) in gauges {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for source in &listed {
            let Some(value) = value(source) else { continue };
            let metric = ConstGauge::new(value);
            metric.encode(family.encode_family(&[("source", &**source.name())])?)?;
        }
    }
    Ok(())
}

/// What is said of a process that does not collect: which program it is.
fn about(encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let help = "1, with the version of the program";
    let mut family = encoder.encode_descriptor("build_info", help, None, MetricType::Gauge)?;
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    ConstGauge::new(1_i64).encode(family.encode_family(&version)?)
}

fn counter(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    let metric = ConstCounter::new(value);
    metric.encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)
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
