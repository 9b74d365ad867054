//! What the producer says that it sent: how many trades of each symbol and minute it numbered, reported every few seconds of a run.
//!
//! Reports of one run add up. Each has a number, so that one that arrives twice counts once.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Sizes are counted in millionths of a share, because integers add up exactly in any order.
pub const MILLIONTHS: f64 = 1e6;

/// A size in millionths of a share.
#[must_use]
pub fn millionths(size: f64) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "a float that is too large becomes the largest integer")]
    let whole = (size * MILLIONTHS).round() as i64;
    whole
}

/// One part of one report.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentReport {
    /// The run that numbered the trades.
    pub epoch: i64,
    /// Counts the reports of the run from 1.
    pub report: u64,
    /// This part of the report, from 0, and how many there are.
    pub part: u32,
    /// How many parts the report has.
    pub parts: u32,
    /// When the report was closed, Unix milliseconds by the wall clock.
    pub at: i64,
    /// Whether the run has ended, so that no report follows.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub last: bool,
    /// Trades that were numbered and are in no report, because there was no room to count them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub uncounted: u64,
    /// Trades by symbol and minute of their stamp (minutes since 1970).
    pub trades: BTreeMap<String, BTreeMap<i64, Sent>>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Trades of one symbol and minute: `[count, millionths, first, last]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(u64, i64, u64, u64)", into = "(u64, i64, u64, u64)")]
pub struct Sent {
    /// How many.
    pub count: u64,
    /// Sum of their sizes in millionths of a share; wraps around.
    pub millionths: i64,
    /// Lowest and highest number (`seq`) among them.
    pub first: u64,
    /// Highest number.
    pub last: u64,
}

impl Sent {
    /// One trade.
    #[must_use]
    pub fn one(seq: u64, millionths: i64) -> Self {
        Self { count: 1, millionths, first: seq, last: seq }
    }

    /// Adds what another report says of the same symbol and minute.
    pub fn add(&mut self, other: Self) {
        self.count = self.count.saturating_add(other.count);
        self.millionths = self.millionths.wrapping_add(other.millionths);
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
    }
}

impl From<(u64, i64, u64, u64)> for Sent {
    fn from((count, millionths, first, last): (u64, i64, u64, u64)) -> Self {
        Self { count, millionths, first, last }
    }
}

impl From<Sent> for (u64, i64, u64, u64) {
    fn from(sent: Sent) -> Self {
        (sent.count, sent.millionths, sent.first, sent.last)
    }
}

impl SentReport {
    /// As JSON.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default() // texts and numbers always encode
    }

    /// Reads JSON.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(bytes).map_err(|error| format!("not a report of what was sent: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_pinned_and_reads_back() {
        let mut sent = Sent::one(7, millionths(0.1));
        sent.add(Sent::one(5, millionths(100.25)));
        let trades = [("AAPL".to_owned(), [(28_333_334, sent)].into())].into();
        let report = SentReport { epoch: 9, report: 2, part: 0, parts: 1, at: 5, trades, ..SentReport::default() };
        let json = String::from_utf8(report.encode()).unwrap();
        assert_eq!(
            json,
            r#"{"epoch":9,"report":2,"part":0,"parts":1,"at":5,"trades":{"AAPL":{"28333334":[2,100350000,5,7]}}}"#
        );
        assert_eq!(SentReport::decode(json.as_bytes()), Ok(report));
        assert!(SentReport::decode(b"{}").unwrap_err().contains("epoch"));
        assert_eq!(millionths(1e300), i64::MAX);
    }
}
