//! `/bars/…`: Tapeline's own shape.

use std::ops::Range;

use actix_web::{HttpRequest, HttpResponse, web};
use deadpool_postgres::Transaction;
use market::{Position, Symbol, Timeframe};

use crate::answer::{self, Ask, JSON};
use crate::db::bars::{self, BarRow, Edge, Series};
use crate::db::versions::Scope;
use crate::dto;
use crate::format::Format;
use crate::history::{self, Question};
use crate::openapi::params::{self, SymbolPath};
use crate::openapi::refusals::{Refused, Unchanged, Unknown};
use crate::params::{Cursor, Order, Params, symbol as read_symbol};
use crate::problem::Problem;
use crate::render;
use crate::state::State;

/// Symbols that `/bars/latest` lists at most where it is not told which.
const LATEST_SYMBOLS_MAX: usize = 10_000;

/// The newest bars of a symbol, oldest first.
#[utoipa::path(
    get, path = "/bars/{symbol}", tag = "bars",
    params(SymbolPath, params::Newest),
    responses(
        (status = 200, description = "The bars; as lines with `Accept: text/csv` or `application/x-ndjson`", content((dto::Bars = "application/json"), (String = "text/csv"), (String = "application/x-ndjson"))),
        Unchanged,
        Refused,
        Unknown,
    )
)]
pub async fn newest(
    state: web::Data<State>,
    request: HttpRequest,
    symbol: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let params = Params::strict(request.query_string(), &["timeframe", "limit", "source", "indicators"])?;
    let series = series(&state, &symbol, &params)?;
    let question = Question { series, range_ns: i64::MIN..i64::MAX, order: Order::Descending, limit: params.limit()? };
    let (format, indicators) = (Format::wanted(&request), params.indicators()?);
    let ask = ask(
        &question.series,
        format,
        format!("newest|{}|{}|{indicators:?}", describe(&question.series), question.limit),
    );
    answer::versioned(&state, &request, ask, async |snapshot| {
        let mut page = history::page(snapshot, &question).await?;
        refuse_unknown(snapshot, &question.series.symbol, &page.bars).await?;
        page.bars.reverse();
        let lines = history::indicators(snapshot, &question, &page.bars, &indicators).await?;
        Ok(format.page(&question.series, &page.bars, &lines, None, page.edge.as_ref()))
    })
    .await
}

/// The bars that start within a range, page by page.
#[utoipa::path(
    get, path = "/bars/{symbol}/range", tag = "bars",
    params(SymbolPath, params::Range),
    responses(
        (status = 200, description = "The bars; an empty list where the symbol has none in this range. As lines with `Accept: text/csv` or `application/x-ndjson`, the token then in `X-Next-Page-Token`", content((dto::Bars = "application/json"), (String = "text/csv"), (String = "application/x-ndjson"))),
        Unchanged,
        Refused,
        Unknown,
    )
)]
pub async fn range(
    state: web::Data<State>,
    request: HttpRequest,
    symbol: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let known = ["start", "end", "timeframe", "limit", "sort", "source", "page_token", "indicators"];
    let params = Params::strict(request.query_string(), &known)?;
    let series = series(&state, &symbol, &params)?;
    let (range_ns, order) = (params.range()?, params.order()?);
    let subject = format!("range|{}|{range_ns:?}|{order:?}", describe(&series));
    let cursor = Cursor::open(params.text("page_token"), &subject)?;
    let question =
        Question { series, range_ns: rest_of(range_ns, cursor.as_ref(), order), order, limit: params.limit()? };
    let indicators = params.indicators()?;
    let key = format!("{subject}|{}|{indicators:?}|{:?}", question.limit, cursor.map(|cursor| cursor.ts_ns));
    let format = Format::wanted(&request);
    answer::versioned(&state, &request, ask(&question.series, format, key), async |snapshot| {
        let page = history::page(snapshot, &question).await?;
        refuse_unknown(snapshot, &question.series.symbol, &page.bars).await?;
        let token = page.bars.last().filter(|_| page.more).map(|last| {
            let (symbol, detail) = (question.series.symbol, String::new());
            Cursor { symbol, ts_ns: last.start_ns(), detail }.seal(&subject)
        });
        let lines = history::indicators(snapshot, &question, &page.bars, &indicators).await?;
        Ok(format.page(&question.series, &page.bars, &lines, token.as_deref(), page.edge.as_ref()))
    })
    .await
}

