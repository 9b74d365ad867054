//! Alpaca's REST history: what the stream sent while nobody listened.

use std::borrow::Cow;

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use market::{Symbol, Timeframe};
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::value::RawValue;
use service::Secret;

use crate::feeds::event::{Event, Skip};
use crate::feeds::protocol::Feed;
use crate::feeds::raw::Json;
use crate::feeds::rest::{Answer, Client, Kind, Span, count_failure, refuse_repetition};

use super::wire::{WireBar, WireTrade, parse};

/// Records asked for in one page: the most that Alpaca gives.
const PAGE_MAX: &str = "10000";
/// What a person can look at when the history is refused.
const ADVICE: &str = "check the keys, the plan and ALPACA_DATA_REST_URL";
/// After so many symbols that were refused one by one, and none that was answered, the request is given up.
const REFUSED_MAX: usize = 64;
/// Symbols in one request: the address must not grow without bound.
const SYMBOLS_MAX: usize = 200;
/// Streams by the last part of their address, and the feed whose history has the same trades.
const FEEDS: [(&str, &str); 5] =
    [("iex", "iex"), ("sip", "sip"), ("delayed_sip", "sip"), ("otc", "otc"), ("boats", "boats")];
/// Streams whose trades no history has.
const WITHOUT_HISTORY: [&str; 1] = ["overnight"];

/// A client of `/v2/stocks/trades` and `/v2/stocks/bars`.
#[derive(Clone, Debug)]
pub struct Rest {
    client: Client,
    base_url: String,
    feed: Option<&'static str>,
    /// The stream's name, where no history has its trades.
    without_history: Option<&'static str>,
    key: Secret,
    secret: Secret,
}

/// One page as Alpaca sends it.
#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow, alias = "bars")]
    trades: Option<std::collections::BTreeMap<String, Vec<&'a RawValue>>>,
    next_page_token: Option<String>,
}

impl Rest {
    /// `base_url` without a path, e.g. `https://data.alpaca.markets`; `stream_url` tells which feed's history to ask for.
    ///
    /// # Errors
    /// Where no HTTP client can be made.
    pub fn new(base_url: &str, stream_url: &str, key: Secret, secret: Secret) -> anyhow::Result<Self> {
        let client = Client::new()?;
        let last = stream_url.rsplit('/').next().unwrap_or_default();
        let feed = FEEDS.iter().find(|(stream, _)| *stream == last).map(|(_, feed)| *feed);
        let without_history = WITHOUT_HISTORY.into_iter().find(|stream| *stream == last);
        let base_url = base_url.trim_end_matches('/').to_owned();
        Ok(Self { client, base_url, feed, without_history, key, secret })
    }

    fn url(&self, kind: Kind) -> String {
        format!("{}/v2/stocks/{}", self.base_url, kind.name())
    }

    async fn fetch_page(&self, kind: Kind, query: &[Parameter]) -> anyhow::Result<Answer> {
        let url = self.url(kind);
        let finish = |request: reqwest::RequestBuilder| {
            let request = request.header("APCA-API-KEY-ID", self.key.expose());
            request.header("APCA-API-SECRET-KEY", self.secret.expose()).query(query)
        };
        self.client.ask(&url, finish).await
    }
}

/// Pages of one kind of history, for any number of symbols.
pub struct Pages<'a> {
    rest: &'a Rest,
    kind: Kind,
    /// Symbols that were not asked for yet, in groups that fit a request; the next one comes last.
    groups: Vec<&'a [Symbol]>,
    /// The group under way and the token of its next page.
    request: Option<(&'a [Symbol], Option<String>)>,
    /// Whether some group was answered.
    answered: bool,
    /// How many single symbols were refused, and what the last refusal said.
    refused: (usize, String),
    range: [Parameter; 2],
}

