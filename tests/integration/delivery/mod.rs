//! What every source and the pipeline behind it keep to: whatever the store does, and whenever the
//! process ends, nothing that was acknowledged or can be read again is lost, and nothing is doubled.

mod bench;
mod disk;

use std::io::{Read, Write as _};
use std::time::{Duration, Instant, SystemTime};

use beacon_collector::source::otlp::Encoding;
use beacon_collector::source::push::PushError;
use beacon_collector::source::{
    CommandSource, FileSource, Input, Intake, ModalOptions, ModalSource, PullSource, StdinSource,
    StreamId, Via,
};
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use self::bench::{Bench, PATIENCE, SPANS, check_pushed, check_replayable, pieces};
use crate::support::collector::{append, span, spans};
use crate::support::faulty::Chance;

#[tokio::test]
async fn a_file_keeps_the_contract() {
    for seed in 1..3 {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.log");
        append(&path, "");
        // Written on in pieces that end anywhere.
        let written = path.clone();
        let writing = tokio::spawn(async move {
            let mut file = std::fs::OpenOptions::new()
                .append(true)
                .open(written)
                .unwrap();
            for piece in pieces(&mut Chance(seed), 9_000) {
                file.write_all(&piece).unwrap();
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        check_replayable(seed, |out| {
            FileSource {
                pattern: path.clone(),
            }
            .run(out)
        })
        .await;
        writing.await.unwrap();
    }
}

#[tokio::test]
async fn a_command_that_prints_everything_again_keeps_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.log");
    append(&path, &spans(0..SPANS));
    let command = format!("dd if={} bs=777 2>&1", path.display());
    check_replayable(7, |out| {
        CommandSource {
            command: command.clone(),
        }
        .run(out)
    })
    .await;
}

#[tokio::test]
async fn a_modal_app_keeps_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("app.log");
    append(&log, &spans(0..SPANS));
    let began = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    // Long enough ago that the last line can be fetched at once.
    let began = began.unwrap().as_secs() - 10;
    let cli = dir.path().join("modal");
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/integration/delivery/modal.py"
    );
    let run = format!(
        "#!/bin/sh\nexec python3 {script} {} {began} 5 -- \"$@\"\n",
        log.display()
    );
    append(&cli, &run);
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&cli, executable).unwrap();
    check_replayable(19, |out| {
        let options = ModalOptions {
            app: "beacon".into(),
            cli: Some(cli.clone()),
            via: Via::Cli,
            backfill: Duration::from_secs(600),
            reconcile_every: Duration::from_secs(1),
            ..ModalOptions::default()
        };
        ModalSource { options }.run(out)
    })
    .await;
}

/// Answers with the events behind the one asked for, in random pieces, and breaks off at random.
async fn serve_events(seed: u64) -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut chance = Chance(seed);
        loop {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let count = connection.read(&mut request).await.unwrap_or(0);
            let request = String::from_utf8_lossy(&request[..count]).to_lowercase();
            let last = request.split_once("last-event-id: ");
            let last = last.and_then(|(_, rest)| rest.lines().next()?.parse().ok());
            let next = last.map_or(0, |last: usize| last + 1);
            let many = 1 + usize::try_from(chance.below(1_500)).unwrap();
            let events = (next..SPANS.min(next + many)).map(|number| {
                let data = span(number);
                let lines: Vec<_> = data.lines().map(|line| format!("data: {line}\n")).collect();
                format!("id: {number}\n{}\n", lines.concat())
            });
            let mut body = Bytes::from(events.collect::<String>());
            if next + many < SPANS {
                // In mid-event.
                body.truncate(body.len() - 10);
            }
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
                        Transfer-Encoding: chunked\r\n\r\n";
            // An error: the client was killed.
            let _ = connection.write_all(head.as_bytes()).await;
            while !body.is_empty() {
                let size = 1 + usize::try_from(chance.below(5_000)).unwrap();
                let piece = body.split_to(size.min(body.len()));
                let head = format!("{:x}\r\n", piece.len());
                let chunk = [head.as_bytes(), &piece, b"\r\n"].concat();
                let _ = connection.write_all(&chunk).await;
            }
        }
    });
    address
}

#[tokio::test]
async fn a_stream_of_events_keeps_the_contract() {
    let address = serve_events(23).await;
    check_replayable(23, |out| {
        PullSource {
            url: format!("http://{address}/logs"),
        }
        .run(out)
    })
    .await;
}

#[tokio::test]
async fn pushed_lines_keep_the_contract() {
    let mut chance = Chance(11);
    let mut pieces = Vec::new();
    let mut at = 0;
    while at < SPANS {
        let next = (at + 1 + usize::try_from(chance.below(400)).unwrap()).min(SPANS);
        pieces.push(Bytes::from(spans(at..next)));
        at = next;
    }
    let bench = check_pushed(11, pieces, |intake, body| async move {
        intake.lines("test", body).await
    })
    .await;
    bench.compare().await;
}

