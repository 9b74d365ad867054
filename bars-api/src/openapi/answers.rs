//! The shapes of answers that are written without a type of their own, for the document only; a test holds them against real answers.
#![expect(missing_docs, reason = "the names are those of the formats that they describe")]

use std::collections::BTreeMap;

use utoipa::ToSchema;

use crate::dto::{AsOf, Bar};

/// A bar in Alpaca's letters: time, open, high, low, close, volume, trades, volume-weighted average price.
#[derive(ToSchema)]
#[schema(example = json!({"t": "2024-06-03T13:30:00Z", "o": 150.1, "h": 150.4, "l": 150, "c": 150.25, "v": 12345, "n": 87, "vw": 150.21}))]
pub struct AlpacaBar {
    pub t: String,
    pub o: f64,
    pub h: f64,
    pub l: f64,
    pub c: f64,
    pub v: f64,
    #[schema(required)]
    pub n: Option<i64>,
    #[schema(required)]
    pub vw: Option<f64>,
}

/// A trade in Alpaca's letters: time, exchange, price, size, conditions, id, tape.
#[derive(ToSchema)]
#[schema(example = json!({"t": "2024-06-03T13:30:00.083540958Z", "x": "K", "p": 162.92, "s": 3, "c": ["@", "I"], "i": 628, "z": "C"}))]
pub struct AlpacaTrade {
    pub t: String,
    pub x: String,
    pub p: f64,
    pub s: f64,
    pub c: Vec<String>,
    #[schema(required)]
    pub i: Option<i64>,
    #[schema(required)]
    pub z: Option<String>,
}

