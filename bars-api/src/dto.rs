//! The shapes of answers, as the OpenAPI page shows them. Bars are written by [`crate::render`]; a test holds the two together.

use std::collections::BTreeMap;

use market::Source;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::db::gaps::GapRow;

/// One bar.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Bar {
    /// Start of the interval in Unix milliseconds.
    #[schema(example = 1_699_999_980_000_i64)]
    pub timestamp: i64,
    /// First price in dollars.
    #[schema(example = 150.1)]
    pub open: f64,
    /// Highest price in dollars.
    #[schema(example = 150.4)]
    pub high: f64,
    /// Lowest price in dollars.
    #[schema(example = 150)]
    pub low: f64,
    /// Last price in dollars.
    #[schema(example = 150.25)]
    pub close: f64,
    /// Shares.
    #[schema(example = 12345)]
    pub volume: f64,
    /// Number of trades; left out where the feed does not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = 87, nullable = false)]
    pub trade_count: Option<i64>,
    /// Volume-weighted average price in dollars; left out where the feed does not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = 150.21, nullable = false)]
    pub vwap: Option<f64>,
    /// Whether the interval is over; a bar with `false` still changes.
    pub r#final: bool,
    /// 0 for the first version; corrections count up.
    #[schema(example = 0)]
    pub revision: i64,
}

/// Up to which record of the live stream an answer is true. Follow the stream from here: every bar with a later `epoch`, or the same
/// `epoch` and a greater `seq`, is not in the answer, and every other one is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AsOf {
    /// Run of the producer that wrote the record (its start in Unix milliseconds); left out where no run is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = 1_763_700_000_000_i64, nullable = false)]
    pub epoch: Option<i64>,
    /// The record's number within that run; left out where no run is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = 311, nullable = false)]
    pub seq: Option<u64>,
    /// Time of the newest record in Unix milliseconds.
    #[schema(example = 1_699_999_980_000_i64)]
    pub time: i64,
}

/// Bars of one symbol.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Bars {
    /// What was asked for.
    #[schema(example = "AAPL")]
    pub symbol: String,
    /// Length of the bars.
    #[schema(example = "1Min")]
    pub timeframe: String,
    /// The bars, in ascending order of time unless `sort=desc`.
    pub bars: Vec<Bar>,
    /// Send it back as `page_token` for the next page; null on the last page.
    pub next_page_token: Option<String>,
    /// Null where the symbol has no bars from this source.
    pub as_of: Option<AsOf>,
    /// `false` where an outage touches this page's time and its records have not been fetched: bars may be missing, or their volume too
    /// small. Also in the header `X-Complete`; `/bars/{symbol}/gaps` says which outage.
    pub complete: bool,
    /// One value a bar under each name; null until an indicator has seen enough bars. Only where `indicators` asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub indicators: Option<BTreeMap<String, Vec<Option<f64>>>>,
}

/// The newest bar of each symbol.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LatestBars {
    /// Length of the bars.
    #[schema(example = "1Min")]
    pub timeframe: String,
    /// By symbol; symbols without bars are absent.
    pub bars: BTreeMap<String, Bar>,
    /// By symbol.
    pub as_of: BTreeMap<String, AsOf>,
}

/// An outage of the feed, as the live stream's `gap` event has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Gap {
    /// Always `gap`.
    #[schema(example = "gap")]
    pub r#type: String,
    /// The feed that was out.
    #[schema(example = "alpaca")]
    pub source: String,
    /// The symbol it concerns, `*` for all.
    #[schema(example = "*")]
    pub symbol: String,
    /// From here on records may be missing, Unix milliseconds: when the last record before the outage arrived, less the lateness of this feed's
    /// reports.
    #[schema(example = 1_717_421_460_000_i64)]
    pub from: i64,
    /// Until then: when the first record after it arrived; left out while it lasts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = 1_717_421_520_000_i64, nullable = false)]
    pub to: Option<i64>,
    /// Why, for people.
    #[schema(example = "the feed closed the connection")]
    pub cause: String,
    /// When its records had been fetched and verified, in Unix milliseconds of the wall clock; left out until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = 1_717_421_530_000_i64, nullable = false)]
    pub healed_at: Option<i64>,
    /// Trades that the feed's history has for the outage and the margin before it; left out until it is healed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = 1_204, nullable = false)]
    pub records: Option<i64>,
    /// Trades that the stream delivered around the outage and the history lacks; left out when there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = 1, nullable = false)]
    pub unknown: Option<i64>,
    /// When a second reading of the history agreed with what was fetched, in Unix milliseconds of the wall clock; left out until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = 1_717_421_530_000_i64, nullable = false)]
    pub verified_at: Option<i64>,
    /// Why it could not be healed so far, for people; left out when nothing stood against it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "the history is empty although the market was open", nullable = false)]
    pub reason: Option<String>,
    /// How often healing was tried in vain; left out instead of 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = 2, nullable = false)]
    pub attempts: Option<i64>,
}

impl Gap {
    /// A stored outage of `source` in this shape.
    #[must_use]
    pub fn of(row: GapRow, source: &Source) -> Self {
        Self {
            r#type: "gap".to_owned(),
            source: source.as_str().to_owned(),
            symbol: row.symbol,
            from: row.from_ms,
            to: row.to_ms,
            cause: row.cause,
            healed_at: row.healed_ms,
            records: row.records,
            unknown: row.unknown,
            verified_at: row.verified_ms,
            reason: row.reason,
            attempts: Some(row.attempts).filter(|attempts| *attempts > 0),
        }
    }
}

/// Outages that touch a range.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Gaps {
    /// What was asked for.
    #[schema(example = "AAPL")]
    pub symbol: String,
    /// Oldest first, healed ones included.
    pub gaps: Vec<Gap>,
    /// Send it back as `page_token` for the next page; null on the last page.
    pub next_page_token: Option<String>,
}

/// What `GET /` says.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct About {
    /// The service's name.
    #[schema(example = "bars-api")]
    pub service: String,
    /// Its version.
    pub version: String,
    /// What it is for.
    pub description: String,
    /// Where to go from here, by name.
    pub links: BTreeMap<String, String>,
}
