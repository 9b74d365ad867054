//! Lengths of bars, and where each bar starts.

use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

use crate::calendar::new_york;
use crate::reject::Reject;
use crate::{MS_PER_MINUTE, MS_PER_SECOND};

/// Unit of a [`Timeframe`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unit {
    /// Seconds, of which only bars of one are known: some feeds send them.
    Second,
    /// Minutes, aligned to the hour's start in New York.
    Minute,
    /// Hours, aligned to midnight in New York.
    Hour,
    /// New York days.
    Day,
    /// Weeks from Monday, New York time.
    Week,
    /// Calendar months, New York time.
    Month,
}

/// The length of a bar: `1Sec`, `1Min` … `59Min`, `1Hour` … `23Hour`, `1Day`, `1Week`, `1Month`, `2Month`, `3Month`, `4Month`, `6Month`, `12Month`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timeframe {
    unit: Unit,
    count: u8,
}

impl Timeframe {
    /// One second: sent by feeds whose plan has no trades; nothing longer is made of it.
    pub const SECOND: Self = Self { unit: Unit::Second, count: 1 };
    /// One minute: what feeds send and what everything longer is made of.
    pub const MINUTE: Self = Self { unit: Unit::Minute, count: 1 };
    /// One New York day.
    pub const DAY: Self = Self { unit: Unit::Day, count: 1 };

    /// `count` units.
    ///
    /// # Errors
    /// [`Reject::Timeframe`] for a count that the unit does not allow.
    pub fn new(count: u8, unit: Unit) -> Result<Self, Reject> {
        let allowed = match unit {
            Unit::Minute => (1..=59).contains(&count),
            Unit::Hour => (1..=23).contains(&count),
            Unit::Second | Unit::Day | Unit::Week => count == 1,
            Unit::Month => matches!(count, 1 | 2 | 3 | 4 | 6 | 12),
        };
        allowed.then_some(Self { unit, count }).ok_or(Reject::Timeframe)
    }

    /// The unit.
    #[must_use]
    pub fn unit(self) -> Unit {
        self.unit
    }

    /// How many units.
    #[must_use]
    pub fn count(self) -> u8 {
        self.count
    }

    /// Start of the bar that holds the moment `ms`, both in Unix milliseconds.
    ///
    /// Minutes and hours count from midnight in New York by its clocks, days, weeks and months follow New York's calendar. Where clocks
    /// change, the bar that is forming ends and another begins.
    #[must_use]
    pub fn start_of(self, ms: i64) -> i64 {
        if self == Self::MINUTE {
            return ms.div_euclid(MS_PER_MINUTE) * MS_PER_MINUTE; // New York is whole minutes from UTC
        }
        if self == Self::SECOND {
            return ms.div_euclid(MS_PER_SECOND) * MS_PER_SECOND;
        }
        let Ok(moment) = Timestamp::from_millisecond(ms) else {
            return ms;
        };
        let local = moment.to_zoned(new_york()).datetime();
        let start = match self.unit {
            Unit::Second | Unit::Minute | Unit::Hour => return self.intraday_start(ms, local),
            Unit::Day => local.date(),
            Unit::Week => {
                let back = local.date().weekday().to_monday_zero_offset();
                local.date().saturating_sub(i64::from(back).days())
            }
            Unit::Month => {
                let count = i16::from(self.count);
                let index = i16::from(local.month()) - 1;
                let month = i8::try_from(index - index % count + 1).unwrap_or(1);
                Date::new(local.year(), month, 1).unwrap_or(local.date())
            }
        };
        to_ms(start.to_datetime(Time::midnight()), ms)
    }

    /// Start of the bar after the one that starts at `start_ms`.
    #[must_use]
    pub fn next_start(self, start_ms: i64) -> i64 {
        if self == Self::SECOND {
            return start_ms.saturating_add(MS_PER_SECOND);
        }
        let Ok(moment) = Timestamp::from_millisecond(start_ms) else {
            return start_ms;
        };
        let local = moment.to_zoned(new_york());
        let count = i64::from(self.count);
        let next = match self.unit {
            Unit::Second | Unit::Minute | Unit::Hour => {
                let left = self.minutes() - minute_of_day(local.datetime()) % self.minutes();
                let next = start_ms + left * MS_PER_MINUTE;
                // Midnight cuts the day's last bar short (7Min, 5Hour), and a change of clocks the one that it comes upon.
                let next = next.min(Self::DAY.next_start(start_ms));
                return clock_change(start_ms, next).unwrap_or(next);
            }
            Unit::Day => local.date().saturating_add(1.day()),
            Unit::Week => local.date().saturating_add(1.week()),
            Unit::Month => local.date().saturating_add(count.months()),
        };
        to_ms(next.to_datetime(Time::midnight()), start_ms)
    }

