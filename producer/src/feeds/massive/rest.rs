//! Massive's REST history: what the stream sent while nobody listened.

use anyhow::{Context as _, ensure};
use market::{NS_PER_MS, Symbol};
use reqwest::{StatusCode, Url};
use serde::Deserialize;
use serde_json::value::RawValue;
use service::Secret;

use crate::feeds::event::Event;
use crate::feeds::protocol::Feed;
use crate::feeds::rest::{Answer, Client, Kind, Span, count_failure, refuse_repetition};

use super::element::{rest_bar, rest_trade};
use super::symbol::to_wire;

/// Records asked for in one page: the most that Massive gives.
const PAGE_MAX: &str = "50000";

/// A client of `/v3/trades` and `/v2/aggs`.
#[derive(Clone, Debug)]
pub struct Rest {
    client: Client,
    base: Url,
    key: Secret,
}

/// One page as Massive sends it.
#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    results: Option<Vec<&'a RawValue>>,
    next_url: Option<String>,
}

impl Rest {
    /// `base_url` without a path, e.g. `https://api.massive.com`.
    ///
    /// # Errors
    /// Where the address is malformed, or no HTTP client can be made.
    pub fn new(base_url: &str, key: Secret) -> anyhow::Result<Self> {
        let base = Url::parse(base_url).context("MASSIVE_REST_URL is no address")?;
        ensure!(!base.cannot_be_a_base(), "MASSIVE_REST_URL must begin with http:// or https://");
        Ok(Self { client: Client::new()?, base, key })
    }

    /// The first page of one symbol.
    fn address(&self, kind: Kind, symbol: &Symbol, (start_ns, end_ns): Span) -> anyhow::Result<Url> {
        let mut url = self.base.clone();
        let (start, end) = match kind {
            Kind::Trades => (start_ns.to_string(), end_ns.to_string()),
            Kind::Bars => (start_ns.div_euclid(NS_PER_MS).to_string(), end_ns.div_euclid(NS_PER_MS).to_string()),
        };
        let mut path = url.path_segments_mut().ok().context("MASSIVE_REST_URL has no path")?;
        path.pop_if_empty();
        match kind {
            Kind::Trades => drop(path.extend(["v3", "trades", &to_wire(symbol)])),
            Kind::Bars => {
                path.extend(["v2", "aggs", "ticker", &to_wire(symbol), "range", "1", "minute", &start, &end]);
            }
        }
        drop(path);
        let mut query = url.query_pairs_mut();
        match kind {
            Kind::Trades => query.extend_pairs([("timestamp.gte", start.as_str()), ("timestamp.lte", &end)]),
            Kind::Bars => query.append_pair("adjusted", "false"),
        };
        let order = if kind == Kind::Trades { ("order", "asc") } else { ("sort", "asc") };
        query.extend_pairs([order, ("limit", PAGE_MAX)]);
        drop(query);
        Ok(url)
    }
}

/// Pages of one kind of history, for any number of symbols, one after the other.
pub struct Pages<'a> {
    rest: &'a Rest,
    kind: Kind,
    span: Span,
    symbols: std::slice::Iter<'a, Symbol>,
    /// The symbol under way and the address of its next page.
    request: Option<(Symbol, Url)>,
    /// Whether some symbol was answered.
    answered: bool,
}

impl<'a> Pages<'a> {
    /// Everything within `span`.
    #[must_use]
    pub fn new(rest: &'a Rest, kind: Kind, symbols: &'a [Symbol], span: Span) -> Self {
        Self { rest, kind, span, symbols: symbols.iter(), request: None, answered: false }
    }

    /// The next page's records; `None` after the last page. A page may be empty.
    ///
    /// # Errors
    /// Where Massive refuses, or does not answer for several minutes; the text says why. Earlier pages stay valid.
    pub async fn next(&mut self) -> anyhow::Result<Option<Vec<Event>>> {
        let (symbol, url) = match self.request.take() {
            Some(request) => request,
            None => match self.symbols.next() {
                Some(symbol) => (*symbol, self.rest.address(self.kind, symbol, self.span)?),
                None => return Ok(None),
            },
        };
        // The key goes into a header, so the address can be shown.
        let asked = self.rest.client.ask(url.as_str(), |request| request.bearer_auth(self.rest.key.expose())).await?;
        let body = match asked {
            // One bad name costs itself only; where all of them are refused, it is the request that is wrong.
            Answer::Refused(StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND, message)
                if self.answered || self.symbols.len() > 0 =>
            {
                count_failure("refused_symbol");
                tracing::warn!(%symbol, message, "the history does not know this symbol; it is left out");
                return Ok(Some(Vec::new()));
            }
            answer => answer.body(url.as_str(), "check MASSIVE_API_KEY, the plan and MASSIVE_REST_URL")?,
        };
        self.answered = true;
        let page: Page<'_> = serde_json::from_slice(&body)
            .with_context(|| format!("Massive's history of {} is not the documented JSON", self.kind.name()))?;
        if let Some(next) = page.next_url {
            let next = Url::parse(&next).context("Massive's history names a next page that is no address")?;
            refuse_repetition(next == url, Feed::Massive, self.kind)?;
            // A key must not follow an address to wherever it points.
            let strange = next.origin() != self.rest.base.origin();
            ensure!(
                !strange,
                "Massive's next page is at {}, not at MASSIVE_REST_URL",
                next.origin().ascii_serialization()
            );
            self.request = Some((symbol, next));
        }
        let decode = match self.kind {
            Kind::Trades => rest_trade,
            Kind::Bars => rest_bar,
        };
        let records = page.results.into_iter().flatten();
        Ok(Some(records.map(|raw| decode(&to_wire(&symbol), raw.get()).unwrap_or_else(Event::Skipped)).collect()))
    }
}
