//! The REST histories of Massive and Finnhub against a server that speaks like them.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use market::Symbol;
use metrics_exporter_prometheus::PrometheusBuilder;
use producer::feeds::event::Event;
use producer::feeds::rest::Kind;
use producer::feeds::{alpaca, archive::Archive, finnhub, massive};
use service::Secret;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// A server that gives these answers one after the other; returns its address and what it was asked. What is said with 429 is the second
/// at which the limit resets.
async fn server(answers: Vec<(u16, String)>) -> (String, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let own = address.clone();
    let asked = tokio::spawn(async move {
        let mut asked = Vec::new();
        for (status, body) in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(stream.read_u8().await.unwrap());
            }
            asked.push(String::from_utf8(request).unwrap());
            let body = body.replace("{server}", &own);
            let reset = if status == 429 { format!("X-RateLimit-Reset: {body}\r\n") } else { String::new() };
            let length = body.len();
            let head = format!("HTTP/1.1 {status} -\r\nContent-Length: {length}\r\n{reset}Connection: close\r\n\r\n");
            stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        }
        asked
    });
    (address, asked)
}

fn symbols(names: &[&str]) -> Vec<Symbol> {
    names.iter().map(|name| Symbol::new(name).unwrap()).collect()
}

/// Feed time of one minute in 2018, Unix nanoseconds.
const SPAN: (i64, i64) = (1_536_036_780_000_000_000, 1_536_036_840_000_000_000);

async fn all(archive: &Archive, kind: Kind, symbols: &[Symbol]) -> anyhow::Result<Vec<Event>> {
    let mut pages = archive.pages(kind, symbols, SPAN)?;
    let mut events = Vec::new();
    while let Some(page) = pages.next().await? {
        events.extend(page);
    }
    Ok(events)
}

fn massive(address: &str) -> Archive {
    Archive::Massive(massive::rest::Rest::new(address, Secret::new("swordfish")).unwrap())
}

