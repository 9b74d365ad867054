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

use stack::{drain, eventually, freeze, history, key, metric, producer_kind, simulator_with, trades};

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

/// What a listener on Redis has heard.
#[derive(Default)]
struct Heard {
    /// Trades by symbol; a number that is missing or comes twice makes it absurdly large.
    trades: BTreeMap<String, u64>,
    /// Microseconds from each trade's stamp to its arrival here: the simulator's clock is ours.
    latencies_us: Vec<i64>,
}

impl Heard {
    /// The latency that 99 of 100 trades stay below.
    fn p99_us(&self) -> i64 {
        let mut sorted = self.latencies_us.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len() * 99 / 100).copied().unwrap_or(i64::MAX)
    }
}

async fn listen(channel: &str) -> Arc<std::sync::Mutex<Heard>> {
    let client = redis::Client::open(testing::redis().await.url()).unwrap();
    let mut connection = client.get_async_pubsub().await.unwrap();
    connection.subscribe(channel).await.unwrap();
    let heard = Arc::<std::sync::Mutex<Heard>>::default();
    let noted = heard.clone();
    tokio::spawn(async move {
        let mut messages = connection.into_on_message();
        while let Some(message) = messages.next().await {
            let (trade, position) = wire::decode_trade(message.get_payload_bytes()).unwrap();
            let mut noted = noted.lock().unwrap();
            let now_us = jiff::Timestamp::now().as_microsecond();
            noted.latencies_us.push(now_us - trade.ts_ns / 1000);
            let last = noted.trades.entry(trade.symbol.to_string()).or_default();
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
    // No late reports: their stamps would count as latency. And no quotes: each message is a trade.
    let simulator = simulator_with(2000, &["--late-share", "0", "--quote-share", "0"]).await;
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
    heard.lock().unwrap().latencies_us.clear();
    // The long form: COLD_PATH_FULL_SECONDS=300. Only there is the latency a verdict, because only there is the machine ours.
    let long = std::env::var("COLD_PATH_FULL_SECONDS").ok().map(|seconds| seconds.parse().unwrap());
    if let Some(seconds) = long {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        let heard = heard.lock().unwrap();
        println!("{} trades in {seconds} s, p99 {} µs to Redis", heard.latencies_us.len(), heard.p99_us());
        assert!(heard.p99_us() < 10_000, "p99 {} µs", heard.p99_us());
    }
    let taken = of_stream().await;
    eventually("clients hear what had no room", Duration::from_secs(10), async || {
        let heard: u64 = heard.lock().unwrap().trades.values().sum();
        #[expect(clippy::cast_precision_loss, reason = "a count")]
        let heard = heard as f64;
        heard >= taken && heard < 1e9
    })
    .await;
    assert_eq!(connections.load(Ordering::Relaxed), 1, "the feed saw one connection");

    kafka.restart().await.unwrap();
    eventually("the gap is healed", Duration::from_secs(120 + long.unwrap_or(0)), async || {
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
