//! What one read from Redis brought, encoded once and shared by all clients.
//!
//! The frames of a batch lie in one piece of memory, so a client that follows everything in it is served with one write of one
//! slice, and nobody's copy is anybody else's.

use std::ops::Range;
use std::sync::OnceLock;

use super::encoding::Encoding;
use super::event::Event;

/// Records in the order in which they came.
#[derive(Debug, Default)]
pub struct Batch {
    events: Vec<Event>,
    payloads: Vec<u8>,
    payload_ends: Vec<usize>,
    encoded: [OnceLock<Encoded>; Encoding::COUNT],
}

#[derive(Debug)]
struct Encoded {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Batch {
    /// Adds a record.
    pub fn push(&mut self, event: Event, payload: &[u8]) {
        debug_assert!(
            self.encoded.iter().all(|encoded| encoded.get().is_none()),
            "a batch that is shared does not grow"
        );
        self.events.push(event);
        self.payloads.extend_from_slice(payload);
        self.payload_ends.push(self.payloads.len());
    }

    /// A batch of its own for one record, which does not keep the others in memory.
    #[must_use]
    pub fn isolate(&self, index: usize) -> Self {
        let mut alone = Self::default();
        alone.push(self.events[index].clone(), self.payload(index));
        alone
    }

    /// The records.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// For setting offsets and days, before the batch is shared.
    pub fn events_mut(&mut self) -> &mut [Event] {
        &mut self.events
    }

    /// How many records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// A record's JSON, exactly as it came.
    #[must_use]
    pub fn payload(&self, index: usize) -> &[u8] {
        &self.payloads[range(&self.payload_ends, index..index + 1)]
    }

    /// The bytes of consecutive records for clients of one kind.
    #[must_use]
    pub fn encoded(&self, encoding: Encoding, records: Range<usize>) -> &[u8] {
        let encoded = self.encoded[encoding.index()].get_or_init(|| self.encode(encoding));
        &encoded.bytes[range(&encoded.ends, records)]
    }

    fn encode(&self, encoding: Encoding) -> Encoded {
        let mut bytes = Vec::with_capacity(self.payloads.len() + self.events.len() * 48);
        let mut ends = Vec::with_capacity(self.events.len());
        for (index, event) in self.events.iter().enumerate() {
            encoding.put_event(&mut bytes, event, self.payload(index));
            ends.push(bytes.len());
        }
        Encoded { bytes, ends }
    }
}

fn range(ends: &[usize], records: Range<usize>) -> Range<usize> {
    let before = |index: usize| index.checked_sub(1).map_or(0, |last| ends[last]);
    before(records.start)..before(records.end)
}

#[cfg(test)]
pub(crate) mod tests {
    use market::Symbol;

    use super::super::channel::Channel;
    use super::*;

    /// A batch of trades whose payload is their offset.
    pub(crate) fn batch(records: &[(&str, Channel, u64)]) -> Batch {
        let mut batch = Batch::default();
        for &(symbol, channel, offset) in records {
            let event = Event { symbol: Symbol::new(symbol).unwrap(), channel, offset, position: None, day: None };
            batch.push(event, format!(r#"{{"symbol":"{symbol}","n":{offset}}}"#).as_bytes());
        }
        batch
    }

    #[test]
    fn consecutive_records_are_one_slice() {
        let batch = batch(&[("A", Channel::Trades, 1), ("B", Channel::Bars, 2), ("A", Channel::Quotes, 3)]);
        let text = |records| std::str::from_utf8(batch.encoded(Encoding::ENGINE.marked(), records)).unwrap();
        assert_eq!(text(1..3), r#"2["bar",{"symbol":"B","n":2},"2"]2["quote",{"symbol":"A","n":3},"3"]"#);
        assert_eq!(text(0..1), r#"2["trade",{"symbol":"A","n":1},"1"]"#);
        assert_eq!(text(1..1), "");
    }

    #[test]
    fn a_record_alone_encodes_as_it_did_among_others() {
        let batch = batch(&[("A", Channel::Trades, 1), ("B", Channel::Trades, 2)]);
        let alone = batch.isolate(1);
        assert_eq!(alone.len(), 1);
        assert_eq!(alone.encoded(Encoding::DIRECT, 0..1), batch.encoded(Encoding::DIRECT, 1..2));
    }
}
