//! Bars longer than a minute.

use std::collections::{BTreeMap, BTreeSet};

use market::Timeframe;
use serde_json::json;

use crate::common::{OPEN_MS, Stored, api, database, get, on, store};

const DAY_MINUTES: i64 = 24 * 60;

#[actix_web::test]
async fn days_follow_new_york_and_weigh_by_volume() {
    let (database, mut client) = database().await;
    let evening = Stored { volume: 30.0, ..Stored::minute("AAPL", 9 * 60) }; // 18:30 in New York, 22:30 UTC
    let late = Stored { price: 50.0, ..Stored::minute("AAPL", 14 * 60) }; // 23:30 in New York: the same day, the next UTC day
    let next_day = Stored::minute("AAPL", DAY_MINUTES);
    store(&mut client, &[Stored::minute("AAPL", 0), evening, late, next_day]).await;
    let api = api(on(&database)).await;
    let json = get(&api, "/bars/AAPL?timeframe=1Day").await.json();
    let midnight = OPEN_MS - (9 * 60 + 30) * 60_000;
    let first = &json["bars"][0];
    assert_eq!(first["timestamp"], json!(midnight));
    assert_eq!((&first["open"], &first["close"]), (&json!(100), &json!(50.5)));
    assert_eq!((&first["high"], &first["low"]), (&json!(641), &json!(49)));
    assert_eq!((&first["volume"], &first["trade_count"]), (&json!(50), &json!(6)));
    assert_eq!(first["vwap"].as_f64(), Some((100.0 * 10.0 + 640.0 * 30.0 + 50.0 * 10.0) / 50.0));
    assert_eq!((&first["final"], &json["bars"][1]["final"]), (&json!(true), &json!(false)));
    assert_eq!(json["bars"].as_array().unwrap().len(), 2);
}

