//! The account of live records that found no room on the cold path, feed by feed.
//!
//! Every one of them was seen, so the extent is known exactly: by the records' own time, by what arrived when, and by number.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use market::gap::Missed;
use market::{NS_PER_MS, Symbol};

use crate::fanout::record::{Encoded, Stream};
use crate::feeds::protocol::Feed;

/// A record that is stamped further from its arrival than this is no evidence of the extent, unless the whole feed is: a replay.
const STAMP_OFF_MAX_NS: i64 = 86_400_000_000_000;

/// A shortage is over when there was room for this long: one that comes and goes is one gap and not hundreds.
const SETTLE: Duration = Duration::from_secs(3);

/// News about one feed's missed records.
#[derive(Clone, Debug, PartialEq)]
pub enum Shortage {
    /// Records are missed from this feed time on, Unix milliseconds.
    Began {
        /// Time of the first missed record.
        from_ms: i64,
    },
    /// There is room again; what was missed in all.
    Over(Extent),
}

/// What was missed.
#[derive(Clone, Debug, PartialEq)]
pub struct Extent {
    /// Feed time of the oldest and the newest missed record, Unix milliseconds, both included.
    pub span_ms: (i64, i64),
    /// How many records.
    pub records: u64,
    /// First and last number of the missed trades, by symbol.
    pub seqs: BTreeMap<String, (u64, u64)>,
    /// The same of bars.
    pub bar_seqs: BTreeMap<String, (u64, u64)>,
}

impl Extent {
    /// As a gap carries it. `epoch`: this run.
    #[must_use]
    pub fn missed(&self, epoch: i64) -> Missed {
        Missed { epoch, records: self.records, trades: self.seqs.clone(), bars: self.bar_seqs.clone() }
    }
}

/// All feeds' accounts.
#[derive(Debug)]
pub struct Overflow {
    open: bool,
    /// When there was room again.
    closed_at: Option<Instant>,
    settle: Duration,
    feeds: [Option<Account>; Feed::ALL.len()],
}

#[derive(Debug)]
struct Account {
    announced: bool,
    /// Stamped near their arrival, and not.
    near: Span,
    far: Span,
    records: u64,
    seqs: BTreeMap<(u8, Symbol), (u64, u64)>,
}

/// Oldest and newest stamp in Unix nanoseconds, and how many there were.
#[derive(Clone, Copy, Debug)]
struct Span {
    ns: (i64, i64),
    count: u64,
}

impl Span {
    const EMPTY: Self = Self { ns: (i64::MAX, i64::MIN), count: 0 };

    fn see(&mut self, ts_ns: i64) {
        self.ns = (self.ns.0.min(ts_ns), self.ns.1.max(ts_ns));
        self.count += 1;
    }
}

impl Account {
    const EMPTY: Self =
        Self { announced: false, near: Span::EMPTY, far: Span::EMPTY, records: 0, seqs: BTreeMap::new() };

    fn miss(&mut self, record: &Encoded, now_ns: i64) {
        self.records += 1;
        if record.ts_ns.abs_diff(now_ns) <= STAMP_OFF_MAX_NS.unsigned_abs() {
            self.near.see(record.ts_ns);
        } else {
            self.far.see(record.ts_ns);
        }
        let seqs = self.seqs.entry((record.stream as u8, record.symbol)).or_insert((record.seq, record.seq));
        seqs.1 = record.seq;
    }

    fn span_ms(&self) -> (i64, i64) {
        let span = if self.near.count >= self.far.count { self.near } else { self.far };
        (span.ns.0.div_euclid(NS_PER_MS), span.ns.1.div_euclid(NS_PER_MS) + 1)
    }

    fn extent(&self) -> Extent {
        let of = |stream: Stream| {
            let ours = self.seqs.iter().filter(|((known, _), _)| *known == stream as u8);
            ours.map(|((_, symbol), seqs)| (symbol.to_string(), *seqs)).collect()
        };
        Extent { span_ms: self.span_ms(), records: self.records, seqs: of(Stream::Trades), bar_seqs: of(Stream::Bars) }
    }
}

impl Default for Overflow {
    fn default() -> Self {
        Self::new(SETTLE)
    }
}

impl Overflow {
    /// Nothing missed. `settle`: how long there must be room until a shortage is over.
    #[must_use]
    pub fn new(settle: Duration) -> Self {
        Self { open: false, closed_at: None, settle, feeds: Default::default() }
    }

