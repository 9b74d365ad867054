//! Whether a feed carries a symbol that somebody wants: what does not fit into a plan is reported, never left silent.

use serde::{Deserialize, Serialize};

/// News about one symbol of one feed, as JSON on the status channel; `type` tells which.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Availability {
    /// Wanted, and the feed does not carry it.
    Unavailable {
        /// The symbol.
        symbol: String,
        /// The feed.
        source: String,
        /// Why, for people.
        reason: String,
    },
    /// Carried now, after it was unavailable.
    Available {
        /// The symbol.
        symbol: String,
        /// The feed.
        source: String,
    },
}

impl Availability {
    /// The symbol it is about.
    #[must_use]
    pub fn symbol(&self) -> &str {
        match self {
            Self::Unavailable { symbol, .. } | Self::Available { symbol, .. } => symbol,
        }
    }

    /// As JSON.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default() // texts always encode
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_are_pinned_and_read_back() {
        let (symbol, source) = ("TSLA".to_owned(), "alpaca".to_owned());
        let away =
            Availability::Unavailable { symbol: symbol.clone(), source: source.clone(), reason: "full".to_owned() };
        let there = Availability::Available { symbol, source };
        for (news, json) in [
            (away, r#"{"type":"unavailable","symbol":"TSLA","source":"alpaca","reason":"full"}"#),
            (there, r#"{"type":"available","symbol":"TSLA","source":"alpaca"}"#),
        ] {
            assert_eq!(String::from_utf8(news.encode()).unwrap(), json);
            assert_eq!(serde_json::from_str::<Availability>(json).unwrap(), news);
            assert_eq!(news.symbol(), "TSLA");
        }
    }
}
