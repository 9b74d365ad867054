//! Ids for trades that have none.
//!
//! Several trades of one moment may be equal in everything, and all of them are real. The id is made of what a trade says and of how many
//! equal ones came before it on this connection, so that a trade which is heard again later, in the same order, from the stream or from
//! the history, gets the same id.

use std::collections::HashMap;
use std::fmt::Write as _;

use compact_str::CompactString;
use market::Trade;

/// Equal trades are counted for this long after the newest one, in nanoseconds.
const REMEMBERED_NS: i64 = 60_000_000_000;
/// Counters that may be kept before old ones are looked for.
const COUNTERS_MAX: usize = 1 << 16;

/// How often each trade was heard on this connection.
#[derive(Debug, Default)]
pub struct Occurrences {
    /// By time and fingerprint.
    heard: HashMap<(i64, u64), u32>,
    newest_ns: i64,
    /// Counters at which old ones are looked for again.
    sweep_at: usize,
}

impl Occurrences {
    /// A new connection begins.
    pub fn restart(&mut self) {
        *self = Self::default();
    }

    /// The trade with an id: its own, or one that is made.
    #[must_use]
    pub fn named(&mut self, mut trade: Trade) -> Trade {
        if trade.trade_id.is_none() {
            trade.trade_id = Some(self.id(&trade));
        }
        trade
    }

    /// The id of this trade, heard once more. No exchange's id begins like it.
    fn id(&mut self, trade: &Trade) -> CompactString {
        let fingerprint = fingerprint(trade);
        let before = self.heard.entry((trade.ts_ns, fingerprint)).or_default();
        let mut id = CompactString::default();
        let _ = write!(id, "none:{fingerprint:016x}-{before}"); // a string takes every write
        *before += 1;
        self.newest_ns = self.newest_ns.max(trade.ts_ns);
        if self.heard.len() > self.sweep_at.max(COUNTERS_MAX) {
            let oldest_ns = self.newest_ns.saturating_sub(REMEMBERED_NS);
            self.heard.retain(|(ts_ns, _), _| *ts_ns >= oldest_ns);
            self.sweep_at = 2 * self.heard.len(); // so that sweeping stays rare however many are young
        }
        id
    }
}

/// FNV-1a over everything but the time. Symbols are in it too: the counters are for all of them.
fn fingerprint(trade: &Trade) -> u64 {
    let (price, size) = (trade.price.to_bits().to_le_bytes(), trade.size.to_bits().to_le_bytes());
    let codes = trade.conditions.iter().flat_map(|code| [b",", code.as_bytes()]);
    let exchange = trade.exchange.as_deref().unwrap_or_default().as_bytes();
    let parts = [trade.symbol.as_bytes(), b"\0", exchange, b"\0", &price, &size].into_iter().chain(codes);
    parts.flatten().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use market::{Conditions, Source, Symbol};

    fn trade(ts_ns: i64, price: f64) -> Trade {
        Trade {
            symbol: Symbol::new("TSLA").unwrap(),
            price,
            size: 1.0,
            ts_ns,
            trade_id: None,
            exchange: None,
            conditions: Conditions::new(),
            tape: None,
            source: Source::finnhub(),
        }
    }

    #[test]
    fn equal_trades_get_different_ids_and_a_second_hearing_the_same_ones() {
        let mut occurrences = Occurrences::default();
        let mut ids =
            || [trade(5, 1.0), trade(5, 1.0), trade(5, 2.0), trade(6, 1.0)].map(|trade| occurrences.id(&trade));
        let first = ids();
        assert!(first.iter().all(|id| id.starts_with("none:")));
        assert_eq!(first[0].trim_end_matches(|last| last != '-'), first[1].trim_end_matches(|last| last != '-'));
        assert!(first[0].ends_with("-0") && first[1].ends_with("-1") && first[2].ends_with("-0"));
        assert_eq!(first[0], first[3], "the time is part of a trade's key already");
        assert!(ids()[0].ends_with("-2"), "without a new connection it is one more trade");
        occurrences.restart();
        assert_eq!(occurrences.named(trade(5, 1.0)).trade_id.as_ref(), Some(&first[0]));
        let own = Trade { trade_id: Some("7".into()), ..trade(5, 1.0) };
        assert_eq!(occurrences.named(own.clone()), own);
    }

    #[test]
    fn memory_is_bounded_by_time() {
        let mut occurrences = Occurrences::default();
        for at in 0..=i64::try_from(COUNTERS_MAX).unwrap() {
            occurrences.id(&trade(at * 10_000_000, 1.0));
        }
        assert!(occurrences.heard.len() <= 6001, "{}", occurrences.heard.len());
    }
}
