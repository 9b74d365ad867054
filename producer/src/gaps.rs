//! Admits outages: opens a gap when a feed is lost, closes it when records come again, and hands it on to be healed.

pub mod healing;
pub mod own;

use bytes::Bytes;
use market::{Gap, NS_PER_MS, Symbol};
use tokio::sync::mpsc;

use crate::fanout::FeedClock;
use crate::fanout::cold::Cold;
use crate::fanout::hot::Hot;
use crate::fanout::record::{Encoded, Stream};
use crate::feeds::protocol::Feed;
use crate::journal::Journal;

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
        let told = encode(&Gap { missed: None, ..gap.clone() }); // clients missed nothing that only Kafka lacks
        self.hot.publish(told.as_slice());
        self.cold.accept(&mut encode(gap).into_iter().collect());
    }

    /// Announces the last version of a gap, and forgets it once that is safe: until then a kill could lose it.
    pub fn conclude(&self, gap: &Gap) {
        self.announce(gap);
        self.forget_when_safe(gap);
    }

    /// Concludes a gap whose last version an earlier run has announced, but perhaps not brought to safety. Clients were told then.
    fn conclude_again(&self, gap: &Gap) {
        self.cold.accept(&mut encode(gap).into_iter().collect());
        self.forget_when_safe(gap);
    }

    fn forget_when_safe(&self, gap: &Gap) {
        let (journal, gap) = (self.journal.clone(), gap.clone());
        self.cold.when_safe(move || journal.forget(&gap));
    }
}

fn send_to(heal: &mpsc::Sender<Gap>, gap: Gap) {
    if heal.try_send(gap).is_err() {
        tracing::warn!("too many gaps wait to be healed; this one waits for the next start");
    }
}

fn encode(gap: &Gap) -> Option<Encoded> {
    let key = Symbol::stored(&gap.source).ok()?;
    Some(Encoded { stream: Stream::Gaps, feed: None, symbol: key, ts_ns: 0, seq: 0, json: Bytes::from(gap.encode()) })
}

/// The account of one feed's outages.
pub struct Gaps {
    feed: Feed,
    herald: Herald,
    heal: Option<mpsc::Sender<Gap>>,
    open: Option<Gap>,
    /// A gap of our own making, while it lasts.
    own: Option<Gap>,
    /// Start (feed time in Unix nanoseconds) and cause of what may be an outage, or a market in which nothing happens.
    doubt: Option<(i64, String)>,
}

impl Gaps {
    /// Takes up the account where the last run left it: time that no run has seen is a gap too, and what that run did not finish goes
    /// on. `heal` is `None` for a feed without a history, whose gaps stay.
    #[must_use]
    pub fn resume(feed: Feed, journal: &Journal, herald: Herald, heal: Option<mpsc::Sender<Gap>>) -> Self {
        let safe_ns = journal.safe_ns(feed);
        let safe_ms = safe_ns.map(|ns| ns.div_euclid(NS_PER_MS));
        let mut gaps = Self { feed, herald, heal, open: None, own: None, doubt: None };
        for gap in journal.gaps(feed) {
            if gap.healed_at.is_some() {
                gaps.herald.conclude_again(&gap);
            } else if gaps.open.is_none() && (gap.to.is_none() || Some(gap.from) == safe_ms) {
                // Nothing that came after it was safe: whether it had an end or not, the same outage goes on.
                gaps.open = Some(Gap { to: None, ..gap });
            } else if let Some(heal) = &gaps.heal {
                send_to(heal, gap);
            } else {
                gaps.herald.conclude_again(&gap);
            }
        }
        match (&gaps.open, safe_ns) {
            (Some(gap), _) => journal.note(gap),
            (None, Some(safe_ns)) => gaps.begin(safe_ns, "the producer was not running"),
            (None, None) => {} // the first run
        }
        gaps
    }

    /// The feed is lost. An outage that goes on keeps its first cause.
    pub fn lost(&mut self, clock: FeedClock, cause: &str) {
        self.doubted(clock, cause);
        self.believe();
    }

    /// The feed may be lost: it says nothing. If it was, the first record that comes again will tell; a halted market has no gap that
    /// nobody could ever close.
    pub fn doubted(&mut self, clock: FeedClock, cause: &str) {
        if let (None, None, Some(newest_ns)) = (&self.open, &self.doubt, clock.newest_ns()) {
            self.doubt = Some((newest_ns, cause.to_owned()));
        }
    }

    fn believe(&mut self) {
        if let Some((from_ns, cause)) = self.doubt.take() {
            self.begin(from_ns, &cause);
        }
    }

    /// Records come again: the gap ends with the first of them.
    pub fn heard(&mut self, clock: FeedClock) {
        let Some(first_ns) = clock.first_ns().filter(|_| self.open.is_some() || self.doubt.is_some()) else { return };
        self.believe();
        let Some(mut gap) = self.open.take() else { return };
        gap.to = Some((first_ns.div_euclid(NS_PER_MS) + 1).max(gap.from));
        tracing::warn!(feed = self.feed.name(), from = gap.from, to = gap.to, cause = gap.cause, "gap in the feed");
        let Some(heal) = &self.heal else { return self.herald.conclude(&gap) };
        self.herald.announce(&gap);
        send_to(heal, gap);
    }

