//! The history API beside FastAPI + asyncpg, on the same table: idle, and while bars are being written.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use local_stack::{http, port};
use tokio::process::{Child, Command};

use crate::report::Report;
use crate::stack::Stack;

const SYMBOLS: usize = 50;
const BARS: usize = 10_000;
const CONNECTIONS: usize = 16;

pub(crate) async fn measure(report: &mut Report, seconds: u64) -> Result<()> {
    println!("\nhistory API: {SYMBOLS} symbols × {BARS} minute bars, {CONNECTIONS} connections, {seconds} s a figure");
    let stack = Stack::start().await?;
    fill(&stack).await?;
    let ours = stack.service("bars-api", "API_PORT", &[]).await?;
    let peer_port = port::free()?;
    let mut peer = fastapi(&stack, peer_port).await?;

    for (limit, share) in [(1_000, ">= 20"), (100, ""), (1, "")] {
        let ask = Ask { seconds, ..Ask::newest(limit) };
        let idle = (load(ours.port, &ask).await?, load(peer_port, &ask).await?);
        let writing = Writer::start(&stack).await?;
        let busy = (load(ours.port, &ask).await?, load(peer_port, &ask).await?);
        writing.stop().await?;
        for (state, (ours, peer)) in [("idle", idle), ("while bars are written", busy)] {
            let what = |name: &str| format!("{limit} bars, {state}: {name}");
            report.add("api", &what("bars-api"), ours.rate, "answers/s", "");
            report.add("api", &what("FastAPI, one worker"), peer.rate, "answers/s", "");
            report.add("api", &what("bars-api / FastAPI"), ours.rate / peer.rate, "×", share);
        }
    }
    let writing = Writer::start(&stack).await?;
    for (name, ask) in [
        ("1,000 bars, one connection", Ask { connections: 1, seconds, ..Ask::newest(1_000) }),
        ("1,000 bars, 64 connections", Ask { connections: 64, seconds, ..Ask::newest(1_000) }),
        ("the newest bar of every symbol", Ask { paths: vec!["/bars/latest".to_owned()], seconds, ..Ask::newest(1) }),
    ] {
        let (ours, peer) = (load(ours.port, &ask).await?, load(peer_port, &ask).await?);
        report.add("api", &format!("{name}, while bars are written: bars-api"), ours.rate, "answers/s", "");
        report.add(
            "api",
            &format!("{name}, while bars are written: bars-api / FastAPI"),
            ours.rate / peer.rate,
            "×",
            "",
        );
    }
    let open_loop = load(ours.port, &Ask { rate: Some(1_000), seconds, ..Ask::newest(1_000) }).await?;
    writing.stop().await?;
    report.add("api", "1,000 bars at 1,000 requests/s while bars are written, p50", open_loop.p50_ms, "ms", "");
    report.add("api", "1,000 bars at 1,000 requests/s while bars are written, p99", open_loop.p99_ms, "ms", "<= 3");
    report.add("api", "the load tool itself late, p99", open_loop.late_p99_ms, "ms", "");
    report.add("api", "bars-api, highest memory", ours.memory_mib()?, "MiB", "");
    ours.service.stop().await;
    peer.kill().await?; // before the database goes, or it complains at length
    stack.infra.stop().await;
    Ok(())
}

/// Tables as the consumers make them, then bars.
async fn fill(stack: &Stack) -> Result<()> {
    stack.service("consumer-bars", "CONSUMER_BARS_PORT", &[]).await?.service.stop().await;
    let client = stack.connect(stack.infra.var("POSTGRES_DB")).await?;
    client
        .batch_execute(&format!(
            "INSERT INTO market_data_oltp.stock_bars_staging
                 (ts, ts_ns, open, high, low, close, volume, vwap, trade_count, symbol, timeframe, source)
             SELECT at, (extract(epoch FROM at) * 1000000000)::bigint, p, p + 0.3, p - 0.25, p + 0.1, 12345, p + 0.05, 87,
                    'SYM' || s, '1Min', 'alpaca'
             FROM generate_series(0, {SYMBOLS} - 1) s, generate_series(0, {BARS} - 1) b,
                  LATERAL (SELECT TIMESTAMPTZ '2026-01-05 09:00Z' + b * interval '1 minute' AS at, 100 + (b * 7 + s) % 1000 / 8.0 AS p) x
             ORDER BY s, b;
             INSERT INTO market_data_oltp.stock_bar_versions (symbol, timeframe)
             SELECT 'SYM' || s, '1Min' FROM generate_series(0, {SYMBOLS} - 1) s"
        ))
        .await?;
    client.batch_execute("VACUUM ANALYZE market_data_oltp.stock_bars_staging").await.context("cannot vacuum")
}

/// Revises the newest bar of one symbol after the other, 50 a second: one a second for each, as a live market does.
struct Writer {
    stop: tokio::sync::oneshot::Sender<()>,
    task: tokio::task::JoinHandle<Result<()>>,
}

