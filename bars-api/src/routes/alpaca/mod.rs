//! `/v2/…`: the shape of Alpaca's data API v2, so that its clients read from here with nothing but the address changed.

pub mod market;
pub mod series;
pub mod snapshots;

use std::ops::Range;

use ::market::Symbol;
use actix_web::HttpRequest;

use crate::many::Ask;
use crate::params::{self, Params, moment};
use crate::problem::Problem;
use crate::state::State;

/// Feeds that Alpaca's clients may name. What is stored came from the one feed that the producer reads, so the name changes nothing.
const FEEDS: [&str; 6] = ["sip", "iex", "otc", "boats", "delayed_sip", "overnight"];

/// Parameters that every route here understands. Unknown names are ignored, as Alpaca does.
fn read(request: &HttpRequest) -> Result<Params, Problem> {
    let params = Params::lenient(request.query_string())?;
    for (name, allowed) in [("feed", &FEEDS[..]), ("currency", &["USD"]), ("adjustment", &["raw"])] {
        if let Some(text) = params.text(name).filter(|text| !allowed.contains(text)) {
            return Err(Problem::parameter(name, text, format_args!("one of {}", allowed.join(", "))));
        }
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

/// `start` and `end`, both included.
fn range(params: &Params) -> Result<Range<i64>, Problem> {
    let moment = |name| {
        params.text(name).map(|text| moment::parse_lenient(text).map_err(|why| Problem::bad(name, why))).transpose()
    };
    let (start, end) = (moment("start")?.unwrap_or(i64::MIN), moment("end")?.unwrap_or(i64::MAX));
    if start > end {
        return Err(Problem::bad("start", "must not be after end"));
    }
    Ok(start..end.saturating_add(1))
}

fn wanted(params: &Params) -> Result<Vec<Symbol>, Problem> {
    params.symbols()?.ok_or_else(|| Problem::bad("symbols", "required: a comma-separated list such as AAPL,MSFT"))
}

fn one(symbol: &str) -> Result<Symbol, Problem> {
    params::symbol("symbol", symbol)
}
