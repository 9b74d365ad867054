//! Why a payload is not a valid record.

/// Longest part of a rejected value that is quoted, in characters.
const QUOTED_MAX: usize = 60;

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
    /// A value that `field` does not allow; `rule` continues the sentence "`value` …".
    #[must_use]
    pub fn value(field: &'static str, value: &str, rule: impl Into<String>) -> Self {
        let mut shown: String = value.escape_debug().take(QUOTED_MAX).collect();
        if value.escape_debug().nth(QUOTED_MAX).is_some() {
            shown.push('…');
        }
        Self::Value { field, value: shown, rule: rule.into() }
    }
}
