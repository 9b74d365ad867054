//! The cold path against real Kafka, while things are killed: nothing lost, order kept, gaps admitted and healed.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod stack;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use local_stack::Kafka;
use market::Gap;
use serde_json::{Value, json};

use stack::{drain, eventually, freeze, history, key, metric, producer, simulator, trades};

#[tokio::test(flavor = "multi_thread")]
async fn while_kafka_is_dead_records_wait_on_disk_and_then_arrive_once_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let mut kafka = Kafka::start_temporary().await.unwrap();
    let simulator = simulator(3000).await;
    let producer = producer(&simulator, &kafka, folder.path()).await;
    eventually("Kafka has records", Duration::from_secs(20), async || {
        metric(&producer, "producer_kafka_acknowledged_total").await > 5000.0
    })
    .await;
    kafka.kill().await;
    eventually("the spool fills", Duration::from_secs(30), async || {
        metric(&producer, "producer_spool_bytes").await > 1e6
    })
    .await;
    kafka.restart().await.unwrap();
    eventually("the spool empties", Duration::from_secs(60), async || {
        metric(&producer, "producer_spool_bytes").await == 0.0
    })
    .await;
    freeze(&simulator).await;
    let taken = async || metric(&producer, "producer_records_total{stream=\"trades\"}").await;
    eventually("all is acknowledged", Duration::from_secs(20), async || {
        let before = taken().await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        before == taken().await && before == metric(&producer, "producer_kafka_acknowledged_total").await
    })
    .await;

    let mut last_seq = BTreeMap::new();
    let trades = trades(&kafka);
    for (trade, position) in &trades {
        let last = last_seq.entry(trade.symbol).or_insert(0);
        assert_eq!(position.unwrap().seq, *last + 1, "{} in order, none missing, none twice", trade.symbol);
        *last += 1;
    }
    #[expect(clippy::cast_precision_loss, reason = "a count")]
    let in_kafka = trades.len() as f64;
    assert_eq!(in_kafka, taken().await);
    producer.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_producer_admits_the_gap_and_heals_it() {
    let folder = tempfile::tempdir().unwrap();
    let kafka = Kafka::start_temporary().await.unwrap();
    let simulator = simulator(1000).await;
    let mut producer = producer(&simulator, &kafka, folder.path()).await;
    eventually("records flow", Duration::from_secs(20), async || {
        metric(&producer, "producer_kafka_acknowledged_total").await > 1000.0
    })
    .await;
    let journal = folder.path().join("spool/journal.json");
    let journal = || serde_json::from_slice::<Value>(&std::fs::read(&journal).ok()?).ok();
    let safe_ns = || journal()?["feeds"]["alpaca"]["safe_ns"].as_i64();
    let no_gap_is_left = || journal().is_some_and(|journal| journal["gaps"] == json!({}));
    let mut last_safe_ns = None;
    for _ in 0..2 {
        // A run that dies before it has noted anything belongs to the outage before it.
        eventually("the journal is written", Duration::from_secs(10), async || safe_ns() > last_safe_ns).await;
        last_safe_ns = safe_ns();
        producer.kill().await;
        tokio::time::sleep(Duration::from_secs(2)).await; // the outage
        producer.restart().await.unwrap();
        eventually("the gap is healed", Duration::from_secs(30), async || {
            metric(&producer, "producer_backfilled_total").await > 0.0 && no_gap_is_left()
        })
        .await;
    }
    freeze(&simulator).await;
    tokio::time::sleep(Duration::from_secs(1)).await; // what the socket still holds
    assert!(producer.stop().await, "a graceful stop");

    let stored = trades(&kafka);
    let keys: BTreeSet<_> = stored.iter().map(|(trade, _)| key(trade)).collect();
    // Late trades carry times from before the subscription; the newest of the first records does not.
    let firsts = stored.iter().filter(|(_, position)| position.is_some_and(|position| position.seq == 1));
    let first_epoch =
        firsts.clone().filter_map(|(_, position)| *position).map(|position| position.epoch).min().unwrap();
    let of_first_run = firsts.filter(|(_, position)| position.is_some_and(|position| position.epoch == first_epoch));
    let subscribed_ns = of_first_run.map(|(trade, _)| trade.ts_ns).max().unwrap();
    let missing: Vec<_> = history(&simulator, subscribed_ns).await.difference(&keys).cloned().collect();
    assert!(missing.is_empty(), "{} trades are missing, such as {:?}", missing.len(), missing.first());

    let mut gaps = BTreeMap::new();
    for payload in drain(&kafka, "stock_feed_gaps") {
        let gap = Gap::decode(&payload).unwrap();
        gaps.insert(gap.from, gap);
    }
    assert_eq!(gaps.len(), 2, "{gaps:?}");
    for gap in gaps.values() {
        assert!(gap.healed_at.is_some() && gap.to > Some(gap.from), "{gap:?}");
        assert_eq!(gap.cause, "the producer was not running");
    }
}
