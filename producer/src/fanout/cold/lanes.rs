//! What waits for the writer: live records in one lane, the past in another, each bounded by bytes.
//!
//! Pure: no lock, no clock but the arrival time that [`super::overflow`] notes.

use std::collections::VecDeque;

use metrics::Counter;

use super::overflow::{Overflow, Shortage};
use crate::fanout::record::{Encoded, Lane, Stream};
use crate::feeds::protocol::Feed;

/// How many records each lane has seen from the start: live, past.
pub type Counts = [u64; 2];

/// What is to be done once records are safe.
pub type Promise = Box<dyn FnOnce() + Send>;

/// Bytes of the past that may wait.
const PAST_BYTES_MAX: usize = 4 << 20;
/// Bytes that a record takes besides its JSON.
const RECORD_OVERHEAD: usize = size_of::<Encoded>();
/// Gaps, corrections and reports are few and have no second source, so they find room until the lane is this many times over its bound.
const IRREPLACEABLE_FACTOR: usize = 2;

/// Both lanes.
pub struct Lanes {
    live_bytes_max: usize,
    queues: [Queue; 2],
    closed: bool,
    overflow: Overflow,
    promises: VecDeque<(Counts, Promise)>,
    missed: [Counter; Stream::ALL.len()],
}

#[derive(Default)]
struct Queue {
    records: VecDeque<Encoded>,
    bytes: usize,
    accepted: u64,
}

impl Queue {
    fn push(&mut self, record: Encoded) {
        self.bytes += cost(&record);
        self.accepted += 1;
        self.records.push_back(record);
    }

    fn take(&mut self, batch: &mut Vec<Encoded>, max: usize) -> usize {
        let count = self.records.len().min(max);
        let taken = self.records.drain(..count);
        batch.extend(taken.inspect(|record| self.bytes -= cost(record)));
        count
    }
}

fn cost(record: &Encoded) -> usize {
    record.json.len() + RECORD_OVERHEAD
}

impl Lanes {
    /// Empty lanes.
    #[must_use]
    pub fn new(live_bytes_max: usize) -> Self {
        let missed = |stream: Stream| metrics::counter!("producer_cold_missed_total", "stream" => stream.name());
        Self {
            live_bytes_max,
            queues: Default::default(),
            closed: false,
            overflow: Overflow::default(),
            promises: VecDeque::new(),
            missed: Stream::ALL.map(missed),
        }
    }

    /// Takes what fits of the live lane, and all of the past.
    pub fn accept(&mut self, records: &mut Vec<Encoded>) {
        for record in records.drain(..) {
            let lane = record.lane();
            if lane == Lane::Live && !self.has_room_for(&record) {
                self.missed[record.stream as usize].increment(1);
                self.overflow.miss(&record);
                continue;
            }
            self.queues[lane as usize].push(record);
        }
    }

    /// A shortage lasts until half of the lane is free, so that it is one gap and not thousands.
    fn has_room_for(&mut self, record: &Encoded) -> bool {
        let bytes = self.queues[Lane::Live as usize].bytes;
        if matches!(record.stream, Stream::Gaps | Stream::Corrections | Stream::Sent) {
            return bytes < self.live_bytes_max.saturating_mul(IRREPLACEABLE_FACTOR);
        }
        let limit = if self.overflow.is_open() { self.live_bytes_max / 2 } else { self.live_bytes_max };
        if bytes < limit {
            self.overflow.close();
            return true;
        }
        false
    }

    /// See [`super::Cold::shortage`].
    pub fn shortage(&mut self, feed: Feed) -> Option<Shortage> {
        if self.overflow.is_open() && self.queues[Lane::Live as usize].bytes < self.live_bytes_max / 2 {
            self.overflow.close(); // also where no record comes any more that would notice
        }
        self.overflow.news(feed)
    }

    /// Remembers what is to be done once everything accepted so far is safe.
    pub fn promise(&mut self, act: Promise) {
        let accepted = [self.queues[0].accepted, self.queues[1].accepted];
        self.promises.push_back((accepted, act));
    }

    /// Takes out the promises that waited for no more than these.
    pub fn kept(&mut self, counts: Counts) -> Vec<Promise> {
        let is_kept = |(due, _): &(Counts, Promise)| due[0] <= counts[0] && due[1] <= counts[1];
        let kept = self.promises.iter().take_while(|promise| is_kept(promise)).count(); // their counts only grow
        self.promises.drain(..kept).map(|(_, act)| act).collect()
    }

    /// No more will come.
    pub fn close(&mut self) {
        self.closed = true;
        self.queues[Lane::Past as usize].records.clear();
    }

    /// Whether the past may bring more.
    #[must_use]
    pub fn past_has_room(&self) -> bool {
        self.queues[Lane::Past as usize].bytes < PAST_BYTES_MAX
    }

    /// Whether the writer has nothing to take.
    #[must_use]
    pub fn is_idle(&self, past_max: usize) -> bool {
        let [live, past] = &self.queues;
        live.records.is_empty() && (past_max == 0 || past.records.is_empty()) && !self.closed
    }

