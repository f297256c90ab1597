//! Requests that are no requests, too large, or never end.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{JSON, world};
use crate::support::server::Server;

#[tokio::test]
async fn what_is_no_json_rpc_is_refused_in_words_and_nothing_ends() {
    let database = world().await;
    let server = Server::start(&database.url, &[]);
    let deep =
        |open: &str, close: &str| format!("{}1{}", open.repeat(50_000), close.repeat(50_000));
    let nested = |depth: usize| {
        let arguments = format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"get_trace","arguments":{arguments}}}}}"#
        )
    };
    let bodies = [
        String::new(),
        "{".to_owned(),
        "null".to_owned(),
        "[]".to_owned(),
        "7".to_owned(),
        "\"tools/list\"".to_owned(),
        "\u{0}\u{1}\u{2}".to_owned(),
        r#"{"jsonrpc":"2.0"}"#.to_owned(),
        r#"{"jsonrpc":"1.0","id":1,"method":"tools/list"}"#.to_owned(),
        r#"{"jsonrpc":"2.0","id":{},"method":"tools/list"}"#.to_owned(),
        r#"{"jsonrpc":"2.0","id":1,"method":7}"#.to_owned(),
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":[]}"#.to_owned(),
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":7}}"#.to_owned(),
        deep("[", "]"),
        deep("{\"a\":", "}"),
        nested(200),
        nested(20_000),
    ];
    for body in &bodies {
        let shown: String = body.chars().take(70).collect();
        let reply = server.send("POST", "/mcp", &JSON, body);
        let answer: Value = serde_json::from_str(&reply.body).unwrap_or_default();
        let refused = (400..500).contains(&reply.status) || answer["error"]["code"].is_i64();
        assert!(refused, "{shown}: {reply:?}");
        assert!(reply.body.len() < 2_000, "{shown}: a long refusal");
        for word in ["panicked", "src/", ".rs:"] {
            assert!(!reply.body.contains(word), "{shown}: {}", reply.body);
        }
    }
    let reply = server.send("POST", "/mcp", &JSON, &nested(50));
    let answer: Value = serde_json::from_str(&reply.body).unwrap();
    assert_eq!(answer["result"]["isError"], true, "{answer}");
    let list = server.mcp("tools/list", &json!({}));
    assert!(list["result"]["tools"].is_array());
}

#[tokio::test]
async fn what_is_too_large_is_refused_before_it_is_read() {
    let database = world().await;
    let server = Server::start(&database.url, &[]);
    for (path, limit) in [
        ("/mcp", 1 << 20),
        ("/api/v1/failures", 1 << 20),
        ("/api/v1/ingest/test", 16 << 20),
    ] {
        // As long as it says, and in pieces of which nobody says how many come.
        let piece = "x".repeat(64 * 1024);
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Accept: application/json, text/event-stream\r\n",
            server.address
        );
        for chunked in [false, true] {
            let mut stream = TcpStream::connect(&server.address).unwrap();
            stream
                .set_read_timeout(Some(Duration::from_secs(30)))
                .unwrap();
            let how = if chunked {
                "Transfer-Encoding: chunked".to_owned()
            } else {
                format!("Content-Length: {}", 1_u64 << 40)
            };
            stream
                .write_all(format!("{head}{how}\r\n\r\n").as_bytes())
                .unwrap();
            let mut sent = 0;
            // It stops reading when it has seen enough; what is sent then fails sooner or later.
            while sent < 4 * limit {
                let wrapped = format!("{:x}\r\n{piece}\r\n", piece.len());
                let part = if chunked { &wrapped } else { &piece };
                if stream.write_all(part.as_bytes()).is_err() {
                    break;
                }
                sent += piece.len();
            }
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer);
            let answer = String::from_utf8_lossy(&answer).into_owned();
            let refused = answer.contains(" 413 ") || answer.contains(" 405 ") || answer.is_empty();
            assert!(refused, "{path} {how}: {answer}");
        }
    }
    let long = "a".repeat(200_000);
    for (path, headers) in [
        (format!("/api/v1/traces/{long}"), vec![]),
        ("/healthz".to_owned(), vec![("X-Long", long.as_str())]),
    ] {
        let status = server.send("GET", &path, &headers, "").status;
        assert!((400..500).contains(&status) || status == 0, "{status}");
    }
    let many: Vec<String> = (0..2_000).map(|at| format!("X-{at}")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|name| (name.as_str(), "x")).collect();
    let status = server.send("GET", "/healthz", &many, "").status;
    assert!((400..500).contains(&status), "{status}");
    assert_eq!(server.get("/healthz").status, 200);
}

#[tokio::test]
async fn slow_clients_are_cut_off_and_keep_nobody_waiting() {
    let database = world().await;
    let server = Server::start(&database.url, &[]);
    let head = format!("POST /mcp HTTP/1.1\r\nHost: {}\r\n", server.address);
    let body = format!("{head}Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{{");
    let connect = |text: &str| {
        let mut stream = TcpStream::connect(&server.address).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_millis(10)))
            .unwrap();
        stream
    };
    // Some begin a head and some a body, and send a byte now and then.
    let mut slow: Vec<(&str, TcpStream)> = Vec::new();
    for _ in 0..100 {
        slow.push(("head", connect(&head)));
        slow.push(("body", connect(&body)));
        slow.push(("nothing", connect("")));
    }
    let began = Instant::now();
    while !slow.is_empty() {
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "{} are still there",
            slow.len()
        );
        let asked = Instant::now();
        assert_eq!(server.get("/healthz").status, 200);
        assert!(
            asked.elapsed() < Duration::from_secs(5),
            "{:?}",
            asked.elapsed()
        );
        slow.retain_mut(|(what, stream)| {
            let mut answer = [0; 512];
            match stream.read(&mut answer) {
                Ok(0) => return false,
                Ok(read) => {
                    let text = String::from_utf8_lossy(&answer[..read]);
                    assert!(text.contains(" 408 "), "{what}: {text}");
                    return false;
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => return false,
            }
            let more: &[u8] = match *what {
                "head" => b"X: y\r\n",
                "body" => b" ",
                _ => b"",
            };
            stream.write_all(more).is_ok()
        });
        std::thread::sleep(Duration::from_millis(500));
    }
    assert!(
        began.elapsed() > Duration::from_secs(5),
        "who is a little slow is served"
    );
}
