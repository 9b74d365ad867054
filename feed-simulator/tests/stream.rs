//! The stream protocol as a client sees it.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::{Duration, Instant};

use common::*;
use futures::SinkExt as _;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{Error, Message};

fn has(messages: &[Value], kind: &str) -> bool {
    messages.iter().any(|message| message["T"] == kind)
}

#[tokio::test]
async fn welcome_authentication_subscription_data() {
    let simulator = simulator(&["--rate", "2000"]).await;
    let mut client = Client::open(&simulator, "sip", &[]).await.unwrap();
    client.expect("connected").await;
    client.say(&json!({"action": "auth", "key": "demo", "secret": "demo"})).await;
    client.expect("authenticated").await;
    let ack = client.subscribe(json!({"trades": ["AAPL"], "quotes": ["MSFT"]})).await;
    assert_eq!(
        ack,
        json!({"T": "subscription", "trades": ["AAPL"], "quotes": ["MSFT"], "bars": [], "updatedBars": [], "dailyBars": [],
            "statuses": [], "lulds": [], "corrections": ["AAPL"], "cancelErrors": ["AAPL"]})
    );
    let seen = client.data_until(|seen| seen.len() > 200 && has(seen, "t") && has(seen, "q")).await;
    for message in &seen {
        match message["T"].as_str() {
            Some("t" | "c" | "x") => assert_eq!(message["S"], "AAPL"),
            Some("q") => assert_eq!(message["S"], "MSFT"),
            other => panic!("{other:?} was not subscribed"),
        }
    }
    let ack = client.subscribe(json!({"bars": ["*"]})).await;
    assert_eq!((&ack["trades"], &ack["bars"]), (&json!(["AAPL"]), &json!(["*"])), "the whole set, not the change");
    client.say(&json!({"action": "unsubscribe", "trades": ["AAPL"], "bars": ["*"]})).await;
    let ack = client.control().await.unwrap();
    assert_eq!((&ack[0]["trades"], &ack[0]["quotes"]), (&json!([]), &json!(["MSFT"])));
    let seen = client.data_until(|seen| seen.len() > 50).await;
    assert!(seen.iter().all(|message| message["T"] == "q"));
    simulator.stop().await;
}

#[tokio::test]
async fn headers_authenticate_by_themselves() {
    let simulator = simulator(&["--key", "k", "--secret", "s", "--connections", "0"]).await;
    // base64 of k:s
    for headers in [vec![("APCA-API-KEY-ID", "k"), ("APCA-API-SECRET-KEY", "s")], vec![("Authorization", "Basic azpz")]]
    {
        let mut client = Client::open(&simulator, "iex", &headers).await.unwrap();
        client.expect("connected").await;
        client.expect("authenticated").await;
        client.say(&json!({"action": "auth", "key": "k", "secret": "s"})).await;
        client.expect_error(403).await;
    }
    let mut client = Client::open(&simulator, "iex", &KEYS).await.unwrap();
    client.expect("connected").await;
    client.expect_error(402).await;
    client.say(&json!({"action": "auth", "key": "oauth", "secret": "s"})).await;
    client.expect("authenticated").await;
    simulator.stop().await;
}

#[tokio::test]
async fn broken_requests_get_their_codes_and_leave_the_connection_open() {
    let simulator = simulator(&["--symbol-limit", "2"]).await;
    let mut client = Client::open(&simulator, "sip", &[]).await.unwrap();
    client.expect("connected").await;
    client.say(&json!({"action": "subscribe", "trades": ["AAPL"]})).await;
    client.expect_error(401).await;
    client.say(&json!({"action": "auth", "key": "demo", "secret": "wrong"})).await;
    client.expect_error(402).await;
    client.socket.send(Message::Text("{not json".into())).await.unwrap();
    client.expect_error(400).await;
    client.say(&json!({"action": "auth", "key": "demo", "secret": "demo"})).await;
    client.expect("authenticated").await;
    client.say(&json!({"action": "subscribe", "trades": ["AA PL"]})).await;
    client.expect_error(400).await;
    client.say(&json!({"action": "subscribe", "orderbooks": ["BTC/USD"]})).await;
    client.expect_error(410).await;
    client.subscribe(json!({"bars": ["AAPL", "MSFT"]})).await;
    client.say(&json!({"action": "subscribe", "bars": ["SPY"]})).await;
    client.expect_error(405).await;
    let ack = client.subscribe(json!({"bars": []})).await;
    assert_eq!(ack["bars"], json!(["AAPL", "MSFT"]), "a refused request changes nothing");
    simulator.stop().await;
}