    /// Whether all live records were taken and no more will come.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.closed && self.queues[Lane::Live as usize].records.is_empty()
    }

    /// Whether the live lane is more than half full.
    #[must_use]
    pub fn is_pressed(&self) -> bool {
        self.queues[Lane::Live as usize].bytes > self.live_bytes_max / 2
    }

    /// Bytes that wait in each lane.
    #[must_use]
    pub fn bytes(&self) -> [usize; 2] {
        [self.queues[0].bytes, self.queues[1].bytes]
    }

    /// Moves live records, and then some of the past, into `batch`; returns how many were of the past.
    pub fn take(&mut self, batch: &mut Vec<Encoded>, max: usize, past_max: usize) -> usize {
        let [live, past] = &mut self.queues;
        let taken = live.take(batch, max);
        past.take(batch, (max - taken).min(past_max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use market::Symbol;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn record(stream: Stream, feed: Option<Feed>, seq: u64) -> Encoded {
        let symbol = Symbol::new("A").unwrap();
        Encoded { stream, feed, symbol, ts_ns: 1, heard_ns: None, seq, json: vec![b'x'; 100].into() }
    }

    fn live(seq: u64) -> Encoded {
        record(Stream::Trades, Some(Feed::Alpaca), seq)
    }

    fn past() -> Encoded {
        record(Stream::Bars, None, 0)
    }

    fn taken(lanes: &mut Lanes, max: usize, past_max: usize) -> Vec<(Option<Feed>, u64)> {
        let mut batch = Vec::new();
        lanes.take(&mut batch, max, past_max);
        batch.iter().map(|record| (record.feed, record.seq)).collect()
    }

    #[test]
    fn live_records_go_first_and_the_past_takes_no_more_than_its_share() {
        let mut lanes = Lanes::new(1 << 20);
        lanes.accept(&mut vec![past(), past(), past(), live(1), live(2)]);
        let alpaca = Some(Feed::Alpaca);
        assert_eq!(taken(&mut lanes, 10, 1), [(alpaca, 1), (alpaca, 2), (None, 0)]);
        assert!(lanes.is_idle(0) && !lanes.is_idle(1));
        lanes.accept(&mut vec![live(3), live(4)]);
        assert_eq!(taken(&mut lanes, 2, 9), [(alpaca, 3), (alpaca, 4)]);
        assert_eq!(taken(&mut lanes, 9, 9).len(), 2);
        assert_eq!(lanes.bytes(), [0, 0]);
    }

    #[test]
    fn a_full_live_lane_misses_records_in_one_stretch_until_half_of_it_is_free() {
        let each = cost(&live(1));
        let mut lanes = Lanes::new(10 * each);
        lanes.overflow = Overflow::new(std::time::Duration::ZERO);
        lanes.accept(&mut (1..=15).map(live).collect());
        let Some(Shortage::Began { from_ms: _ }) = lanes.shortage(Feed::Alpaca) else { panic!("not noticed") };
        assert!(lanes.shortage(Feed::Alpaca).is_none() && lanes.shortage(Feed::Massive).is_none());
        assert_eq!(taken(&mut lanes, 3, 0).len(), 3);
        lanes.accept(&mut vec![
            live(16),
            record(Stream::Gaps, None, 0),
            record(Stream::Corrections, Some(Feed::Alpaca), 1),
        ]);
        assert_eq!(taken(&mut lanes, 99, 0).len(), 9, "gaps and corrections find room, a trade does not as yet");
        lanes.accept(&mut vec![live(17)]);
        let Some(Shortage::Over(missed)) = lanes.shortage(Feed::Alpaca) else { panic!("not over") };
        assert_eq!((missed.records, missed.seqs.get("A").copied()), (6, Some((11, 16))));
        assert_eq!(taken(&mut lanes, 99, 0), [(Some(Feed::Alpaca), 17)]);
        assert!(lanes.shortage(Feed::Alpaca).is_none());
    }

    #[test]
    fn the_past_never_overflows_and_is_told_when_there_is_room() {
        let mut lanes = Lanes::new(cost(&live(1)));
        let enough = PAST_BYTES_MAX / cost(&past()) + 1;
        lanes.accept(&mut (0..enough).map(|_| past()).collect());
        assert!(!lanes.past_has_room() && lanes.shortage(Feed::Alpaca).is_none());
        assert_eq!(taken(&mut lanes, 99, 3).len(), 3);
        assert!(lanes.past_has_room());
    }

    #[test]
    fn a_promise_waits_for_both_lanes() {
        let mut lanes = Lanes::new(1 << 20);
        let kept = Arc::<AtomicUsize>::default();
        lanes.accept(&mut vec![live(1), past()]);
        for _ in 0..2 {
            let kept = kept.clone();
            lanes.promise(Box::new(move || {
                kept.fetch_add(1, Ordering::Relaxed);
            }));
            lanes.accept(&mut vec![past()]);
        }
        let mut settle = |counts| {
            lanes.kept(counts).into_iter().for_each(|act| act());
            kept.load(Ordering::Relaxed)
        };
        assert_eq!([settle([9, 0]), settle([0, 9]), settle([1, 1]), settle([1, 2])], [0, 0, 1, 2]);
    }
}