macro_rules! alpaca {
    ($(#[$doc:meta])* $name:ident, $example:tt, { $($(#[$of:meta])* $field:ident: $kind:ty),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(ToSchema)]
        #[schema(example = json!($example))]
        pub struct $name { $($(#[$of])* pub $field: $kind),+ }
    };
}

alpaca!(
    /// Bars by symbol.
    AlpacaBars, {"bars": {"AAPL": [{"t": "2024-06-03T13:30:00Z", "o": 150.1, "h": 150.4, "l": 150, "c": 150.25, "v": 12345, "n": 87, "vw": 150.21}]}, "next_page_token": null, "as_of": {}},
    { bars: BTreeMap<String, Vec<AlpacaBar>>, #[schema(required)] next_page_token: Option<String>, as_of: BTreeMap<String, AsOf> }
);
alpaca!(
    /// Bars of one symbol.
    AlpacaBarsOfOne, {"bars": [{"t": "2024-06-03T13:30:00Z", "o": 150.1, "h": 150.4, "l": 150, "c": 150.25, "v": 12345, "n": 87, "vw": 150.21}], "symbol": "AAPL", "next_page_token": null, "as_of": {}},
    { bars: Vec<AlpacaBar>, symbol: String, #[schema(required)] next_page_token: Option<String>, as_of: BTreeMap<String, AsOf> }
);
alpaca!(
    /// Trades by symbol.
    AlpacaTrades, {"trades": {"AAPL": [{"t": "2024-06-03T13:30:00.083540958Z", "x": "K", "p": 162.92, "s": 3, "c": ["@", "I"], "i": 628, "z": "C"}]}, "next_page_token": null, "as_of": {}},
    { trades: BTreeMap<String, Vec<AlpacaTrade>>, #[schema(required)] next_page_token: Option<String>, as_of: BTreeMap<String, AsOf> }
);
alpaca!(
    /// Trades of one symbol.
    AlpacaTradesOfOne, {"trades": [{"t": "2024-06-03T13:30:00.083540958Z", "x": "K", "p": 162.92, "s": 3, "c": ["@", "I"], "i": 628, "z": "C"}], "symbol": "AAPL", "next_page_token": null, "as_of": {}},
    { trades: Vec<AlpacaTrade>, symbol: String, #[schema(required)] next_page_token: Option<String>, as_of: BTreeMap<String, AsOf> }
);
alpaca!(
    /// The newest bar by symbol.
    AlpacaLatestBars, {"bars": {"AAPL": {"t": "2024-06-03T13:30:00Z", "o": 150.1, "h": 150.4, "l": 150, "c": 150.25, "v": 12345, "n": 87, "vw": 150.21}}, "as_of": {"AAPL": {"time": 1_717_421_400_000_i64}}},
    { bars: BTreeMap<String, AlpacaBar>, as_of: BTreeMap<String, AsOf> }
);
alpaca!(
    /// The newest bar of one symbol.
    AlpacaLatestBar, {"bar": {"t": "2024-06-03T13:30:00Z", "o": 150.1, "h": 150.4, "l": 150, "c": 150.25, "v": 12345, "n": 87, "vw": 150.21}, "symbol": "AAPL", "as_of": {"AAPL": {"time": 1_717_421_400_000_i64}}},
    { #[schema(required)] bar: Option<AlpacaBar>, symbol: String, as_of: BTreeMap<String, AsOf> }
);
alpaca!(
    /// The newest trade by symbol.
    AlpacaLatestTrades, {"trades": {"AAPL": {"t": "2024-06-03T13:30:00.083540958Z", "x": "K", "p": 162.92, "s": 3, "c": ["@", "I"], "i": 628, "z": "C"}}, "as_of": {"AAPL": {"time": 1_717_421_400_083_i64}}},
    { trades: BTreeMap<String, AlpacaTrade>, as_of: BTreeMap<String, AsOf> }
);
alpaca!(
    /// The newest trade of one symbol.
    AlpacaLatestTrade, {"trade": {"t": "2024-06-03T13:30:00.083540958Z", "x": "K", "p": 162.92, "s": 3, "c": ["@", "I"], "i": 628, "z": "C"}, "symbol": "AAPL", "as_of": {"AAPL": {"time": 1_717_421_400_083_i64}}},
    { #[schema(required)] trade: Option<AlpacaTrade>, symbol: String, as_of: BTreeMap<String, AsOf> }
);
alpaca!(
    /// The newest quotes by symbol; none are stored.
    LatestQuotes, {"quotes": {}},
    { quotes: BTreeMap<String, serde_json::Value> }
);
alpaca!(
    /// The newest quote of a symbol; none is stored.
    LatestQuote, {"symbol": "AAPL", "quote": null},
    { symbol: String, #[schema(required)] quote: Option<serde_json::Value> }
);
alpaca!(
    /// What is known of a symbol now.
    AlpacaSnapshot, {"symbol": "AAPL", "latestTrade": null, "latestQuote": null, "minuteBar": {"t": "2024-06-03T13:30:00Z", "o": 150.1, "h": 150.4, "l": 150, "c": 150.25, "v": 12345, "n": 87, "vw": 150.21}, "dailyBar": null, "prevDailyBar": null},
    {
        symbol: String,
        #[schema(required, rename = "latestTrade")] latest_trade: Option<AlpacaTrade>,
        #[schema(required, rename = "latestQuote")] latest_quote: Option<serde_json::Value>,
        #[schema(required, rename = "minuteBar")] minute_bar: Option<AlpacaBar>,
        #[schema(required, rename = "dailyBar")] daily_bar: Option<AlpacaBar>,
        #[schema(required, rename = "prevDailyBar")] prev_daily_bar: Option<AlpacaBar>,
        as_of: Option<AsOf>,
    }
);
alpaca!(
    /// Whether the market is open.
    Clock, {"timestamp": "2024-06-03T09:30:00-04:00", "is_open": true, "next_open": "2024-06-04T09:30:00-04:00", "next_close": "2024-06-03T16:00:00-04:00"},
    { timestamp: String, is_open: bool, next_open: String, next_close: String }
);
alpaca!(
    /// A trading day; its hours are New York's.
    TradingDay, {"date": "2024-06-03", "open": "09:30", "close": "16:00", "session_open": "0400", "session_close": "2000"},
    { date: String, open: String, close: String, session_open: String, session_close: String }
);
alpaca!(
    /// A price and how it moved; prices in dollars, null where nothing is known.
    QuotePage, {"success": true, "data": {"symbol": "AAPL", "price": 150.25}, "symbol": "AAPL", "price": 150.25, "change": 1.2, "changePercent": 0.81, "volume": 12345, "timestamp": 1_717_421_400_000_i64, "from": "live", "complete": true},
    {
        success: bool,
        /// All other members once more.
        data: serde_json::Value,
        symbol: String,
        name: Option<String>,
        exchange: Option<String>,
        price: Option<f64>,
        size: Option<f64>,
        change: Option<f64>,
        #[schema(rename = "changePercent")] change_percent: Option<f64>,
        #[schema(rename = "previousClose")] previous_close: Option<f64>,
        open: Option<f64>,
        high: Option<f64>,
        low: Option<f64>,
        volume: Option<f64>,
        timestamp: i64,
        from: String,
        complete: bool,
    }
);
alpaca!(
    /// Bars, twice.
    Historical, {"success": true, "symbol": "AAPL", "timeframe": "1Day", "bars": [], "data": [], "next_page_token": null, "as_of": null, "complete": true},
    {
        success: bool,
        symbol: String,
        timeframe: String,
        bars: Vec<Bar>,
        data: Vec<Bar>,
        #[schema(required)] next_page_token: Option<String>,
        #[schema(required)] as_of: Option<AsOf>,
        complete: bool,
    }
);
alpaca!(
    /// A symbol with its name.
    FoundSymbol, {"symbol": "AAPL", "name": "Apple Inc.", "exchange": "NASDAQ"},
    { symbol: String, #[schema(required)] name: Option<String>, #[schema(required)] exchange: Option<String> }
);
alpaca!(
    /// Symbols, twice.
    SearchResults, {"success": true, "query": "app", "results": [{"symbol": "AAPL", "name": "Apple Inc.", "exchange": "NASDAQ"}], "data": [{"symbol": "AAPL", "name": "Apple Inc.", "exchange": "NASDAQ"}]},
    { success: bool, query: String, results: Vec<FoundSymbol>, data: Vec<FoundSymbol> }
);
alpaca!(
    /// The state of the market and the next one.
    MarketStatus, {"success": true, "data": {"market": "open"}, "market": "open", "isOpen": true, "time": 1_717_421_400_000_i64, "nextChange": {"market": "post", "time": 1_717_444_800_000_i64}, "date": "2024-06-03", "tradingDay": true, "earlyClose": false},
    {
        success: bool,
        /// All other members once more.
        data: serde_json::Value,
        /// `open`, `pre`, `post` or `closed`.
        market: String,
        #[schema(rename = "isOpen")] is_open: bool,
        time: i64,
        #[schema(rename = "nextChange")] next_change: NextChange,
        date: String,
        #[schema(rename = "tradingDay")] trading_day: bool,
        #[schema(rename = "earlyClose")] early_close: bool,
    }
);
alpaca!(
    /// What comes next, and when.
    NextChange, {"market": "post", "time": 1_717_444_800_000_i64},
    { market: String, time: i64 }
);
alpaca!(
    /// What this data feed can do.
    UdfConfig, {"supports_search": true, "supports_group_request": false, "supports_marks": true, "supports_timescale_marks": false, "supports_time": true, "supported_resolutions": ["1", "5", "1D"], "exchanges": [{"value": "", "name": "All", "desc": ""}], "symbols_types": [{"name": "Stock", "value": "stock"}]},
    {
        supports_search: bool,
        supports_group_request: bool,
        supports_marks: bool,
        supports_timescale_marks: bool,
        supports_time: bool,
        supported_resolutions: Vec<String>,
        exchanges: Vec<serde_json::Value>,
        symbols_types: Vec<serde_json::Value>,
    }
);
alpaca!(
    /// What a symbol is. `pricescale` is 100 for cents, and more where its prices show more decimals.
    UdfSymbol, {"name": "AAPL", "ticker": "AAPL", "description": "Apple Inc.", "type": "stock", "exchange": "NASDAQ", "timezone": "America/New_York", "session": "0400-2000", "minmov": 1, "pricescale": 100},
    {
        name: String,
        ticker: String,
        description: String,
        r#type: String,
        exchange: String,
        timezone: String,
        session: String,
        minmov: i64,
        pricescale: i64,
    }
);
alpaca!(
    /// A symbol that a search has found.
    UdfFound, {"symbol": "AAPL", "full_name": "AAPL", "ticker": "AAPL", "description": "Apple Inc.", "exchange": "NASDAQ", "type": "stock"},
    { symbol: String, full_name: String, ticker: String, description: String, exchange: String, r#type: String }
);
alpaca!(
    /// Columns of bars; times in Unix seconds.
    UdfBars, {"s": "ok", "t": [1_717_421_400], "o": [150.1], "h": [150.4], "l": [150], "c": [150.25], "v": [12345]},
    {
        /// `ok` or `no_data`.
        s: String,
        t: Option<Vec<i64>>,
        o: Option<Vec<f64>>,
        h: Option<Vec<f64>>,
        l: Option<Vec<f64>>,
        c: Option<Vec<f64>>,
        v: Option<Vec<f64>>,
        /// The newest bar before the range, if the range has none.
        #[schema(rename = "nextTime")] next_time: Option<i64>,
    }
);
alpaca!(
    /// Columns of marks; times in Unix seconds.
    UdfMarks, {"id": ["*-1717421460000"], "time": [1_717_421_460], "color": ["blue"], "text": ["The feed was out."], "label": ["G"], "labelFontColor": ["white"], "minSize": [14]},
    {
        id: Vec<String>,
        time: Vec<i64>,
        color: Vec<String>,
        text: Vec<String>,
        label: Vec<String>,
        #[schema(rename = "labelFontColor")] label_font_color: Vec<String>,
        #[schema(rename = "minSize")] min_size: Vec<i64>,
    }
);
alpaca!(
    /// Columns of symbols.
    UdfSymbolInfo, {"symbol": ["AAPL"], "ticker": ["AAPL"], "description": ["Apple Inc."], "exchange-listed": ["NASDAQ"], "exchange-traded": ["NASDAQ"], "pricescale": [100], "minmovement": 1, "type": "stock", "timezone": "America/New_York", "session-regular": "0400-2000"},
    {
        symbol: Vec<String>,
        ticker: Vec<String>,
        description: Vec<String>,
        #[schema(rename = "exchange-listed")] exchange_listed: Vec<String>,
        #[schema(rename = "exchange-traded")] exchange_traded: Vec<String>,
        pricescale: Vec<i64>,
        minmovement: i64,
        r#type: String,
        timezone: String,
        #[schema(rename = "session-regular")] session_regular: String,
    }
);
alpaca!(
    /// Last prices.
    UdfQuotes, {"s": "ok", "d": [{"s": "ok", "n": "AAPL", "v": {"lp": 150.25, "ch": 1.2, "chp": 0.81}}]},
    { s: String, d: Vec<serde_json::Value> }
);
alpaca!(
    /// Whether the service works, part by part.
    HealthReport, {"status": "ok", "service": "bars-api", "parts": {"postgres": {"status": "up"}}},
    { status: String, service: String }
);