    fn begin(&mut self, from_ns: i64, cause: &str) {
        let from = from_ns.div_euclid(NS_PER_MS);
        // A gap is known by its start, so another one, although nothing was safe in between, begins a millisecond later.
        let taken = self.herald.journal.last_gap(self.feed) == Some(from);
        let stays =
            if self.feed.keeps_trades() { "" } else { "; this feed has no history of trades, so the gap stays" };
        let gap = Gap::open(&self.feed.source(), from + i64::from(taken), format!("{cause}{stays}"));
        metrics::counter!("producer_gaps_total").increment(1);
        self.herald.announce(&gap);
        self.open = Some(gap);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use service::redis::RedisConfig;
    use service::{Health, Vars};

    use super::*;

    /// Gaps as a run finds them that has this journal, what it announced by then, and what is to be healed.
    fn resumed(journal: &Journal) -> (Gaps, Vec<Gap>, Option<Gap>) {
        let redis = Vars::from_pairs(&[]).load(RedisConfig::from_vars).unwrap();
        let (hot, _) = Hot::new(redis, Health::new("test").part("redis"));
        let herald = Herald::new(hot.clone(), Cold::default(), journal.clone());
        let (heal, mut to_heal) = mpsc::channel(1);
        let gaps = Gaps::resume(Feed::Alpaca, journal, herald, Some(heal));
        let announced = hot.queued().iter().map(|record| Gap::decode(&record.json).unwrap()).collect();
        (gaps, announced, to_heal.try_recv().ok())
    }

    fn journal(folder: &tempfile::TempDir, safe_ms: i64) -> Journal {
        let journal = Journal::open(folder.path().join("journal.json")).unwrap();
        journal.advance(Feed::Alpaca, safe_ms * NS_PER_MS + 5, []);
        journal
    }

    fn gap(from: i64, to: Option<i64>) -> Gap {
        Gap { to, ..Gap::open(&Feed::Alpaca.source(), from, "cut") }
    }

    #[test]
    fn time_that_no_run_has_seen_is_a_gap() {
        let folder = tempfile::tempdir().unwrap();
        let journal = journal(&folder, 100);
        let (gaps, announced, to_heal) = resumed(&journal);
        assert_eq!(gaps.open.map(|gap| (gap.from, gap.cause)), Some((100, "the producer was not running".to_owned())));
        assert_eq!((announced.len(), to_heal), (1, None));
    }

    #[test]
    fn an_outage_in_which_the_producer_dies_goes_on_and_is_not_announced_twice() {
        for to in [None, Some(120)] {
            let folder = tempfile::tempdir().unwrap();
            let journal = journal(&folder, 100);
            journal.note(&gap(100, to));
            let (gaps, announced, to_heal) = resumed(&journal);
            assert_eq!(gaps.open, Some(gap(100, None)), "it keeps its start and its first cause");
            assert_eq!((announced.len(), to_heal, journal.gaps(Feed::Alpaca)), (0, None, vec![gap(100, None)]));
        }
    }

    #[test]
    fn an_outage_after_a_healed_one_is_another_even_where_nothing_was_safe_in_between() {
        let folder = tempfile::tempdir().unwrap();
        let journal = journal(&folder, 100);
        journal.note(&gap(100, None));
        journal.note(&Gap { healed_at: Some(200), ..gap(100, Some(120)) });
        let (gaps, announced, to_heal) = resumed(&journal);
        assert_eq!((gaps.open.map(|gap| gap.from), announced.len(), to_heal), (Some(101), 1, None));
    }

    #[test]
    fn the_last_word_on_a_gap_is_said_again_until_it_is_safe() {
        let folder = tempfile::tempdir().unwrap();
        let journal = journal(&folder, 500);
        let healed = Gap { healed_at: Some(200), ..gap(100, Some(120)) };
        journal.note(&healed);
        let redis = Vars::from_pairs(&[]).load(RedisConfig::from_vars).unwrap();
        let (hot, _) = Hot::new(redis, Health::new("test").part("redis"));
        let cold = Cold::default();
        let herald = Herald::new(hot, cold.clone(), journal.clone());
        let (heal, _) = mpsc::channel(1);
        let _gaps = Gaps::resume(Feed::Alpaca, &journal, herald, Some(heal));
        let mut records = Vec::new();
        cold.take(&mut records, usize::MAX, usize::MAX, Duration::ZERO);
        assert_eq!(Gap::decode(&records[0].json).unwrap(), healed);
        assert!(journal.gaps(Feed::Alpaca).contains(&healed), "not safe as yet");
        cold.settled([1, 0]);
        assert!(!journal.gaps(Feed::Alpaca).contains(&healed));
    }

    #[test]
    fn an_ended_gap_of_long_ago_waits_for_its_healing_and_is_no_part_of_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let journal = journal(&folder, 500);
        journal.note(&gap(100, Some(120)));
        let (gaps, _, to_heal) = resumed(&journal);
        assert_eq!(gaps.open.map(|gap| gap.from), Some(500));
        assert_eq!(to_heal, Some(gap(100, Some(120))));
        assert_eq!(journal.gaps(Feed::Alpaca).len(), 2);
    }
}
