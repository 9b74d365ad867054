//! Moments as people write them, to Unix nanoseconds. Every route reads them here.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use market::calendar::new_york;

const NS_PER_S: i64 = 1_000_000_000;

const EXPECTED: &str = "expected RFC 3339 (2024-06-03T13:30:00Z; UTC without an offset), YYYY-MM-DD (midnight in New York), \
    Unix time in seconds, milliseconds, microseconds or nanoseconds, or now, now-15m, now-1h, now-7d";

/// Reads a moment. What lies outside the years 1678 to 2262, where nanoseconds end, is taken for their very end: no record is beyond it.
///
/// # Errors
/// A sentence that says what was expected.
pub fn parse(text: &str) -> Result<i64, String> {
    parse_at(text, Timestamp::now())
}

/// Whether what a text means depends on when it is read.
#[must_use]
pub fn is_relative(text: &str) -> bool {
    text.starts_with("now")
}

/// Whether a text names a whole day.
#[must_use]
pub fn is_day(text: &str) -> bool {
    text.len() == 10 && has_shape(text, "dddd-dd-dd")
}

/// The same with the time that `now` is. It counts in whole seconds, so that questions of one second are one question.
fn parse_at(text: &str, now: Timestamp) -> Result<i64, String> {
    let malformed = || format!("`{}` is not a moment; {EXPECTED}", text.chars().take(64).collect::<String>());
    if is_integer(text) {
        return epoch(text).ok_or_else(malformed);
    }
    if let Some(distance) = text.strip_prefix("now") {
        let back = if distance.is_empty() { Some(0) } else { seconds(distance) };
        return back
            .map(|seconds| now.as_second().saturating_add(seconds).saturating_mul(NS_PER_S))
            .ok_or_else(malformed);
    }
    let moment = if is_day(text) { midnight(text) } else { utc(text).or_else(|| rfc3339(text)) };
    Ok(nanoseconds(moment.ok_or_else(malformed)?))
}

fn nanoseconds(moment: Timestamp) -> i64 {
    i64::try_from(moment.as_nanosecond()).unwrap_or(if moment < Timestamp::UNIX_EPOCH { i64::MIN } else { i64::MAX })
}

fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Unix time. Its size tells the unit: a number of the years 1973 to 5138 in one unit is none of those years in another.
fn epoch(text: &str) -> Option<i64> {
    let number: i64 = text.parse().ok()?;
    let unit = match number.unsigned_abs() {
        0 | 100_000_000..100_000_000_000 => NS_PER_S,
        100_000_000_000..100_000_000_000_000 => 1_000_000,
        100_000_000_000_000..100_000_000_000_000_000 => 1_000,
        100_000_000_000_000_000.. => 1,
        _ => return None,
    };
    Some(number.saturating_mul(unit))
}

/// `-1h`, `+30m`: a sign, a number, and `s`, `m`, `h`, `d` or `w`.
fn seconds(distance: &str) -> Option<i64> {
    // An unescaped `+` in a URL arrives as a blank.
    let (sign, rest) = match distance.split_at_checked(1)? {
        ("-", rest) => (-1, rest),
        ("+" | " ", rest) => (1, rest),
        _ => return None,
    };
    let (count, unit) = rest.split_at_checked(rest.len().checked_sub(1)?)?;
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        _ => return None,
    };
    let count: i64 = count.parse().ok().filter(|_| count.bytes().all(|byte| byte.is_ascii_digit()))?;
    count.checked_mul(unit)?.checked_mul(sign)
}

/// `d` stands for a digit.
fn has_shape(text: &str, shape: &str) -> bool {
    text.len() == shape.len()
        && text
            .bytes()
            .zip(shape.bytes())
            .all(|(byte, shape)| if shape == b'd' { byte.is_ascii_digit() } else { byte == shape })
}

