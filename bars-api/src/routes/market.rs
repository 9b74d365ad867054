//! `/api/market/…`: the REST of quote pages.

use actix_web::{HttpRequest, HttpResponse, web};
use jiff::Timestamp;
use market::calendar::{Phase, Session, next_change, phase_at, trading_date};
use market::timeframe::Unit;
use market::{NS_PER_MS, Timeframe};
use serde_json::{Value, json};

use crate::answer::{self, Ask};
use crate::companies;
use crate::db::Order;
use crate::db::bars::{self, Series};
use crate::db::versions::Scope;
use crate::history::{self, Question};
use crate::openapi::answers;
use crate::openapi::params::{self, SymbolPath};
use crate::openapi::refusals::{Refused, Unchanged, Unknown};
use crate::params::{Params, moment, symbol as read_symbol};
use crate::problem::Problem;
use crate::quote::Quote;
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
        (status = 200, description = "`from` is `live` for a price of the trading day that is on now, else `lastClosedDay`; `complete` is `false` where an outage of that day is not healed. The same members stand in `data` again", body = answers::QuotePage),
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
        let quote = Quote::of(&known);
        let company = companies::of(symbol.as_str());
        let data = json!({
            "symbol": symbol.as_str(),
            "name": company.map(|company| company.name),
            "exchange": company.map(|company| company.exchange),
            "price": quote.price,
            "size": quote.size,
            "change": quote.change,
            "changePercent": quote.percent,
            "previousClose": quote.previous_close,
            "open": quote.open,
            "high": quote.high,
            "low": quote.low,
            "volume": quote.volume,
            "timestamp": quote.timestamp_ms,
            "from": if quote.live { "live" } else { "lastClosedDay" },
            "complete": known.complete,
        });
        let body = enveloped(data);
        Ok(Answer::of_records(body.to_string().into_bytes(), known.complete))
    })
    .await
}

/// Pages of one dialect read `success` and `data`, those of another the members themselves: both find what they look for.
fn enveloped(data: Value) -> Value {
    let mut body = data.clone();
    if let Value::Object(members) = &mut body {
        members.insert("success".to_owned(), true.into());
        members.insert("data".to_owned(), data);
    }
    body
}

/// Bars in the words of quote pages.
#[utoipa::path(
    get, path = "/api/market/historical/{symbol}", tag = "market",
    params(SymbolPath, params::Historical, params::Limit),
    responses(
        (status = 200, description = "The bars, in `bars` and again in `data`", body = answers::Historical),
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
    let range_ns = days(&params)?;
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
        let closed_for_ms = page.closed_for_ms(&question.range_ns);
        let edge = edge.filter(|_| closed_for_ms.is_none());
        let shown = render::Bars { series, bars, lines: &[], token: None, edge, complete };
        let answer = Answer::of_records(render::historical(&shown), complete);
        Ok(match closed_for_ms {
            Some(age_ms) => answer.closed(age_ms, complete),
            None => answer,
        })
    })
    .await
}

/// Symbols by their letters and by company name.
#[utoipa::path(
    get, path = "/api/market/search", tag = "market",
    params(params::Search),
    responses(
        (status = 200, description = "Best first, in `results` and again in `data`", body = answers::SearchResults),
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
        Ok(json!({"success": true, "query": typed, "results": results, "data": results}).to_string().into_bytes())
    })
    .await
}

/// Whether the market is open, and what changes next.
#[utoipa::path(
    get, path = "/api/market/status", tag = "market",
    responses(
        (status = 200, description = "Times in Unix milliseconds. The same members stand in `data` again", body = answers::MarketStatus),
    )
)]
pub async fn status() -> HttpResponse {
    let now_ms = Timestamp::now().as_millisecond();
    let (phase, (at_ms, next)) = (phase_at(now_ms), next_change(now_ms));
    let date = trading_date(now_ms);
    let session = Session::of(date);
    HttpResponse::Ok().json(enveloped(json!({
        "market": phase.as_str(),
        "isOpen": phase == Phase::Open,
        "time": now_ms,
        "nextChange": {"market": next.as_str(), "time": at_ms},
        "date": date.to_string(),
        "tradingDay": session.is_some(),
        "earlyClose": session.is_some_and(|session| session.early_close),
    })))
}

/// `from` and `to`, where a day that is named as `to` belongs to the range as a whole.
fn days(params: &Params) -> Result<std::ops::Range<i64>, Problem> {
    let (from, to) = (params.moment("from")?, params.moment("to")?);
    let whole_day = params.text("to").is_some_and(moment::is_day);
    let to = to.map(|ns| if whole_day { next_day(ns) } else { ns });
    let (from, to) = (from.unwrap_or(i64::MIN), to.unwrap_or(i64::MAX));
    if from >= to && from != i64::MAX && to != i64::MIN {
        return Err(Problem::bad("from", "must be before to"));
    }
    Ok(from..to)
}

/// Start of the New York day after the one that starts at `ns`.
fn next_day(ns: i64) -> i64 {
    Timeframe::DAY.next_start(ns.div_euclid(NS_PER_MS)).saturating_mul(NS_PER_MS)
}

fn timeframe(params: &Params) -> Result<Timeframe, Problem> {
    let text = params.text("timespan").unwrap_or("day");
    let unit = match text {
        "second" => Unit::Second,
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
