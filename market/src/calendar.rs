//! Sessions of the US stock market (NYSE and Nasdaq), by rule: no table to keep up to date.
//!
//! Regular hours are 09:30–16:00 New York time, with trading before from 04:00 and after until 20:00. On early-close days regular
//! hours end at 13:00 and trading after them at 17:00. Unscheduled closures of the past are listed; future ones cannot be known.

use std::sync::OnceLock;

use jiff::civil::{Date, Time, Weekday, date, time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

/// New York's time zone.
#[must_use]
pub fn new_york() -> TimeZone {
    static ZONE: OnceLock<TimeZone> = OnceLock::new();
    ZONE.get_or_init(|| TimeZone::get("America/New_York").expect("the time zone database is compiled in or installed"))
        .clone()
}

/// What the market is doing at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// No session.
    Closed,
    /// Before regular hours.
    Pre,
    /// Regular hours.
    Open,
    /// After regular hours.
    Post,
}

impl Phase {
    /// `closed`, `pre`, `open` or `post`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Pre => "pre",
            Self::Open => "open",
            Self::Post => "post",
        }
    }
}

/// One trading day's boundaries in Unix milliseconds; each phase includes its start and excludes its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// The day in New York.
    pub date: Date,
    /// 04:00.
    pub pre_ms: i64,
    /// 09:30.
    pub open_ms: i64,
    /// 16:00, or 13:00 on an early close.
    pub close_ms: i64,
    /// 20:00, or 17:00 on an early close.
    pub post_end_ms: i64,
    /// Whether regular hours end at 13:00.
    pub early_close: bool,
}

impl Session {
    /// The session of a day; `None` on weekends and holidays.
    #[must_use]
    pub fn of(date: Date) -> Option<Self> {
        if !is_trading_day(date) {
            return None;
        }
        let early_close = is_early_close(date);
        let at = |time: Time| {
            let zoned = date.to_datetime(time).to_zoned(new_york()).ok()?;
            Some(zoned.timestamp().as_millisecond())
        };
        Some(Self {
            date,
            pre_ms: at(time(4, 0, 0, 0))?,
            open_ms: at(time(9, 30, 0, 0))?,
            close_ms: at(time(if early_close { 13 } else { 16 }, 0, 0, 0))?,
            post_end_ms: at(time(if early_close { 17 } else { 20 }, 0, 0, 0))?,
            early_close,
        })
    }

    /// The phase at `ms`, as far as this session decides it.
    #[must_use]
    pub fn phase_at(&self, ms: i64) -> Phase {
        match ms {
            ms if ms < self.pre_ms || ms >= self.post_end_ms => Phase::Closed,
            ms if ms < self.open_ms => Phase::Pre,
            ms if ms < self.close_ms => Phase::Open,
            _ => Phase::Post,
        }
    }
}

/// New York's date at `ms` (Unix milliseconds).
#[must_use]
pub fn trading_date(ms: i64) -> Date {
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH).to_zoned(new_york()).date()
}

/// What the market is doing at `ms` (Unix milliseconds).
#[must_use]
pub fn phase_at(ms: i64) -> Phase {
    Session::of(trading_date(ms)).map_or(Phase::Closed, |session| session.phase_at(ms))
}

/// The first moment after `ms` at which the phase changes, and the phase it changes to.
#[must_use]
pub fn next_change(ms: i64) -> (i64, Phase) {
    let mut day = trading_date(ms);
    loop {
        if let Some(session) = Session::of(day) {
            let changes = [
                (session.pre_ms, Phase::Pre),
                (session.open_ms, Phase::Open),
                (session.close_ms, Phase::Post),
                (session.post_end_ms, Phase::Closed),
            ];
            if let Some(change) = changes.into_iter().find(|(at, _)| *at > ms) {
                return change;
            }
        }
        day = day.saturating_add(1.day());
    }
}

/// The last trading day before `date`.
#[must_use]
pub fn previous_trading_day(date: Date) -> Date {
    let mut day = date.saturating_sub(1.day());
    while !is_trading_day(day) {
        day = day.saturating_sub(1.day());
    }
    day
}

/// Whether the market opens on `date`.
#[must_use]
pub fn is_trading_day(date: Date) -> bool {
    let weekend = matches!(date.weekday(), Weekday::Saturday | Weekday::Sunday);
    !weekend && !is_holiday(date) && !UNSCHEDULED_CLOSURES.contains(&date)
}

/// Closures that no rule predicts: attacks, a hurricane, days of mourning.
const UNSCHEDULED_CLOSURES: [Date; 10] = [
    date(2001, 9, 11),
    date(2001, 9, 12),
    date(2001, 9, 13),
    date(2001, 9, 14),
    date(2004, 6, 11),
    date(2007, 1, 2),
    date(2012, 10, 29),
    date(2012, 10, 30),
    date(2018, 12, 5),
    date(2025, 1, 9),
];

fn is_holiday(date: Date) -> bool {
    let year = date.year();
    let observed = |month, day| observed(year, month, day) == Some(date);
    let nth = |month, weekday, nth| {
        jiff::civil::Date::new(year, month, 1)
            .is_ok_and(|first| first.nth_weekday_of_month(nth, weekday).is_ok_and(|day| day == date))
    };
    observed(1, 1)
        || (year >= 1998 && nth(1, Weekday::Monday, 3)) // Martin Luther King Jr. Day
        || nth(2, Weekday::Monday, 3) // Washington's Birthday
        || good_friday(year) == Some(date)
        || nth(5, Weekday::Monday, -1) // Memorial Day
        || (year >= 2022 && observed(6, 19)) // Juneteenth
        || observed(7, 4)
        || nth(9, Weekday::Monday, 1) // Labor Day
        || nth(11, Weekday::Thursday, 4) // Thanksgiving
        || observed(12, 25)
}

