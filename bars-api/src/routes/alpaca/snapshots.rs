//! Newest trade, minute and days of a symbol in one answer.

use std::collections::HashMap;

use ::market::{Source, Symbol, Timeframe};
use actix_web::{HttpRequest, HttpResponse, web};

use super::{one, read, wanted};
use crate::answer;
use crate::db::Snapshot;
use crate::db::bars::{self, BarRow};
use crate::db::{gaps, trades};
use crate::openapi::answers;
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
        (status = 200, description = "By symbol; quotes are not stored and always null", body = BTreeMap<String, answers::AlpacaSnapshot>, example = json!({"AAPL": {"symbol": "AAPL", "latestTrade": null, "latestQuote": null, "minuteBar": null, "dailyBar": null, "prevDailyBar": null}})),
        Refused,
    )
)]
pub async fn snapshots(state: web::Data<State>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let params = read(&request)?;
    let (symbols, source) = (wanted(&params)?, params.source(&state.source)?);
    answer::fresh(&state, async |snapshot| {
        let known = of_each(snapshot, &symbols, &source).await?;
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
        (status = 200, description = "Quotes are not stored and always null", body = answers::AlpacaSnapshot),
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
    Ok(of_each(snapshot, &[*symbol], source).await?.pop())
}

/// What is known of each symbol now, without those that nothing is known of: a few statements, however many symbols there are.
///
/// # Errors
/// 503 where the database cannot answer.
pub async fn of_each(
    snapshot: &Snapshot<'_>,
    symbols: &[Symbol],
    source: &Source,
) -> Result<Vec<alpaca::Snapshot>, Problem> {
    let newest = async |timeframe, count| bars::newest(snapshot, symbols, timeframe, source, count).await;
    let (mut trades, minutes, days, edges, outages) = tokio::try_join!(
        trades::latest(snapshot, symbols, source),
        newest(Timeframe::MINUTE, 1),
        newest(Timeframe::DAY, 2),
        bars::edges(snapshot, symbols, Timeframe::MINUTE, source),
        gaps::unhealed(snapshot, source),
    )?;
    let mut minutes: HashMap<Symbol, BarRow> = minutes.into_iter().map(|(symbol, bar, _)| (symbol, bar)).collect();
    let mut by_symbol: HashMap<Symbol, Vec<BarRow>> = HashMap::new();
    for (symbol, day, _) in days {
        by_symbol.entry(symbol).or_default().push(day);
    }
    let known = symbols.iter().filter_map(|symbol| {
        let (trade, minute) = (trades.remove(symbol), minutes.remove(symbol));
        let mut days = by_symbol.remove(symbol).unwrap_or_default().into_iter();
        let (day, previous_day) = (days.next(), days.next());
        let of_day = [trade.as_ref().map(|trade| trade.ts_ns), day.as_ref().map(BarRow::start_ns)];
        let since_ns = of_day.into_iter().flatten().min().or(minute.as_ref().map(BarRow::start_ns))?;
        let (edge, complete) = (edges.get(symbol).copied(), outages.spare(symbol, &(since_ns..i64::MAX)));
        Some(alpaca::Snapshot { symbol: *symbol, trade, minute, day, previous_day, edge, complete })
    });
    Ok(known.collect())
}
