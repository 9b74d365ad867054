//! Load for a gateway, ours or another that speaks Socket.IO over WebSocket and listens to the same Redis channel.
//!
//! Every client is a real connection that subscribes to one symbol; records are published to Redis and carry the moment of their
//! publication, so the latency is that of the whole way Redis → gateway → client. Prints one JSON object.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use clap::{Parser, ValueEnum};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{interval, sleep, timeout};

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Mode {
    /// Memory of connected clients that get nothing.
    Idle,
    /// A fixed rate; open loop: a late publisher is reported, not hidden.
    Latency,
    /// As fast as every client takes it, losing nothing: at most `window` records are on their way.
    Throughput,
}

#[derive(Clone, Debug, Parser)]
struct Options {
    mode: Mode,
    #[arg(long, default_value = "127.0.0.1:5000")]
    gateway: String,
    #[arg(long, default_value = "127.0.0.1:6379")]
    redis: String,
    /// Process whose memory and CPU time are reported.
    #[arg(long)]
    pid: Option<u32>,
    #[arg(long, default_value_t = 100)]
    clients: usize,
    /// Clients among these that connect, subscribe and never read.
    #[arg(long, default_value_t = 0)]
    stalled: usize,
    /// Records a second.
    #[arg(long, default_value_t = 1_000)]
    rate: u64,
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Records on their way at most.
    #[arg(long, default_value_t = 800)]
    window: u64,
}

#[derive(Default)]
struct Shared {
    subscribed: AtomicU64,
    failed: AtomicU64,
    measuring: AtomicBool,
    stop: AtomicBool,
}

#[derive(Default)]
struct Client {
    received: AtomicU64,
}

