//! The three routes, their answers and their refusals.

use actix_web::test::TestRequest;
use serde_json::json;
use service::web::access::{Access, AccessConfig, Claims};

use crate::common::{OPEN_MS, Stored, api, assert_problem, database, get, on, send, store, with};

#[actix_web::test]
async fn the_newest_bars_come_oldest_first() {
    let (database, mut client) = database().await;
    store(&mut client, &(0..10).map(|at| Stored::minute("AAPL", at)).collect::<Vec<_>>()).await;
    let api = api(on(&database)).await;
    let reply = get(&api, "/bars/AAPL?limit=3").await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.minutes(), [7, 8, 9]);
    let json = reply.json();
    assert_eq!((&json["symbol"], &json["timeframe"]), (&json!("AAPL"), &json!("1Min")));
    assert_eq!(json["next_page_token"], json!(null));
    assert_eq!(json["as_of"], json!({"epoch": 7, "seq": 10, "time": OPEN_MS + 9 * 60_000}));
    let last = json!({"timestamp": OPEN_MS + 9 * 60_000, "open": 109, "high": 110, "low": 108, "close": 109.5, "volume": 10,
        "trade_count": 2, "vwap": 109, "final": true, "revision": 0});
    assert_eq!(json["bars"][2], last);
    assert_eq!(get(&api, "/bars/AAPL").await.minutes().len(), 10);
}

#[actix_web::test]
async fn a_range_includes_its_start_and_excludes_its_end_in_every_form() {
    let (database, mut client) = database().await;
    store(&mut client, &(0..10).map(|at| Stored::minute("AAPL", at)).collect::<Vec<_>>()).await;
    let api = api(on(&database)).await;
    for range in [
        "start=2024-06-03T13:32:00Z&end=2024-06-03T13:35:00Z",
        "start=2024-06-03T09:32:00-04:00&end=2024-06-03T09:35:00-04:00",
        "start=2024-06-03T15:32:00+02:00&end=2024-06-03T15:35:00%2B02:00",
        "start=1717421520000&end=1717421700000",
        "start=2024-06-03T13:31:00.000000001Z&end=2024-06-03T13:34:00.000000001Z",
    ] {
        assert_eq!(get(&api, &format!("/bars/AAPL/range?{range}")).await.minutes(), [2, 3, 4], "{range}");
    }
    assert_eq!(get(&api, "/bars/AAPL/range?start=2024-06-03&end=2024-06-04").await.minutes().len(), 10);
    assert_eq!(get(&api, "/bars/AAPL/range?sort=desc&limit=2").await.minutes(), [9, 8]);
    let nothing = get(&api, "/bars/AAPL/range?start=2024-06-04").await;
    assert_eq!((nothing.status.as_u16(), nothing.minutes()), (200, Vec::<i64>::new()));
}

#[actix_web::test]
async fn latest_is_a_route_and_has_one_bar_of_each_symbol() {
    let (database, mut client) = database().await;
    let bars = [Stored::minute("AAPL", 0), Stored::minute("AAPL", 3), Stored::minute("BRK.B", 1)];
    store(&mut client, &bars).await;
    let api = api(on(&database)).await;
    let json = get(&api, "/bars/latest").await.json();
    assert_eq!(json["bars"].as_object().unwrap().keys().collect::<Vec<_>>(), ["AAPL", "BRK.B"]);
    assert_eq!(json["bars"]["AAPL"]["open"], json!(103));
    assert_eq!(json["as_of"]["BRK.B"], json!({"epoch": 7, "seq": 2, "time": OPEN_MS + 60_000}));
    let json = get(&api, "/bars/latest?symbols=BRK.B,NONE").await.json();
    assert_eq!(json["bars"].as_object().unwrap().keys().collect::<Vec<_>>(), ["BRK.B"]);
    let json = get(&api, "/bars/latest?timeframe=5Min").await.json();
    assert_eq!((&json["bars"]["AAPL"]["volume"], &json["timeframe"]), (&json!(20), &json!("5Min")));
}

