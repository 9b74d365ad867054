//! What clients want, on the live connection and on paused time.

use market::Availability;
use serde_json::Value;

use super::*;

impl Running {
    fn want(&self, names: &[&str]) {
        let wish = |name: &&str| Wish { symbol: Symbol::new(name).unwrap(), asked: 1, idle: false };
        self.wishes.send_replace(names.iter().map(wish).collect());
    }

    /// What clients were told so far.
    fn told(&self) -> Vec<Availability> {
        let status =
            self.hot.queued().into_iter().filter(|record| record.stream == crate::fanout::record::Stream::Status);
        status.map(|record| serde_json::from_slice(&record.json).unwrap()).collect()
    }
}

/// The next request as action and symbols.
async fn request(peer: &mut Peer) -> (String, Vec<String>) {
    let request: Value = serde_json::from_str(&hear(peer).await).unwrap();
    let names = request["trades"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned());
    (request["action"].as_str().unwrap().to_owned(), names.collect())
}

async fn acknowledge(peer: &mut Peer, names: &[&str]) {
    let message = serde_json::json!([{"T": "subscription", "trades": names}]);
    say(peer, &message.to_string()).await;
}

fn subscribe(names: &[&str]) -> (String, Vec<String>) {
    ("subscribe".to_owned(), names.iter().map(ToString::to_string).collect())
}

fn unsubscribe(names: &[&str]) -> (String, Vec<String>) {
    ("unsubscribe".to_owned(), names.iter().map(ToString::to_string).collect())
}

#[tokio::test(start_paused = true)]
async fn wishes_become_subscriptions_on_the_connection_that_is_there() {
    let mut running = start(&[]);
    let mut peer = running.peer().await;
    greet(&mut peer).await;
    running.want(&["AAPL", "TSLA", "NVDA"]);
    assert_eq!(request(&mut peer).await, subscribe(&["TSLA", "NVDA"]));
    running.want(&["AAPL", "NVDA", "AMD"]); // while the answer is owed
    say(&mut peer, TRADE).await;
    acknowledge(&mut peer, &["AAPL", "TSLA", "NVDA"]).await;
    assert_eq!(request(&mut peer).await, unsubscribe(&["TSLA"]));
    acknowledge(&mut peer, &["AAPL", "NVDA"]).await;
    assert_eq!(request(&mut peer).await, subscribe(&["AMD"]));
    acknowledge(&mut peer, &["AAPL", "NVDA", "AMD"]).await;
    assert!(running.peers.try_recv().is_err(), "one connection for everybody");
    assert_eq!(running.told(), []);
}

#[tokio::test(start_paused = true)]
async fn a_new_connection_subscribes_to_everything_that_is_wanted_by_then() {
    let mut running = start(&[]);
    let mut peer = running.peer().await;
    greet(&mut peer).await;
    running.want(&["AAPL", "TSLA"]);
    assert_eq!(request(&mut peer).await, subscribe(&["TSLA"]));
    drop(peer);
    running.want(&["AAPL", "AMD"]);
    let mut peer = running.peer().await;
    greet(&mut peer).await;
    assert_eq!(request(&mut peer).await, subscribe(&["AMD"]));
}

#[tokio::test(start_paused = true)]
async fn what_the_plan_does_not_carry_is_told_and_the_stream_goes_on() {
    let mut running = start(&[]);
    let mut peer = running.peer().await;
    greet(&mut peer).await;
    running.want(&["AAPL", "TSLA", "NVDA"]);
    let limit = r#"[{"T":"error","code":405,"msg":"symbol limit exceeded"}]"#;
    assert_eq!(request(&mut peer).await, subscribe(&["TSLA", "NVDA"]));
    say(&mut peer, limit).await;
    assert_eq!(request(&mut peer).await, subscribe(&["TSLA"]), "half of it");
    acknowledge(&mut peer, &["AAPL", "TSLA"]).await;
    assert_eq!(request(&mut peer).await, subscribe(&["NVDA"]));
    say(&mut peer, limit).await;
    feed_for(&mut peer, Duration::from_secs(5)).await;
    let told = running.told();
    let [Availability::Unavailable { symbol, source, reason }] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((symbol.as_str(), source.as_str()), ("NVDA", "alpaca"));
    assert!(reason.contains("carries 2 symbols"), "{reason}");
    assert!(running.taken() > 0 && running.peers.try_recv().is_err());
    // Somebody leaves, and there is room.
    running.want(&["AAPL", "NVDA"]);
    assert_eq!(request(&mut peer).await, unsubscribe(&["TSLA"]));
    acknowledge(&mut peer, &["AAPL"]).await;
    assert_eq!(request(&mut peer).await, subscribe(&["NVDA"]));
    acknowledge(&mut peer, &["AAPL", "NVDA"]).await;
    feed_for(&mut peer, Duration::from_secs(2)).await;
    let there = Availability::Available { symbol: "NVDA".to_owned(), source: "alpaca".to_owned() };
    assert_eq!(running.told().last(), Some(&there));
}

