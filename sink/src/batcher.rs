//! When a batch is due: by rows, by bytes, by age. Pure; the clock is the caller's.

use std::time::{Duration, Instant};

use crate::batch::{Batch, RawRecord, Tenure};

/// What makes a batch due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Records, 1 or more.
    pub rows: usize,
    /// Bytes of keys and payloads; also the most that a batch may hold.
    pub bytes: usize,
    /// Age of the oldest record.
    pub wait: Duration,
}

/// While the writer is busy a due batch goes on growing up to this many times its rows: fewer, larger transactions are what an
/// overloaded database needs.
const GROWTH_MAX: usize = 4;

/// Collects records into one batch at a time.
#[derive(Debug)]
pub struct Batcher {
    limits: Limits,
    batch: Batch,
    due_at: Option<Instant>,
}

impl Batcher {
    /// Starts empty.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, batch: Batch::default(), due_at: None }
    }

    /// Adds one record; see [`Batch::push`].
    pub fn push(&mut self, record: RawRecord<'_>, tenure: Tenure, expected: i64, now: Instant) {
        if self.batch.is_empty() {
            self.due_at = Some(now + self.limits.wait);
        }
        self.batch.push(record, tenure, expected);
    }

    /// Whether the batch should go to the writer.
    #[must_use]
    pub fn is_due(&self, now: Instant) -> bool {
        self.batch.len() >= self.limits.rows
            || self.batch.bytes() >= self.limits.bytes
            || self.due_at.is_some_and(|due_at| now >= due_at)
    }

    /// Whether it may not grow any more, however busy the writer is.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.batch.len() >= self.limits.rows.saturating_mul(GROWTH_MAX) || self.batch.bytes() >= self.limits.bytes
    }

    /// When the batch will be due by age; `None` while it is empty.
    #[must_use]
    pub fn due_at(&self) -> Option<Instant> {
        self.due_at
    }

    /// Hands over what there is: when it is due, before a partition is given up, at the end.
    #[must_use]
    pub fn take(&mut self) -> Batch {
        self.due_at = None;
        let room = self.batch.len().min(self.limits.rows); // the next one is probably as large
        std::mem::replace(&mut self.batch, Batch::with_room_for(room))
    }

    /// Whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }

    /// Drops what was read in these tenures.
    pub fn drop_tenures(&mut self, is_over: impl Fn(Tenure) -> bool) {
        self.batch.drop_tenures(is_over);
        if self.batch.is_empty() {
            self.due_at = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Coordinates;
    use proptest::prelude::*;

    const WAIT: Duration = Duration::from_millis(100);

    fn push(batcher: &mut Batcher, offset: i64, payload: &[u8], now: Instant) {
        let at = Coordinates { partition: 0, offset };
        let record = RawRecord { at, sent_ms: None, key: None, payload: Some(payload) };
        batcher.push(record, Tenure { partition: 0, number: 0 }, offset, now);
    }

    #[test]
    fn a_lone_record_is_due_when_its_wait_is_over() {
        let mut batcher = Batcher::new(Limits { rows: 10, bytes: 1000, wait: WAIT });
        let start = Instant::now();
        push(&mut batcher, 0, b"x", start);
        push(&mut batcher, 1, b"x", start + WAIT / 2);
        assert!(!batcher.is_due(start + WAIT / 2));
        assert!(batcher.is_due(start + WAIT), "the oldest record's age counts");
        assert_eq!(batcher.take().len(), 2);
        assert!(!batcher.is_due(start + 9 * WAIT), "an empty batch is never due");
    }

    #[test]
    fn bytes_make_a_batch_due_too() {
        let mut batcher = Batcher::new(Limits { rows: 1000, bytes: 10, wait: WAIT });
        let start = Instant::now();
        push(&mut batcher, 0, b"12345", start);
        assert!(!batcher.is_due(start));
        push(&mut batcher, 1, b"12345", start);
        assert!(batcher.is_due(start) && batcher.is_full());
    }

    proptest! {
        #[test]
        fn nothing_is_lost_reordered_or_above_the_limit(rows in 1_usize..20, count in 0_i64..200, busy in any::<u64>()) {
            let mut batcher = Batcher::new(Limits { rows, bytes: usize::MAX, wait: WAIT });
            let now = Instant::now();
            let mut taken = Vec::new();
            let mut take = |batcher: &mut Batcher| {
                let batch = batcher.take();
                taken.push((0..batch.len()).map(|at| batch.record(at).at.offset).collect::<Vec<_>>());
            };
            for offset in 0..count {
                push(&mut batcher, offset, b"x", now);
                let writer_is_free = (busy >> (offset % 64)) & 1 == 0;
                if batcher.is_full() || (batcher.is_due(now) && writer_is_free) {
                    take(&mut batcher);
                }
            }
            take(&mut batcher);
            prop_assert!(taken.iter().all(|batch| batch.len() <= rows * GROWTH_MAX));
            prop_assert_eq!(taken.concat(), (0..count).collect::<Vec<_>>());
        }
    }
}
