//! `/udf/…`: TradingView's UDF, which its charting library and others speak. Its own rules apply here: seconds instead of
//! milliseconds, errors as `{"s":"error"}`, and days, weeks and months at midnight UTC of their New York date.

use actix_web::{HttpRequest, HttpResponse, web};
use jiff::Timestamp;
use market::timeframe::Unit;
use market::{Symbol, Timeframe, calendar::trading_date};
use serde_json::{Value, json};

use crate::answer::{self, Ask};
use crate::db::Order;
use crate::db::bars::{self, BarRow, Series};
use crate::db::gaps::{self, GapQuestion, GapRow};
use crate::db::versions::Scope;
use crate::history::{self, Question};
use crate::openapi::answers;
use crate::openapi::params::UdfHistory;
use crate::openapi::refusals::{Refused, Unchanged, Unknown};
use crate::params::{self, LIMIT_MAX, Params};
use crate::problem::Problem;
use crate::render::{integer, list, number};
use crate::reply::{Answer, JSON};
use crate::state::State;

mod symbols;

pub use symbols::{__path_config, __path_quotes, __path_search, __path_symbol_info, __path_symbols, __path_time};
pub use symbols::{config, quotes, search, symbol_info, symbols, time};

const NS_PER_S: i64 = 1_000_000_000;
/// Most marks in an answer.
const MARKS_MAX: usize = 1_000;
/// Lengths that a chart may ask for, in UDF's own words.
const RESOLUTIONS: [&str; 14] = ["1", "2", "3", "5", "10", "15", "30", "60", "120", "240", "1D", "1W", "1M", "3M"];
/// From here on a number can only be a finer Unix time.
const EPOCH_SECONDS_MAX: u64 = 100_000_000_000;

/// Bars as columns.
#[utoipa::path(
    get, path = "/udf/history", tag = "udf",
    params(UdfHistory),
    responses(
        (status = 200, description = "`ok` with columns, or `no_data`", body = answers::UdfBars),
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
        let closed_for_ms = page.closed_for_ms(&question.range_ns);
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
        let answer = Answer::of_records(columns(timeframe, &page.bars), complete);
        Ok(match closed_for_ms {
            Some(age_ms) => answer.closed(age_ms, complete),
            None => answer,
        })
    })
    .await
}

/// Outages of the feed that touch a range, as marks on the chart.
#[utoipa::path(
    get, path = "/udf/marks", tag = "udf",
    params(UdfHistory),
    responses((status = 200, description = "One mark an outage", body = answers::UdfMarks), Refused)
)]
pub async fn marks(state: web::Data<State>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let params = Params::lenient(request.query_string())?;
    let (symbol, source) = (symbol(&params)?, params.source(&state.source)?);
    resolution(&params)?;
    let range_ns = seconds(&params, "from")?.unwrap_or(i64::MIN)..seconds(&params, "to")?.unwrap_or(i64::MAX);
    let question = GapQuestion { symbol, source, range_ns, after: None, limit: MARKS_MAX };
    answer::fresh(&state, async |snapshot| {
        let found = gaps::select(snapshot, &question).await?;
        let text = |gap: &GapRow| match gap.healed_ms {
            Some(_) => format!("The feed was out: {}. What was missing has been fetched.", gap.cause),
            None => format!("The feed was out: {}. Bars may be missing or too small.", gap.cause),
        };
        let column = |of: &dyn Fn(&GapRow) -> Value| -> Vec<Value> { found.iter().map(of).collect() };
        Ok(json!({
            "id": column(&|gap| format!("{}-{}", gap.symbol, gap.from_ms).into()),
            "time": column(&|gap| gap.from_ms.div_euclid(1000).into()),
            "color": column(&|gap| if gap.healed_ms.is_some() { "blue" } else { "red" }.into()),
            "text": column(&|gap| text(gap).into()),
            "label": column(&|_| "G".into()),
            "labelFontColor": column(&|_| "white".into()),
            "minSize": column(&|_| 14.into()),
        })
        .to_string()
        .into_bytes())
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
    params::symbol("symbol", symbols::without_exchange(text))
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

/// A moment: numbers are Unix seconds here, however small, all else is read as everywhere.
fn seconds(params: &Params, name: &str) -> Result<Option<i64>, Problem> {
    let Some(text) = params.text(name) else { return Ok(None) };
    match text.parse::<i64>() {
        Ok(seconds) if seconds.unsigned_abs() < EPOCH_SECONDS_MAX => Ok(Some(seconds.saturating_mul(NS_PER_S))),
        _ => params.moment(name),
    }
}