#[tokio::test(start_paused = true)]
async fn a_symbol_that_the_feed_does_not_know_harms_no_other() {
    let mut running = start(&[]);
    let mut peer = running.peer().await;
    greet(&mut peer).await;
    running.want(&["AAPL", "N.O", "NVDA"]);
    let invalid = r#"[{"T":"error","code":400,"msg":"invalid syntax"}]"#;
    assert_eq!(request(&mut peer).await, subscribe(&["N.O", "NVDA"]));
    say(&mut peer, invalid).await;
    assert_eq!(request(&mut peer).await, subscribe(&["N.O"]));
    say(&mut peer, invalid).await;
    assert_eq!(request(&mut peer).await, subscribe(&["NVDA"]));
    acknowledge(&mut peer, &["AAPL", "NVDA"]).await;
    feed_for(&mut peer, Duration::from_secs(2)).await;
    let told = running.told();
    assert!(
        matches!(told.as_slice(), [Availability::Unavailable { symbol, reason, .. }] if symbol == "N.O" && reason.contains("invalid syntax")),
        "{told:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_change_that_is_never_answered_ends_the_connection_after_three_seconds() {
    let mut running = start(&[]);
    let mut peer = running.peer().await;
    greet(&mut peer).await;
    feed_for(&mut peer, Duration::from_secs(11)).await;
    running.want(&["AAPL", "NVDA"]);
    let asked = Instant::now();
    let talking = tokio::spawn(async move { feed_for(&mut peer, Duration::from_secs(60)).await });
    let (at, _peer) = running.peers.recv().await.unwrap();
    assert!(at - asked >= Duration::from_secs(3) && at - asked <= Duration::from_secs(5), "{:?}", at - asked);
    talking.abort();
}

#[tokio::test(start_paused = true)]
async fn finnhub_is_asked_symbol_by_symbol_and_its_limit_is_told() {
    let mut running = start_feed(finnhub(), &[]);
    let mut peer = running.peer().await;
    assert_eq!(hear(&mut peer).await, r#"{"symbol":"AAPL","type":"subscribe"}"#);
    running.want(&["AAPL", "TSLA", "NVDA"]);
    assert_eq!(hear(&mut peer).await, r#"{"symbol":"TSLA","type":"subscribe"}"#);
    assert_eq!(hear(&mut peer).await, r#"{"symbol":"NVDA","type":"subscribe"}"#);
    say(&mut peer, r#"{"type":"error","msg":"Subscribing to too many symbols"}"#).await;
    while running.told().is_empty() {
        sleep(Duration::from_millis(10)).await;
    }
    running.want(&["AAPL", "NVDA"]);
    assert_eq!(hear(&mut peer).await, r#"{"symbol":"TSLA","type":"unsubscribe"}"#);
    assert_eq!(hear(&mut peer).await, r#"{"symbol":"NVDA","type":"subscribe"}"#);
    let kinds: Vec<bool> = running.told().iter().map(|news| matches!(news, Availability::Available { .. })).collect();
    assert_eq!(kinds, [false, true], "away, and there again");
}

#[tokio::test(start_paused = true)]
async fn massive_acknowledges_each_thing_of_a_change() {
    let success = |what: &str| format!(r#"[{{"ev":"status","status":"success","message":"{what}"}}]"#);
    let mut running = start_feed(massive(), &[]);
    let mut peer = running.peer().await;
    other_feeds::greet_massive(&mut peer).await;
    running.want(&["AAPL", "TSLA", "BRK.B"]);
    assert_eq!(hear(&mut peer).await, r#"{"action":"subscribe","params":"T.TSLA,T.BRK.B"}"#);
    running.want(&["AAPL", "TSLA"]);
    say(&mut peer, &success("subscribed to: T.TSLA")).await;
    say(&mut peer, &success("subscribed to: T.ZVZZT")).await; // a probe's answer counts for nothing here
    say(&mut peer, &success("subscribed to: T.BRK.B")).await;
    assert_eq!(hear(&mut peer).await, r#"{"action":"unsubscribe","params":"T.BRK.B"}"#);
}
