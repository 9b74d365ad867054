//! Admits outages: opens a gap when a feed is lost, closes it when records come again, and hands it on to be healed.

use bytes::Bytes;
use market::{Gap, NS_PER_MS, Symbol};
use tokio::sync::mpsc;

use crate::cold::Cold;
use crate::fanout::FeedClock;
use crate::feed::Feed;
use crate::hot::Hot;
use crate::journal::Journal;
use crate::record::{Encoded, Stream};

/// Tells everybody about a gap: clients through Redis, the database through Kafka, the next run through the journal.
#[derive(Clone)]
pub struct Herald {
    hot: Hot,
    cold: Cold,
    journal: Journal,
}

impl Herald {
    /// Speaks through both paths and the journal.
    #[must_use]
    pub fn new(hot: Hot, cold: Cold, journal: Journal) -> Self {
        Self { hot, cold, journal }
    }

    /// Announces a gap in its present version.
    pub fn announce(&self, gap: &Gap) {
        self.journal.note(gap);
        let Ok(key) = Symbol::new(&gap.source) else { return };
        let mut record =
            vec![Encoded { stream: Stream::Gaps, feed: None, symbol: key, ts_ns: 0, json: Bytes::from(gap.encode()) }];
        self.hot.publish(&record);
        self.cold.accept(&mut record);
    }
}

/// The account of one feed's outages.
pub struct Gaps {
    feed: Feed,
    herald: Herald,
    heal: Option<mpsc::Sender<Gap>>,
    open: Option<Gap>,
}

impl Gaps {
    /// Takes up the account where the last run left it: time that no run has seen is a gap too. `heal` is `None` for a feed without a
    /// history, whose gaps stay.
    #[must_use]
    pub fn resume(feed: Feed, journal: &Journal, herald: Herald, heal: Option<mpsc::Sender<Gap>>) -> Self {
        let open = journal.gaps(feed).into_iter().find(|gap| gap.to.is_none());
        let mut gaps = Self { feed, herald, heal, open };
        if let (None, Some(safe_ns)) = (&gaps.open, journal.safe_ns(feed)) {
            gaps.begin(safe_ns, "the producer was not running");
        }
        gaps
    }

    /// The feed is lost. An outage that goes on keeps its first cause.
    pub fn lost(&mut self, clock: FeedClock, cause: &str) {
        if let (None, Some(newest_ns)) = (&self.open, clock.newest_ns()) {
            self.begin(newest_ns, cause);
        }
    }

    /// Records come again: the gap ends with the first of them.
    pub fn heard(&mut self, clock: FeedClock) {
        let Some(first_ns) = clock.first_ns().filter(|_| self.open.is_some()) else { return };
        let Some(mut gap) = self.open.take() else { return };
        gap.to = Some((first_ns.div_euclid(NS_PER_MS) + 1).max(gap.from));
        tracing::warn!(feed = self.feed.name(), from = gap.from, to = gap.to, cause = gap.cause, "gap in the feed");
        self.herald.announce(&gap);
        let Some(heal) = &self.heal else { return self.herald.journal.forget(&gap) };
        if heal.try_send(gap).is_err() {
            tracing::warn!("too many gaps wait to be healed; this one waits for the next start");
        }
    }

    fn begin(&mut self, from_ns: i64, cause: &str) {
        let gap = Gap::open(&self.feed.source(), from_ns.div_euclid(NS_PER_MS), cause);
        metrics::counter!("producer_gaps_total").increment(1);
        self.herald.announce(&gap);
        self.open = Some(gap);
    }
}
