//! Exact amounts of two decimals.

use std::fmt;

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::invalid::Invalid;
use crate::wire;

/// Largest amount in either direction, in cents: what `numeric(18,2)` holds.
const CENTS_MAX: i64 = 999_999_999_999_999_999;
/// Largest amount that a JavaScript number holds to the cent: 15 significant digits survive the way there and back.
const NUMBER_CENTS_MAX: i64 = 999_999_999_999_999;

/// An amount of money with two decimals, below ten quadrillions in either direction.
///
/// In JSON it is a number or a decimal text. It is read from the digits as they stand, never through a float. It is written as a number, or
/// as a text where JavaScript would round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Money(i64);

impl Money {
    /// This many cents; `None` beyond the bound.
    #[must_use]
    pub fn from_cents(cents: i64) -> Option<Self> {
        (-CENTS_MAX..=CENTS_MAX).contains(&cents).then_some(Self(cents))
    }

    /// In cents.
    #[must_use]
    pub const fn cents(self) -> i64 {
        self.0
    }

    /// `quantity` times this; `None` beyond the bound.
    #[must_use]
    pub fn times(self, quantity: i64) -> Option<Self> {
        self.0.checked_mul(quantity).and_then(Self::from_cents)
    }

    /// Reads `12`, `-12.5`, `12.50`, `12.500`; the error continues the sentence "`value` …".
    ///
    /// # Errors
    /// For anything else: exponents, more than two decimals that are not 0, blanks, signs in front of positive amounts, too many digits.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const SHAPE: &str = "is not an amount (expected digits with at most two decimals, such as 1234.50)";
        let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
        let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !is_digits(whole) || !is_digits(fraction) {
            return Err(SHAPE);
        }
        let fraction = fraction.trim_end_matches('0');
        if fraction.len() > 2 {
            return Err("has more than two decimals");
        }
        const TOO_LARGE: &str = "is too large (at most 16 digits before the decimal point)";
        let whole: i64 = whole.parse().map_err(|_| TOO_LARGE)?;
        let cents = format!("{fraction:0<2}").parse::<i64>().map_err(|_| SHAPE)?;
        let total = whole.checked_mul(100).and_then(|total| total.checked_add(cents)).ok_or(TOO_LARGE)?;
        Self::from_cents(if negative { -total } else { total }).ok_or(TOO_LARGE)
    }

    /// Reads a field's JSON: a number, or a text of digits.
    ///
    /// # Errors
    /// Names `field`, quotes the value and says what is allowed.
    pub(crate) fn read(field: &'static str, json: &RawValue) -> Result<Self, Invalid> {
        let raw = json.get();
        let text = if raw.starts_with('"') { wire::text(field, json)? } else { raw.to_owned() };
        Self::parse(&text).map_err(|rule| Invalid::value(field, &text, rule))
    }

    /// As [`Money::read`], for an amount that must not be negative.
    pub(crate) fn read_not_negative(field: &'static str, json: &RawValue) -> Result<Self, Invalid> {
        let money = Self::read(field, json)?;
        if money.0 < 0 {
            return Err(Invalid::value(field, &money.to_string(), "is negative"));
        }
        Ok(money)
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cents = self.0.unsigned_abs();
        let sign = if self.0 < 0 { "-" } else { "" };
        write!(f, "{sign}{}.{:02}", cents / 100, cents % 100)
    }
}

impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.abs() > NUMBER_CENTS_MAX {
            return serializer.collect_str(self);
        }
        // The digits themselves: a float's shortest form would write 1234.5 for 1234.50, which is equal and looks careless.
        RawValue::from_string(self.to_string()).map_err(serde::ser::Error::custom)?.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn amounts_are_read_as_they_are_written() {
        for (text, cents) in [
            ("12", 1200),
            ("-12.5", -1250),
            ("12.50", 1250),
            ("0.10", 10),
            ("12.500", 1250),
            ("007.00", 700),
            ("-0", 0),
        ] {
            assert_eq!(Money::parse(text).map(Money::cents), Ok(cents), "{text}");
        }
        for text in
            ["", "-", ".5", "5.", "1e3", "1,5", " 1", "+1", "1.005", "0x10", "NaN", "1.2.3", "99999999999999999"]
        {
            assert!(Money::parse(text).is_err(), "{text}");
        }
        assert_eq!(Money::parse("9999999999999999.99").unwrap().cents(), CENTS_MAX);
        assert!(Money::parse("10000000000000000.00").is_err());
    }

    proptest! {
        #[test]
        fn every_amount_reads_back_equal_from_text_and_json(cents in -CENTS_MAX..=CENTS_MAX) {
            let money = Money::from_cents(cents).unwrap();
            prop_assert_eq!(Money::parse(&money.to_string()), Ok(money));
            let json = serde_json::to_string(&money).unwrap();
            let raw: Box<RawValue> = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(Money::read("amount", &raw), Ok(money));
        }

        #[test]
        fn what_is_written_as_a_number_survives_a_float(cents in -NUMBER_CENTS_MAX..=NUMBER_CENTS_MAX) {
            let json = serde_json::to_string(&Money(cents)).unwrap();
            let float: f64 = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(format!("{float:.2}"), Money(cents).to_string().replace("-0.00", "0.00"));
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = Money::parse(&text);
        }
    }
}
