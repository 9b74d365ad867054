//! Heals gaps: fetches from the REST history what the stream sent while nobody listened, and sends it down the cold path.
//!
//! The fetch reaches a little beyond both ends of the gap, because trades are reported late; what was stored already is recognised by
//! its natural key in PostgreSQL. Backfilled records have no position: they never were in the live stream.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use market::wire::{encode_bar, encode_trade};
use market::{Gap, NS_PER_MS, Symbol};
use service::{CancellationToken, Part};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::demand::Watched;
use crate::fanout::cold::Cold;
use crate::fanout::record::{Encoded, Stream};
use crate::feeds::archive::Archive;
use crate::feeds::event::Event;
use crate::feeds::occurrences::Occurrences;
use crate::gaps::Herald;
use crate::journal::Journal;

/// Pause before a gap that could not be healed is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(300);

/// When and how much to fetch.
#[derive(Clone, Copy, Debug)]
pub struct BackfillSettings {
    /// The history needs this long after the gap's end to be complete.
    pub hold_back: Duration,
    /// How far beyond both ends of the gap to fetch.
    pub margin: Duration,
}

/// The task that heals gaps, one after the other.
pub struct Backfill {
    /// History of the feed.
    pub archive: Archive,
    /// What is wanted now; where everything is subscribed, what to fetch is every symbol that ever had records.
    pub wanted: Watched,
    /// What was wanted when the last run ended.
    pub wanted_before: Vec<Symbol>,
    /// When and how much.
    pub settings: BackfillSettings,
    /// Where records go.
    pub cold: Cold,
    /// Where a healed gap is announced.
    pub herald: Herald,
    /// Symbols that had records.
    pub journal: Journal,
    /// Its health.
    pub part: Part,
}

impl Backfill {
    /// Heals gaps until `stop`. A gap that is not healed then is taken up by the next run.
    ///
    /// # Errors
    /// Never; a history that refuses is degraded health.
    pub async fn run(mut self, mut gaps: mpsc::Receiver<Gap>, stop: CancellationToken) -> anyhow::Result<()> {
        let mut waiting: Vec<(Instant, Gap)> = Vec::new();
        self.part.ok();
        loop {
            let next = (0..waiting.len()).min_by_key(|at| waiting[*at].0);
            let due = next.map(|at| waiting[at].0);
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                gap = gaps.recv() => match gap {
                    Some(gap) => waiting.push((Instant::now() + self.settings.hold_back, gap)),
                    None => {
                        stop.cancelled().await; // the feed has ended; so will everything else
                        return Ok(());
                    }
                },
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    let Some((_, gap)) = next.map(|at| waiting.swap_remove(at)) else { continue };
                    let Some(healed) = stop.run_until_cancelled(self.heal(&gap)).await else { return Ok(()) };
                    match healed {
                        Ok(records) => self.healed(gap, records),
                        Err(error) => {
                            self.part.degraded(format!("a gap from {} could not be filled: {error:#}", gap.from));
                            waiting.push((Instant::now() + RETRY_PAUSE, gap));
                        }
                    }
                }
            }
        }
    }

    /// Fetches trades, then bars, and waits until they are safe; returns how many records there were.
    async fn heal(&mut self, gap: &Gap) -> anyhow::Result<usize> {
        let margin_ns = i64::try_from(self.settings.margin.as_nanos())?;
        let start_ns = gap.from.saturating_mul(NS_PER_MS).saturating_sub(margin_ns);
        let end_ns = gap.to.unwrap_or(gap.from).saturating_mul(NS_PER_MS).saturating_add(margin_ns);
        let symbols = self.symbols();
        let (mut handed_on, mut occurrences) = (0, Occurrences::default());
        for kind in self.archive.kinds() {
            let mut pages = self.archive.pages(*kind, &symbols, (start_ns, end_ns))?;
            while let Some(events) = pages.next().await? {
                let encode = |event| encode(event, &mut occurrences);
                let mut records: Vec<Encoded> = events.into_iter().filter_map(encode).collect();
                handed_on += records.len();
                self.cold.room().await;
                self.cold.accept(&mut records);
            }
        }
        self.cold.safe().await; // a gap that is called healed must stay so, whoever is killed next
        Ok(handed_on)
    }

    fn symbols(&mut self) -> Vec<Symbol> {
        let Some(wishes) = self.wanted.latest() else { return self.journal.symbols(self.archive.feed()) };
        let wanted = wishes.iter().map(|wish| wish.symbol).chain(self.wanted_before.iter().copied());
        wanted.collect::<BTreeSet<_>>().into_iter().collect()
    }

    fn healed(&self, mut gap: Gap, records: usize) {
        metrics::counter!("producer_backfilled_total").increment(records as u64);
        if !self.archive.feed().keeps_trades() {
            tracing::info!(from = gap.from, to = gap.to, records, "bars of a gap fetched; its trades are nowhere");
            self.journal.forget(&gap);
            return self.part.ok();
        }
        tracing::info!(from = gap.from, to = gap.to, records, "gap healed");
        gap.healed_at = Some(jiff::Timestamp::now().as_millisecond());
        self.herald.conclude(&gap);
        self.part.ok();
    }
}

