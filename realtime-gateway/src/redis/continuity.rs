//! Notices records that never reached this gateway: a step of more than one in a stream's positions.
//!
//! Redis keeps nothing for a subscriber that is away, and the producer drops hot records that Redis does not take. Either way the next record
//! of the symbol shows how many are missing; they are declared to its followers before it, and can be fetched from the history.

use std::collections::HashMap;

use market::{Position, Symbol};

use crate::records::channel::Channel;

/// Where each stream of each symbol stands. As large as the market that the producer publishes; clients add nothing to it.
#[derive(Debug, Default)]
pub struct Continuity {
    last: HashMap<(Symbol, Channel), Seen>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    position: Position,
    at_ms: u64,
}

/// Records that never came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missed {
    symbol: Symbol,
    channel: Channel,
    epoch: i64,
    first: u64,
    last: u64,
    /// When the last record before them came, and the first one after them, in Unix milliseconds.
    from_ms: u64,
    to_ms: u64,
}

impl Continuity {
    /// Notes a record that came at `now_ms`; returns what is missing before it.
    pub fn note(&mut self, symbol: Symbol, channel: Channel, position: Position, now_ms: u64) -> Option<Missed> {
        let before = self.last.insert((symbol, channel), Seen { position, at_ms: now_ms })?;
        // Of another run of the producer, what came before its first record that we saw. What the old run still published is unknown.
        let known = if before.position.epoch == position.epoch { before.position.seq } else { 0 };
        let first = known.checked_add(1)?;
        (first < position.seq).then(|| Missed {
            symbol,
            channel,
            epoch: position.epoch,
            first,
            last: position.seq - 1,
            from_ms: before.at_ms,
            to_ms: now_ms,
        })
    }
}

impl Missed {
    /// How many records.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.last - self.first + 1
    }

    /// Which stream they belong to.
    #[must_use]
    pub fn channel(&self) -> Channel {
        self.channel
    }

    /// The `missed` event.
    #[must_use]
    pub fn to_json(&self) -> String {
        let Self { symbol, channel, epoch, first, last, from_ms, to_ms } = self;
        serde_json::json!({
            "symbol": symbol.as_str(),
            "stream": channel.name(),
            "missed": self.count(),
            "epoch": epoch,
            "from_seq": first,
            "to_seq": last,
            "from": from_ms,
            "to": to_ms,
            "reason": "these records did not reach this gateway",
            "history": format!("/api/bars/{}/range?start={from_ms}&end={to_ms}", symbol.as_str().replace('/', "%2F")),
        })
        .to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn note(continuity: &mut Continuity, epoch: i64, seq: u64) -> Option<(u64, u64)> {
        let symbol = Symbol::new("AAPL").unwrap();
        let missed = continuity.note(symbol, Channel::Trades, Position { epoch, seq }, 5)?;
        Some((missed.first, missed.last))
    }

    #[test]
    fn a_step_is_declared_and_nothing_else_is() {
        let mut continuity = Continuity::default();
        assert_eq!(note(&mut continuity, 1, 2), None, "what came before the first record, nobody here was promised");
        assert_eq!(note(&mut continuity, 1, 3), None);
        assert_eq!(note(&mut continuity, 1, 7), Some((4, 6)));
        assert_eq!(note(&mut continuity, 1, 7), None, "a duplicate");
        assert_eq!(note(&mut continuity, 2, 1), None);
        assert_eq!(note(&mut continuity, 3, 4), Some((1, 3)), "another run of the producer");
    }

    proptest! {
        #[test]
        fn every_record_came_or_was_declared(kept in prop::collection::vec(any::<bool>(), 1..60)) {
            let mut continuity = Continuity::default();
            note(&mut continuity, 1, 1);
            let (mut known, mut last) = (vec![1], 1);
            for (seq, _) in (2_u64..).zip(&kept).filter(|(_, kept)| **kept) {
                let missed = note(&mut continuity, 1, seq);
                known.extend(missed.map_or(0..0, |(first, last)| first..last + 1));
                known.push(seq);
                last = seq;
            }
            prop_assert_eq!(known, (1..=last).collect::<Vec<_>>());
        }
    }
}
