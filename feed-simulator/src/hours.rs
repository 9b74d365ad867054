//! The day around a moment: New York's midnights and, on trading days, the session between them.

use jiff::civil::{Date, Time};
use jiff::{Timestamp, ToSpan as _};
use market::calendar::{Session, new_york};

use crate::units::{NS_PER_MS, NS_PER_SECOND};

/// One New York day in Unix nanoseconds, looked up once and asked often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Day {
    /// The date.
    pub date: Date,
    /// Midnight at its start.
    pub start_ns: i64,
    /// Midnight at its end.
    pub end_ns: i64,
    /// 04:00, regular open, regular close and end of trading; `None` on weekends and holidays.
    pub session: Option<SessionNs>,
}

/// A session's boundaries in Unix nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionNs {
    /// First moment of pre-market trading.
    pub pre: i64,
    /// Regular open.
    pub open: i64,
    /// Regular close.
    pub close: i64,
    /// Last moment of after-hours trading, exclusive.
    pub end: i64,
}

impl Day {
    /// The day that holds `ts_ns`.
    #[must_use]
    pub fn of(ts_ns: i64) -> Self {
        let moment = Timestamp::from_second(ts_ns.div_euclid(NS_PER_SECOND)).unwrap_or(Timestamp::UNIX_EPOCH);
        Self::on(moment.to_zoned(new_york()).date())
    }

    /// The day of a date.
    #[must_use]
    pub fn on(date: Date) -> Self {
        let session = Session::of(date).map(|session| SessionNs {
            pre: session.pre_ms * NS_PER_MS,
            open: session.open_ms * NS_PER_MS,
            close: session.close_ms * NS_PER_MS,
            end: session.post_end_ms * NS_PER_MS,
        });
        Self { date, start_ns: midnight_ns(date), end_ns: midnight_ns(date.saturating_add(1.day())), session }
    }

    /// Whether `ts_ns` lies in this day.
    #[must_use]
    pub fn holds(&self, ts_ns: i64) -> bool {
        (self.start_ns..self.end_ns).contains(&ts_ns)
    }

    /// Whether `ts_ns` lies in regular hours.
    #[must_use]
    pub fn is_regular(&self, ts_ns: i64) -> bool {
        self.session.is_some_and(|session| (session.open..session.close).contains(&ts_ns))
    }

    /// The day before.
    #[must_use]
    pub fn before(&self) -> Self {
        Self::on(self.date.saturating_sub(1.day()))
    }

    /// The day after.
    #[must_use]
    pub fn after(&self) -> Self {
        Self::on(self.date.saturating_add(1.day()))
    }
}

/// The first moment of a New York date in Unix nanoseconds.
#[must_use]
pub fn midnight_ns(date: Date) -> i64 {
    let zoned = date.to_datetime(Time::midnight()).to_zoned(new_york());
    zoned.map_or(0, |zoned| zoned.timestamp().as_millisecond() * NS_PER_MS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::text::parse_time;

    #[test]
    fn a_day_follows_the_clock_changes() {
        let at = |text| parse_time(text).unwrap();
        let day = Day::of(at("2013-10-07T13:30:00Z"));
        assert_eq!(day.start_ns, at("2013-10-07T04:00:00Z"));
        assert!(day.is_regular(at("2013-10-07T13:30:00Z")) && !day.is_regular(at("2013-10-07T20:00:00Z")));
        let winter = Day::of(at("2025-03-09T12:00:00Z"));
        assert_eq!(winter.end_ns - winter.start_ns, 23 * 3600 * NS_PER_SECOND);
        assert_eq!(winter.session, None);
        assert_eq!(winter.after().start_ns, winter.end_ns);
        assert_eq!(winter.before().end_ns, winter.start_ns);
    }
}
