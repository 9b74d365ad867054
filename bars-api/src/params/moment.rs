//! Moments as people write them, to Unix nanoseconds.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use market::NS_PER_MS;
use market::calendar::new_york;

/// Below this a number of milliseconds lies before March 1973 and is far more likely to be seconds.
const MS_MIN: u64 = 100_000_000_000;

const EXPECTED: &str =
    "expected RFC 3339 (2024-06-03T13:30:00Z), YYYY-MM-DD (midnight in New York) or Unix milliseconds";

/// Reads RFC 3339 with an offset, a date (midnight in New York, where a trading day begins), or Unix milliseconds. What lies outside
/// the years 1678 to 2262, where nanoseconds end, is taken for their very end: no record is beyond it.
///
/// # Errors
/// A sentence that says what was expected.
pub fn parse(text: &str) -> Result<i64, String> {
    let malformed = || format!("`{}` is not a moment; {EXPECTED}", text.chars().take(64).collect::<String>());
    if is_integer(text) {
        return milliseconds(text).ok_or_else(malformed)?;
    }
    let moment = if is_date(text) { midnight(text) } else { rfc3339(text) };
    Ok(nanoseconds(moment.ok_or_else(malformed)?))
}

/// Like [`parse`], and a date and time without an offset is UTC.
///
/// # Errors
/// As in [`parse`].
pub fn parse_lenient(text: &str) -> Result<i64, String> {
    let local = || text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok();
    parse(text).or_else(|why| {
        let zoned = if is_integer(text) { None } else { local() };
        zoned.map(|zoned| nanoseconds(zoned.timestamp())).ok_or(why)
    })
}

fn nanoseconds(moment: Timestamp) -> i64 {
    i64::try_from(moment.as_nanosecond()).unwrap_or(if moment < Timestamp::UNIX_EPOCH { i64::MIN } else { i64::MAX })
}

fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// `None` where it is no 64-bit number.
fn milliseconds(text: &str) -> Option<Result<i64, String>> {
    let ms: i64 = text.parse().ok()?;
    if ms != 0 && ms.unsigned_abs() < MS_MIN {
        return Some(Err(format!("`{text}` looks like seconds; Unix milliseconds are expected")));
    }
    Some(Ok(ms.saturating_mul(NS_PER_MS)))
}

fn is_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() == 10
        && bytes
            .iter()
            .enumerate()
            .all(|(at, byte)| if at == 4 || at == 7 { *byte == b'-' } else { byte.is_ascii_digit() })
}

fn midnight(text: &str) -> Option<Timestamp> {
    let date: Date = text.parse().ok()?;
    Some(date.to_datetime(Time::midnight()).to_zoned(new_york()).ok()?.timestamp())
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
            "1717387200000",
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
        assert_eq!(parse("2024-06-03T04:00:00.000000001Z"), Ok(expected + 1));
        assert_eq!(parse_lenient("2024-06-03T04:00:00"), Ok(expected));
        for (text, end) in
            [("0001-01-01T00:00:00Z", i64::MIN), ("2300-01-01", i64::MAX), ("9999999999999999", i64::MAX)]
        {
            assert_eq!(parse(text), Ok(end), "{text}");
        }
    }

    #[test]
    fn what_is_no_moment_is_refused_with_a_sentence() {
        for (text, part) in [
            ("", "RFC 3339"),
            ("2024-02-30", "YYYY-MM-DD"),
            ("2024-06-03T04:00:00", "RFC 3339"),
            ("tomorrow", "RFC 3339"),
            ("1717387200", "looks like seconds"),
            ("99999999999999999999", "Unix milliseconds"),
        ] {
            let why = parse(text).unwrap_err();
            assert!(why.contains(part), "{text}: {why}");
        }
    }

    proptest! {
        #[test]
        fn every_millisecond_reads_back(ms in 100_000_000_000_i64..9_000_000_000_000) {
            prop_assert_eq!(parse(&ms.to_string()), Ok(ms * NS_PER_MS));
            let text = Timestamp::from_millisecond(ms).unwrap().to_string();
            prop_assert_eq!(parse(&text), Ok(ms * NS_PER_MS));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,40}") {
            prop_assert!(parse(&text).is_err() || !text.is_empty());
            prop_assert!(parse_lenient(&text).is_err() || !text.is_empty());
        }
    }
}
