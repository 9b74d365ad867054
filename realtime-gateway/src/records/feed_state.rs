//! What the status channel tells of the feed: outages, and symbols that the feed cannot carry.

use serde::Deserialize;

use super::channel::Channel;

/// One record of the status channel, as far as the gateway reads it.
#[derive(Debug, Default, Deserialize)]
pub struct FeedState<'a> {
    #[serde(default, rename = "type", borrow)]
    kind: std::borrow::Cow<'a, str>,
    #[serde(default)]
    to: Option<i64>,
    #[serde(default)]
    healed_at: Option<i64>,
    #[serde(default)]
    reason: Option<String>,
}

/// Whether the feed carries a symbol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Carried {
    /// It does again.
    Yes,
    /// It does not, and why.
    No(String),
}

impl<'a> FeedState<'a> {
    /// Reads a record; one that holds something else is a status of its own kind.
    #[must_use]
    pub fn read(payload: &'a [u8]) -> Self {
        serde_json::from_slice(payload).unwrap_or_default()
    }

    /// The event that clients get. A gap is an event when it begins and when it is healed; its end alone is a status.
    #[must_use]
    pub fn channel(&self) -> Channel {
        match (self.kind.as_ref(), self.to, self.healed_at) {
            ("gap", _, Some(_)) => Channel::Healed,
            ("gap", None, None) => Channel::Gap,
            _ => Channel::Status,
        }
    }

    /// Whether the feed carries the symbol that the record names; `None` where it is about something else.
    #[must_use]
    pub fn carried(self) -> Option<Carried> {
        match self.kind.as_ref() {
            "available" => Some(Carried::Yes),
            "unavailable" => Some(Carried::No(self.reason.unwrap_or_else(|| "the feed does not carry it".to_owned()))),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_told_when_it_begins_and_when_it_is_healed() {
        let channel = |json: &str| FeedState::read(json.as_bytes()).channel();
        assert_eq!(channel(r#"{"type":"gap","symbol":"*","from":1,"cause":"cut"}"#), Channel::Gap);
        assert_eq!(channel(r#"{"type":"gap","symbol":"*","from":1,"to":2,"cause":"cut"}"#), Channel::Status);
        assert_eq!(channel(r#"{"type":"gap","symbol":"*","from":1,"to":2,"healed_at":3}"#), Channel::Healed);
        assert_eq!(channel(r#"{"type":"halt","symbol":"A"}"#), Channel::Status);
        assert_eq!(channel("[]"), Channel::Status);
    }

    #[test]
    fn a_symbol_that_is_not_carried_says_why() {
        let carried = |json: &'static str| FeedState::read(json.as_bytes()).carried();
        assert_eq!(carried(r#"{"type":"unavailable","symbol":"A","reason":"full"}"#), Some(Carried::No("full".into())));
        assert_eq!(carried(r#"{"type":"available","symbol":"A"}"#), Some(Carried::Yes));
        assert_eq!(carried(r#"{"type":"gap","symbol":"A","from":1}"#), None);
    }
}
