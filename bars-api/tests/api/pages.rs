//! Quote pages and charting libraries.

use serde_json::{Value, json};

use crate::common::{OPEN_MS, Stored, api, assert_problem, database, get, on, store, store_trades};

const DAY: i64 = 24 * 60;

#[actix_web::test]
async fn a_quote_compares_with_the_previous_close_and_says_what_it_is_from() {
    let (database, mut client) = database().await;
    store(&mut client, &[Stored::minute("AAPL", -DAY), Stored::minute("AAPL", 0), Stored::minute("AAPL", 1)]).await;
    store_trades(&client, "AAPL", 3).await;
    let api = api(on(&database)).await;
    let json = get(&api, "/api/market/quote/AAPL").await.json();
    let previous = 100.0 - DAY as f64 + 0.5;
    assert_eq!((&json["price"], &json["previousClose"]), (&json!(102.0), &json!(previous)));
    assert_eq!(json["change"], json!(102.0 - previous));
    assert_eq!(json["changePercent"], json!((102.0 - previous) / previous * 100.0));
    assert_eq!((&json["open"], &json["volume"]), (&json!(100.0), &json!(20.0)));
    assert_eq!((&json["from"], &json["name"]), (&json!("lastClosedDay"), &json!("Apple Inc.")));
    assert_eq!(json["timestamp"], json!(OPEN_MS + 2 * 60_000));

    let now = jiff::Timestamp::now().as_millisecond() / 60_000 * 60_000;
    store(&mut client, &[Stored { start_ms: now, ..Stored::minute("AAPL", 5) }]).await;
    let json = get(&api, "/api/market/quote/AAPL").await.json();
    assert_eq!((&json["from"], &json["price"], &json["size"]), (&json!("live"), &json!(105.5), &Value::Null));
    assert_problem(&get(&api, "/api/market/quote/NONE").await, 404, "symbol");
}

#[actix_web::test]
async fn historical_bars_in_the_words_of_quote_pages() {
    let (database, mut client) = database().await;
    store(&mut client, &(0..20).map(|at| Stored::minute("AAPL", at)).collect::<Vec<_>>()).await;
    let api = api(on(&database)).await;
    let path = "/api/market/historical/AAPL?from=2024-06-03&to=2024-06-04";
    assert_eq!(get(&api, &format!("{path}&timespan=minute&multiplier=5")).await.minutes(), [0, 5, 10, 15]);
    assert_eq!(get(&api, &format!("{path}&timespan=minute&limit=2")).await.minutes(), [18, 19]);
    assert_eq!(get(&api, path).await.json()["timeframe"], "1Day");
    assert_problem(&get(&api, &format!("{path}&timespan=year")).await, 400, "timespan");
    assert_problem(&get(&api, &format!("{path}&timespan=day&multiplier=2")).await, 400, "multiplier");
    assert_problem(&get(&api, "/api/market/historical/AAPL?from=2024-06-04&to=2024-06-03").await, 400, "from");
}

