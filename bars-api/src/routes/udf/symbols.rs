//! What a chart asks before it draws: what the feed can do, what a symbol is, what it costs now.

use std::collections::HashMap;

use actix_web::{HttpRequest, HttpResponse, web};
use jiff::Timestamp;
use market::{Source, Symbol, Timeframe};
use serde_json::{Value, json};

use super::{RESOLUTIONS, symbol};
use crate::answer;
use crate::companies;
use crate::db::Snapshot;
use crate::db::bars::{self, BarRow};
use crate::openapi::answers;
use crate::openapi::params::{Nothing, SymbolList, UdfSearch, UdfSymbol};
use crate::openapi::refusals::{Refused, Unknown};
use crate::params::Params;
use crate::problem::Problem;
use crate::routes::alpaca::snapshots;
use crate::state::State;

/// Symbols that are listed at most.
const SYMBOLS_MAX: usize = 20_000;
/// Newest bars that decide how many decimals a price has.
const SAMPLE: usize = 500;
/// Prices have as many decimals as this at most; more are noise.
const DECIMALS_MAX: usize = 8;
/// Exchanges that may stand before a symbol, as TradingView writes it. Any other prefix belongs to the symbol (`BINANCE:BTCUSDT`).
const EXCHANGES: [&str; 9] = ["NASDAQ", "NYSE", "NYSE Arca", "ARCA", "AMEX", "BATS", "OTC", "US", "TEST"];

/// What this data feed can do.
#[utoipa::path(
    get, path = "/udf/config", tag = "udf",
    responses(
        (status = 200, description = "UDF's configuration", body = answers::UdfConfig),
    )
)]
pub async fn config() -> HttpResponse {
    HttpResponse::Ok().json(json!({
        "supports_search": true,
        "supports_group_request": false,
        "supports_marks": true,
        "supports_timescale_marks": false,
        "supports_time": true,
        "supported_resolutions": RESOLUTIONS,
        "exchanges": [{"value": "", "name": "All", "desc": ""}],
        "symbols_types": [{"name": "Stock", "value": "stock"}],
    }))
}

/// The server's time in Unix seconds.
#[utoipa::path(
    get, path = "/udf/time", tag = "udf",
    responses(
        (status = 200, description = "Unix seconds", body = String, content_type = "text/plain", example = "1717421400"),
    )
)]
pub async fn time() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain").body(Timestamp::now().as_second().to_string())
}

/// What a symbol is.
#[utoipa::path(
    get, path = "/udf/symbols", tag = "udf",
    params(UdfSymbol),
    responses(
        (status = 200, description = "UDF's symbol information", body = answers::UdfSymbol),
        Refused,
        Unknown,
    )
)]
pub async fn symbols(state: web::Data<State>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let params = Params::lenient(request.query_string())?;
    let symbol = symbol(&params)?;
    answer::fresh(&state, async |snapshot| {
        if !bars::is_known(snapshot, &symbol).await? {
            return Err(Problem::unknown_symbol(symbol.as_str(), "bars"));
        }
        let scale = price_scale(snapshot, &symbol, &state.source).await?;
        Ok(described(&symbol, scale).to_string().into_bytes())
    })
    .await
}

/// Symbols by their letters and by company name.
#[utoipa::path(
    get, path = "/udf/search", tag = "udf",
    params(UdfSearch),
    responses(
        (status = 200, description = "A list, best first", body = Vec<answers::UdfFound>),
        Refused,
    )
)]
pub async fn search(state: web::Data<State>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let params = Params::lenient(request.query_string())?;
    let typed = params.text("query").unwrap_or_default().to_owned();
    let limit = params.count("limit", 30, 1..=1000)?;
    answer::fresh(&state, async |snapshot| {
        let known = bars::symbols(snapshot, 20_000).await?;
        let found: Vec<Value> = companies::search(&known, &typed, limit).iter().map(listed).collect();
        Ok(Value::from(found).to_string().into_bytes())
    })
    .await
}

