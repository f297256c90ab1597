//! Files and commands as sources, in real processes on the embedded database.

use std::io::Write as _;

use crate::support::collector::{Home, append, span, spans};

#[tokio::test]
async fn a_file_is_followed_by_name_through_a_rename() {
    let home = Home::new();
    let path = home.path("app.log");
    append(&path, &spans(0..10));
    let collector = home.collect(&["file:app.log"]);
    home.wait_for_completed(10).await;
    std::fs::rename(&path, home.path("app.log.1")).unwrap();
    // The writer goes on with the renamed file before it opens the new one.
    append(&home.path("app.log.1"), &spans(10..12));
    append(&path, &spans(12..20));
    home.wait_for_completed(20).await;
    collector.stop();
}

#[tokio::test]
async fn a_file_is_followed_through_copy_and_truncation_and_the_copy_is_read_to_its_end() {
    let home = Home::new();
    let path = home.path("app.log");
    append(&path, &spans(0..30));
    let collector = home.collect(&["file:app.log"]);
    home.wait_for_completed(30).await;
    // Written, copied and truncated between two looks.
    let copy = home.path("app.log.1");
    append(&path, &spans(30..40));
    std::fs::copy(&path, &copy).unwrap();
    std::fs::File::create(&path).unwrap();
    append(&path, &spans(40..43));
    home.wait_for_completed(43).await;
    // Truncated again and grown past its old length at once.
    std::fs::copy(&path, home.path("app.log.2")).unwrap();
    let file = std::fs::File::create(&path).unwrap();
    drop(file);
    append(&path, &spans(43..60));
    home.wait_for_completed(60).await;
    collector.stop();
}

#[tokio::test]
async fn a_writer_that_notices_a_rename_late_is_read_to_its_end() {
    let home = Home::new();
    let path = home.path("app.log");
    append(&path, &spans(0..5));
    let collector = home.collect(&["file:app.log"]);
    home.wait_for_completed(5).await;
    std::fs::rename(&path, home.path("app.log.1")).unwrap();
    append(&path, &spans(5..10));
    // The successor is being read now.
    home.wait_for_completed(10).await;
    append(&home.path("app.log.1"), &spans(10..15));
    append(&path, &spans(15..20));
    home.wait_for_completed(20).await;
    collector.stop();
}

#[tokio::test]
async fn a_compressed_file_that_is_still_being_written_is_read_to_its_end_once() {
    let home = Home::new();
    let file = Vec::new();
    let mut gzip = flate2::write::GzEncoder::new(file, flate2::Compression::none());
    gzip.write_all(spans(0..2_000).as_bytes()).unwrap();
    let whole = gzip.finish().unwrap();
    let path = home.path("old.log.gz");
    let mut written = std::fs::File::create(&path).unwrap();
    let (first, rest) = whole.split_at(whole.len() / 2);
    written.write_all(first).unwrap();
    let collector = home.collect(&["file:*.gz"]);
    home.wait_for("select count(*) > 900 from trace_spans", 1)
        .await;
    written.write_all(rest).unwrap();
    home.wait_for_completed(2_000).await;
    let length = i64::try_from(spans(0..2_000).len()).unwrap();
    let offset = "select json_extract(position, '$.offset') from checkpoints";
    home.wait_for(offset, length).await;
    collector.stop();
    // What was read to its end is not read again.
    let collector = home.collect(&["file:*.gz"]);
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    collector.stop();
    let log = std::fs::read_to_string(home.path("collector.log")).unwrap();
    let last = log.lines().rfind(|line| line.starts_with("read     "));
    assert!(last.unwrap().starts_with("read     0 lines"), "{log}");
}

/// As a copy that was taken too early: what follows in the file was in no copy.
#[tokio::test]
async fn a_file_that_was_truncated_and_has_grown_again_is_read_from_its_beginning() {
    let home = Home::new();
    let path = home.path("app.log");
    append(&path, &spans(0..30));
    let collector = home.collect(&["file:app.log"]);
    home.wait_for_completed(30).await;
    for round in 1..6 {
        std::fs::File::create(&path).unwrap();
        append(&path, &spans(round * 100..round * 100 + 30 + round));
        let so_far: usize = 30 + (1..=round).map(|round| 30 + round).sum::<usize>();
        home.wait_for_completed(so_far as i64).await;
    }
    collector.stop();
}

#[tokio::test]
async fn files_rotated_while_nobody_watched_are_read_to_their_ends() {
    let home = Home::new();
    let path = home.path("app.log");
    append(&path, &spans(0..20));
    let collector = home.collect(&["file:app.log"]);
    home.wait_for_completed(20).await;
    let position = "select json_extract(position, '$.offset') from checkpoints";
    let size = i64::try_from(spans(0..20).len()).unwrap();
    home.wait_for(position, size).await;
    collector.kill();
    append(&path, &spans(20..30));
    std::fs::rename(&path, home.path("app.log.2")).unwrap();
    append(&home.path("app.log.1"), &spans(30..40));
    append(&path, &spans(40..50));
    let collector = home.collect(&["file:app.log"]);
    home.wait_for_completed(50).await;
    collector.stop();
}

#[tokio::test]
async fn a_pattern_takes_up_new_files_and_reads_compressed_ones() {
    let home = Home::new();
    append(&home.path("a.log"), &spans(0..5));
    let collector = home.collect(&["file:*.log*"]);
    home.wait_for_completed(5).await;
    append(&home.path("b.log"), &spans(5..10));
    let file = std::fs::File::create(home.path("old.part")).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    gzip.write_all(spans(10..15).as_bytes()).unwrap();
    gzip.finish().unwrap();
    std::fs::rename(home.path("old.part"), home.path("old.log.gz")).unwrap();
    home.wait_for_completed(15).await;
    collector.stop();
}

