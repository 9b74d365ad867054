//! The newest records of one symbol and stream, for clients that come back: bounded by count and age.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use market::Position;

use crate::records::event::Event;

/// Bounds of one log.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Most records.
    pub count: usize,
    /// Greatest age.
    pub age: Duration,
}

/// A record that is kept. Shared: a replay that waits for its client refers to the same bytes.
#[derive(Debug)]
pub struct Record {
    /// Its outside.
    pub event: Event,
    /// Its JSON.
    pub payload: Box<[u8]>,
    at: Instant,
}

/// A record in a log.
pub type Entry = Arc<Record>;

/// Records without a step in their positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    epoch: i64,
    first: u64,
    last: u64,
}

/// One symbol's newest records of one stream.
#[derive(Debug, Default)]
pub struct Log {
    entries: VecDeque<Entry>,
    /// Offset of the newest record that is gone.
    gone_through: u64,
    run: Option<Run>,
    newest: Option<Entry>,
    bytes: usize,
}

impl Log {
    /// Keeps a record; returns by how many bytes the log grew (or shrank).
    pub fn push(&mut self, event: Event, payload: Box<[u8]>, now: Instant, bounds: Bounds) -> isize {
        let before = self.bytes;
        self.run = event.position.map(|Position { epoch, seq }| match self.run {
            Some(run) if run.epoch == epoch && run.last.checked_add(1) == Some(seq) => Run { last: seq, ..run },
            _ => Run { epoch, first: seq, last: seq },
        });
        let entry = Arc::new(Record::new(event, payload, now));
        self.bytes += entry.cost();
        self.newest = Some(Arc::clone(&entry));
        self.entries.push_back(entry);
        while self.entries.len() > bounds.count {
            self.drop_oldest();
        }
        self.expire(now, bounds);
        self.bytes.cast_signed() - before.cast_signed()
    }

    /// Drops what is too old; returns how many bytes that freed.
    pub fn expire(&mut self, now: Instant, bounds: Bounds) -> usize {
        let before = self.bytes;
        while self.entries.front().is_some_and(|oldest| now.duration_since(oldest.at) > bounds.age) {
            self.drop_oldest();
        }
        before - self.bytes
    }

    /// Drops the oldest record, for a budget that all logs share; returns its bytes.
    pub fn drop_oldest(&mut self) -> usize {
        let Some(oldest) = self.entries.pop_front() else { return 0 };
        self.gone_through = oldest.event.offset;
        self.bytes -= oldest.cost();
        oldest.cost()
    }

    /// Bytes held by the records.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The newest record, kept whatever its age.
    #[must_use]
    pub fn newest(&self) -> Option<&Entry> {
        self.newest.as_ref()
    }

    /// Where the stream stands.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        self.newest.as_ref()?.event.position
    }

    /// Every record, oldest first.
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.entries.iter()
    }

    /// Everything after `position`; `None` where that cannot be vouched for.
    #[must_use]
    pub fn after(&self, position: Position) -> Option<impl Iterator<Item = &Entry>> {
        let run = self.run.filter(|run| run.epoch == position.epoch && position.seq <= run.last)?;
        let missed = usize::try_from(run.last - position.seq).ok()?;
        let kept = position.seq + 1 >= run.first && missed <= self.entries.len();
        kept.then(|| self.entries.iter().skip(self.entries.len() - missed))
    }

    /// Everything after `offset`; `None` where some of it is gone.
    #[must_use]
    pub fn after_offset(&self, offset: u64) -> Option<impl Iterator<Item = &Entry>> {
        let start = self.entries.partition_point(|entry| entry.event.offset <= offset);
        (self.gone_through <= offset).then(|| self.entries.iter().skip(start))
    }
}

impl Record {
    /// A record that came at `at`.
    #[must_use]
    pub fn new(event: Event, payload: Box<[u8]>, at: Instant) -> Self {
        Self { event, payload, at }
    }

    /// When it came.
    #[must_use]
    pub fn at(&self) -> Instant {
        self.at
    }

