//! Bars and trades, of one symbol or many, over a range or the newest.

use ::market::Symbol;
use actix_web::{HttpRequest, HttpResponse, web};

use super::{ask, one, read, wanted};
use crate::answer;
use crate::db::Order;
use crate::db::versions::Scope;
use crate::many::{self, Ask, Page};
use crate::openapi::answers;
use crate::openapi::params::{BarLength, BetweenIncluded, Limit, Page as PageToken, Sorted, SymbolList, SymbolPath};
use crate::openapi::refusals::{Refused, Unchanged};
use crate::params::{Cursor, Params};
use crate::problem::Problem;
use crate::render::alpaca as render;
use crate::reply::{Answer, JSON};
use crate::state::State;

/// Bars of several symbols, sorted by symbol and time.
#[utoipa::path(
    get, path = "/v2/stocks/bars", tag = "alpaca",
    params(SymbolList, BarLength, BetweenIncluded, Limit, Sorted, PageToken),
    responses(
        (status = 200, description = "By symbol; symbols without bars are absent", body = answers::AlpacaBars),
        Unchanged,
        Refused,
    )
)]
pub async fn bars(state: web::Data<State>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let params = read(&request)?;
    let ask = ask(&state, &params, wanted(&params)?)?;
    bar_page(&state, &request, &params, ask, "v2 bars", |page, token| {
        render::by_symbol("bars", page, token, render::bar)
    })
    .await
}

/// Bars of one symbol.
#[utoipa::path(
    get, path = "/v2/stocks/{symbol}/bars", tag = "alpaca",
    params(SymbolPath, BarLength, BetweenIncluded, Limit, Sorted, PageToken),
    responses(
        (status = 200, description = "The bars", body = answers::AlpacaBarsOfOne),
        Unchanged,
        Refused,
    )
)]
pub async fn bars_of_one(
    state: web::Data<State>,
    request: HttpRequest,
    symbol: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let (params, symbol) = (read(&request)?, one(&symbol)?);
    let ask = ask(&state, &params, vec![symbol])?;
    bar_page(&state, &request, &params, ask, "v2 bars of one", |page, token| {
        render::of_one("bars", &symbol, page, token, render::bar)
    })
    .await
}

/// Trades of several symbols, sorted by symbol and time.
#[utoipa::path(
    get, path = "/v2/stocks/trades", tag = "alpaca",
    params(SymbolList, BetweenIncluded, Limit, Sorted, PageToken),
    responses(
        (status = 200, description = "By symbol; symbols without trades are absent", body = answers::AlpacaTrades),
        Refused,
    )
)]
pub async fn trades(state: web::Data<State>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let params = read(&request)?;
    let ask = ask(&state, &params, wanted(&params)?)?;
    trade_page(&state, &params, ask, "v2 trades", |page, token| render::by_symbol("trades", page, token, render::trade))
        .await
}

/// Trades of one symbol.
#[utoipa::path(
    get, path = "/v2/stocks/{symbol}/trades", tag = "alpaca",
    params(SymbolPath, BetweenIncluded, Limit, Sorted, PageToken),
    responses(
        (status = 200, description = "The trades", body = answers::AlpacaTradesOfOne),
        Refused,
    )
)]
pub async fn trades_of_one(
    state: web::Data<State>,
    request: HttpRequest,
    symbol: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let (params, symbol) = (read(&request)?, one(&symbol)?);
    let ask = ask(&state, &params, vec![symbol])?;
    trade_page(&state, &params, ask, "v2 trades of one", |page, token| {
        render::of_one("trades", &symbol, page, token, render::trade)
    })
    .await
}

/// The newest minute bar of each symbol.
#[utoipa::path(
    get, path = "/v2/stocks/bars/latest", tag = "alpaca",
    params(SymbolList),
    responses(
        (status = 200, description = "By symbol; symbols without bars are absent", body = answers::AlpacaLatestBars),
        Unchanged,
        Refused,
    )
)]
pub async fn latest_bars(state: web::Data<State>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let params = read(&request)?;
    let ask = newest(&state, &params, wanted(&params)?)?;
    latest_bar(&state, &request, ask, "v2 latest bars", |page| render::latest("bars", &page.parts, render::bar)).await
}

/// The newest minute bar of one symbol.
#[utoipa::path(
    get, path = "/v2/stocks/{symbol}/bars/latest", tag = "alpaca",
    params(SymbolPath),
    responses(
        (status = 200, description = "The bar, or null", body = answers::AlpacaLatestBar),
        Unchanged,
        Refused,
    )
)]
pub async fn latest_bar_of_one(
    state: web::Data<State>,
    request: HttpRequest,
    symbol: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let (params, symbol) = (read(&request)?, one(&symbol)?);
    let ask = newest(&state, &params, vec![symbol])?;
    latest_bar(&state, &request, ask, "v2 latest bar", |page| {
        render::latest_of_one("bar", &symbol, &page.parts, render::bar)
    })
    .await
}

