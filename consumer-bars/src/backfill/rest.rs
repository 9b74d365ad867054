//! Alpaca's REST history.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use jiff::ToSpan as _;
use jiff::civil::Date;
use market::calendar::new_york;
use market::{Bar, Source, Symbol, Timeframe, wire};
use reqwest::{Client, StatusCode};
use serde::Deserialize;
use service::{Backoff, Secret, Vars};

/// Bars in one page: the most that Alpaca gives.
const PAGE_MAX: &str = "10000";
/// How often a page is tried.
const ATTEMPTS: u32 = 8;
const PAGE_TIME_MAX: Duration = Duration::from_secs(30);

/// Where the history is, and with which key.
#[derive(Clone, Debug)]
pub struct RestConfig {
    base_url: String,
    key: Secret,
    secret: Secret,
}

impl RestConfig {
    /// Reads `ALPACA_DATA_REST_URL`, `ALPACA_API_KEY`, `ALPACA_API_SECRET`.
    pub fn from_vars(vars: &mut Vars) -> Self {
        let secret = |vars: &mut Vars, name| vars.secret(name).unwrap_or_else(|| Secret::new(""));
        Self {
            base_url: vars.read_url("ALPACA_DATA_REST_URL", "https://data.alpaca.markets", &["http", "https"]),
            key: secret(vars, "ALPACA_API_KEY"),
            secret: secret(vars, "ALPACA_API_SECRET"),
        }
    }
}

pub(crate) struct Rest {
    client: Client,
    config: RestConfig,
}

#[derive(Deserialize)]
struct Page {
    bars: Option<Vec<RestBar>>,
    next_page_token: Option<String>,
}

#[derive(Deserialize)]
struct RestBar {
    t: jiff::Timestamp,
    o: f64,
    h: f64,
    l: f64,
    c: f64,
    v: f64,
    n: Option<u64>,
    vw: Option<f64>,
}

impl Rest {
    /// # Errors
    /// Where there is no key, or no HTTP client can be made.
    pub(crate) fn new(config: RestConfig) -> anyhow::Result<Self> {
        ensure!(
            !config.key.expose().is_empty() && !config.secret.expose().is_empty(),
            "ALPACA_API_KEY and ALPACA_API_SECRET are not set; the history wants both"
        );
        let client = Client::builder().timeout(PAGE_TIME_MAX).build().context("cannot make an HTTP client")?;
        Ok(Self { client, config })
    }

    /// The minute bars of some New York days, the last included.
    ///
    /// # Errors
    /// Where the history refuses, or does not answer after several attempts.
    pub(crate) async fn read(&self, symbol: &Symbol, first: Date, last: Date) -> anyhow::Result<Vec<Vec<u8>>> {
        let midnight = |day: Date| anyhow::Ok(day.to_zoned(new_york())?.timestamp());
        let end = midnight(last.saturating_add(1.day()))? - jiff::SignedDuration::from_nanos(1); // Alpaca includes the end
        let (start, end) = (midnight(first)?.to_string(), end.to_string());
        let mut token: Option<String> = None;
        let mut bars = Vec::new();
        loop {
            let mut query = vec![
                ("timeframe", "1Min"),
                ("adjustment", "raw"),
                ("limit", PAGE_MAX),
                ("start", &start),
                ("end", &end),
            ];
            query.extend(token.as_deref().map(|token| ("page_token", token)));
            let page = self.page(symbol, &query).await?;
            for bar in page.bars.unwrap_or_default() {
                bars.push(encode(symbol, bar)?);
            }
            token = page.next_page_token;
            if token.is_none() {
                return Ok(bars);
            }
        }
    }

    async fn page(&self, symbol: &Symbol, query: &[(&str, &str)]) -> anyhow::Result<Page> {
        let name = symbol.as_str().replace('/', "%2F");
        let url = format!("{}/v2/stocks/{name}/bars", self.config.base_url.trim_end_matches('/'));
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
        loop {
            let RestConfig { key, secret, .. } = &self.config;
            let asked = self.client.get(&url).header("APCA-API-KEY-ID", key.expose());
            let answer = asked.header("APCA-API-SECRET-KEY", secret.expose()).query(query).send().await;
            let problem = match answer {
                Ok(answer) if answer.status().is_success() => match answer.json().await {
                    Ok(page) => return Ok(page),
                    Err(error) => error.without_url().to_string(),
                },
                Ok(answer) if answer.status() == StatusCode::TOO_MANY_REQUESTS || answer.status().is_server_error() => {
                    answer.status().to_string()
                }
                Ok(answer) => {
                    let status = answer.status();
                    let text: String = answer.text().await.unwrap_or_default().chars().take(200).collect();
                    bail!("{url} answered {status}: {text}");
                }
                Err(error) => error.without_url().to_string(),
            };
            if backoff.failures() >= ATTEMPTS {
                bail!("{url} did not answer after {ATTEMPTS} attempts: {problem}");
            }
            let wait = backoff.next_wait(&mut rand::rng());
            tracing::warn!(url, problem, wait_ms = wait.as_millis(), "a page failed; trying again");
            tokio::time::sleep(wait).await;
        }
    }
}

fn encode(symbol: &Symbol, bar: RestBar) -> anyhow::Result<Vec<u8>> {
    let bar = Bar {
        symbol: *symbol,
        timeframe: Timeframe::MINUTE,
        open: bar.o,
        high: bar.h,
        low: bar.l,
        close: bar.c,
        volume: bar.v,
        trade_count: bar.n,
        vwap: bar.vw.filter(|vwap| *vwap > 0.0),
        start_ms: bar.t.as_millisecond(),
        is_final: true,
        revision: 0,
        source: Source::alpaca(),
    };
    let mut out = Vec::with_capacity(280);
    wire::encode_bar(&bar.checked()?, None, &mut out);
    Ok(out)
}
