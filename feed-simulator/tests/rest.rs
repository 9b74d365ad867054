//! REST over the same data.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;

use common::*;
use serde_json::{Value, json};

#[tokio::test]
async fn everything_that_was_streamed_is_found_again() {
    let arguments = ["--rate", "2000", "--symbols", "AAPL,IBM", "--late-share", "0.02", "--correction-share", "0.02"];
    let simulator = simulator(&arguments).await;
    let mut client = Client::ready(&simulator, "sip").await;
    client.subscribe(json!({"trades": ["*"]})).await;
    let seen = client.data_until(|seen| seen.len() > 3_000).await;
    post(&simulator, "/control/pause", "").await;
    let mut found: BTreeMap<(String, String, u64, String), Value> = BTreeMap::new();
    for symbol in ["AAPL", "IBM"] {
        let trades = all_pages(&simulator, &format!("/v2/stocks/{symbol}/trades?limit=333"), "trades").await;
        let times: Vec<i64> = trades
            .iter()
            .map(|trade| feed_simulator::wire::text::parse_time(trade["t"].as_str().unwrap()).unwrap())
            .collect();
        assert!(times.is_sorted());
        for trade in trades {
            assert!(trade.get("T").is_none() && trade.get("S").is_none());
            let text = |key: &str| trade[key].as_str().unwrap().to_owned();
            let key = (symbol.to_owned(), text("x"), trade["i"].as_u64().unwrap(), text("t"));
            assert!(found.insert(key, trade).is_none(), "no trade is on two pages");
        }
    }
    for message in seen {
        let id = if message["T"] == "c" { &message["ci"] } else { &message["i"] };
        let text = |key: &str| message[key].as_str().unwrap().to_owned();
        let trade = &found[&(text("S"), text("x"), id.as_u64().unwrap(), text("t"))];
        match message["T"].as_str().unwrap() {
            "t" => assert_eq!((&trade["p"], &trade["s"], &trade["c"]), (&message["p"], &message["s"], &message["c"])),
            "c" => assert_eq!((&trade["u"], &trade["p"]), (&json!("corrected"), &message["cp"])),
            "x" => assert_eq!(trade["u"], "canceled"),
            other => panic!("{other} was not subscribed"),
        }
    }
    simulator.stop().await;
}

#[tokio::test]
async fn several_symbols_share_one_page_limit_and_sort_turns_time_around() {
    let simulator = simulator(&["--symbols", "MSFT,AAPL,IBM"]).await;
    let path = "/v2/stocks/bars?symbols=MSFT,AAPL,NONE&timeframe=1Min&start=2020-01-01&limit=10000";
    let (status, page) = get(&simulator, path).await;
    assert_eq!(status, 200);
    let (aapl, msft) = (page["bars"]["AAPL"].as_array().unwrap(), page["bars"]["MSFT"].as_array().unwrap());
    assert!(aapl.len() >= 5 * 1_440 && aapl.len() + msft.len() == 10_000);
    assert!(page["bars"].get("NONE").is_none());
    assert!(page["next_page_token"].is_string());
    let token = page["next_page_token"].as_str().unwrap();
    let next = request(&simulator, path).query(&[("page_token", token)]).send().await.unwrap();
    let next: Value = next.json().await.unwrap();
    assert!(next["bars"].get("AAPL").is_none());
    assert!(next["bars"]["MSFT"][0]["t"].as_str() > msft.last().unwrap()["t"].as_str());

    let (_, newest) = get(&simulator, "/v2/stocks/AAPL/bars?timeframe=1Min&start=2020-01-01&sort=desc&limit=2").await;
    assert_eq!(newest["symbol"], "AAPL");
    assert!(newest["bars"][0]["t"].as_str() > newest["bars"][1]["t"].as_str());
    assert_eq!(newest["bars"][1], aapl[aapl.len() - 2]);
    let (_, nothing) = get(&simulator, "/v2/stocks/NONE/bars?timeframe=1Day").await;
    assert_eq!(nothing, json!({"bars": null, "symbol": "NONE", "next_page_token": null}));
    simulator.stop().await;
}

#[tokio::test]
async fn longer_bars_are_the_sums_of_their_minutes_and_both_ends_are_included() {
    let arguments = ["--hours", "market", "--start", "2024-06-05T21:00:00Z", "--symbols", "SPY"];
    let simulator = simulator(&arguments).await;
    let range = "start=2024-06-03T13:30:00Z&end=2024-06-03T19:59:00Z&limit=10000";
    let (_, minutes) = get(&simulator, &format!("/v2/stocks/SPY/bars?timeframe=1Min&{range}")).await;
    let minutes = minutes["bars"].as_array().unwrap();
    assert_eq!(minutes.len(), 390);
    let (_, days) = get(&simulator, "/v2/stocks/SPY/bars?timeframe=1Day&start=2024-06-03&end=2024-06-03").await;
    assert_eq!(days["bars"].as_array().unwrap().len(), 1);
    let day = &days["bars"][0];
    assert_eq!(day["t"], "2024-06-03T04:00:00Z");
    let (_, all) =
        get(&simulator, "/v2/stocks/SPY/bars?timeframe=1Min&start=2024-06-03&end=2024-06-03&limit=10000").await;
    let sum = |key: &str| all["bars"].as_array().unwrap().iter().map(|bar| bar[key].as_u64().unwrap()).sum::<u64>();
    assert_eq!((day["v"].as_u64(), day["n"].as_u64()), (Some(sum("v")), Some(sum("n"))));
    let (_, hours) = get(&simulator, &format!("/v2/stocks/SPY/bars?timeframe=1Hour&{range}")).await;
    assert_eq!(hours["bars"][0]["t"], "2024-06-03T14:00:00Z", "the hour from 13:00 began before the range");
    let (_, one) =
        get(&simulator, "/v2/stocks/SPY/bars?timeframe=1Min&start=2024-06-03T13:30:00Z&end=2024-06-03T13:30:00Z").await;
    assert_eq!(one["bars"], json!([minutes[0]]));
    let (_, clock) = get(&simulator, "/v2/clock").await;
    assert_eq!((&clock["is_open"], &clock["next_open"]), (&json!(false), &json!("2024-06-06T09:30:00-04:00")));
    simulator.stop().await;
}

