//! Alpaca's shape: what its specification says, byte for byte where clients rely on it.

use serde_json::{Value, json};

use crate::common::{Stored, api, assert_problem, database, get, on, store, store_trades};

#[actix_web::test]
async fn bars_of_several_symbols_are_sorted_and_end_is_included() {
    let (database, mut client) = database().await;
    let bars: Vec<_> = ["MSFT", "AAPL"].iter().flat_map(|name| (0..3).map(|at| Stored::minute(name, at))).collect();
    store(&mut client, &bars).await;
    let api = api(on(&database)).await;
    let path = "/v2/stocks/bars?symbols=MSFT,AAPL,NONE&timeframe=1T&start=2024-06-03T13:30:00Z&end=2024-06-03T13:31:00Z&feed=sip&adjustment=raw&whatever=1";
    let reply = get(&api, path).await;
    let text = String::from_utf8(reply.body.clone()).unwrap();
    let first = r#"{"bars":{"AAPL":[{"t":"2024-06-03T13:30:00Z","o":100,"h":101,"l":99,"c":100.5,"v":10,"n":2,"vw":100},{"t":"2024-06-03T13:31:00Z","#;
    assert!(text.starts_with(first), "{text}");
    let json = reply.json();
    assert_eq!(json["bars"].as_object().unwrap().keys().collect::<Vec<_>>(), ["AAPL", "MSFT"]);
    assert_eq!(json["bars"]["MSFT"].as_array().unwrap().len(), 2);
    assert_eq!(json["next_page_token"], Value::Null);
    let one = get(&api, "/v2/stocks/AAPL/bars?timeframe=1Min&start=2024-06-03").await.json();
    assert_eq!((one["bars"].as_array().unwrap().len(), &one["symbol"]), (3, &json!("AAPL")));
    assert_eq!(get(&api, "/v2/stocks/NONE/bars?timeframe=1Min").await.json()["bars"], json!([]));
}

/// Follows tokens to the end and lists `symbol time` of every record.
async fn walk(path: &str, name: &str, database: &local_stack::testing::Database) -> Vec<String> {
    let api = api(on(database)).await;
    let (mut seen, mut token) = (Vec::new(), String::new());
    loop {
        let json = get(&api, &format!("{path}&page_token={token}")).await.json();
        for (symbol, records) in json[name].as_object().unwrap_or_else(|| panic!("{json}")) {
            seen.extend(records.as_array().unwrap().iter().map(|one| format!("{symbol} {} {}", one["t"], one["i"])));
        }
        match json["next_page_token"].as_str() {
            Some(next) => token = next.to_owned(),
            None => return seen,
        }
    }
}

#[actix_web::test]
async fn pages_over_several_symbols_tile_whatever_their_size() {
    let (database, mut client) = database().await;
    let bars: Vec<_> = ["A", "B", "C"].iter().flat_map(|name| (0..7).map(|at| Stored::minute(name, at))).collect();
    store(&mut client, &bars).await;
    for symbol in ["A", "B"] {
        store_trades(&client, symbol, 7).await;
    }
    let same_time = "INSERT INTO market_data_oltp.stock_trades_realtime (ts, price, size, ts_ns, symbol, exchange, trade_id, source)
        SELECT ts, 1, 1, ts_ns, 'A', x, i::text, 'alpaca' FROM market_data_oltp.stock_trades_realtime, unnest(ARRAY['', 'Q', 'Z']) x, generate_series(1, 4) i
        WHERE symbol = 'A'";
    client.execute(same_time, &[]).await.unwrap();
    for (name, count) in [("bars", 21), ("trades", 7 + 7 + 7 * 12)] {
        for sort in ["asc", "desc"] {
            let path = format!("/v2/stocks/{name}?symbols=A,B,C&timeframe=1Min&start=2024-06-03&sort={sort}");
            let whole = walk(&format!("{path}&limit=10000"), name, &database).await;
            assert_eq!(whole.len(), count, "{path}");
            for limit in [1, 2, 5, 7, 13] {
                assert_eq!(walk(&format!("{path}&limit={limit}"), name, &database).await, whole, "{path} by {limit}");
            }
        }
    }
}