fn now_ns() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let shared = Arc::new(Shared::default());
    let before_kib = options.pid.and_then(memory_kib);
    let clients: Vec<Arc<Client>> = (0..options.clients).map(|_| Arc::default()).collect();
    let mut tasks = Vec::new();
    for (index, client) in clients.iter().enumerate() {
        let (options, shared, client) = (options.clone(), Arc::clone(&shared), Arc::clone(client));
        let stalled = index < options.stalled;
        tasks.push(tokio::spawn(async move {
            let heard = listen(&options, &shared, &client, stalled).await;
            heard.unwrap_or_else(|_| {
                shared.failed.fetch_add(1, Ordering::Relaxed);
                Vec::new()
            })
        }));
        if index % 100 == 99 {
            sleep(Duration::from_millis(20)).await;
        }
    }
    let expected = options.clients as u64;
    timeout(Duration::from_secs(60), async {
        while shared.subscribed.load(Ordering::Relaxed) < expected {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .context("not every client could subscribe within 60 seconds")?;
    match options.mode {
        Mode::Idle => {
            sleep(Duration::from_secs(options.seconds)).await;
            let after_kib = options.pid.and_then(memory_kib);
            let each = before_kib.zip(after_kib).map_or(f64::NAN, |(before, after)| (after - before) / expected as f64);
            println!("{{\"mode\":\"idle\",\"clients\":{expected},\"kib_per_client\":{each:.2}}}");
            Ok(())
        }
        Mode::Latency | Mode::Throughput => measure(&options, &shared, &clients, tasks).await,
    }
}

async fn measure(
    options: &Options,
    shared: &Shared,
    clients: &[Arc<Client>],
    tasks: Vec<tokio::task::JoinHandle<Vec<u32>>>,
) -> anyhow::Result<()> {
    let mut redis = TcpStream::connect(&options.redis).await.context("Redis cannot be reached")?;
    redis.set_nodelay(true)?;
    let warm_up = Duration::from_secs(1);
    let readers = &clients[options.stalled..];
    publish(options, &mut redis, readers, warm_up).await?;
    shared.measuring.store(true, Ordering::Relaxed);
    let (cpu, count) = (options.pid.and_then(cpu_seconds), received(readers));
    let start = Instant::now();
    let late = publish(options, &mut redis, readers, Duration::from_secs(options.seconds)).await?;
    let elapsed = start.elapsed().as_secs_f64();
    let deliveries = received(readers) - count;
    let cpu = cpu.zip(options.pid.and_then(cpu_seconds)).map(|(before, after)| after - before);
    sleep(Duration::from_millis(300)).await;
    shared.stop.store(true, Ordering::Relaxed);
    let memory = options.pid.and_then(memory_kib);
    let mut latencies: Vec<u32> = Vec::new();
    for task in tasks {
        if let Ok(Ok(some)) = timeout(Duration::from_secs(3), task).await {
            latencies.extend(some);
        }
    }
    latencies.sort_unstable();
    let quantile = |permille: usize| {
        let index = (latencies.len() * permille / 1_000).min(latencies.len().saturating_sub(1));
        latencies.get(index).copied().unwrap_or_default()
    };
    let mut out = format!(
        "{{\"mode\":\"{:?}\",\"clients\":{},\"stalled\":{},\"deliveries_per_second\":{:.0}",
        options.mode,
        options.clients,
        options.stalled,
        deliveries as f64 / elapsed
    );
    write!(
        out,
        ",\"p50_us\":{},\"p90_us\":{},\"p99_us\":{},\"max_us\":{}",
        quantile(500),
        quantile(900),
        quantile(990),
        quantile(1_000)
    )?;
    write!(out, ",\"failed\":{},\"publisher_late_us\":{late}", shared.failed.load(Ordering::Relaxed))?;
    if let Some(cpu) = cpu {
        write!(
            out,
            ",\"cpu_us_per_delivery\":{:.2},\"cpu_share\":{:.2}",
            cpu * 1e6 / deliveries as f64,
            cpu / elapsed
        )?;
    }
    if let Some(memory) = memory {
        write!(out, ",\"memory_mib\":{:.1}", memory / 1024.0)?;
    }
    println!("{out}}}");
    Ok(())
}

fn received(clients: &[Arc<Client>]) -> u64 {
    clients.iter().map(|client| client.received.load(Ordering::Relaxed)).sum()
}

/// Publishes for `time`; returns by how many microseconds it was late at worst.
async fn publish(
    options: &Options,
    redis: &mut TcpStream,
    clients: &[Arc<Client>],
    time: Duration,
) -> anyhow::Result<u128> {
    let (mut answers, mut commands) = redis.split();
    let drain = async {
        let mut sink = vec![0; 64 << 10];
        while answers.read(&mut sink).await.is_ok_and(|length| length > 0) {}
    };
    let feed = async {
        let start = Instant::now();
        let (mut seq, mut late) = (0_u64, 0);
        match options.mode {
            Mode::Latency => {
                let step = Duration::from_nanos(1_000_000_000 / options.rate);
                let mut due = start;
                while start.elapsed() < time {
                    // The timer is coarse (1 ms): sleep until shortly before, then spin gently.
                    let now = Instant::now();
                    if due > now {
                        if due - now > Duration::from_millis(2) {
                            sleep(due - now - Duration::from_millis(2)).await
                        } else {
                            tokio::task::yield_now().await
                        }
                        continue;
                    }
                    late = late.max((now - due).as_micros());
                    seq += 1;
                    commands.write_all(&record(seq)).await?;
                    due += step;
                }
            }
            _ => {
                let base = slowest(clients);
                while start.elapsed() < time {
                    let under_way = seq.saturating_sub(slowest(clients) - base);
                    if under_way >= options.window {
                        tokio::task::yield_now().await;
                        continue;
                    }
                    let mut several = Vec::new();
                    for _ in 0..(options.window - under_way).clamp(1, 100) {
                        seq += 1;
                        several.extend(record(seq));
                    }
                    commands.write_all(&several).await?;
                }
            }
        }
        anyhow::Ok(late)
    };
    tokio::select! {
        late = feed => late,
        () = drain => anyhow::bail!("Redis closed the connection"),
    }
}

fn slowest(clients: &[Arc<Client>]) -> u64 {
    clients.iter().map(|client| client.received.load(Ordering::Relaxed)).min().unwrap_or_default()
}

/// A trade as the producer publishes it, with the moment of its publication.
fn record(seq: u64) -> Vec<u8> {
    let sent = now_ns();
    let trade = format!(
        "{{\"symbol\":\"LOAD\",\"price\":150.25,\"size\":100,\"timestamp\":{},\"timestamp_ns\":\"{sent:020}\",\"trade_id\":\"52983525033527\",\"exchange\":\"Q\",\"conditions\":[\"@\",\"F\"],\"tape\":\"C\",\"source\":\"alpaca\",\"epoch\":1,\"seq\":{seq}}}",
        sent / 1_000_000
    );
    format!("*3\r\n$7\r\nPUBLISH\r\n$19\r\nstock:trades:pubsub\r\n${}\r\n{trade}\r\n", trade.len()).into_bytes()
}

/// Connects, subscribes and counts; returns latencies in microseconds.
async fn listen(options: &Options, shared: &Shared, client: &Client, stalled: bool) -> anyhow::Result<Vec<u32>> {
    let mut socket = TcpStream::connect(&options.gateway).await?;
    socket.set_nodelay(true)?;
    let request = format!(
        "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        options.gateway
    );
    socket.write_all(request.as_bytes()).await?;
    let mut input = Vec::with_capacity(4 << 10);
    while !input.windows(4).any(|window| window == b"\r\n\r\n") {
        ensure!(socket.read_buf(&mut input).await? > 0, "no handshake");
    }
    ensure!(input.starts_with(b"HTTP/1.1 101"), "refused");
    let end = input.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or_default() + 4;
    input.drain(..end);
    socket.write_all(&masked(b"40")).await?;
    let mut latencies = Vec::new();
    let mut tick = interval(Duration::from_millis(500));
    let mut ready = false;
    loop {
        let mut at = 0;
        while let Some((start, end)) = frame(&input[at..]) {
            let body = &input[at + start..at + end];
            at += end;
            if body == b"2" {
                socket.write_all(&masked(b"3")).await?;
            } else if body.starts_with(b"40{") {
                // Not before: an Express gateway closes a connection whose first event comes together with the connect.
                socket.write_all(&masked(br#"420["subscribe","LOAD"]"#)).await?;
            } else if body.starts_with(b"430") && !ready {
                ready = true;
                shared.subscribed.fetch_add(1, Ordering::Relaxed);
            } else if body.starts_with(b"42[\"trade\"") {
                client.received.fetch_add(1, Ordering::Relaxed);
                if shared.measuring.load(Ordering::Relaxed)
                    && (matches!(options.mode, Mode::Latency) || latencies.len() < 1_000)
                {
                    latencies.extend(latency_us(body));
                }
            }
        }
        input.drain(..at);
        if input.is_empty() && input.capacity() > 64 << 10 && matches!(options.mode, Mode::Idle) {
            input = Vec::new();
        }
        if stalled && ready {
            std::future::pending::<()>().await;
        }
        input.reserve(if matches!(options.mode, Mode::Throughput) { 256 << 10 } else { 4 << 10 });
        tokio::select! {
            read = socket.read_buf(&mut input) => ensure!(read? > 0, "closed"),
            _ = tick.tick() => if shared.stop.load(Ordering::Relaxed) { return Ok(latencies) },
        }
    }
}

fn latency_us(body: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(body).ok()?;
    let at = text.find("\"timestamp_ns\":\"")? + 16;
    let sent: u64 = text.get(at..at + 20)?.parse().ok()?;
    u32::try_from(now_ns().saturating_sub(sent) / 1_000).ok()
}

/// Where the body of the first frame starts and ends.
fn frame(input: &[u8]) -> Option<(usize, usize)> {
    let (length, start) = match *input.get(1)? {
        126 => (usize::from(u16::from_be_bytes(input.get(2..4)?.try_into().ok()?)), 4),
        127 => (usize::try_from(u64::from_be_bytes(input.get(2..10)?.try_into().ok()?)).ok()?, 10),
        short => (usize::from(short), 2),
    };
    (input.len() >= start + length).then_some((start, start + length))
}

/// A client's text frame, with a mask of zeros.
fn masked(text: &[u8]) -> Vec<u8> {
    let mut out = vec![0x81, 0x80 | u8::try_from(text.len()).unwrap_or(125), 0, 0, 0, 0];
    out.extend_from_slice(text);
    out
}

fn memory_kib(pid: u32) -> Option<f64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    text.lines().find(|line| line.starts_with("Rss:"))?.split_whitespace().nth(1)?.parse().ok()
}

fn cpu_seconds(pid: u32) -> Option<f64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_whitespace().skip(11);
    let ticks: f64 = fields.next()?.parse::<f64>().ok()? + fields.next()?.parse::<f64>().ok()?;
    Some(ticks / 100.0)
}
