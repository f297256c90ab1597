//! Calls a tool over Streamable HTTP as fast as it is answered, on connections that are kept, and prints
//! requests a second and the median time of a call: `bench-mcp HOST:PORT TOOL ARGUMENTS CONNECTIONS CALLS`.
#![expect(
    clippy::print_stdout,
    reason = "the figures are what this program is for"
)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::Context as _;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, tool, given, connections, calls] = arguments.as_slice() else {
        anyhow::bail!("usage: bench-mcp HOST:PORT TOOL ARGUMENTS CONNECTIONS CALLS");
    };
    let (connections, calls): (usize, usize) = (connections.parse()?, calls.parse()?);
    let request = request(address, tool, given);
    // Caches, pools and branch predictors are not what is measured.
    together(address, &request, connections, calls / 10 + 1)?;
    let began = Instant::now();
    let mut times = together(address, &request, connections, calls)?;
    let took = began.elapsed().as_secs_f64();
    times.sort_unstable();
    let median = times[times.len() / 2];
    println!(
        "{:.0} {:.3}",
        times.len() as f64 / took,
        median.as_secs_f64() * 1000.0
    );
    Ok(())
}

fn request(address: &str, tool: &str, given: &str) -> Vec<u8> {
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{tool}","arguments":{given}}}}}"#
    );
    format!(
        "POST /mcp HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2025-11-25\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn together(
    address: &str,
    request: &[u8],
    connections: usize,
    calls: usize,
) -> anyhow::Result<Vec<Duration>> {
    let each = calls / connections + 1;
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..connections)
            .map(|_| scope.spawn(|| alone(address, request, each)))
            .collect();
        let mut times = Vec::new();
        for worker in workers {
            let done = worker
                .join()
                .map_err(|_| anyhow::anyhow!("a connection failed"))?;
            times.extend(done?);
        }
        Ok(times)
    })
}

fn alone(address: &str, request: &[u8], calls: usize) -> anyhow::Result<Vec<Duration>> {
    let mut out = TcpStream::connect(address)?;
    out.set_nodelay(true)?;
    let mut answers = BufReader::new(out.try_clone()?);
    let mut times = Vec::with_capacity(calls);
    for _ in 0..calls {
        let began = Instant::now();
        out.write_all(request)?;
        read_answer(&mut answers)?;
        times.push(began.elapsed());
    }
    Ok(times)
}

fn read_answer(answers: &mut BufReader<TcpStream>) -> anyhow::Result<()> {
    let mut length = 0;
    let mut line = String::new();
    answers.read_line(&mut line)?;
    anyhow::ensure!(line.contains(" 200 "), "answered {line:?}");
    loop {
        line.clear();
        answers.read_line(&mut line)?;
        let header = line.trim().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().context("content-length")?;
        }
    }
    let mut body = vec![0; length];
    answers.read_exact(&mut body)?;
    Ok(())
}
