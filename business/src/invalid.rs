//! Why a payload is not a valid record.

/// Longest part of a rejected value or of a parser's reason that is shown, in characters.
const QUOTED_MAX: usize = 100;

/// Why a payload is not a valid record. The sentence names the field, quotes the value and says what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// More bytes than a record may have.
    #[error("the record has {bytes} bytes (at most {max} are allowed)")]
    TooLong {
        /// Its bytes.
        bytes: usize,
        /// The bound.
        max: usize,
    },
    /// Not JSON, or JSON of another shape: a field is missing, occurs twice or has another type.
    #[error("not a record of this stream: {0}")]
    Shape(String),
    /// A value that its field does not allow.
    #[error("{field}: `{value}` {rule}")]
    Value {
        /// The field's name.
        field: &'static str,
        /// The value, shortened.
        value: String,
        /// What is wrong with it and what is allowed.
        rule: String,
    },
}

impl Invalid {
    /// JSON of another shape. The reason is shortened: a parser may quote what it read.
    #[must_use]
    pub fn shape(reason: &dyn std::fmt::Display) -> Self {
        Self::Shape(shortened(&reason.to_string()))
    }

    /// A value that `field` does not allow; `rule` continues the sentence "`value` …".
    #[must_use]
    pub fn value(field: &'static str, value: &str, rule: impl Into<String>) -> Self {
        Self::Value { field, value: shortened(value), rule: rule.into() }
    }
}

fn shortened(text: &str) -> String {
    let mut shown: String = text.chars().flat_map(escaped).take(QUOTED_MAX).collect();
    if text.chars().flat_map(escaped).nth(QUOTED_MAX).is_some() {
        shown.push('…');
    }
    shown
}

/// Quotes stay as they are; what would break a line or cannot be seen is escaped.
fn escaped(character: char) -> impl Iterator<Item = char> {
    let plain = matches!(character, '"' | '\'' | '\\');
    plain.then_some(character).into_iter().chain(character.escape_debug().filter(move |_| !plain))
}