#[actix_web::test]
async fn a_stored_longer_bar_fills_in_where_there_are_no_minutes() {
    let (database, mut client) = database().await;
    let midnight = OPEN_MS - (9 * 60 + 30) * 60_000;
    let day = |days: i64| Stored {
        timeframe: "1Day".to_owned(),
        start_ms: midnight + days * DAY_MINUTES * 60_000,
        price: 7.0,
        ..Stored::minute("AAPL", 0)
    };
    store(&mut client, &[day(-2), day(-1), day(0), Stored::minute("AAPL", 0)]).await;
    let api = api(on(&database)).await;
    let opens = |json: serde_json::Value| {
        json["bars"].as_array().unwrap().iter().map(|bar| bar["open"].as_f64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(opens(get(&api, "/bars/AAPL?timeframe=1Day").await.json()), [7.0, 7.0, 100.0]);
    assert_eq!(opens(get(&api, "/bars/AAPL?timeframe=1Day&limit=2").await.json()), [7.0, 100.0]);
    assert_eq!(opens(get(&api, "/bars/AAPL/range?timeframe=1Day&sort=desc").await.json()), [100.0, 7.0, 7.0]);
}

#[actix_web::test]
async fn a_correction_of_one_minute_reaches_the_hour() {
    let (database, mut client) = database().await;
    store(&mut client, &(0..60).map(|at| Stored::minute("AAPL", at)).collect::<Vec<_>>()).await;
    let api = api(on(&database)).await;
    let before = get(&api, "/bars/AAPL?timeframe=1Hour").await.json();
    assert_eq!(before["bars"][0]["low"], json!(99));
    store(&mut client, &[Stored { price: 20.0, revision: 1, seq: 61, ..Stored::minute("AAPL", 5) }]).await;
    let after = get(&api, "/bars/AAPL?timeframe=1Hour").await.json();
    assert_eq!((&after["bars"][0]["low"], &after["bars"][0]["revision"]), (&json!(19), &json!(1)));
    assert_eq!(after["as_of"]["seq"], json!(61), "the correction is newer than the newest bar");
}

/// Start, prices and volume of the bars that `timeframe` makes of minutes, put together without any of the code under test.
fn made_of(minutes: &[Stored], timeframe: &str) -> Vec<(i64, [f64; 5])> {
    let timeframe: Timeframe = timeframe.parse().unwrap();
    let mut bars: BTreeMap<i64, [f64; 5]> = BTreeMap::new();
    for minute in minutes {
        let [open, high, low, close] = [0.0, 1.0, -1.0, 0.5].map(|step| minute.price + step);
        let fresh = [open, high, low, close, 0.0];
        let bar = bars.entry(timeframe.start_of(minute.start_ms)).or_insert(fresh);
        *bar = [bar[0], bar[1].max(high), bar[2].min(low), close, bar[4] + minute.volume];
    }
    bars.into_iter().collect()
}

fn read(bar: &serde_json::Value) -> (i64, [f64; 5]) {
    (
        bar["timestamp"].as_i64().unwrap(),
        ["open", "high", "low", "close", "volume"].map(|name| bar[name].as_f64().unwrap()),
    )
}

#[actix_web::test]
async fn every_length_is_what_its_minutes_say_in_pages_of_any_order_and_as_the_newest() {
    let (database, mut client) = database().await;
    // Ten weeks with holes of minutes, hours and days; a month, a quarter and a change of clocks lie in between.
    let minutes = |symbol: &str, step: i64| -> Vec<Stored> {
        let starts: BTreeSet<i64> = (0..400).map(|n| n * step + (n * n) % 17 * 31 + n / 50 * 2_000).collect();
        let minute =
            |at: i64| Stored { price: (100 + at * 7 % 83) as f64, ..Stored::minute(symbol, at - 110 * DAY_MINUTES) };
        starts.into_iter().map(minute).collect()
    };
    let (apple, microsoft) = (minutes("AAPL", 211), minutes("MSFT", 3));
    store(&mut client, &apple).await;
    store(&mut client, &microsoft).await;
    let api = api(on(&database)).await;
    for timeframe in [
        "1Min", "2Min", "5Min", "7Min", "10Min", "15Min", "30Min", "1Hour", "3Hour", "5Hour", "1Day", "1Week",
        "1Month", "3Month", "12Month",
    ] {
        let (mut paged, mut token) = (Vec::new(), String::new());
        loop {
            let url = format!("/bars/AAPL/range?timeframe={timeframe}&limit=83&sort=desc{token}");
            let json = get(&api, &url).await.json();
            paged.extend(json["bars"].as_array().unwrap().iter().map(read));
            let Some(next) = json["next_page_token"].as_str() else { break };
            token = format!("&page_token={next}");
        }
        paged.reverse();
        assert_eq!(paged, made_of(&apple, timeframe), "{timeframe}");

        let latest = get(&api, &format!("/bars/latest?timeframe={timeframe}")).await.json();
        for (symbol, minutes) in [("AAPL", &apple), ("MSFT", &microsoft)] {
            assert_eq!(
                Some(&read(&latest["bars"][symbol])),
                made_of(minutes, timeframe).last(),
                "{symbol} {timeframe}"
            );
        }
    }
}

#[actix_web::test]
async fn weeks_and_months_are_made_of_days_where_a_feed_sends_only_those() {
    let (database, mut client) = database().await;
    let midnight = OPEN_MS - (9 * 60 + 30) * 60_000; // Monday, 3 June 2024
    let day = |days: i64| Stored {
        timeframe: "1Day".to_owned(),
        start_ms: midnight + days * DAY_MINUTES * 60_000,
        price: 10.0 + days as f64,
        ..Stored::minute("AAPL", 0)
    };
    store(&mut client, &[day(0), day(1), day(4), day(7), day(30)]).await;
    let api = api(on(&database)).await;
    let weeks = get(&api, "/bars/AAPL?timeframe=1Week").await.json();
    let closes: Vec<_> = weeks["bars"].as_array().unwrap().iter().map(|bar| bar["close"].as_f64().unwrap()).collect();
    assert_eq!(closes, [14.5, 17.5, 40.5]);
    assert_eq!((&weeks["bars"][1]["final"], &weeks["bars"][2]["final"]), (&json!(true), &json!(false)));
    let latest = get(&api, "/bars/latest?timeframe=1Month").await.json();
    assert_eq!((&latest["bars"]["AAPL"]["open"], &latest["bars"]["AAPL"]["close"]), (&json!(40), &json!(40.5)));
}

#[actix_web::test]
async fn the_newest_year_of_more_symbols_than_one_statement_reads_has_them_all() {
    let (database, mut client) = database().await;
    let names: Vec<String> = (0..300).map(|number| format!("S{number:03}")).collect();
    let minutes = |at: i64| names.iter().map(move |name| Stored::minute(name, at)).collect::<Vec<_>>();
    store(&mut client, &minutes(0)).await;
    store(&mut client, &minutes(DAY_MINUTES)).await;
    let api = api(on(&database)).await;
    let latest = get(&api, "/bars/latest?timeframe=12Month").await.json();
    let bars = latest["bars"].as_object().unwrap();
    assert!(names.iter().eq(bars.keys()), "{:?}", bars.keys());
    assert!(bars.values().all(|bar| (&bar["open"], &bar["volume"]) == (&json!(100), &json!(20))));
}
