//! Newest trade, minute and days of a symbol in one answer.

use ::market::{Source, Symbol, Timeframe};
use actix_web::{HttpRequest, HttpResponse, web};

use super::{one, read, wanted};
use crate::answer;
use crate::db::bars::{BarRow, Series};
use crate::db::{Order, Snapshot};
use crate::db::{gaps, trades};
use crate::history::{self, Page, Question};
use crate::openapi::params::{SymbolList, SymbolPath};
use crate::openapi::refusals::{Refused, Unknown};
use crate::problem::Problem;
use crate::render::{self, alpaca};
use crate::reply::Answer;
use crate::state::State;

/// Snapshots by symbol; symbols that nothing is known of are absent.
#[utoipa::path(
    get, path = "/v2/stocks/snapshots", tag = "alpaca",
    params(SymbolList),
    responses(
        (status = 200, description = "`{\"AAPL\":{\"latestTrade\",\"latestQuote\",\"minuteBar\",\"dailyBar\",\"prevDailyBar\"}}`; quotes are not stored and always null", content_type = "application/json"),
        Refused,
    )
)]
pub async fn snapshots(state: web::Data<State>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let params = read(&request)?;
    let (symbols, source) = (wanted(&params)?, params.source(&state.source)?);
    answer::fresh(&state, async |snapshot| {
        let mut known = Vec::new();
        for symbol in &symbols {
            known.extend(of(snapshot, symbol, &source).await?);
        }
        let mut out = Vec::new();
        render::map(&mut out, &known, |out, one| render::keyed(out, &one.symbol, |out| alpaca::snapshot(out, one)));
        Ok(Answer::of_records(out, known.iter().all(|one| one.complete)))
    })
    .await
}

/// The snapshot of one symbol.
#[utoipa::path(
    get, path = "/v2/stocks/{symbol}/snapshot", tag = "alpaca",
    params(SymbolPath),
    responses(
        (status = 200, description = "`{\"symbol\",\"latestTrade\",\"latestQuote\",\"minuteBar\",\"dailyBar\",\"prevDailyBar\"}`", content_type = "application/json"),
        Refused,
        Unknown,
    )
)]
pub async fn snapshot(
    state: web::Data<State>,
    request: HttpRequest,
    symbol: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let (params, symbol) = (read(&request)?, one(&symbol)?);
    let source = params.source(&state.source)?;
    answer::fresh(&state, async |snapshot| {
        let known = of(snapshot, &symbol, &source).await?;
        let known = known.ok_or_else(|| Problem::unknown_symbol(symbol.as_str(), "bars or trades"))?;
        let mut out = Vec::new();
        alpaca::snapshot(&mut out, &known);
        Ok(Answer::of_records(out, known.complete))
    })
    .await
}

/// What is known of a symbol now; `None` where it has neither bars nor trades.
///
/// # Errors
/// 503 where the database cannot answer.
pub async fn of(
    snapshot: &Snapshot<'_>,
    symbol: &Symbol,
    source: &Source,
) -> Result<Option<alpaca::Snapshot>, Problem> {
    let everything = i64::MIN..i64::MAX;
    let trade = trades::select(snapshot, symbol, source, &everything, None, Order::Descending, 1).await?.pop();
    let minutes = newest(snapshot, symbol, source, Timeframe::MINUTE, 1).await?;
    let mut days: Vec<BarRow> = newest(snapshot, symbol, source, Timeframe::DAY, 2).await?.bars;
    let previous_day = (days.len() > 1).then(|| days.pop()).flatten();
    let (edge, minute, day) = (minutes.edge, minutes.bars.into_iter().next(), days.pop());
    let since_ns =
        [trade.as_ref().map(|trade| trade.ts_ns), day.as_ref().map(BarRow::start_ns)].into_iter().flatten().min();
    let Some(since_ns) = since_ns.or(minute.as_ref().map(BarRow::start_ns)) else { return Ok(None) };
    let complete = gaps::unhealed(snapshot, source).await?.spare(symbol, &(since_ns..i64::MAX));
    Ok(Some(alpaca::Snapshot { symbol: *symbol, trade, minute, day, previous_day, edge, complete }))
}

async fn newest(
    snapshot: &Snapshot<'_>,
    symbol: &Symbol,
    source: &Source,
    timeframe: Timeframe,
    limit: usize,
) -> Result<Page, Problem> {
    let series = Series { symbol: *symbol, timeframe, source: source.clone() };
    let question = Question { series, range_ns: i64::MIN..i64::MAX, order: Order::Descending, limit };
    history::page(snapshot, &question).await
}
