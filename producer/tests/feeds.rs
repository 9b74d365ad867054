//! Several feeds at once: what one of them suffers does not stop the others.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::{Duration, Instant};

use clap::Parser as _;
use feed_simulator::Options;
use local_stack::{http, port, testing};
use producer::Config;
use serde_json::{Value, json};
use service::{CancellationToken, Vars};

async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds().await {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_is_refused_for_good_is_named_and_the_others_go_on_until_none_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let options = ["feed-simulator", "--listen", "127.0.0.1:0", "--rate", "500"];
    let simulator = feed_simulator::start(Options::parse_from(options).check().unwrap()).await.unwrap();
    let (address, redis, kafka) = (simulator.address(), testing::redis().await, testing::kafka().await);
    let health = port::free().unwrap();
    let names = ["TOPIC_TRADES", "TOPIC_BARS", "TOPIC_GAPS", "REDIS_CHANNEL_TRADES", "REDIS_CHANNEL_DEMAND"];
    let values = names.map(testing::unique);
    let (redis_port, health_port) = (redis.port.to_string(), health.to_string());
    let (stream, rest) = (format!("ws://{address}/v2/sip"), format!("http://{address}"));
    let nowhere = format!("ws://{address}/no/such/stream"); // answers 404
    let spool = folder.path().display().to_string();
    let mut pairs = vec![
        ("FEED", "alpaca,massive"),
        ("ALPACA_API_KEY", "demo"),
        ("ALPACA_API_SECRET", "demo"),
        ("ALPACA_DATA_WS_URL", stream.as_str()),
        ("ALPACA_DATA_REST_URL", rest.as_str()),
        ("MASSIVE_API_KEY", "m"),
        ("MASSIVE_WS_URL", nowhere.as_str()),
        ("KAFKA_BOOTSTRAP_SERVERS", kafka.as_str()),
        ("REDIS_HOST", redis.host.as_str()),
        ("REDIS_PORT", redis_port.as_str()),
        ("PRODUCER_PORT", health_port.as_str()),
        ("SPOOL_DIR", spool.as_str()),
        ("PAST_BARS_DAYS", "0"),
    ];
    pairs.extend(names.iter().zip(&values).map(|(name, value)| (*name, value.as_str())));
    let config = Vars::from_pairs(&pairs).load(Config::from_vars).unwrap();
    let running = tokio::spawn(producer::run(config, CancellationToken::new()));

    let part = async |name: &str| -> Value {
        let Ok(answer) = http::get(health, "/health").await else { return Value::Null };
        serde_json::from_str::<Value>(&answer.body).unwrap()["parts"][name].clone()
    };
    eventually("the refused feed is named", async || part("feed-massive").await["status"] == "degraded").await;
    let why = part("feed-massive").await["detail"].as_str().unwrap().to_owned();
    assert!(why.contains("404") && why.contains("/no/such/stream"), "{why}");
    eventually("the other feed streams", async || part("feed-alpaca").await["status"] == "ok").await;
    eventually("its records are acknowledged", async || {
        let metrics = http::get(health, "/metrics").await.unwrap().body;
        let value = metrics.lines().find_map(|line| line.strip_prefix("producer_kafka_acknowledged_total "));
        value.is_some_and(|value| value.trim().parse::<f64>().unwrap() > 100.0)
    })
    .await;

    let fault = json!({"fault": "error", "code": 402, "close": true}).to_string();
    assert_eq!(http::post(address.port(), "/control/faults", &fault).await.unwrap().status, 200);
    let error = running.await.unwrap().unwrap_err().to_string();
    assert!(error.contains("massive: ") && error.contains("alpaca: ") && error.contains("ALPACA_API_KEY"), "{error}");
}
