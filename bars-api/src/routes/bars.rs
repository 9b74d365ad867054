//! `/bars/…`: Tapeline's own shape.

use std::ops::Range;

use actix_web::{HttpRequest, HttpResponse, web};
use market::Symbol;

use crate::answer::{self, Ask};
use crate::db::bars::{self, BarRow, Series};
use crate::db::gaps::{self, GapQuestion};
use crate::db::versions::Scope;
use crate::db::{Order, Snapshot};
use crate::dto;
use crate::format::Format;
use crate::history::{self, Page, Question};
use crate::indicators::Line;
use crate::newest;
use crate::openapi::params::{self, SymbolPath};
use crate::openapi::refusals::{Refused, Unchanged, Unknown};
use crate::params::{Cursor, Params, symbol as read_symbol};
use crate::problem::Problem;
use crate::render;
use crate::reply::{Answer, JSON};
use crate::state::State;

/// Symbols that `/bars/latest` lists at most where it is not told which.
const LATEST_SYMBOLS_MAX: usize = 10_000;

/// The newest bars of a symbol, oldest first.
#[utoipa::path(
    get, path = "/bars/{symbol}", tag = "bars",
    params(SymbolPath, params::Length, params::Limit, params::From, params::Lines, params::Form),
    responses(
        (status = 200, description = "The bars; as lines with `Accept: text/csv` or `application/x-ndjson`, as columns with `application/vnd.apache.arrow.stream`", content((dto::Bars = "application/json"), (String = "text/csv"), (String = "application/x-ndjson"), (String = "application/vnd.apache.arrow.stream"))),
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
    let params = Params::strict(request.query_string(), &["timeframe", "limit", "source", "indicators", "format"])?;
    let series = series(&state, &symbol, &params)?;
    let question = Question { series, range_ns: i64::MIN..i64::MAX, order: Order::Descending, limit: params.limit()? };
    let (format, indicators) = (Format::wanted(&request, &params)?, params.indicators()?);
    let ask = ask(
        &question.series,
        format,
        format!("newest|{}|{}|{indicators:?}", describe(&question.series), question.limit),
    );
    answer::versioned(&state, &request, ask, async |snapshot| {
        let (mut page, complete) = history::page_and_completeness(snapshot, &question).await?;
        refuse_unknown(snapshot, &question.series.symbol, &page.bars).await?;
        page.bars.reverse();
        let lines = history::indicators(snapshot, &question, &page.bars, &indicators).await?;
        shown(format, &question, &page, complete, &lines, None)
    })
    .await
}

/// The bars that start within a range, page by page.
#[utoipa::path(
    get, path = "/bars/{symbol}/range", tag = "bars",
    params(SymbolPath, params::Between, params::Length, params::Limit, params::Sorted, params::From, params::Lines, params::Page, params::Form),
    responses(
        (status = 200, description = "The bars; an empty list where the symbol has none in this range. As lines with `Accept: text/csv` or `application/x-ndjson`, as columns with `application/vnd.apache.arrow.stream`, the token then in `X-Next-Page-Token`", content((dto::Bars = "application/json"), (String = "text/csv"), (String = "application/x-ndjson"), (String = "application/vnd.apache.arrow.stream"))),
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
    let known = ["start", "end", "timeframe", "limit", "sort", "source", "page_token", "indicators", "format"];
    let params = Params::strict(request.query_string(), &known)?;
    let series = series(&state, &symbol, &params)?;
    let (range_ns, order) = (params.range()?, params.order()?);
    let asked = params.range_subject("start", "end", &range_ns);
    let subject = format!("range|{}|{asked}|{order:?}", describe(&series));
    let cursor = Cursor::open(params.text("page_token"), &subject)?;
    let question =
        Question { series, range_ns: rest_of(range_ns, cursor.as_ref(), order), order, limit: params.limit()? };
    let indicators = params.indicators()?;
    let key = format!("{subject}|{:?}|{}|{indicators:?}", question.range_ns, question.limit);
    let format = Format::wanted(&request, &params)?;
    answer::versioned(&state, &request, ask(&question.series, format, key), async |snapshot| {
        let (page, complete) = history::page_and_completeness(snapshot, &question).await?;
        refuse_unknown(snapshot, &question.series.symbol, &page.bars).await?;
        let token = page.bars.last().filter(|_| page.more).map(|last| {
            let (symbol, detail) = (question.series.symbol, String::new());
            Cursor { symbol, ts_ns: last.start_ns(), detail }.seal(&subject)
        });
        let lines = history::indicators(snapshot, &question, &page.bars, &indicators).await?;
        shown(format, &question, &page, complete, &lines, token.as_deref())
    })
    .await
}

