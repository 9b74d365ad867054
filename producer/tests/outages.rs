//! The cold path against real Kafka, while things are killed: nothing lost, order kept, gaps admitted and healed.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use clap::Parser as _;
use feed_simulator::{Options, Simulator};
use local_stack::{Kafka, Service, ServiceKind, port, testing};
use market::{Gap, Position, Trade, wire};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{ClientConfig, Message as _, Offset, TopicPartitionList};
use serde_json::{Value, json};

const SYMBOLS: &str = "AAPL,MSFT,GOOGL,SPY";

async fn simulator(rate: u32) -> Simulator {
    let rate = rate.to_string();
    let options = Options::parse_from([
        "feed-simulator",
        "--listen",
        "127.0.0.1:0",
        "--symbols",
        SYMBOLS,
        "--rate",
        &rate,
        "--correction-share",
        "0",
        "--seed",
        "7",
    ]);
    feed_simulator::start(options.check().unwrap()).await.unwrap()
}

/// The producer as a process of its own, so that it can be killed.
async fn producer(simulator: &Simulator, kafka: &Kafka, folder: &Path) -> Service {
    let redis = testing::redis().await;
    let address = simulator.address();
    let health = port::free().unwrap();
    let kind = ServiceKind::new("producer", folder.join("producer.log"))
        .unwrap()
        .env("ALPACA_API_KEY", "demo")
        .env("ALPACA_API_SECRET", "demo")
        .env("ALPACA_DATA_WS_URL", format!("ws://{address}/v2/sip"))
        .env("ALPACA_DATA_REST_URL", format!("http://{address}"))
        .env("ALPACA_CHANNELS", "trades")
        .env("SUBSCRIBED_SYMBOLS", SYMBOLS)
        .env("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap())
        .env("REDIS_HOST", redis.host)
        .env("REDIS_PORT", redis.port)
        .env("REDIS_CHANNEL_TRADES", testing::unique("trades"))
        .env("REDIS_CHANNEL_STATUS", testing::unique("status"))
        .env("SPOOL_DIR", folder.join("spool").display())
        .env("BACKFILL_HOLD_BACK_S", 1)
        .env("BACKFILL_MARGIN_S", 15)
        .env("PAST_BARS_DAYS", 0)
        .env("PRODUCER_PORT", health)
        .ready_at(health, "/health");
    Service::launch(kind).await.unwrap()
}

async fn metric(service: &Service, name: &str) -> f64 {
    let port = local_stack::server::Kind::port(service.kind()).unwrap();
    let Ok(answer) = local_stack::http::get(port, "/metrics").await else { return f64::NAN };
    let value = answer.body.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    value.unwrap_or(0.0)
}

async fn eventually(what: &str, limit: Duration, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !holds().await {
        assert!(Instant::now() < deadline, "{what}: not within {limit:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Reads a topic from its beginning to its end.
fn drain(kafka: &Kafka, topic: &str) -> Vec<Vec<u8>> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", kafka.bootstrap())
        .set("group.id", testing::unique("group"))
        .set("enable.auto.commit", "false")
        .create()
        .unwrap();
    let timeout = Duration::from_secs(10);
    let metadata = consumer.fetch_metadata(Some(topic), timeout).unwrap();
    let mut assignment = TopicPartitionList::new();
    let mut left = 0;
    for partition in metadata.topics()[0].partitions() {
        let (low, high) = consumer.fetch_watermarks(topic, partition.id(), timeout).unwrap();
        left += high - low;
        assignment.add_partition_offset(topic, partition.id(), Offset::Beginning).unwrap();
    }
    consumer.assign(&assignment).unwrap();
    let mut payloads = Vec::new();
    while left > 0 {
        let message = consumer.poll(timeout).expect("the topic holds more").unwrap();
        payloads.push(message.payload().unwrap().to_vec());
        left -= 1;
    }
    payloads
}

fn trades(kafka: &Kafka) -> Vec<(Trade, Option<Position>)> {
    drain(kafka, "stock_trades_realtime").iter().map(|bytes| wire::decode_trade(bytes).unwrap()).collect()
}

fn key(trade: &Trade) -> (String, i64, String, String) {
    let text = |text: &Option<_>| text.as_ref().map_or_else(String::new, ToString::to_string);
    (trade.symbol.to_string(), trade.ts_ns, text(&trade.exchange), text(&trade.trade_id))
}

/// Every trade that the market made from `start_ns` on, as its REST history tells it.
async fn history(simulator: &Simulator, start_ns: i64) -> BTreeSet<(String, i64, String, String)> {
    let start = jiff::Timestamp::from_nanosecond(i128::from(start_ns)).unwrap().to_string();
    let client = reqwest::Client::new();
    let mut keys = BTreeSet::new();
    let mut token = String::new();
    loop {
        let page: Value = client
            .get(format!("http://{}/v2/stocks/trades", simulator.address()))
            .query(
                &[("symbols", SYMBOLS), ("start", &start), ("limit", "10000"), ("page_token", &token)]
                    [..if token.is_empty() { 3 } else { 4 }],
            )
            .header("APCA-API-KEY-ID", "demo")
            .header("APCA-API-SECRET-KEY", "demo")
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        for (symbol, items) in page["trades"].as_object().unwrap() {
            for item in items.as_array().unwrap() {
                let ts: jiff::Timestamp = item["t"].as_str().unwrap().parse().unwrap();
                let ts_ns = i64::try_from(ts.as_nanosecond()).unwrap();
                keys.insert((symbol.clone(), ts_ns, item["x"].as_str().unwrap().to_owned(), item["i"].to_string()));
            }
        }
        match page["next_page_token"].as_str() {
            Some(next) => token = next.to_owned(),
            None => return keys,
        }
    }
}

async fn freeze(simulator: &Simulator) {
    let answer =
        reqwest::Client::new().post(format!("http://{}/control/pause", simulator.address())).send().await.unwrap();
    assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
}

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