#[actix_web::test]
async fn symbols_may_hold_a_dot_or_a_slash() {
    let (database, mut client) = database().await;
    store(&mut client, &[Stored::minute("BRK.B", 0), Stored::minute("BTC/USD", 1)]).await;
    let api = api(on(&database)).await;
    assert_eq!(get(&api, "/bars/BRK.B").await.minutes(), [0]);
    assert_eq!(get(&api, "/bars/BTC%2FUSD").await.minutes(), [1]);
    assert_eq!(get(&api, "/bars/BTC%2FUSD/range").await.minutes(), [1]);
    assert_eq!(get(&api, "/bars/BTC%2FUSD").await.json()["symbol"], json!("BTC/USD"));
}

#[actix_web::test]
async fn readers_get_the_first_feed_unless_they_ask_for_another() {
    let (database, mut client) = database().await;
    let massive = Stored { source: "massive".to_owned(), ..Stored::minute("AAPL", 5) };
    store(&mut client, &[Stored::minute("AAPL", 0), massive]).await;
    let both = api(on(&database)).await;
    assert_eq!(get(&both, "/bars/AAPL").await.minutes(), [0]);
    assert_eq!(get(&both, "/bars/AAPL?source=massive").await.minutes(), [5]);
    assert_eq!(get(&both, "/bars/AAPL?source=finnhub").await.minutes(), Vec::<i64>::new());
    let massive_first = api(with(&database, &[("FEED", "massive,alpaca")])).await;
    assert_eq!(get(&massive_first, "/bars/AAPL").await.minutes(), [5]);
    assert_eq!(get(&massive_first, "/bars/latest").await.json()["bars"]["AAPL"]["open"], json!(105));
}

#[actix_web::test]
async fn bad_input_is_refused_by_name() {
    let (database, mut client) = database().await;
    store(&mut client, &[Stored::minute("AAPL", 0)]).await;
    let api = api(on(&database)).await;
    let long = "A".repeat(33);
    for (path, status, parameter) in [
        ("/bars/NOPE", 404, "symbol"),
        ("/bars/NOPE/range?start=2024-06-03", 404, "symbol"),
        ("/bars/aapl", 404, "symbol"),
        ("/bars/AAPL?limit=0", 400, "limit"),
        ("/bars/AAPL?limit=10001", 400, "limit"),
        ("/bars/AAPL?limit=-1", 400, "limit"),
        ("/bars/AAPL?limit=1e3", 400, "limit"),
        ("/bars/AAPL?timeframe=2Day", 400, "timeframe"),
        ("/bars/AAPL?timeframe=1parsec", 400, "timeframe"),
        ("/bars/AAPL?source=ALPACA", 400, "source"),
        ("/bars/AAPL?start=2024-06-03", 400, "start"),
        ("/bars/AAPL?limmit=5", 400, "limmit"),
        ("/bars/AAPL?limit=5&limit=6", 400, "limit"),
        ("/bars/AAPL/range?start=tomorrow", 400, "start"),
        ("/bars/AAPL/range?end=2024-02-30", 400, "end"),
        ("/bars/AAPL/range?start=12345", 400, "start"),
        ("/bars/AAPL/range?start=2024-06-04&end=2024-06-03", 400, "start"),
        ("/bars/AAPL/range?start=2024-06-04&end=2024-06-04", 400, "start"),
        ("/bars/AAPL/range?sort=down", 400, "sort"),
        ("/bars/AAPL/range?page_token=AAAA", 400, "page_token"),
        ("/bars/AAPL/range?page_token=%00", 400, "page_token"),
        ("/bars/latest?symbols=", 400, "symbols"),
        ("/bars/latest?symbols=A,%00", 400, "symbols"),
        ("/bars/%20", 400, "symbol"),
        ("/bars/A%00B", 400, "symbol"),
        (&format!("/bars/{long}"), 400, "symbol"),
        ("/bars/%FF", 400, "symbol"),
        ("/bars", 404, ""),
        ("/bars/AAPL/", 404, ""),
        ("/nothing/here", 404, ""),
    ] {
        let reply = get(&api, path).await;
        assert_eq!(reply.status, status, "{path}: {}", String::from_utf8_lossy(&reply.body));
        assert_problem(&reply, status, parameter);
    }
}