/// A holiday on Sunday is kept on Monday, one on Saturday on Friday; but New Year's Day on a Saturday is not kept at all, because
/// that Friday closes the year's books.
fn observed(year: i16, month: i8, day: i8) -> Option<Date> {
    let date = Date::new(year, month, day).ok()?;
    match date.weekday() {
        Weekday::Sunday => Some(date.saturating_add(1.day())),
        Weekday::Saturday if (month, day) == (1, 1) => None,
        Weekday::Saturday => Some(date.saturating_sub(1.day())),
        _ => Some(date),
    }
}

/// Two days before Easter Sunday, which is computed by the anonymous Gregorian algorithm.
fn good_friday(year: i16) -> Option<Date> {
    let year = i32::from(year);
    let golden = year % 19;
    let (century, of_century) = (year / 100, year % 100);
    let skipped = century / 4;
    let correction = (century + 8) / 25;
    let moon = (19 * golden + century - skipped - (century - correction + 1) / 3 + 15) % 30;
    let weekday = (32 + 2 * (century % 4) + 2 * (of_century / 4) - moon - of_century % 4) % 7;
    let late = (golden + 11 * moon + 22 * weekday) / 451;
    let days = moon + weekday - 7 * late + 114;
    let easter =
        Date::new(i16::try_from(year).ok()?, i8::try_from(days / 31).ok()?, i8::try_from(days % 31 + 1).ok()?).ok()?;
    Some(easter.saturating_sub(2.days()))
}

/// The day before Independence Day, the day after Thanksgiving and Christmas Eve, where they are trading days.
fn is_early_close(date: Date) -> bool {
    let thanksgiving_friday = || {
        let thursday = date.saturating_sub(1.day());
        thursday.month() == 11 && date.weekday() == Weekday::Friday && is_holiday(thursday)
    };
    matches!((date.month(), date.day()), (7, 3) | (12, 24)) || thanksgiving_friday()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holidays_of_published_calendars() {
        let closed = [
            (2022, 6, 20),
            (2022, 12, 26),
            (2023, 1, 2),
            (2023, 4, 7),
            (2024, 1, 1),
            (2024, 1, 15),
            (2024, 2, 19),
            (2024, 3, 29),
            (2024, 5, 27),
            (2024, 6, 19),
            (2024, 7, 4),
            (2024, 9, 2),
            (2024, 11, 28),
            (2024, 12, 25),
            (2025, 1, 9),
            (2025, 4, 18),
            (2026, 4, 3),
            (2026, 6, 19),
            (2026, 7, 3),
            (2026, 11, 26),
            (2027, 3, 26),
            (2027, 6, 18),
            (2027, 7, 5),
            (2027, 12, 24),
        ];
        for (year, month, day) in closed {
            let day = date(year, month, day);
            assert!(!is_trading_day(day), "{day} is a holiday");
        }
        for day in [
            date(2021, 6, 18),
            date(2021, 12, 31),
            date(2022, 1, 3),
            date(2024, 10, 14),
            date(2024, 11, 11),
            date(2013, 10, 7),
        ] {
            assert!(is_trading_day(day), "{day} is a trading day");
        }
    }

    #[test]
    fn early_closes_end_at_thirteen_hours() {
        for day in [date(2024, 7, 3), date(2024, 11, 29), date(2024, 12, 24), date(2025, 7, 3), date(2026, 11, 27)] {
            let session = Session::of(day).unwrap();
            assert!(session.early_close, "{day}");
            assert_eq!(session.close_ms - session.open_ms, 210 * crate::MS_PER_MINUTE);
            assert_eq!(session.phase_at(session.close_ms), Phase::Post);
        }
        assert!(!Session::of(date(2024, 7, 5)).unwrap().early_close);
        assert!(!Session::of(date(2024, 11, 22)).unwrap().early_close);
    }

    #[test]
    fn the_phase_follows_new_york_through_the_day() {
        let at = |text: &str| phase_at(text.parse::<Timestamp>().unwrap().as_millisecond());
        assert_eq!(at("2024-06-03T07:59:59Z"), Phase::Closed);
        assert_eq!(at("2024-06-03T08:00:00Z"), Phase::Pre);
        assert_eq!(at("2024-06-03T13:30:00Z"), Phase::Open);
        assert_eq!(at("2024-06-03T19:59:59.999Z"), Phase::Open);
        assert_eq!(at("2024-06-03T20:00:00Z"), Phase::Post);
        assert_eq!(at("2024-06-04T00:00:00Z"), Phase::Closed);
        assert_eq!(at("2024-06-01T15:00:00Z"), Phase::Closed);
    }

    #[test]
    fn the_next_change_skips_weekends_and_holidays() {
        let friday_night = "2024-08-30T23:59:00Z".parse::<Timestamp>().unwrap().as_millisecond();
        let (at, phase) = next_change(friday_night);
        assert_eq!(phase, Phase::Closed);
        let (at, phase) = next_change(at);
        assert_eq!(phase, Phase::Pre);
        assert_eq!(trading_date(at), date(2024, 9, 3)); // Monday is Labor Day
        assert_eq!(previous_trading_day(date(2024, 9, 3)), date(2024, 8, 30));
    }
}
