//! `/v2/stocks/bars` and `/v2/stocks/trades`, for several symbols and for one.

use std::sync::Arc;

use axum::extract::{Path, Query as UrlQuery, State};
use axum::response::Response;
use market::Timeframe;

use super::page::{self, BarKey, Key, Page, Token};
use super::query::{Params, Query, symbol, symbols, timeframe};
use super::{Refusal, json_body, market_of};
use crate::app::App;
use crate::bars::joined;
use crate::message::{Bar, Trade};
use crate::symbols::SymbolId;
use crate::tape::{Kept, TradeKey, key_of};
use crate::units::NS_PER_MS;
use crate::venue::Market;
use crate::wire::json::{write_rest_bar, write_rest_trade};

/// Added to the ids of another feed's history.
const OTHER_IDS: u64 = 1 << 40;

type Shared = State<Arc<App>>;
type Answer = Result<Response, Refusal>;

pub(super) async fn bars(State(app): Shared, UrlQuery(params): UrlQuery<Params>) -> Answer {
    answer_bars(&app, &params, symbols(&params)?, None)
}

pub(super) async fn bars_of(
    State(app): Shared,
    Path(name): Path<String>,
    UrlQuery(params): UrlQuery<Params>,
) -> Answer {
    let name = symbol(&name)?;
    answer_bars(&app, &params, vec![name.clone()], Some(name))
}

pub(super) async fn trades(State(app): Shared, UrlQuery(params): UrlQuery<Params>) -> Answer {
    answer_trades(&app, &params, symbols(&params)?, None)
}

pub(super) async fn trades_of(
    State(app): Shared,
    Path(name): Path<String>,
    UrlQuery(params): UrlQuery<Params>,
) -> Answer {
    let name = symbol(&name)?;
    answer_trades(&app, &params, vec![name.clone()], Some(name))
}

