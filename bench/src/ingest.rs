//! Socket frame → acknowledged by Kafka and published on Redis; and the busiest second the tape could have.

use std::time::{Duration, Instant};

use anyhow::Result;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::feed::{Feed, frames};
use crate::report::{Report, median, number};
use crate::stack::{Running, Stack, until};
use crate::tape;

/// Trades in one frame: at this rate a feed sends many at once.
const PER_FRAME: usize = 50;
const BURST: usize = 250_000;
const LIMIT: Duration = Duration::from_secs(120);

pub(crate) async fn measure(report: &mut Report, count: usize, runs: usize) -> Result<()> {
    println!("\nproducer: {count} trades in frames of {PER_FRAME}, as fast as it takes them; then {BURST} at once");
    let stack = Stack::start().await?;
    let frames = frames(&tape::trades(count.max(BURST)), PER_FRAME);
    let (sustained, burst) = (&frames[..count / PER_FRAME], &frames[..BURST / PER_FRAME]);

    let (mut rates, mut burst_seconds, mut lost, mut memory) = (vec![], vec![], vec![], vec![]);
    for run in 0..runs {
        let (seconds, dropped, mib) = send(&stack, run, sustained).await?;
        rates.push(number(sustained.len() * PER_FRAME) / seconds);
        memory.push(mib);
        lost.push(dropped);
        let (seconds, dropped, _) = send(&stack, runs + run, burst).await?;
        burst_seconds.push(seconds);
        lost.push(dropped);
    }
    let section = "ingest";
    report.add(section, "frame → Kafka acknowledged and Redis published", median(rates), "trades/s", ">= 150 k");
    report.add(section, "250,000 trades at once: until all are out", median(burst_seconds), "s", "");
    report.add(section, "records dropped on the hot way, all runs", lost.iter().sum(), "", "0");
    report.add(section, "producer, highest memory", median(memory), "MiB", "");
    stack.infra.stop().await;
    Ok(())
}

/// Seconds from the first frame until everything is out, hot records dropped, and memory in MiB.
async fn send(stack: &Stack, run: usize, frames: &[Utf8Bytes]) -> Result<(f64, f64, f64)> {
    let feed = Feed::listen().await?;
    let mut env = feed.env()?;
    env.push(("TOPIC_TRADES", format!("bench_ingest_{run}")));
    env.push(("SPOOL_DIR", stack.folder.path().join(format!("spool_{run}")).display().to_string()));
    let accepted = async { feed.accept().await };
    let (producer, subscribed) = tokio::join!(stack.service("producer", "PRODUCER_PORT", &env), accepted);
    let (producer, mut subscribed): (Running, _) = (producer?, subscribed?);
    let wanted = number(frames.len() * PER_FRAME);
    let begin = Instant::now();
    subscribed.send_all(frames).await?;
    let out = async || {
        let acknowledged = producer.metric("producer_kafka_acknowledged_total").await?;
        let hot = producer.metric("producer_hot_published_total").await?
            + producer.metric("producer_hot_dropped_total").await?;
        Ok(acknowledged.min(hot))
    };
    let end = until("acknowledged and published", wanted, LIMIT, out).await?;
    let dropped = producer.metric("producer_hot_dropped_total").await?;
    let mib = producer.memory_mib()?;
    producer.service.stop().await;
    Ok(((end - begin).as_secs_f64(), dropped, mib))
}
