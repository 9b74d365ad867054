//! Raw records on their way from the reader to a lane, with the positions that storing them moves. Pure.

use std::ops::Range;

/// Where a record stands in its topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Coordinates {
    /// Kafka partition.
    pub partition: i32,
    /// Kafka offset.
    pub offset: i64,
}

/// One stretch of time in which this process owns a partition. What was read in an earlier tenure may no longer be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tenure {
    /// Kafka partition.
    pub partition: i32,
    /// Counts the tenures of this process.
    pub number: u64,
}

/// One record as Kafka gave it, before anybody looked inside.
#[derive(Clone, Copy, Debug)]
pub struct RawRecord<'a> {
    /// Where it stands.
    pub at: Coordinates,
    /// When its producer sent it, Unix milliseconds.
    pub sent_ms: Option<i64>,
    /// Kafka key.
    pub key: Option<&'a [u8]>,
    /// Kafka value; `None` is a tombstone.
    pub payload: Option<&'a [u8]>,
}

/// The step that a batch takes in one partition: from `expected`, where PostgreSQL must stand now, to `next`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Who may take the step.
    pub tenure: Tenure,
    /// The stored position before the batch.
    pub expected: i64,
    /// The stored position after the batch: its last offset in this partition plus one.
    pub next: i64,
    /// When the newest of its records was sent, Unix milliseconds.
    pub sent_ms: Option<i64>,
}

#[derive(Clone, Debug)]
struct Slot {
    tenure: Tenure,
    offset: i64,
    sent_ms: Option<i64>,
    key: Option<Range<usize>>,
    payload: Option<Range<usize>>,
}

/// Records of one lane, in the order in which Kafka gave them. Their bytes lie in one buffer, so that a record costs no allocation.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    slots: Vec<Slot>,
    spans: Vec<Span>,
}

impl Batch {
    /// An empty batch with room for `records` of a usual size.
    #[must_use]
    pub fn with_room_for(records: usize) -> Self {
        const USUAL_BYTES: usize = 256;
        Self { bytes: Vec::with_capacity(records * USUAL_BYTES), slots: Vec::with_capacity(records), spans: Vec::new() }
    }

    /// Adds a record that was read in `tenure`; `expected` is the position before it.
    pub fn push(&mut self, record: RawRecord<'_>, tenure: Tenure, expected: i64) {
        let key = record.key.map(|key| self.keep(key));
        let payload = record.payload.map(|payload| self.keep(payload));
        self.slots.push(Slot { tenure, offset: record.at.offset, sent_ms: record.sent_ms, key, payload });
        let next = record.at.offset + 1;
        match self.spans.iter_mut().find(|span| span.tenure == tenure) {
            Some(span) => (span.next, span.sent_ms) = (next, record.sent_ms.max(span.sent_ms)),
            None => self.spans.push(Span { tenure, expected, next, sent_ms: record.sent_ms }),
        }
    }

    fn keep(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }

    /// Number of records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether it holds no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Bytes of all keys and payloads.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The positions that storing this batch moves, one per partition.
    #[must_use]
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// The record at `index`.
    ///
    /// # Panics
    /// Where `index` is not below [`Batch::len`].
    #[must_use]
    pub fn record(&self, index: usize) -> RawRecord<'_> {
        let slot = &self.slots[index];
        RawRecord {
            at: Coordinates { partition: slot.tenure.partition, offset: slot.offset },
            sent_ms: slot.sent_ms,
            key: slot.key.clone().map(|key| &self.bytes[key]),
            payload: slot.payload.clone().map(|payload| &self.bytes[payload]),
        }
    }

    /// Drops everything that was read in a tenure for which `is_over` holds: another consumer stores it now.
    pub fn drop_tenures(&mut self, is_over: impl Fn(Tenure) -> bool) {
        if self.spans.iter().any(|span| is_over(span.tenure)) {
            self.slots.retain(|slot| !is_over(slot.tenure));
            self.spans.retain(|span| !is_over(span.tenure));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(records: &[(i32, i64)]) -> Batch {
        let mut batch = Batch::default();
        for &(partition, offset) in records {
            let record = RawRecord {
                at: Coordinates { partition, offset },
                sent_ms: Some(offset),
                key: Some(b"AAPL"),
                payload: Some(b"{}"),
            };
            batch.push(record, Tenure { partition, number: 1 }, offset);
        }
        batch
    }

    #[test]
    fn a_span_reaches_from_the_first_expected_position_past_the_last_offset() {
        let batch = batch(&[(0, 5), (1, 9), (0, 6), (0, 9)]);
        let steps: Vec<_> =
            batch.spans().iter().map(|span| (span.tenure.partition, span.expected, span.next)).collect();
        assert_eq!(steps, [(0, 5, 10), (1, 9, 10)]);
        assert_eq!(batch.record(1).key, Some(b"AAPL".as_slice()));
        assert_eq!(batch.record(3).at.offset, 9);
    }

    #[test]
    fn a_lost_partition_leaves_the_batch_and_the_others_stay() {
        let mut batch = batch(&[(0, 5), (1, 9), (0, 6)]);
        batch.drop_tenures(|tenure| tenure.partition == 0);
        assert_eq!((batch.len(), batch.spans().len()), (1, 1));
        assert_eq!(batch.record(0).at, Coordinates { partition: 1, offset: 9 });
    }
}