#[actix_web::test]
async fn only_reading_is_possible() {
    let (database, _client) = database().await;
    let api = api(on(&database)).await;
    for path in ["/bars/AAPL", "/bars/latest", "/health", "/"] {
        let reply = send(&api, TestRequest::post().uri(path)).await;
        assert_problem(&reply, 405, "");
        assert_eq!(reply.header("allow"), "GET, HEAD");
    }
    assert_eq!(send(&api, TestRequest::default().method(actix_web::http::Method::HEAD).uri("/")).await.status, 200);
}

#[actix_web::test]
async fn a_request_id_comes_back_and_a_harmful_one_is_replaced() {
    let (database, _client) = database().await;
    let api = api(on(&database)).await;
    let reply = send(&api, TestRequest::get().uri("/bars/X").insert_header(("x-request-id", "mine-1"))).await;
    assert_eq!((reply.header("x-request-id"), &reply.json()["request_id"]), ("mine-1", &json!("mine-1")));
    let reply = send(&api, TestRequest::get().uri("/bars/X").insert_header(("x-request-id", "a b\"<>"))).await;
    assert_ne!(reply.header("x-request-id"), "a b\"<>");
}

#[actix_web::test]
async fn pages_of_known_origin_may_read_errors_too() {
    let (database, _client) = database().await;
    let api = api(on(&database)).await;
    for path in ["/", "/bars/NOPE", "/nothing"] {
        let known = send(&api, TestRequest::get().uri(path).insert_header(("origin", "http://page.test"))).await;
        assert_eq!(known.header("access-control-allow-origin"), "http://page.test", "{path}");
        let other = send(&api, TestRequest::get().uri(path).insert_header(("origin", "http://evil.test"))).await;
        assert_eq!(other.header("access-control-allow-origin"), "", "{path}");
    }
}

#[actix_web::test]
async fn an_etag_saves_the_body_until_a_bar_changes() {
    let (database, mut client) = database().await;
    store(&mut client, &[Stored::minute("AAPL", 0)]).await;
    let api = api(on(&database)).await;
    let range = "/bars/AAPL/range?start=2024-06-03&end=2024-06-04";
    let first = get(&api, range).await;
    assert_eq!(first.header("cache-control"), "no-cache");
    let etag = first.header("etag").to_owned();
    assert!(etag.starts_with("W/\""));
    let again = || TestRequest::get().uri(range).insert_header(("if-none-match", etag.clone()));
    let held = send(&api, again()).await;
    assert_eq!((held.status.as_u16(), held.body.len(), held.header("etag")), (304, 0, etag.as_str()));
    store(&mut client, &[Stored { price: 55.0, revision: 1, ..Stored::minute("AAPL", 0) }]).await;
    let corrected = send(&api, again()).await;
    assert_eq!((corrected.status.as_u16(), &corrected.json()["bars"][0]["open"]), (200, &json!(55)));
    assert_ne!(corrected.header("etag"), etag);
}

#[actix_web::test]
async fn a_caller_beyond_its_limit_is_told_when_to_come_back() {
    let (database, mut client) = database().await;
    store(&mut client, &[Stored::minute("AAPL", 0)]).await;
    let api = api(with(&database, &[("API_RATE_LIMIT_PER_MINUTE", "2")])).await;
    let mut seen = Vec::new();
    while seen.len() < 10 && !seen.contains(&429) {
        let reply = get(&api, "/bars/AAPL").await;
        assert_eq!(reply.header("x-ratelimit-limit"), "2");
        let reset: i64 = reply.header("x-ratelimit-reset").parse().unwrap();
        assert!(reset >= jiff::Timestamp::now().as_second());
        if reply.status == 429 {
            assert_problem(&reply, 429, "");
            assert!((1..=60).contains(&reply.header("retry-after").parse::<i64>().unwrap()));
            assert_eq!(reply.header("x-ratelimit-remaining"), "0");
        }
        seen.push(reply.status.as_u16());
    }
    assert_eq!(seen.last(), Some(&429), "{seen:?}");
    assert_eq!(get(&api, "/health").await.header("x-ratelimit-limit"), "", "health is not counted");
}