/// All symbols as columns.
#[utoipa::path(
    get, path = "/udf/symbol_info", tag = "udf",
    params(Nothing),
    responses((status = 200, description = "Columns, one entry a symbol", body = answers::UdfSymbolInfo), Refused)
)]
pub async fn symbol_info(state: web::Data<State>) -> Result<HttpResponse, Problem> {
    answer::fresh(&state, async |snapshot| {
        let known = bars::symbols(snapshot, SYMBOLS_MAX).await?;
        let mut scales: HashMap<Symbol, u64> = HashMap::new();
        for timeframe in [Timeframe::MINUTE, Timeframe::DAY] {
            for (symbol, bar, _) in bars::latest(snapshot, &known, timeframe, &state.source).await? {
                let scale = scales.entry(symbol).or_default();
                *scale = scale_of(&[bar]).max(*scale);
            }
        }
        let column = |of: &dyn Fn(&Symbol) -> Value| -> Vec<Value> { known.iter().map(of).collect() };
        let exchange = |symbol: &Symbol| companies::of(symbol.as_str()).map_or("US", |company| company.exchange).into();
        let name =
            |symbol: &Symbol| companies::of(symbol.as_str()).map_or(symbol.as_str(), |company| company.name).into();
        Ok(json!({
            "symbol": column(&|symbol| symbol.as_str().into()),
            "ticker": column(&|symbol| symbol.as_str().into()),
            "description": column(&name),
            "exchange-listed": column(&exchange),
            "exchange-traded": column(&exchange),
            "pricescale": column(&|symbol| scales.get(symbol).copied().unwrap_or(100).into()),
            "minmovement": 1,
            "minmovement2": 0,
            "type": "stock",
            "timezone": "America/New_York",
            "session-regular": "0400-2000",
            "has-intraday": true,
            "has-daily": true,
            "has-weekly-and-monthly": true,
            "has-no-volume": false,
            "supported-resolutions": RESOLUTIONS,
        })
        .to_string()
        .into_bytes())
    })
    .await
}

/// Last price of several symbols, and how it moved.
#[utoipa::path(
    get, path = "/udf/quotes", tag = "udf",
    params(SymbolList),
    responses((status = 200, description = "One entry a symbol, `s` is `error` where nothing is known of it", body = answers::UdfQuotes), Refused)
)]
pub async fn quotes(state: web::Data<State>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let params = Params::lenient(request.query_string())?;
    let text = params.text("symbols").ok_or_else(|| Problem::bad("symbols", "required: a comma-separated list"))?;
    let asked: Vec<&str> = text.split(',').map(str::trim).collect();
    let plain = asked.iter().map(|name| without_exchange(name)).collect::<Vec<_>>().join(",");
    let symbols = Params::of("symbols", &plain).symbols()?.unwrap_or_default();
    answer::fresh(&state, async |snapshot| {
        let known = snapshots::of_each(snapshot, &symbols, &state.source).await?;
        let listed: Vec<Value> = asked
            .iter()
            .map(|name| {
                let found = known.iter().find(|one| one.symbol.as_str() == without_exchange(name));
                let Some(quote) = found.map(crate::quote::Quote::of) else {
                    return json!({"s": "error", "n": name, "v": {}});
                };
                let company = companies::of(quote.symbol.as_str());
                json!({"s": "ok", "n": name, "v": {
                    "short_name": quote.symbol.as_str(),
                    "description": company.map_or(quote.symbol.as_str(), |company| company.name),
                    "exchange": company.map_or("US", |company| company.exchange),
                    "original_name": quote.symbol.as_str(),
                    "lp": quote.price,
                    "ch": quote.change,
                    "chp": quote.percent,
                    "open_price": quote.open,
                    "high_price": quote.high,
                    "low_price": quote.low,
                    "prev_close_price": quote.previous_close,
                    "volume": quote.volume,
                    "ask": null,
                    "bid": null,
                }})
            })
            .collect();
        Ok(json!({"s": "ok", "d": listed}).to_string().into_bytes())
    })
    .await
}

