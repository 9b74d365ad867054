//! How far the feed's records are safe: acknowledged by Kafka, or on disk.

use std::collections::HashSet;
use std::time::{Duration, Instant, SystemTime};

use market::Symbol;

use crate::feed::Feed;
use crate::journal::Journal;
use crate::record::{Encoded, Stream};

use super::window::Window;

/// The journal is written at most this often.
const INTERVAL: Duration = Duration::from_secs(1);
/// A record this far ahead of the wall clock says nothing about how far the feed is.
const AHEAD_MAX_NS: i64 = 3600 * 1_000_000_000;

/// Follows the records that were taken and writes the journal once all of them are safe.
pub struct Progress {
    journal: Journal,
    taken: [Taken; Feed::ALL.len()],
    mark: Option<Mark>,
    settled_at: Option<Instant>,
}

/// What was taken from one feed.
#[derive(Default)]
struct Taken {
    newest_ns: Option<i64>,
    symbols: HashSet<Symbol>,
    unwritten_symbols: Vec<Symbol>,
}

/// How far each feed has come.
type Newest = [Option<i64>; Feed::ALL.len()];

/// When every record below `index` has been acknowledged, the feeds are safe up to `newest`.
struct Mark {
    index: usize,
    newest: Newest,
}

impl Progress {
    /// Nothing taken yet.
    #[must_use]
    pub fn new(journal: Journal) -> Self {
        Self { journal, taken: Default::default(), mark: None, settled_at: None }
    }

    /// These records are with Kafka's client or on disk now. Where the journal knows nothing of their feed it learns at once where the
    /// feed begins: a producer that is killed in its first second has a gap to admit, too.
    pub fn taken(&mut self, records: &[Encoded]) {
        for record in records.iter().filter(|record| record.stream == Stream::Trades) {
            let Some(feed) = record.feed else { continue };
            let taken = &mut self.taken[feed as usize];
            if taken.newest_ns.is_none() && self.journal.safe_ns(feed).is_none() {
                self.journal.advance(feed, record.ts_ns - 1, []);
            }
            taken.newest_ns = taken.newest_ns.max(Some(record.ts_ns));
            if taken.symbols.insert(record.symbol) {
                taken.unwritten_symbols.push(record.symbol);
            }
        }
    }

    fn newest(&self) -> Newest {
        std::array::from_fn(|at| self.taken[at].newest_ns)
    }

    /// Writes the journal where a second has passed and something more is safe.
    pub fn settle(&mut self, window: &Window, on_disk: bool, now: Instant) {
        if self.settled_at.is_some_and(|at| now - at < INTERVAL) {
            return;
        }
        self.settled_at = Some(now);
        if on_disk {
            // What is in flight has copies on disk too, so all that was taken is safe.
            self.mark = None;
            self.write(self.newest());
            return;
        }
        if let Some(mark) = self.mark.take_if(|mark| window.is_past(mark.index)) {
            self.write(mark.newest);
        }
        if self.mark.is_none() {
            self.mark = Some(Mark { index: window.next_index(), newest: self.newest() });
        }
    }

    /// Writes what is safe at the end of a run.
    pub fn finish(&mut self, window: &Window, on_disk: bool) {
        if on_disk || window.is_empty() {
            self.write(self.newest());
        }
    }

    fn write(&mut self, newest: Newest) {
        let wall_ns = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .ok()
            .and_then(|since| i64::try_from(since.as_nanos()).ok())
            .unwrap_or(i64::MAX - AHEAD_MAX_NS);
        for (feed, newest_ns) in Feed::ALL.into_iter().zip(newest) {
            if let Some(newest_ns) = newest_ns.filter(|newest_ns| *newest_ns <= wall_ns + AHEAD_MAX_NS) {
                self.journal.advance(feed, newest_ns, self.taken[feed as usize].unwritten_symbols.drain(..));
            }
        }
    }
}
