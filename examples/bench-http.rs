//! Sends requests over HTTP as fast as they are answered, on connections that are kept, and prints how
//! many were answered a second and how long they took.
//!
//!     bench-http HOST:PORT CONNECTIONS SECONDS < REQUESTS
//!
//! A line of REQUESTS is LABEL, PATH and, for a POST, the JSON BODY, with tabs between. Each label is
//! measured by itself, in the order in which they first come: every connection goes through the label's
//! requests round and round, each from another place. Per label it prints, with tabs between: the label,
//! requests a second, the median, the 99th percentile and the longest time in ms, and how many answers
//! were no 200. `BENCH_MIXED=1` measures all labels at once instead, each request drawn in turn.
#![expect(
    clippy::print_stdout,
    reason = "the figures are what this program is for"
)]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::Context as _;

/// Requests sent before any is measured: caches, pools and branch predictors are not the point.
const WARM_UP: usize = 5;
/// A prime, so that connections are at different requests.
const STRIDE: usize = 7_919;

#[derive(Clone)]
struct Request {
    label: usize,
    bytes: Vec<u8>,
}

#[derive(Default)]
struct Figures {
    times: Vec<Duration>,
    refused: usize,
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, connections, seconds] = arguments.as_slice() else {
        anyhow::bail!("usage: bench-http HOST:PORT CONNECTIONS SECONDS < REQUESTS");
    };
    let connections: usize = connections.parse().context("CONNECTIONS")?;
    let period = Duration::from_secs_f64(seconds.parse().context("SECONDS")?);
    let (labels, requests) = read(address)?;
    if std::env::var_os("BENCH_MIXED").is_some() {
        print(
            &labels,
            &measure(address, &requests, connections, period)?,
            period,
        );
        return Ok(());
    }
    for label in 0..labels.len() {
        let own = requests.iter().filter(|one| one.label == label);
        let own: Vec<Request> = own.cloned().collect();
        print(
            &labels,
            &measure(address, &own, connections, period)?,
            period,
        );
    }
    Ok(())
}

/// The labels and the requests on standard input.
fn read(address: &str) -> anyhow::Result<(Vec<String>, Vec<Request>)> {
    let mut labels: Vec<String> = Vec::new();
    let mut requests = Vec::new();
    for line in std::io::stdin().lines() {
        let line = line?;
        let mut fields = line.splitn(3, '\t');
        let name = fields.next().unwrap_or_default();
        let path = fields
            .next()
            .with_context(|| format!("no path in {line:?}"))?;
        let known = labels.iter().position(|label| label == name);
        let label = known.unwrap_or_else(|| {
            labels.push(name.to_owned());
            labels.len() - 1
        });
        let bytes = match fields.next() {
            None => format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n"),
            Some(body) => format!(
                "POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
                 Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2025-11-25\r\n\
                 Content-Length: {}\r\n\r\n{body}",
                body.len()
            ),
        };
        requests.push(Request {
            label,
            bytes: bytes.into_bytes(),
        });
    }
    Ok((labels, requests))
}

fn measure(
    address: &str,
    requests: &[Request],
    connections: usize,
    period: Duration,
) -> anyhow::Result<BTreeMap<usize, Figures>> {
    std::thread::scope(|scope| {
        let worker = |number: usize| move || alone(address, requests, number * STRIDE, period);
        let workers: Vec<_> = (0..connections)
            .map(|number| scope.spawn(worker(number)))
            .collect();
        let mut all: BTreeMap<usize, Figures> = BTreeMap::new();
        for worker in workers {
            let done = worker
                .join()
                .map_err(|_| anyhow::anyhow!("a connection failed"))?;
            for (label, figures) in done? {
                let sum = all.entry(label).or_default();
                sum.times.extend(figures.times);
                sum.refused += figures.refused;
            }
        }
        Ok(all)
    })
}

fn alone(
    address: &str,
    requests: &[Request],
    start: usize,
    period: Duration,
) -> anyhow::Result<BTreeMap<usize, Figures>> {
    let mut out = TcpStream::connect(address)?;
    out.set_nodelay(true)?;
    let mut answers = BufReader::new(out.try_clone()?);
    let mut figures: BTreeMap<usize, Figures> = BTreeMap::new();
    let mut until = None;
    for (count, request) in requests
        .iter()
        .cycle()
        .skip(start % requests.len())
        .enumerate()
    {
        let began = Instant::now();
        if count >= WARM_UP && began >= *until.get_or_insert(began + period) {
            break;
        }
        out.write_all(&request.bytes)?;
        let good = read_answer(&mut answers)?;
        if count >= WARM_UP {
            let own = figures.entry(request.label).or_default();
            own.times.push(began.elapsed());
            own.refused += usize::from(!good);
        }
    }
    Ok(figures)
}

/// Reads an answer to its end; says whether it was a 200.
fn read_answer(answers: &mut BufReader<TcpStream>) -> anyhow::Result<bool> {
    let mut line = String::new();
    answers.read_line(&mut line)?;
    let good = line.contains(" 200 ");
    anyhow::ensure!(line.starts_with("HTTP/1.1 "), "answered {line:?}");
    let mut length = 0;
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
    Ok(good)
}

fn print(labels: &[String], figures: &BTreeMap<usize, Figures>, period: Duration) {
    for (label, figures) in figures {
        let mut times = figures.times.clone();
        times.sort_unstable();
        let at = |share: f64| {
            let place = ((times.len() as f64 * share) as usize).min(times.len() - 1);
            times[place].as_secs_f64() * 1000.0
        };
        println!(
            "{}\t{:.0}\t{:.2}\t{:.2}\t{:.2}\t{}",
            labels[*label],
            times.len() as f64 / period.as_secs_f64(),
            at(0.5),
            at(0.99),
            at(1.0),
            figures.refused
        );
    }
}
