//! Two producers for the same feed: one leads, and when it is killed the other takes over and admits what was missed.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod stack;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use local_stack::testing::Database;
use local_stack::{Kafka, Service, testing};
use market::{Gap, wire};

use stack::{drain, eventually, freeze, history, key, metric, producer_kind, simulator, trades};

/// Handovers in the test; more by `LEADER_HANDOVERS`.
const HANDOVERS: usize = 2;

async fn start(
    simulator: &feed_simulator::Simulator,
    kafka: &Kafka,
    folder: &Path,
    channel: &str,
    database: &Database,
) -> Service {
    let kind = producer_kind(simulator, kafka, folder).await;
    let kind = kind.env("REDIS_CHANNEL_TRADES", channel).env("LEADER_LEASE", "postgres").envs(database.env());
    Service::launch(kind).await.unwrap()
}

async fn leads(producer: &Service) -> bool {
    metric(producer, "producer_leader").await > 0.5 && metric(producer, "producer_hot_published_total").await > 0.0
}

type Heard = Arc<Mutex<BTreeMap<(String, i64, String, String), usize>>>;

/// How often each trade is heard on Redis.
async fn listen(channel: &str) -> Heard {
    let client = redis::Client::open(testing::redis().await.url()).unwrap();
    let mut connection = client.get_async_pubsub().await.unwrap();
    connection.subscribe(channel).await.unwrap();
    let heard = Heard::default();
    let noting = heard.clone();
    tokio::spawn(async move {
        let mut messages = connection.into_on_message();
        while let Some(message) = messages.next().await {
            let (trade, _) = wire::decode_trade(message.get_payload_bytes()).unwrap();
            *noting.lock().unwrap().entry(key(&trade)).or_default() += 1;
        }
    });
    heard
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_takes_over_from_a_killed_leader_and_no_trade_is_heard_twice_or_lost() {
    let handovers = std::env::var("LEADER_HANDOVERS").ok().and_then(|text| text.parse().ok()).unwrap_or(HANDOVERS);
    let folder = tempfile::tempdir().unwrap();
    let (kafka, database) = (Kafka::start_temporary().await.unwrap(), testing::database().await);
    let simulator = simulator(500).await;
    let channel = testing::unique("trades");
    let heard = listen(&channel).await;
    let folders = ["one", "two"].map(|name| folder.path().join(name));
    folders.iter().for_each(|folder| std::fs::create_dir(folder).unwrap());
    let mut leader = start(&simulator, &kafka, &folders[0], &channel, &database).await;
    eventually("the first one leads", Duration::from_secs(30), async || leads(&leader).await).await;
    let mut standby = start(&simulator, &kafka, &folders[1], &channel, &database).await;
    let safe_ns = |folder: &Path| {
        let journal = std::fs::read(folder.join("spool/journal.json")).ok()?;
        serde_json::from_slice::<serde_json::Value>(&journal).ok()?["feeds"]["alpaca"]["safe_ns"].as_i64()
    };
    let mut last_safe_ns = None;
    let mut handover_times = Vec::new();
    for handover in 0..handovers {
        // A leader that dies before it has noted anything belongs to the outage before it.
        let folder = &folders[handover % 2];
        for _ in 0..2 {
            eventually("the leader delivers", Duration::from_secs(30), async || safe_ns(folder) > last_safe_ns).await;
            last_safe_ns = safe_ns(folder);
        }
        let text =
            local_stack::http::get(local_stack::server::Kind::port(standby.kind()).unwrap(), "/health").await.unwrap();
        assert!(text.status == 200 && text.body.contains("standby"), "{}", text.body);
        assert!(metric(&standby, "producer_hot_published_total").await == 0.0, "a standby publishes nothing");
        leader.kill().await;
        let killed = Instant::now();
        eventually("the standby leads", Duration::from_secs(30), async || leads(&standby).await).await;
        let took = killed.elapsed();
        handover_times.push(took);
        assert!(took < Duration::from_secs(20), "five seconds, on a machine that is not loaded");
        last_safe_ns = safe_ns(&folders[(handover + 1) % 2]);
        leader.restart().await.unwrap();
        std::mem::swap(&mut leader, &mut standby);
    }
    handover_times.sort();
    println!(
        "{handovers} handovers: median {:?}, longest {:?}",
        handover_times[handovers / 2],
        handover_times[handovers - 1]
    );
    let healing = Instant::now();
    eventually("every gap is healed", Duration::from_secs(60), async || {
        let mut gaps = BTreeMap::new();
        for payload in drain(&kafka, "stock_feed_gaps") {
            let gap = Gap::decode(&payload).unwrap();
            gaps.insert(gap.from, gap);
        }
        if healing.elapsed() > Duration::from_secs(55) {
            println!("{gaps:?}\n{}\n{}", leader.log_tail(), standby.log_tail());
        }
        gaps.len() >= handovers && gaps.values().all(|gap| gap.healed_at.is_some())
    })
    .await;
    freeze(&simulator).await;
    tokio::time::sleep(Duration::from_secs(1)).await; // what the socket still holds
    assert!(leader.stop().await, "a graceful stop");
    standby.stop().await;

    let stored = trades(&kafka);
    let keys: BTreeSet<_> = stored.iter().map(|(trade, _)| key(trade)).collect();
    let first_epoch = stored.iter().filter_map(|(_, position)| Some((*position)?.epoch)).min().unwrap();
    let first = |epoch: i64, seq: u64| epoch == first_epoch && seq == 1;
    let firsts = stored.iter().filter(|(_, position)| position.is_some_and(|at| first(at.epoch, at.seq)));
    let subscribed_ns = firsts.map(|(trade, _)| trade.ts_ns).max().unwrap();
    let missing: Vec<_> = history(&simulator, subscribed_ns).await.difference(&keys).cloned().collect();
    assert!(missing.is_empty(), "{} trades are missing, such as {:?}", missing.len(), missing.first());
    let twice: Vec<_> =
        heard.lock().unwrap().iter().filter(|(_, count)| **count > 1).map(|(key, _)| key.clone()).collect();
    assert!(twice.is_empty(), "{} trades were heard twice, such as {:?}", twice.len(), twice.first());
}
