//! `/udf/…`: TradingView's UDF, which its charting library and others speak. Its own rules apply here: seconds instead of
//! milliseconds, errors as `{"s":"error"}`, and days, weeks and months at midnight UTC of their New York date.

use actix_web::{HttpRequest, HttpResponse, web};
use jiff::Timestamp;
use market::timeframe::Unit;
use market::{Symbol, Timeframe, calendar::trading_date};
use serde_json::{Value, json};

use crate::answer::{self, Ask};
use crate::companies;
use crate::db::Order;
use crate::db::bars::{self, BarRow, Series};
use crate::db::versions::Scope;
use crate::history::{self, Question};
use crate::openapi::params::{UdfHistory, UdfSearch, UdfSymbol};
use crate::openapi::refusals::{Refused, Unchanged, Unknown};
use crate::params::{self, LIMIT_MAX, Params};
use crate::problem::Problem;
use crate::render::{integer, list, number};
use crate::reply::{Answer, JSON};
use crate::state::State;

const NS_PER_S: i64 = 1_000_000_000;
/// Lengths that a chart may ask for, in UDF's own words.
const RESOLUTIONS: [&str; 14] = ["1", "2", "3", "5", "10", "15", "30", "60", "120", "240", "1D", "1W", "1M", "3M"];
/// The most that a chart may reach back or ahead, in seconds: 1678 to 2262.
const SECONDS_MAX: i64 = i64::MAX / NS_PER_S;

/// What this data feed can do.
#[utoipa::path(
    get, path = "/udf/config", tag = "udf",
    responses(
        (status = 200, description = "UDF's configuration", content_type = "application/json"),
    )
)]
pub async fn config() -> HttpResponse {
    HttpResponse::Ok().json(json!({
        "supports_search": true,
        "supports_group_request": false,
        "supports_marks": false,
        "supports_timescale_marks": false,
        "supports_time": true,
        "supported_resolutions": RESOLUTIONS,
        "exchanges": [{"value": "", "name": "All", "desc": ""}],
        "symbols_types": [{"name": "Stock", "value": "stock"}],
    }))
}

/// The server's time in Unix seconds.
#[utoipa::path(
    get, path = "/udf/time", tag = "udf",
    responses(
        (status = 200, description = "Unix seconds", content_type = "text/plain"),
    )
)]
pub async fn time() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain").body(Timestamp::now().as_second().to_string())
}

/// What a symbol is.
#[utoipa::path(
    get, path = "/udf/symbols", tag = "udf",
    params(UdfSymbol),
    responses(
        (status = 200, description = "UDF's symbol information", content_type = "application/json"),
        Refused,
        Unknown,
    )
)]
pub async fn symbols(state: web::Data<State>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let params = Params::lenient(request.query_string())?;
    let symbol = symbol(&params)?;
    answer::fresh(&state, async |snapshot| {
        if !bars::is_known(snapshot, &symbol).await? {
            return Err(Problem::unknown_symbol(symbol.as_str(), "bars"));
        }
        Ok(described(&symbol).to_string().into_bytes())
    })
    .await
}

/// Symbols by their letters and by company name.
#[utoipa::path(
    get, path = "/udf/search", tag = "udf",
    params(UdfSearch),
    responses(
        (status = 200, description = "A list, best first", content_type = "application/json"),
        Refused,
    )
)]
pub async fn search(state: web::Data<State>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let params = Params::lenient(request.query_string())?;
    let typed = params.text("query").unwrap_or_default().to_owned();
    let limit = params.count("limit", 30, 1..=1000)?;
    answer::fresh(&state, async |snapshot| {
        let known = bars::symbols(snapshot, 20_000).await?;
        let found: Vec<Value> = companies::search(&known, &typed, limit).iter().map(listed).collect();
        Ok(Value::from(found).to_string().into_bytes())
    })
    .await
}

/// Bars as columns.
#[utoipa::path(
    get, path = "/udf/history", tag = "udf",
    params(UdfHistory),
    responses(
        (status = 200, description = "`{\"s\":\"ok\",\"t\",\"o\",\"h\",\"l\",\"c\",\"v\"}`, or `{\"s\":\"no_data\",\"nextTime\"}`", content_type = "application/json"),
        Unchanged,
        Refused,
        Unknown,
    )
)]
pub async fn history(state: web::Data<State>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let params = Params::lenient(request.query_string())?;
    let (symbol, timeframe) = (symbol(&params)?, resolution(&params)?);
    let to_ns = seconds(&params, "to")?.unwrap_or(i64::MAX);
    let countback = params.text("countback").map(|_| params.count("countback", 0, 0..=usize::MAX)).transpose()?;
    let from_ns = match countback {
        Some(1..) => i64::MIN,
        _ => seconds(&params, "from")?.unwrap_or(i64::MIN),
    };
    if from_ns > to_ns {
        return Err(Problem::bad("from", "must not be after to"));
    }
    let limit = countback.filter(|count| *count > 0).unwrap_or(LIMIT_MAX).min(LIMIT_MAX);
    let series = Series { symbol, timeframe, source: params.source(&state.source)? };
    let range_ns = in_new_york(timeframe, from_ns)..in_new_york(timeframe, to_ns);
    let question = Question { series, range_ns, order: Order::Descending, limit };
    let ask = Ask {
        key: format!("udf|{symbol}|{timeframe}|{}|{:?}|{limit}", question.series.source, question.range_ns),
        scope: Scope::Symbols(vec![symbol]),
        content_type: JSON,
    };
    answer::versioned(&state, &request, ask, async |snapshot| {
        let (mut page, complete) = history::page_and_completeness(snapshot, &question).await?;
        if page.bars.is_empty() {
            if !bars::is_known(snapshot, &symbol).await? {
                return Err(Problem::unknown_symbol(symbol.as_str(), "bars"));
            }
            let before = Question { range_ns: i64::MIN..question.range_ns.start, limit: 1, ..question.clone() };
            let before = history::page(snapshot, &before).await?;
            let next = before.bars.first().map(|bar| time_of(timeframe, bar));
            return Ok(Answer::of_records(no_data(next), complete));
        }
        page.bars.reverse();
        Ok(Answer::of_records(columns(timeframe, &page.bars), complete))
    })
    .await
}