#[actix_web::test]
async fn without_a_key_only_the_front_door_is_open_where_keys_are_needed() {
    let (database, mut client) = database().await;
    store(&mut client, &[Stored::minute("AAPL", 0)]).await;
    let api = api(with(
        &database,
        &[("AUTH_REQUIRED", "true"), ("API_KEYS", "the first of two keys,the second of two keys")],
    ))
    .await;
    let refused = get(&api, "/bars/AAPL").await;
    assert_problem(&refused, 401, "");
    assert_eq!(refused.header("www-authenticate"), "Bearer");
    assert_eq!(get(&api, "/docs/").await.status, 200);
    let with_key =
        TestRequest::get().uri("/bars/AAPL").insert_header(("authorization", "Bearer the second of two keys"));
    assert_eq!(send(&api, with_key).await.minutes(), [0]);
}

#[actix_web::test]
async fn a_token_of_the_gateway_reads_what_it_covers_and_nothing_else() {
    let (database, mut client) = database().await;
    store(&mut client, &[Stored::minute("AAPL", 0), Stored::minute("MSFT", 0)]).await;
    let settings = [
        ("AUTH_REQUIRED", "true"),
        ("API_KEYS", "a key of this test"),
        ("TOKEN_SIGNING_KEY", "the signing key of both front doors"),
    ];
    let access = service::Vars::from_pairs(&settings).load(AccessConfig::from_vars).unwrap();
    let claims = Claims { symbols: Some(vec!["AAPL".to_owned()]), ..Claims::default() };
    let (token, _) = Access::new(&access).issue(claims, None);
    let api = api(with(&database, &settings)).await;
    for path in
        ["/bars/AAPL", "/v2/stocks/bars/latest?symbols=AAPL", "/udf/history?symbol=AAPL&resolution=1", "/v2/clock"]
    {
        let separator = if path.contains('?') { '&' } else { '?' };
        assert_eq!(get(&api, &format!("{path}{separator}token={token}")).await.status, 200, "{path}");
    }
    let bearer = ("authorization", format!("Bearer {token}"));
    let ask = |path: &str| TestRequest::get().uri(path).insert_header(bearer.clone());
    let latest = send(&api, ask("/bars/latest")).await;
    let listed: serde_json::Value = serde_json::from_slice(&latest.body).unwrap();
    assert!(listed.to_string().contains("AAPL") && !listed.to_string().contains("MSFT"), "{listed}");
    for path in [
        "/bars/MSFT",
        "/bars/msft",
        "/bars/%4DSFT",
        "/bars/latest?symbols=AAPL,MSFT",
        "/v2/stocks/bars/latest?symbols=AAPL%2CMSFT",
        "/v2/stocks/MSFT/trades",
        "/udf/history?symbol=NASDAQ:MSFT&resolution=1",
        "/udf/search?query=",
        "/api/market/search?q=m",
        "/api/market/quote/MSFT",
    ] {
        let reply = send(&api, ask(path)).await;
        assert_problem(&reply, 403, "");
        assert!(!String::from_utf8_lossy(&reply.body).contains("100.5"), "{path}");
    }
}