fn answer_trades(app: &App, params: &Params, names: Vec<String>, single: Option<String>) -> Answer {
    let mut query = Query::read(params, app, app.main.now_ns())?;
    let after = token::<TradeKey>(&query)?;
    if let behind_ns @ 1.. = app.faults.history_behind_ns() {
        query.end_ns = query.end_ns.min(app.main.now_ns() - behind_ns).max(query.start_ns - 1);
    }
    let other = app.faults.history_is_other();
    let as_asked = |kept: &Kept| Kept {
        trade: Trade { id: kept.trade.id + if other { OTHER_IDS } else { 0 }, ..kept.trade },
        ..*kept
    };
    let mut page = page::cut(
        names,
        after,
        query.limit,
        |kept: &(Kept, &'static str)| key_of(&kept.0.trade),
        |name, behind, most| {
            let Some((market, id)) = market_of(app, name) else { return Vec::new() };
            let tape_letter = market.symbols.info(id).tape.letter();
            let tape = market.tape();
            let times = query.start_ns..=query.end_ns;
            let with_tape = |kept: &Kept| (as_asked(kept), tape_letter);
            if query.descending {
                let before = |kept: &&Kept| behind.is_none_or(|last| key_of(&kept.trade) < last);
                tape.trades(id, times).rev().filter(before).take(most).map(with_tape).collect()
            } else {
                let from = behind.map_or(query.start_ns, |(ts_ns, ..)| ts_ns.max(query.start_ns));
                let past = |kept: &&Kept| behind.is_none_or(|last| key_of(&kept.trade) > last);
                tape.trades(id, from..=query.end_ns).filter(past).take(most).map(with_tape).collect()
            }
        },
    );
    if let Some((_, points)) = page.symbols.iter_mut().find(|(_, points)| points.len() > 2)
        && let Some(at) = app.faults.drop_from_history(points.len())
    {
        points.remove(at);
    }
    Ok(body("trades", &query, single, page, |(kept, tape), out| {
        write_rest_trade(&kept.trade, tape, kept.update.map(crate::tape::Update::as_str), out);
    }))
}

fn answer_bars(app: &App, params: &Params, names: Vec<String>, single: Option<String>) -> Answer {
    let timeframe = timeframe(params)?;
    let query = Query::read(params, app, app.main.now_ns())?;
    let after = token::<BarKey>(&query)?;
    let page = page::cut(
        names,
        after,
        query.limit,
        |bar: &Bar| BarKey(bar.start_ns),
        |name, behind, most| {
            let Some((market, id)) = market_of(app, name) else { return Vec::new() };
            let mut bars = bars_between(market, id, timeframe, query.start_ns, query.end_ns);
            if query.descending {
                bars.reverse();
            }
            let past = |bar: &Bar| match behind {
                None => true,
                Some(BarKey(last)) if query.descending => bar.start_ns < last,
                Some(BarKey(last)) => bar.start_ns > last,
            };
            bars.into_iter().filter(past).take(most).collect()
        },
    );
    Ok(body("bars", &query, single, page, write_rest_bar))
}

/// The bars whose start lies in `start_ns..=end_ns`, ascending, made of minute bars.
pub(super) fn bars_between(
    market: &Market,
    id: SymbolId,
    timeframe: Timeframe,
    start_ns: i64,
    end_ns: i64,
) -> Vec<Bar> {
    if timeframe == Timeframe::MINUTE {
        return market.minutes(id, start_ns, end_ns);
    }
    let start_of = |ts_ns: i64| timeframe.start_of(ts_ns.div_euclid(NS_PER_MS)).saturating_mul(NS_PER_MS);
    let last = start_of(end_ns).div_euclid(NS_PER_MS);
    let end_of_last = timeframe.next_start(last).saturating_mul(NS_PER_MS) - 1;
    let mut bars: Vec<Bar> = Vec::new();
    let mut current: Option<(i64, i64)> = None;
    for minute in market.minutes(id, start_ns, end_of_last.max(end_ns)) {
        let inside = current.is_some_and(|(_, next)| minute.start_ns < next);
        if !inside {
            let start = start_of(minute.start_ns);
            let next = timeframe.next_start(start.div_euclid(NS_PER_MS)).saturating_mul(NS_PER_MS);
            current = Some((start, next));
            bars.push(Bar { start_ns: start, ..minute });
        } else if let Some(bar) = bars.last_mut() {
            *bar = joined(bar, &minute);
        }
    }
    // A bar that began before the range was only seen in part.
    bars.retain(|bar| (start_ns..=end_ns).contains(&bar.start_ns));
    bars
}

fn token<K: Key>(query: &Query) -> Result<Option<Token<K>>, Refusal> {
    let read = |text: &String| Token::decode(text).ok_or_else(|| Refusal::bad("invalid page_token"));
    query.page_token.as_ref().map(read).transpose()
}

fn body<T, K: Key>(
    name: &str,
    query: &Query,
    single: Option<String>,
    page: Page<T, K>,
    write: impl Fn(&T, &mut Vec<u8>),
) -> Response {
    let mut out = Vec::with_capacity(page.symbols.iter().map(|(_, points)| points.len() * 140).sum::<usize>() + 200);
    let list = |points: &[T], out: &mut Vec<u8>| {
        out.push(b'[');
        for (at, point) in points.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            write(point, out);
        }
        out.push(b']');
    };
    out.extend_from_slice(format!("{{\"{name}\":").as_bytes());
    match &single {
        Some(_) => match page.symbols.first() {
            Some((_, points)) => list(points, &mut out),
            None => out.extend_from_slice(b"null"),
        },
        None => {
            out.push(b'{');
            for (at, (symbol, points)) in page.symbols.iter().enumerate() {
                out.extend_from_slice(format!("{}\"{symbol}\":", if at > 0 { "," } else { "" }).as_bytes());
                list(points, &mut out);
            }
            out.push(b'}');
        }
    }
    if let Some(symbol) = single {
        out.extend_from_slice(format!(",\"symbol\":\"{symbol}\"").as_bytes());
    }
    let next = page.next.map_or("null".to_owned(), |token| format!("\"{}\"", token.encode()));
    out.extend_from_slice(format!(",\"next_page_token\":{next}").as_bytes());
    if let Some(currency) = &query.currency {
        out.extend_from_slice(format!(",\"currency\":\"{currency}\"").as_bytes());
    }
    out.push(b'}');
    json_body(out)
}