/// A key and the value of a bar under it.
type Column = (&'static str, fn(&BarRow) -> f64);

fn columns(timeframe: Timeframe, bars: &[BarRow]) -> Vec<u8> {
    let mut out = b"{\"s\":\"ok\",\"t\":".to_vec();
    list(&mut out, bars, |out, bar| integer(out, "", time_of(timeframe, bar)));
    let values: [Column; 5] = [
        (",\"o\":", |bar| bar.open),
        (",\"h\":", |bar| bar.high),
        (",\"l\":", |bar| bar.low),
        (",\"c\":", |bar| bar.close),
        (",\"v\":", |bar| bar.volume),
    ];
    for (key, value) in values {
        out.extend_from_slice(key.as_bytes());
        list(&mut out, bars, |out, bar| number(out, "", value(bar)));
    }
    out.push(b'}');
    out
}

/// `nextTime` is the newest bar before the range, so that a chart can skip the hole.
fn no_data(next: Option<i64>) -> Vec<u8> {
    match next {
        Some(seconds) => json!({"s": "no_data", "nextTime": seconds}),
        None => json!({"s": "no_data"}),
    }
    .to_string()
    .into_bytes()
}

/// Unix seconds of a bar: its start, or midnight UTC of its New York date where it is a day or longer.
fn time_of(timeframe: Timeframe, bar: &BarRow) -> i64 {
    if is_intraday(timeframe) {
        return bar.start_ms.div_euclid(1000);
    }
    let midnight = trading_date(bar.start_ms).to_zoned(jiff::tz::TimeZone::UTC);
    midnight.map_or(bar.start_ms.div_euclid(1000), |midnight| midnight.timestamp().as_second())
}

/// The way back: a chart that has days at midnight UTC asks for ranges in that clock.
fn in_new_york(timeframe: Timeframe, ns: i64) -> i64 {
    if is_intraday(timeframe) || ns == i64::MIN || ns == i64::MAX {
        return ns;
    }
    let moment = Timestamp::from_nanosecond(i128::from(ns)).unwrap_or_default();
    let local = moment.to_zoned(jiff::tz::TimeZone::UTC).datetime().to_zoned(market::calendar::new_york());
    local.ok().and_then(|local| i64::try_from(local.timestamp().as_nanosecond()).ok()).unwrap_or(ns)
}

fn is_intraday(timeframe: Timeframe) -> bool {
    matches!(timeframe.unit(), Unit::Second | Unit::Minute | Unit::Hour)
}

fn symbol(params: &Params) -> Result<Symbol, Problem> {
    let text = params.text("symbol").ok_or_else(|| Problem::bad("symbol", "required"))?;
    params::symbol("symbol", text.rsplit_once(':').map_or(text, |(_, symbol)| symbol))
}

fn resolution(params: &Params) -> Result<Timeframe, Problem> {
    let text = params.text("resolution").ok_or_else(|| Problem::bad("resolution", "required"))?;
    let refused = || Problem::parameter("resolution", text, "minutes such as 5 or 60, or 1D, 1W, 1M");
    let frame = match text.parse::<u16>() {
        Ok(minutes) if minutes % 60 == 0 => format!("{}Hour", minutes / 60),
        Ok(minutes) => format!("{minutes}Min"),
        Err(_) if text.ends_with(['D', 'W', 'M']) => text.to_owned(),
        Err(_) => return Err(refused()),
    };
    frame.parse().map_err(|_| refused())
}

/// Unix seconds to nanoseconds.
fn seconds(params: &Params, name: &str) -> Result<Option<i64>, Problem> {
    let Some(text) = params.text(name) else { return Ok(None) };
    let seconds = text.parse::<i64>().ok().filter(|seconds| (-SECONDS_MAX..=SECONDS_MAX).contains(seconds));
    seconds.map(|seconds| Some(seconds * NS_PER_S)).ok_or_else(|| Problem::parameter(name, text, "Unix seconds"))
}

fn described(symbol: &Symbol) -> Value {
    let company = companies::of(symbol.as_str());
    let exchange = company.map_or("US", |company| company.exchange);
    json!({
        "name": symbol.as_str(),
        "ticker": symbol.as_str(),
        "description": company.map_or(symbol.as_str(), |company| company.name),
        "type": "stock",
        "exchange": exchange,
        "listed_exchange": exchange,
        "timezone": "America/New_York",
        "session": "0400-2000",
        "minmov": 1,
        "pricescale": 100,
        "has_intraday": true,
        "has_daily": true,
        "has_weekly_and_monthly": true,
        "intraday_multipliers": ["1"],
        "supported_resolutions": RESOLUTIONS,
        "data_status": "streaming",
        "volume_precision": 0,
        "format": "price",
    })
}

fn listed(symbol: &Symbol) -> Value {
    let company = companies::of(symbol.as_str());
    json!({
        "symbol": symbol.as_str(),
        "full_name": symbol.as_str(),
        "ticker": symbol.as_str(),
        "description": company.map_or(symbol.as_str(), |company| company.name),
        "exchange": company.map_or("US", |company| company.exchange),
        "type": "stock",
    })
}
