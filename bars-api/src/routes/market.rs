//! `/api/market/…`: the REST of quote pages.

use actix_web::{HttpRequest, HttpResponse, web};
use jiff::Timestamp;
use market::calendar::{Phase, Session, next_change, phase_at, trading_date};
use market::timeframe::Unit;
use market::{NS_PER_MS, Timeframe};
use serde_json::json;

use crate::answer::{self, Ask};
use crate::companies;
use crate::db::Order;
use crate::db::bars::{self, Series};
use crate::db::versions::Scope;
use crate::history::{self, Question};
use crate::openapi::params::{self, SymbolPath};
use crate::openapi::refusals::{Refused, Unchanged, Unknown};
use crate::params::{Params, symbol as read_symbol};
use crate::problem::Problem;
use crate::render;
use crate::reply::{Answer, JSON};
use crate::routes::alpaca::snapshots;
use crate::state::State;

/// Symbols that a search looks through.
const SYMBOLS_MAX: usize = 20_000;

/// Last price, and how it moved against the previous close.
#[utoipa::path(
    get, path = "/api/market/quote/{symbol}", tag = "market",
    params(SymbolPath),
    responses(
        (status = 200, description = "`from` is `live` for a price of the trading day that is on now, else `lastClosedDay`; `complete` is `false` where an outage of that day is not healed", content_type = "application/json"),
        Refused,
        Unknown,
    )
)]
pub async fn quote(
    state: web::Data<State>,
    request: HttpRequest,
    symbol: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let params = Params::strict(request.query_string(), &["source"])?;
    let (symbol, source) = (read_symbol("symbol", &symbol)?, params.source(&state.source)?);
    answer::fresh(&state, async |snapshot| {
        let known = snapshots::of(snapshot, &symbol, &source).await?;
        let known = known.ok_or_else(|| Problem::unknown_symbol(symbol.as_str(), "bars or trades"))?;
        let bar = known.day.as_ref();
        let minute = known.minute.as_ref();
        let trade_ms = known.trade.as_ref().map(|trade| trade.ts_ns.div_euclid(NS_PER_MS));
        let minute_ms = minute.map(|minute| minute.start_ms);
        // A late trade may be older than the newest minute.
        let trade = known.trade.as_ref().filter(|_| trade_ms >= minute_ms);
        let price = trade.map(|trade| trade.price).or(minute.map(|minute| minute.close)).or(bar.map(|bar| bar.close));
        let timestamp = trade_ms.max(minute_ms).or(bar.map(|bar| bar.start_ms)).unwrap_or_default();
        let previous = known.previous_day.as_ref().map(|day| day.close);
        let change = price.zip(previous).map(|(price, previous)| price - previous);
        let percent = change.zip(previous).map(|(change, previous)| change / previous * 100.0);
        let company = companies::of(symbol.as_str());
        let today = trading_date(Timestamp::now().as_millisecond());
        let live = trading_date(timestamp) == today;
        let body = json!({
            "symbol": symbol.as_str(),
            "name": company.map(|company| company.name),
            "exchange": company.map(|company| company.exchange),
            "price": price,
            "size": trade.map(|trade| trade.size),
            "change": change,
            "changePercent": percent,
            "previousClose": previous,
            "open": bar.map(|bar| bar.open),
            "high": bar.map(|bar| bar.high),
            "low": bar.map(|bar| bar.low),
            "volume": bar.map(|bar| bar.volume),
            "timestamp": timestamp,
            "from": if live { "live" } else { "lastClosedDay" },
            "complete": known.complete,
        });
        Ok(Answer::of_records(body.to_string().into_bytes(), known.complete))
    })
    .await
}

