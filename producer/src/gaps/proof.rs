//! When a gap may be called healed: pure judgement over what the stream delivered and what the history says.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use market::sent::millionths;
use market::{MS_PER_MINUTE, NS_PER_MS, Symbol, Trade};

use super::witness::Witness;

/// Trades of one symbol and minute. Order does not matter, and sizes add up exactly: they are counted in millionths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// How many.
    pub trades: u64,
    /// Sum of sizes in millionths of a share.
    pub shares: i128,
    /// Sum of fingerprints, so that one trade in another's place is no equality.
    keys: u64,
}

/// What one reading of the history says, by symbol and minute.
#[derive(Debug, Default)]
pub struct Tally {
    minutes: HashMap<(Symbol, i64), Sums>,
    trades: u64,
}

impl Tally {
    /// Counts a trade.
    pub fn add(&mut self, trade: &Trade) {
        let minute = trade.ts_ns.div_euclid(MS_PER_MINUTE * NS_PER_MS);
        let sums = self.minutes.entry((trade.symbol, minute)).or_default();
        sums.trades += 1;
        sums.shares += i128::from(millionths(trade.size));
        sums.keys = sums.keys.wrapping_add(Witness::of(trade).key);
        self.trades += 1;
    }

    /// How many trades were counted.
    #[must_use]
    pub fn trades(&self) -> u64 {
        self.trades
    }

    /// Whether a second reading says what was handed on.
    ///
    /// # Errors
    /// A sentence that names the first symbol and minute that differ.
    pub fn same_as(&self, again: &Self) -> Result<(), String> {
        let mut places: Vec<_> = self.minutes.keys().chain(again.minutes.keys()).collect();
        places.sort_unstable_by_key(|(symbol, minute)| (*minute, symbol.as_str()));
        let sums = |tally: &Self, place| tally.minutes.get(place).copied().unwrap_or_default();
        let Some(place) = places.into_iter().find(|place| sums(self, place) != sums(again, place)) else {
            return Ok(());
        };
        let (had, has) = (sums(self, place), sums(again, place));
        let time = jiff::Timestamp::from_second(place.1.saturating_mul(60)).unwrap_or_default();
        Err(format!(
            "{} trades of {} in the minute {time} were handed on, and the history now has {}: it is not settled yet",
            had.trades, place.0, has.trades
        ))
    }
}

/// Compares the trades that the stream delivered on both sides of an outage with the history.
#[derive(Debug)]
pub struct Overlap {
    /// Delivered trades by fingerprint, with their side, until the history has shown them.
    missing: HashMap<u64, usize>,
    delivered: [usize; 2],
    /// From the first to the last stamp of each side.
    spans: [Option<(i64, i64)>; 2],
}

/// The names of both sides, for people.
const SIDES: [&str; 2] = ["before", "after"];

impl Overlap {
    /// Of the witnesses before and after, those within `span` count (both ends included, Unix nanoseconds).
    #[must_use]
    pub fn new(sides: [Vec<Witness>; 2], (start_ns, end_ns): (i64, i64)) -> Self {
        let mut overlap = Self { missing: HashMap::new(), delivered: [0, 0], spans: [None; 2] };
        for (side, witnesses) in sides.into_iter().enumerate() {
            for witness in witnesses.into_iter().filter(|witness| (start_ns..=end_ns).contains(&witness.ts_ns)) {
                if let Entry::Vacant(place) = overlap.missing.entry(witness.key) {
                    place.insert(side);
                    overlap.delivered[side] += 1;
                    let (first, last) = overlap.spans[side].get_or_insert((witness.ts_ns, witness.ts_ns));
                    (*first, *last) = (witness.ts_ns.min(*first), witness.ts_ns.max(*last));
                }
            }
        }
        overlap
    }

    /// What has to be read of the history to judge each side; both ends included, Unix nanoseconds.
    #[must_use]
    pub fn spans(&self) -> [Option<(i64, i64)>; 2] {
        self.spans
    }

