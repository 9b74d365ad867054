//! Outages: where they are listed, and how an answer says that it may lack something.

use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::common::{MINUTE_MS, OPEN_MS, Stored, api, assert_problem, database, get, on, send, store, store_trades};

/// Stores a version of an outage as the sink does; `None` while it lasts, or is not healed.
async fn outage(client: &Client, symbol: &str, from: i64, to: Option<i64>, healed: Option<i64>) {
    let sql = "INSERT INTO market_data_oltp.stock_feed_gaps (source, symbol, started_at, ended_at, cause, healed_at)
        VALUES ('alpaca', $1, to_timestamp($2::bigint / 1000.0), to_timestamp($3::bigint / 1000.0), 'the feed closed the connection',
            to_timestamp($4::bigint / 1000.0))
        ON CONFLICT (source, symbol, started_at) DO UPDATE SET ended_at = EXCLUDED.ended_at, healed_at = EXCLUDED.healed_at";
    client.execute(sql, &[&symbol, &from, &to, &healed]).await.unwrap();
}

/// A moment so many minutes after the opening bell, in Unix milliseconds.
fn at(minute: i64) -> i64 {
    OPEN_MS + minute * MINUTE_MS
}

#[actix_web::test]
async fn outages_are_listed_with_their_cause_oldest_first() {
    let (database, client) = database().await;
    outage(&client, "*", at(30), None, None).await;
    outage(&client, "AAPL", at(2), Some(at(5)), Some(at(6))).await;
    outage(&client, "MSFT", at(1), Some(at(3)), None).await;
    let api = api(on(&database)).await;
    let reply = get(&api, "/bars/AAPL/gaps").await;
    let first = json!({"type": "gap", "source": "alpaca", "symbol": "AAPL", "from": at(2), "to": at(5),
        "cause": "the feed closed the connection", "healed_at": at(6)});
    let second = json!({"type": "gap", "source": "alpaca", "symbol": "*", "from": at(30), "cause": "the feed closed the connection"});
    assert_eq!(reply.json(), json!({"symbol": "AAPL", "gaps": [first, second], "next_page_token": null}));

    // What its healing rests on, and why another one is not healed.
    let proof = "UPDATE market_data_oltp.stock_feed_gaps SET records = 12, unknown = 1, verified_at = healed_at WHERE symbol = 'AAPL'";
    let refused =
        "UPDATE market_data_oltp.stock_feed_gaps SET reason = 'the history is empty', attempts = 3 WHERE symbol = '*'";
    client.batch_execute(&format!("{proof}; {refused}")).await.unwrap();
    let json = get(&api, "/bars/AAPL/gaps").await.json();
    let (healed, open) = (&json["gaps"][0], &json["gaps"][1]);
    assert_eq!(
        (&healed["records"], &healed["unknown"], &healed["verified_at"]),
        (&json!(12), &json!(1), &json!(at(6)))
    );
    assert_eq!((&open["reason"], &open["attempts"]), (&json!("the history is empty"), &json!(3)));
    assert!(open.get("records").is_none() && healed.get("reason").is_none() && healed.get("attempts").is_none());

    let starts = |range: &str| {
        let path = format!("/bars/AAPL/gaps?{range}");
        let api = &api;
        async move {
            let json = get(api, &path).await.json();
            json["gaps"]
                .as_array()
                .unwrap()
                .iter()
                .map(|gap| (gap["from"].as_i64().unwrap() - OPEN_MS) / MINUTE_MS)
                .collect::<Vec<_>>()
        }
    };
    let nothing: Vec<i64> = Vec::new();
    assert_eq!(starts(&format!("end={}", at(2))).await, nothing);
    assert_eq!(starts(&format!("start={}&end={}", at(5), at(30))).await, nothing);
    assert_eq!(starts(&format!("start={}&end={}", at(4), at(30))).await, [2]);
    assert_eq!(starts(&format!("start={}", at(500))).await, [30]);
    assert_eq!(starts("source=massive").await, nothing);
}