#[tokio::test]
async fn newest_values_and_snapshots() {
    let simulator = simulator(&["--rate", "2000"]).await;
    stats_when(&simulator, "there is data", |stats| stats["market"]["messages"].as_u64() > Some(500)).await;
    let (_, trades) = get(&simulator, "/v2/stocks/trades/latest?symbols=AAPL,SPY,NONE").await;
    assert!(trades["trades"]["AAPL"]["p"].is_number() && trades["trades"]["SPY"]["t"].is_string());
    assert!(trades["trades"].get("NONE").is_none());
    let (_, quote) = get(&simulator, "/v2/stocks/AAPL/quotes/latest").await;
    assert!(quote["quote"]["bp"].as_f64() < quote["quote"]["ap"].as_f64());
    let (_, bar) = get(&simulator, "/v2/stocks/AAPL/bars/latest").await;
    assert!(bar["bar"]["vw"].is_number());
    let (_, snapshot) = get(&simulator, "/v2/stocks/AAPL/snapshot").await;
    for key in ["latestTrade", "latestQuote", "minuteBar", "prevDailyBar"] {
        assert!(snapshot[key].is_object(), "{key} in {snapshot}");
    }
    let (_, many) = get(&simulator, "/v2/stocks/snapshots?symbols=SPY,AAPL").await;
    assert_eq!(many.as_object().unwrap().len(), 2);
    assert_eq!(get(&simulator, "/v2/stocks/NONE/snapshot").await.0, 404);
    let (_, fake) = get(&simulator, "/v2/stocks/FAKEPACA/bars?timeframe=1Day&start=2020-01-01").await;
    assert!(fake["bars"].as_array().unwrap().len() >= 5);
    simulator.stop().await;
}

#[tokio::test]
async fn keys_limits_and_bad_parameters() {
    let simulator = simulator(&["--rest-per-minute", "40"]).await;
    let bare = reqwest::Client::new();
    let url = format!("http://{}/v2/stocks/AAPL/trades", simulator.address());
    assert_eq!(bare.get(&url).send().await.unwrap().status(), 401);
    let wrong = bare.get(&url).header("APCA-API-KEY-ID", "demo").header("APCA-API-SECRET-KEY", "no");
    assert_eq!(wrong.send().await.unwrap().status(), 403);
    let response = request(&simulator, "/v2/stocks/AAPL/trades").send().await.unwrap();
    assert_eq!(response.headers()["X-RateLimit-Limit"], "40");
    for (path, expected) in [
        ("/v2/stocks/bars?timeframe=1Min", "symbols is required"),
        ("/v2/stocks/AAPL/bars", "timeframe is required"),
        ("/v2/stocks/AAPL/bars?timeframe=7Weeks", "invalid timeframe: 7Weeks"),
        ("/v2/stocks/AAPL/bars?timeframe=1Min&adjustment=half", "invalid adjustment: half"),
        ("/v2/stocks/AAPL/trades?start=soon", "invalid start: soon"),
        ("/v2/stocks/AAPL/trades?start=2024-01-02&end=2024-01-01", "end should not be before start"),
        ("/v2/stocks/AAPL/trades?limit=0", "invalid limit"),
        ("/v2/stocks/AAPL/trades?limit=10001", "invalid limit"),
        ("/v2/stocks/AAPL/trades?feed=cnn", "invalid feed: cnn"),
        ("/v2/stocks/AAPL/trades?sort=up", "invalid sort: up"),
        ("/v2/stocks/AAPL/trades?currency=EUR", "invalid currency: EUR"),
        ("/v2/stocks/AAPL/trades?page_token=abc", "invalid page_token"),
        ("/v2/stocks/A%20B/trades", "invalid symbol: A B"),
        ("/v2/calendar?start=monday", "invalid start: monday"),
    ] {
        let (status, answer) = get(&simulator, path).await;
        let message = answer["message"].as_str().unwrap_or_default();
        assert!(status == 400 && message.contains(expected), "{path}: {status} {answer}");
    }
    let mut refused = false;
    for _ in 0..100 {
        let response = request(&simulator, "/v2/stocks/AAPL/trades?limit=1").send().await.unwrap();
        if response.status() == 429 {
            assert_eq!(response.headers()["X-RateLimit-Remaining"], "0");
            refused = true;
            break;
        }
    }
    assert!(refused, "the limit is kept");
    simulator.stop().await;
}

#[tokio::test]
async fn the_free_plan_sees_no_recent_sip_data() {
    let simulator = simulator(&["--plan", "free"]).await;
    let (status, answer) = get(&simulator, "/v2/stocks/AAPL/trades?end=2100-01-01").await;
    assert_eq!((status, &answer["message"]), (403, &json!("subscription does not permit querying recent SIP data")));
    assert_eq!(get(&simulator, "/v2/stocks/AAPL/trades?end=2100-01-01&feed=iex").await.0, 200);
    assert_eq!(get(&simulator, "/v2/stocks/AAPL/bars?timeframe=1Min").await.0, 200);
    simulator.stop().await;
}
