//! How far the feed's records are safe: acknowledged by Kafka, or on disk.

use std::collections::HashSet;
use std::time::{Duration, Instant, SystemTime};

use market::Symbol;

use crate::fanout::record::{Encoded, Stream};
use crate::feeds::protocol::Feed;
use crate::journal::Journal;

use super::Cold;
use super::lanes::Counts;
use super::window::Window;

/// The journal is written at most this often.
const INTERVAL: Duration = Duration::from_secs(1);
/// A record this far ahead of the wall clock says nothing about how far the feed is.
const AHEAD_MAX_NS: i64 = 3600 * 1_000_000_000;

/// Follows the records that were taken; once all of them are safe it writes the journal and keeps what was promised.
pub struct Progress {
    cold: Cold,
    journal: Journal,
    /// Counts the records that were taken of each lane.
    counts: Counts,
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

/// When every record below `index` has been acknowledged, the first `counts` records and the feeds up to `newest` are safe.
struct Mark {
    index: usize,
    counts: Counts,
    newest: Newest,
}

impl Progress {
    /// Nothing taken yet.
    #[must_use]
    pub fn new(cold: Cold, journal: Journal) -> Self {
        Self { cold, journal, counts: [0; 2], taken: Default::default(), mark: None, settled_at: None }
    }

    /// These records are with Kafka's client or on disk now. Where the journal knows nothing of their feed it learns at once where the
    /// feed begins: a producer that is killed in its first second has a gap to admit, too.
    pub fn taken(&mut self, records: &[Encoded]) {
        for record in records {
            self.counts[record.lane() as usize] += 1;
        }
        for record in records.iter().filter(|record| record.stream == Stream::Trades) {
            let Some(feed) = record.feed else { continue };
            let taken = &mut self.taken[feed as usize];
            if let (None, Some(heard_ns), None) = (taken.newest_ns, record.heard_ns, self.journal.safe_ns(feed)) {
                self.journal.advance(feed, heard_ns - 1, []);
            }
            taken.newest_ns = taken.newest_ns.max(record.heard_ns);
            if taken.symbols.insert(record.symbol) {
                taken.unwritten_symbols.push(record.symbol);
            }
        }
    }

    fn newest(&self) -> Newest {
        std::array::from_fn(|at| self.taken[at].newest_ns)
    }

    /// Some records have left the window and are to be sent again, so what was about to be safe is not.
    pub fn doubt(&mut self) {
        self.mark = None;
    }

    /// Writes the journal where a second has passed and something more is safe. `on_disk`: all that was taken is on disk, what is in
    /// flight too.
    pub fn settle(&mut self, window: &Window, on_disk: bool, now: Instant) {
        if self.settled_at.is_some_and(|at| now - at < INTERVAL) {
            return;
        }
        self.settled_at = Some(now);
        if on_disk {
            self.mark = None;
            self.write(self.newest());
            self.cold.settled(self.counts);
            return;
        }
        if let Some(mark) = self.mark.take_if(|mark| window.is_past(mark.index)) {
            self.write(mark.newest);
            self.cold.settled(mark.counts);
        }
        if self.mark.is_none() {
            self.mark = Some(Mark { index: window.next_index(), counts: self.counts, newest: self.newest() });
        }
    }

    /// Writes what is safe at the end of a run.
    pub fn finish(&mut self, window: &Window, on_disk: bool) {
        if on_disk || window.is_empty() {
            self.write(self.newest());
            self.cold.settled(self.counts);
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn trade(ts_ns: i64) -> Encoded {
        let symbol = Symbol::new("A").unwrap();
        Encoded {
            stream: Stream::Trades,
            feed: Some(Feed::Alpaca),
            symbol,
            ts_ns: 0,
            heard_ns: Some(ts_ns),
            seq: 0,
            json: "{}".into(),
        }
    }

    /// A record that was accepted and taken, and after which something was promised.
    struct Scene {
        _folder: tempfile::TempDir,
        cold: Cold,
        journal: Journal,
        progress: Progress,
        kept: Arc<AtomicUsize>,
        now: Instant,
    }

    impl Scene {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let journal = Journal::open(folder.path().join("journal.json")).unwrap();
            let cold = Cold::default();
            let progress = Progress::new(cold.clone(), journal.clone());
            Self { _folder: folder, cold, journal, progress, kept: Arc::default(), now: Instant::now() }
        }

        fn take(&mut self, ts_ns: i64) -> Encoded {
            self.cold.accept(&mut vec![trade(ts_ns)]);
            let kept = self.kept.clone();
            self.cold.when_safe(move || {
                kept.fetch_add(1, Ordering::Relaxed);
            });
            self.progress.taken(&[trade(ts_ns)]);
            trade(ts_ns)
        }

        /// Settles a good second later; how many promises were kept by then, and how far the feed is safe.
        fn settle(&mut self, window: &Window, on_disk: bool) -> (usize, Option<i64>) {
            self.now += INTERVAL * 2;
            self.progress.settle(window, on_disk, self.now);
            (self.kept.load(Ordering::Relaxed), self.journal.safe_ns(Feed::Alpaca))
        }
    }

    #[test]
    fn a_record_is_safe_when_everything_up_to_it_is_acknowledged() {
        let (mut scene, mut window) = (Scene::new(), Window::default());
        let first = scene.take(10);
        let first = window.push(Instant::now(), first);
        assert_eq!(scene.settle(&window, false), (0, Some(9)), "the journal knows where the feed begins, no more");
        let second = scene.take(20);
        window.push(Instant::now(), second);
        assert_eq!(scene.settle(&window, false), (0, Some(9)));
        window.remove(first);
        assert_eq!(scene.settle(&window, false), (1, Some(10)), "the second one came after the mark");
    }

    #[test]
    fn what_is_on_disk_is_safe_at_once_and_what_is_sent_again_is_not() {
        let (mut scene, mut window) = (Scene::new(), Window::default());
        let record = scene.take(10);
        let index = window.push(Instant::now(), record);
        assert_eq!(scene.settle(&window, false), (0, Some(9)));
        window.remove(index); // refused, and sent again
        window.push(Instant::now(), trade(10));
        scene.progress.doubt();
        assert_eq!(scene.settle(&window, false), (0, Some(9)));
        assert_eq!(scene.settle(&window, true), (1, Some(10)));
    }
}
