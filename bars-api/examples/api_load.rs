//! Asks an HTTP server for the same paths again and again, and says how fast it answered.
//!
//! ```text
//! cargo run --release -p bars-api --example api_load -- http://127.0.0.1:8000 --connections 16 --seconds 5 /bars/AAPL /bars/MSFT
//! cargo run --release -p bars-api --example api_load -- http://127.0.0.1:8000 --rate 1000 --seconds 10 /bars/AAPL
//! ```
//!
//! Without `--rate` each connection asks as soon as it has its answer (closed loop). With it, requests have fixed times and an answer's
//! time counts from there (open loop), so that a server that falls behind cannot hide it.

#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "figures for people"
)]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

struct Plan {
    host: String,
    connections: usize,
    seconds: u64,
    rate: Option<f64>,
    paths: Vec<String>,
}

fn main() -> ExitCode {
    match Plan::read()
        .and_then(|plan| tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run(plan)))
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load: {error:#}");
            ExitCode::FAILURE
        }
    }
}

impl Plan {
    fn read() -> anyhow::Result<Self> {
        let mut plan = Self { host: String::new(), connections: 16, seconds: 5, rate: None, paths: Vec::new() };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut value = || words.next().with_context(|| format!("{word} needs a value"));
            match word.as_str() {
                "--connections" => plan.connections = value()?.parse()?,
                "--seconds" => plan.seconds = value()?.parse()?,
                "--rate" => plan.rate = Some(value()?.parse()?),
                path if path.starts_with('/') => plan.paths.push(word),
                url => match url.strip_prefix("http://") {
                    Some(host) => plan.host = host.trim_end_matches('/').to_owned(),
                    None => bail!("`{url}` is neither http://host:port, a path, nor an option"),
                },
            }
        }
        ensure!(
            !plan.host.is_empty() && !plan.paths.is_empty(),
            "usage: load http://host:port [--connections N] [--seconds N] [--rate N] /path …"
        );
        Ok(plan)
    }
}

async fn run(plan: Plan) -> anyhow::Result<()> {
    let began = Instant::now();
    let until = began + Duration::from_secs(plan.seconds);
    let each = plan.rate.map(|rate| Duration::from_secs_f64(plan.connections as f64 / rate));
    let tasks: Vec<_> = (0..plan.connections)
        .map(|number| {
            let requests =
                plan.paths.iter().map(|path| format!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", plan.host)).collect();
            let first = began + each.unwrap_or_default().mul_f64(number as f64 / plan.connections as f64);
            tokio::spawn(ask(plan.host.clone(), requests, number, first, each, until))
        })
        .collect();
    let (mut times, mut bytes) = (Vec::new(), 0);
    for task in tasks {
        let (some, count) = task.await??;
        times.extend(some);
        bytes += count;
    }
    ensure!(!times.is_empty(), "no answer at all");
    times.sort();
    let took = began.elapsed().as_secs_f64();
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3;
    let rate = times.len() as f64 / took;
    println!(
        "{rate:.0} answers/s, p50 {:.2} ms, p90 {:.2} ms, p99 {:.2} ms, max {:.2} ms, {:.1} MB/s",
        at(0.5),
        at(0.9),
        at(0.99),
        at(1.0),
        bytes as f64 / took / 1e6
    );
    Ok(())
}

async fn ask(
    host: String,
    requests: Vec<String>,
    number: usize,
    mut due: Instant,
    each: Option<Duration>,
    until: Instant,
) -> anyhow::Result<(Vec<Duration>, usize)> {
    let mut socket = TcpStream::connect(&host).await.with_context(|| format!("no connection to {host}"))?;
    socket.set_nodelay(true)?;
    let (mut times, mut bytes, mut buffer) = (Vec::new(), 0, Vec::with_capacity(1 << 20));
    for request in requests.iter().cycle().skip(number) {
        if each.is_some() {
            tokio::time::sleep_until(due.into()).await;
        }
        let from = if each.is_some() { due } else { Instant::now() };
        if from >= until {
            break;
        }
        socket.write_all(request.as_bytes()).await?;
        bytes += answer(&mut socket, &mut buffer).await?;
        times.push(from.elapsed());
        due += each.unwrap_or_default();
    }
    Ok((times, bytes))
}

/// Reads one answer; its length is in `content-length`.
async fn answer(socket: &mut TcpStream, buffer: &mut Vec<u8>) -> anyhow::Result<usize> {
    buffer.clear();
    loop {
        ensure!(socket.read_buf(buffer).await? > 0, "the server hung up");
        let Some(head) = buffer.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let text = std::str::from_utf8(&buffer[..head])?.to_ascii_lowercase();
        ensure!(text.starts_with("http/1.1 200"), "{}", text.lines().next().unwrap_or_default());
        let length = text.lines().find_map(|line| line.strip_prefix("content-length:")).context("no content-length")?;
        let whole = head + 4 + length.trim().parse::<usize>()?;
        while buffer.len() < whole {
            ensure!(socket.read_buf(buffer).await? > 0, "the server hung up in the middle of an answer");
        }
        return Ok(whole);
    }
}
