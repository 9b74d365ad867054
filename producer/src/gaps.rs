//! Declares outages: a gap opens when a feed is lost or silent, ends when records come again, and is handed on to be healed.
//!
//! [`extent`] decides from when to when, by our clock and what [`clock`] knows of the feed's; [`healing`] reads the history, and
//! [`proof`] judges whether the gap may be called healed, with what the stream delivered around it ([`witness`]).

pub mod clock;
pub mod extent;
pub mod healing;
pub mod looks;
pub mod own;
pub mod proof;
pub mod witness;

use bytes::Bytes;
use market::{Gap, NS_PER_MS, Symbol, Trade};
use tokio::sync::mpsc;

use crate::fanout::cold::Cold;
use crate::fanout::hot::Hot;
use crate::fanout::record::{Encoded, Stream};
use crate::feeds::protocol::Feed;
use crate::journal::Journal;

use self::clock::Habits;
use self::extent::{Change, Extents};
use self::witness::{Bystander, Witnesses};

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

/// A gap that has ended, with the trades that the stream delivered around it.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The gap.
    pub gap: Gap,
    /// What was delivered before and after; after it, the trades are still being collected.
    pub witnesses: Witnesses,
}

fn send_to(heal: &mpsc::Sender<Ended>, ended: Ended) {
    if heal.try_send(ended).is_err() {
        tracing::warn!("too many gaps wait to be healed; this one waits for the next start");
    }
}

fn encode(gap: &Gap) -> Option<Encoded> {
    let key = Symbol::stored(&gap.source).ok()?;
    Some(Encoded {
        stream: Stream::Gaps,
        feed: None,
        symbol: key,
        ts_ns: 0,
        heard_ns: None,
        seq: 0,
        json: Bytes::from(gap.encode()),
    })
}

/// The account of one feed's outages. Times named `at_ns` are by a clock of ours that never steps, in Unix nanoseconds.
pub struct Gaps {
    feed: Feed,
    herald: Herald,
    heal: Option<mpsc::Sender<Ended>>,
    extents: Extents,
    bystander: Bystander,
    open: Option<Ended>,
    /// A gap of our own making, while it lasts.
    own: Option<Gap>,
    noted: Option<Habits>,
}

impl Gaps {
    /// Takes up the account where the last run left it: time that no run has seen is a gap too, and what that run did not finish goes
    /// on. `heal` is `None` for a feed without a history, whose gaps stay. `now_ms`: the wall clock.
    #[must_use]
    pub fn resume(
        feed: Feed,
        journal: &Journal,
        herald: Herald,
        heal: Option<mpsc::Sender<Ended>>,
        now_ms: i64,
    ) -> Self {
        let safe_ns = journal.safe_ns(feed);
        let safe_ms = safe_ns.map(|ns| ns.div_euclid(NS_PER_MS));
        let last = journal.habits(feed);
        let mut open = None;
        for gap in journal.gaps(feed) {
            if gap.healed_at.is_some() {
                herald.conclude_again(&gap);
            } else if open.is_none() && gap.to.is_none_or(|to| safe_ms.is_some_and(|safe_ms| safe_ms < to)) {
                // Nothing that came after it was safe: whether it had an end or not, the same outage goes on.
                open = Some(Gap { to: None, ..gap });
            } else if let Some(heal) = &heal {
                send_to(heal, Ended { gap, witnesses: Witnesses::default() });
            } else {
                herald.conclude_again(&gap);
            }
        }
        let from_ns = open.as_ref().map(|gap| gap.from.saturating_mul(NS_PER_MS)).or_else(|| {
            // A journal that was led astray by a wrong stamp must not put the gap into the future.
            let safe_ns = safe_ns?.min(now_ms.saturating_mul(NS_PER_MS));
            Some(safe_ns.saturating_sub(last.map_or(0, |habits| habits.late_ns)))
        });
        let extents = Extents::new(last, from_ns);
        let mut gaps =
            Self { feed, herald, heal, extents, bystander: Bystander::default(), open: None, own: None, noted: last };
        match (open, from_ns) {
            (Some(gap), _) => {
                journal.note(&gap);
                gaps.open = Some(Ended { gap, witnesses: Witnesses::default() });
            }
            (None, Some(from_ns)) => gaps.begin(from_ns, "the producer was not running"),
            (None, None) => {} // the first run
        }
        gaps
    }

