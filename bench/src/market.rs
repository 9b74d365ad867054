//! The whole market on one machine: thousands of symbols with quotes, late reports and corrections, every part and the simulator running
//! at once. What counts is whether the table keeps up with the feed, and what the feed's clients notice of it.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use futures_util::{SinkExt as _, StreamExt as _};
use local_stack::Stack;
use local_stack::infra::Plan;
use local_stack::kafka::Jvm;
use local_stack::stack::Feed;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_tungstenite::tungstenite::Message;

use crate::cpu::Cpu;
use crate::report::{Report, median, number, percentile};
use crate::stack::{highest_memory_mib, metric};

/// How large a market, and for how long.
pub(crate) struct Scale {
    symbols: u32,
    messages_per_second: u32,
    /// Length of one figure of "stored against received".
    window: Duration,
    windows: u32,
}

impl Scale {
    /// The market of the design, or one that is measured within two minutes.
    pub(crate) fn new(fast: bool) -> Self {
        let (window, windows) = if fast { (10, 6) } else { (30, 10) };
        Self { symbols: 8_000, messages_per_second: 60_000, window: Duration::from_secs(window), windows }
    }
}

/// The first stretch is not counted: the compilers of Kafka's JVM are at work, and the past of the symbols is read.
const WARM_UP: Duration = Duration::from_secs(30);
/// Share of trades that are corrected: about 200 a second.
const CORRECTION_SHARE: f64 = 0.005;
/// Symbols that one client listens to: the busiest.
const CLIENT_SYMBOLS: &str = r#"["AAPL","MSFT","SPY"]"#;
/// Programs whose processor time and memory are reported.
const SERVICES: [&str; 6] =
    ["feed-simulator", "producer", "consumer-trades", "consumer-bars", "realtime-gateway", "bars-api"];
const SERVERS: [&str; 3] = ["java", "postgres", "redis-server"];

pub(crate) async fn measure(report: &mut Report, scale: &Scale) -> Result<()> {
    let Scale { symbols, messages_per_second, window, windows } = scale;
    println!(
        "\nmarket: {symbols} symbols, {messages_per_second} messages/s with quotes, late reports and {CORRECTION_SHARE} corrections a trade, for \
         {windows} × {window:?}; every part and the simulator on this machine"
    );
    let options = [
        ("--symbols", format!("*{symbols}")),
        ("--rate", messages_per_second.to_string()),
        ("--correction-share", CORRECTION_SHARE.to_string()),
    ];
    let feed = Feed {
        options: options.into_iter().flat_map(|(name, value)| [name.to_owned(), value]).collect(),
        symbols: Some("*".to_owned()),
    };
    let plan = Plan { folder: None, usual_ports: false, jvm: Jvm::Throughput, mock_allowed: false, say: |_| {} };
    let mut stack = Stack::start(&plan, &feed).await?;
    let client = tokio::spawn(client(stack.ports().gateway, WARM_UP + *window * *windows));
    tokio::time::sleep(WARM_UP).await;

    let ports = stack.ports();
    let (mut ratios, mut lags) = (Vec::new(), Vec::new());
    let (begin, cpu) = (Instant::now(), Cpu::now());
    let first = Counts::now(ports.producer, ports.trades).await?;
    let mut last = first;
    for _ in 0..*windows {
        lags.extend(lags_for(*window, ports.trades).await?);
        let now = Counts::now(ports.producer, ports.trades).await?;
        ratios.push((now.stored - last.stored) / (now.received - last.received));
        last = now;
    }
    let seconds = begin.elapsed().as_secs_f64();
    let used = Cpu::now();

    let section = "market";
    report.add(section, "trades received", (last.received - first.received) / seconds, "a second", "");
    report.add(section, "trades stored", (last.stored - first.stored) / seconds, "a second", "");
    let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
    report.add(section, "stored / received, median window", median(ratios), "", ">= 0.98");
    report.add(section, "stored / received, worst window", least, "", ">= 0.98");
    for (name, percent) in [("p50", 50.0), ("p99", 99.0), ("highest", 100.0)] {
        let goal = if percent > 98.0 { "<= 2" } else { "" };
        report.add(
            section,
            &format!("age of the oldest record that is not stored, {name}"),
            percentile(&mut lags, percent),
            "s",
            goal,
        );
    }
    report.add(section, "records dropped on the hot way", last.hot_dropped - first.hot_dropped, "", "0");
    report.add(section, "records through the spool, from the start", last.spooled, "", "0");
    report.add(section, "records through the spool, while measured", last.spooled - first.spooled, "", "0");
    report.add(section, "corrections stored", (last.corrections - first.corrections) / seconds, "a second", "");
    frame_to_client(report, client).await?;
    for name in SERVICES.into_iter().chain(SERVERS) {
        report.add(section, &format!("{name}, processor"), used.seconds_since(&cpu, name) / seconds, "cores", "");
    }
    for name in SERVICES {
        let pid = stack.service(name).with_context(|| format!("{name} does not run"))?.pid();
        report.add(section, &format!("{name}, highest memory"), highest_memory_mib(pid)?, "MiB", "");
    }
    stack.stop(|_| {}).await;
    Ok(())
}

