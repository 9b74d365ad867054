//! Which partitions this process owns, where it reads on in each, and which lane stores it. Pure.

use std::collections::BTreeMap;

use crate::batch::{Span, Tenure};
use crate::lag::Seen;

/// A partition that this process owns.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    /// The present tenure.
    pub(crate) tenure: Tenure,
    /// The lane that stores it.
    pub(crate) lane: usize,
    /// The position after the last record that was read.
    pub(crate) next: i64,
    /// The position in PostgreSQL, as far as this process knows.
    pub(crate) stored: i64,
    /// When the newest stored record was sent, Unix milliseconds.
    pub(crate) stored_sent_ms: Option<i64>,
    /// When the oldest record was sent that was read and is not stored, or a little before: Unix milliseconds.
    waiting_sent_ms: Option<i64>,
    /// Whether records are taken from it; not while it is being given up or its position is being read again.
    pub(crate) reading: bool,
}

impl Held {
    /// Notes that the record at `offset` has been read.
    pub(crate) fn read(&mut self, offset: i64, sent_ms: Option<i64>) {
        self.next = offset + 1;
        self.waiting_sent_ms = self.waiting_sent_ms.or(sent_ms);
    }
}

/// All partitions that this process owns.
#[derive(Debug)]
pub(crate) struct Ownership {
    held: BTreeMap<i32, Held>,
    lanes: usize,
    tenures: u64,
}

impl Ownership {
    pub(crate) fn new(lanes: usize) -> Self {
        Self { held: BTreeMap::new(), lanes, tenures: 0 }
    }

    /// Starts a tenure at `position`, in the lane that has the fewest partitions. A partition that is held already keeps its lane.
    pub(crate) fn begin(&mut self, partition: i32, position: i64) {
        self.tenures += 1;
        let tenure = Tenure { partition, number: self.tenures };
        let lane = self.held.get(&partition).map_or_else(|| self.emptiest_lane(), |held| held.lane);
        let held = Held {
            tenure,
            lane,
            next: position,
            stored: position,
            stored_sent_ms: None,
            waiting_sent_ms: None,
            reading: true,
        };
        self.held.insert(partition, held);
    }

    fn emptiest_lane(&self) -> usize {
        let load = |lane: &usize| self.held.values().filter(|held| held.lane == *lane).count();
        (0..self.lanes).min_by_key(load).unwrap_or(0)
    }

    /// The partition, while it is read.
    pub(crate) fn reading(&mut self, partition: i32) -> Option<&mut Held> {
        self.held.get_mut(&partition).filter(|held| held.reading)
    }

    /// Takes no more records from these partitions.
    pub(crate) fn stop_reading(&mut self, partitions: &[i32]) {
        for partition in partitions {
            if let Some(held) = self.held.get_mut(partition) {
                held.reading = false;
            }
        }
    }

    /// Stops reading the partition of a tenure that is over; `false` where that tenure is not the present one, or the partition is
    /// on its way out anyway.
    pub(crate) fn interrupt(&mut self, tenure: Tenure) -> bool {
        match self.held.get_mut(&tenure.partition) {
            Some(held) if held.tenure == tenure && held.reading => {
                held.reading = false;
                true
            }
            _ => false,
        }
    }

    /// Forgets these partitions.
    pub(crate) fn end(&mut self, partitions: &[i32]) {
        for partition in partitions {
            self.held.remove(partition);
        }
    }

    /// Notes what has been stored.
    pub(crate) fn stored(&mut self, spans: &[Span]) {
        for span in spans {
            if let Some(held) = self.held.get_mut(&span.tenure.partition)
                && held.tenure == span.tenure
            {
                held.stored = span.next;
                held.stored_sent_ms = span.sent_ms;
                held.waiting_sent_ms = span.sent_ms.filter(|_| held.next > span.next);
            }
        }
    }

    /// The partitions that this process owns.
    pub(crate) fn held(&self) -> impl Iterator<Item = &Held> {
        self.held.values()
    }

    /// Numbers of all partitions.
    pub(crate) fn partitions(&self) -> Vec<i32> {
        self.held.keys().copied().collect()
    }

    /// How each partition stands whose log's end is known.
    pub(crate) fn seen(&self, log_ends: &BTreeMap<i32, i64>) -> Vec<Seen> {
        let seen = |held: &Held| {
            let partition = held.tenure.partition;
            let log_end = *log_ends.get(&partition)?;
            Some(Seen { partition, log_end, stored_sent_ms: held.stored_sent_ms })
        };
        self.held.values().filter_map(seen).collect()
    }

    /// Records that are in Kafka and not stored, and the age in milliseconds of the oldest record that was read and is not stored.
    pub(crate) fn lag(&self, log_ends: &BTreeMap<i32, i64>, now_ms: i64) -> (i64, i64) {
        let behind = |held: &&Held| log_ends.get(&held.tenure.partition).is_some_and(|end| *end > held.stored);
        let records =
            self.held.values().filter(behind).map(|held| log_ends[&held.tenure.partition] - held.stored).sum();
        let age_ms =
            self.held.values().filter(behind).filter_map(|held| held.waiting_sent_ms).min().map_or(0, |at| now_ms - at);
        (records, age_ms.max(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_spread_over_the_lanes_and_stay_there() {
        let mut ownership = Ownership::new(2);
        (0..6).for_each(|partition| ownership.begin(partition, 0));
        assert_eq!(ownership.held().filter(|held| held.lane == 0).count(), 3);
        let lane = ownership.held[&5].lane;
        ownership.begin(5, 10);
        assert_eq!((ownership.held[&5].lane, ownership.held[&5].next), (lane, 10));
    }

    #[test]
    fn only_the_present_tenure_can_be_interrupted_or_move_the_position() {
        let mut ownership = Ownership::new(1);
        ownership.begin(0, 5);
        let old = ownership.held[&0].tenure;
        ownership.begin(0, 8);
        assert!(!ownership.interrupt(old));
        ownership.stored(&[Span { tenure: old, expected: 5, next: 7, sent_ms: None }]);
        assert_eq!(ownership.held[&0].stored, 8);
        assert!(ownership.interrupt(ownership.held[&0].tenure));
        assert!(ownership.reading(0).is_none());
    }

    #[test]
    fn lag_counts_what_is_not_stored_and_has_no_age_when_all_is() {
        let mut ownership = Ownership::new(1);
        ownership.begin(0, 5);
        ownership.begin(1, 5);
        let tenure = ownership.held[&0].tenure;
        let log_ends = BTreeMap::from([(0, 12), (1, 5)]);
        for (offset, sent_ms) in (5..12).zip(500..) {
            ownership.reading(0).unwrap().read(offset, Some(sent_ms));
        }
        assert_eq!(ownership.lag(&log_ends, 3_000), (7, 2_500), "nothing is stored yet");
        ownership.stored(&[Span { tenure, expected: 5, next: 9, sent_ms: Some(1_000) }]);
        assert_eq!(ownership.lag(&log_ends, 3_000), (3, 2_000));
        ownership.stored(&[Span { tenure, expected: 9, next: 12, sent_ms: Some(1_003) }]);
        assert_eq!(ownership.lag(&log_ends, 3_000), (0, 0));
        ownership.reading(0).unwrap().read(12, Some(90_000));
        assert_eq!(ownership.lag(&BTreeMap::from([(0, 13)]), 90_010), (1, 10), "a long silence before it is no lag");
    }
}