#[tokio::test]
async fn who_does_not_authenticate_in_time_is_sent_away() {
    let simulator = simulator(&["--auth-timeout-ms", "50"]).await;
    let mut client = Client::open(&simulator, "sip", &[]).await.unwrap();
    client.expect("connected").await;
    client.expect_error(404).await;
    assert_eq!(client.frame().await, None, "the server hangs up");
    simulator.stop().await;
}

#[tokio::test]
async fn a_key_has_one_connection_per_endpoint() {
    let simulator = simulator(&[]).await;
    let first = Client::ready(&simulator, "sip").await;
    let mut second = Client::open(&simulator, "sip", &KEYS).await.unwrap();
    second.expect("connected").await;
    second.expect_error(406).await;
    Client::ready(&simulator, "iex").await; // another endpoint
    drop(first);
    stats_when(&simulator, "the first connection is gone", |stats| stats["clients"].as_array().unwrap().len() == 1)
        .await;
    second.say(&json!({"action": "auth", "key": "demo", "secret": "demo"})).await;
    second.expect("authenticated").await;
    simulator.stop().await;
}

#[tokio::test]
async fn the_free_plan_has_no_sip_and_thirty_symbols() {
    let simulator = simulator(&["--plan", "free"]).await;
    let mut client = Client::open(&simulator, "sip", &KEYS).await.unwrap();
    client.expect("connected").await;
    client.expect_error(409).await;
    let mut client = Client::ready(&simulator, "iex").await;
    let many: Vec<String> = (0..31).map(|number| format!("S{number}")).collect();
    client.say(&json!({"action": "subscribe", "trades": many})).await;
    client.expect_error(405).await;
    simulator.stop().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_slow_and_others_do_not_notice() {
    let simulator = simulator(&["--rate", "50000", "--client-buffer", "20000", "--connections", "0"]).await;
    let mut reader = Client::ready(&simulator, "sip").await;
    reader.subscribe(json!({"trades": ["*"]})).await;
    let mut sleeper = Client::ready(&simulator, "sip").await;
    sleeper.subscribe(json!({"trades": ["*"], "quotes": ["*"]})).await;
    let reading = async {
        loop {
            let frame = reader.frame().await.expect("the reader stays connected");
            assert_ne!(frame[0]["T"], "error", "{frame}");
        }
    };
    tokio::select! {
        () = reading => {}
        _ = stats_when(&simulator, "the sleeper is cut", |stats| stats["clients"].as_array().unwrap().len() == 1) => {}
    }
    let mut last = None;
    while let Some(message) = sleeper.message().await {
        if let Message::Text(text) = message {
            last = Some(text);
        }
    }
    let last: Value = serde_json::from_str(&last.expect("there was data")).unwrap();
    assert_eq!(last, json!([{"T": "error", "code": 407, "msg": "slow client"}]));
    simulator.stop().await;
}

#[tokio::test]
async fn a_stop_says_goodbye() {
    let simulator = simulator(&[]).await;
    let mut client = Client::ready(&simulator, "sip").await;
    let stopped = tokio::spawn(simulator.stop());
    let mut closed = false;
    while let Some(message) = client.message().await {
        closed |= message.is_close();
    }
    assert!(closed, "a close frame comes before the end");
    assert!(stopped.await.unwrap().starts_with("sent 0 messages"));
}

#[tokio::test]
async fn the_test_endpoint_always_plays_fakepaca() {
    let simulator = simulator(&["--test-rate", "200", "--hours", "market", "--start", "2024-06-01T12:00:00Z"]).await;
    let mut client = Client::ready(&simulator, "test").await;
    let ack = client.subscribe(json!({"trades": ["FAKEPACA"], "quotes": ["*"]})).await;
    assert_eq!(ack, json!({"T": "subscription", "trades": ["FAKEPACA"], "quotes": ["*"], "bars": []}));
    let seen = client.data_until(|seen| has(seen, "t") && has(seen, "q")).await;
    assert!(seen.iter().all(|message| message["S"] == "FAKEPACA"));
    client.say(&json!({"action": "subscribe", "dailyBars": ["FAKEPACA"]})).await;
    client.expect_error(410).await;
    simulator.stop().await;
}

#[tokio::test]
async fn msgpack_from_the_welcome_to_the_data() {
    let simulator = simulator(&["--rate", "1000"]).await;
    let mut client = Client::open(&simulator, "sip", &[MSGPACK]).await.unwrap();
    client.expect("connected").await;
    client.say(&json!({"action": "auth", "key": "demo", "secret": "demo"})).await;
    client.expect("authenticated").await;
    client.socket.send(Message::Text(r#"{"action":"subscribe","trades":["AAPL"]}"#.into())).await.unwrap();
    client.expect_error(400).await;
    let ack = client.subscribe(json!({"trades": ["AAPL", "SPY"]})).await;
    assert_eq!(ack["trades"], json!(["AAPL", "SPY"]));
    let seen = client.data_until(|seen| seen.len() > 20).await;
    for trade in seen.iter().filter(|message| message["T"] == "t") {
        assert!(trade["t"]["seconds"].as_u64().unwrap() > 1_700_000_000, "{trade}");
        assert!(trade["p"].is_f64() && trade["s"].is_u64() && trade["i"].is_u64() && trade["c"].is_array());
    }
    simulator.stop().await;
}

#[tokio::test]
async fn the_delayed_feed_is_late() {
    let simulator = simulator(&["--delay-seconds", "1", "--rate", "100"]).await;
    let mut client = Client::ready(&simulator, "delayed_sip").await;
    client.subscribe(json!({"trades": ["*"]})).await;
    let seen = client.data_until(|seen| seen.len() > 10).await;
    let now_ns = simulator.app().main.now_ns();
    let ts_ns = feed_simulator::wire::text::parse_time(seen[0]["t"].as_str().unwrap()).unwrap();
    assert!(now_ns - ts_ns >= 1_000_000_000, "{} ns late", now_ns - ts_ns);
    simulator.stop().await;
}

#[tokio::test]
async fn unknown_feeds_are_not_found_and_plain_requests_are_no_handshake() {
    let simulator = simulator(&[]).await;
    match Client::open(&simulator, "nasdaq", &KEYS).await {
        Err(Error::Http(response)) => assert_eq!(response.status(), 404),
        other => panic!("{:?}", other.err()),
    }
    let (status, _) = get(&simulator, "/v2/sip").await;
    assert!((400..500).contains(&status), "{status}");
    simulator.stop().await;
}

#[tokio::test]
async fn the_server_pings_and_drops_who_does_not_answer() {
    let simulator = simulator(&["--ping-ms", "100"]).await;
    let mut answering = Client::ready(&simulator, "sip").await;
    let silent = Client::ready(&simulator, "iex").await; // never polled, so it never answers
    let mut pings = 0;
    let begin = Instant::now();
    while pings < 6 {
        if let Message::Ping(_) = answering.message().await.expect("the answering client stays") {
            pings += 1;
        }
        assert!(begin.elapsed() < LIMIT);
    }
    let stats =
        stats_when(&simulator, "the silent client is dropped", |stats| stats["clients"].as_array().unwrap().len() == 1);
    let keep_answering = async { while answering.message().await.is_some() {} };
    tokio::select! {
        stats = stats => assert_eq!(stats["clients"][0]["endpoint"], "sip"),
        () = keep_answering => panic!("the answering client was dropped"),
    }
    drop(silent);
    simulator.stop().await;
}

#[tokio::test]
async fn what_clients_got_is_what_was_counted() {
    let simulator = simulator(&["--rate", "3000", "--correction-share", "0.01"]).await;
    let mut client = Client::ready(&simulator, "sip").await;
    client.subscribe(json!({"trades": ["AAPL", "SPY"], "quotes": ["AAPL"]})).await;
    let mut seen = client.data_until(|seen| seen.len() > 2_000).await;
    let (status, _) = post(&simulator, "/control/pause", "").await;
    assert_eq!(status, 200);
    // Nothing new is said any more: what is still on its way is what the counters already have.
    let stats =
        stats_when(&simulator, "the market stands still", |stats| stats["paused"] == true && stats["queued"] == 0);
    let stats = stats.await;
    let total = usize::try_from(stats["sent"]["messages"].as_u64().unwrap()).unwrap();
    let missing = total - seen.len();
    seen.extend(client.data_until(|rest| rest.len() >= missing).await);
    assert_eq!(seen.len(), total);
    for symbol in ["AAPL", "SPY"] {
        let trades: Vec<&Value> = seen.iter().filter(|m| m["T"] == "t" && m["S"] == symbol).collect();
        let size: u64 = trades.iter().map(|trade| trade["s"].as_u64().unwrap()).sum();
        let notional: f64 =
            trades.iter().map(|trade| trade["p"].as_f64().unwrap() * trade["s"].as_f64().unwrap()).sum();
        let counted = &stats["sent"]["by_symbol"][symbol];
        assert_eq!(counted["by_type"]["t"], trades.len());
        assert_eq!(counted["size"], size);
        let counted: f64 = counted["notional"].as_str().unwrap().parse().unwrap();
        assert!((counted - notional).abs() < 1e-6 * notional, "{counted} {notional}");
    }
    tokio::time::timeout(Duration::from_secs(5), simulator.stop()).await.expect("stops promptly");
}
