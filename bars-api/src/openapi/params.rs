//! The parameters of all routes, for the document only: [`crate::params`] reads them.
#![expect(missing_docs, reason = "the comment of a field is the parameter's description")]

use utoipa::IntoParams;

use super::schema::{
    Feed, Indicators, Moment, Resolution, Sort, Source, Symbol, Symbols, Ticker, Timeframe, Timespan, Token,
};

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub struct SymbolPath {
    /// As its feed writes it, case-sensitive; write `/` as `%2F`.
    #[param(inline, example = "AAPL")]
    pub symbol: Symbol,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Length {
    /// `1Sec`, `1Min` (default) to `59Min`, `1Hour` to `23Hour`, `1Day`, `1Week`, `1Month`, `2Month`, `3Month`, `4Month`, `6Month`, `12Month`.
    #[param(inline)]
    pub timeframe: Option<Timeframe>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct From {
    /// The feed that is wanted; the first one in `FEED` by default.
    #[param(inline)]
    pub source: Option<Source>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Lines {
    /// Comma-separated: `ema:20`, `sma:20`, `rsi:14`, `atr:14`, `bollinger:20:2`, `vwap`; at most ten. Warmed up before the first bar.
    #[param(inline)]
    pub indicators: Option<Indicators>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Limit {
    /// Most bars or other records in an answer; 1000 by default.
    #[param(minimum = 1, maximum = 10000)]
    pub limit: Option<u32>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Between {
    /// First moment, included: RFC 3339 (UTC without an offset), `YYYY-MM-DD` (midnight in New York), Unix time, or `now-1h`; open by default.
    #[param(inline)]
    pub start: Option<Moment>,
    /// First moment after the range; must be after `start`; open by default.
    #[param(inline)]
    pub end: Option<Moment>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Sorted {
    /// Oldest first (default) or newest first; symbols are in alphabetical order either way.
    #[param(inline)]
    pub sort: Option<Sort>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Page {
    /// `next_page_token` of the page before; all other parameters but `limit` must stay as they were.
    #[param(inline)]
    pub page_token: Option<Token>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct SomeSymbols {
    /// Comma-separated, at most 200; every symbol by default.
    #[param(inline)]
    pub symbols: Option<Symbols>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct SymbolList {
    /// Comma-separated, at most 200.
    #[param(inline)]
    pub symbols: Symbols,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct BarLength {
    /// As in `/bars/{symbol}`; short forms such as `5m`, `1h`, `1D` work everywhere.
    #[param(inline)]
    pub timeframe: Timeframe,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct BetweenIncluded {
    /// First moment, included; by default the beginning of New York's day of `end`.
    #[param(inline)]
    pub start: Option<Moment>,
    /// Last moment, included; open by default.
    #[param(inline)]
    pub end: Option<Moment>,
    /// Understood and without effect: what is stored came from one feed.
    #[param(inline)]
    pub feed: Option<Feed>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Days {
    /// First day, included; 1970-01-01 by default.
    #[param(pattern = "^20[0-4][0-9]-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])$", example = "2024-06-03")]
    pub start: Option<String>,
    /// Last day, included; 2029-12-31 by default.
    #[param(pattern = "^20[0-4][0-9]-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])$", example = "2024-07-05")]
    pub end: Option<String>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Historical {
    /// First moment, included; open by default.
    #[param(inline)]
    pub from: Option<Moment>,
    /// First moment after the range, or its last day; open by default.
    #[param(inline)]
    pub to: Option<Moment>,
    /// `day` by default.
    #[param(inline)]
    pub timespan: Option<Timespan>,
    /// How many of them make a bar: 1 to 59 minutes, 1 to 23 hours, 1 day, 1 week, 1, 2, 3, 4, 6 or 12 months; 1 by default.
    #[param(minimum = 1, maximum = 59)]
    pub multiplier: Option<u32>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Search {
    /// What somebody typed; everything by default.
    #[param(example = "app")]
    pub q: Option<String>,
    /// Most results; 10 by default.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<u32>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct UdfSearch {
    /// What somebody typed.
    #[param(example = "app")]
    pub query: Option<String>,
    /// Most results; 30 by default.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<u32>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct UdfSymbol {
    /// With or without its exchange.
    #[param(inline)]
    pub symbol: Ticker,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct UdfHistory {
    /// With or without its exchange.
    #[param(inline)]
    pub symbol: Ticker,
    /// Minutes (`1`, `5`, `60`, `240`), or `1D`, `1W`, `1M`.
    #[param(inline)]
    pub resolution: Resolution,
    /// First moment in Unix seconds, included; open by default.
    #[param(minimum = 0, maximum = 9_000_000_000_i64, example = 1_717_421_400)]
    pub from: Option<i64>,
    /// First moment after the range in Unix seconds; open by default.
    #[param(minimum = 0, maximum = 9_000_000_000_i64, example = 1_717_444_800)]
    pub to: Option<i64>,
    /// How many bars before `to` are wanted, whatever `from` says; at most 10000 are given.
    #[param(minimum = 0, maximum = 1_000_000)]
    pub countback: Option<u32>,
}

/// What a code belongs to.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub struct TickType {
    /// `trade` or `quote`.
    #[param(pattern = "^(trade|quote)$", example = "trade")]
    pub ticktype: String,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Tape {
    /// `A` (NYSE), `B` (regional) or `C` (Nasdaq).
    #[param(pattern = "^[ABC]$", example = "C")]
    pub tape: String,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Nothing {
    /// Understood and without effect: there is one group.
    pub group: Option<String>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Form {
    /// `json` (default), `csv`, `ndjson` or `arrow`; stands above `Accept`.
    #[param(pattern = "^(json|csv|ndjson|arrow)$", example = "csv")]
    pub format: Option<String>,
}
