//! An outage of a feed: admitted when it happens, marked healed when its records have been fetched.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::reject::Reject;
use crate::symbol::Source;

/// A stretch of time in which a feed may have sent records that did not arrive. Times are Unix milliseconds of the feed's clock.
///
/// The same JSON travels on Redis, in Kafka and to clients; a later version of the same gap (`source`, `from`) replaces an earlier one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Always `gap`: the channel carries other states too.
    #[serde(rename = "type")]
    pub kind: GapTag,
    /// The feed.
    pub source: String,
    /// The symbol it concerns, `*` for all.
    pub symbol: String,
    /// Time of the last record before the outage.
    pub from: i64,
    /// Time of the first record after it; absent while it lasts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<i64>,
    /// Why, for people.
    pub cause: String,
    /// When the missed records had been fetched and handed on; absent until then. By the wall clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healed_at: Option<i64>,
    /// Records that went to clients but not to Kafka; absent where the feed was lost. In Kafka only: a reader of its topics sees these
    /// numbers missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missed: Option<Missed>,
}

/// Cause of a gap of our own making: neither Kafka nor the spool had room.
pub const COLD_PATH_FULL: &str = "cold path full";

/// Records that the producer numbered and published, but could not keep for Kafka.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Missed {
    /// The run that numbered them.
    pub epoch: i64,
    /// How many.
    pub records: u64,
    /// First and last `seq` of the trades, by symbol; both included, and everything between.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub trades: BTreeMap<String, (u64, u64)>,
    /// The same of bars.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub bars: BTreeMap<String, (u64, u64)>,
}

/// The constant `gap`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum GapTag {
    /// The only value.
    #[default]
    #[serde(rename = "gap")]
    Gap,
}

impl Gap {
    /// A gap of all symbols that has just begun.
    #[must_use]
    pub fn open(source: &Source, from: i64, cause: impl Into<String>) -> Self {
        Self {
            kind: GapTag::Gap,
            source: source.as_str().to_owned(),
            symbol: "*".to_owned(),
            from,
            to: None,
            cause: cause.into(),
            healed_at: None,
            missed: None,
        }
    }

    /// As JSON.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default() // texts and numbers always encode
    }

    /// Reads JSON and checks it.
    ///
    /// # Errors
    /// A sentence that names the field.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let gap: Self = serde_json::from_slice(bytes).map_err(|error| format!("not a gap: {error}"))?;
        Source::new(&gap.source).map_err(|reject| reject.to_string())?;
        if gap.cause.contains('\0') || gap.symbol.contains('\0') {
            return Err(Reject::Nul.to_string());
        }
        if gap.to.is_some_and(|to| to < gap.from) {
            return Err("a gap's `to` must not lie before its `from`".to_owned());
        }
        Ok(gap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_pinned_and_reads_back() {
        let mut gap = Gap::open(&Source::alpaca(), 1_700_000_000_000, "the feed closed the connection");
        assert_eq!(
            String::from_utf8(gap.encode()).unwrap(),
            r#"{"type":"gap","source":"alpaca","symbol":"*","from":1700000000000,"cause":"the feed closed the connection"}"#
        );
        gap.to = Some(1_700_000_060_000);
        gap.healed_at = Some(1_700_000_120_000);
        assert_eq!(Gap::decode(&gap.encode()), Ok(gap.clone()));
        gap.missed =
            Some(Missed { epoch: 7, records: 3, trades: [("AAPL".to_owned(), (2, 4))].into(), ..Missed::default() });
        let json = String::from_utf8(gap.encode()).unwrap();
        assert!(json.ends_with(r#","missed":{"epoch":7,"records":3,"trades":{"AAPL":[2,4]}}}"#), "{json}");
        assert_eq!(Gap::decode(json.as_bytes()), Ok(gap.clone()));
        gap.to = Some(0);
        assert!(Gap::decode(&gap.encode()).unwrap_err().contains("`to`"));
        assert!(Gap::decode(b"{}").unwrap_err().contains("type"));
    }
}
