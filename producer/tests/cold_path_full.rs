//! Kafka is away and the spool is full: clients go on hearing everything on one connection to the feed, and what could not be stored is
//! declared, explained by number, and fetched again.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod stack;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use local_stack::{Kafka, Service, testing};
use market::gap::COLD_PATH_FULL;
use market::{Gap, wire};
use tokio::net::{TcpListener, TcpStream};

use stack::{drain, eventually, freeze, history, key, metric, producer_kind, simulator, trades};

/// Passes connections on to `target` and counts them.
async fn counting_relay(target: std::net::SocketAddr) -> (std::net::SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, count) = (listener.local_addr().unwrap(), Arc::<AtomicUsize>::default());
    let counted = count.clone();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                let mut server = TcpStream::connect(target).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    (address, count)
}

/// By symbol: how many trades a listener on Redis has heard. Panics where a number is missing or comes twice.
async fn listen(channel: &str) -> Arc<std::sync::Mutex<BTreeMap<String, u64>>> {
    let client = redis::Client::open(testing::redis().await.url()).unwrap();
    let mut connection = client.get_async_pubsub().await.unwrap();
    connection.subscribe(channel).await.unwrap();
    let heard = Arc::<std::sync::Mutex<BTreeMap<String, u64>>>::default();
    let noted = heard.clone();
    tokio::spawn(async move {
        let mut messages = connection.into_on_message();
        while let Some(message) = messages.next().await {
            let (trade, position) = wire::decode_trade(message.get_payload_bytes()).unwrap();
            let mut noted = noted.lock().unwrap();
            let last = noted.entry(trade.symbol.to_string()).or_default();
            *last += 1;
            // A panic of this task would go unseen; a wrong count is seen by the test.
            if position.unwrap().seq != *last {
                *last = u64::MAX / 2;
            }
        }
    });
    heard
}

#[tokio::test(flavor = "multi_thread")]
async fn with_kafka_away_and_the_spool_full_clients_hear_everything_and_the_rest_is_fetched_later() {
    let folder = tempfile::tempdir().unwrap();
    let mut kafka = Kafka::start_temporary().await.unwrap();
    let simulator = simulator(2000).await;
    let (relay, connections) = counting_relay(simulator.address()).await;
    let channel = testing::unique("trades");
    let heard = listen(&channel).await;
    let kind = producer_kind(&simulator, &kafka, folder.path())
        .await
        .env("ALPACA_DATA_WS_URL", format!("ws://{relay}/v2/sip"))
        .env("REDIS_CHANNEL_TRADES", &channel)
        .env("SPOOL_BYTES_MAX", 1 << 20)
        .env("COLD_QUEUE_BYTES_MAX", 1 << 16);
    let producer = Service::launch(kind).await.unwrap();
    let missed = async || metric(&producer, "producer_cold_missed_total{stream=\"trades\"}").await;
    let of_stream = async || metric(&producer, "producer_records_total{stream=\"trades\"}").await;
    eventually("Kafka has records", Duration::from_secs(30), async || {
        metric(&producer, "producer_kafka_acknowledged_total").await > 2000.0
    })
    .await;
    kafka.kill().await;
    eventually("the spool and the memory are full", Duration::from_secs(60), async || missed().await > 0.0).await;
    eventually("much has no room", Duration::from_secs(60), async || missed().await > 5000.0).await;
    let taken = of_stream().await;
    eventually("clients hear what had no room", Duration::from_secs(10), async || {
        let heard: u64 = heard.lock().unwrap().values().sum();
        #[expect(clippy::cast_precision_loss, reason = "a count")]
        let heard = heard as f64;
        heard >= taken && heard < 1e9
    })
    .await;
    assert_eq!(connections.load(Ordering::Relaxed), 1, "the feed saw one connection");

    kafka.restart().await.unwrap();
    eventually("the gap is healed", Duration::from_secs(120), async || {
        let gaps = std::fs::read(folder.path().join("spool/journal.json")).unwrap_or_default();
        serde_json::from_slice::<serde_json::Value>(&gaps).is_ok_and(|journal| journal["gaps"] == serde_json::json!({}))
    })
    .await;
    freeze(&simulator).await;
    tokio::time::sleep(Duration::from_secs(1)).await; // what the socket still holds
    assert!(producer.stop().await, "a graceful stop");
    assert_eq!(connections.load(Ordering::Relaxed), 1, "the feed saw one connection");

    let stored = trades(&kafka);
    let keys: BTreeSet<_> = stored.iter().map(|(trade, _)| key(trade)).collect();
    let firsts = stored.iter().filter(|(_, position)| position.is_some_and(|position| position.seq == 1));
    let subscribed_ns = firsts.map(|(trade, _)| trade.ts_ns).max().unwrap();
    let missing: Vec<_> = history(&simulator, subscribed_ns).await.difference(&keys).cloned().collect();
    assert!(missing.is_empty(), "{} trades are missing, such as {:?}", missing.len(), missing.first());

    let gaps: Vec<Gap> = drain(&kafka, "stock_feed_gaps").iter().map(|bytes| Gap::decode(bytes).unwrap()).collect();
    assert!(
        !gaps.is_empty() && gaps.iter().all(|gap| gap.cause == COLD_PATH_FULL),
        "nothing is blamed on the feed: {gaps:?}"
    );
    let mut explained = BTreeSet::new();
    for missed in gaps.iter().filter_map(|gap| gap.missed.as_ref()) {
        for (symbol, (first, last)) in &missed.trades {
            explained.extend((*first..=*last).map(|seq| (symbol.clone(), seq)));
        }
    }
    let mut next = BTreeMap::new();
    for (trade, position) in stored.iter().filter_map(|(trade, position)| Some((trade, (*position)?))) {
        let symbol = trade.symbol.to_string();
        let expected = next.entry(symbol.clone()).or_insert(1);
        while *expected < position.seq {
            assert!(
                explained.contains(&(symbol.clone(), *expected)),
                "{symbol} {expected} is neither in Kafka nor declared"
            );
            *expected += 1;
        }
        assert_eq!(*expected, position.seq, "{symbol} in order and not twice");
        *expected += 1;
    }
}
