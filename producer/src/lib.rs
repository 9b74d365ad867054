//! Feeds in, normalised records out.
//!
//! One record's way: [`connection`] reads a frame from the socket, the feed's [`feeds::protocol::Protocol`] takes it apart and makes
//! [`feeds::event::Event`]s of it, [`fanout`] gives each record its position, encodes it once and hands the same bytes to
//! [`fanout::hot`] (Redis) and [`fanout::cold`] (Kafka). An outage, also one that only a silence betrays, becomes a gap ([`gaps`]),
//! which [`gaps::healing`] fills from the REST history; [`journal`] is what survives a crash. What clients of the gateways want,
//! [`demand`] brings to the connections. [`ledger`] counts what was numbered. [`pipeline`] connects the stages; [`tools`] are the
//! subcommands for people.

pub mod config;
pub mod connection;
pub mod demand;
pub mod fanout;
pub mod feeds;
pub mod gaps;
pub mod journal;
pub mod leader;
pub mod ledger;
mod metrics;
pub mod pipeline;
pub mod tools;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use service::kafka::KafkaConfig;
use service::telemetry::Metrics;
use service::{CancellationToken, Health, Tasks, ops};
use tokio::sync::{mpsc, watch};

pub use config::Config;

use crate::demand::barren::Barren;
use crate::demand::listener::Listener;
use crate::demand::past::PastBars;
use crate::demand::refusals::Refusals;
use crate::demand::{Demand, Watched};
use crate::fanout::cold::Cold;
use crate::fanout::cold::spool::Spool;
use crate::fanout::cold::writer::Writer;
use crate::fanout::hot::Hot;
use crate::fanout::positions::Positions;
use crate::feeds::FeedSettings;
use crate::gaps::Herald;
use crate::gaps::healing::Backfill;
use crate::journal::Journal;
use crate::leader::{Leader, Tenure, name_of};
use crate::ledger::keeper::Keeper;
use crate::pipeline::Paths;

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
    let metrics = Metrics::install(metrics::METRICS);
    let health = Health::new("producer");
    let mut tasks = Tasks::new(&stop);
    let stopping = tasks.stop_token();

    let cold = Cold::new(config.cold_queue_bytes_max);
    let spool = Spool::open(&config.spool_dir, config.spool_bytes_max)?;
    let journal = Journal::open(config.spool_dir.join("journal.json"))?;
    journal.report_to(health.part("journal"));
    tasks.spawn("health", ops::serve(config.ops, health.clone(), metrics, stopping.clone()));
    let holder = name_of(&config.spool_dir)?;
    let elected = Leader::elect(&config.leader, holder, journal.clone(), health.part("leader"), &stopping);
    let Some(leader) = elected.await? else { return tasks.run(DRAIN_MAX).await };
    let fence = leader.fence();
    let tenure = Tenure::begin(leader, &mut tasks);
    let topics_exist = Arc::<AtomicBool>::default();
    let writer = Writer::new(
        cold.clone(),
        config.kafka.clone(),
        spool,
        journal.clone(),
        topics_exist.clone(),
        health.part("kafka"),
        config.past_rate_max,
    )?;
    let writer = writer.behind(fence.clone());
    tasks.spawn("kafka", on_a_thread("kafka-writer", move || writer.run()));
    tasks.spawn("topics", ensure_topics(config.kafka, topics_exist, stopping.clone()));

    let epoch = epoch_now();
    let folder = config.spool_dir.join("ledger");
    let (ledger, keeper) = Keeper::open(folder, epoch, cold.clone(), health.part("ledger"))?;
    tasks.spawn("ledger", on_a_thread("ledger", move || keeper.run()));

    let (hot, publisher) = Hot::new(config.redis.clone(), health.part("redis"));
    tasks.spawn("redis", publisher.behind(fence).run(stopping.clone()));

    let refusals: HashMap<_, Refusals> = config.feeds.iter().map(|feed| (feed.feed(), Refusals::default())).collect();
    let wanted_before = journal.wanted();
    let wanted = match config.feeds.first().and_then(FeedSettings::symbols) {
        Some(always) => {
            let demand = Demand::new(always.to_vec(), config.demand_grace);
            let (wishes, watched) = watch::channel(demand.wishes());
            let listener = Listener {
                redis: config.redis,
                demand,
                wishes,
                journal: journal.clone(),
                refusals: refusals.values().cloned().collect(),
                noted: None,
                part: health.part("demand"),
            };
            tasks.spawn("demand", listener.run(stopping.clone()));
            Watched::new(watched)
        }
        None => Watched::default(), // everything is subscribed already
    };

    let herald = Herald::new(hot.clone(), cold.clone(), journal.clone());
    let (heal, gaps_to_heal): (HashMap<_, _>, Vec<_>) = config
        .feeds
        .iter()
        .map(|settings| {
            let (heal, gaps) = mpsc::channel(GAPS_MAX);
            ((settings.feed(), heal), (settings, gaps))
        })
        .unzip();
    // First the account of gaps, then their healing: a gap of the last run may go on.
    let paths = Paths {
        positions: Positions::new(epoch),
        hot,
        cold: cold.clone(),
        ledger,
        journal: journal.clone(),
        herald: herald.clone(),
        wanted: wanted.clone(),
        refusals: refusals.clone(),
        heal,
    };
    pipeline::spawn(&config.feeds, config.internet, &paths, &health, &mut tasks, &stopping);
    for (settings, gaps) in gaps_to_heal {
        let (feed, archive) = (settings.feed(), settings.archive()?);
        if feed.keeps_trades() {
            let past = PastBars {
                archive: archive.clone(),
                days: config.past_days,
                wanted: wanted.clone(),
                cold: cold.clone(),
                journal: journal.clone(),
                barren: Barren::default(),
            };
            tasks.spawn("past", past.run(stopping.clone()));
        }
        let backfill = Backfill {
            archive,
            wanted: wanted.clone(),
            wanted_before: wanted_before.clone(),
            refusals: refusals.get(&feed).cloned().unwrap_or_default(),
            settings: config.backfill,
            cold: cold.clone(),
            herald: herald.clone(),
            journal: journal.clone(),
            part: health.part(feeds::backfill_name(feed)),
        };
        tasks.spawn(feeds::backfill_name(feed), backfill.run(gaps, stopping.clone()));
    }
    let outcome = tasks.run(DRAIN_MAX).await;
    tenure.end().await;
    outcome
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