/// The symbol without the exchange that charts write before it.
pub(super) fn without_exchange(text: &str) -> &str {
    match text.split_once(':') {
        Some((exchange, symbol)) if EXCHANGES.iter().any(|known| known.eq_ignore_ascii_case(exchange)) => symbol,
        _ => text,
    }
}

/// What prices of a symbol are multiples of, as one over it: 100 for cents, more where newest bars show more decimals.
async fn price_scale(snapshot: &Snapshot<'_>, symbol: &Symbol, source: &Source) -> Result<u64, Problem> {
    use crate::db::Order;
    use crate::db::bars::Series;

    let mut scale = 100;
    for timeframe in [Timeframe::MINUTE, Timeframe::DAY] {
        let series = Series { symbol: *symbol, timeframe, source: source.clone() };
        let bars = bars::select(snapshot, &series, &(i64::MIN..i64::MAX), Order::Descending, SAMPLE).await?;
        scale = scale_of(&bars).max(scale);
    }
    Ok(scale)
}

fn scale_of(bars: &[BarRow]) -> u64 {
    let prices = bars.iter().flat_map(|bar| [bar.open, bar.high, bar.low, bar.close]);
    let decimals = prices.map(decimals).max().unwrap_or(0).clamp(2, DECIMALS_MAX);
    10_u64.pow(u32::try_from(decimals).unwrap_or(2))
}

/// Decimals that a price needs, up to the most; beyond them lies what sums of binary fractions leave behind.
fn decimals(price: f64) -> usize {
    let text = format!("{price:.DECIMALS_MAX$}");
    text.trim_end_matches('0').split_once('.').map_or(0, |(_, decimals)| decimals.len())
}

fn described(symbol: &Symbol, scale: u64) -> Value {
    let company = companies::of(symbol.as_str());
    let exchange = company.map_or("US", |company| company.exchange);
    json!({
        "name": symbol.as_str(),
        "ticker": symbol.as_str(),
        "description": company.map_or(symbol.as_str(), |company| company.name),
        "type": "stock",
        "exchange": exchange,
        "listed_exchange": exchange,
        "timezone": "America/New_York",
        "session": "0400-2000",
        "minmov": 1,
        "pricescale": scale,
        "has_intraday": true,
        "has_daily": true,
        "has_weekly_and_monthly": true,
        "intraday_multipliers": ["1"],
        "supported_resolutions": RESOLUTIONS,
        "data_status": "streaming",
        "volume_precision": 0,
        "format": "price",
    })
}

fn listed(symbol: &Symbol) -> Value {
    let company = companies::of(symbol.as_str());
    json!({
        "symbol": symbol.as_str(),
        "full_name": symbol.as_str(),
        "ticker": symbol.as_str(),
        "description": company.map_or(symbol.as_str(), |company| company.name),
        "exchange": company.map_or("US", |company| company.exchange),
        "type": "stock",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_exchange_is_cut_from_a_symbol() {
        for (text, symbol) in [
            ("NASDAQ:AAPL", "AAPL"),
            ("nyse arca:SPY", "SPY"),
            ("AAPL", "AAPL"),
            ("BINANCE:BTCUSDT", "BINANCE:BTCUSDT"),
            ("O:SPY251219C00650000", "O:SPY251219C00650000"),
        ] {
            assert_eq!(without_exchange(text), symbol);
        }
    }

    #[test]
    fn the_scale_shows_every_price_exactly() {
        let bar = |price| BarRow { low: price, ..BarRow::any(0, 0) };
        assert_eq!(scale_of(&[]), 100);
        assert_eq!(scale_of(&[bar(12.5)]), 100);
        assert_eq!(scale_of(&[bar(12.5), bar(0.1849)]), 10_000);
        assert_eq!(scale_of(&[bar(0.1 + 0.2)]), 100);
        assert_eq!(scale_of(&[bar(0.000_012_34)]), 100_000_000);
    }
}
