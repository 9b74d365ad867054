//! Requests that nobody would send, and what every answer to them must be like. The test of the same name uses them too.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value;

/// Every route with its own parameters, the usual ones more often; `{}` stands for a value.
const ROUTES: [(&str, &[&str]); 42] = [
    ("/", &[]),
    ("/bars/{}", NEWEST),
    ("/bars/{}", NEWEST),
    ("/bars/{}/range", RANGE),
    ("/bars/{}/range", RANGE),
    ("/bars/{}/range", RANGE),
    ("/bars/{}/gaps", &["start", "end", "limit", "source", "page_token"]),
    ("/bars/latest", &["symbols", "timeframe", "source"]),
    ("/v2/stocks/bars", SERIES),
    ("/v2/stocks/bars", SERIES),
    ("/v2/stocks/{}/bars", SERIES),
    ("/v2/stocks/bars/latest", LATEST),
    ("/v2/stocks/{}/bars/latest", LATEST),
    ("/v2/stocks/trades", SERIES),
    ("/v2/stocks/{}/trades", SERIES),
    ("/v2/stocks/trades/latest", LATEST),
    ("/v2/stocks/{}/trades/latest", LATEST),
    ("/v2/stocks/snapshots", LATEST),
    ("/v2/stocks/{}/snapshot", LATEST),
    ("/v2/clock", &[]),
    ("/v2/calendar", &["start", "end"]),
    ("/api/market/quote/{}", &["source"]),
    ("/api/market/historical/{}", &["from", "to", "timespan", "multiplier", "limit", "source"]),
    ("/api/market/search", &["q", "limit"]),
    ("/api/market/status", &[]),
    ("/udf/config", &[]),
    ("/udf/time", &[]),
    ("/udf/symbols", &["symbol"]),
    ("/udf/search", &["query", "limit"]),
    ("/udf/history", HISTORY),
    ("/udf/history", HISTORY),
    ("/udf/marks", HISTORY),
    ("/udf/symbol_info", &["group"]),
    ("/udf/quotes", &["symbols"]),
    ("/v2/stocks/quotes", SERIES),
    ("/v2/stocks/{}/quotes/latest", LATEST),
    ("/v2/stocks/meta/conditions/{}", &["tape"]),
    ("/widgets.json", &[]),
    ("/apps.json", &[]),
    ("/docs/{}", &[]),
    ("/{}", &[]),
    ("/bars/{}/{}", &[]),
];

const NEWEST: &[&str] = &["timeframe", "limit", "source", "indicators"];
const RANGE: &[&str] = &["start", "end", "timeframe", "limit", "sort", "source", "page_token", "indicators"];
const SERIES: &[&str] = &["symbols", "timeframe", "start", "end", "limit", "sort", "page_token", "feed", "adjustment"];
const LATEST: &[&str] = &["symbols", "feed", "currency"];
const HISTORY: &[&str] = &["symbol", "resolution", "from", "to", "countback"];

/// What each parameter is usually given; page tokens are those that came back.
const USUAL: [(&[&str], &[&str]); 15] = [
    (&["symbol", "q", "query"], &["AAPL", "MSFT", "BRK.B", "BTC%2FUSD", "A"]),
    (&["symbols"], &["AAPL", "AAPL,MSFT", "AAPL,MSFT,BRK.B,BTC%2FUSD", "NONE,AAPL"]),
    (
        &["timeframe"],
        &["1Min", "5Min", "59Min", "1Hour", "23Hour", "1Day", "1Week", "1Month", "12Month", "1Sec", "5m", "1h"],
    ),
    (
        &["start", "from"],
        &[
            "2024-05-28",
            "2024-06-03",
            "2024-06-03T13:30:00Z",
            "1717421400",
            "0",
            "1717421400000",
            "now-1h",
            "2024-06-03T13:30",
        ],
    ),
    (&["end", "to"], &["2024-06-04", "2024-06-08", "2024-06-03T13:40:00-04:00", "1717508000", "1717508000000"]),
    (&["limit", "countback"], &["1", "2", "30", "1000", "10000"]),
    (&["sort"], &["asc", "desc"]),
    (&["source"], &["alpaca"]),
    (&["feed"], &["sip", "iex"]),
    (&["adjustment"], &["raw"]),
    (&["currency"], &["USD"]),
    (&["tape", "group"], &["A", "C"]),
    (&["timespan"], &["minute", "hour", "day", "week", "month"]),
    (&["resolution", "multiplier"], &["1", "5", "60", "240", "1D", "1W", "3M"]),
    (&["indicators"], &["sma:20", "ema:9,rsi:14", "bollinger:20:2", "vwap", "atr:14"]),
];

/// Good values, bad ones, and those at the edge.
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

