//! At 1,000 trades a second: how long from the feed's frame to a Socket.IO client, and until the row is visible in PostgreSQL.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use futures_util::{SinkExt as _, StreamExt as _};
use market::{Source, Symbol, Trade};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use crate::feed::{Feed, Subscribed, frames};
use crate::report::{Report, number, percentile};
use crate::stack::Stack;

const RATE: u64 = 1_000;
const SYMBOL: &str = "SPY";
/// How often the table is looked at: no more often, because each look takes time from what is measured.
const WATCH_EVERY: Duration = Duration::from_millis(10);
/// Trades at the start that are not counted, a minute of them: that long the compilers of Kafka's JVM take half a core.
const WARM_UP: usize = 60_000;

pub(crate) async fn measure(report: &mut Report, seconds: u64) -> Result<()> {
    println!("\nlatency: {RATE} trades/s for {seconds} s, open loop, one Socket.IO client, every part on this machine");
    let stack = Stack::start().await?;
    let count = WARM_UP + usize::try_from(RATE * seconds)?;
    let gateway = stack.service("realtime-gateway", "GATEWAY_PORT", &[]).await?;
    let trades = stack.service("consumer-trades", "CONSUMER_TRADES_PORT", &[]).await?;
    let feed = Feed::listen().await?;
    let env = feed.env()?;
    let (producer, subscribed) = tokio::join!(stack.service("producer", "PRODUCER_PORT", &env), feed.accept());
    let (producer, subscribed) = (producer?, subscribed?);

    // Sender and client have a thread each: one that waits for the other's turn would be measured, too.
    let port = gateway.port;
    let client = std::thread::spawn(move || own_runtime()?.block_on(socket_io_client(port, count)));
    let database = stack.connect(stack.infra.var("POSTGRES_DB")).await?;
    let visible = tokio::spawn(watch(database, count));
    tokio::time::sleep(Duration::from_secs(1)).await;

    let sender = tokio::task::spawn_blocking(move || send(subscribed, count));
    let (sent, mut late) = sender.await??;
    let received = tokio::task::spawn_blocking(move || client.join()).await?;
    let received = received.map_err(|_| anyhow::anyhow!("the client panicked"))??;
    let stored = visible.await??;

    let section = "latency";
    let since = |arrived: &[Option<Instant>]| -> Vec<f64> {
        let pairs = sent.iter().zip(arrived).skip(WARM_UP);
        pairs
            .filter_map(|(sent, arrived)| Some((*arrived)?.saturating_duration_since(*sent).as_secs_f64() * 1e3))
            .collect()
    };
    let (mut hot, mut cold) = (since(&received), since(&stored));
    report.add(section, "frame → Socket.IO client, p50", percentile(&mut hot, 50.0), "ms", "<= 0.3");
    report.add(section, "frame → Socket.IO client, p99", percentile(&mut hot, 99.0), "ms", "<= 1");
    report.add(section, "frame → visible in PostgreSQL, p50", percentile(&mut cold, 50.0), "ms", "");
    report.add(section, "frame → visible in PostgreSQL, p99", percentile(&mut cold, 99.0), "ms", "<= 250");
    report.add(section, "trades that the client got", number(hot.len()) / number(count - WARM_UP), "of all", "1");
    report.add(section, "lateness of the load tool itself, p99", percentile(&mut late, 99.0), "ms", "");
    for (name, running) in [("producer", &producer), ("realtime-gateway", &gateway), ("consumer-trades", &trades)] {
        report.add(section, &format!("{name}, highest memory"), running.memory_mib()?, "MiB", "");
    }
    producer.service.stop().await;
    stack.infra.stop().await;
    Ok(())
}

fn own_runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

/// Sends each trade at its time, whatever becomes of it; when each was sent, and by how many milliseconds too late.
#[expect(clippy::disallowed_methods, reason = "a thread of its own: tokio's timers know whole milliseconds only")]
fn send(mut feed: Subscribed, count: usize) -> Result<(Vec<Instant>, Vec<f64>)> {
    let runtime = tokio::runtime::Handle::current();
    let (mut sent, mut late) = (Vec::with_capacity(count), Vec::with_capacity(count));
    let begin = Instant::now();
    for at in 0..count {
        let due = begin + Duration::from_secs(1) / u32::try_from(RATE)? * u32::try_from(at)?;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let frame = frames(&[trade(at)?], 1).remove(0);
        let now = Instant::now();
        sent.push(now);
        late.push(now.saturating_duration_since(due).as_secs_f64() * 1e3);
        runtime.block_on(feed.send(frame))?;
    }
    Ok((sent, late))
}

fn trade(at: usize) -> Result<Trade> {
    Ok(Trade {
        symbol: Symbol::new(SYMBOL)?,
        price: 168.25,
        size: 100.0,
        ts_ns: i64::try_from(jiff::Timestamp::now().as_nanosecond())?,
        trade_id: Some(at.to_string().into()),
        exchange: Some("P".into()),
        conditions: ["@".into()].into_iter().collect(),
        tape: Some("B".into()),
        source: Source::alpaca(),
    })
}

/// When each trade arrived, by its number.
async fn socket_io_client(port: u16, count: usize) -> Result<Vec<Option<Instant>>> {
    let url = format!("ws://127.0.0.1:{port}/socket.io/?EIO=4&transport=websocket");
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await?;
    socket.send(Message::text("40")).await?;
    socket.send(Message::text(format!(r#"42["subscribe","{SYMBOL}"]"#))).await?;
    let mut arrived = vec![None; count];
    let mut left = count;
    while left > 0 {
        // What has not come ten seconds after the last one will not come.
        let Ok(Some(message)) = timeout(Duration::from_secs(10), socket.next()).await else { break };
        let message = message?;
        let now = Instant::now();
        let text = message.to_text().unwrap_or_default();
        if text == "2" {
            socket.send(Message::text("3")).await?;
        }
        let number = text.starts_with(r#"42["trade""#).then(|| number_in(text)).flatten();
        if let Some(slot) = number.and_then(|number| arrived.get_mut(number)) {
            *slot = Some(now);
            left -= 1;
        }
    }
    Ok(arrived)
}

fn number_in(text: &str) -> Option<usize> {
    text.split_once(r#""trade_id":""#)?.1.split_once('"')?.0.parse().ok()
}

/// When each trade became visible: asks for the newest row again and again.
async fn watch(database: tokio_postgres::Client, count: usize) -> Result<Vec<Option<Instant>>> {
    let newest = database
        .prepare(
            "SELECT trade_id::bigint FROM market_data_oltp.stock_trades_realtime
             WHERE symbol = $1 ORDER BY symbol DESC, ts_ns DESC LIMIT 1",
        )
        .await
        .context("the trades' table")?;
    let mut visible = vec![None; count];
    let (mut next, mut progress) = (0, Instant::now());
    while next < count && progress.elapsed() < Duration::from_secs(15) {
        let row = database.query_opt(&newest, &[&SYMBOL]).await?;
        let now = Instant::now();
        let newest = row.map_or(0, |row| usize::try_from(row.get::<_, i64>(0)).unwrap_or(0) + 1);
        if newest > next {
            visible[next..newest].fill(Some(now));
            (next, progress) = (newest, now);
        }
        tokio::time::sleep(WATCH_EVERY).await;
    }
    Ok(visible)
}