    fn cost(&self) -> usize {
        size_of::<Self>() + 3 * size_of::<usize>() + self.payload.len() // its counters and its place in the queue
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::channel::Channel;
    use market::Symbol;
    use proptest::prelude::*;

    fn event(offset: u64, position: Option<(i64, u64)>) -> Event {
        let position = position.map(|(epoch, seq)| Position { epoch, seq });
        Event { symbol: Symbol::new("A").unwrap(), channel: Channel::Trades, offset, position, day: None }
    }

    fn log(positions: &[(i64, u64)], count: usize) -> Log {
        let bounds = Bounds { count, age: Duration::from_secs(60) };
        let mut log = Log::default();
        for (offset, position) in (1..).zip(positions) {
            log.push(event(offset, Some(*position)), Box::from(*b"{}"), Instant::now(), bounds);
        }
        log
    }

    fn after(log: &Log, epoch: i64, seq: u64) -> Option<Vec<u64>> {
        Some(log.after(Position { epoch, seq })?.filter_map(|entry| Some(entry.event.position?.seq)).collect())
    }

    #[test]
    fn what_is_there_is_given_and_what_is_not_is_admitted() {
        let log = log(&[(1, 1), (1, 2), (1, 3), (1, 4)], 3);
        assert_eq!(after(&log, 1, 4), Some(vec![]), "nothing was missed");
        assert_eq!(after(&log, 1, 2), Some(vec![3, 4]));
        assert_eq!(after(&log, 1, 1), Some(vec![2, 3, 4]), "the one before the oldest");
        assert_eq!(after(&log, 1, 0), None, "the first is gone");
        assert_eq!(after(&log, 1, 9), None, "from the future");
        assert_eq!(after(&log, 2, 1), None, "another run of the producer");
        assert_eq!(after(&Log::default(), 1, 1), None, "a gateway that just started cannot know");
    }

    #[test]
    fn a_step_in_the_positions_breaks_the_promise() {
        let log = log(&[(1, 1), (1, 2), (1, 5), (1, 6)], 10);
        assert_eq!(after(&log, 1, 2), None, "3 and 4 never came");
        assert_eq!(after(&log, 1, 4), Some(vec![5, 6]));
        let log = self::log(&[(1, 7), (2, 1), (2, 2)], 10);
        assert_eq!(after(&log, 1, 7), None, "the old run may have gone on");
        assert_eq!(after(&log, 2, 0), Some(vec![1, 2]));
    }

    #[test]
    fn offsets_resume_as_long_as_nothing_after_them_is_gone() {
        let log = log(&[(1, 1), (1, 2), (1, 3), (1, 4)], 2);
        let offsets =
            |offset| log.after_offset(offset).map(|all| all.map(|entry| entry.event.offset).collect::<Vec<_>>());
        assert_eq!(offsets(4), Some(vec![]));
        assert_eq!(offsets(2), Some(vec![3, 4]));
        assert_eq!(offsets(1), None);
    }

    #[test]
    fn age_empties_it_but_the_newest_is_remembered() {
        let bounds = Bounds { count: 10, age: Duration::from_secs(60) };
        let mut log = log(&[(1, 1), (1, 2)], 10);
        let freed = log.expire(Instant::now() + Duration::from_secs(61), bounds);
        assert!(freed > 0 && log.bytes() == 0);
        assert_eq!(log.position(), Some(Position { epoch: 1, seq: 2 }));
        assert_eq!(after(&log, 1, 2), Some(vec![]));
        assert_eq!(after(&log, 1, 1), None);
    }

    proptest! {
        #[test]
        fn what_it_gives_has_no_hole(seqs in prop::collection::vec(1_u64..4, 1..40), count in 1_usize..20, from in 0_u64..60) {
            let mut seq = 0;
            let positions: Vec<_> = seqs.iter().map(|step| { seq += if *step == 3 { 2 } else { 1 }; (1, seq) }).collect();
            let log = log(&positions, count);
            if let Some(given) = after(&log, 1, from) {
                prop_assert_eq!(given, (from + 1..=seq).collect::<Vec<_>>());
            }
        }
    }
}
