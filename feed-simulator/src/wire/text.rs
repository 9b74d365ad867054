//! Numbers and times as text, without floats and without allocation.

use jiff::Timestamp;

use crate::units::NS_PER_SECOND;

/// Appends `value / 10^places` in its shortest decimal form: `1629200` with four places is `162.92`.
pub fn write_decimal(out: &mut Vec<u8>, value: i64, places: u32) {
    if value < 0 {
        out.push(b'-');
    }
    let scale = 10_u64.pow(places);
    let value = value.unsigned_abs();
    write_integer(out, value / scale);
    let mut fraction = value % scale;
    if fraction == 0 {
        return;
    }
    out.push(b'.');
    let mut place = scale / 10;
    while fraction > 0 {
        out.push(digit(fraction / place));
        fraction %= place;
        place /= 10;
    }
}

/// Appends an integer.
pub fn write_integer(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Appends a time as RFC 3339 in UTC, with trailing zeros of the fraction cut as Alpaca does: `2021-02-22T19:15:00Z`,
/// `2023-04-06T13:15:42.83540958Z`.
pub fn write_time(out: &mut Vec<u8>, ts_ns: i64) {
    let seconds = ts_ns.div_euclid(NS_PER_SECOND);
    let (year, month, day) = civil_of_days(seconds.div_euclid(86_400));
    let of_day = seconds.rem_euclid(86_400).unsigned_abs();
    write_padded(out, year, 4);
    out.push(b'-');
    write_padded(out, month, 2);
    out.push(b'-');
    write_padded(out, day, 2);
    out.push(b'T');
    write_padded(out, of_day / 3600, 2);
    out.push(b':');
    write_padded(out, of_day / 60 % 60, 2);
    out.push(b':');
    write_padded(out, of_day % 60, 2);
    let mut fraction = ts_ns.rem_euclid(NS_PER_SECOND).unsigned_abs();
    if fraction > 0 {
        out.push(b'.');
        let mut place = 100_000_000;
        while fraction > 0 {
            out.push(digit(fraction / place));
            fraction %= place;
            place /= 10;
        }
    }
    out.push(b'Z');
}

/// A time as RFC 3339 text.
#[must_use]
pub fn time_text(ts_ns: i64) -> String {
    let mut out = Vec::with_capacity(30);
    write_time(&mut out, ts_ns);
    String::from_utf8(out).unwrap_or_default()
}

/// A time as RFC 3339 text with all nine digits, as page tokens have it.
#[must_use]
pub fn time_text_nine_digits(ts_ns: i64) -> String {
    let second = time_text(ts_ns.div_euclid(NS_PER_SECOND) * NS_PER_SECOND);
    format!("{}.{:09}Z", second.trim_end_matches('Z'), ts_ns.rem_euclid(NS_PER_SECOND))
}

/// Reads RFC 3339 with any offset and up to nine digits; `None` when it is none or leaves the range of `i64` nanoseconds.
#[must_use]
pub fn parse_time(text: &str) -> Option<i64> {
    i64::try_from(text.parse::<Timestamp>().ok()?.as_nanosecond()).ok()
}

fn digit(value: u64) -> u8 {
    b'0' + u8::try_from(value % 10).unwrap_or(0)
}

fn write_padded(out: &mut Vec<u8>, value: u64, width: u32) {
    for place in (0..width).rev() {
        out.push(digit(value / 10_u64.pow(place)));
    }
}

/// Year, month and day of a number of days since 1970-01-01, by counting eras of 400 years from 0000-03-01.
fn civil_of_days(days: i64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year.unsigned_abs(), month.unsigned_abs(), day.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decimal(value: i64, places: u32) -> String {
        let mut out = Vec::new();
        write_decimal(&mut out, value, places);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn decimals_are_as_short_as_possible() {
        assert_eq!(decimal(1_629_200, 4), "162.92");
        assert_eq!(decimal(1_360_000, 4), "136");
        assert_eq!(decimal(1, 4), "0.0001");
        assert_eq!(decimal(389_062_639, 6), "389.062639");
        assert_eq!(decimal(0, 4), "0");
    }

    #[test]
    fn trailing_zeros_of_a_second_are_cut() {
        for text in [
            "2021-02-22T19:15:00Z",
            "2023-04-06T13:15:42.83540958Z",
            "2022-01-03T09:00:00.208Z",
            "1969-12-31T23:59:59.9Z",
        ] {
            assert_eq!(time_text(parse_time(text).unwrap()), text);
        }
        assert_eq!(time_text_nine_digits(1_500_000_000), "1970-01-01T00:00:01.500000000Z");
        assert_eq!(parse_time("2022-05-16T16:32:24.14373588-04:00"), parse_time("2022-05-16T20:32:24.14373588Z"));
    }

    proptest! {
        #[test]
        fn every_time_reads_back(ts_ns in -2_000_000_000_000_000_000_i64..8_000_000_000_000_000_000) {
            prop_assert_eq!(parse_time(&time_text(ts_ns)), Some(ts_ns));
            prop_assert_eq!(parse_time(&time_text_nine_digits(ts_ns)), Some(ts_ns));
        }

        #[test]
        fn every_price_reads_back(units in 0_i64..10_000_000_000_000) {
            let read: f64 = decimal(units, 4).parse().unwrap();
            prop_assert_eq!(read, units as f64 / 1e4);
        }
    }
}
