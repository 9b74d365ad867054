//! Asks an HTTP server for the same paths again and again, and says how fast it answered.
//!
//! ```text
//! cargo run --release -p bars-api --example api_load -- http://127.0.0.1:8000 --connections 16 --seconds 5 /bars/AAPL /bars/MSFT
//! cargo run --release -p bars-api --example api_load -- http://127.0.0.1:8000 --rate 1000 --seconds 10 /bars/AAPL
//! ```
//!
//! Without `--rate` each connection asks as soon as it has its answer (closed loop). With it, requests have fixed times and an answer's
//! time counts from there (open loop), so that a server that falls behind cannot hide it. How late this program itself asked although
//! the connection was free is said too: that part of a time is not the server's.

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
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Requests that may be due on a connection that is busy: a server so far behind needs no more of them.
const RINGS_MAX: usize = 100_000;

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

/// What one connection saw.
#[derive(Default)]
struct Seen {
    /// From when each answer was due to be asked for until it was whole.
    times: Vec<Duration>,
    /// From when a request was due and its connection free until it was sent.
    late: Vec<Duration>,
    bytes: usize,
}

async fn run(plan: Plan) -> anyhow::Result<()> {
    let mut sockets = Vec::new();
    for _ in 0..plan.connections {
        let socket = TcpStream::connect(&plan.host).await;
        sockets.push(socket.with_context(|| format!("no connection to {}", plan.host))?);
    }
    let began = Instant::now();
    let until = began + Duration::from_secs(plan.seconds);
    let (mut tasks, mut bells) = (Vec::new(), Vec::new());
    for (number, socket) in sockets.into_iter().enumerate() {
        let requests =
            plan.paths.iter().map(|path| format!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", plan.host)).collect();
        let (bell, rings) = channel(RINGS_MAX);
        let schedule = if plan.rate.is_some() { Schedule::At(rings) } else { Schedule::AtOnce(until) };
        tasks.push(tokio::spawn(ask(socket, requests, number, schedule)));
        bells.push(bell);
    }
    if let Some(rate) = plan.rate {
        std::thread::spawn(move || ring(&bells, began, Duration::from_secs_f64(1.0 / rate), until));
    }
    let mut seen = Seen::default();
    for task in tasks {
        let one = task.await??;
        seen.times.extend(one.times);
        seen.late.extend(one.late);
        seen.bytes += one.bytes;
    }
    ensure!(!seen.times.is_empty(), "no answer at all");
    seen.times.sort();
    seen.late.sort();
    let took = began.elapsed().as_secs_f64();
    let rate = seen.times.len() as f64 / took;
    let at = |part| at(&seen.times, part);
    let (p50, p90, p99, max) = (at(0.5), at(0.9), at(0.99), at(1.0));
    print!("{rate:.0} answers/s, p50 {p50:.2} ms, p90 {p90:.2} ms, p99 {p99:.2} ms, max {max:.2} ms, ");
    print!("{:.1} MB/s", seen.bytes as f64 / took / 1e6);
    if plan.rate.is_some() {
        let late = |part| self::at(&seen.late, part);
        print!("; asked late: half {:.2} ms, 99th {:.2} ms, max {:.2} ms", late(0.5), late(0.99), late(1.0));
    }
    println!();
    Ok(())
}

/// Milliseconds that this part of the sorted `times` stays within.
fn at(times: &[Duration], part: f64) -> f64 {
    times[((times.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3
}

/// Rings for one connection after the other. A thread of its own, because the runtime's timers know whole milliseconds only.
#[allow(clippy::disallowed_methods, reason = "it blocks a thread of its own, no runtime's")]
fn ring(bells: &[Sender<Instant>], began: Instant, each: Duration, until: Instant) {
    let mut due = began;
    for bell in bells.iter().cycle() {
        if due >= until {
            return;
        }
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        if bell.blocking_send(due).is_err() {
            return; // its connection failed, which its task says
        }
        due += each;
    }
}

/// When a connection asks.
enum Schedule {
    /// As soon as it has its answer, until then.
    AtOnce(Instant),
    /// At these times.
    At(Receiver<Instant>),
}

impl Schedule {
    /// When the next request is due, after waiting for it; `None` at the end.
    async fn next(&mut self) -> Option<Instant> {
        match self {
            Self::AtOnce(until) => Some(Instant::now()).filter(|now| now < until),
            Self::At(rings) => rings.recv().await,
        }
    }
}

async fn ask(
    mut socket: TcpStream,
    requests: Vec<String>,
    number: usize,
    mut schedule: Schedule,
) -> anyhow::Result<Seen> {
    socket.set_nodelay(true)?;
    let (mut seen, mut buffer) = (Seen::default(), Vec::with_capacity(1 << 20));
    let mut free = Instant::now();
    for request in requests.iter().cycle().skip(number) {
        let Some(due) = schedule.next().await else { break };
        seen.late.push(due.max(free).elapsed());
        socket.write_all(request.as_bytes()).await?;
        seen.bytes += answer(&mut socket, &mut buffer).await?;
        free = Instant::now();
        seen.times.push(free - due);
    }
    Ok(seen)
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
