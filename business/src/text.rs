//! Texts with bounds. Control characters are rejected everywhere: PostgreSQL cannot store NUL, and a log line should stay one line.

use std::fmt;

use iso_country::Country as IsoCountry;
use iso_currency::Currency as IsoCurrency;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::invalid::Invalid;
use crate::wire;

/// Longest sender's id, in characters.
pub const ID_CHARS_MAX: usize = 64;
/// Longest name, page or other text, in characters.
pub const NAME_CHARS_MAX: usize = 200;
/// Longest event type, in characters.
pub const EVENT_TYPE_CHARS_MAX: usize = 64;

fn checked(field: &'static str, text: String, chars_max: usize) -> Result<String, Invalid> {
    if text.trim().is_empty() {
        return Err(Invalid::value(field, &text, "is empty"));
    }
    if text.chars().nth(chars_max).is_some() {
        let rule = format!("has {} characters (at most {chars_max} are allowed)", text.chars().count());
        return Err(Invalid::value(field, &text, rule));
    }
    if text.chars().any(char::is_control) {
        return Err(Invalid::value(field, &text, "contains a control character"));
    }
    Ok(text)
}

macro_rules! text {
    ($(#[$meta:meta])* $name:ident, $read:expr) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Checks a text that stands in `field`.
            ///
            /// # Errors
            /// Names the field, quotes the text and says what is allowed.
            pub fn new(field: &'static str, text: impl Into<String>) -> Result<Self, Invalid> {
                let read: fn(&'static str, String) -> Result<String, Invalid> = $read;
                read(field, text.into()).map(Self)
            }

            /// Reads the JSON of `field`.
            pub(crate) fn read(field: &'static str, json: &RawValue) -> Result<Self, Invalid> {
                Self::new(field, wire::text(field, json)?)
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text!(
    /// The sender's id of a record: a UUID or any other text of at most 64 characters. A record that comes twice has the same one.
    Id,
    |field, text| checked(field, text, ID_CHARS_MAX)
);
text!(
    /// The name of a product, customer, region, page, device or department: 1 to 200 characters.
    Name,
    |field, text| checked(field, text, NAME_CHARS_MAX)
);
text!(
    /// What a user did: `page_view`, `login`, `purchase`, or any other name of ASCII letters and `_`.
    EventType,
    |field, text| {
        let text = checked(field, text, EVENT_TYPE_CHARS_MAX)?;
        if !text.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_') {
            return Err(Invalid::value(field, &text, "is not an event type (expected letters and _, such as page_view)"));
        }
        Ok(text)
    }
);
text!(
    /// A currency's code of ISO 4217, such as `USD`.
    Currency,
    |field, text| {
        if IsoCurrency::from_code(&text).is_none() {
            return Err(Invalid::value(field, &text, "is not a currency (expected a code of ISO 4217, such as USD)"));
        }
        Ok(text)
    }
);
text!(
    /// A country's code of ISO 3166 with two letters, such as `US`.
    Country,
    |field, text| {
        // An empty text is that crate's "unspecified".
        if text.is_empty() || text.parse::<IsoCountry>().is_err() {
            return Err(Invalid::value(field, &text, "is not a country (expected two letters of ISO 3166, such as US)"));
        }
        Ok(text)
    }
);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bounds_are_in_characters_and_control_characters_are_rejected() {
        assert!(Id::new("id", "ä".repeat(64)).is_ok());
        for wrong in ["x".repeat(65), String::new(), "  ".to_owned(), "a\0b".to_owned(), "a\nb".to_owned()] {
            assert!(Id::new("id", wrong.clone()).is_err(), "{wrong:?}");
        }
        let error = Id::new("id", "x".repeat(1 << 20)).unwrap_err().to_string();
        assert!(error.len() < 300 && error.contains("1048576 characters (at most 64"), "{error}");
    }

    #[test]
    fn codes_are_those_of_the_standards() {
        for good in ["USD", "EUR", "JPY", "CHF"] {
            assert!(Currency::new("currency", good).is_ok(), "{good}");
        }
        for wrong in ["usd", "XYZ", "", "US", "DOLLAR"] {
            assert!(Currency::new("currency", wrong).is_err(), "{wrong}");
        }
        for good in ["US", "DE"] {
            assert!(Country::new("country", good).is_ok(), "{good}");
        }
        for wrong in ["us", "XX", "USA", "", "U"] {
            assert!(Country::new("country", wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_is_accepted_is_stored_and_sent_unchanged(text in ".{0,80}") {
            if let Ok(id) = Id::new("id", text.clone()) {
                prop_assert_eq!(id.as_str(), &text);
                prop_assert!(!text.contains('\0') && text.chars().count() <= ID_CHARS_MAX);
                let json = serde_json::to_string(&id).unwrap();
                prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
            }
        }
    }
}