#[tokio::test]
async fn a_collector_killed_at_any_moment_loses_and_doubles_nothing_of_a_file() {
    const SPANS: usize = 20_000;
    let log = spans(0..SPANS);
    let undisturbed = Home::new();
    append(&undisturbed.path("app.log"), &log);
    let collector = undisturbed.collect(&["file:app.log"]);
    undisturbed.wait_for_completed(SPANS as i64).await;
    collector.stop();

    let home = Home::new();
    append(&home.path("app.log"), &log);
    for pause in [40_u64, 90, 150, 220, 300] {
        let collector = home.collect(&["file:app.log"]);
        tokio::time::sleep(std::time::Duration::from_millis(pause)).await;
        collector.kill();
    }
    let collector = home.collect(&["file:app.log"]);
    home.wait_for_completed(SPANS as i64).await;
    collector.stop();
    assert!(
        home.rows().await == undisturbed.rows().await,
        "the rows differ"
    );
}

#[tokio::test]
async fn a_command_is_started_again_and_both_its_outputs_are_read() {
    let home = Home::new();
    std::fs::write(home.path("one"), span(1)).unwrap();
    std::fs::write(home.path("two"), span(2)).unwrap();
    let collector = home.collect(&["command:echo run >> runs; cat one; cat two >&2"]);
    home.wait_for_completed(2).await;
    std::fs::write(home.path("one"), span(3)).unwrap();
    home.wait_for_completed(3).await;
    assert!(
        std::fs::read_to_string(home.path("runs"))
            .unwrap()
            .lines()
            .count()
            > 1
    );
    collector.stop();
}

#[tokio::test]
async fn a_command_and_what_it_started_die_with_the_collector() {
    let home = Home::new();
    let collector = home.collect(&["command:echo $$ > pid; sleep 1000"]);
    let pid = loop {
        let text = std::fs::read_to_string(home.path("pid")).unwrap_or_default();
        if let Ok(pid) = text.trim().parse::<u32>() {
            break pid;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    };
    assert_ne!(pid, collector.id());
    collector.kill();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while is_alive(pid) {
        assert!(
            std::time::Instant::now() < deadline,
            "the command outlived the collector"
        );
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

/// Whether a process runs: not gone, and not merely waiting to be reaped.
fn is_alive(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status
        .lines()
        .any(|line| line.starts_with("State:") && !line.contains('Z'))
}

#[tokio::test]
async fn one_failing_source_stops_no_other() {
    let home = Home::new();
    append(&home.path("app.log"), &spans(0..3));
    let collector = home.collect(&["command:exit 3", "file:no/such/file.log", "file:app.log"]);
    home.wait_for_completed(3).await;
    assert!(
        collector
            .log()
            .contains("the command ended: exit status: 3"),
        "{}",
        collector.log()
    );
    collector.stop();
}

/// Answers each connection once, chunked, with what `answer` makes of its request.
async fn serve(
    kind: &'static str,
    answer: impl Fn(usize, &str) -> String + Send + 'static,
) -> std::net::SocketAddr {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for number in 0.. {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let count = connection.read(&mut request).await.unwrap();
            let request = String::from_utf8_lossy(request.get(..count).unwrap()).into_owned();
            let body = answer(number, &request);
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n"
            );
            let text = format!("{head}{:x}\r\n{body}\r\n", body.len());
            connection.write_all(text.as_bytes()).await.unwrap();
            // Broken off without the last chunk.
        }
    });
    address
}

#[tokio::test]
async fn server_sent_events_are_resumed_behind_the_last_one() {
    let address = serve("text/event-stream", |_, request| {
        let header = "last-event-id: ";
        let lower = request.to_lowercase();
        let last = lower
            .split_once(header)
            .and_then(|(_, rest)| rest.lines().next()?.parse().ok());
        let next: usize = last.map_or(0, |last: usize| last + 1);
        // Five at a time, and then no more.
        let events = (next..(next + 5).min(20)).map(|number| {
            let data = span(number);
            let lines: Vec<_> = data.lines().map(|line| format!("data: {line}\n")).collect();
            format!("id: {number}\n{}\n", lines.concat())
        });
        events.collect()
    })
    .await;
    let home = Home::new();
    let url = format!("http://{address}/logs?token=x");
    let collector = home.collect(&[&url]);
    home.wait_for_completed(20).await;
    home.wait_for(
        "select json_extract(position, '$.last_event_id') = '19' from checkpoints",
        1,
    )
    .await;
    assert_eq!(home.ask("select count(*) from loss_ledger").await, Some(0));
    assert!(!collector.log().contains("token=x"), "{}", collector.log());
    collector.stop();
}

#[tokio::test]
async fn a_stream_that_cannot_be_resumed_is_followed_and_its_breaks_are_entered_as_losses() {
    let address = serve("application/x-ndjson", |number, _| {
        spans(number * 3..number * 3 + 3)
    })
    .await;
    let home = Home::new();
    let collector = home.collect(&[&format!("http:http://{address}/logs")]);
    home.wait_for(
        "select count(*) >= 6 from trace_spans where status = 'completed'",
        1,
    )
    .await;
    home.wait_for(
        "select count(*) >= 1 from loss_ledger where source like 'http:%'",
        1,
    )
    .await;
    collector.stop();
}
