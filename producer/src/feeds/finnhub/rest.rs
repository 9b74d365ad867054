//! Finnhub's REST history. It has candles for plans that include them, and no trades of the day: after an outage bars come back, trades do
//! not.

use anyhow::Context as _;
use market::{Bar, Reject, Source, Symbol, Timeframe};
use reqwest::StatusCode;
use serde::Deserialize;
use service::Secret;

use crate::feeds::event::{Event, Skip};
use crate::feeds::rest::{Answer, Client, Span};

const NS_PER_SECOND: i64 = 1_000_000_000;

/// A client of `/stock/candle`.
#[derive(Clone, Debug)]
pub struct Rest {
    client: Client,
    base_url: String,
    key: Secret,
}

/// One symbol's candles: columns of the same length, none where nothing was traded.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Candles {
    /// Starts in Unix seconds.
    t: Vec<i64>,
    o: Vec<f64>,
    h: Vec<f64>,
    l: Vec<f64>,
    c: Vec<f64>,
    v: Vec<f64>,
}

impl Rest {
    /// `base_url` with its version, e.g. `https://finnhub.io/api/v1`.
    ///
    /// # Errors
    /// Where no HTTP client can be made.
    pub fn new(base_url: &str, key: Secret) -> anyhow::Result<Self> {
        Ok(Self { client: Client::new()?, base_url: base_url.trim_end_matches('/').to_owned(), key })
    }

    /// The minute bars of one stock; none where the plan does not include them, or where it is no stock.
    ///
    /// # Errors
    /// Where Finnhub does not answer for several minutes, or not as documented.
    pub async fn bars(&self, symbol: &Symbol, (start_ns, end_ns): Span) -> anyhow::Result<Vec<Event>> {
        if symbol.as_str().contains(':') {
            return Ok(Vec::new()); // currencies have candles of their own, one kind for each exchange
        }
        let url = format!("{}/stock/candle", self.base_url);
        let (from, to) = (start_ns.div_euclid(NS_PER_SECOND).to_string(), end_ns.div_euclid(NS_PER_SECOND).to_string());
        let query = [("symbol", symbol.as_str()), ("resolution", "1"), ("from", &from), ("to", &to)];
        let finish =
            |request: reqwest::RequestBuilder| request.header("X-Finnhub-Token", self.key.expose()).query(&query);
        let body = match self.client.ask(&url, finish).await? {
            Answer::Refused(StatusCode::FORBIDDEN, message) => {
                tracing::warn!(%symbol, message, "Finnhub's plan includes no candles: the bars of the outage are missing too");
                return Ok(Vec::new());
            }
            answer => answer.body(&url, "check FINNHUB_API_KEY and FINNHUB_REST_URL")?,
        };
        let candles: Candles =
            serde_json::from_slice(&body).context("Finnhub's candles are not the documented JSON")?;
        Ok(candles.events(symbol))
    }
}

impl Candles {
    fn events(&self, symbol: &Symbol) -> Vec<Event> {
        let event = |at: usize| self.bar(symbol, at).map_or_else(Event::Skipped, Event::Bar);
        (0..self.t.len()).map(event).collect()
    }

    fn bar(&self, symbol: &Symbol, at: usize) -> Result<Bar, Skip> {
        let value = |column: &[f64], name: &str| {
            column.get(at).copied().ok_or_else(|| Skip::Field(format!("column `{name}` is shorter than `t`")))
        };
        let start_ms = self.t[at].checked_mul(1000).ok_or(Reject::Unaligned)?;
        if Timeframe::MINUTE.start_of(start_ms) != start_ms {
            return Err(Reject::Unaligned.into());
        }
        let bar = Bar {
            symbol: *symbol,
            timeframe: Timeframe::MINUTE,
            open: value(&self.o, "o")?,
            high: value(&self.h, "h")?,
            low: value(&self.l, "l")?,
            close: value(&self.c, "c")?,
            volume: value(&self.v, "v")?,
            trade_count: None,
            vwap: None,
            start_ms,
            is_final: true,
            revision: 0, // bars that were built from all trades of their minute are as good
            source: Source::finnhub(),
        };
        Ok(bar.checked()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(json: &str) -> Vec<Event> {
        let candles: Candles = serde_json::from_str(json).unwrap();
        candles.events(&Symbol::new("AAPL").unwrap())
    }

    #[test]
    fn columns_become_bars_and_what_is_none_is_skipped() {
        let events = events(
            r#"{"s":"ok","t":[1672348860,1672348921,1672348980],"o":[1,1,3],"h":[2,2,4],"l":[1,1,3],"c":[2,2,4],"v":[10,20]}"#,
        );
        let [Event::Bar(bar), Event::Skipped(_), Event::Skipped(short)] = events.as_slice() else {
            panic!("{events:?}")
        };
        assert_eq!((bar.start_ms, bar.close, bar.volume), (1_672_348_860_000, 2.0, 10.0));
        assert!(short.to_string().contains("`v`"), "{short}");
    }

    #[test]
    fn no_data_is_no_bars() {
        assert_eq!(events(r#"{"s":"no_data"}"#), []);
    }
}
