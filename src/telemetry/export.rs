//! Our own traces and metrics on their way out, by OTLP, when the standard environment variables name a
//! receiver. Exporters run in threads of their own: a receiver that is slow or away holds up nobody, and
//! what it does not take is dropped.
//!
//! Invariant: sending makes no span, so that nothing is exported because something was.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock, mpsc};
use std::time::{Duration, Instant};

use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{KeyValue, global};
use opentelemetry_otlp::{
    ExporterBuildError, MetricExporter, SpanExporter, WithExportConfig as _, WithHttpConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tokio::runtime::Handle;

use super::SCOPE;
use super::figure::observe;
use super::process::{ABOUT, PROCESS};
use super::receiver::Receiver;
use super::settings::{Settings, Signal};

/// How long the end of the process waits for what is still to be sent.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// Whether metrics are exported: instruments that would be fed for nobody ask first.
static HAS_METRICS: AtomicBool = AtomicBool::new(false);

pub(super) fn has_metrics() -> bool {
    HAS_METRICS.load(Relaxed)
}

/// The exporters of this process.
#[derive(Debug, Default)]
pub struct Export {
    traces: Option<SdkTracerProvider>,
    metrics: Option<SdkMeterProvider>,
    /// What is said once there is a log to say it in.
    remarks: Vec<String>,
}

impl Export {
    /// Starts what the environment asks for. Sending happens on the runtime.
    pub fn begin(runtime: &Handle) -> Self {
        let settings = Settings::read(|name| std::env::var(name).ok());
        let mut export = Self {
            remarks: settings.remarks,
            ..Self::default()
        };
        if let Some(signal) = settings.traces {
            let provider = traces(&signal, runtime);
            export.traces = export.or_remark("traces", provider);
        }
        if let Some(signal) = settings.metrics {
            let provider = metrics(&signal, settings.interval, runtime);
            export.metrics = export.or_remark("metrics", provider);
        }
        if let Some(provider) = &export.metrics {
            global::set_meter_provider(provider.clone());
            HAS_METRICS.store(true, Relaxed);
        }
        observe(ABOUT, &Arc::new(()));
        observe(PROCESS, &Arc::new(()));
        export
    }

    fn or_remark<T>(&mut self, what: &str, started: Result<T, String>) -> Option<T> {
        started
            .map_err(|reason| {
                let remark = format!("own {what} are not exported: {reason}");
                self.remarks.push(remark);
            })
            .ok()
    }

    /// What makes spans, where they are exported.
    pub(super) fn tracer(&self) -> Option<SdkTracer> {
        Some(self.traces.as_ref()?.tracer(SCOPE))
    }

    /// Says what is exported and what is not.
    pub(super) fn announce(&self) {
        for remark in &self.remarks {
            tracing::warn!("{remark}");
        }
        let what = match (&self.traces, &self.metrics) {
            (Some(_), Some(_)) => "traces and metrics",
            (Some(_), None) => "traces",
            (None, Some(_)) => "metrics",
            (None, None) => return,
        };
        tracing::info!("exporting own {what} by OTLP");
    }

    /// Sends what is left, for as long as that may take.
    pub fn end(self) {
        let deadline = Instant::now() + LAST_WORDS;
        let (done, ended) = mpsc::channel();
        let mut left = 0;
        let mut last = |end: Box<dyn FnOnce() + Send>| {
            let done = done.clone();
            left += 1;
            // Neither provider keeps to a time limit of its own while it is sending.
            std::thread::spawn(move || {
                end();
                // An error: nobody waits any more.
                let _ = done.send(());
            });
        };
        if let Some(provider) = self.traces {
            last(Box::new(move || {
                drop(provider.shutdown_with_timeout(LAST_WORDS))
            }));
        }
        if let Some(provider) = self.metrics {
            last(Box::new(move || {
                drop(provider.shutdown_with_timeout(LAST_WORDS))
            }));
        }
        for _ in 0..left {
            let rest = deadline.saturating_duration_since(Instant::now());
            if ended.recv_timeout(rest).is_err() {
                tracing::debug!("the last of our own telemetry was not sent in time");
                return;
            }
        }
    }
}

fn traces(signal: &Signal, runtime: &Handle) -> Result<SdkTracerProvider, String> {
    let receiver = Receiver::new("traces", signal.timeout, runtime)?;
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(receiver)
        .with_endpoint(&signal.endpoint)
        .with_timeout(signal.timeout)
        .build()
        .map_err(said)?;
    // Sampler, limits and batching come from the environment.
    let provider = SdkTracerProvider::builder().with_resource(resource());
    Ok(provider.with_batch_exporter(exporter).build())
}

fn metrics(
    signal: &Signal,
    interval: Duration,
    runtime: &Handle,
) -> Result<SdkMeterProvider, String> {
    let receiver = Receiver::new("metrics", signal.timeout, runtime)?;
    let exporter = MetricExporter::builder()
        .with_http()
        .with_http_client(receiver)
        .with_endpoint(&signal.endpoint)
        .with_timeout(signal.timeout)
        .build()
        .map_err(said)?;
    let reader = PeriodicReader::builder(exporter).with_interval(interval);
    let provider = SdkMeterProvider::builder().with_resource(resource());
    Ok(provider.with_reader(reader.build()).build())
}

/// The variable that is wrong, without its value.
fn said(error: ExporterBuildError) -> String {
    error.to_string()
}

/// Who says all this: what the environment names, over what is known anyway.
fn resource() -> Resource {
    static INSTANCE: OnceLock<String> = OnceLock::new();
    let instance = INSTANCE.get_or_init(|| uuid::Uuid::new_v4().to_string());
    let given = std::env::var("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
    let is_given = |key: &str| {
        let mut keys = given.split(',').filter_map(|pair| pair.split_once('='));
        keys.any(|(given, _)| given.trim() == key)
    };
    let is_named = std::env::var("OTEL_SERVICE_NAME").is_ok_and(|name| !name.is_empty());
    let known = [
        ("service.name", "beacon-collector"),
        ("service.version", env!("BEACON_VERSION")),
        ("service.instance.id", instance.as_str()),
    ];
    let known = known
        .into_iter()
        .filter(|(key, _)| !is_given(key))
        .filter(|(key, _)| !is_named || *key != "service.name");
    let known = known.map(|(key, value)| KeyValue::new(key, value.to_owned()));
    Resource::builder().with_attributes(known).build()
}