    fn intraday_start(self, ms: i64, local: DateTime) -> i64 {
        let minute_start = ms.div_euclid(MS_PER_MINUTE) * MS_PER_MINUTE;
        let start_ms = minute_start - (minute_of_day(local) % self.minutes()) * MS_PER_MINUTE;
        clock_change(start_ms, ms).unwrap_or(start_ms)
    }

    /// Minutes of an intraday bar.
    fn minutes(self) -> i64 {
        let count = i64::from(self.count);
        if self.unit == Unit::Hour { 60 * count } else { count }
    }
}

fn minute_of_day(local: DateTime) -> i64 {
    i64::from(local.hour()) * 60 + i64::from(local.minute())
}

/// When New York's clocks change after `from_ms` and no later than `to_ms`, a few hours on; all in Unix milliseconds.
fn clock_change(from_ms: i64, to_ms: i64) -> Option<i64> {
    let from = Timestamp::from_millisecond(from_ms).ok()?;
    let to = Timestamp::from_millisecond(to_ms).ok()?;
    let zone = zone();
    if zone.to_offset(from) == zone.to_offset(to) {
        return None;
    }
    zone.following(from).next().map(|change| change.timestamp().as_millisecond())
}

fn to_ms(local: DateTime, otherwise: i64) -> i64 {
    local.to_zoned(zone()).map_or(otherwise, |zoned| zoned.timestamp().as_millisecond())
}

fn zone() -> TimeZone {
    new_york()
}

impl fmt::Display for Timeframe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.unit {
            Unit::Second => "Sec",
            Unit::Minute => "Min",
            Unit::Hour => "Hour",
            Unit::Day => "Day",
            Unit::Week => "Week",
            Unit::Month => "Month",
        };
        write!(f, "{}{unit}", self.count)
    }
}

impl FromStr for Timeframe {
    type Err = Reject;

    /// Reads `5Min` and the spellings of other tools: `5m`, `5min`, `5T`, `1h`, `60m`, `1d`, `1wk`, `1mo`, `1 minute`. A missing number
    /// means one. Case only matters where a letter stands alone: `m` is a minute, `M` a month.
    fn from_str(text: &str) -> Result<Self, Reject> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (count, unit) = text.split_at(digits);
        let count: u16 = match count {
            "" => 1,
            digits => digits.parse().map_err(|_| Reject::Timeframe)?,
        };
        let unit =
            unit_named(unit.strip_prefix(' ').filter(|_| digits > 0).unwrap_or(unit)).ok_or(Reject::Timeframe)?;
        let (count, unit) = match (unit, count) {
            (Unit::Minute, count) if count >= 60 && count % 60 == 0 => (count / 60, Unit::Hour),
            as_written => (as_written.1, as_written.0),
        };
        Self::new(u8::try_from(count).map_err(|_| Reject::Timeframe)?, unit)
    }
}

