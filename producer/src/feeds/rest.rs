//! Asking a feed's REST history: one request, tried again after a rate limit, a server fault or a lost connection.

use std::time::Duration;

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use reqwest::{RequestBuilder, Response, StatusCode};
use service::Backoff;
use tokio::time::sleep;

use crate::feeds::protocol::Feed;

/// How often a page is tried before the fetch is given up for now.
const ATTEMPTS: u32 = 8;
/// A page that takes longer than this is tried again.
const PAGE_TIME_MAX: Duration = Duration::from_secs(30);

/// Kinds of history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Every trade.
    Trades,
    /// One-minute bars.
    Bars,
}

impl Kind {
    /// For people and addresses.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Trades => "trades",
            Self::Bars => "bars",
        }
    }
}

/// A span of feed time in Unix nanoseconds, both ends included.
pub type Span = (i64, i64);

/// What a server answered.
#[derive(Debug)]
pub enum Answer {
    /// The body of a success.
    Body(Vec<u8>),
    /// It will not answer this, however often it is asked: status and message.
    Refused(StatusCode, String),
}

impl Answer {
    /// The body.
    ///
    /// # Errors
    /// Where it was refused; `advice` tells a person what to look at.
    pub fn body(self, url: &str, advice: &str) -> anyhow::Result<Vec<u8>> {
        match self {
            Self::Body(body) => Ok(body),
            Self::Refused(status, message) => bail!("{url} answers HTTP {status} ({message}): {advice}"),
        }
    }
}

/// An HTTP client for histories.
#[derive(Clone, Debug)]
pub struct Client(reqwest::Client);

impl Client {
    /// # Errors
    /// Where the machine has no TLS.
    pub fn new() -> anyhow::Result<Self> {
        let client = reqwest::Client::builder().timeout(PAGE_TIME_MAX).build();
        client.map(Self).context("cannot make an HTTP client")
    }

    /// Asks for `url`, to which `finish` adds keys and parameters. `url` must hold no secrets: it is shown.
    ///
    /// # Errors
    /// Where the server does not answer for several minutes.
    pub async fn ask(&self, url: &str, finish: impl Fn(RequestBuilder) -> RequestBuilder) -> anyhow::Result<Answer> {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
        loop {
            let (wait, problem) = match finish(self.0.get(url)).send().await {
                Ok(response) if response.status().is_success() => match response.bytes().await {
                    Ok(body) => return Ok(Answer::Body(body.to_vec())),
                    Err(error) => (None, plain(error)),
                },
                Ok(response) if response.status() == StatusCode::TOO_MANY_REQUESTS => {
                    (until_reset(&response), "rate limit".to_owned())
                }
                Ok(response) if response.status().is_server_error() => (None, response.status().to_string()),
                Ok(response) => {
                    count_failure("refused");
                    return Ok(Answer::Refused(response.status(), message(response).await));
                }
                Err(error) => (None, plain(error)),
            };
            if backoff.failures() >= ATTEMPTS {
                count_failure("no_answer");
                bail!("{url} did not answer after {ATTEMPTS} attempts: {problem}");
            }
            let wait = wait.unwrap_or_default().max(backoff.next_wait(&mut rand::rng()));
            tracing::warn!(url, problem, wait_ms = wait.as_millis(), "history page failed; trying again");
            sleep(wait).await;
        }
    }
}

/// Counts a fetch that ends before its last page. `reason`: one of few.
pub fn count_failure(reason: &'static str) {
    metrics::counter!("producer_history_failures_total", "reason" => reason).increment(1);
}

/// Ends a fetch whose next page is the one that just came: it would go on for ever.
///
/// # Errors
/// Where `repeated`.
pub fn refuse_repetition(repeated: bool, feed: Feed, kind: Kind) -> anyhow::Result<()> {
    if repeated {
        count_failure("repeated_page");
        bail!("the history of {} at {feed} names the same page twice in a row", kind.name());
    }
    Ok(())
}

/// An error without the address and its parameters.
fn plain(error: reqwest::Error) -> String {
    error.without_url().to_string()
}

/// How long `X-RateLimit-Reset` (Unix seconds) says to wait, at most a minute.
fn until_reset(response: &Response) -> Option<Duration> {
    let reset: i64 = response.headers().get("X-RateLimit-Reset")?.to_str().ok()?.parse().ok()?;
    let seconds = reset.saturating_sub(Timestamp::now().as_second()).clamp(0, 60);
    Some(Duration::from_secs(u64::try_from(seconds).ok()?))
}

/// What a refusal says in its JSON; each feed has its own name for it.
async fn message(response: Response) -> String {
    let body: serde_json::Value = response.json().await.unwrap_or_default();
    let texts = ["message", "error"].into_iter().filter_map(|name| body.get(name)?.as_str());
    texts.collect::<Vec<_>>().join("; ")
}
