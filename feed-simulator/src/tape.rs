//! What the market has said so far, kept for REST: trades in the server's own order, minute bars, last quotes.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use crate::message::{Bar, BarKind, Cancel, Correction, Message, Quote, Trade};
use crate::symbols::SymbolId;

/// Minute bars kept per symbol: two weeks around the clock.
const BARS_PER_SYMBOL_MAX: usize = 20_160;

/// REST's `u`: what became of a trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Update {
    /// Void.
    Canceled,
    /// Void, another one holds.
    Incorrect,
    /// Holds instead of another one.
    Corrected,
}

impl Update {
    /// The value of `u`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Canceled => "canceled",
            Self::Incorrect => "incorrect",
            Self::Corrected => "corrected",
        }
    }
}

/// A trade and what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The trade as it was sent.
    pub trade: Trade,
    /// What became of it.
    pub update: Option<Update>,
}

/// The order in which the server lists the trades of one symbol: time, exchange, signed id.
pub type TradeKey = (i64, u8, i64);

/// A trade's place in its symbol's list.
#[must_use]
pub fn key_of(trade: &Trade) -> TradeKey {
    (trade.ts_ns, trade.exchange, trade.id.cast_signed())
}

/// One market's memory.
#[derive(Debug)]
pub struct Tape {
    symbols: Vec<Record>,
    /// Symbols of the trades kept, the oldest first, to know what to forget.
    arrivals: VecDeque<SymbolId>,
    trades_max: usize,
}

#[derive(Debug, Default)]
struct Record {
    trades: VecDeque<Kept>,
    bars: VecDeque<Bar>,
    quote: Option<Quote>,
}

impl Tape {
    /// An empty memory for this many symbols and trades.
    #[must_use]
    pub fn new(symbols: usize, trades_max: usize) -> Self {
        let symbols = std::iter::repeat_with(Record::default).take(symbols).collect();
        Self { symbols, arrivals: VecDeque::new(), trades_max: trades_max.max(1) }
    }

    /// Remembers a message.
    pub fn apply(&mut self, message: &Message) {
        match message {
            Message::Trade(trade) => self.insert(Kept { trade: *trade, update: None }),
            Message::Quote(quote) => self.symbols[quote.symbol as usize].quote = Some(*quote),
            Message::Bar(BarKind::Minute | BarKind::Updated, bar) => self.symbols[bar.symbol as usize].put_bar(bar),
            Message::Correction(correction) => self.correct(correction),
            Message::Cancel(Cancel { trade, .. }) => {
                self.symbols[trade.symbol as usize].mark(key_of(trade), Update::Canceled);
            }
            Message::Bar(BarKind::Daily, _) | Message::Status(_) | Message::Luld(_) => {}
        }
    }

    /// Trades of a symbol whose time lies in `times_ns`, in order.
    pub fn trades(&self, symbol: SymbolId, times_ns: RangeInclusive<i64>) -> impl DoubleEndedIterator<Item = &Kept> {
        let trades = &self.symbols[symbol as usize].trades;
        let from = trades.partition_point(|kept| kept.trade.ts_ns < *times_ns.start());
        let to = trades.partition_point(|kept| kept.trade.ts_ns <= *times_ns.end());
        trades.range(from..to.max(from))
    }

    /// The newest trade of a symbol.
    #[must_use]
    pub fn latest_trade(&self, symbol: SymbolId) -> Option<&Kept> {
        self.symbols[symbol as usize].trades.back()
    }

    /// The newest quote of a symbol.
    #[must_use]
    pub fn latest_quote(&self, symbol: SymbolId) -> Option<&Quote> {
        self.symbols[symbol as usize].quote.as_ref()
    }

    /// Minute bars of a symbol that start in `times_ns`, ascending.
    pub fn minutes(&self, symbol: SymbolId, times_ns: RangeInclusive<i64>) -> impl DoubleEndedIterator<Item = &Bar> {
        let bars = &self.symbols[symbol as usize].bars;
        let from = bars.partition_point(|bar| bar.start_ns < *times_ns.start());
        let to = bars.partition_point(|bar| bar.start_ns <= *times_ns.end());
        bars.range(from..to.max(from))
    }

    /// How many trades are kept.
    #[must_use]
    pub fn trades_kept(&self) -> usize {
        self.arrivals.len()
    }