type Parameter = (&'static str, String);

impl<'a> Pages<'a> {
    /// Everything from `start_ns` to `end_ns`: feed time in Unix nanoseconds, both included.
    ///
    /// # Errors
    /// Where a time cannot be written down, or no history has this stream's trades.
    pub fn new(rest: &'a Rest, kind: Kind, symbols: &'a [Symbol], (start_ns, end_ns): Span) -> anyhow::Result<Self> {
        let time = |ns: i64| Timestamp::from_nanosecond(i128::from(ns)).map(|time| time.to_string());
        let range = [("start", time(start_ns)?), ("end", time(end_ns)?)];
        if let Some(stream) = rest.without_history {
            count_failure("no_history");
            bail!("Alpaca has no history of the {stream} stream");
        }
        let groups = symbols.chunks(SYMBOLS_MAX).rev().collect();
        Ok(Self { rest, kind, groups, request: None, answered: false, refused: (0, String::new()), range })
    }

    /// The next page's records; `None` after the last page. A page may be empty.
    ///
    /// # Errors
    /// Where Alpaca refuses, or does not answer for several minutes; the text says why. Earlier pages stay valid.
    pub async fn next(&mut self) -> anyhow::Result<Option<Vec<Event>>> {
        let (group, token) = match self.request.take() {
            Some(request) => request,
            None => match self.groups.pop() {
                Some(group) => (group, None),
                None => return Ok(None),
            },
        };
        let mut query = self.parameters(group);
        query.extend(token.clone().map(|token| ("page_token", token)));
        let body = match self.rest.fetch_page(self.kind, &query).await? {
            Answer::Refused(StatusCode::BAD_REQUEST, message) => return self.split(group, message),
            answer => answer.body(&self.rest.url(self.kind), ADVICE)?,
        };
        self.answered = true;
        let name = self.kind.name();
        let page: Page<'_> = serde_json::from_slice(&body)
            .with_context(|| format!("Alpaca's history of {name} is not the documented JSON"))?;
        if let Some(next) = page.next_page_token {
            refuse_repetition(Some(&next) == token.as_ref(), Feed::Alpaca, self.kind)?;
            self.request = Some((group, Some(next)));
        }
        let decode = match self.kind {
            Kind::Trades => decode_trade,
            Kind::Bars => decode_bar,
        };
        let records = page.trades.into_iter().flatten().flat_map(|(symbol, records)| {
            records.into_iter().map(move |raw| decode(&symbol, raw.get()).unwrap_or_else(Event::Skipped))
        });
        Ok(Some(records.collect()))
    }

    /// A name that Alpaca does not take makes it refuse the whole group: each half is asked for by itself, until the name stands alone.
    fn split(&mut self, group: &'a [Symbol], message: String) -> anyhow::Result<Option<Vec<Event>>> {
        if let [symbol] = group {
            count_failure("refused_symbol");
            tracing::warn!(%symbol, message, "the history does not know this symbol; it is left out");
            self.refused = (self.refused.0 + 1, message);
            if !self.answered && (self.groups.is_empty() || self.refused.0 >= REFUSED_MAX) {
                // Where every single symbol is refused, it is the request that is wrong.
                let message = std::mem::take(&mut self.refused.1);
                Answer::Refused(StatusCode::BAD_REQUEST, message).body(&self.rest.url(self.kind), ADVICE)?;
            }
        } else {
            let (first, second) = group.split_at(group.len() / 2);
            self.groups.extend([second, first]);
        }
        Ok(Some(Vec::new()))
    }

    fn parameters(&self, symbols: &[Symbol]) -> Vec<Parameter> {
        let names: Vec<&str> = symbols.iter().map(Symbol::as_str).collect();
        let mut query = vec![("symbols", names.join(",")), ("limit", PAGE_MAX.to_owned())];
        query.extend(self.range.iter().cloned());
        query.extend(self.rest.feed.map(|feed| ("feed", feed.to_owned())));
        if self.kind == Kind::Bars {
            query.push(("timeframe", "1Min".to_owned()));
        }
        query
    }
}

/// Reads a trade; the page names the symbol once for all.
fn decode_trade(symbol: &str, raw: &str) -> Result<Event, Skip> {
    parse::<WireTrade<'_>, _>(Json(raw), |mut trade| {
        trade.symbol = Cow::Borrowed(symbol);
        trade.into_event()
    })
}

/// Reads a one-minute bar.
fn decode_bar(symbol: &str, raw: &str) -> Result<Event, Skip> {
    // History is what the market settled on: it is newer than the first version that the stream sent.
    parse::<WireBar<'_>, _>(Json(raw), |mut bar| {
        bar.symbol = Cow::Borrowed(symbol);
        bar.into_event(Timeframe::MINUTE, true, 1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trade_that_is_void_by_now_is_not_taken_and_one_that_took_its_place_is() {
        let trade = |update: &str| {
            let raw = format!(
                r#"{{"t":"2022-01-03T09:00:00.24Z","x":"P","p":178.26,"s":246,"c":["@","T"],"i":2,"z":"C"{update}}}"#
            );
            decode_trade("AAPL", &raw)
        };
        for holds in ["", r#","u":"corrected""#, r#","u":null"#] {
            assert!(matches!(trade(holds), Ok(Event::Trade(trade)) if trade.symbol.as_str() == "AAPL"), "{holds}");
        }
        for void in [r#","u":"canceled""#, r#","u":"incorrect""#] {
            assert_eq!(trade(void), Ok(Event::Other("void_trade")));
        }
        assert!(matches!(trade(r#","u":7"#), Err(Skip::Field(_))));
    }

    #[test]
    fn a_bar_of_the_history_is_newer_than_the_first_one_of_the_stream() {
        let raw = r#"{"t":"2022-01-03T09:00:00Z","o":178.26,"h":178.26,"l":178.21,"c":178.21,"v":1118,"n":65,"vw":178.235733}"#;
        let Ok(Event::Bar(bar)) = decode_bar("AAPL", raw) else { panic!("not a bar") };
        assert_eq!((bar.symbol.as_str(), bar.revision, bar.trade_count), ("AAPL", 1, Some(65)));
    }
}
