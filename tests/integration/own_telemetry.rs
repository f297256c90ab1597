//! What the program tells of itself by OTLP: to whom, what, and that it neither costs nor disturbs.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::trace::v1::status::StatusCode;

use super::support::collector::{Home, append, span};
use super::support::database;
use super::support::receiver::{Receiver, attribute};
use super::support::server::Server;

/// Sends soon, so that a test need not wait.
const SOON: [(&str, &str); 2] = [
    ("OTEL_METRIC_EXPORT_INTERVAL", "100"),
    ("OTEL_BSP_SCHEDULE_DELAY", "100"),
];

/// Collects what is piped in, to the end.
fn pipe(mut command: Command, lines: &str) -> Output {
    let command = command.stdin(Stdio::piped());
    let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(lines.as_bytes()).unwrap();
    drop(stdin);
    child.wait_with_output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The names that scrapers see, without those of a histogram's parts.
fn scraped(text: &str) -> BTreeSet<String> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types
        .map(|line| line.split(' ').next().unwrap().to_owned())
        .collect()
}

/// A server that reads a file and exports soon, with more in its environment; and its source.
fn exporting(
    receiver: &Receiver,
    database: &str,
    home: &Home,
    more: &[(&str, &str)],
) -> (Server, String) {
    append(&home.path("a.log"), &span(1));
    let source = format!("file:{}", home.path("a.log").display());
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.address.as_str());
    let environment = [&SOON[..], &[endpoint], more].concat();
    let server = Server::start_in(database, &["--source", &source], &environment);
    (server, source)
}

#[tokio::test]
async fn its_spans_reach_a_receiver_and_its_secrets_no_log() {
    let receiver = Receiver::start();
    let database = database::sqlite().await;
    let home = Home::new();
    let secret = ["to", "ken-of-mine"].concat();
    let headers = format!("authorization=Bearer%20{secret},x-tenant=t1");
    let environment = [
        ("OTEL_EXPORTER_OTLP_HEADERS", headers.as_str()),
        (
            "OTEL_RESOURCE_ATTRIBUTES",
            "deployment.environment.name=test",
        ),
        ("RUST_LOG", "trace"),
    ];
    let (server, source) = exporting(&receiver, &database.url, &home, &environment);
    assert_eq!(server.get("/api/v1/failures").status, 200);
    assert_eq!(server.get("/api/v1/traces/no-such-trace/gaps").status, 404);
    for name in ["write batch", "link spans"] {
        receiver.until(|received| received.span(name));
    }
    for (tool, code) in [
        ("get_recent_failures", StatusCode::Unset),
        ("find_trace_gaps", StatusCode::Error),
    ] {
        receiver.until(|received| {
            let mut spans = received.spans().into_iter();
            spans.find(|span| {
                let status = span.status.as_ref().map_or(0, |status| status.code);
                let of_tool = attribute(&span.attributes, "tool").as_deref() == Some(tool);
                of_tool && status == code as i32
            })?;
            Some(())
        });
    }

    server.signal(nix::sys::signal::Signal::SIGTERM);
    let read = receiver.until(|received| received.span("read source"));
    for (key, value) in [("source", source.as_str()), ("ended", "stopped")] {
        assert_eq!(attribute(&read.attributes, key).as_deref(), Some(value));
    }
    let (head, resource) = receiver.until(|received| {
        let resource = received.traces.first()?.resource_spans.first()?;
        let attributes = resource.resource.clone()?.attributes;
        Some((received.heads.first()?.clone(), attributes))
    });
    assert_eq!(head["authorization"], format!("Bearer {secret}"));
    assert_eq!(head["x-tenant"], "t1");
    for (key, value) in [
        ("service.name", "beacon-collector"),
        ("service.version", env!("CARGO_PKG_VERSION")),
        ("deployment.environment.name", "test"),
    ] {
        let found = attribute(&resource, key);
        assert_eq!(found.as_deref(), Some(value), "{resource:?}");
    }
    let log = server.log();
    assert!(log.contains("exporting own traces and metrics"), "{log}");
    assert!(!log.contains(&secret), "{log}");
    // Lines of the log carry no spans.
    assert!(!log.contains("write batch"), "{log}");
}

#[tokio::test]
async fn every_figure_that_is_scraped_is_exported_under_its_name() {
    let receiver = Receiver::start();
    let database = database::sqlite().await;
    let home = Home::new();
    let (server, _) = exporting(&receiver, &database.url, &home, &[]);
    assert_eq!(server.get("/healthz").status, 200);
    let wanted = scraped(&server.get("/metrics").body);
    receiver.until(|received| {
        let metrics = received.last_metrics();
        let names = metrics.iter().map(|metric| metric.name.replace('.', "_"));
        let names: BTreeSet<String> = names.collect();
        // A figure without a value yet is scraped as a heading alone.
        let mut absent = wanted.difference(&names);
        let is_complete = absent.all(|name| name.starts_with("beacon_collector_table_"));
        (is_complete && names.is_subset(&wanted)).then_some(())
    });
    let metrics = receiver.until(|received| {
        let inserted = received.number("beacon_collector.spans_inserted")?;
        (inserted == 1.0).then(|| received.last_metrics())
    });
    for (name, unit) in [
        ("beacon_collector.lag_seconds", "s"),
        ("beacon_collector.spool_bytes", "By"),
        ("beacon_collector.batches", ""),
    ] {
        let mut metrics = metrics.iter();
        let found = metrics.find(|metric| metric.name == name).unwrap();
        assert_eq!(found.unit, unit);
        assert!(!found.description.is_empty());
    }
}