fn unit_named(text: &str) -> Option<Unit> {
    let lower = text.to_ascii_lowercase();
    Some(match (text, lower.as_str()) {
        ("M", _) => Unit::Month,
        ("m", _) => Unit::Minute,
        (_, "s" | "sec" | "second" | "seconds") => Unit::Second,
        (_, "t" | "min" | "minute" | "minutes") => Unit::Minute,
        (_, "h" | "hour" | "hours") => Unit::Hour,
        (_, "d" | "day" | "days") => Unit::Day,
        (_, "w" | "wk" | "week" | "weeks") => Unit::Week,
        (_, "mo" | "month" | "months") => Unit::Month,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ms(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    #[test]
    fn names_read_back() {
        for text in ["1Sec", "1Min", "59Min", "1Hour", "23Hour", "1Day", "1Week", "12Month"] {
            assert_eq!(text.parse::<Timeframe>().unwrap().to_string(), text);
        }
        assert_eq!("5T".parse::<Timeframe>().unwrap().to_string(), "5Min");
        for text in [
            "",
            "0Min",
            "61Min",
            "24Hour",
            "1440Min",
            "2Day",
            "5Month",
            "5Sec",
            "Min1",
            "1.5Min",
            "999999999999Min",
            "-1Min",
            "1  m",
            " m",
        ] {
            assert_eq!(text.parse::<Timeframe>(), Err(Reject::Timeframe), "{text:?}");
        }
    }

    #[test]
    fn spellings_of_other_tools_mean_the_same() {
        for (text, name) in [
            ("1min", "1Min"),
            ("5m", "5Min"),
            ("5 minutes", "5Min"),
            ("60m", "1Hour"),
            ("120Min", "2Hour"),
            ("1h", "1Hour"),
            ("hour", "1Hour"),
            ("1d", "1Day"),
            ("1wk", "1Week"),
            ("1M", "1Month"),
            ("1mo", "1Month"),
            ("1s", "1Sec"),
            ("1SEC", "1Sec"),
        ] {
            assert_eq!(text.parse::<Timeframe>().unwrap().to_string(), name, "{text}");
        }
    }

    #[test]
    fn a_second_starts_with_the_second() {
        assert_eq!(Timeframe::SECOND.start_of(1_717_421_400_999), 1_717_421_400_000);
        assert_eq!(Timeframe::SECOND.next_start(1_717_421_400_000), 1_717_421_401_000);
    }

    #[test]
    fn a_day_starts_at_new_york_midnight_on_either_side_of_the_clock_change() {
        assert_eq!(Timeframe::DAY.start_of(ms("2025-03-07T21:00:00Z")), ms("2025-03-07T05:00:00Z"));
        assert_eq!(Timeframe::DAY.start_of(ms("2025-03-10T21:00:00Z")), ms("2025-03-10T04:00:00Z"));
        assert_eq!(Timeframe::DAY.next_start(ms("2025-03-09T05:00:00Z")), ms("2025-03-10T04:00:00Z"));
    }

    #[test]
    fn weeks_start_on_monday_and_months_on_the_first() {
        let week: Timeframe = "1Week".parse().unwrap();
        assert_eq!(week.start_of(ms("2024-01-07T12:00:00Z")), ms("2024-01-01T05:00:00Z"));
        let quarter: Timeframe = "3Month".parse().unwrap();
        assert_eq!(quarter.start_of(ms("2024-06-30T12:00:00Z")), ms("2024-04-01T04:00:00Z"));
        assert_eq!(quarter.next_start(ms("2024-04-01T04:00:00Z")), ms("2024-07-01T04:00:00Z"));
    }

    #[test]
    fn hours_count_from_new_york_midnight() {
        let four: Timeframe = "4Hour".parse().unwrap();
        assert_eq!(four.start_of(ms("2024-06-03T13:45:10Z")), ms("2024-06-03T12:00:00Z"));
        let five: Timeframe = "5Hour".parse().unwrap();
        // 20:00 to 24:00 is the short last bar of the day
        assert_eq!(five.next_start(ms("2024-06-04T00:00:00Z")), ms("2024-06-04T04:00:00Z"));
    }

    #[test]
    fn no_minute_has_two_bars_where_clocks_change() {
        for evening in ["2024-03-10T00:00:00Z", "2024-11-03T00:00:00Z"].map(ms) {
            for frame in ["2Min", "7Min", "45Min", "59Min", "1Hour", "2Hour", "3Hour", "5Hour", "23Hour", "1Day"] {
                let frame: Timeframe = frame.parse().unwrap();
                let mut start = frame.start_of(evening);
                for at in (0..40 * 60).map(|minute| evening + minute * MS_PER_MINUTE) {
                    if at == frame.next_start(start) {
                        start = at;
                    }
                    assert_eq!(frame.start_of(at), start, "{frame} at {at}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn every_moment_lies_in_the_bar_that_claims_it(
            at in 0_i64..4_000_000_000_000,
            frame in prop::sample::select(vec!["1Sec", "1Min", "5Min", "7Min", "15Min", "1Hour", "4Hour", "5Hour", "1Day", "1Week", "1Month", "6Month"]),
        ) {
            let frame: Timeframe = frame.parse().unwrap();
            let start = frame.start_of(at);
            prop_assert!(start <= at);
            prop_assert!(at < frame.next_start(start), "{at} is past the end of {start}");
            prop_assert_eq!(frame.start_of(start), start);
        }
    }
}
