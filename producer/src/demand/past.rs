//! A chart needs a past: the first time a symbol has records or is wanted, its bars of the last days are fetched from the REST history.
//!
//! They go down the cold path like backfilled ones. The journal remembers which symbols have theirs, so a restart fetches nothing twice;
//! what is missed later is a gap, and [`crate::gaps::healing`]'s business.

use std::collections::HashSet;
use std::time::Duration;

use market::Symbol;
use service::CancellationToken;
use tokio::time::{Instant, sleep};

use crate::demand::Watched;
use crate::demand::barren::Barren;
use crate::fanout::cold::Cold;
use crate::fanout::record::Encoded;
use crate::feeds::archive::Archive;
use crate::feeds::occurrences::Occurrences;
use crate::feeds::rest::Kind;
use crate::gaps::healing::encode;
use crate::journal::Journal;

/// Symbols that nobody has asked for and that are given a past all the same; with more, only the first ones, because a whole market's would
/// take hours. Who asks for a symbol gets its past whatever this says.
const UNASKED_MAX: usize = 500;
/// Symbols in one fetch: the most wanted ones first, and none waits for all.
const BATCH: usize = 100;
/// How often new symbols are looked for.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Pause before a history that was refused is asked for again.
const RETRY_PAUSE: Duration = Duration::from_secs(60);
const NS_PER_DAY: i64 = 86_400_000_000_000;

/// The task that fetches pasts.
pub struct PastBars {
    /// History of the feed.
    pub archive: Archive,
    /// How many days back; 0 fetches nothing.
    pub days: u32,
    /// What is wanted: a quiet symbol needs a past too.
    pub wanted: Watched,
    /// Where records go.
    pub cold: Cold,
    /// Which symbols there are, and which have their past.
    pub journal: Journal,
    /// Which have none.
    pub barren: Barren,
}

impl PastBars {
    /// Fetches until `stop`.
    ///
    /// # Errors
    /// Never: a chart with a short past is better than a producer that stops.
    pub async fn run(mut self, stop: CancellationToken) -> anyhow::Result<()> {
        let days = self.days;
        let fetching = async {
            loop {
                let wishes = self.wanted.latest().unwrap_or_default();
                let wanted: Vec<Symbol> = wishes.iter().map(|wish| wish.symbol).collect();
                let now = Instant::now();
                let mut symbols = self.journal.symbols_without_past(self.archive.feed(), &wanted, UNASKED_MAX);
                symbols.retain(|symbol| !self.barren.holds(symbol, now));
                symbols.truncate(BATCH);
                let wait = match self.fetch(&symbols).await {
                    Ok(()) => LOOK_INTERVAL,
                    Err(error) => {
                        tracing::warn!("the past of {} symbols could not be fetched: {error:#}", symbols.len());
                        RETRY_PAUSE
                    }
                };
                sleep(wait).await;
            }
        };
        if days == 0 {
            stop.cancelled().await;
        } else {
            stop.run_until_cancelled(fetching).await;
        }
        Ok(())
    }

    async fn fetch(&mut self, symbols: &[Symbol]) -> anyhow::Result<()> {
        let Some(now_ns) = self.journal.safe_ns(self.archive.feed()).filter(|_| !symbols.is_empty()) else {
            return Ok(());
        };
        let start_ns = now_ns.saturating_sub(i64::from(self.days) * NS_PER_DAY);
        let mut pages = self.archive.pages(Kind::Bars, symbols, (start_ns, now_ns))?;
        let (mut bars, mut fruitful) = (0, HashSet::new());
        while let Some(events) = pages.next().await? {
            let mut records: Vec<Encoded> =
                events.into_iter().filter_map(|bar| encode(bar, &mut Occurrences::default())).collect();
            fruitful.extend(records.iter().map(|record| record.symbol));
            bars += records.len();
            self.cold.room().await;
            self.cold.accept(&mut records);
        }
        self.cold.safe().await;
        tracing::info!(symbols = symbols.len(), bars, days = self.days, "fetched the past");
        // Only what the feed carries is remembered across a restart: a name without a past costs a question now and then, no more.
        let (with_past, without): (Vec<_>, Vec<_>) =
            symbols.iter().partition(|symbol| fruitful.contains::<Symbol>(symbol));
        self.journal.note_past(self.archive.feed(), &with_past);
        self.barren.note(without, Instant::now());
        Ok(())
    }
}
