//! The trading host's clock and calendar, in New York time.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query as UrlQuery, State};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _, Zoned};
use market::calendar::{Phase, Session, new_york, next_change, phase_at};
use serde_json::{Value, json};

use super::Refusal;
use super::query::{Params, given};
use crate::app::App;
use crate::hours::Day;
use crate::synthetic::Hours;
use crate::units::NS_PER_MS;

/// Longest calendar in days: 20 years.
const CALENDAR_DAYS_MAX: i32 = 7_305;

pub(super) async fn clock(State(app): State<Arc<App>>) -> Json<Value> {
    let now_ns = app.main.now_ns();
    let now_ms = now_ns.div_euclid(NS_PER_MS);
    let is_open = app.main.hours == Hours::AroundTheClock || phase_at(now_ms) == Phase::Open;
    let now = Timestamp::from_nanosecond(now_ns.into()).unwrap_or(Timestamp::UNIX_EPOCH);
    Json(json!({
        "timestamp": text_of(&now.to_zoned(new_york())),
        "is_open": is_open,
        "next_open": text_of(&next(now_ms, Phase::Open)),
        "next_close": text_of(&next(now_ms, Phase::Post)),
    }))
}

/// The first moment after `ms` at which this phase begins.
fn next(ms: i64, wanted: Phase) -> Zoned {
    let mut change = next_change(ms);
    while change.1 != wanted {
        change = next_change(change.0);
    }
    let moment = Timestamp::from_millisecond(change.0).unwrap_or(Timestamp::UNIX_EPOCH);
    moment.to_zoned(new_york())
}

/// RFC 3339 with New York's offset.
fn text_of(moment: &Zoned) -> String {
    let offset = moment.offset();
    let fixed = moment.with_time_zone(TimeZone::fixed(offset));
    fixed.strftime("%Y-%m-%dT%H:%M:%S%.f%:z").to_string()
}

pub(super) async fn calendar(
    State(app): State<Arc<App>>,
    UrlQuery(params): UrlQuery<Params>,
) -> Result<Json<Value>, Refusal> {
    let today = Day::of(app.main.now_ns()).date;
    let date = |name: &str, default: Date| match given(&params, name) {
        None => Ok(default),
        Some(text) => text.parse().map_err(|_| Refusal::bad(format!("invalid {name}: {text}"))),
    };
    let start: Date = date("start", today.saturating_sub(30.days()))?;
    let end: Date = date("end", start.max(today).saturating_add(365.days()))?;
    let days = (end - start).get_days();
    if days > CALENDAR_DAYS_MAX {
        return Err(Refusal::bad("start and end must be at most 20 years apart"));
    }
    let dates = start.series(1.day()).take_while(|date| *date <= end);
    Ok(Json(dates.filter_map(Session::of).map(|session| day_of(&session)).collect()))
}

fn day_of(session: &Session) -> Value {
    let local = |ms: i64, format: &str| {
        let moment = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH);
        moment.to_zoned(new_york()).strftime(format).to_string()
    };
    json!({
        "date": session.date.to_string(),
        "open": local(session.open_ms, "%H:%M"),
        "close": local(session.close_ms, "%H:%M"),
        "session_open": local(session.pre_ms, "%H%M"),
        "session_close": local(session.post_end_ms, "%H%M"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_has_new_york_offsets_summer_and_winter() {
        let ms = |text: &str| text.parse::<Timestamp>().unwrap().as_millisecond();
        assert_eq!(text_of(&next(ms("2022-05-16T20:32:24Z"), Phase::Open)), "2022-05-17T09:30:00-04:00");
        assert_eq!(text_of(&next(ms("2022-05-16T20:32:24Z"), Phase::Post)), "2022-05-17T16:00:00-04:00");
        assert_eq!(text_of(&next(ms("2022-11-24T12:00:00Z"), Phase::Post)), "2022-11-25T13:00:00-05:00");
    }

    #[test]
    fn a_calendar_day_looks_like_the_real_one() {
        let session = Session::of("2022-05-16".parse().unwrap()).unwrap();
        assert_eq!(
            day_of(&session),
            json!({"date":"2022-05-16","open":"09:30","close":"16:00","session_open":"0400","session_close":"2000"})
        );
    }
}