fn midnight(text: &str) -> Option<Timestamp> {
    let date: Date = text.parse().ok()?;
    // The last days of the year 9999 have no UTC any more.
    Some(date.to_datetime(Time::midnight()).to_zoned(new_york()).map_or(Timestamp::MAX, |zoned| zoned.timestamp()))
}

fn rfc3339(text: &str) -> Option<Timestamp> {
    // An unescaped `+` in a URL arrives as a blank.
    text.parse()
        .or_else(|error| match text.rsplit_once(' ') {
            Some((moment, offset)) => format!("{moment}+{offset}").parse(),
            None => Err(error),
        })
        .ok()
}

/// A date and a time without an offset.
fn utc(text: &str) -> Option<Timestamp> {
    // The civil parser passes over an offset that it does not know; nothing but a clock's time may get there.
    let clock = text.split_once('.').filter(|(_, rest)| rest.bytes().all(|byte| byte.is_ascii_digit()));
    let clock = clock.map_or(text, |(clock, _)| clock);
    let shapes = ["dddd-dd-ddTdd:dd", "dddd-dd-ddTdd:dd:dd", "dddd-dd-dd dd:dd", "dddd-dd-dd dd:dd:dd"];
    shapes.iter().any(|shape| has_shape(clock, shape)).then_some(())?;
    Some(text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn all_forms_of_one_moment_agree() {
        let expected = 1_717_387_200_000_000_000;
        for text in [
            "2024-06-03",
            "2024-06-03T04:00:00Z",
            "2024-06-03T00:00:00-04:00",
            "2024-06-03T06:00:00+02:00",
            "2024-06-03T06:00:00 02:00",
            "2024-06-03T04:00:00",
            "2024-06-03 04:00:00",
            "2024-06-03T04:00",
            "2024-06-03 04:00:00+00:00",
            "1717387200",
            "1717387200000",
            "1717387200000000",
            "1717387200000000000",
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
        assert_eq!(parse("2024-06-03T04:00:00.000000001Z"), Ok(expected + 1));
        let now: Timestamp = "2024-06-03T05:00:00.7Z".parse().unwrap();
        for text in ["now-1h", "now-60m", "now-3600s"] {
            assert_eq!(parse_at(text, now), Ok(expected), "{text}");
        }
        assert_eq!(parse_at("now", now), Ok(expected + 3_600 * NS_PER_S));
        assert_eq!(parse_at("now 1d", now), parse_at("now+1d", now));
        for (text, end) in [("0001-01-01T00:00:00Z", i64::MIN), ("2300-01-01", i64::MAX), ("9999-12-31", i64::MAX)] {
            assert_eq!(parse(text), Ok(end), "{text}");
        }
    }

    #[test]
    fn what_is_no_moment_is_refused_with_a_sentence() {
        for (text, part) in [
            ("", "RFC 3339"),
            ("2024-02-30", "YYYY-MM-DD"),
            ("2024-06-03T04:00:00 EST", "RFC 3339"),
            ("tomorrow", "RFC 3339"),
            ("12345", "Unix time"),
            ("now-", "now-1h"),
            ("now-1", "now-1h"),
            ("now-1y", "now-1h"),
            ("now--1h", "now-1h"),
            ("now-99999999999999999999d", "now-1h"),
            ("99999999999999999999", "Unix time"),
        ] {
            let why = parse(text).unwrap_err();
            assert!(why.contains(part), "{text}: {why}");
        }
    }

    proptest! {
        #[test]
        fn every_millisecond_reads_back(ms in 100_000_000_000_i64..9_000_000_000_000) {
            prop_assert_eq!(parse(&ms.to_string()), Ok(ms * market::NS_PER_MS));
            let text = Timestamp::from_millisecond(ms).unwrap().to_string();
            prop_assert_eq!(parse(&text), Ok(ms * market::NS_PER_MS));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,40}") {
            prop_assert!(parse(&text).is_err() || !text.is_empty());
        }
    }
}