#[actix_web::test]
async fn bars_come_as_lines_where_that_is_asked_for() {
    let (database, mut client) = database().await;
    store(&mut client, &(0..3).map(|at| Stored::minute("AAPL", at)).collect::<Vec<_>>()).await;
    let api = api(on(&database)).await;
    let path = "/bars/AAPL/range?limit=2";
    let ask = |accept: &'static str| TestRequest::get().uri(path).insert_header(("accept", accept));
    for _ in 0..2 {
        let csv = send(&api, ask("text/csv")).await;
        assert_eq!(csv.header("content-type"), "text/csv; charset=utf-8");
        let text = String::from_utf8(csv.body.clone()).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines[0],
            "timestamp,open,high,low,close,volume,trade_count,vwap,final,revision,symbol,timeframe,source"
        );
        assert_eq!(lines[1], "1717421400000,100,101,99,100.5,10,2,100,true,0,AAPL,1Min,alpaca");
        assert_eq!((lines.len(), csv.header("x-as-of")), (3, r#"{"epoch":7,"seq":3,"time":1717421520000}"#));
        let token = csv.header("x-next-page-token").to_owned();
        assert_eq!(get(&api, &format!("{path}&page_token={token}")).await.minutes(), [2]);
        let lines = send(&api, ask("application/x-ndjson")).await;
        let json: serde_json::Value =
            serde_json::from_slice(lines.body.split(|byte| *byte == b'\n').nth(1).unwrap()).unwrap();
        assert_eq!((&json["open"], &json["symbol"], &json["timeframe"]), (&json!(101), &json!("AAPL"), &json!("1Min")));
        assert_eq!(send(&api, ask("*/*")).await.minutes(), [0, 1]);
    }
}

#[actix_web::test]
async fn answers_are_compressed_for_whoever_can_read_it() {
    let (database, mut client) = database().await;
    store(&mut client, &(0..200).map(|at| Stored::minute("AAPL", at)).collect::<Vec<_>>()).await;
    let api = api(on(&database)).await;
    let plain = get(&api, "/bars/AAPL").await;
    for encoding in ["gzip", "br", "zstd"] {
        let request = TestRequest::get().uri("/bars/AAPL").insert_header(("accept-encoding", encoding));
        let packed = send(&api, request).await;
        assert_eq!(packed.header("content-encoding"), encoding);
        assert!(packed.body.len() * 4 < plain.body.len(), "{encoding}: {} bytes", packed.body.len());
    }
}

#[actix_web::test]
async fn indicators_are_warmed_up_before_the_range_and_do_not_change_from_page_to_page() {
    let (database, mut client) = database().await;
    let wavy = |at: i64| Stored { price: 100.0 + 10.0 * (at as f64 / 9.0).sin(), ..Stored::minute("AAPL", at) };
    store(&mut client, &(0..320).map(wavy).collect::<Vec<_>>()).await;
    let api = api(on(&database)).await;
    let list = "indicators=sma:3,ema:20,rsi,atr:14,bollinger:20:2,vwap";
    let whole = get(&api, &format!("/bars/AAPL?{list}")).await.json();
    let lines = whole["indicators"].as_object().unwrap();
    assert_eq!(lines.len(), 8, "{:?}", lines.keys());
    assert_eq!((&lines["sma:3"][1], lines["sma:3"].as_array().unwrap().len()), (&json!(null), 320));
    let close = |at: usize| whole["bars"][at]["close"].as_f64().unwrap();
    assert!((lines["sma:3"][50].as_f64().unwrap() - (close(48) + close(49) + close(50)) / 3.0).abs() < 1e-9);
    for (path, order) in [("sort=asc", [310, 311]), ("sort=desc", [311, 310])] {
        let range = "start=2024-06-03T18:40:00Z&end=2024-06-03T18:42:00Z"; // minutes 310 and 311
        let part = get(&api, &format!("/bars/AAPL/range?{range}&{path}&{list}")).await.json();
        for (name, line) in part["indicators"].as_object().unwrap() {
            for (value, at) in line.as_array().unwrap().iter().zip(order) {
                let (value, expected) = (value.as_f64().unwrap(), lines[name][at].as_f64().unwrap());
                assert!(
                    (value - expected).abs() < 1e-6 * expected.abs().max(1.0),
                    "{name} at {at}: {value}, not {expected}"
                );
            }
        }
    }
    let csv = TestRequest::get().uri("/bars/AAPL?limit=1&indicators=sma:2,vwap").insert_header(("accept", "text/csv"));
    let csv = String::from_utf8(send(&api, csv).await.body).unwrap();
    assert!(csv.starts_with("timestamp,") && csv.lines().next().unwrap().ends_with(",source,sma:2,vwap:day"), "{csv}");
    assert_problem(&get(&api, "/bars/AAPL?indicators=macd").await, 400, "indicators");
    assert_eq!(get(&api, "/bars/AAPL?limit=1").await.json().get("indicators"), None);
}

/// A range that is over keeps its name while bars after it are stored, and loses it when something in it changes.
#[actix_web::test]
async fn a_closed_range_is_the_same_until_something_in_it_changes() {
    let (database, mut client) = database().await;
    let minutes = |range: std::ops::Range<i64>| range.map(|at| Stored::minute("AAPL", at)).collect::<Vec<_>>();
    store(&mut client, &minutes(0..61)).await;
    let api = api(on(&database)).await;
    let (from, to) = ("2024-06-03T13:30:00Z", "2024-06-03T14:30:00Z");
    let closed = [
        format!("/bars/AAPL/range?start={from}&end={to}"),
        format!("/bars/AAPL/range?start={from}&end={to}&format=csv"),
        format!("/bars/AAPL/range?start={from}&end={to}&timeframe=5Min"),
        format!("/v2/stocks/bars?symbols=AAPL&timeframe=1Min&start={from}&end=2024-06-03T14:29:00Z"),
        format!("/api/market/historical/AAPL?from={from}&to={to}&timespan=minute"),
        "/udf/history?symbol=AAPL&resolution=1&from=1717421400&to=1717425000".to_owned(),
    ];
    let mut before = Vec::new();
    for path in &closed {
        let reply = get(&api, path).await;
        assert_eq!(reply.header("cache-control"), "no-cache", "{path}: late reports may still come");
        before.push((reply.header("etag").to_owned(), reply.body));
    }
    store(&mut client, &minutes(61..120)).await;
    for (path, (etag, body)) in closed.iter().zip(&before) {
        let reply = get(&api, path).await;
        assert_eq!((reply.header("etag"), &reply.body), (etag.as_str(), body), "{path}");
        assert_eq!(reply.header("cache-control"), "public, max-age=60, immutable", "{path}");
        let again = TestRequest::get().uri(path).insert_header(("if-none-match", etag.as_str()));
        assert_eq!(send(&api, again).await.status, 304, "{path}");
    }
    let gap = "INSERT INTO market_data_oltp.stock_feed_gaps (source, symbol, started_at, ended_at, cause)
        VALUES ('alpaca', '*', '2024-06-03T13:40:00Z', '2024-06-03T13:41:00Z', 'a test')";
    client.execute(gap, &[]).await.unwrap();
    for (path, (etag, _)) in closed.iter().zip(&before) {
        let reply = get(&api, path).await;
        assert_eq!((reply.header("cache-control"), reply.header("x-complete")), ("no-cache", "false"), "{path}");
        assert_ne!(reply.header("etag"), etag, "{path}");
    }
    client.execute("UPDATE market_data_oltp.stock_feed_gaps SET healed_at = now()", &[]).await.unwrap();
    for (path, (etag, _)) in closed.iter().zip(&before) {
        assert_eq!(get(&api, path).await.header("etag"), etag, "{path}");
    }
    store(&mut client, &[Stored { price: 55.0, revision: 1, ..Stored::minute("AAPL", 7) }]).await;
    for (path, (etag, _)) in closed.iter().zip(&before) {
        assert_ne!(get(&api, path).await.header("etag"), etag, "{path}");
    }
    store(&mut client, &minutes(10_000..10_001)).await;
    assert_eq!(get(&api, &closed[0]).await.header("cache-control"), "public, max-age=86400, immutable");
    let open = get(&api, "/bars/AAPL/range?start=2024-06-03").await;
    assert!(open.json()["as_of"].is_object() && open.header("cache-control") == "no-cache");
}

#[actix_web::test]
async fn a_form_that_is_not_offered_is_refused_with_what_is() {
    let (database, mut client) = database().await;
    store(&mut client, &[Stored::minute("AAPL", 0)]).await;
    let api = api(on(&database)).await;
    for path in
        ["/bars/AAPL", "/bars/AAPL/range", "/bars/latest", "/v2/stocks/bars?symbols=AAPL&timeframe=1Min", "/udf/config"]
    {
        for accept in ["application/xml", "application/csv", "image/png"] {
            let reply = send(&api, TestRequest::get().uri(path).insert_header(("accept", accept))).await;
            assert_problem(&reply, 406, "");
            assert!(reply.json()["detail"].as_str().unwrap().contains("application/json"), "{path}");
        }
    }
    let csv = get(&api, "/bars/AAPL?format=csv").await;
    assert!(csv.header("content-type").starts_with("text/csv") && csv.body.starts_with(b"timestamp,"));
    assert!(get(&api, "/bars/AAPL?format=arrow").await.header("content-type").contains("arrow"));
    assert_problem(&get(&api, "/bars/AAPL?format=xls").await, 400, "format");
}

/// One reading of times and lengths, whatever the route.
#[actix_web::test]
async fn every_route_reads_times_and_timeframes_in_the_same_way() {
    let (database, mut client) = database().await;
    store(&mut client, &(0..30).map(|at| Stored::minute("AAPL", at)).collect::<Vec<_>>()).await;
    let api = api(on(&database)).await;
    let count = async |path: String| {
        let reply = get(&api, &path).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.json());
        let json = reply.json();
        json["bars"].as_array().or(json["t"].as_array()).unwrap_or_else(|| panic!("{path}: {json}")).len()
    };
    for start in [
        "2024-06-03T13:35:00Z",
        "2024-06-03T13:35:00",
        "2024-06-03%2013:35:00",
        "2024-06-03T09:35:00-04:00",
        "1717421700",
        "1717421700000",
        "1717421700000000000",
    ] {
        for timeframe in ["1Min", "1min", "1m", "1T", "minute"] {
            assert_eq!(count(format!("/bars/AAPL/range?start={start}&end=now&timeframe={timeframe}")).await, 25);
            assert_eq!(count(format!("/v2/stocks/AAPL/bars?start={start}&end=now&timeframe={timeframe}")).await, 25);
        }
        assert_eq!(count(format!("/api/market/historical/AAPL?from={start}&to=now&timespan=minute")).await, 25);
        assert_eq!(count(format!("/udf/history?symbol=AAPL&from={start}&to=now&resolution=1")).await, 25);
        assert!(get(&api, &format!("/bars/AAPL/gaps?start={start}&end=now")).await.json()["gaps"].is_array());
    }
    for (timeframe, bars) in [("5m", 6), ("5min", 6), ("1h", 1), ("60m", 1), ("1d", 1), ("1wk", 1), ("1M", 1)] {
        assert_eq!(count(format!("/bars/AAPL?timeframe={timeframe}")).await, bars, "{timeframe}");
    }
    assert_eq!(count("/bars/AAPL/range?start=now-7d".to_owned()).await, 0);
    let page = get(&api, "/bars/AAPL/range?start=2024-06-03&end=now&limit=20").await.json();
    let token = page["next_page_token"].as_str().unwrap();
    assert_eq!(count(format!("/bars/AAPL/range?start=2024-06-03&end=now&limit=20&page_token={token}")).await, 10);
}

