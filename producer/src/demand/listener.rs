//! Hears from Redis what the gateways' clients want.

use std::collections::BTreeSet;

use anyhow::ensure;
use futures_util::StreamExt as _;
use market::Symbol;
use redis::aio::PubSub;
use serde::Deserialize;
use service::redis::RedisConfig;
use service::{Backoff, CancellationToken, Part};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::journal::Journal;

use super::refusals::Refusals;
use super::{Demand, Wishes};

/// Symbols that one gateway may want; what comes on top is left out and counted.
const SYMBOLS_MAX: usize = 20_000;
/// A Redis that takes longer than this is treated as away.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// The task that keeps the wishes up to date.
pub struct Listener {
    /// Where to listen.
    pub redis: RedisConfig,
    /// What was heard so far.
    pub demand: Demand,
    /// Where the wishes go.
    pub wishes: watch::Sender<Wishes>,
    /// Remembers them for the next run.
    pub journal: Journal,
    /// What the feeds have refused, one each: a name that none of them takes is not remembered.
    pub refusals: Vec<Refusals>,
    /// How much was refused when the journal was told last.
    pub noted: Option<u64>,
    /// Its health.
    pub part: Part,
}

/// What a gateway says.
#[derive(Debug, Deserialize)]
struct Saying {
    gateway: String,
    symbols: Vec<String>,
}

impl Listener {
    /// Listens until `stop`; reconnects as long as it takes.
    ///
    /// # Errors
    /// Where the Redis address is malformed.
    pub async fn run(mut self, stop: CancellationToken) -> anyhow::Result<()> {
        let client = self.redis.client()?;
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
        while !stop.is_cancelled() {
            let connect = async {
                let mut connection = client.get_async_pubsub().await?;
                connection.subscribe(&self.redis.channel_demand).await?;
                Ok::<_, redis::RedisError>(connection)
            };
            let lost = match stop.run_until_cancelled(timeout(ANSWER_MAX, connect)).await {
                None => return Ok(()),
                Some(Ok(Ok(connection))) => {
                    self.part.ok();
                    backoff.reset();
                    self.demand.resume(Instant::now());
                    if stop.run_until_cancelled(self.listen(connection)).await.is_none() {
                        return Ok(());
                    }
                    "it closed the connection".to_owned()
                }
                Some(Ok(Err(error))) => error.to_string(),
                Some(Err(_)) => format!("no answer within {ANSWER_MAX:?}"),
            };
            // What was subscribed stays so; only changes are not heard.
            self.part.degraded(format!("what clients want cannot be heard, Redis is away: {lost}"));
            let wait = backoff.next_wait(&mut rand::rng());
            stop.run_until_cancelled(sleep(wait)).await;
        }
        Ok(())
    }

    /// Listens until the connection is lost.
    async fn listen(&mut self, connection: PubSub) {
        let mut messages = connection.into_on_message();
        loop {
            let due = self.demand.due();
            tokio::select! {
                message = messages.next() => {
                    let Some(message) = message else { return };
                    match understand(message.get_payload_bytes()) {
                        Ok((gateway, symbols)) => self.demand.hear(Instant::now(), &gateway, symbols),
                        Err(error) => {
                            metrics::counter!("producer_demand_refused_total").increment(1);
                            tracing::warn!("a message on the demand channel is invalid and was ignored: {error:#}");
                        }
                    }
                }
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
            }
            self.demand.expire(Instant::now());
            self.publish();
        }
    }

    fn publish(&mut self) {
        let wishes = self.demand.wishes();
        let changed = self.wishes.send_if_modified(|known| {
            let changed = *known != wishes;
            if changed {
                known.clone_from(&wishes);
            }
            changed
        });
        let refused = Some(self.refusals.iter().map(Refusals::version).sum());
        if changed || self.noted != refused {
            self.noted = refused;
            self.journal.note_wanted(worth_keeping(&wishes, &self.refusals));
        }
    }
}

/// The symbols that the next run should begin with: what every feed has refused is none.
fn worth_keeping(wishes: &Wishes, refusals: &[Refusals]) -> impl Iterator<Item = Symbol> {
    let refused = |symbol: &Symbol| !refusals.is_empty() && refusals.iter().all(|feed| feed.holds(symbol));
    wishes.iter().map(|wish| wish.symbol).filter(move |symbol| !refused(symbol))
}

/// Reads what a gateway says. Names that are no symbols are left out: nobody can have them.
fn understand(payload: &[u8]) -> anyhow::Result<(String, BTreeSet<Symbol>)> {
    let Saying { gateway, symbols } = serde_json::from_slice(payload)?;
    ensure!(!gateway.is_empty() && gateway.len() <= 128, "`gateway` must be a name of 1 to 128 bytes");
    let count = symbols.len();
    let named = symbols.iter().filter_map(|name| Some(Symbol::parse(name).ok()?.symbol));
    let symbols: BTreeSet<Symbol> = named.take(SYMBOLS_MAX).collect();
    if symbols.len() < count {
        metrics::counter!("producer_demand_refused_total").increment((count - symbols.len()) as u64);
    }
    Ok((gateway, symbols))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_every_feed_has_refused_is_not_kept() {
        let symbol = |name: &str| Symbol::new(name).unwrap();
        let wishes = crate::demand::always(&["AAPL", "JUNK", "EURUSD"].map(symbol));
        let feeds = [Refusals::default(), Refusals::default()];
        let kept = || worth_keeping(&wishes, &feeds).collect::<Vec<_>>();
        assert_eq!(kept().len(), 3);
        feeds[0].note(["JUNK", "EURUSD"].map(symbol), "unknown", Instant::now());
        assert_eq!(kept().len(), 3, "another feed may carry them");
        feeds[1].note([symbol("JUNK")], "unknown", Instant::now());
        assert_eq!(kept(), ["AAPL", "EURUSD"].map(symbol));
        assert_eq!(worth_keeping(&wishes, &[]).count(), 3);
    }

    #[test]
    fn a_saying_is_read_and_what_is_no_symbol_is_left_out() {
        let (gateway, symbols) =
            understand(r#"{"gateway":"g1","symbols":["TSLA","AAPL","TSLA","*","","é"],"more":1}"#.as_bytes()).unwrap();
        let names: Vec<String> = symbols.iter().map(ToString::to_string).collect();
        assert_eq!((gateway.as_str(), names.as_slice()), ("g1", &["AAPL".to_owned(), "TSLA".to_owned()][..]));
        assert!(understand(br#"{"gateway":"g1","symbols":[]}"#).unwrap().1.is_empty());
        for nonsense in ["", "[]", r#"{"gateway":"g1"}"#, r#"{"symbols":[]}"#, r#"{"gateway":"","symbols":[]}"#] {
            assert!(understand(nonsense.as_bytes()).is_err(), "{nonsense}");
        }
    }
}