#[actix_web::test]
async fn pages_of_outages_tile_and_bad_input_is_refused_by_name() {
    let (database, client) = database().await;
    for minute in 0..7 {
        outage(&client, "*", at(minute), Some(at(minute + 1)), None).await;
        outage(&client, "AAPL", at(minute), Some(at(minute + 1)), None).await;
    }
    let api = api(on(&database)).await;
    let (mut seen, mut token) = (Vec::new(), String::new());
    loop {
        let json = get(&api, &format!("/bars/AAPL/gaps?limit=3&page_token={token}")).await.json();
        seen.extend(
            json["gaps"].as_array().unwrap().iter().map(|gap| (gap["from"].as_i64(), gap["symbol"].to_string())),
        );
        match json["next_page_token"].as_str() {
            Some(next) => token = next.to_owned(),
            None => break,
        }
    }
    let whole = get(&api, "/bars/AAPL/gaps").await.json();
    let whole: Vec<_> =
        whole["gaps"].as_array().unwrap().iter().map(|gap| (gap["from"].as_i64(), gap["symbol"].to_string())).collect();
    assert_eq!((whole.len(), &seen), (14, &whole));
    assert_problem(&get(&api, "/bars/AAPL/gaps?start=x").await, 400, "start");
    assert_problem(&get(&api, "/bars/AAPL/gaps?timeframe=1Min").await, 400, "timeframe");
    assert_problem(&get(&api, "/bars/MSFT/gaps?page_token=AAAA").await, 400, "page_token");
}

/// What decides is the time that an answer is about, not what happened some other day.
#[actix_web::test]
async fn an_answer_says_whether_an_outage_touches_its_range() {
    let (database, mut client) = database().await;
    for symbol in ["AAPL", "MSFT"] {
        store(&mut client, &(0..10).map(|at| Stored::minute(symbol, at)).collect::<Vec<_>>()).await;
        store_trades(&client, symbol, 10).await;
    }
    outage(&client, "AAPL", at(4) + 10_000, Some(at(4) + 50_000), None).await;
    let api = api(on(&database)).await;
    let iso = |minute: i64| format!("2024-06-03T13:{}:00Z", 30 + minute);
    let range = |name: &str, from: i64, to: i64| format!("/bars/{name}/range?start={}&end={}", at(from), at(to));
    let alpaca = |what: &str, names: &str, from: i64, to: i64| {
        format!("/v2/stocks/{what}?symbols={names}&timeframe=1Min&start={}&end={}", iso(from), iso(to))
    };
    let udf = |from: i64, to: i64| {
        format!("/udf/history?symbol=AAPL&resolution=1&from={}&to={}", at(from) / 1000, at(to) / 1000)
    };
    for (path, complete) in [
        ("/bars/AAPL".to_owned(), false),
        ("/bars/MSFT".to_owned(), true),
        ("/bars/AAPL?limit=5".to_owned(), true),
        ("/bars/AAPL?limit=6".to_owned(), false),
        (range("AAPL", 0, 4), true),
        (range("AAPL", 4, 5), false),
        (range("AAPL", 5, 10), true),
        (range("AAPL", 0, 60), false),
        (range("MSFT", 0, 60), true),
        (format!("{}&limit=4", range("AAPL", 0, 60)), true),
        (format!("{}&limit=5", range("AAPL", 0, 60)), false),
        (format!("{}&limit=5&sort=desc", range("AAPL", 0, 60)), true),
        (format!("{}&timeframe=5Min", range("AAPL", 0, 5)), false),
        (format!("{}&timeframe=5Min", range("AAPL", 5, 60)), true),
        ("/bars/latest".to_owned(), true),
        ("/bars/latest?symbols=AAPL&timeframe=1Hour".to_owned(), false),
        (alpaca("bars", "AAPL,MSFT", 0, 3), true),
        (alpaca("bars", "AAPL,MSFT", 0, 4), false),
        (alpaca("bars", "MSFT", 0, 9), true),
        (alpaca("trades", "AAPL", 0, 4), true),
        (alpaca("trades", "AAPL", 4, 5), false),
        (format!("{}&limit=4", alpaca("trades", "AAPL", 0, 9)), true),
        (alpaca("trades", "MSFT", 0, 9), true),
        ("/v2/stocks/bars/latest?symbols=AAPL,MSFT".to_owned(), true),
        ("/v2/stocks/trades/latest?symbols=AAPL,MSFT".to_owned(), true),
        ("/v2/stocks/snapshots?symbols=AAPL".to_owned(), false),
        ("/v2/stocks/MSFT/snapshot".to_owned(), true),
        ("/api/market/quote/AAPL".to_owned(), false),
        ("/api/market/historical/AAPL?timespan=day".to_owned(), false),
        (udf(0, 4), true),
        (udf(3, 6), false),
    ] {
        let reply = get(&api, &path).await;
        assert_eq!((reply.status.as_u16(), reply.header("x-complete")), (200, complete.to_string().as_str()), "{path}");
        if let Some(said) = reply.json().get("complete") {
            assert_eq!(said, complete, "{path}");
        }
    }
    let lines = actix_web::test::TestRequest::get().uri("/bars/AAPL").insert_header(("accept", "text/csv"));
    assert_eq!(send(&api, lines).await.header("x-complete"), "false");
}