#[actix_web::test]
async fn bars_of_a_second_are_read_as_they_are_stored() {
    let (database, mut client) = database().await;
    let second = |at: i64| Stored {
        timeframe: "1Sec".to_owned(),
        start_ms: crate::common::OPEN_MS + at * 1000,
        ..Stored::minute("AAPL", at)
    };
    store(&mut client, &[second(0), second(1), second(3)]).await;
    let api = api(on(&database)).await;
    let bars = get(&api, "/bars/AAPL?timeframe=1Sec").await.json();
    assert_eq!((bars["timeframe"].as_str(), bars["bars"].as_array().unwrap().len()), (Some("1Sec"), 3));
    let part = get(&api, "/v2/stocks/AAPL/bars?timeframe=1s&start=2024-06-03T13:30:01Z").await.json();
    assert_eq!(part["bars"].as_array().unwrap().len(), 2);
    assert_eq!(
        get(&api, "/api/market/historical/AAPL?timespan=second").await.json()["bars"].as_array().unwrap().len(),
        3
    );
    let expired: Option<String> =
        client.query_one("SELECT market_data_oltp.delete_oldest_bars(30)", &[]).await.unwrap().get(0);
    assert_eq!(expired.as_deref(), Some("3 bars of AAPL, 1Sec"));
}