impl Writer {
    async fn start(stack: &Stack) -> Result<Self> {
        let client = stack.connect(stack.infra.var("POSTGRES_DB")).await?;
        let (stop, mut stopped) = tokio::sync::oneshot::channel();
        let task = tokio::spawn(async move {
            let mut tick = tokio::time::interval(Duration::from_millis(20));
            for symbol in (0..SYMBOLS).cycle() {
                tokio::select! {
                    _ = tick.tick() => {}
                    _ = &mut stopped => return Ok(()),
                }
                let name = format!("SYM{symbol}");
                client
                    .batch_execute(&format!(
                        "BEGIN;
                         UPDATE market_data_oltp.stock_bars_staging SET close = close + 0.01, revision = revision + 1
                         WHERE symbol = '{name}' AND timeframe = '1Min' AND ts_ns = (
                             SELECT max(ts_ns) FROM market_data_oltp.stock_bars_staging WHERE symbol = '{name}' AND timeframe = '1Min');
                         SELECT market_data_oltp.bars_changed('{name}', '1Min', max(ts_ns))
                         FROM market_data_oltp.stock_bars_staging WHERE symbol = '{name}' AND timeframe = '1Min';
                         COMMIT"
                    ))
                    .await?;
            }
            Ok(())
        });
        Ok(Self { stop, task })
    }

    async fn stop(self) -> Result<()> {
        let _ = self.stop.send(()); // it may have failed, which the next line tells
        self.task.await?
    }
}

/// What the load tool asks for.
struct Ask {
    paths: Vec<String>,
    connections: usize,
    /// Requests a second, whatever the answers take; as many as go where `None`.
    rate: Option<u64>,
    seconds: u64,
}

impl Ask {
    /// The newest `limit` bars of one symbol after the other.
    fn newest(limit: usize) -> Self {
        let paths = (0..SYMBOLS).map(|symbol| format!("/bars/SYM{symbol}?limit={limit}")).collect();
        Self { paths, connections: CONNECTIONS, rate: None, seconds: 1 }
    }
}

struct Figures {
    rate: f64,
    p50_ms: f64,
    p99_ms: f64,
    /// How late the load tool asked, where requests have fixed times.
    late_p99_ms: f64,
}

/// Runs the API's own load tool as a process of its own.
async fn load(port: u16, ask: &Ask) -> Result<Figures> {
    let mut command = Command::new(example("api_load")?);
    command.arg(format!("http://127.0.0.1:{port}")).args(["--connections", &ask.connections.to_string()]);
    command.args(["--seconds", &ask.seconds.to_string()]);
    if let Some(rate) = ask.rate {
        command.args(["--rate", &rate.to_string()]);
    }
    command.args(&ask.paths);
    let output = command.output().await?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "the load tool failed: {}", String::from_utf8_lossy(&output.stderr));
    let after = |word: &str| -> Option<f64> { text.split(word).nth(1)?.split_whitespace().next()?.parse().ok() };
    Ok(Figures {
        rate: text.split_whitespace().next().and_then(|word| word.parse().ok()).context("no rate")?,
        p50_ms: after("p50").context("no p50")?,
        p99_ms: after("p99").context("no p99")?,
        late_p99_ms: after("99th").unwrap_or_default(),
    })
}

fn example(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let path = own.parent().map(|folder| folder.join("examples").join(name)).context("no folder")?;
    ensure!(path.is_file(), "{} is not built: run `make bench`", path.display());
    Ok(path)
}

/// The peer in a virtual environment of its own, made on the first run.
async fn fastapi(stack: &Stack, port: u16) -> Result<Child> {
    let folder = Path::new("bench/peers/fastapi");
    let python = folder.join(".venv/bin/python");
    if !python.exists() {
        println!("  (installing FastAPI into {})", folder.join(".venv").display());
        let steps: [&[&str]; 2] =
            [&["python3", "-m", "venv", ".venv"], &[".venv/bin/pip", "install", "-q", "-r", "requirements.txt"]];
        for step in steps {
            let (program, arguments) = step.split_first().context("an empty step")?;
            let status = Command::new(program).args(arguments).current_dir(folder).status().await?;
            ensure!(status.success(), "{program} failed: FastAPI cannot be installed");
        }
    }
    let child = Command::new(std::fs::canonicalize(folder)?.join(".venv/bin/uvicorn"))
        .args(["main:app", "--no-access-log", "--log-level", "warning", "--port", &port.to_string()])
        .current_dir(folder)
        .envs(stack.infra.env().iter().cloned())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context("uvicorn does not start")?;
    let deadline = Instant::now() + Duration::from_secs(30);
    while http::get(port, "/bars/SYM0?limit=1").await.map_or(true, |answer| answer.status != 200) {
        ensure!(Instant::now() < deadline, "FastAPI does not answer");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(child)
}
