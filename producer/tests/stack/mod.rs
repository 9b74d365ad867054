//! What tests of whole producers share: a simulated market, a producer as a process, and the records that reached Kafka.

#![allow(dead_code, reason = "each test program uses its part of it")]

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use clap::Parser as _;
use feed_simulator::{Options, Simulator};
use local_stack::{Kafka, Service, ServiceKind, port, testing};
use market::{Gap, Position, Trade, wire};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{ClientConfig, Message as _, Offset, TopicPartitionList};
use serde_json::Value;

pub(crate) const SYMBOLS: &str = "AAPL,MSFT,GOOGL,SPY";

pub(crate) async fn simulator(rate: u32) -> Simulator {
    simulator_with(rate, &[]).await
}

/// The same with further options.
pub(crate) async fn simulator_with(rate: u32, more: &[&str]) -> Simulator {
    let rate = rate.to_string();
    let options = [
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
    ];
    let options = Options::parse_from(options.iter().chain(more));
    feed_simulator::start(options.check().unwrap()).await.unwrap()
}

/// The producer as a process of its own, so that it can be killed.
pub(crate) async fn producer(simulator: &Simulator, kafka: &Kafka, folder: &Path) -> Service {
    Service::launch(producer_kind(simulator, kafka, folder).await).await.unwrap()
}

/// How to start it; later variables replace earlier ones.
pub(crate) async fn producer_kind(simulator: &Simulator, kafka: &Kafka, folder: &Path) -> ServiceKind {
    let redis = testing::redis().await;
    let address = simulator.address();
    let health = port::free().unwrap();
    ServiceKind::new("producer", folder.join("producer.log"))
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
        .ready_at(health, "/health")
}

pub(crate) async fn metric(service: &Service, name: &str) -> f64 {
    let port = local_stack::server::Kind::port(service.kind()).unwrap();
    let Ok(answer) = local_stack::http::get(port, "/metrics").await else { return f64::NAN };
    let value = answer.body.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    value.unwrap_or(0.0)
}

pub(crate) async fn eventually(what: &str, limit: Duration, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !holds().await {
        assert!(Instant::now() < deadline, "{what}: not within {limit:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Reads a topic from its beginning to its end.
pub(crate) fn drain(kafka: &Kafka, topic: &str) -> Vec<Vec<u8>> {
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

pub(crate) fn trades(kafka: &Kafka) -> Vec<(Trade, Option<Position>)> {
    drain(kafka, "stock_trades_realtime").iter().map(|bytes| wire::decode_trade(bytes).unwrap()).collect()
}

/// Gaps in all their versions, oldest first.
pub(crate) fn gaps(kafka: &Kafka) -> Vec<Gap> {
    drain(kafka, "stock_feed_gaps").iter().map(|payload| Gap::decode(payload).unwrap()).collect()
}

pub(crate) fn key(trade: &Trade) -> (String, i64, String, String) {
    let text = |text: &Option<_>| text.as_ref().map_or_else(String::new, ToString::to_string);
    (trade.symbol.to_string(), trade.ts_ns, text(&trade.exchange), text(&trade.trade_id))
}

/// Every trade that the market made from `start_ns` on, as its REST history tells it.
pub(crate) async fn history(simulator: &Simulator, start_ns: i64) -> BTreeSet<(String, i64, String, String)> {
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

pub(crate) async fn freeze(simulator: &Simulator) {
    control(simulator, "pause", &Value::Null).await;
}

/// Asks the simulator for something.
pub(crate) async fn control(simulator: &Simulator, what: &str, body: &Value) {
    let url = format!("http://{}/control/{what}", simulator.address());
    let answer = reqwest::Client::new().post(url).body(body.to_string()).send().await.unwrap();
    assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
}