#[tokio::test]
async fn massives_trades_come_page_by_page_symbol_by_symbol_and_the_key_stays_in_a_header() {
    let trade = |id: u32| {
        format!(r#"{{"id":"{id}","exchange":12,"price":1,"size":2,"sip_timestamp":1536036818784222333,"tape":3}}"#)
    };
    let first =
        format!(r#"{{"status":"OK","results":[{},7],"next_url":"{{server}}/v3/trades/BRK.B?cursor=c"}}"#, trade(1));
    let second = format!(r#"{{"status":"OK","results":[{}]}}"#, trade(2));
    let nothing = r#"{"status":"OK","request_id":"r"}"#.to_owned();
    let busy = (503, String::new());
    let (address, asked) = server(vec![busy, (200, first), (200, second), (200, nothing)]).await;
    let events = all(&massive(&address), Kind::Trades, &symbols(&["BRK.B", "AAPL"])).await.unwrap();
    let ids = events.iter().filter_map(|event| match event {
        Event::Trade(trade) => Some((trade.symbol.to_string(), trade.trade_id.clone().unwrap().to_string())),
        _ => None,
    });
    assert_eq!(ids.collect::<Vec<_>>(), [("BRK.B".to_owned(), "1".to_owned()), ("BRK.B".to_owned(), "2".to_owned())]);
    assert!(matches!(events[1], Event::Skipped(_)), "one bad record is one skip");
    let asked = asked.await.unwrap();
    assert_eq!(asked[0], asked[1], "a busy server is asked again");
    let line = "GET /v3/trades/BRK.B?timestamp.gte=1536036780000000000&timestamp.lte=1536036840000000000&order=asc&limit=50000 ";
    assert!(asked[1].starts_with(line), "{}", asked[1]);
    assert!(asked[2].starts_with("GET /v3/trades/BRK.B?cursor=c "), "{}", asked[2]);
    assert!(asked[3].starts_with("GET /v3/trades/AAPL?"), "{}", asked[3]);
    for request in asked {
        let (line, headers) = request.split_once("\r\n").unwrap();
        assert!(!line.contains("swordfish") && headers.contains("Bearer swordfish"), "{request}");
    }
}

#[tokio::test]
async fn massives_bars_are_asked_for_in_milliseconds_and_unadjusted() {
    let bar =
        r#"{"results":[{"v":4110,"vw":0.4488,"o":0.4488,"c":0.4486,"h":0.4489,"l":0.4486,"t":1536036780000,"n":12}]}"#;
    let (address, asked) = server(vec![(200, bar.to_owned())]).await;
    let events = all(&massive(&address), Kind::Bars, &symbols(&["GTE"])).await.unwrap();
    assert!(matches!(events.as_slice(), [Event::Bar(bar)] if bar.trade_count == Some(12)), "{events:?}");
    let line =
        "GET /v2/aggs/ticker/GTE/range/1/minute/1536036780000/1536036840000?adjusted=false&sort=asc&limit=50000 ";
    assert!(asked.await.unwrap()[0].starts_with(line));
}

#[tokio::test]
async fn massives_key_goes_nowhere_else_and_a_refusal_says_what_to_check() {
    let elsewhere = r#"{"results":[],"next_url":"http://elsewhere.example/v3"}"#.to_owned();
    let (address, _asked) = server(vec![(200, elsewhere)]).await;
    let error = all(&massive(&address), Kind::Trades, &symbols(&["A"])).await.unwrap_err().to_string();
    assert!(error.contains("elsewhere.example"), "{error}");
    let refusal = r#"{"status":"NOT_AUTHORIZED","message":"your plan doesn't include this data"}"#.to_owned();
    let (address, _asked) = server(vec![(403, refusal)]).await;
    let error = all(&massive(&address), Kind::Trades, &symbols(&["A"])).await.unwrap_err().to_string();
    assert!(error.contains("MASSIVE_API_KEY") && error.contains("plan") && !error.contains("swordfish"), "{error}");
}

fn alpaca(address: &str) -> Archive {
    let key = || Secret::new("swordfish");
    Archive::Alpaca(alpaca::rest::Rest::new(address, "wss://stream/v2/iex", key(), key()).unwrap())
}

#[tokio::test]
async fn alpacas_pages_end_where_a_token_repeats_and_empty_pages_do_not_end_them() {
    let page = |token: &str| format!(r#"{{"trades":{{}},"next_page_token":{token}}}"#);
    let (address, asked) = server(vec![(200, page("\"a/b\"")), (200, page("null"))]).await;
    assert_eq!(all(&alpaca(&address), Kind::Trades, &symbols(&["A"])).await.unwrap(), []);
    let asked = asked.await.unwrap();
    assert!(asked[1].contains("page_token=a%2Fb") && asked[1].contains("feed=iex"), "{}", asked[1]);

    let recorder = PrometheusBuilder::new().build_recorder();
    let _counting = metrics::set_default_local_recorder(&recorder);
    let (address, _asked) = server(vec![(200, page("\"t\"")), (200, page("\"t\""))]).await;
    let error = all(&alpaca(&address), Kind::Trades, &symbols(&["A"])).await.unwrap_err().to_string();
    assert!(error.contains("the same page twice"), "{error}");
    let refusal = r#"{"message":"subscription does not permit querying recent SIP data"}"#.to_owned();
    let (address, _asked) = server(vec![(403, refusal)]).await;
    let error = all(&alpaca(&address), Kind::Bars, &symbols(&["A"])).await.unwrap_err().to_string();
    assert!(error.contains("does not permit") && error.contains("ALPACA_DATA_REST_URL"), "{error}");
    for reason in ["repeated_page", "refused"] {
        let line = format!(r#"producer_history_failures_total{{reason="{reason}"}} 1"#);
        assert!(recorder.handle().render().contains(&line), "{line}");
    }
}

#[tokio::test]
async fn a_rate_limit_is_waited_for_until_it_resets() {
    let reset = jiff::Timestamp::now().as_second() + 3;
    let page = r#"{"trades":{"A":[{"t":"2018-09-04T05:00:00Z","x":"P","p":1,"s":1,"i":2}]},"next_page_token":null}"#;
    let (address, asked) = server(vec![(429, reset.to_string()), (200, page.to_owned())]).await;
    let events = all(&alpaca(&address), Kind::Trades, &symbols(&["A"])).await.unwrap();
    assert!(jiff::Timestamp::now().as_second() >= reset, "the limit holds until {reset}");
    assert!(matches!(events.as_slice(), [Event::Trade(_)]), "{events:?}");
    assert_eq!(asked.await.unwrap().len(), 2);
}

#[tokio::test]
async fn finnhub_has_candles_for_stocks_where_the_plan_includes_them() {
    let candles = r#"{"s":"ok","t":[1536036780],"o":[1],"h":[2],"l":[1],"c":[2],"v":[10]}"#.to_owned();
    let refusal = (403, r#"{"error":"You don't have access to this resource."}"#.to_owned());
    let (address, asked) = server(vec![(200, candles), refusal]).await;
    let archive = Archive::Finnhub(finnhub::rest::Rest::new(&address, Secret::new("swordfish")).unwrap());
    assert_eq!(archive.kinds(), [Kind::Bars], "it has no trades");
    let events = all(&archive, Kind::Bars, &symbols(&["AAPL", "BINANCE:BTCUSDT", "MSFT"])).await.unwrap();
    assert!(matches!(events.as_slice(), [Event::Bar(_)]), "{events:?}");
    let asked = asked.await.unwrap();
    let line = "GET /stock/candle?symbol=AAPL&resolution=1&from=1536036780&to=1536036840 ";
    assert!(asked[0].starts_with(line) && asked[1].contains("symbol=MSFT"), "{asked:?}");
    assert!(asked.iter().all(|request| request.to_lowercase().contains("x-finnhub-token: swordfish")), "{asked:?}");
}

#[tokio::test]
async fn a_name_that_the_history_refuses_costs_itself_only() {
    let refusal = || (400, r#"{"message":"invalid symbol"}"#.to_owned());
    let page = |symbol: &str| {
        let trade = r#"{"t":"2018-09-04T04:53:38.784222333Z","x":"P","p":1,"s":2,"c":["@"],"i":3,"z":"C"}"#;
        (200, format!(r#"{{"trades":{{"{symbol}":[{trade}]}},"next_page_token":null}}"#))
    };
    // All four, then the halves; the second half is good, the first is split once more.
    let (address, asked) = server(vec![refusal(), refusal(), page("AAPL"), refusal(), page("MSFT")]).await;
    let rest = alpaca::rest::Rest::new(&address, "ws://x/v1beta1/boats", Secret::new("k"), Secret::new("s")).unwrap();
    let names = symbols(&["AAPL", "BAD.NAME", "MSFT", "SPY"]);
    let events = all(&Archive::Alpaca(rest), Kind::Trades, &names).await.unwrap();
    let traded = events.iter().filter_map(|event| match event {
        Event::Trade(trade) => Some(trade.symbol.to_string()),
        _ => None,
    });
    assert_eq!(traded.collect::<Vec<_>>(), ["AAPL", "MSFT"]);
    let lists: Vec<String> = asked.await.unwrap().iter().map(|request| parameter(request, "symbols=")).collect();
    assert_eq!(lists, ["AAPL%2CBAD.NAME%2CMSFT%2CSPY", "AAPL%2CBAD.NAME", "AAPL", "BAD.NAME", "MSFT%2CSPY"]);

    let (address, _) = server(vec![refusal(), refusal(), refusal()]).await;
    let rest = alpaca::rest::Rest::new(&address, "ws://x/v2/sip", Secret::new("k"), Secret::new("s")).unwrap();
    let error = all(&Archive::Alpaca(rest), Kind::Trades, &names[..2]).await.unwrap_err();
    assert!(error.to_string().contains("invalid symbol"), "where all are refused it is the request: {error}");
}

/// A server that refuses every list with a name of `bad` in it, as Alpaca does.
async fn refusing(bad: Vec<String>) -> (String, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(stream.read_u8().await.unwrap());
            }
            let asked = parameter(&String::from_utf8(request).unwrap(), "symbols=");
            let names: Vec<&str> = asked.split("%2C").collect();
            let trade = r#"[{"t":"2018-09-04T04:53:38.784222333Z","x":"P","p":1,"s":2,"c":["@"],"i":3,"z":"C"}]"#;
            let trades: Vec<String> = names.iter().map(|name| format!(r#""{name}":{trade}"#)).collect();
            let (status, body) = match names.iter().any(|name| bad.iter().any(|bad| bad == name)) {
                true => (400, r#"{"message":"invalid symbol"}"#.to_owned()),
                false => (200, format!(r#"{{"trades":{{{}}},"next_page_token":null}}"#, trades.join(","))),
            };
            let head = format!("HTTP/1.1 {status} -\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        }
    });
    (address, serving)
}

#[tokio::test]
async fn behind_one_symbol_that_is_known_any_number_of_bad_names_costs_themselves_only() {
    // Few and many, in front, behind and mixed.
    for (bad_from, bad_count, step) in [(1, 1, 1), (1, 150, 1), (100, 150, 1), (1, 90, 2), (2, 60, 4)] {
        let names: Vec<String> = (0..251).map(|at| format!("S{at:03}")).collect();
        let bad: Vec<String> = (0..bad_count).map(|at| names[bad_from + at * step].clone()).collect();
        let (address, serving) = refusing(bad.clone()).await;
        let asked: Vec<Symbol> = names.iter().map(|name| Symbol::new(name).unwrap()).collect();
        let events = all(&alpaca(&address), Kind::Trades, &asked).await.unwrap();
        let mut traded: Vec<String> = Vec::new();
        for event in events {
            let Event::Trade(trade) = event else { continue };
            traded.push(trade.symbol.to_string());
        }
        traded.sort();
        let good: Vec<String> = names.into_iter().filter(|name| !bad.contains(name)).collect();
        assert_eq!(traded, good, "{bad_count} bad names from {bad_from} on, each {step}.");
        serving.abort();
    }
}

fn parameter(request: &str, name: &str) -> String {
    let (_, value) = request.split_once(name).unwrap_or_default();
    value.split(['&', ' ']).next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn each_stream_has_the_history_of_its_own_feed_or_none() {
    for (stream, feed) in
        [("v2/iex", "iex"), ("v2/sip", "sip"), ("v2/delayed_sip", "sip"), ("v1beta1/boats", "boats"), ("v2/test", "")]
    {
        let (address, asked) = server(vec![(200, r#"{"trades":{},"next_page_token":null}"#.to_owned())]).await;
        let url = format!("wss://x/{stream}");
        let rest = alpaca::rest::Rest::new(&address, &url, Secret::new("k"), Secret::new("s")).unwrap();
        all(&Archive::Alpaca(rest), Kind::Trades, &symbols(&["AAPL"])).await.unwrap();
        assert_eq!(parameter(&asked.await.unwrap()[0], "&feed="), feed, "{stream}");
    }
    let rest = alpaca::rest::Rest::new("http://x", "wss://x/v1beta1/overnight", Secret::new("k"), Secret::new("s"));
    let error = all(&Archive::Alpaca(rest.unwrap()), Kind::Trades, &symbols(&["AAPL"])).await.unwrap_err();
    assert!(error.to_string().contains("no history of the overnight stream"), "{error}");
}
