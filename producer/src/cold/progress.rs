//! How far the feed's records are safe: acknowledged by Kafka, or on disk.

use std::collections::HashSet;
use std::time::{Duration, Instant, SystemTime};

use market::Symbol;

use crate::fanout::{Encoded, Stream};
use crate::journal::Journal;

use super::window::Window;

/// The journal is written at most this often.
const INTERVAL: Duration = Duration::from_secs(1);
/// A record this far ahead of the wall clock says nothing about how far the feed is.
const AHEAD_MAX_NS: i64 = 3600 * 1_000_000_000;

/// Follows the records that were taken and writes the journal once all of them are safe.
pub struct Progress {
    journal: Journal,
    newest_ns: Option<i64>,
    symbols: HashSet<Symbol>,
    unwritten_symbols: Vec<Symbol>,
    mark: Option<Mark>,
    settled_at: Option<Instant>,
}

/// When every record below `index` has been acknowledged, the feed is safe up to `newest_ns`.
struct Mark {
    index: usize,
    newest_ns: i64,
}

impl Progress {
    /// Nothing taken yet.
    #[must_use]
    pub fn new(journal: Journal) -> Self {
        Self {
            journal,
            newest_ns: None,
            symbols: HashSet::new(),
            unwritten_symbols: Vec::new(),
            mark: None,
            settled_at: None,
        }
    }

    /// These records are with Kafka's client or on disk now.
    pub fn taken(&mut self, records: &[Encoded]) {
        for record in records.iter().filter(|record| record.stream == Stream::Trades) {
            self.newest_ns = self.newest_ns.max(Some(record.ts_ns));
            if self.symbols.insert(record.symbol) {
                self.unwritten_symbols.push(record.symbol);
            }
        }
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
            self.write(self.newest_ns);
            return;
        }
        if self.mark.as_ref().is_some_and(|mark| window.is_past(mark.index)) {
            let newest_ns = self.mark.take().map(|mark| mark.newest_ns);
            self.write(newest_ns);
        }
        if self.mark.is_none() {
            self.mark = self.newest_ns.map(|newest_ns| Mark { index: window.next_index(), newest_ns });
        }
    }

    /// Writes what is safe at the end of a run.
    pub fn finish(&mut self, window: &Window, on_disk: bool) {
        if on_disk || window.is_empty() {
            self.write(self.newest_ns);
        }
    }

    fn write(&mut self, newest_ns: Option<i64>) {
        let wall_ns = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .ok()
            .and_then(|since| i64::try_from(since.as_nanos()).ok())
            .unwrap_or(i64::MAX - AHEAD_MAX_NS);
        if let Some(newest_ns) = newest_ns.filter(|newest_ns| *newest_ns <= wall_ns + AHEAD_MAX_NS) {
            self.journal.advance(newest_ns, self.unwritten_symbols.drain(..));
        }
    }
}