#[actix_web::test]
async fn search_finds_letters_and_names() {
    let (database, mut client) = database().await;
    store(&mut client, &["AAPL", "APX", "MSFT"].map(|name| Stored::minute(name, 0))).await;
    let api = api(on(&database)).await;
    let found = |json: Value| {
        json["results"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["symbol"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(found(get(&api, "/api/market/search?q=ap").await.json()), ["APX", "AAPL"]);
    assert_eq!(found(get(&api, "/api/market/search?q=micro&limit=1").await.json()), ["MSFT"]);
    assert_problem(&get(&api, "/api/market/search?q=a&limit=0").await, 400, "limit");
    let udf = get(&api, "/udf/search?query=apple&limit=5&type=stock&exchange=").await.json();
    assert_eq!((&udf[0]["symbol"], &udf[0]["description"]), (&json!("AAPL"), &json!("Apple Inc.")));
}

#[actix_web::test]
async fn the_market_is_in_one_of_four_phases() {
    let (database, _client) = database().await;
    let api = api(on(&database)).await;
    let json = get(&api, "/api/market/status").await.json();
    assert!(["open", "pre", "post", "closed"].contains(&json["market"].as_str().unwrap()), "{json}");
    assert!(json["nextChange"]["time"].as_i64() > json["time"].as_i64());
    assert_ne!(json["nextChange"]["market"], json["market"]);
}

#[actix_web::test]
async fn a_chart_gets_columns_in_seconds() {
    let (database, mut client) = database().await;
    store(&mut client, &(0..10).map(|at| Stored::minute("AAPL", at)).collect::<Vec<_>>()).await;
    let api = api(on(&database)).await;
    let open = OPEN_MS / 1000;
    let history = |more: &str| format!("/udf/history?symbol=NASDAQ:AAPL&{more}");
    let range = format!("resolution=1&from={}&to={}", open + 120, open + 300);
    let json = get(&api, &history(&range)).await.json();
    assert_eq!(json["t"], json!([open + 120, open + 180, open + 240]));
    assert_eq!(
        (&json["s"], &json["o"], &json["c"]),
        (&json!("ok"), &json!([102, 103, 104]), &json!([102.5, 103.5, 104.5]))
    );
    let back = format!("resolution=1&from={}&to={}&countback=4", open + 240, open + 300);
    assert_eq!(get(&api, &history(&back)).await.json()["o"], json!([101, 102, 103, 104]));
    let later = format!("resolution=5&from={}&to={}", open + 90_000, open + 100_000);
    assert_eq!(get(&api, &history(&later)).await.json(), json!({"s": "no_data", "nextTime": open + 300}));
    let earlier = format!("resolution=5&from=0&to={}", open - 1000);
    assert_eq!(get(&api, &history(&earlier)).await.json(), json!({"s": "no_data"}));
    // 2024-06-03 at midnight UTC
    let day = get(&api, &history("resolution=1D&from=1717372800&to=1717459200")).await.json();
    assert_eq!((&day["t"], &day["v"]), (&json!([1_717_372_800]), &json!([100])));
    assert_eq!(
        get(&api, &history("resolution=1D&from=1717459200&to=1717545600")).await.json()["nextTime"],
        json!(1_717_372_800)
    );
    for (query, parameter) in
        [("resolution=7D&to=1", "resolution"), ("resolution=1&to=soon", "to"), ("resolution=1&from=5&to=1", "from")]
    {
        assert_problem(&get(&api, &history(query)).await, 400, parameter);
    }
    assert_problem(&get(&api, "/udf/history?symbol=NONE&resolution=1&to=1").await, 404, "symbol");
}

#[actix_web::test]
async fn a_chart_learns_what_it_may_ask() {
    let (database, mut client) = database().await;
    store(&mut client, &[Stored::minute("AAPL", 0)]).await;
    let api = api(on(&database)).await;
    let resolutions = get(&api, "/udf/config").await.json()["supported_resolutions"].as_array().unwrap().clone();
    for resolution in resolutions {
        let path = format!("/udf/history?symbol=AAPL&resolution={}&to=1717545600", resolution.as_str().unwrap());
        assert_eq!(get(&api, &path).await.json()["s"], "ok", "{path}");
    }
    let json = get(&api, "/udf/symbols?symbol=AAPL").await.json();
    assert_eq!((&json["ticker"], &json["timezone"]), (&json!("AAPL"), &json!("America/New_York")));
    assert_problem(&get(&api, "/udf/symbols?symbol=NONE").await, 404, "symbol");
    let time: i64 = String::from_utf8(get(&api, "/udf/time").await.body).unwrap().parse().unwrap();
    assert!((time - jiff::Timestamp::now().as_second()).abs() < 5);
}

/// Pages of an older dialect read `success` and `data`.
#[actix_web::test]
async fn quote_pages_find_their_envelope() {
    let (database, mut client) = database().await;
    store(&mut client, &(0..20).map(|at| Stored::minute("AAPL", at)).collect::<Vec<_>>()).await;
    let api = api(on(&database)).await;
    let quote = get(&api, "/api/market/quote/AAPL").await.json();
    assert_eq!((&quote["success"], &quote["data"]["price"]), (&json!(true), &quote["price"]));
    let day = get(&api, "/api/market/historical/AAPL?from=2024-06-03&to=2024-06-03&timespan=minute").await.json();
    assert_eq!(
        (&day["success"], day["data"].as_array().unwrap().len(), &day["data"]),
        (&json!(true), 20, &day["bars"])
    );
    let found = get(&api, "/api/market/search?q=app").await.json();
    assert_eq!((&found["success"], &found["data"][0]["symbol"]), (&json!(true), &json!("AAPL")));
    assert_eq!(get(&api, "/api/market/status").await.json()["success"], true);
    let refused = get(&api, "/api/market/quote/NONE").await.json();
    assert_eq!((&refused["success"], &refused["error"]), (&json!(false), &refused["detail"]));
}

#[actix_web::test]
async fn a_chart_shows_every_decimal_and_marks_outages() {
    let (database, mut client) = database().await;
    let penny = |at: i64| Stored { price: 1.1849, ..Stored::minute("PENY", at) };
    store(&mut client, &[penny(0), Stored::minute("AAPL", 0), Stored::minute("BINANCE:BTCUSDT", 0)]).await;
    let gap = "INSERT INTO market_data_oltp.stock_feed_gaps (source, symbol, started_at, ended_at, cause)
        VALUES ('alpaca', '*', '2024-06-03T13:40:00Z', '2024-06-03T13:41:00Z', 'a test')";
    client.execute(gap, &[]).await.unwrap();
    let api = api(on(&database)).await;
    let scale =
        async |symbol: &str| get(&api, &format!("/udf/symbols?symbol={symbol}")).await.json()["pricescale"].clone();
    assert_eq!((scale("PENY").await, scale("NASDAQ:AAPL").await), (json!(10_000), json!(100)));
    let coin = "/udf/history?symbol=BINANCE:BTCUSDT&resolution=1&from=0&to=1717430000";
    assert_eq!(get(&api, coin).await.json()["s"], "ok");
    let info = get(&api, "/udf/symbol_info?group=").await.json();
    assert_eq!(info["symbol"], json!(["AAPL", "BINANCE:BTCUSDT", "PENY"]));
    assert_eq!(info["pricescale"], json!([100, 100, 10_000]));
    let quotes = get(&api, "/udf/quotes?symbols=NASDAQ:AAPL,NONE").await.json();
    assert_eq!((&quotes["d"][0]["n"], &quotes["d"][0]["v"]["lp"]), (&json!("NASDAQ:AAPL"), &json!(100.5)));
    assert_eq!(quotes["d"][1]["s"], "error");
    let marks = get(&api, "/udf/marks?symbol=AAPL&resolution=1&from=1717421400&to=1717430000").await.json();
    assert_eq!((&marks["time"], &marks["color"]), (&json!([1_717_422_000]), &json!(["red"])));
    let widgets = get(&api, "/widgets.json").await.json();
    assert_eq!(widgets["tapeline_bars"]["data"]["dataKey"], "bars");
    assert_eq!(get(&api, "/apps.json").await.json()[0]["name"], "Tapeline");
}
