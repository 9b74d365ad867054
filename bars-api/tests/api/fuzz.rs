//! Random requests of every route: never a 500, and nothing in an answer that the caller did not send.
//!
//! `FUZZ_REQUESTS` says how many; a few thousand by default, a million for a night.

use actix_web::test::TestRequest;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};

use crate::common::{Stored, api, database, get, send, store, store_trades, with};

const REQUESTS_DEFAULT: usize = 2_000;

const PATHS: [&str; 33] = [
    "/",
    "/bars/{}",
    "/bars/{}",
    "/bars/{}/range",
    "/bars/{}/range",
    "/bars/{}/range",
    "/bars/{}/gaps",
    "/bars/latest",
    "/v2/stocks/bars",
    "/v2/stocks/bars",
    "/v2/stocks/{}/bars",
    "/v2/stocks/bars/latest",
    "/v2/stocks/{}/bars/latest",
    "/v2/stocks/trades",
    "/v2/stocks/{}/trades",
    "/v2/stocks/trades/latest",
    "/v2/stocks/{}/trades/latest",
    "/v2/stocks/snapshots",
    "/v2/stocks/{}/snapshot",
    "/v2/clock",
    "/v2/calendar",
    "/api/market/quote/{}",
    "/api/market/historical/{}",
    "/api/market/search",
    "/api/market/status",
    "/udf/config",
    "/udf/time",
    "/udf/symbols",
    "/udf/search",
    "/udf/history",
    "/docs/{}",
    "/{}",
    "/bars/{}/{}",
];

const NAMES: [&str; 22] = [
    "symbols",
    "symbol",
    "timeframe",
    "start",
    "end",
    "from",
    "to",
    "limit",
    "sort",
    "source",
    "page_token",
    "feed",
    "adjustment",
    "currency",
    "q",
    "query",
    "resolution",
    "countback",
    "timespan",
    "multiplier",
    "asof",
    "format",
];

const VALUES: [&str; 62] = [
    "AAPL",
    "MSFT",
    "BRK.B",
    "BTC%2FUSD",
    "AAPL,MSFT",
    "NONE",
    "latest",
    "",
    "%00",
    "%FF",
    "%F0%9F%92%A9",
    "%27%20OR%201%3D1--",
    "..%2F..%2F",
    "1Min",
    "5Min",
    "1Hour",
    "23Hour",
    "1Day",
    "1Week",
    "1Month",
    "12Month",
    "1D",
    "60Min",
    "0Min",
    "0",
    "1",
    "-1",
    "2",
    "1000",
    "10000",
    "10001",
    "18446744073709551616",
    "9223372036854775807",
    "-9223372036854775808",
    "1e9",
    "NaN",
    "2024-06-03",
    "2024-06-04",
    "2024-06-03T13:30:00Z",
    "2024-06-03T13:40:00-04:00",
    "2024-06-03T13:40:00+02:00",
    "2024-03-10T02:30:00",
    "0001-01-01",
    "9999-12-31T23:59:59Z",
    "-009999-01-01T00:00:00Z",
    "2024-02-30",
    "1717421400000",
    "1717421400",
    "asc",
    "desc",
    "alpaca",
    "massive",
    "sip",
    "iex",
    "raw",
    "USD",
    "minute",
    "month",
    "60",
    "240",
    "3M",
    "%",
];

struct Fuzz(StdRng);

impl Fuzz {
    fn value(&mut self, tokens: &[String]) -> String {
        match self.0.random_range(0..10) {
            0 => (0..self.0.random_range(0..40)).map(|_| format!("%{:02X}", self.0.random::<u8>())).collect(),
            1 => self.0.random::<i64>().to_string(),
            2 => self.0.random_range(1_717_000_000_000_i64..1_718_000_000_000).to_string(),
            3 if !tokens.is_empty() => {
                let mut token = tokens.choose(&mut self.0).unwrap().clone();
                if self.0.random() {
                    let at = self.0.random_range(0..token.len());
                    token.replace_range(at..=at, "A");
                }
                token
            }
            _ => (*VALUES.choose(&mut self.0).unwrap()).to_owned(),
        }
    }

    fn path(&mut self, tokens: &[String]) -> String {
        let mut path = (*PATHS.choose(&mut self.0).unwrap()).to_owned();
        while path.contains("{}") {
            let value = if self.0.random() { "AAPL".to_owned() } else { self.value(tokens) };
            path = path.replacen("{}", &value, 1);
        }
        for at in 0..self.0.random_range(0..5) {
            let name = NAMES.choose(&mut self.0).unwrap();
            let value = self.value(tokens);
            path += &format!("{}{name}={value}", if at == 0 { '?' } else { '&' });
        }
        path
    }
}

#[actix_web::test]
async fn no_request_ends_in_a_500() {
    let requests = std::env::var("FUZZ_REQUESTS").map_or(REQUESTS_DEFAULT, |text| text.parse().unwrap());
    let seed = std::env::var("FUZZ_SEED").map_or_else(|_| rand::random(), |text| text.parse().unwrap());
    let (database, mut client) = database().await;
    let symbols = ["AAPL", "MSFT", "BRK.B", "BTC/USD"];
    let bars: Vec<_> = symbols.iter().flat_map(|name| (0..40).map(|at| Stored::minute(name, at * 13))).collect();
    store(&mut client, &bars).await;
    store_trades(&client, "AAPL", 50).await;
    let api = api(with(&database, &[("API_STATEMENT_TIME_MAX_MS", "20000")])).await;

    let mut fuzz = Fuzz(StdRng::seed_from_u64(seed));
    let (mut tokens, mut answered) = (Vec::new(), 0);
    for path in [
        "/bars/AAPL/range?limit=2",
        "/v2/stocks/bars?symbols=AAPL,MSFT&timeframe=1Min&limit=2",
        "/v2/stocks/AAPL/trades?limit=2",
    ] {
        tokens.push(get(&api, path).await.json()["next_page_token"].as_str().unwrap().to_owned());
    }
    for _ in 0..requests {
        let path = fuzz.path(&tokens);
        let Ok(uri) = path.parse::<actix_web::http::Uri>() else { continue };
        let reply = send(&api, TestRequest::get().uri(&uri.to_string())).await;
        let status = reply.status.as_u16();
        assert!([200, 304, 308, 400, 404, 405].contains(&status), "FUZZ_SEED={seed}: {status} for {path}");
        answered += usize::from(status == 200);
        if status >= 400 {
            let json = reply.json();
            let text = json.to_string();
            assert!(json["detail"].is_string() && json["request_id"].is_string(), "{path}: {json}");
            assert!(text.len() < 1500, "{path}: a long error: {text}");
            for inner in ["SELECT", "postgres", "market_data_oltp", "panicked", "src/", "Error {"] {
                assert!(path.contains(inner) || !text.contains(inner), "{path}: {text}");
            }
        } else if tokens.len() < 200
            && reply.header("content-type").contains("json")
            && let Some(token) = reply.json()["next_page_token"].as_str()
        {
            tokens.push(token.to_owned());
        }
    }
    assert!(answered > requests / 10, "only {answered} of {requests} were answered: nothing was tried");
    assert_eq!(get(&api, "/bars/AAPL?limit=1").await.status, 200);
}
