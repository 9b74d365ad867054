//! The newest trade, quote and bar of symbols, and snapshots of all of them.

use std::sync::Arc;

use axum::extract::{Path, Query as UrlQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use market::Timeframe;

use super::points::bars_between;
use super::query::{Params, symbol, symbols};
use super::{Refusal, json_body, market_of};
use crate::app::App;
use crate::hours::Day;
use crate::message::Bar;
use crate::symbols::SymbolId;
use crate::units::NS_PER_SECOND;
use crate::venue::Market;
use crate::wire::json::{write_rest_bar, write_rest_quote, write_rest_trade};

type Shared = State<Arc<App>>;
type Answer = Result<Response, Refusal>;
/// Writes the newest thing of a symbol as JSON; `None` when there is none.
type Writer = fn(&Market, SymbolId) -> Option<Vec<u8>>;

/// How far back a newest bar is looked for: over a long weekend.
const BACK_NS: i64 = 10 * 86_400 * NS_PER_SECOND;

pub(super) async fn trades(State(app): Shared, UrlQuery(params): UrlQuery<Params>) -> Answer {
    many(&app, &params, Some("trades"), trade)
}

pub(super) async fn quotes(State(app): Shared, UrlQuery(params): UrlQuery<Params>) -> Answer {
    many(&app, &params, Some("quotes"), quote)
}

pub(super) async fn bars(State(app): Shared, UrlQuery(params): UrlQuery<Params>) -> Answer {
    many(&app, &params, Some("bars"), bar)
}

pub(super) async fn snapshots(State(app): Shared, UrlQuery(params): UrlQuery<Params>) -> Answer {
    many(&app, &params, None, |market, id| Some(object(&snapshot_fields(market, id))))
}

pub(super) async fn trade_of(State(app): Shared, Path(name): Path<String>) -> Answer {
    one(&app, &name, "trade", trade)
}

pub(super) async fn quote_of(State(app): Shared, Path(name): Path<String>) -> Answer {
    one(&app, &name, "quote", quote)
}

pub(super) async fn bar_of(State(app): Shared, Path(name): Path<String>) -> Answer {
    one(&app, &name, "bar", bar)
}

pub(super) async fn snapshot_of(State(app): Shared, Path(name): Path<String>) -> Answer {
    let (market, id) = known(&app, &name)?;
    let mut fields = vec![("symbol", Some(format!("\"{name}\"").into_bytes()))];
    fields.extend(snapshot_fields(market, id));
    Ok(json_body(object(&fields)))
}

fn known<'a>(app: &'a App, name: &str) -> Result<(&'a Arc<Market>, SymbolId), Refusal> {
    let name = symbol(name)?;
    market_of(app, &name).ok_or_else(|| Refusal::new(StatusCode::NOT_FOUND, format!("symbol not found: {name}")))
}

fn one(app: &App, name: &str, key: &'static str, write: Writer) -> Answer {
    let (market, id) = known(app, name)?;
    let symbol = Some(format!("\"{name}\"").into_bytes());
    Ok(json_body(object(&[("symbol", symbol), (key, write(market, id))])))
}

fn many(app: &App, params: &Params, key: Option<&str>, write: Writer) -> Answer {
    let mut names = symbols(params)?;
    names.sort_unstable();
    names.dedup();
    let found = names.iter().filter_map(|name| {
        let (market, id) = market_of(app, name)?;
        Some((name.as_str(), Some(write(market, id)?)))
    });
    let body = object(&found.collect::<Vec<_>>());
    Ok(json_body(match key {
        Some(key) => object(&[(key, Some(body))]),
        None => body,
    }))
}

/// An object of these values; one that is not there is null.
fn object(fields: &[(&str, Option<Vec<u8>>)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (at, (name, value)) in fields.iter().enumerate() {
        out.push(if at == 0 { b'{' } else { b',' });
        out.extend_from_slice(format!("\"{name}\":").as_bytes());
        out.extend_from_slice(value.as_deref().unwrap_or(b"null"));
    }
    if fields.is_empty() {
        out.push(b'{');
    }
    out.push(b'}');
    out
}

fn trade(market: &Market, id: SymbolId) -> Option<Vec<u8>> {
    let tape = market.tape();
    let kept = tape.latest_trade(id)?;
    let mut out = Vec::new();
    write_rest_trade(&kept.trade, market.symbols.info(id).tape.letter(), None, &mut out);
    Some(out)
}

fn quote(market: &Market, id: SymbolId) -> Option<Vec<u8>> {
    let tape = market.tape();
    let mut out = Vec::new();
    write_rest_quote(tape.latest_quote(id)?, market.symbols.info(id).tape.letter(), &mut out);
    Some(out)
}

fn bar(market: &Market, id: SymbolId) -> Option<Vec<u8>> {
    let now_ns = market.now_ns();
    bar_text(market.minutes(id, now_ns - BACK_NS, now_ns).last())
}

fn bar_text(bar: Option<&Bar>) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    write_rest_bar(bar?, &mut out);
    Some(out)
}

fn snapshot_fields(market: &Market, id: SymbolId) -> Vec<(&'static str, Option<Vec<u8>>)> {
    let now_ns = market.now_ns();
    let today_ns = Day::of(now_ns).start_ns;
    let days = bars_between(market, id, Timeframe::DAY, Day::of(now_ns - BACK_NS).start_ns, now_ns);
    let (before, today): (Vec<Bar>, Vec<Bar>) = days.into_iter().partition(|day| day.start_ns < today_ns);
    vec![
        ("latestTrade", trade(market, id)),
        ("latestQuote", quote(market, id)),
        ("minuteBar", bar(market, id)),
        ("dailyBar", bar_text(today.last())),
        ("prevDailyBar", bar_text(before.last())),
    ]
}
