//! Feeds in, normalised records out.
//!
//! One record's way: [`connection`] reads a frame from the socket, the feed's [`feed::Protocol`] (here [`alpaca`]) makes
//! [`event::Event`]s of it, [`fanout`] encodes each record once and hands the same bytes to [`hot`] (Redis) and [`cold`] (Kafka). An outage
//! becomes a gap ([`gaps`]), which [`backfill`] heals from the REST history; [`journal`] is what survives a crash.

pub mod alpaca;
pub mod backfill;
pub mod cold;
pub mod config;
pub mod connection;
pub mod dial;
pub mod event;
pub mod fanout;
pub mod feed;
pub mod gaps;
pub mod hot;
pub mod journal;
pub mod time;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use market::Source;
use service::kafka::KafkaConfig;
use service::telemetry::Metrics;
use service::{CancellationToken, Health, Tasks, ops};
use tokio::sync::mpsc;

pub use config::Config;

use crate::alpaca::rest::Rest;
use crate::alpaca::{Alpaca, AlpacaSettings};
use crate::backfill::Backfill;
use crate::cold::Cold;
use crate::cold::spool::Spool;
use crate::cold::writer::Writer;
use crate::fanout::Fanout;
use crate::gaps::{Gaps, Herald};
use crate::hot::Hot;
use crate::journal::Journal;

/// How long a graceful stop may take; the cold path needs most of it.
const DRAIN_MAX: Duration = Duration::from_secs(15);
/// Gaps that may wait to be healed.
const GAPS_MAX: usize = 1024;
/// Pause between two attempts to make the topics.
const TOPICS_RETRY: Duration = Duration::from_secs(1);

/// Runs the producer until `stop`: first the feed ends, then both paths empty themselves.
///
/// # Errors
/// Where a person has to help: wrong keys, a port or spool in use. The text says what to do.
pub async fn run(config: Config, stop: CancellationToken) -> anyhow::Result<()> {
    let metrics = Metrics::install();
    let health = Health::new("producer");
    let mut tasks = Tasks::new(&stop);
    let stopping = tasks.stop_token();

    let cold = Cold::default();
    let spool = Spool::open(&config.spool_dir, config.spool_bytes_max)?;
    let journal = Journal::open(config.spool_dir.join("journal.json"))?;
    let topics_exist = Arc::<AtomicBool>::default();
    let writer = Writer::new(
        cold.clone(),
        config.kafka.clone(),
        spool,
        journal.clone(),
        topics_exist.clone(),
        health.part("kafka"),
    )?;
    tasks.spawn("kafka", on_a_thread("kafka-writer", move || writer.run()));
    tasks.spawn("topics", ensure_topics(config.kafka, topics_exist, stopping.clone()));

    let (hot, publisher) = Hot::new(config.redis, health.part("redis"));
    tasks.spawn("redis", publisher.run(stopping.clone()));

    let herald = Herald::new(hot.clone(), cold.clone(), journal.clone());
    let (heal, gaps_to_heal) = mpsc::channel(GAPS_MAX);
    let AlpacaSettings { url, key, secret, symbols, .. } = config.alpaca.clone();
    let backfill = Backfill {
        rest: Rest::new(&config.alpaca_rest_url, &url, key, secret)?,
        symbols,
        settings: config.backfill,
        cold: cold.clone(),
        herald: herald.clone(),
        journal: journal.clone(),
        part: health.part("backfill"),
    };
    tasks.spawn("backfill", backfill.run(gaps_to_heal, stopping.clone()));

    let gaps = Gaps::resume(Source::alpaca(), &journal, herald, heal);
    let fanout = Fanout::new(epoch_now(), hot, cold.clone());
    let alpaca = Box::new(Alpaca::new(config.alpaca));
    let feed = connection::keep_connected(dial::Internet, alpaca, fanout, gaps, health.part("feed"), stopping.clone());
    tasks.spawn("feed", async move {
        let ended = feed.await;
        cold.close(); // nothing more will come: the writer may finish
        ended
    });
    tasks.spawn("health", ops::serve(config.ops, health, metrics, stopping));
    tasks.run(DRAIN_MAX).await
}

/// This run's name: its start in Unix milliseconds.
fn epoch_now() -> i64 {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX)
}

/// Runs blocking work on a thread of its own.
async fn on_a_thread(name: &str, work: impl FnOnce() -> anyhow::Result<()> + Send + 'static) -> anyhow::Result<()> {
    let (done, ended) = tokio::sync::oneshot::channel();
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || drop(done.send(work())))
        .context("cannot start a thread")?;
    ended.await.context("the thread panicked")?
}

/// Makes the topics where they are missing, as soon as a broker answers.
async fn ensure_topics(kafka: KafkaConfig, exist: Arc<AtomicBool>, stop: CancellationToken) -> anyhow::Result<()> {
    loop {
        match stop.run_until_cancelled(kafka.ensure_topics()).await {
            Some(Ok(())) => break,
            Some(Err(error)) => tracing::warn!("{error:#}"),
            None => return Ok(()),
        }
        if stop.run_until_cancelled(tokio::time::sleep(TOPICS_RETRY)).await.is_none() {
            return Ok(());
        }
    }
    exist.store(true, Ordering::Relaxed);
    stop.cancelled().await;
    Ok(())
}