/// Lines as log records; what stands before the message goes into fields of their own, as Modal sends it.
fn log_records(text: &str) -> Value {
    let records = text.lines().map(|line| {
        let (prefix, message) = line.split_once(" 🔍").unwrap();
        let mut words = prefix.split(' ');
        let time = format!("{}T{}", words.next().unwrap(), words.next().unwrap());
        let nanos = chrono::DateTime::parse_from_rfc3339(&time)
            .unwrap()
            .timestamp_nanos_opt()
            .unwrap();
        let attribute = |key: &str, value: Option<&str>| {
            json!({"key": key, "value": {"stringValue": value.unwrap()}})
        };
        json!({"timeUnixNano": nanos.to_string(), "body": {"stringValue": format!("🔍{message}\n")},
            "attributes": [attribute("function_call_id", words.next()),
                attribute("container_id", words.next())]})
    });
    let records: Vec<_> = records.collect();
    json!({"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]})
}

fn log_requests() -> Vec<Bytes> {
    (0..SPANS)
        .step_by(500)
        .map(|at| Bytes::from(log_records(&spans(at..at + 500)).to_string()))
        .collect()
}

async fn push_logs(intake: Intake, body: Bytes) -> Result<(), PushError> {
    intake.otlp_logs(Encoding::Json, body).await.map(drop)
}

#[tokio::test]
async fn log_records_over_otlp_keep_the_contract() {
    let bench = check_pushed(29, log_requests(), push_logs).await;
    let count = "select cast(count(*) as text) from trace_spans";
    assert_eq!(bench.db.texts(count).await, [SPANS.to_string()]);
}

#[tokio::test]
async fn spans_over_otlp_keep_the_contract() {
    let requests = (0..SPANS).step_by(300).map(|at| {
        let spans = (at + 1..=at + 300).map(|number| {
            json!({"traceId": format!("{number:032x}"), "spanId": format!("{number:016x}"),
                "name": "execute", "startTimeUnixNano": "1763899200000000000",
                "endTimeUnixNano": "1763899201000000000"})
        });
        let spans: Vec<_> = spans.collect();
        let request = json!({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]});
        Bytes::from(request.to_string())
    });
    let bench = check_pushed(31, requests.collect(), |intake, body| async move {
        intake.otlp_traces(Encoding::Json, body).await.map(drop)
    })
    .await;
    let distinct =
        "select cast(count(*) as text) || ' ' || count(distinct span_id) from trace_spans";
    let each_once = format!("{SPANS} {SPANS}");
    assert_eq!(bench.db.texts(distinct).await, [each_once]);
}

#[tokio::test]
async fn the_same_lines_through_otlp_are_the_same_spans() {
    let mut bench = Bench::new(13).await;
    // First as lines, then through OTLP: no row more.
    let (pipeline, out) = bench.start();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.log");
    append(&path, &spans(0..SPANS));
    let file = tokio::spawn(FileSource { pattern: path }.run(out.clone()));
    let deadline = Instant::now() + PATIENCE;
    for request in log_requests() {
        let intake = Intake::new(&pipeline.input, &pipeline.stats.sources);
        while push_logs(intake.clone(), request.clone()).await.is_err() {
            assert!(Instant::now() < deadline, "never acknowledged");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    bench.wait_for_all().await;
    out.stop.cancel();
    file.await.unwrap().unwrap_err();
    drop(out);
    pipeline.drain().await.unwrap();
    let count = "select cast(count(*) as text) from trace_spans";
    assert_eq!(bench.db.texts(count).await, [SPANS.to_string()]);
}

/// A pipe that gives what it has in random pieces, and then nothing for ever.
struct Pipe(std::vec::IntoIter<Bytes>);

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let Some(piece) = self.0.next() else {
            std::thread::sleep(Duration::from_secs(3600));
            return Ok(0);
        };
        buffer[..piece.len()].copy_from_slice(&piece);
        Ok(piece.len())
    }
}

#[tokio::test]
async fn a_pipe_loses_nothing_that_was_spooled_when_the_process_ends() {
    let mut bench = Bench::new(17).await;
    let (pipeline, out) = bench.start();
    let pipe = Pipe(pieces(&mut bench.chance, 3_000).into_iter());
    let reading = tokio::spawn(StdinSource.read(pipe, out.clone(), |_| {}));
    let length = spans(0..SPANS).len() as u64;
    let deadline = Instant::now() + PATIENCE;
    while pipeline.stats.snapshot().bytes < length {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // A flush interval, and the time after which a slow write is spooled, and a good deal more.
    tokio::time::sleep(Duration::from_secs(8)).await;
    reading.abort();
    drop((pipeline, out));
    let (pipeline, out) = bench.start();
    bench.wait_for_all().await;
    drop(out);
    pipeline.drain().await.unwrap();
    bench.compare().await;
}

#[tokio::test]
async fn a_pipe_that_ends_is_stored_to_its_last_line() {
    let mut bench = Bench::new(37).await;
    let (pipeline, out) = bench.start();
    let input = std::io::Cursor::new(spans(0..SPANS).trim_end().to_owned());
    StdinSource.read(input, out, |_| {}).await.unwrap();
    // Whatever is left to be sent would hold the pipeline open.
    let drained = tokio::time::timeout(PATIENCE, pipeline.drain()).await;
    drained.unwrap().unwrap();
    bench.compare().await;
}

#[tokio::test]
async fn a_stream_that_breaks_off_in_mid_line_gives_no_half_line() {
    let mut bench = Bench::new(41).await;
    let (pipeline, out) = bench.start();
    for (most, end) in [(150, false), (usize::MAX, true)] {
        let stream = StreamId::new("test");
        let mut bytes = Bytes::from(span(1));
        bytes.truncate(most);
        out.bytes(&stream, bytes, None).await.unwrap();
        let over = if end { Input::End } else { Input::Broken };
        out.send(over(stream)).await.unwrap();
    }
    drop(out);
    pipeline.drain().await.unwrap();
    let count = "select cast(count(*) as text) from trace_spans";
    assert_eq!(bench.db.texts(count).await, ["1"]);
}
