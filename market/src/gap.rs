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
    /// From here on records may be missing: when the last record before the outage arrived, less the lateness of this feed's reports.
    pub from: i64,
    /// Until then: when the first record after it arrived; absent while it lasts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<i64>,
    /// Why, for people.
    pub cause: String,
    /// When the missed records had been fetched, handed on and verified; absent until then. By the wall clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healed_at: Option<i64>,
    /// How many trades the history has for the gap and the margin before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records: Option<u64>,
    /// Trades that the stream delivered around the gap and the history lacks; absent when there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown: Option<u64>,
    /// When a second reading of the history agreed with what was handed on. By the wall clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified_at: Option<i64>,
    /// Why it could not be healed so far, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How often that was tried in vain; absent instead of 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub attempts: u32,
    /// Records that went to clients but not to Kafka; absent where the feed was lost. In Kafka only: a reader of its topics sees these
    /// numbers missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missed: Option<Missed>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(count: &u32) -> bool {
    *count == 0
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
    /// First and last `seq` of the trades, by symbol, both included: every missing number lies between them. When the shortage came and went,
    /// some numbers between them are there.
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
            records: None,
            unknown: None,
            verified_at: None,
            reason: None,
            attempts: 0,
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
        let reason = gap.reason.as_deref().unwrap_or_default();
        if [gap.cause.as_str(), gap.symbol.as_str(), reason].iter().any(|text| text.contains('\0')) {
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
        gap.missed = None;
        (gap.records, gap.unknown, gap.verified_at) = (Some(12), Some(1), Some(1_700_000_119_000));
        (gap.reason, gap.attempts) = (Some("the history is empty".to_owned()), 2);
        let text = String::from_utf8(gap.encode()).unwrap();
        assert!(text.ends_with(
            r#""healed_at":1700000120000,"records":12,"unknown":1,"verified_at":1700000119000,"reason":"the history is empty","attempts":2}"#
        ));
        assert_eq!(Gap::decode(text.as_bytes()), Ok(gap.clone()));
        gap.to = Some(0);
        assert!(Gap::decode(&gap.encode()).unwrap_err().contains("`to`"));
        assert!(Gap::decode(b"{}").unwrap_err().contains("type"));
    }
}
