//! Bars and trades, of one symbol or many, over a range or the newest.

use ::market::{Symbol, Timeframe};
use actix_web::{HttpRequest, HttpResponse, web};

use super::{ask, one, read, wanted};
use crate::answer;
use crate::db::versions::Scope;
use crate::db::{Order, Snapshot};
use crate::many::{self, Ask, Page};
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
        (status = 200, description = "`{\"bars\":{\"AAPL\":[{\"t\",\"o\",\"h\",\"l\",\"c\",\"v\",\"n\",\"vw\"}]},\"next_page_token\",\"as_of\"}`", content_type = "application/json"),
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
        (status = 200, description = "`{\"bars\":[…],\"symbol\",\"next_page_token\",\"as_of\"}`", content_type = "application/json"),
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
        (status = 200, description = "`{\"trades\":{\"AAPL\":[{\"t\",\"x\",\"p\",\"s\",\"c\",\"i\",\"z\"}]},\"next_page_token\",\"as_of\"}`", content_type = "application/json"),
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
        (status = 200, description = "`{\"trades\":[…],\"symbol\",\"next_page_token\",\"as_of\"}`", content_type = "application/json"),
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
        (status = 200, description = "`{\"bars\":{\"AAPL\":{…}},\"as_of\"}`", content_type = "application/json"),
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
        (status = 200, description = "`{\"symbol\",\"bar\":{…},\"as_of\"}`", content_type = "application/json"),
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
        (status = 200, description = "`{\"trades\":{\"AAPL\":{…}},\"as_of\"}`", content_type = "application/json"),
        Refused,
    )
)]
pub async fn latest_trades(state: web::Data<State>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let params = read(&request)?;
    let ask = newest(&state, &params, wanted(&params)?)?;
    answer::fresh(&state, async |snapshot| {
        let page = newest_trades(snapshot, &ask).await?;
        Ok(Answer::of_records(render::latest("trades", &page.parts, render::trade), page.complete))
    })
    .await
}

/// The newest trade of one symbol.
#[utoipa::path(
    get, path = "/v2/stocks/{symbol}/trades/latest", tag = "alpaca",
    params(SymbolPath),
    responses(
        (status = 200, description = "`{\"symbol\",\"trade\":{…},\"as_of\"}`", content_type = "application/json"),
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
        let page = newest_trades(snapshot, &ask).await?;
        let body = render::latest_of_one("trade", &symbol, &page.parts, render::trade);
        Ok(Answer::of_records(body, page.complete))
    })
    .await
}

/// Everything but the page itself that decides what its pages hold.
fn subject(name: &str, ask: &Ask, timeframe: &str) -> String {
    format!("{name}|{timeframe}|{:?}|{}|{:?}|{:?}", ask.symbols, ask.source, ask.range_ns, ask.order)
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
    let subject = subject(name, &ask, &timeframe.to_string());
    let cursor = Cursor::open(params.text("page_token"), &subject)?;
    let of = answer::Ask {
        key: format!("{subject}|{}|{cursor:?}", ask.limit),
        scope: Scope::Symbols(ask.symbols.clone()),
        content_type: JSON,
    };
    answer::versioned(state, request, of, async |snapshot| {
        let page = many::bars(snapshot, &ask, timeframe, cursor.as_ref()).await?;
        let token = page.next.as_ref().map(|next| next.seal(&subject));
        Ok(Answer::of_records(render(&page, token.as_deref()), page.complete))
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
    let subject = subject(name, &ask, "");
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
    let of =
        answer::Ask { key: subject(name, &ask, ""), scope: Scope::Symbols(ask.symbols.clone()), content_type: JSON };
    answer::versioned(state, request, of, async |snapshot| {
        let mut page = Page::default();
        for &symbol in &ask.symbols {
            let one = Ask { symbols: vec![symbol], ..ask.clone() };
            page.join(many::bars(snapshot, &one, Timeframe::MINUTE, None).await?);
        }
        Ok(Answer::of_records(render(&page), page.complete))
    })
    .await
}

async fn newest_trades(snapshot: &Snapshot<'_>, ask: &Ask) -> Result<Page<crate::db::trades::TradeRow>, Problem> {
    let mut page = Page::default();
    for &symbol in &ask.symbols {
        let one = Ask { symbols: vec![symbol], ..ask.clone() };
        page.join(many::trades(snapshot, &one, None).await?);
    }
    Ok(page)
}
