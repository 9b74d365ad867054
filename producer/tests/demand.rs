//! What clients want, through real Redis to a server that speaks Alpaca's protocol and has a limit.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::{Duration, Instant};

use clap::Parser as _;
use feed_simulator::{Options, Simulator};
use futures_util::StreamExt as _;
use local_stack::testing;
use producer::Config;
use redis::AsyncCommands as _;
use serde_json::{Value, json};
use service::redis::RedisConfig;
use service::{CancellationToken, Vars};

/// A simulator that refuses a fourth symbol.
async fn simulator() -> Simulator {
    let options =
        ["feed-simulator", "--listen", "127.0.0.1:0", "--symbols", "*20", "--rate", "500", "--symbol-limit", "3"];
    feed_simulator::start(Options::parse_from(options).check().unwrap()).await.unwrap()
}

/// What the upstream is subscribed to, of each connection.
async fn subscriptions(simulator: &Simulator) -> Vec<Vec<String>> {
    let url = format!("http://{}/control/stats", simulator.address());
    let stats: Value = reqwest::get(url).await.unwrap().json().await.unwrap();
    let names = |client: &Value| {
        let names = client["subscription"]["trades"].as_array().into_iter().flatten();
        names.map(|name| name.as_str().unwrap().to_owned()).collect()
    };
    stats["clients"].as_array().unwrap().iter().map(names).collect()
}

async fn until_subscribed(simulator: &Simulator, wanted: &[&str]) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let subscribed = subscriptions(simulator).await;
        if subscribed == [wanted] {
            return;
        }
        assert!(Instant::now() < deadline, "{subscribed:?} instead of {wanted:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_carries_what_clients_want_and_says_what_does_not_fit() {
    let folder = tempfile::tempdir().unwrap();
    let simulator = simulator().await;
    let (address, server) = (simulator.address(), testing::redis().await);
    let [port, health] = [server.port, local_stack::port::free().unwrap()].map(|port| port.to_string());
    let kafka = testing::kafka().await;
    let names = ["topic-trades", "topic-bars", "topic-gaps", "trades", "bars", "quotes", "status", "demand"];
    let names = names.map(testing::unique);
    let stream_url = format!("ws://{address}/v2/sip");
    let rest_url = format!("http://{address}");
    let spool = folder.path().display().to_string();
    let pairs = [
        ("ALPACA_API_KEY", "demo"),
        ("ALPACA_API_SECRET", "demo"),
        ("ALPACA_DATA_WS_URL", &stream_url),
        ("ALPACA_DATA_REST_URL", &rest_url),
        ("SUBSCRIBED_SYMBOLS", "AAPL"),
        ("DEMAND_GRACE_S", "1"),
        ("KAFKA_BOOTSTRAP_SERVERS", &kafka),
        ("TOPIC_TRADES", &names[0]),
        ("TOPIC_BARS", &names[1]),
        ("TOPIC_GAPS", &names[2]),
        ("REDIS_HOST", &server.host),
        ("REDIS_PORT", &port),
        ("REDIS_CHANNEL_TRADES", &names[3]),
        ("REDIS_CHANNEL_BARS", &names[4]),
        ("REDIS_CHANNEL_QUOTES", &names[5]),
        ("REDIS_CHANNEL_STATUS", &names[6]),
        ("REDIS_CHANNEL_DEMAND", &names[7]),
        ("PRODUCER_PORT", &health),
        ("SPOOL_DIR", &spool),
        ("PAST_BARS_DAYS", "1"),
    ];
    let config = Vars::from_pairs(&pairs).load(Config::from_vars).unwrap();
    let redis: RedisConfig = config.redis.clone();
    let stop = CancellationToken::new();
    let running = tokio::spawn(producer::run(config, stop.clone()));
    until_subscribed(&simulator, &["AAPL"]).await;

    let client = redis.client().unwrap();
    let mut status = client.get_async_pubsub().await.unwrap();
    status.subscribe(&redis.channel_status).await.unwrap();
    let mut status = status.into_on_message();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut say = async |gateway: &str, symbols: &[&str]| {
        let saying = json!({"gateway": gateway, "symbols": symbols}).to_string();
        let heard: usize = connection.publish(&redis.channel_demand, saying).await.unwrap();
        assert_eq!(heard, 1, "the producer listens");
    };
    // NVDA first, then TSLA: there is room for one of the two that one gateway wants besides.
    say("g1", &["NVDA"]).await;
    until_subscribed(&simulator, &["AAPL", "NVDA"]).await;
    say("g2", &["AMD", "NVDA", "TSLA"]).await;
    until_subscribed(&simulator, &["AAPL", "AMD", "NVDA"]).await;
    let news: Value = serde_json::from_slice(status.next().await.unwrap().get_payload_bytes()).unwrap();
    assert_eq!([&news["type"], &news["symbol"], &news["source"]], ["unavailable", "TSLA", "alpaca"]);
    assert!(news["reason"].as_str().unwrap().contains("carries 3 symbols"), "{news}");

    say("g2", &["NVDA", "TSLA"]).await; // AMD is let go after its grace time, and TSLA takes its place at once
    until_subscribed(&simulator, &["AAPL", "NVDA", "TSLA"]).await;
    let news: Value = serde_json::from_slice(status.next().await.unwrap().get_payload_bytes()).unwrap();
    assert_eq!(news, json!({"type": "available", "symbol": "TSLA", "source": "alpaca"}));
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let text = std::fs::read(folder.path().join("journal.json")).unwrap();
        let journal: Value = serde_json::from_slice(&text).unwrap();
        let with_past = journal["feeds"]["alpaca"]["with_past"].as_array().cloned().unwrap_or_default();
        if with_past.contains(&json!("TSLA")) {
            break;
        }
        assert!(Instant::now() < deadline, "what demand brought has a past: {with_past:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    say("g1", &[]).await;
    say("g2", &[]).await;
    until_subscribed(&simulator, &["AAPL"]).await;

    stop.cancel();
    running.await.unwrap().unwrap();
}
