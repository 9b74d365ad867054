//! Faults on demand, and the other control routes.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::{Duration, Instant};

use common::*;
use futures::SinkExt as _;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{Error, Message};

async fn subscribed(simulator: &feed_simulator::Simulator) -> Client {
    let mut client = Client::ready(simulator, "sip").await;
    client.subscribe(json!({"trades": ["*"]})).await;
    client.data_until(|seen| !seen.is_empty()).await;
    client
}

fn key(trade: &Value) -> String {
    format!("{}|{}|{}|{}", trade["S"], trade["x"], trade["i"], trade["t"])
}

#[tokio::test]
async fn a_cut_ends_the_connection_without_a_close_frame() {
    let simulator = simulator(&[]).await;
    let mut client = subscribed(&simulator).await;
    assert_eq!(fault(&simulator, r#"{"fault":"cut"}"#).await["clients"], 1);
    while let Some(message) = client.message().await {
        assert!(!message.is_close(), "a cut says nothing");
    }
    Client::ready(&simulator, "sip").await;
    simulator.stop().await;
}

#[tokio::test]
async fn what_passes_while_the_stream_is_mute_is_found_in_rest() {
    let simulator = simulator(&["--rate", "500", "--symbols", "AAPL"]).await;
    let mut client = subscribed(&simulator).await;
    fault(&simulator, r#"{"fault":"mute","seconds":0.5}"#).await;
    stats_when(&simulator, "data is withheld", |stats| stats["withheld"].as_u64() > Some(100)).await;
    // Afterwards the stream goes on as if nothing had been.
    stats_when(&simulator, "the stream goes on", |stats| stats["sent"]["messages"].as_u64() > Some(1_000)).await;
    post(&simulator, "/control/pause", "").await;
    let stats = stats_when(&simulator, "all is sent", |stats| stats["paused"] == true && stats["queued"] == 0).await;
    let made = stats["market"]["by_symbol"]["AAPL"]["by_type"]["t"].as_u64().unwrap();
    let sent = stats["sent"]["by_symbol"]["AAPL"]["by_type"]["t"].as_u64().unwrap();
    let got =
        client.data_until(|seen| seen.iter().filter(|message| message["T"] == "t").count() as u64 + 20 > sent).await;
    assert!(got.len() as u64 <= stats["sent"]["messages"].as_u64().unwrap());
    let found = all_pages(&simulator, "/v2/stocks/AAPL/trades?limit=997", "trades").await;
    let originals = found.iter().filter(|trade| trade["u"] != "corrected").count();
    assert_eq!(originals as u64, made, "REST has them all");
    assert!(sent + 50 < made, "{sent} of {made} trades were sent");
    simulator.stop().await;
}

/// Whether a ping is answered before data comes again (or within a moment, where none does).
async fn answers_ping(client: &mut Client) -> bool {
    client.socket.send(Message::Ping("are you there".into())).await.unwrap();
    let pong = async { while !matches!(client.message().await, Some(Message::Pong(_))) {} };
    tokio::time::timeout(Duration::from_millis(300), pong).await.is_ok()
}

#[tokio::test]
async fn a_mute_stream_answers_pings_unless_it_is_to_be_dead() {
    let simulator = simulator(&["--rate", "50"]).await;
    let mut client = subscribed(&simulator).await;
    fault(&simulator, r#"{"fault":"mute","seconds":60}"#).await;
    assert!(answers_ping(&mut client).await);
    fault(&simulator, r#"{"fault":"mute","seconds":60,"pongs":false}"#).await;
    assert!(!answers_ping(&mut client).await);
    fault(&simulator, r#"{"fault":"clear"}"#).await;
    assert!(answers_ping(&mut client).await);
    client.data_until(|seen| !seen.is_empty()).await;
    simulator.stop().await;
}

#[tokio::test]
async fn a_slow_stream_waits_before_each_frame() {
    let simulator = simulator(&["--rate", "500"]).await;
    let mut client = subscribed(&simulator).await;
    fault(&simulator, r#"{"fault":"slow","delay_ms":100}"#).await;
    client.frame().await;
    client.frame().await;
    let begin = Instant::now();
    for _ in 0..5 {
        client.frame().await.unwrap();
    }
    assert!(begin.elapsed() > Duration::from_millis(350), "{:?}", begin.elapsed());
    fault(&simulator, r#"{"fault":"slow","delay_ms":0}"#).await;
    stats_when(&simulator, "it has caught up", |stats| stats["queued"].as_u64() < Some(20)).await;
    simulator.stop().await;
}

#[tokio::test]
async fn malformed_frames_are_malformed_in_both_encodings_and_the_stream_goes_on() {
    let simulator = simulator(&["--rate", "200", "--connections", "0"]).await;
    let mut json_client = subscribed(&simulator).await;
    let mut headers = KEYS.to_vec();
    headers.push(MSGPACK);
    let mut packed = Client::open(&simulator, "sip", &headers).await.unwrap();
    packed.expect("connected").await;
    packed.expect("authenticated").await;
    for kind in ["truncated", "rubbish", "not_array", "bad_elements", "deep", "empty"] {
        fault(&simulator, &format!(r#"{{"fault":"malformed","kind":"{kind}"}}"#)).await;
        loop {
            let Some(Message::Text(text)) = json_client.message().await else { continue };
            let value: Result<Value, _> = serde_json::from_str(&text);
            let good =
                value.is_ok_and(|value| value.as_array().is_some_and(|list| list.iter().all(|m| m["t"].is_string())));
            if !good {
                break;
            }
        }
        let Some(Message::Binary(bytes)) = packed.message().await else { panic!("a binary frame") };
        assert_eq!(bytes.is_empty(), kind == "empty");
    }
    json_client.data_until(|seen| seen.len() > 5).await;
    simulator.stop().await;
}

#[tokio::test]
async fn errors_come_now_or_in_answer_and_some_close() {
    let simulator = simulator(&[]).await;
    let mut client = subscribed(&simulator).await;
    fault(&simulator, r#"{"fault":"error","code":500}"#).await;
    client.expect_error(500).await;
    client.data_until(|seen| !seen.is_empty()).await;
    fault(&simulator, r#"{"fault":"error","code":407}"#).await;
    client.expect_error(407).await;
    while let Some(frame) = client.frame().await {
        assert_ne!(frame[0]["T"], "error");
    }
    fault(&simulator, r#"{"fault":"error","code":406,"on":"auth","count":2}"#).await;
    let mut client = Client::open(&simulator, "sip", &KEYS).await.unwrap();
    client.expect("connected").await;
    client.expect_error(406).await;
    let auth = json!({"action": "auth", "key": "demo", "secret": "demo"});
    client.say(&auth).await;
    client.expect_error(406).await;
    client.say(&auth).await;
    client.expect("authenticated").await;
    for code in [408, 409, 411, 412, 413] {
        fault(&simulator, &format!(r#"{{"fault":"error","code":{code},"on":"subscribe"}}"#)).await;
        client.say(&json!({"action": "subscribe", "bars": ["AAPL"]})).await;
        client.expect_error(code).await;
    }
    fault(&simulator, r#"{"fault":"error","code":500,"on":"connect","close":true}"#).await;
    let mut other = Client::open(&simulator, "iex", &KEYS).await.unwrap();
    other.expect_error(500).await;
    assert_eq!(other.frame().await, None);
    simulator.stop().await;
}

#[tokio::test]
async fn duplicates_and_reordering_change_neither_what_was_sent_nor_rest() {
    let simulator =
        simulator(&["--rate", "300", "--symbols", "AAPL", "--quote-share", "0", "--correction-share", "0"]).await;
    let mut client = Client::ready(&simulator, "sip").await;
    client.subscribe(json!({"trades": ["*"]})).await;
    fault(&simulator, r#"{"fault":"duplicate","count":5}"#).await;
    let seen = client.data_until(|seen| seen.len() > 60).await;
    let keys: std::collections::HashSet<String> = seen.iter().map(key).collect();
    assert_eq!(seen.len() - keys.len(), 5, "five trades came twice");
    fault(&simulator, r#"{"fault":"reorder","count":20}"#).await;
    let seen = client.data_until(|seen| seen.len() > 100).await;
    let backwards = seen.windows(2).filter(|pair| pair[0]["t"].as_str() > pair[1]["t"].as_str()).count();
    assert!(backwards >= 15, "{backwards} steps back in time");
    let found = all_pages(&simulator, "/v2/stocks/AAPL/trades?limit=1000", "trades").await;
    let found: std::collections::HashSet<String> =
        found.iter().map(|trade| format!("\"AAPL\"|{}|{}|{}", trade["x"], trade["i"], trade["t"])).collect();
    assert!(seen.iter().all(|trade| found.contains(&key(trade))));
    simulator.stop().await;
}

#[tokio::test]
async fn refused_handshakes_and_outages_end_by_themselves() {
    let simulator = simulator(&["--rate", "500", "--symbols", "AAPL"]).await;
    let mut client = subscribed(&simulator).await;
    fault(&simulator, r#"{"fault":"refuse","seconds":0.3,"status":429}"#).await;
    match Client::open(&simulator, "iex", &KEYS).await {
        Err(Error::Http(response)) => assert_eq!(response.status(), 429),
        other => panic!("{:?}", other.err()),
    }
    client.data_until(|seen| seen.len() > 5).await; // who is in stays in
    fault(&simulator, r#"{"fault":"outage","seconds":0.5}"#).await;
    while client.frame().await.is_some() {}
    let before = stats(&simulator).await["market"]["messages"].as_u64();
    let back = async {
        loop {
            match Client::open(&simulator, "sip", &KEYS).await {
                Ok(client) => return client,
                Err(Error::Http(response)) => assert_eq!(response.status(), 503),
                Err(other) => panic!("{other}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LIMIT, back).await.expect("the outage ends").expect("connected").await;
    assert!(stats(&simulator).await["market"]["messages"].as_u64() > before, "the market went on");
    simulator.stop().await;
}

#[tokio::test]
async fn rest_fails_on_demand_with_a_time_to_come_back() {
    let simulator = simulator(&[]).await;
    fault(&simulator, r#"{"fault":"rest","count":1,"status":429,"reset_seconds":3}"#).await;
    let response = request(&simulator, "/v2/stocks/AAPL/trades").send().await.unwrap();
    assert_eq!(response.status(), 429);
    assert_eq!(response.headers()["X-RateLimit-Remaining"], "0");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let reset: u64 = response.headers()["X-RateLimit-Reset"].to_str().unwrap().parse().unwrap();
    assert!((now + 1..=now + 4).contains(&reset), "{reset} at {now}");
    assert_eq!(get(&simulator, "/v2/stocks/AAPL/trades").await.0, 200);
    fault(&simulator, r#"{"fault":"outage","seconds":60,"rest":true}"#).await;
    assert_eq!(get(&simulator, "/v2/stocks/AAPL/trades").await.0, 503);
    fault(&simulator, r#"{"fault":"clear"}"#).await;
    assert_eq!(get(&simulator, "/v2/stocks/AAPL/trades").await.0, 200);
    simulator.stop().await;
}

#[tokio::test]
async fn injected_frames_arrive_as_they_are() {
    let simulator = simulator(&[]).await;
    let mut client = Client::ready(&simulator, "sip").await;
    let text = r#"[{"T":"success","msg":"surprise"}]"#;
    let body = json!({"frames": [{"text": text}, {"hex": "92 c0 FF"}]}).to_string();
    let (status, answer) = post(&simulator, "/control/inject", &body).await;
    assert_eq!((status, &answer["frames"], &answer["clients"]), (200, &json!(2), &json!(1)));
    assert_eq!(client.message().await, Some(Message::Text(text.into())));
    assert_eq!(client.message().await, Some(Message::Binary(vec![0x92, 0xc0, 0xff].into())));
    simulator.stop().await;
}

#[tokio::test]
async fn the_rate_can_be_dialled_and_the_market_paused() {
    let simulator = simulator(&["--rate", "10"]).await;
    let (status, answer) = post(&simulator, "/control/rate", r#"{"rate":5000}"#).await;
    assert_eq!((status, &answer["pace"]), (200, &json!("5000/s")));
    stats_when(&simulator, "it is fast", |stats| stats["market"]["messages"].as_u64() > Some(2_000)).await;
    post(&simulator, "/control/pause", "").await;
    let still = stats_when(&simulator, "it stands still", |stats| stats["paused"] == true).await;
    let again = stats(&simulator).await;
    assert_eq!(again["market"]["messages"], still["market"]["messages"]);
    post(&simulator, "/control/resume", "").await;
    let more = still["market"]["messages"].as_u64();
    stats_when(&simulator, "it goes on", |stats| stats["market"]["messages"].as_u64() > more).await;
    simulator.stop().await;
}

#[tokio::test]
async fn bad_control_requests_say_what_is_wrong() {
    let simulator = simulator(&[]).await;
    for (path, body, expected) in [
        ("/control/faults", "{", "the body is not what this route takes"),
        ("/control/faults", r#"{"fault":"explode"}"#, "unknown variant `explode`"),
        ("/control/faults", r#"{"fault":"mute"}"#, "missing field `seconds`"),
        ("/control/faults", r#"{"fault":"outage","seconds":-1}"#, "seconds must be"),
        ("/control/inject", "{}", "the body must be"),
        ("/control/inject", r#"{"hex":"1g"}"#, "hex must be"),
        ("/control/rate", "{}", "either rate"),
        ("/control/rate", r#"{"pace":"warp"}"#, "is no pace"),
        ("/control/rate", r#"{"pace":"max"}"#, "only a rate"),
        ("/control/rate", r#"{"rate":-5}"#, "is no pace"),
    ] {
        let (status, answer) = post(&simulator, path, body).await;
        let problem = answer["error"].as_str().unwrap_or_default();
        assert!(status == 400 && problem.contains(expected), "{path} {body}: {status} {answer}");
    }
    simulator.stop().await;
}
