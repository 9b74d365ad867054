//! Copies of the records that are with Kafka and not yet acknowledged, oldest first.

use std::collections::VecDeque;
use std::time::Instant;

use crate::fanout::record::Encoded;

/// Records in flight, each under the index that its delivery report will carry. Acknowledgements come in any order.
#[derive(Debug, Default)]
pub struct Window {
    first: usize,
    slots: VecDeque<Option<(Instant, Encoded)>>,
    in_flight: usize,
    bytes: usize,
}

impl Window {
    /// Adds a record; returns its index.
    pub fn push(&mut self, now: Instant, record: Encoded) -> usize {
        self.bytes += record.json.len();
        self.slots.push_back(Some((now, record)));
        self.in_flight += 1;
        self.first + self.slots.len() - 1
    }

    /// Removes a record, acknowledged or failed; `None` where the index is not in flight.
    pub fn remove(&mut self, index: usize) -> Option<Encoded> {
        let slot = self.slots.get_mut(index.checked_sub(self.first)?)?;
        let (_, record) = slot.take()?;
        self.in_flight -= 1;
        self.bytes -= record.json.len();
        while let Some(None) = self.slots.front() {
            self.slots.pop_front();
            self.first += 1;
        }
        Some(record)
    }

    /// The index that the next record will get.
    #[must_use]
    pub fn next_index(&self) -> usize {
        self.first + self.slots.len()
    }

    /// Whether every record below `index` has left.
    #[must_use]
    pub fn is_past(&self, index: usize) -> bool {
        self.first >= index
    }

    /// Records in flight.
    #[must_use]
    pub fn len(&self) -> usize {
        self.in_flight
    }

    /// Bytes of JSON in flight.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether everything has been acknowledged.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.in_flight == 0
    }

    /// When the oldest record in flight was sent.
    #[must_use]
    pub fn oldest(&self) -> Option<Instant> {
        self.slots.front().and_then(|slot| slot.as_ref()).map(|(sent, _)| *sent)
    }

    /// Copies of everything in flight, oldest first.
    pub fn records(&self) -> impl Iterator<Item = &Encoded> {
        self.slots.iter().flatten().map(|(_, record)| record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fanout::record::Stream;
    use market::Symbol;
    use proptest::prelude::*;

    fn record(text: String) -> Encoded {
        Encoded {
            stream: Stream::Trades,
            feed: None,
            symbol: Symbol::new("A").unwrap(),
            ts_ns: 0,
            heard_ns: None,
            seq: 0,
            json: text.into(),
        }
    }

    proptest! {
        #[test]
        fn whatever_the_order_of_acknowledgements_each_record_leaves_once(order in prop::collection::vec(0_usize..50, 0..120)) {
            let mut window = Window::default();
            let indexes: Vec<usize> = (0..50).map(|at| window.push(Instant::now(), record(at.to_string()))).collect();
            let mut left: Vec<usize> = (0..50).collect();
            for at in order {
                let expected = left.iter().position(|&other| other == at).map(|place| left.remove(place));
                let removed = window.remove(indexes[at]).map(|record| String::from_utf8(record.json.to_vec()).unwrap());
                prop_assert_eq!(removed, expected.map(|at| at.to_string()));
                prop_assert_eq!(window.len(), left.len());
                let held: Vec<String> = window.records().map(|record| String::from_utf8(record.json.to_vec()).unwrap()).collect();
                prop_assert_eq!(held, left.iter().map(usize::to_string).collect::<Vec<_>>());
                prop_assert_eq!(window.oldest().is_none(), left.is_empty());
                prop_assert_eq!(window.bytes(), left.iter().map(|at| at.to_string().len()).sum::<usize>());
            }
        }
    }
}