/// What an answer may be asked to be.
const ACCEPTS: [&str; 6] = [
    "*/*",
    "application/json",
    "text/csv",
    "application/x-ndjson",
    "application/vnd.apache.arrow.stream",
    "image/png;q=x",
];

/// What would tell a caller how the server is made.
const INNER: [&str; 6] = ["SELECT", "postgres", "market_data_oltp", "panicked", "src/", "Error {"];

/// Page tokens that are kept at most, to be sent whole or damaged.
const TOKENS_MAX: usize = 200;

/// A source of requests; of equal seeds, and equal answers, they are equal.
pub(crate) struct Fuzz {
    random: StdRng,
    tokens: Vec<String>,
}

/// One request.
pub(crate) struct Request {
    /// Path and query, escaped as far as it was meant to be.
    pub(crate) path: String,
    /// Its `Accept`.
    pub(crate) accept: &'static str,
}

impl Fuzz {
    /// Starts anew.
    pub(crate) fn new(seed: u64) -> Self {
        Self { random: StdRng::seed_from_u64(seed), tokens: Vec::new() }
    }

    /// The next request: mostly a route's own parameters with usual values, so that it gets far, and now and then anything.
    pub(crate) fn request(&mut self) -> Request {
        let (route, own) = *ROUTES.choose(&mut self.random).expect("a route");
        let mut path = route.to_owned();
        while path.contains("{}") {
            let value = if self.one_in(2) { "AAPL".to_owned() } else { self.value("symbol") };
            path = path.replacen("{}", &value, 1);
        }
        let mut names: Vec<&str> = own.iter().copied().filter(|_| !self.one_in(3)).collect();
        if self.one_in(8) {
            names.push(self.usual().0.choose(&mut self.random).expect("a name"));
        }
        for (at, name) in names.into_iter().enumerate() {
            let value = self.value(name);
            path += &format!("{}{name}={value}", if at == 0 { '?' } else { '&' });
        }
        Request { path, accept: ACCEPTS.choose(&mut self.random).expect("a type") }
    }

    fn one_in(&mut self, count: u32) -> bool {
        self.random.random_ratio(1, count)
    }

    fn usual(&mut self) -> (&'static [&'static str], &'static [&'static str]) {
        *USUAL.choose(&mut self.random).expect("a parameter")
    }

    fn value(&mut self, name: &str) -> String {
        if self.one_in(6) {
            return self.any_value();
        }
        if name == "page_token" {
            return self.token();
        }
        let (_, values) = USUAL.iter().find(|(names, _)| names.contains(&name)).expect("every parameter has values");
        (*values.choose(&mut self.random).expect("a value")).to_owned()
    }

    /// A token that was given, half of the time a damaged one; none before the first was given.
    fn token(&mut self) -> String {
        let damaged = self.one_in(2);
        let Some(token) = self.tokens.choose(&mut self.random) else { return String::new() };
        let mut token = token.clone();
        if damaged {
            let at = self.random.random_range(0..token.len());
            token.replace_range(at..=at, "A");
        }
        token
    }

    fn any_value(&mut self) -> String {
        let random = &mut self.random;
        match random.random_range(0..8) {
            0 => (0..random.random_range(0..40)).map(|_| format!("%{:02X}", random.random::<u8>())).collect(),
            1 => random.random::<i64>().to_string(),
            2 => random.random_range(1_717_000_000_000_i64..1_718_000_000_000).to_string(),
            3 => self.token(),
            _ => (*VALUES.choose(random).expect("a value")).to_owned(),
        }
    }

    /// Looks at an answer: says what is wrong with it, and keeps its page token for later.
    pub(crate) fn look(&mut self, path: &str, status: u16, content_type: &str, body: &[u8]) -> Result<(), String> {
        if ![200, 304, 308, 400, 403, 404, 405, 406].contains(&status) {
            return Err(format!("status {status}"));
        }
        let json = || serde_json::from_slice::<Value>(body).map_err(|error| format!("no JSON: {error}"));
        if status >= 400 {
            return look_at_problem(path, &json()?);
        }
        if self.tokens.len() < TOKENS_MAX
            && content_type.contains("json")
            && !content_type.contains("ndjson")
            && let Some(token) = json()?["next_page_token"].as_str()
        {
            self.tokens.push(token.to_owned());
        }
        Ok(())
    }
}

fn look_at_problem(path: &str, problem: &Value) -> Result<(), String> {
    let text = problem.to_string();
    if !(problem["detail"].is_string() && problem["request_id"].is_string()) {
        return Err(format!("a problem without detail or request id: {text}"));
    }
    if text.len() >= 1500 {
        return Err(format!("a long problem: {text}"));
    }
    match INNER.iter().find(|inner| text.contains(*inner) && !path.contains(*inner)) {
        Some(inner) => Err(format!("`{inner}` in {text}")),
        None => Ok(()),
    }
}