    fn insert(&mut self, kept: Kept) {
        if self.arrivals.len() == self.trades_max
            && let Some(symbol) = self.arrivals.pop_front()
        {
            self.symbols[symbol as usize].trades.pop_front();
        }
        self.arrivals.push_back(kept.trade.symbol);
        self.symbols[kept.trade.symbol as usize].put_trade(kept);
    }

    fn correct(&mut self, correction: &Correction) {
        let Correction { symbol, ts_ns, exchange, original, corrected } = *correction;
        let key = (ts_ns, exchange, original.id.cast_signed());
        self.symbols[symbol as usize].mark(key, Update::Incorrect);
        let trade = Trade {
            symbol,
            ts_ns,
            id: corrected.id,
            price: corrected.price,
            size: corrected.size,
            exchange,
            conditions: corrected.conditions,
        };
        self.insert(Kept { trade, update: Some(Update::Corrected) });
    }
}

impl Record {
    /// Late reports go to their place, which is near the end.
    fn put_trade(&mut self, kept: Kept) {
        let key = key_of(&kept.trade);
        if self.trades.back().is_none_or(|last| key_of(&last.trade) <= key) {
            self.trades.push_back(kept);
        } else {
            let at = self.trades.partition_point(|other| key_of(&other.trade) <= key);
            self.trades.insert(at, kept);
        }
    }

    fn mark(&mut self, key: TradeKey, update: Update) {
        if let Ok(at) = self.trades.binary_search_by_key(&key, |kept| key_of(&kept.trade)) {
            self.trades[at].update = Some(update);
        }
    }

    fn put_bar(&mut self, bar: &Bar) {
        let at = self.bars.partition_point(|other| other.start_ns < bar.start_ns);
        match self.bars.get_mut(at) {
            Some(other) if other.start_ns == bar.start_ns => *other = *bar,
            _ => self.bars.insert(at, *bar),
        }
        if self.bars.len() > BARS_PER_SYMBOL_MAX {
            self.bars.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conditions::Conditions;
    use crate::message::Report;

    fn trade(symbol: SymbolId, ts_ns: i64, id: u64) -> Trade {
        Trade { symbol, ts_ns, id, price: 100, size: 1, exchange: b'D', conditions: Conditions::default() }
    }

    fn ids(tape: &Tape, symbol: SymbolId) -> Vec<u64> {
        tape.trades(symbol, i64::MIN..=i64::MAX).map(|kept| kept.trade.id).collect()
    }

    #[test]
    fn late_reports_find_their_place_and_both_ends_are_included() {
        let mut tape = Tape::new(1, 100);
        for (ts_ns, id) in [(10, 1), (30, 3), (20, 2), (30, 4)] {
            tape.apply(&Message::Trade(trade(0, ts_ns, id)));
        }
        assert_eq!(ids(&tape, 0), [1, 2, 3, 4]);
        assert_eq!(tape.trades(0, 10..=20).count(), 2);
        assert_eq!(tape.latest_trade(0).unwrap().trade.id, 4);
    }

    #[test]
    fn only_the_newest_trades_are_kept() {
        let mut tape = Tape::new(2, 3);
        for at in 0..5_u32 {
            tape.apply(&Message::Trade(trade(at % 2, at.into(), at.into())));
        }
        assert_eq!((ids(&tape, 0), ids(&tape, 1)), (vec![2, 4], vec![3]));
        assert_eq!(tape.trades_kept(), 3);
    }

    #[test]
    fn corrected_and_cancelled_trades_say_so() {
        let mut tape = Tape::new(1, 100);
        let (first, second) = (trade(0, 1, 1), trade(0, 2, 2));
        tape.apply(&Message::Trade(first));
        tape.apply(&Message::Trade(second));
        tape.apply(&Message::Cancel(Cancel { trade: first, action: b'C' }));
        let corrected = Report { id: 9, price: 101, ..Report::from(&second) };
        let original = Report::from(&second);
        tape.apply(&Message::Correction(Correction { symbol: 0, ts_ns: 2, exchange: b'D', original, corrected }));
        let updates: Vec<_> = tape.trades(0, 0..=9).map(|kept| (kept.trade.id, kept.update)).collect();
        let expected = [(1, Some(Update::Canceled)), (2, Some(Update::Incorrect)), (9, Some(Update::Corrected))];
        assert_eq!(updates, expected);
    }
}