    /// Whether all that the feed sends now arrives, as far as anybody can know.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.extents.is_complete()
    }

    /// The feed's time in Unix milliseconds when ours is `at_ns`; by the wall clock until the feed has said enough.
    #[must_use]
    pub fn feed_ms(&self, at_ns: i64) -> i64 {
        self.extents.time().middle_at(at_ns).div_euclid(NS_PER_MS)
    }

    /// The feed's time to which a record that arrives now is known, Unix nanoseconds. See [`Extents::heard_ns`].
    #[must_use]
    pub fn heard_ns(&self, at_ns: i64) -> Option<i64> {
        self.extents.heard_ns(at_ns)
    }

    /// A trade is in the frame that arrives.
    pub fn trade(&mut self, at_ns: i64, trade: &Trade) {
        self.extents.trade(at_ns, trade.ts_ns);
        self.bystander.saw(trade);
    }

    /// A frame has arrived; the last of its trades and quotes is stamped `ts_ns`.
    pub fn heard(&mut self, at_ns: i64, ts_ns: i64) {
        let change = self.extents.frame(at_ns, ts_ns);
        self.take(change);
    }

    /// A connection begins.
    pub fn connected(&mut self) {
        self.extents.connected();
    }

    /// Its subscription is acknowledged.
    pub fn subscribed(&mut self, at_ns: i64) {
        self.extents.subscribed(at_ns);
    }

    /// The connection is over. An outage that goes on keeps its first cause.
    pub fn lost(&mut self, cause: &str) {
        let change = self.extents.lost(cause);
        self.take(change);
    }

    /// The feed answers and sends no records.
    pub fn silent(&mut self, cause: &str) {
        let change = self.extents.silent(cause);
        self.take(change);
    }

    /// Time passes.
    pub fn tick(&mut self, at_ns: i64) {
        let change = self.extents.tick(at_ns);
        self.take(change);
        let habits = self.extents.time().habits();
        let moved = |noted: Habits| {
            let differ = |a: i64, b: i64| a.abs_diff(b) > HABITS_STEP_NS;
            differ(noted.offset_ns, habits.offset_ns)
                || differ(noted.late_ns, habits.late_ns)
                || differ(noted.early_ns, habits.early_ns)
        };
        if self.extents.time().is_known() && self.noted.is_none_or(moved) {
            self.herald.journal.note_habits(self.feed, habits);
            self.noted = Some(habits);
        }
    }

    fn take(&mut self, change: Option<Change>) {
        match change {
            Some(Change::Began { from_ns, cause }) => self.begin(from_ns, &cause),
            Some(Change::Ended { to_ns }) => self.end(to_ns),
            None => {}
        }
    }

    fn begin(&mut self, from_ns: i64, cause: &str) {
        // A gap is known by its start, so another one begins a millisecond earlier.
        let taken = self.herald.journal.last_gap(self.feed);
        let mut from = from_ns.div_euclid(NS_PER_MS);
        while taken == Some(from) || self.herald.journal.gaps(self.feed).iter().any(|gap| gap.from == from) {
            from -= 1;
        }
        let stays =
            if self.feed.keeps_trades() { "" } else { "; this feed has no history of trades, so the gap stays" };
        let gap = Gap::open(&self.feed.source(), from, format!("{cause}{stays}"));
        metrics::counter!("producer_gaps_total").increment(1);
        self.herald.announce(&gap);
        self.open = Some(Ended { gap, witnesses: self.bystander.began() });
    }

    fn end(&mut self, to_ns: i64) {
        let Some(mut ended) = self.open.take() else { return };
        let gap = &mut ended.gap;
        gap.to = Some((to_ns.div_euclid(NS_PER_MS) + 1).max(gap.from));
        tracing::warn!(feed = self.feed.name(), from = gap.from, to = gap.to, cause = gap.cause, "gap in the feed");
        self.bystander.ended(&ended.witnesses);
        let Some(heal) = &self.heal else { return self.herald.conclude(&ended.gap) };
        self.herald.announce(&ended.gap);
        send_to(heal, ended);
    }
}

/// What the feed's time and lateness may drift before the journal notes it.
const HABITS_STEP_NS: u64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use service::redis::RedisConfig;
    use service::{Health, Vars};

    use super::*;

    /// Gaps as a run finds them that has this journal, what it announced by then, and what is to be healed.
    fn resumed(journal: &Journal) -> (Option<Gap>, Vec<Gap>, Option<Gap>) {
        let redis = Vars::from_pairs(&[]).load(RedisConfig::from_vars).unwrap();
        let (hot, _) = Hot::new(redis, Health::new("test").part("redis"));
        let herald = Herald::new(hot.clone(), Cold::default(), journal.clone());
        let (heal, mut to_heal) = mpsc::channel(1);
        let gaps = Gaps::resume(Feed::Alpaca, journal, herald, Some(heal), 1_000_000);
        let announced = hot.queued().iter().map(|record| Gap::decode(&record.json).unwrap()).collect();
        (gaps.open.map(|open| open.gap), announced, to_heal.try_recv().ok().map(|ended| ended.gap))
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
        let (open, announced, to_heal) = resumed(&journal);
        assert_eq!(open.map(|gap| (gap.from, gap.cause)), Some((100, "the producer was not running".to_owned())));
        assert_eq!((announced.len(), to_heal), (1, None));
    }

    #[test]
    fn an_outage_in_which_the_producer_dies_goes_on_and_is_not_announced_twice() {
        for to in [None, Some(120)] {
            let folder = tempfile::tempdir().unwrap();
            let journal = journal(&folder, 100);
            journal.note(&gap(100, to));
            let (open, announced, to_heal) = resumed(&journal);
            assert_eq!(open, Some(gap(100, None)), "it keeps its start and its first cause");
            assert_eq!((announced.len(), to_heal, journal.gaps(Feed::Alpaca)), (0, None, vec![gap(100, None)]));
        }
    }

    #[test]
    fn an_outage_after_a_healed_one_is_another_even_where_nothing_was_safe_in_between() {
        let folder = tempfile::tempdir().unwrap();
        let journal = journal(&folder, 100);
        journal.note(&gap(100, None));
        journal.note(&Gap { healed_at: Some(200), ..gap(100, Some(120)) });
        let (open, announced, to_heal) = resumed(&journal);
        assert_eq!((open.map(|gap| gap.from), announced.len(), to_heal), (Some(99), 1, None));
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
        let _gaps = Gaps::resume(Feed::Alpaca, &journal, herald, Some(heal), 1_000_000);
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
        let (open, _, to_heal) = resumed(&journal);
        assert_eq!(open.map(|gap| gap.from), Some(500));
        assert_eq!(to_heal, Some(gap(100, Some(120))));
        assert_eq!(journal.gaps(Feed::Alpaca).len(), 2);
    }
}