/// The newest bar of each symbol.
#[utoipa::path(
    get, path = "/bars/latest", tag = "bars",
    params(params::Latest),
    responses(
        (status = 200, description = "By symbol; symbols without bars are absent", body = dto::LatestBars),
        Unchanged,
        Refused,
    )
)]
pub async fn latest(state: web::Data<State>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let params = Params::strict(request.query_string(), &["symbols", "timeframe", "source"])?;
    let (symbols, timeframe, source) = (params.symbols()?, params.timeframe()?, params.source(&state.source)?);
    let ask = Ask {
        key: format!("latest|{timeframe}|{source}|{symbols:?}"),
        scope: symbols.clone().map_or(Scope::All, Scope::Symbols),
        content_type: JSON,
    };
    answer::versioned(&state, &request, ask, async |snapshot| {
        let symbols = match symbols {
            Some(symbols) => symbols,
            None => bars::symbols(snapshot, LATEST_SYMBOLS_MAX).await?,
        };
        let newest = newest_of_each(snapshot, &symbols, timeframe, &source).await?;
        Ok(render::latest(&timeframe.to_string(), &newest))
    })
    .await
}

async fn newest_of_each(
    snapshot: &Transaction<'_>,
    symbols: &[Symbol],
    timeframe: Timeframe,
    source: &market::Source,
) -> Result<Vec<(Symbol, BarRow, Option<Edge>)>, Problem> {
    if timeframe == Timeframe::MINUTE {
        let rows = bars::latest(snapshot, symbols, timeframe, source).await?;
        let edge = |row: &BarRow, position: Option<Position>| Some(Edge { newest_ms: row.start_ms, position });
        return Ok(rows.into_iter().map(|(symbol, row, at)| (symbol, row.clone(), edge(&row, at))).collect());
    }
    let mut newest = Vec::new();
    for &symbol in symbols {
        let series = Series { symbol, timeframe, source: source.clone() };
        let question = Question { series, range_ns: i64::MIN..i64::MAX, order: Order::Descending, limit: 1 };
        let page = history::page(snapshot, &question).await?;
        newest.extend(page.bars.into_iter().next().map(|bar| (symbol, bar, page.edge)));
    }
    Ok(newest)
}

fn series(state: &State, symbol: &str, params: &Params) -> Result<Series, Problem> {
    Ok(Series {
        symbol: read_symbol("symbol", symbol)?,
        timeframe: params.timeframe()?,
        source: params.source(&state.source)?,
    })
}

fn describe(series: &Series) -> String {
    format!("{}|{}|{}", series.symbol, series.timeframe, series.source)
}

fn ask(series: &Series, format: Format, key: String) -> Ask {
    let content_type = format.content_type();
    Ask { key: format!("{key}|{content_type}"), scope: Scope::Symbols(vec![series.symbol]), content_type }
}

fn rest_of(range_ns: Range<i64>, cursor: Option<&Cursor>, order: Order) -> Range<i64> {
    match cursor {
        Some(cursor) => history::after(range_ns, cursor.ts_ns, order),
        None => range_ns,
    }
}

/// An empty answer is only right for a symbol that has bars somewhere.
async fn refuse_unknown(snapshot: &Transaction<'_>, symbol: &Symbol, found: &[BarRow]) -> Result<(), Problem> {
    if found.is_empty() && !bars::is_known(snapshot, symbol).await? {
        return Err(Problem::unknown_symbol(symbol.as_str(), "bars"));
    }
    Ok(())
}