/// Bars in the words of quote pages.
#[utoipa::path(
    get, path = "/api/market/historical/{symbol}", tag = "market",
    params(SymbolPath, params::Historical, params::Limit),
    responses(
        (status = 200, description = "`{\"symbol\",\"timeframe\",\"bars\":[…],\"next_page_token\":null,\"as_of\",\"complete\"}`", body = crate::dto::Bars),
        Unchanged,
        Refused,
        Unknown,
    )
)]
pub async fn historical(
    state: web::Data<State>,
    request: HttpRequest,
    symbol: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let params = Params::strict(request.query_string(), &["from", "to", "timespan", "multiplier", "limit", "source"])?;
    let series = Series {
        symbol: read_symbol("symbol", &symbol)?,
        timeframe: timeframe(&params)?,
        source: params.source(&state.source)?,
    };
    let range_ns = params.range_named("from", "to")?;
    let question = Question { series, range_ns, order: Order::Descending, limit: params.limit()? };
    let (series, range_ns, limit) = (&question.series, &question.range_ns, question.limit);
    let ask = Ask {
        key: format!("historical|{}|{}|{}|{range_ns:?}|{limit}", series.symbol, series.timeframe, series.source),
        scope: Scope::Symbols(vec![series.symbol]),
        content_type: JSON,
    };
    answer::versioned(&state, &request, ask, async |snapshot| {
        let (mut page, complete) = history::page_and_completeness(snapshot, &question).await?;
        if page.bars.is_empty() && !bars::is_known(snapshot, &question.series.symbol).await? {
            return Err(Problem::unknown_symbol(question.series.symbol.as_str(), "bars"));
        }
        page.bars.reverse();
        let series = &question.series;
        let (bars, edge) = (&page.bars, page.edge.as_ref());
        let shown = render::Bars { series, bars, lines: &[], token: None, edge, complete };
        Ok(Answer::of_records(render::bars(&shown), complete))
    })
    .await
}

/// Symbols by their letters and by company name.
#[utoipa::path(
    get, path = "/api/market/search", tag = "market",
    params(params::Search),
    responses(
        (status = 200, description = "`{\"query\",\"results\":[{\"symbol\",\"name\",\"exchange\"}]}`, best first", content_type = "application/json"),
        Refused,
    )
)]
pub async fn search(state: web::Data<State>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let params = Params::strict(request.query_string(), &["q", "limit"])?;
    let typed = params.text("q").unwrap_or_default().to_owned();
    let limit = params.count("limit", 10, 1..=1000)?;
    answer::fresh(&state, async |snapshot| {
        let known = bars::symbols(snapshot, SYMBOLS_MAX).await?;
        let results: Vec<_> = companies::search(&known, &typed, limit)
            .iter()
            .map(|symbol| {
                let company = companies::of(symbol.as_str());
                let (name, exchange) = (company.map(|one| one.name), company.map(|one| one.exchange));
                json!({"symbol": symbol.as_str(), "name": name, "exchange": exchange})
            })
            .collect();
        Ok(json!({"query": typed, "results": results}).to_string().into_bytes())
    })
    .await
}

/// Whether the market is open, and what changes next.
#[utoipa::path(
    get, path = "/api/market/status", tag = "market",
    responses(
        (status = 200, description = "`{\"market\":\"open|pre|post|closed\",\"isOpen\",\"time\",\"nextChange\":{\"market\",\"time\"},\"date\",\"tradingDay\",\"earlyClose\"}`, times in Unix milliseconds", content_type = "application/json"),
    )
)]
pub async fn status() -> HttpResponse {
    let now_ms = Timestamp::now().as_millisecond();
    let (phase, (at_ms, next)) = (phase_at(now_ms), next_change(now_ms));
    let date = trading_date(now_ms);
    let session = Session::of(date);
    HttpResponse::Ok().json(json!({
        "market": phase.as_str(),
        "isOpen": phase == Phase::Open,
        "time": now_ms,
        "nextChange": {"market": next.as_str(), "time": at_ms},
        "date": date.to_string(),
        "tradingDay": session.is_some(),
        "earlyClose": session.is_some_and(|session| session.early_close),
    }))
}

fn timeframe(params: &Params) -> Result<Timeframe, Problem> {
    let text = params.text("timespan").unwrap_or("day");
    let unit = match text {
        "minute" => Unit::Minute,
        "hour" => Unit::Hour,
        "day" => Unit::Day,
        "week" => Unit::Week,
        "month" => Unit::Month,
        other => return Err(Problem::parameter("timespan", other, "minute, hour, day, week or month")),
    };
    let count = params.count("multiplier", 1, 1..=59)?;
    let refused = || {
        let expected =
            "a multiplier for this timespan: 1 to 59 minutes, 1 to 23 hours, 1 day, 1 week, 1, 2, 3, 4, 6 or 12 months";
        Problem::parameter("multiplier", &count.to_string(), expected)
    };
    Timeframe::new(u8::try_from(count).map_err(|_| refused())?, unit).map_err(|_| refused())
}
