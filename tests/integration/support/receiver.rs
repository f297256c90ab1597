//! A receiver of OTLP over HTTP, for what the program tells of itself.

use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::{Metric, metric, number_data_point};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// What came in, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Received {
    pub(crate) heads: Vec<HeaderMap>,
    pub(crate) traces: Vec<ExportTraceServiceRequest>,
    pub(crate) metrics: Vec<ExportMetricsServiceRequest>,
}

/// A running receiver.
pub(crate) struct Receiver {
    pub(crate) address: String,
    received: Arc<Mutex<Received>>,
}

impl Receiver {
    /// One on a port of its own, which answers as long as the test binary runs.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let received = Arc::new(Mutex::new(Received::default()));
        let routes = Router::new()
            .route("/v1/traces", post(traces))
            .route("/v1/metrics", post(metrics))
            .with_state(Arc::clone(&received));
        // A thread of its own: tests wait for processes meanwhile.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = { runtime }.enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                axum::serve(listener, routes).await.unwrap();
            });
        });
        Self { address, received }
    }

    /// Looks at what has come in until this finds something.
    pub(crate) fn until<T>(&self, find: impl Fn(&Received) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let received = self.received.lock().unwrap();
            if let Some(found) = find(&received) {
                return found;
            }
            assert!(Instant::now() < deadline, "it never came: {received:#?}");
            drop(received);
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Received {
    /// All spans.
    pub(crate) fn spans(&self) -> Vec<&Span> {
        let resources = self
            .traces
            .iter()
            .flat_map(|request| &request.resource_spans);
        let scopes = resources.flat_map(|resource| &resource.scope_spans);
        scopes.flat_map(|scope| &scope.spans).collect()
    }

    /// A span of this name.
    pub(crate) fn span(&self, name: &str) -> Option<Span> {
        let mut spans = self.spans().into_iter();
        spans.find(|span| span.name == name).cloned()
    }

    /// The metrics that came last.
    pub(crate) fn last_metrics(&self) -> Vec<Metric> {
        let resources = self.metrics.last().into_iter();
        let resources = resources.flat_map(|request| &request.resource_metrics);
        let scopes = resources.flat_map(|resource| &resource.scope_metrics);
        scopes.flat_map(|scope| &scope.metrics).cloned().collect()
    }

    /// The value of a metric without attributes that came last.
    pub(crate) fn number(&self, name: &str) -> Option<f64> {
        let metrics = self.last_metrics();
        let metric = metrics.into_iter().find(|metric| metric.name == name)?;
        let points = match metric.data? {
            metric::Data::Gauge(gauge) => gauge.data_points,
            metric::Data::Sum(sum) => sum.data_points,
            _ => return None,
        };
        match points.first()?.value? {
            number_data_point::Value::AsDouble(value) => Some(value),
            number_data_point::Value::AsInt(value) => Some(value as f64),
        }
    }
}

/// The text of an attribute.
pub(crate) fn attribute(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    match found.value.clone()?.value? {
        Value::StringValue(text) => Some(text),
        Value::IntValue(number) => Some(number.to_string()),
        other => Some(format!("{other:?}")),
    }
}

type Shared = State<Arc<Mutex<Received>>>;

async fn traces(State(received): Shared, head: HeaderMap, body: Bytes) {
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    let mut received = received.lock().unwrap();
    received.heads.push(head);
    received.traces.push(request);
}

async fn metrics(State(received): Shared, head: HeaderMap, body: Bytes) {
    let request = ExportMetricsServiceRequest::decode(body).unwrap();
    let mut received = received.lock().unwrap();
    received.heads.push(head);
    received.metrics.push(request);
}