/// The newest bar of each symbol.
#[utoipa::path(
    get, path = "/bars/latest", tag = "bars",
    params(params::SomeSymbols, params::Length, params::From),
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
        let newest = newest::of_each(snapshot, &symbols, timeframe, &source).await?;
        let outages = gaps::unhealed(snapshot, &source).await?;
        let complete = newest.iter().all(|(symbol, bar, _)| outages.spare(symbol, &(bar.start_ns()..i64::MAX)));
        Ok(Answer::of_records(render::latest(&timeframe.to_string(), &newest), complete))
    })
    .await
}

/// Outages that touch a range of time: when, why, and whether what they cost has been fetched since.
#[utoipa::path(
    get, path = "/bars/{symbol}/gaps", tag = "bars",
    params(SymbolPath, params::Between, params::Limit, params::From, params::Page),
    responses(
        (status = 200, description = "Oldest first, healed ones included; an empty list where there was none", body = dto::Gaps),
        Refused,
    )
)]
pub async fn gaps(
    state: web::Data<State>,
    request: HttpRequest,
    symbol: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let known = ["start", "end", "limit", "source", "page_token"];
    let params = Params::strict(request.query_string(), &known)?;
    let symbol = read_symbol("symbol", &symbol)?;
    let (source, range_ns, limit) = (params.source(&state.source)?, params.range()?, params.limit()?);
    let asked = params.range_subject("start", "end", &range_ns);
    let subject = format!("gaps|{symbol}|{source}|{asked}");
    let cursor = Cursor::open(params.text("page_token"), &subject)?;
    let after = cursor.map(|cursor| (cursor.ts_ns, cursor.detail));
    let question = GapQuestion { symbol, source, range_ns, after, limit: limit + 1 };
    answer::fresh(&state, async |snapshot| {
        let mut found = gaps::select(snapshot, &question).await?;
        let more = found.len() > limit;
        found.truncate(limit);
        let token = found.last().filter(|_| more).map(|last| {
            let (ts_ns, detail) = (last.from_ms.saturating_mul(market::NS_PER_MS), last.symbol.clone());
            Cursor { symbol, ts_ns, detail }.seal(&subject)
        });
        let listed = found.into_iter().map(|gap| dto::Gap::of(gap, &question.source)).collect();
        let body = dto::Gaps { symbol: symbol.to_string(), gaps: listed, next_page_token: token };
        serde_json::to_vec(&body).map_err(|_| Problem::internal())
    })
    .await
}

/// A page in the form that was asked for.
fn shown(
    format: Format,
    Question { series, range_ns, .. }: &Question,
    page: &Page,
    complete: bool,
    lines: &[Line],
    token: Option<&str>,
) -> Result<Answer, Problem> {
    let closed_for_ms = page.closed_for_ms(range_ns);
    // Nothing of the stream that is still to come belongs into a range that is over: it has no seam.
    let (bars, edge) = (&page.bars, page.edge.as_ref().filter(|_| closed_for_ms.is_none()));
    let answer = format.page(&render::Bars { series, bars, lines, token, edge, complete })?;
    Ok(match closed_for_ms {
        Some(age_ms) => answer.closed(age_ms, complete),
        None => answer,
    })
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
async fn refuse_unknown(snapshot: &Snapshot<'_>, symbol: &Symbol, found: &[BarRow]) -> Result<(), Problem> {
    if found.is_empty() && !bars::is_known(snapshot, symbol).await? {
        return Err(Problem::unknown_symbol(symbol.as_str(), "bars"));
    }
    Ok(())
}
