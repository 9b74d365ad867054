//! When the market is open: by rule, without a database.

use ::market::calendar::{Phase, Session, new_york, phase_at, trading_date};
use actix_web::{HttpRequest, HttpResponse};
use jiff::civil::Date;
use jiff::{Timestamp, ToSpan as _};
use serde_json::{Value, json};

use crate::openapi::answers;
use crate::openapi::params::Days;
use crate::openapi::refusals::Refused;
use crate::params::{Params, moment};
use crate::problem::Problem;

/// First and last day that a calendar lists, where the caller names none: those of Alpaca.
const FIRST: Date = jiff::civil::date(1970, 1, 1);
const LAST: Date = jiff::civil::date(2029, 12, 31);
/// Most days between `start` and `end`.
const DAYS_MAX: i32 = 25_000;

/// Whether the market is open, and when that changes.
#[utoipa::path(
    get, path = "/v2/clock", tag = "alpaca",
    responses(
        (status = 200, description = "New York time", body = answers::Clock),
    )
)]
pub async fn clock() -> HttpResponse {
    let now = Timestamp::now();
    let now_ms = now.as_millisecond();
    let next = |of: fn(&Session) -> i64| {
        let mut day = trading_date(now_ms);
        loop {
            match Session::of(day).map(|session| of(&session)) {
                Some(at_ms) if at_ms > now_ms => return new_york_time(at_ms),
                _ => day = day.saturating_add(1.day()),
            }
        }
    };
    HttpResponse::Ok().json(json!({
        "timestamp": in_new_york(now),
        "is_open": phase_at(now_ms) == Phase::Open,
        "next_open": next(|session| session.open_ms),
        "next_close": next(|session| session.close_ms),
    }))
}

/// Trading days with their hours.
#[utoipa::path(
    get, path = "/v2/calendar", tag = "alpaca",
    params(Days),
    responses(
        (status = 200, description = "New York time; days without trading are absent", body = Vec<answers::TradingDay>),
        Refused,
    )
)]
pub async fn calendar(request: HttpRequest) -> Result<HttpResponse, Problem> {
    let params = Params::lenient(request.query_string())?;
    let (first, last) = (day(&params, "start")?.unwrap_or(FIRST), day(&params, "end")?.unwrap_or(LAST));
    if first > last {
        return Err(Problem::bad("start", "must not be after end"));
    }
    if (last - first).get_days() > DAYS_MAX {
        return Err(Problem::bad("end", format_args!("more than {DAYS_MAX} days after start")));
    }
    let days: Vec<Value> = first.series(1.day()).take_while(|day| *day <= last).filter_map(listed).collect();
    Ok(HttpResponse::Ok().json(days))
}

fn listed(day: Date) -> Option<Value> {
    let session = Session::of(day)?;
    let (open, close) = (new_york_clock(session.open_ms), new_york_clock(session.close_ms));
    let without_colon = |ms: i64| new_york_clock(ms).replace(':', "");
    Some(json!({
        "date": day.to_string(),
        "open": open,
        "close": close,
        "session_open": without_colon(session.pre_ms),
        "session_close": without_colon(session.post_end_ms),
    }))
}

/// A date as it stands there, or New York's day of a moment.
fn day(params: &Params, name: &str) -> Result<Option<Date>, Problem> {
    let Some(text) = params.text(name) else { return Ok(None) };
    let read = |ns: i64| Timestamp::from_nanosecond(i128::from(ns)).unwrap_or_default().to_zoned(new_york()).date();
    let date = match text.get(..10).filter(|day| moment::is_day(day)) {
        // Alpaca takes the day of a moment as it is written, whatever the offset.
        Some(day) => day.parse::<Date>().ok().filter(|_| moment::is_day(text) || moment::parse(text).is_ok()),
        None if moment::is_relative(text) => params.moment(name)?.map(read),
        None => None,
    };
    match date {
        Some(date) if (1900..=2200).contains(&date.year()) => Ok(Some(date)),
        Some(_) => Err(Problem::parameter(name, text, "a day between 1900 and 2200")),
        None => Err(Problem::parameter(name, text, "a day such as 2024-06-03")),
    }
}

fn in_new_york(moment: Timestamp) -> String {
    moment.to_zoned(new_york()).strftime("%Y-%m-%dT%H:%M:%S%.f%:z").to_string()
}

fn new_york_time(ms: i64) -> String {
    in_new_york(Timestamp::from_millisecond(ms).unwrap_or_default())
}

fn new_york_clock(ms: i64) -> String {
    Timestamp::from_millisecond(ms).unwrap_or_default().to_zoned(new_york()).strftime("%H:%M").to_string()
}