    /// Whether the history has shown a trade that the stream delivered.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        self.missing.len() < self.delivered[0] + self.delivered[1]
    }

    /// The history has this trade.
    pub fn seen(&mut self, trade: &Trade) {
        if !self.missing.is_empty() {
            self.missing.remove(&Witness::of(trade).key);
        }
    }

    /// Trades that the stream delivered and the history lacks.
    #[must_use]
    pub fn unknown(&self) -> u64 {
        self.missing.len() as u64
    }

    /// Whether the answer is evidence. One trade that the history lacks decides nothing: it may have been cancelled, or be wrong.
    ///
    /// # Errors
    /// A sentence that says what is missing.
    pub fn judge(&self) -> Result<(), String> {
        for (side, name) in SIDES.into_iter().enumerate() {
            let (delivered, missing) =
                (self.delivered[side], self.missing.values().filter(|missing| **missing == side).count());
            if missing > 1 && missing * 4 > delivered {
                return Err(format!(
                    "the history lacks {missing} of {delivered} trades that the stream delivered {name} the outage: it is another feed's, or not complete yet"
                ));
            }
        }
        let delivered = self.delivered[0] + self.delivered[1];
        if delivered > 0 && !self.is_proven() {
            return Err(format!(
                "the history has none of {delivered} trades that the stream delivered around the outage"
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use market::Source;
    use proptest::prelude::*;

    use super::*;

    fn trade(id: u64, second: i64, size: f64) -> Trade {
        Trade {
            symbol: Symbol::new("AAPL").unwrap(),
            price: 1.0,
            size,
            ts_ns: second * 1_000_000_000,
            trade_id: Some(id.to_string().into()),
            exchange: None,
            conditions: Default::default(),
            tape: None,
            source: Source::alpaca(),
        }
    }

    fn tally(trades: &[Trade]) -> Tally {
        let mut tally = Tally::default();
        trades.iter().for_each(|trade| tally.add(trade));
        tally
    }

    #[test]
    fn one_trade_less_in_another_size_or_in_anothers_place_is_no_equality() {
        let handed_on = [trade(1, 3, 0.1), trade(2, 4, 0.2), trade(3, 65, 1.0)];
        let whole = tally(&handed_on);
        assert_eq!(whole.same_as(&tally(&[handed_on[2].clone(), handed_on[1].clone(), handed_on[0].clone()])), Ok(()));
        for other in [
            vec![handed_on[0].clone(), handed_on[1].clone()],
            vec![handed_on[0].clone(), trade(2, 4, 0.3), handed_on[2].clone()],
            vec![handed_on[0].clone(), trade(4, 4, 0.2), handed_on[2].clone()],
        ] {
            assert!(whole.same_as(&tally(&other)).unwrap_err().contains("AAPL"));
            assert!(tally(&other).same_as(&whole).is_err());
        }
    }

    fn overlap(before: usize, after: usize, known: &[u64]) -> Overlap {
        let witness = |id: usize| Witness::of(&trade(id as u64, 10, 1.0));
        let sides = [(0..before).map(witness).collect(), (before..before + after).map(witness).collect()];
        let mut overlap = Overlap::new(sides, (0, 20_000_000_000));
        known.iter().for_each(|id| overlap.seen(&trade(*id, 10, 1.0)));
        overlap
    }

    #[test]
    fn a_history_that_lacks_what_the_stream_delivered_is_no_evidence() {
        assert_eq!(overlap(2, 2, &[0, 1, 2, 3]).judge(), Ok(()));
        assert!(overlap(3, 0, &[7, 8]).judge().unwrap_err().contains("3 of 3"), "another feed's");
        assert!(overlap(2, 5, &[0, 1]).judge().unwrap_err().contains("after"), "the end is missing");
        assert!(overlap(1, 0, &[]).judge().is_err());
        assert!(overlap(0, 0, &[]).judge().is_ok() && !overlap(0, 0, &[]).is_proven(), "nothing was delivered");
    }

    #[test]
    fn one_trade_that_the_history_lacks_is_reported_and_decides_nothing() {
        let overlap = overlap(2, 1, &[0, 1]);
        assert_eq!((overlap.judge(), overlap.unknown()), (Ok(()), 1));
        let outside = Overlap::new([vec![Witness::of(&trade(1, 99, 1.0))], vec![]], (0, 20_000_000_000));
        assert_eq!(outside.unknown(), 0, "a stamp outside of what is read says nothing");
    }

    proptest! {
        /// Whatever the history says: it is evidence only if it has something that the stream delivered, and lacks little of each side.
        #[test]
        fn an_answer_that_is_evidence_knows_what_the_stream_delivered_on_both_sides(
            before in 0_usize..12, after in 0_usize..12, known in prop::collection::btree_set(0_u64..30, 0..30),
        ) {
            let known: Vec<u64> = known.into_iter().collect();
            let overlap = overlap(before, after, &known);
            let lacking = |ids: std::ops::Range<usize>| ids.filter(|id| !known.contains(&(*id as u64))).count();
            let (first, second) = (lacking(0..before), lacking(before..before + after));
            prop_assert_eq!(overlap.unknown(), (first + second) as u64);
            if overlap.judge().is_ok() {
                prop_assert!(first <= 1 || first * 4 <= before, "{} of {} before", first, before);
                prop_assert!(second <= 1 || second * 4 <= after, "{} of {} after", second, after);
                prop_assert!(overlap.is_proven() || before + after == 0);
            } else {
                prop_assert!(first + second > 0, "a whole history is evidence");
            }
        }

        /// Two readings agree if and only if they have the same trades, in whatever order.
        #[test]
        fn two_readings_agree_only_if_they_have_the_same_trades(
            first in prop::collection::vec((0_u64..6, 0_i64..130, 1_u32..4), 0..20),
            second in prop::collection::vec((0_u64..6, 0_i64..130, 1_u32..4), 0..20),
            turn in 0_usize..20,
        ) {
            let trades = |of: &[(u64, i64, u32)]| of.iter().map(|(id, second, size)| trade(*id, *second, f64::from(*size))).collect::<Vec<_>>();
            let mut turned = first.clone();
            turned.rotate_left(turn.min(first.len()));
            prop_assert_eq!(tally(&trades(&first)).same_as(&tally(&trades(&turned))), Ok(()));
            let sorted = |of: &[(u64, i64, u32)]| { let mut of = of.to_vec(); of.sort_unstable(); of };
            if sorted(&first) != sorted(&second) && turned.len() != second.len() {
                prop_assert!(tally(&trades(&first)).same_as(&tally(&trades(&second))).is_err());
            }
            for at in 0..first.len() {
                let mut less = first.clone();
                less.remove(at);
                prop_assert!(tally(&trades(&first)).same_as(&tally(&trades(&less))).is_err(), "one record is missing");
            }
        }
    }
}
