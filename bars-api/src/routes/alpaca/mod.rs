//! `/v2/…`: the shape of Alpaca's data API v2, so that its clients read from here with nothing but the address changed.

pub mod market;
pub mod meta;
pub mod quotes;
pub mod series;
pub mod snapshots;

use std::ops::Range;

use ::market::{NS_PER_MS, Symbol, Timeframe};
use actix_web::HttpRequest;
use jiff::Timestamp;

use crate::many::Ask;
use crate::params::{self, Params};
use crate::problem::Problem;
use crate::state::State;

/// Feeds that Alpaca's clients may name. What is stored came from the one feed that the producer reads, so the name changes nothing.
const FEEDS: [&str; 6] = ["sip", "iex", "otc", "boats", "delayed_sip", "overnight"];

/// Parameters that every route here understands. Unknown names are ignored, as Alpaca does.
fn read(request: &HttpRequest) -> Result<Params, Problem> {
    let params = Params::lenient(request.query_string())?;
    for (name, allowed) in [("feed", &FEEDS[..]), ("currency", &["USD"])] {
        if let Some(text) = params.text(name).filter(|text| !allowed.contains(text)) {
            return Err(Problem::parameter(name, text, format_args!("one of {}", allowed.join(", "))));
        }
    }
    if let Some(text) = params.text("adjustment").filter(|text| *text != "raw") {
        let why = "raw: splits and dividends are not known here, and unadjusted prices must not pass for adjusted ones";
        return Err(Problem::parameter("adjustment", text, why));
    }
    Ok(params)
}

fn ask(state: &State, params: &Params, symbols: Vec<Symbol>) -> Result<Ask, Problem> {
    Ok(Ask {
        symbols,
        source: params.source(&state.source)?,
        range_ns: range(params)?,
        order: params.order()?,
        limit: params.limit()?,
    })
}

/// `start` and `end`, both included. As Alpaca has it, `start` is the beginning of the day if nothing is said: New York's day of `end`.
fn range(params: &Params) -> Result<Range<i64>, Problem> {
    let (start, end) = (params.moment("start")?, params.moment("end")?);
    let start = start.unwrap_or_else(|| day_of(end));
    let end = end.unwrap_or(i64::MAX);
    if start > end {
        return Err(Problem::bad("start", "must not be after end"));
    }
    Ok(start..end.saturating_add(1))
}

/// Start of the New York day that holds `ns` (now, if nothing is said), in Unix nanoseconds.
fn day_of(ns: Option<i64>) -> i64 {
    let ms = ns.map_or_else(|| Timestamp::now().as_millisecond(), |ns| ns.div_euclid(NS_PER_MS));
    Timeframe::DAY.start_of(ms).saturating_mul(NS_PER_MS)
}

fn wanted(params: &Params) -> Result<Vec<Symbol>, Problem> {
    params.symbols()?.ok_or_else(|| Problem::bad("symbols", "required: a comma-separated list such as AAPL,MSFT"))
}

fn one(symbol: &str) -> Result<Symbol, Problem> {
    params::symbol("symbol", symbol)
}