    /// Notes a record that is lost to the cold path.
    pub fn miss(&mut self, record: &Encoded) {
        self.miss_at(record, wall_clock_ns());
    }

    fn miss_at(&mut self, record: &Encoded, now_ns: i64) {
        let Some(feed) = record.feed else { return };
        self.open = true;
        self.feeds[feed as usize].get_or_insert(Account::EMPTY).miss(record, now_ns);
    }

    /// Whether records are being missed now.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// There is room again.
    pub fn close(&mut self) {
        if std::mem::take(&mut self.open) {
            self.closed_at = Some(Instant::now());
        }
    }

    /// What is to be said about this feed, once each.
    pub fn news(&mut self, feed: Feed) -> Option<Shortage> {
        let account = self.feeds[feed as usize].as_mut()?;
        if !account.announced {
            account.announced = true;
            return Some(Shortage::Began { from_ms: account.span_ms().0 });
        }
        if self.open || self.closed_at.is_some_and(|at| at.elapsed() < self.settle) {
            return None;
        }
        let account = self.feeds[feed as usize].take()?;
        Some(Shortage::Over(account.extent()))
    }
}

fn wall_clock_ns() -> i64 {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_1970.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW_NS: i64 = 1_700_000_000_000_000_000;

    fn record(ts_ns: i64, seq: u64) -> Encoded {
        let symbol = Symbol::new("A").unwrap();
        Encoded {
            stream: Stream::Trades,
            feed: Some(Feed::Alpaca),
            symbol,
            ts_ns,
            heard_ns: None,
            seq,
            json: "{}".into(),
        }
    }

    fn extent(stamps: &[i64]) -> Extent {
        let mut overflow = Overflow::new(Duration::ZERO);
        for (seq, ts_ns) in (5..).zip(stamps) {
            overflow.miss_at(&record(*ts_ns, seq), NOW_NS);
        }
        assert!(matches!(overflow.news(Feed::Alpaca), Some(Shortage::Began { .. })));
        assert_eq!(overflow.news(Feed::Alpaca), None, "it lasts");
        overflow.close();
        let Some(Shortage::Over(extent)) = overflow.news(Feed::Alpaca) else { panic!("not over") };
        assert_eq!(overflow.news(Feed::Alpaca), None);
        extent
    }

    #[test]
    fn a_record_of_1970_or_of_next_year_does_not_stretch_the_extent() {
        let extent = extent(&[NOW_NS, 0, NOW_NS + 365 * STAMP_OFF_MAX_NS, NOW_NS + 2_000_000]);
        assert_eq!(extent.span_ms, (NOW_NS / NS_PER_MS, NOW_NS / NS_PER_MS + 3));
        assert_eq!((extent.records, extent.seqs["A"]), (4, (5, 8)));
    }

    #[test]
    fn a_shortage_that_comes_and_goes_is_one() {
        let mut overflow = Overflow::default();
        for seq in 1..100 {
            overflow.miss_at(&record(NOW_NS, seq), NOW_NS);
            overflow.close();
            let news = overflow.news(Feed::Alpaca);
            assert_eq!(news.is_some(), seq == 1, "it began once and is not over");
        }
        overflow.settle = Duration::ZERO;
        let Some(Shortage::Over(extent)) = overflow.news(Feed::Alpaca) else { panic!("not over") };
        assert_eq!((extent.records, extent.seqs["A"]), (99, (1, 99)));
    }

    #[test]
    fn a_replayed_day_has_its_own_time() {
        let then = NOW_NS - 900 * STAMP_OFF_MAX_NS;
        assert_eq!(extent(&[then, then + NS_PER_MS]).span_ms, (then / NS_PER_MS, then / NS_PER_MS + 2));
    }

    proptest! {
        #[test]
        fn every_missed_record_lies_within_the_extent(offsets in prop::collection::vec(-3_600_000_000_000_i64..3_600_000_000_000, 1..50)) {
            let stamps: Vec<i64> = offsets.iter().map(|offset| NOW_NS + offset).collect();
            let Extent { span_ms: (from, to), records, .. } = extent(&stamps);
            prop_assert_eq!(records, stamps.len() as u64);
            for ts_ns in stamps {
                prop_assert!(from * NS_PER_MS <= ts_ns && ts_ns < to * NS_PER_MS);
            }
        }
    }
}