/// What has been counted so far.
#[derive(Clone, Copy)]
struct Counts {
    received: f64,
    stored: f64,
    hot_dropped: f64,
    spooled: f64,
    corrections: f64,
}

impl Counts {
    async fn now(producer: u16, trades: u16) -> Result<Self> {
        // What is stored is read first: what is received in between then counts against us.
        let stored = metric(trades, "consumer_trades_rows_stored_total").await?
            + metric(trades, "consumer_trades_duplicates_skipped_total").await?;
        Ok(Self {
            stored,
            corrections: metric(trades, "consumer_trades_corrections_rows_stored_total").await?,
            received: metric(producer, r#"producer_records_total{stream="trades"}"#).await?,
            hot_dropped: metric(producer, "producer_hot_dropped_total").await?,
            spooled: metric(producer, "producer_spooled_total").await?,
        })
    }
}

/// How far behind the consumer says it is, each second.
async fn lags_for(window: Duration, trades: u16) -> Result<Vec<f64>> {
    let mut tick = interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (begin, mut lags) = (Instant::now(), Vec::new());
    while begin.elapsed() < window {
        tick.tick().await;
        lags.push(metric(trades, "consumer_trades_lag_seconds").await?);
    }
    Ok(lags)
}

async fn frame_to_client(report: &mut Report, client: JoinHandle<Result<Vec<f64>>>) -> Result<()> {
    let mut delays = client.await??;
    let section = "market";
    report.add(section, "trades of three busy symbols that a client got", number(delays.len()), "", "");
    report.add(section, "trade's own time → Socket.IO client, p50", percentile(&mut delays, 50.0), "ms", "");
    // One trade in five hundred is reported late on purpose, which the 99th percentile does not see.
    report.add(section, "trade's own time → Socket.IO client, p99", percentile(&mut delays, 99.0), "ms", "<= 20");
    Ok(())
}

/// Milliseconds from each trade's own time to its arrival, after the warm-up and until `end`.
async fn client(gateway: u16, end: Duration) -> Result<Vec<f64>> {
    let url = format!("ws://127.0.0.1:{gateway}/socket.io/?EIO=4&transport=websocket");
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await?;
    socket.send(Message::text("40")).await?;
    socket.send(Message::text(format!(r#"42["subscribe",{CLIENT_SYMBOLS}]"#))).await?;
    let begin = Instant::now();
    let mut delays = Vec::new();
    while begin.elapsed() < end {
        let Ok(Some(message)) = timeout(Duration::from_secs(5), socket.next()).await else { break };
        let message = message?;
        let text = message.to_text().unwrap_or_default();
        if text == "2" {
            socket.send(Message::text("3")).await?;
        }
        if begin.elapsed() > WARM_UP && text.starts_with(r#"42["trade""#) {
            let now_ns = jiff::Timestamp::now().as_nanosecond();
            #[expect(clippy::cast_precision_loss, reason = "delays are far below 2^53 ns")]
            delays.extend(time_ns(text).map(|at_ns| (now_ns - at_ns) as f64 / 1e6));
        }
    }
    Ok(delays)
}

fn time_ns(text: &str) -> Option<i128> {
    text.split_once(r#""timestamp_ns":""#)?.1.split_once('"')?.0.parse().ok()
}