/// The newest trade of each symbol.
#[utoipa::path(
    get, path = "/v2/stocks/trades/latest", tag = "alpaca",
    params(SymbolList),
    responses(
        (status = 200, description = "By symbol; symbols without trades are absent", body = answers::AlpacaLatestTrades),
        Refused,
    )
)]
pub async fn latest_trades(state: web::Data<State>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let params = read(&request)?;
    let ask = newest(&state, &params, wanted(&params)?)?;
    answer::fresh(&state, async |snapshot| {
        let page = many::latest_trades(snapshot, &ask.symbols, &ask.source).await?;
        Ok(Answer::of_records(render::latest("trades", &page.parts, render::trade), page.complete))
    })
    .await
}

/// The newest trade of one symbol.
#[utoipa::path(
    get, path = "/v2/stocks/{symbol}/trades/latest", tag = "alpaca",
    params(SymbolPath),
    responses(
        (status = 200, description = "The trade, or null", body = answers::AlpacaLatestTrade),
        Refused,
    )
)]
pub async fn latest_trade_of_one(
    state: web::Data<State>,
    request: HttpRequest,
    symbol: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let (params, symbol) = (read(&request)?, one(&symbol)?);
    let ask = newest(&state, &params, vec![symbol])?;
    answer::fresh(&state, async |snapshot| {
        let page = many::latest_trades(snapshot, &ask.symbols, &ask.source).await?;
        let body = render::latest_of_one("trade", &symbol, &page.parts, render::trade);
        Ok(Answer::of_records(body, page.complete))
    })
    .await
}

/// Everything but the page itself that decides what its pages hold.
fn subject(name: &str, params: &Params, ask: &Ask, timeframe: &str) -> String {
    // A day that begins between two pages must not part them.
    let start = params.text("start").map_or(i64::MIN, |_| ask.range_ns.start);
    let asked = params.range_subject("start", "end", &(start..ask.range_ns.end));
    format!("{name}|{timeframe}|{:?}|{}|{asked}|{:?}", ask.symbols, ask.source, ask.order)
}

async fn bar_page(
    state: &State,
    request: &HttpRequest,
    params: &Params,
    ask: Ask,
    name: &str,
    render: impl Fn(&Page<crate::db::bars::BarRow>, Option<&str>) -> Vec<u8>,
) -> Result<HttpResponse, Problem> {
    if params.text("timeframe").is_none() {
        return Err(Problem::bad("timeframe", "required: 1Min, 5Min, 1Hour, 1Day, …"));
    }
    let timeframe = params.timeframe()?;
    let subject = subject(name, params, &ask, &timeframe.to_string());
    let cursor = Cursor::open(params.text("page_token"), &subject)?;
    let of = answer::Ask {
        key: format!("{subject}|{:?}|{}|{cursor:?}", ask.range_ns, ask.limit),
        scope: Scope::Symbols(ask.symbols.clone()),
        content_type: JSON,
    };
    answer::versioned(state, request, of, async |snapshot| {
        let mut page = many::bars(snapshot, &ask, timeframe, cursor.as_ref()).await?;
        let closed_for_ms = page.close(&ask.range_ns);
        let token = page.next.as_ref().map(|next| next.seal(&subject));
        let answer = Answer::of_records(render(&page, token.as_deref()), page.complete);
        Ok(match closed_for_ms {
            Some(age_ms) => answer.closed(age_ms, page.complete),
            None => answer,
        })
    })
    .await
}

async fn trade_page(
    state: &State,
    params: &Params,
    ask: Ask,
    name: &str,
    render: impl Fn(&Page<crate::db::trades::TradeRow>, Option<&str>) -> Vec<u8>,
) -> Result<HttpResponse, Problem> {
    let subject = subject(name, params, &ask, "");
    let cursor = Cursor::open(params.text("page_token"), &subject)?;
    answer::fresh(state, async |snapshot| {
        let page = many::trades(snapshot, &ask, cursor.as_ref()).await?;
        let token = page.next.as_ref().map(|next| next.seal(&subject));
        Ok(Answer::of_records(render(&page, token.as_deref()), page.complete))
    })
    .await
}

fn newest(state: &State, params: &Params, symbols: Vec<Symbol>) -> Result<Ask, Problem> {
    let source = params.source(&state.source)?;
    Ok(Ask { symbols, source, range_ns: i64::MIN..i64::MAX, order: Order::Descending, limit: 1 })
}

async fn latest_bar(
    state: &State,
    request: &HttpRequest,
    ask: Ask,
    name: &str,
    render: impl Fn(&Page<crate::db::bars::BarRow>) -> Vec<u8>,
) -> Result<HttpResponse, Problem> {
    let of = answer::Ask {
        key: format!("{name}|{:?}|{}", ask.symbols, ask.source),
        scope: Scope::Symbols(ask.symbols.clone()),
        content_type: JSON,
    };
    answer::versioned(state, request, of, async |snapshot| {
        let page = many::latest_bars(snapshot, &ask.symbols, &ask.source).await?;
        Ok(Answer::of_records(render(&page), page.complete))
    })
    .await
}