#[actix_web::test]
async fn latest_and_snapshot_hold_the_newest_of_everything() {
    let (database, mut client) = database().await;
    let tomorrow = Stored::minute("AAPL", 24 * 60);
    store(&mut client, &[Stored::minute("AAPL", 0), tomorrow, Stored::minute("MSFT", 1)]).await;
    store_trades(&client, "AAPL", 3).await;
    let api = api(on(&database)).await;
    let latest = get(&api, "/v2/stocks/bars/latest?symbols=AAPL,MSFT,NONE").await.json();
    assert_eq!(latest["bars"]["AAPL"]["t"], "2024-06-04T13:30:00Z");
    assert_eq!(latest["bars"].as_object().unwrap().len(), 2);
    assert_eq!(latest["as_of"]["MSFT"]["seq"], json!(2));
    assert_eq!(get(&api, "/v2/stocks/MSFT/bars/latest").await.json()["bar"]["o"], json!(101));
    assert_eq!(get(&api, "/v2/stocks/trades/latest?symbols=AAPL").await.json()["trades"]["AAPL"]["p"], json!(102));
    assert_eq!(get(&api, "/v2/stocks/AAPL/trades/latest").await.json()["trade"]["s"], json!(3));
    let one = get(&api, "/v2/stocks/AAPL/snapshot").await.json();
    assert_eq!((&one["latestTrade"]["p"], &one["latestQuote"]), (&json!(102), &Value::Null));
    assert_eq!(one["minuteBar"]["t"], "2024-06-04T13:30:00Z");
    assert_eq!(one["dailyBar"]["t"], "2024-06-04T04:00:00Z");
    assert_eq!(one["prevDailyBar"]["t"], "2024-06-03T04:00:00Z");
    let many = get(&api, "/v2/stocks/snapshots?symbols=AAPL,NONE").await.json();
    assert_eq!(many.as_object().unwrap().keys().collect::<Vec<_>>(), ["AAPL"]);
}

#[actix_web::test]
async fn refusals_name_the_parameter_and_carry_alpacas_message() {
    let (database, _client) = database().await;
    let api = api(on(&database)).await;
    let symbols: String = (0..201).map(|number| format!("S{number},")).collect();
    for (path, status, parameter) in [
        ("/v2/stocks/bars?timeframe=1Min", 400, "symbols"),
        ("/v2/stocks/bars?symbols=AAPL", 400, "timeframe"),
        ("/v2/stocks/bars?symbols=AAPL&timeframe=61Min", 400, "timeframe"),
        ("/v2/stocks/bars?symbols=AAPL&timeframe=1Min&feed=nyse", 400, "feed"),
        ("/v2/stocks/bars?symbols=AAPL&timeframe=1Min&adjustment=split", 400, "adjustment"),
        ("/v2/stocks/bars?symbols=AAPL&timeframe=1Min&currency=EUR", 400, "currency"),
        ("/v2/stocks/bars?symbols=AAPL&timeframe=1Min&start=2024-06-04&end=2024-06-03", 400, "start"),
        ("/v2/stocks/AAPL/trades?limit=10001", 400, "limit"),
        ("/v2/stocks/AAPL/trades?page_token=x", 400, "page_token"),
        (&format!("/v2/stocks/trades?symbols={}", symbols.trim_end_matches(',')), 400, "symbols"),
        ("/v2/stocks/NONE/snapshot", 404, "symbol"),
        ("/v2/stocks/bars?symbols=AAPL&timeframe=1Min&adjustment=all", 400, "adjustment"),
        ("/v2/stocks/quotes", 400, "symbols"),
        ("/v2/stocks/quotes?symbols=AAPL", 403, ""),
        ("/v2/stocks/AAPL/quotes", 403, ""),
        ("/v2/stocks/meta/conditions/bar?tape=A", 400, "ticktype"),
        ("/v2/stocks/meta/conditions/trade", 400, "tape"),
        ("/v2/calendar?start=2024-02-30", 400, "start"),
        ("/v2/calendar?start=1901-01-01&end=2199-01-01", 400, "end"),
        ("/v2/nothing", 404, ""),
    ] {
        let reply = get(&api, path).await;
        assert_problem(&reply, status, parameter);
        assert_eq!(reply.json()["message"], reply.json()["detail"], "{path}");
        let code = reply.json()["code"].as_u64().unwrap_or_default();
        assert_eq!(code / 100_000, u64::from(status), "{path}: alpaca-py insists on a code");
    }
}

