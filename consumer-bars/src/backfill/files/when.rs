//! Times as files write them, and what is needed to know which moment is meant.

use anyhow::{Context as _, bail, ensure};
use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use market::calendar::new_york;
use market::timeframe::Unit as Length;
use market::{NS_PER_MS, Timeframe};

/// A time of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// Unix time, and what it is counted in.
    Epoch(i128, EpochUnit),
    /// A moment, in Unix nanoseconds.
    Moment(i128),
    /// A clock's time without a zone.
    Local(DateTime),
    /// A day.
    Day(Date),
}

/// What Unix times are counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EpochUnit {
    Seconds,
    Milliseconds,
    Microseconds,
    Nanoseconds,
}

impl EpochUnit {
    /// A number of 1973 to 5138 in one unit is none of those years in another.
    fn of(number: i128) -> Option<Self> {
        Some(match number {
            100_000_000..100_000_000_000 => Self::Seconds,
            100_000_000_000..100_000_000_000_000 => Self::Milliseconds,
            100_000_000_000_000..100_000_000_000_000_000 => Self::Microseconds,
            100_000_000_000_000_000..10_000_000_000_000_000_000 => Self::Nanoseconds,
            _ => return None,
        })
    }

    fn nanoseconds(self) -> i128 {
        match self {
            Self::Seconds => 1_000_000_000,
            Self::Milliseconds => 1_000_000,
            Self::Microseconds => 1_000,
            Self::Nanoseconds => 1,
        }
    }
}

/// Reads a time. `unit` is what whole numbers are counted in where the file's form says it.
///
/// # Errors
/// If it is no time of a form that has one meaning.
pub(super) fn parse(text: &str, unit: Option<EpochUnit>) -> anyhow::Result<When> {
    let whole = text.strip_suffix(".0").unwrap_or(text);
    let digits = whole.strip_prefix('-').unwrap_or(whole);
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let number: i128 = whole.parse().with_context(|| malformed(text))?;
        if let Some(unit) = unit {
            return Ok(When::Epoch(number, unit));
        }
        if text.len() == 8 {
            return compact_date(text).map(When::Day).with_context(|| malformed(text));
        }
        let unit = EpochUnit::of(number);
        return unit.map(|unit| When::Epoch(number, unit)).with_context(|| malformed(text));
    }
    if text.len() == 10 && has_shape(text, "dddd-dd-dd") {
        return text.parse().map(When::Day).with_context(|| malformed(text));
    }
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Ok(When::Moment(moment.as_nanosecond()));
    }
    // Without this the civil parser would pass over an offset that it does not know.
    let shapes = ["dddd-dd-dd dd:dd", "dddd-dd-dd dd:dd:dd", "dddd-dd-ddTdd:dd", "dddd-dd-ddTdd:dd:dd"];
    let clock = text.split_once('.').filter(|(_, fraction)| has_shape(fraction, &"d".repeat(fraction.len())));
    let clock = clock.map_or(text, |(clock, _)| clock);
    ensure!(shapes.iter().any(|shape| has_shape(clock, shape)), malformed(text));
    text.parse().map(When::Local).with_context(|| malformed(text))
}

/// Reads a day and a time of day that stand in two fields.
///
/// # Errors
/// As in [`parse`].
pub(super) fn parse_two(date: &str, time: &str) -> anyhow::Result<When> {
    let When::Day(day) = parse(date, None)? else { bail!("`{date}` is not a day; expected 2024-06-03 or 20240603") };
    let expected = || format!("`{time}` is not a time of day; expected 15:30, 15:30:00 or 153000");
    let digits: String = time.chars().filter(|one| *one != ':').collect();
    let shapes = ["dd:dd", "dd:dd:dd", "dddd", "dddddd"];
    ensure!(shapes.iter().any(|shape| has_shape(time, shape)), expected());
    let part = |at: usize| digits.get(at..at + 2).map_or(Ok(0), str::parse::<i8>);
    let time = Time::new(part(0)?, part(2)?, part(4)?, 0).with_context(expected)?;
    Ok(When::Local(day.to_datetime(time)))
}

fn compact_date(text: &str) -> Option<Date> {
    let date = format!("{}-{}-{}", text.get(..4)?, text.get(4..6)?, text.get(6..)?);
    date.parse().ok().filter(|date: &Date| (1900..2100).contains(&date.year()))
}

/// `d` stands for a digit.
fn has_shape(text: &str, shape: &str) -> bool {
    text.len() == shape.len()
        && text
            .bytes()
            .zip(shape.bytes())
            .all(|(byte, shape)| if shape == b'd' { byte.is_ascii_digit() } else { byte == shape })
}

fn malformed(text: &str) -> String {
    let text: String = text.chars().take(40).collect();
    format!(
        "`{text}` is not a time that has one meaning; expected 2024-06-03T13:30:00Z, 2024-06-03 09:30:00, 2024-06-03, 20240603 or Unix time"
    )
}