#[test]
fn what_is_left_at_the_end_is_sent_before_the_process_ends() {
    let receiver = Receiver::start();
    let home = Home::new();
    let mut command = home.command(&["--listen", "none"]);
    command
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &receiver.address)
        .env("OTEL_SERVICE_NAME", "night-shift");
    let output = pipe(command, &span(1));
    assert!(output.status.success(), "{}", said(&output));
    receiver.until(|received| {
        received.span("write batch")?;
        let read = received.span("read source")?;
        assert_eq!(
            attribute(&read.attributes, "ended").as_deref(),
            Some("ended")
        );
        assert_eq!(
            received.number("beacon_collector.spans_inserted"),
            Some(1.0)
        );
        let resource = received
            .metrics
            .last()?
            .resource_metrics
            .first()?
            .resource
            .clone()?;
        let name = attribute(&resource.attributes, "service.name");
        assert_eq!(name.as_deref(), Some("night-shift"));
        Some(())
    });
}

#[test]
fn a_sampler_leaves_out_traces_and_none_leaves_out_a_signal() {
    let receiver = Receiver::start();
    let home = Home::new();
    let mut command = home.command(&["--listen", "none"]);
    command
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &receiver.address)
        .env("OTEL_TRACES_SAMPLER", "always_off");
    assert!(pipe(command, &span(1)).status.success());
    receiver.until(|received| received.number("beacon_collector.batches"));
    receiver.until(|received| received.traces.is_empty().then_some(()));

    let receiver = Receiver::start();
    let mut command = home.command(&["--listen", "none"]);
    command
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &receiver.address)
        .env("OTEL_METRICS_EXPORTER", "none");
    assert!(pipe(command, &span(1)).status.success());
    receiver.until(|received| received.span("write batch"));
    receiver.until(|received| received.metrics.is_empty().then_some(()));
}

#[test]
fn a_receiver_that_is_away_or_silent_is_named_once_and_holds_up_nothing() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let away = TcpListener::bind("127.0.0.1:0").unwrap();
    let (silent_at, away_at) = (silent.local_addr().unwrap(), away.local_addr().unwrap());
    drop(away);
    for address in [silent_at, away_at] {
        let home = Home::new();
        append(&home.path("a.log"), &span(1));
        let mut command = home.command(&["--listen", "none", "--source", "file:a.log"]);
        command
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{address}"))
            .env("OTEL_EXPORTER_OTLP_TIMEOUT", "300")
            .envs(SOON);
        let collector = home.start(command);
        let deadline = Instant::now() + Duration::from_secs(60);
        let named = |collector: &super::support::collector::Collector| {
            collector
                .log()
                .matches("do not reach their receiver")
                .count()
        };
        while named(&collector) < 2 {
            assert!(Instant::now() < deadline, "{}", collector.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        // Many more attempts than that.
        std::thread::sleep(Duration::from_secs(2));
        assert_eq!(named(&collector), 2, "{}", collector.log());
        let log = home.path("collector.log");
        let began = Instant::now();
        collector.stop();
        // What is left to say is given up after three seconds; the rest is a busy machine's.
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "{:?}",
            began.elapsed()
        );
        let log = std::fs::read_to_string(log).unwrap();
        assert!(log.contains("stored   1 new spans"), "{log}");
    }
}

#[test]
fn what_is_not_built_in_is_said_and_keeps_nobody_from_collecting() {
    let home = Home::new();
    let mut command = home.command(&["--listen", "none"]);
    command
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317")
        .env("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
    let output = pipe(command, &span(1));
    let said = said(&output);
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("OTEL_EXPORTER_OTLP_PROTOCOL is grpc"),
        "{said}"
    );
    assert!(said.contains("stored   1 new spans"), "{said}");
    assert!(!said.contains("exporting"), "{said}");
}

#[tokio::test]
async fn a_collector_that_exports_into_itself_does_not_feed_itself() {
    let database = database::sqlite().await;
    let home = Home::new();
    append(&home.path("a.log"), &span(1));
    let source = format!("file:{}", home.path("a.log").display());
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let endpoint = format!("http://{address}/v1/traces");
    let mut environment = SOON.to_vec();
    environment.push(("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", endpoint.as_str()));
    let more = ["--listen", &address, "--source", &source];
    let server = Server::start_in(&database.url, &more, &environment);
    server.said(&["not stored by a collector"]);
    let batches = || {
        let text = server.get("/metrics").body;
        let name = "beacon_collector_batches_total ";
        let mut values = text.lines().filter_map(|line| line.strip_prefix(name));
        values.next().unwrap().parse::<u64>().unwrap()
    };
    let before = batches();
    // Thirty times the pause after which spans are sent.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(batches() - before <= 3, "{before} {}", batches());
    let stored = database.texts("select service from trace_spans").await;
    assert_eq!(stored, ["modal"]);
    let log = server.log();
    assert_eq!(log.matches("not stored by a collector").count(), 1, "{log}");
}
