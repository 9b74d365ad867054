//! Numbers and flags as spreadsheets, data frames and feeds write them.

use anyhow::{Context as _, bail};

/// A number, and what its spelling says about the file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Number {
    pub(super) value: f64,
    pub(super) spelling: Spelling,
}

/// What a number's commas and points say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spelling {
    /// No comma and no point.
    Whole,
    /// Its point can only be a decimal point.
    Point,
    /// `1,234`: a thousand or a decimal comma, and nothing in the number tells which.
    OneComma,
    /// `1,234,567` or `1,234.5`: its commas can only separate thousands.
    Grouped,
}

/// Reads a number. Commas are believed only where they group digits in threes.
///
/// # Errors
/// If it is anything else.
pub(super) fn number(text: &str) -> anyhow::Result<Number> {
    if text.is_empty() {
        bail!("the value is missing");
    }
    let (plain, spelling) = if text.contains(',') { ungrouped(text)? } else { (text.to_owned(), Spelling::Whole) };
    let (mantissa, exponent) = match plain.split_once(['e', 'E']) {
        None => (plain.as_str(), None),
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
    };
    let unsigned = mantissa.strip_prefix('-').unwrap_or(mantissa);
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let pointed = unsigned.split_once('.');
    let well_formed = match pointed {
        None => digits(unsigned),
        Some((whole, fraction)) => digits(whole) && (fraction.is_empty() || digits(fraction)),
    };
    let exponent: Option<i32> = exponent
        .map(|text| text.strip_prefix('+').unwrap_or(text).parse())
        .transpose()
        .ok()
        .with_context(|| not_a_number(text))?;
    if !well_formed {
        bail!(not_a_number(text));
    }
    if exponent.is_some_and(|exponent| (1..15).contains(&exponent)) {
        bail!("`{text}` looks like a number that a spreadsheet has rounded; export the column as a plain number");
    }
    let value: f64 = plain.parse().with_context(|| not_a_number(text))?;
    let spelling = if spelling == Spelling::Whole && pointed.is_some() { Spelling::Point } else { spelling };
    Ok(Number { value, spelling })
}

fn not_a_number(text: &str) -> String {
    let text: String = text.chars().take(40).collect();
    format!("`{text}` is not a number; expected digits with a decimal point, such as 1234.5 or 1,234.5")
}

/// Takes the commas away that separate thousands.
fn ungrouped(text: &str) -> anyhow::Result<(String, Spelling)> {
    let (whole, fraction) = match text.split_once('.') {
        None => (text, None),
        Some((whole, fraction)) => (whole, Some(fraction)),
    };
    let mut groups = whole.split(',');
    let first = groups.next().unwrap_or_default();
    let first = first.strip_prefix('-').unwrap_or(first);
    let groups: Vec<&str> = groups.collect();
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let grouped = (1..=3).contains(&first.len())
        && digits(first)
        && first != "0"
        && groups.iter().all(|group| group.len() == 3 && digits(group))
        && fraction.is_none_or(digits);
    if !grouped {
        bail!(not_a_number(text));
    }
    let spelling = if groups.len() == 1 && fraction.is_none() { Spelling::OneComma } else { Spelling::Grouped };
    Ok((text.replace(',', ""), spelling))
}

/// Whether a field that may be empty is.
pub(super) fn is_absent(text: &str) -> bool {
    matches!(text, "" | "NaN" | "nan" | "null" | "None" | "<NA>" | "NULL")
}

/// A whole number of things, also as data frames write it beside empty fields: `12.0`.
///
/// # Errors
/// If it is not whole, or negative.
pub(super) fn count(text: &str) -> anyhow::Result<u64> {
    let expected = || format!("`{text}` is not a whole number");
    let whole = match text.split_once('.') {
        Some((whole, zeros)) if zeros.bytes().all(|byte| byte == b'0') => whole,
        Some(_) => bail!(expected()),
        None => text,
    };
    let plain = if whole.contains(',') { ungrouped(whole)?.0 } else { whole.to_owned() };
    if !plain.bytes().all(|byte| byte.is_ascii_digit()) {
        bail!(expected());
    }
    plain.parse().with_context(expected)
}

/// `true`, `True`, `1` and their opposites.
///
/// # Errors
/// If it is anything else.
pub(super) fn flag(text: &str) -> anyhow::Result<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "1.0" => Ok(true),
        "false" | "0" | "0.0" => Ok(false),
        _ => bail!("`{text}` is neither true nor false"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_understood_or_rejected() {
        for (text, value, spelling) in [
            ("1", 1.0, Spelling::Whole),
            ("1.5", 1.5, Spelling::Point),
            ("12.0", 12.0, Spelling::Point),
            ("1,234,567", 1_234_567.0, Spelling::Grouped),
            ("612,000.5", 612_000.5, Spelling::Grouped),
            ("612,900", 612_900.0, Spelling::OneComma),
            ("1e-05", 1e-5, Spelling::Whole),
            ("1e16", 1e16, Spelling::Whole),
            ("-1", -1.0, Spelling::Whole),
        ] {
            assert_eq!(number(text).unwrap(), Number { value, spelling }, "{text}");
        }
        for text in [
            "",
            "x",
            "1,23",
            "1,2345",
            "1234,567",
            "0,123",
            "1.234,5",
            "1.234.567",
            "1'234",
            "1 234",
            "$1",
            "1.2M",
            "NaN",
            "inf",
            "1.23E+08",
            "1e",
            "0x10",
            "1_000",
            "١",
            ",123",
            "1,,234",
            ".",
            "--1",
            "+1",
            ".5",
        ] {
            assert!(number(text).is_err(), "{text}");
        }
    }

    #[test]
    fn counts_and_flags_come_as_data_frames_write_them() {
        assert_eq!((count("12").unwrap(), count("12.0").unwrap(), count("1,234").unwrap()), (12, 12, 1234));
        for text in ["12.5", "-1", "x", "1e3", "18446744073709551616"] {
            assert!(count(text).is_err(), "{text}");
        }
        assert!(flag("True").unwrap() && flag("1").unwrap() && !flag("False").unwrap() && !flag("FALSE").unwrap());
        assert!(flag("no").is_err());
    }
}