/// No bar changes here, only the outage: neither a remembered answer nor an entity tag may outlive its opening, closing or healing.
#[actix_web::test]
async fn what_is_remembered_follows_an_outage_that_opens_closes_and_heals() {
    let (database, mut client) = database().await;
    store(&mut client, &(0..10).map(|at| Stored::minute("AAPL", at)).collect::<Vec<_>>()).await;
    let api = api(on(&database)).await;
    let (newest, early) = ("/bars/AAPL?limit=3", format!("/bars/AAPL/range?start={}&end={}", at(0), at(3)));
    let mut tags = Vec::new();
    // Healing comes before closing where a feed repeats itself: the last version decides.
    for (change, complete) in [
        (None, true),
        (Some((None, None)), false),
        (Some((Some(at(9)), None)), false),
        (Some((Some(at(9)), Some(at(12)))), true),
    ] {
        if let Some((to, healed)) = change {
            outage(&client, "*", at(8), to, healed).await;
        }
        for _ in 0..2 {
            let reply = get(&api, newest).await; // the second time from memory
            assert_eq!(reply.header("x-complete"), complete.to_string(), "{change:?}");
            assert_eq!(reply.json()["complete"], complete);
            assert_eq!(get(&api, &early).await.header("x-complete"), "true");
            for tag in &tags {
                let held = actix_web::test::TestRequest::get()
                    .uri(newest)
                    .insert_header(("if-none-match", String::clone(tag)));
                let unchanged = *tag == reply.header("etag");
                assert_eq!(send(&api, held).await.status.as_u16(), if unchanged { 304 } else { 200 }, "{change:?}");
            }
            tags.push(reply.header("etag").to_owned());
        }
    }
    assert_eq!(tags[0], tags[7], "healed, the answer is what it was");
    tags.sort();
    tags.dedup();
    assert_eq!(tags.len(), 3);
}

#[actix_web::test]
async fn a_void_trade_is_in_no_answer() {
    let (database, client) = database().await;
    store_trades(&client, "AAPL", 4).await;
    let api = api(on(&database)).await;
    let price = |path: &'static str| {
        let api = &api;
        async move {
            let json = get(api, path).await.json();
            [&json["price"], &json["trade"]["p"], &json["latestTrade"]["p"], &json["trades"]["AAPL"]["p"]]
                .into_iter()
                .find_map(Value::as_f64)
                .unwrap_or_else(|| panic!("{json}"))
        }
    };
    let last_price = [
        "/api/market/quote/AAPL",
        "/v2/stocks/AAPL/trades/latest",
        "/v2/stocks/trades/latest?symbols=AAPL",
        "/v2/stocks/AAPL/snapshot",
    ];
    for path in last_price {
        assert_eq!(price(path).await, 103.0, "{path}");
    }
    let void = "UPDATE market_data_oltp.stock_trades_realtime SET void_at = now() WHERE price IN (101, 103)";
    assert_eq!(client.execute(void, &[]).await.unwrap(), 2);
    for path in last_price {
        assert_eq!(price(path).await, 102.0, "{path}");
    }
    for path in ["", "&sort=desc", "&limit=1"].map(|more| format!("/v2/stocks/AAPL/trades?start=2024-06-03{more}")) {
        let (mut prices, mut token) = (Vec::new(), String::new());
        loop {
            let json = get(&api, &format!("{path}&page_token={token}")).await.json();
            prices.extend(json["trades"].as_array().unwrap().iter().map(|trade| trade["p"].as_i64().unwrap()));
            match json["next_page_token"].as_str() {
                Some(next) => token = next.to_owned(),
                None => break,
            }
        }
        prices.sort_unstable();
        assert_eq!(prices, [100, 102], "{path}");
    }
    let all = get(&api, "/v2/stocks/AAPL/trades?start=2024-06-03").await.json();
    assert_eq!(all["as_of"]["AAPL"]["seq"], 4, "a void trade was a record of the stream all the same");
}