#[actix_web::test]
async fn the_calendar_knows_holidays_and_half_days() {
    let (database, _client) = database().await;
    let api = api(on(&database)).await;
    let json = get(&api, "/v2/calendar?start=2024-07-03&end=2024-07-05T00:00:00Z").await.json();
    let half = json!({"date": "2024-07-03", "open": "09:30", "close": "13:00", "session_open": "0400", "session_close": "1700"});
    assert_eq!((json.as_array().unwrap().len(), &json[0]), (2, &half));
    assert!(get(&api, "/v2/calendar").await.json().as_array().unwrap().len() > 15_000);
    let clock = get(&api, "/v2/clock").await.json();
    assert!(clock["is_open"].is_boolean() && clock["next_open"].as_str().unwrap().contains("T09:30:00-0"), "{clock}");
}

/// Alpaca begins with the day that is on, not with the oldest record it has.
#[actix_web::test]
async fn without_a_start_the_day_begins_the_answer() {
    let (database, mut client) = database().await;
    let now = jiff::Timestamp::now().as_millisecond() / 60_000 * 60_000;
    let today = Stored { start_ms: now, ..Stored::minute("AAPL", 5) };
    store(&mut client, &[Stored::minute("AAPL", 0), Stored::minute("AAPL", 24 * 60), today]).await;
    store_trades(&client, "AAPL", 3).await;
    let api = api(on(&database)).await;
    let starts = async |query: &str| {
        let json = get(&api, &format!("/v2/stocks/AAPL/bars?timeframe=1Min{query}")).await.json();
        json["bars"].as_array().unwrap().iter().map(|bar| bar["t"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let newest = jiff::Timestamp::from_millisecond(now).unwrap().to_string();
    assert_eq!(starts("").await, [newest.as_str()]);
    assert_eq!(starts("&end=2024-06-03T20:00:00Z").await, ["2024-06-03T13:30:00Z"]);
    assert_eq!(starts("&start=2024-06-03").await.len(), 3);
    assert_eq!(get(&api, "/v2/stocks/AAPL/trades").await.json()["trades"], json!([]));
}

#[actix_web::test]
async fn what_codes_mean_and_that_quotes_are_not_stored_is_answered_in_alpacas_shape() {
    let (database, _client) = database().await;
    let api = api(on(&database)).await;
    assert_eq!(get(&api, "/v2/stocks/meta/exchanges").await.json()["V"], "IEX");
    let conditions = get(&api, "/v2/stocks/meta/conditions/trade?tape=C").await.json();
    assert_eq!((&conditions["@"], &conditions["I"]), (&json!("Regular Sale"), &json!("Odd Lot Trade")));
    assert!(get(&api, "/v2/stocks/meta/conditions/quote?tape=A").await.json().is_object());
    let latest = get(&api, "/v2/stocks/quotes/latest?symbols=AAPL").await;
    assert_eq!((latest.header("x-complete"), latest.json()), ("false", json!({"quotes": {}})));
    assert_eq!(get(&api, "/v2/stocks/AAPL/quotes/latest").await.json()["quote"], Value::Null);
}
