//! Bars longer than a minute.

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