/// A record of the history for the cold path; `None` for what is none.
pub(crate) fn encode(event: Event, occurrences: &mut Occurrences) -> Option<Encoded> {
    let mut json = Vec::with_capacity(256);
    let (stream, symbol) = match event {
        Event::Trade(trade) => {
            let trade = occurrences.named(trade);
            encode_trade(&trade, None, &mut json);
            (Stream::Trades, trade.symbol)
        }
        Event::Bar(bar) => {
            encode_bar(&bar, None, &mut json);
            (Stream::Bars, bar.symbol)
        }
        Event::Skipped(skip) => {
            metrics::counter!("producer_skipped_total", "reason" => skip.reason()).increment(1);
            return None;
        }
        _ => return None,
    };
    // No feed and no feed time: a backfilled record says nothing about how far the live stream is known.
    Some(Encoded { stream, feed: None, symbol, ts_ns: 0, seq: 0, json: Bytes::from(json) })
}

#[cfg(test)]
mod tests {
    use service::redis::RedisConfig;
    use service::{Health, Secret, Vars};
    use tokio::io::{AsyncBufReadExt as _, BufReader};
    use tokio::net::TcpListener;
    use tokio::sync::watch;

    use super::*;
    use crate::demand::always;
    use crate::fanout::hot::Hot;
    use crate::feeds::alpaca;
    use crate::feeds::protocol::Feed;

    #[tokio::test(start_paused = true)]
    async fn the_history_of_a_gap_has_a_minute_to_be_complete_and_is_asked_for_beyond_both_ends() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let rest = alpaca::rest::Rest::new(&address, "ws://x/v2/sip", Secret::new("k"), Secret::new("s")).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(folder.path().join("journal.json")).unwrap();
        let health = Health::new("test");
        let redis = Vars::from_pairs(&[]).load(RedisConfig::from_vars).unwrap();
        let (hot, _) = Hot::new(redis, health.part("redis"));
        let cold = Cold::default();
        let (_wishes, watched) = watch::channel(always(&[Symbol::new("BRK.B").unwrap()]));
        let backfill = Backfill {
            archive: Archive::Alpaca(rest),
            wanted: Watched::new(watched),
            wanted_before: Vec::new(),
            settings: BackfillSettings { hold_back: Duration::from_secs(60), margin: Duration::from_secs(60) },
            cold: cold.clone(),
            herald: Herald::new(hot, cold, journal.clone()),
            journal,
            part: health.part("backfill"),
        };
        let (sender, gaps) = mpsc::channel(1);
        let healing = tokio::spawn(backfill.run(gaps, CancellationToken::new()));

        let ms = |time: &str| time.parse::<jiff::Timestamp>().unwrap().as_millisecond();
        let gap = Gap::open(&Feed::Alpaca.source(), ms("2024-06-03T14:00:00Z"), "cut");
        let ended = Instant::now();
        sender.send(Gap { to: Some(ms("2024-06-03T14:05:00Z")), ..gap }).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let waited = ended.elapsed();
        assert!(waited >= Duration::from_secs(60) && waited < Duration::from_secs(62), "{waited:?}");
        let asked = BufReader::new(stream).lines().next_line().await.unwrap().unwrap();
        for part in
            ["/v2/stocks/trades?", "symbols=BRK.B", "start=2024-06-03T13%3A59%3A00Z", "end=2024-06-03T14%3A06%3A00Z"]
        {
            assert!(asked.contains(part), "{part} is not in {asked}");
        }
        healing.abort();
    }
}
