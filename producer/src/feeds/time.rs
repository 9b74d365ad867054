//! Times to nanoseconds: RFC 3339, fast, because it is read for every record, and msgpack's timestamps.

/// The type of msgpack's timestamp extension.
pub const MSGPACK_TIMESTAMP: i8 = -1;

/// Reads msgpack's timestamp of 4, 8 or 12 bytes into Unix nanoseconds. `None` for anything else, and for times that do not fit
/// 64 bits of nanoseconds.
#[must_use]
pub fn timestamp_ns(bytes: &[u8]) -> Option<i64> {
    let (seconds, fraction_ns) = match *bytes {
        [a, b, c, d] => (i64::from(u32::from_be_bytes([a, b, c, d])), 0),
        [a, b, c, d, e, f, g, h] => {
            let both = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
            (i64::try_from(both & ((1 << 34) - 1)).ok()?, u32::try_from(both >> 34).ok()?)
        }
        [a, b, c, d, ref seconds @ ..] => {
            (i64::from_be_bytes(seconds.try_into().ok()?), u32::from_be_bytes([a, b, c, d]))
        }
        _ => return None,
    };
    if fraction_ns >= 1_000_000_000 {
        return None;
    }
    i64::try_from(i128::from(seconds) * 1_000_000_000 + i128::from(fraction_ns)).ok()
}

/// Reads `2023-04-06T11:54:26.838232225Z` into Unix nanoseconds.
///
/// Takes `Z`, `z` or `±hh:mm`, and no fraction or one of any length; digits after the ninth are cut. `None` for anything
/// else, and for times that do not fit 64 bits of nanoseconds (1677 to 2262).
#[must_use]
pub fn rfc3339_ns(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let (clock, rest) = bytes.split_at_checked(19)?;
    let punctuated = clock[4] == b'-'
        && clock[7] == b'-'
        && matches!(clock[10], b'T' | b't' | b' ')
        && clock[13] == b':'
        && clock[16] == b':';
    if !punctuated {
        return None;
    }
    let year = number(&clock[0..4])?;
    let (month, day) = (number(&clock[5..7])?, number(&clock[8..10])?);
    let (hour, minute, second) = (number(&clock[11..13])?, number(&clock[14..16])?, number(&clock[17..19])?);
    if !(1..=12).contains(&month) || day < 1 || day > days_in(year, month) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (fraction_ns, zone) = fraction(rest)?;
    let seconds =
        days_from_epoch(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset_seconds(zone)?;
    // The year 1677 fits only with its fraction counted, so the sum is taken wide and narrowed once.
    i64::try_from(i128::from(seconds) * 1_000_000_000 + i128::from(fraction_ns)).ok()
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0')))
}

/// The fraction in nanoseconds, and what follows it.
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let Some(digits) = text.strip_prefix(b".") else {
        return Some((0, text));
    };
    let length = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let kept = length.min(9);
    let value = number(&digits[..kept])?;
    let scale = 10_i64.pow(u32::try_from(9 - kept).ok()?);
    (length > 0).then_some((value * scale, &digits[length..]))
}

fn offset_seconds(zone: &[u8]) -> Option<i64> {
    match zone {
        b"Z" | b"z" => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (number(&[*h1, *h2])?, number(&[*m1, *m2])?);
            let seconds = (hours <= 23 && minutes <= 59).then_some(hours * 3600 + minutes * 60)?;
            Some(if *sign == b'-' { -seconds } else { seconds })
        }
        _ => None,
    }
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days from 1970-01-01 in the Gregorian calendar, counted in 400-year eras that begin in March, so that leap days come last.
fn days_from_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fractions_of_any_length_are_exact_and_cut_after_nine() {
        for (text, ns) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01T00:00:00.5Z", 500_000_000),
            ("2023-04-06T13:15:42.83540958Z", 1_680_786_942_835_409_580),
            ("2023-04-06T11:54:26.838232225Z", 1_680_782_066_838_232_225),
            ("2023-04-06T11:54:26.8382322259999z", 1_680_782_066_838_232_225),
            ("2022-05-16T16:32:24.14373588-04:00", 1_652_733_144_143_735_880),
            ("1969-12-31T23:59:59.999999999Z", -1),
            ("1677-09-21T00:12:43.145224192Z", i64::MIN),
            ("2262-04-11T23:47:16.854775807Z", i64::MAX),
        ] {
            assert_eq!(rfc3339_ns(text), Some(ns), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "2023",
            "2023-04-06",
            "2023-04-06T11:54:26",
            "2023-04-06T11:54:26.Z",
            "2023-02-29T00:00:00Z",
            "2023-13-01T00:00:00Z",
            "2023-00-01T00:00:00Z",
            "2023-01-00T00:00:00Z",
            "2023-01-01T24:00:00Z",
            "2023-01-01T00:60:00Z",
            "2023-01-01T00:00:61Z",
            "0001-01-01T00:00:00Z",
            "2262-04-11T23:47:16.854775808Z",
            "2023-01-01T00:00:00+0400",
            "2023-01-01T00:00:00 Z",
            "+023-01-01T00:00:00Z",
            "2023-01-01T00:00:00+24:00",
            "２０２３-01-01T00:00:00Z",
        ] {
            assert_eq!(rfc3339_ns(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn it_agrees_with_jiff(ns in any::<i64>()) {
            let text = jiff::Timestamp::from_nanosecond(i128::from(ns)).unwrap().to_string();
            prop_assert_eq!(rfc3339_ns(&text), Some(ns), "{}", text);
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,40}") {
            let _ = rfc3339_ns(&text);
        }
    }
}