impl When {
    /// The start of a bar of `timeframe` in Unix milliseconds. `zone` is that of times without one.
    ///
    /// # Errors
    /// If the moment is not known, or no bar of this length starts there.
    pub(super) fn start_ms(self, timeframe: Timeframe, zone: Option<&TimeZone>) -> anyhow::Result<i64> {
        let days = !matches!(timeframe.unit(), Length::Second | Length::Minute | Length::Hour);
        let nanoseconds = match self {
            Self::Epoch(number, unit) => number.saturating_mul(unit.nanoseconds()),
            Self::Moment(nanoseconds) => nanoseconds,
            Self::Day(day) if days => midnight(day)?,
            Self::Day(day) => {
                bail!("`{day}` is a day, but a bar of {timeframe} needs a time of day; is --timeframe right?")
            }
            Self::Local(local) if days && local.time() == Time::midnight() => midnight(local.date())?,
            Self::Local(local) => {
                let zone = zone.with_context(|| {
                    format!("`{local}` has no time zone; name it with --tz, such as --tz America/New_York or --tz UTC")
                })?;
                let zoned = zone.to_ambiguous_zoned(local).unambiguous();
                zoned
                    .with_context(|| {
                        format!("`{local}` is skipped or repeated where clocks change; write times with an offset")
                    })?
                    .timestamp()
                    .as_nanosecond()
            }
        };
        let ms = i64::try_from(nanoseconds.div_euclid(i128::from(NS_PER_MS))).ok();
        let ms = ms
            .filter(|ms| ms.checked_mul(NS_PER_MS).is_some())
            .context("the time lies outside of the years 1678 to 2262")?;
        if nanoseconds.rem_euclid(i128::from(NS_PER_MS)) != 0 || timeframe.start_of(ms) != ms {
            let moment =
                Timestamp::from_nanosecond(nanoseconds).map_or_else(|_| ms.to_string(), |moment| moment.to_string());
            let hint = if days {
                "bars of a day and longer start at midnight in New York; write them as days (2024-06-03)"
            } else {
                "a bar's time is the start of its interval; is --timeframe right?"
            };
            bail!("no bar of {timeframe} starts at {moment}: {hint}");
        }
        Ok(ms)
    }

    /// Where the row lies, good enough to measure distances within one file, in Unix milliseconds; and whether it may be a day.
    pub(super) fn roughly_ms(self) -> (i64, bool) {
        let rough = |nanoseconds: i128| i64::try_from(nanoseconds / i128::from(NS_PER_MS)).unwrap_or(i64::MAX);
        let moment = |nanoseconds| {
            let ms = rough(nanoseconds);
            (ms, Timeframe::DAY.start_of(ms) == ms)
        };
        let utc = |local: DateTime| {
            local.to_zoned(TimeZone::UTC).map_or(i64::MAX, |zoned| zoned.timestamp().as_millisecond())
        };
        match self {
            Self::Epoch(number, unit) => moment(number.saturating_mul(unit.nanoseconds())),
            Self::Moment(nanoseconds) => moment(nanoseconds),
            Self::Day(day) => (utc(day.to_datetime(Time::midnight())), true),
            Self::Local(local) => (utc(local), local.time() == Time::midnight()),
        }
    }
}

fn midnight(day: Date) -> anyhow::Result<i128> {
    Ok(day.to_zoned(new_york())?.timestamp().as_nanosecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(text: &str, timeframe: &str, zone: Option<&str>) -> anyhow::Result<i64> {
        let zone = zone.map(|name| TimeZone::get(name).unwrap());
        parse(text, None)?.start_ms(timeframe.parse().unwrap(), zone.as_ref())
    }

    #[test]
    fn spellings_of_one_moment_agree() {
        let minute = 1_717_421_400_000;
        for text in [
            "2024-06-03T13:30:00Z",
            "2024-06-03 13:30:00+00:00",
            "2024-06-03 09:30:00-04:00",
            "1717421400",
            "1717421400.0",
            "1717421400000",
            "1717421400000000",
            "1717421400000000000",
        ] {
            assert_eq!(start(text, "1Min", None).unwrap(), minute, "{text}");
        }
        assert_eq!(start("2024-06-03 09:30:00", "1Min", Some("America/New_York")).unwrap(), minute);
        assert_eq!(start("2024-06-03T13:30", "1Min", Some("UTC")).unwrap(), minute);
        for text in
            ["2024-06-03", "20240603", "2024-06-03 00:00:00", "2024-06-03 00:00:00-04:00", "2024-06-03T04:00:00Z"]
        {
            assert_eq!(start(text, "1Day", None).unwrap(), 1_717_387_200_000, "{text}");
        }
        assert_eq!(parse_two("20240603", "093000").unwrap(), parse_two("2024-06-03", "09:30").unwrap());
    }

    #[test]
    fn a_time_with_two_meanings_is_rejected_with_what_would_help() {
        for (text, timeframe, help) in [
            ("2024-06-03 09:30:00", "1Min", "--tz"),
            ("2024-06-03", "1Min", "--timeframe"),
            ("2024-06-03T00:00:00Z", "1Day", "midnight in New York"),
            ("2024-06-04", "1Week", "midnight in New York"),
            ("2024-06-03T13:31:00Z", "5Min", "--timeframe"),
            ("2024-06-03T13:30:59Z", "1Min", "start of its interval"),
            ("06/03/2024", "1Day", "one meaning"),
            ("03.06.2024", "1Day", "one meaning"),
            ("2024-06-03 09:30:00-0400x", "1Min", "one meaning"),
            ("2024-06-03 09:30:00 EST", "1Min", "one meaning"),
            ("2024-13-03", "1Day", "one meaning"),
            ("12345", "1Day", "one meaning"),
            ("", "1Day", "one meaning"),
        ] {
            let error = format!("{:#}", start(text, timeframe, None).unwrap_err());
            assert!(error.contains(help), "{text}: {error}");
        }
        let twice = start("2024-11-03 01:30:00", "1Min", Some("America/New_York")).unwrap_err();
        assert!(format!("{twice:#}").contains("clocks change"));
    }
}
