//! Trades to bars, for feeds that send none and for the bar that is still forming. Pure: time is what the trades say.

use crate::calendar::{Phase, phase_at};
use crate::conditions::{OpenClose, eligibility};
use crate::record::{Bar, Trade};
use crate::symbol::{Source, Symbol};
use crate::timeframe::Timeframe;

/// Builds the bar of one symbol over one interval from its trades, in any order of arrival.
///
/// Each field follows its own rule (see [`crate::conditions`]): an odd lot adds volume and moves no price, a late trade may move
/// high and low but neither open nor close.
#[derive(Clone, Debug)]
pub struct BarBuilder {
    symbol: Symbol,
    source: Source,
    timeframe: Timeframe,
    start_ms: i64,
    extended_hours: bool,
    open: Option<Mark>,
    close: Option<Mark>,
    high: f64,
    low: f64,
    volume: f64,
    notional: f64,
    trade_count: u64,
}

/// A price, the time that earned it its place, and whether a stronger claim may replace it.
#[derive(Clone, Copy, Debug)]
struct Mark {
    price: f64,
    ts_ns: i64,
    weak: bool,
}

impl BarBuilder {
    /// An empty bar for the interval that holds `trade`, which is not yet added.
    #[must_use]
    pub fn for_trade(trade: &Trade, timeframe: Timeframe) -> Self {
        let start_ms = timeframe.start_of(trade.ts_ms());
        Self {
            symbol: trade.symbol,
            source: trade.source.clone(),
            timeframe,
            start_ms,
            extended_hours: phase_at(start_ms) != Phase::Open,
            open: None,
            close: None,
            high: f64::NEG_INFINITY,
            low: f64::INFINITY,
            volume: 0.0,
            notional: 0.0,
            trade_count: 0,
        }
    }

    /// Start of the interval in Unix milliseconds.
    #[must_use]
    pub fn start_ms(&self) -> i64 {
        self.start_ms
    }

    /// Adds one trade of this bar's symbol and interval.
    pub fn add(&mut self, trade: &Trade) {
        let codes = trade.conditions.iter().map(|code| code.as_str());
        let rules = eligibility(codes, trade.tape.as_deref(), self.extended_hours);
        if rules.volume {
            self.volume += trade.size;
            self.notional += trade.price * trade.size;
            self.trade_count += 1;
        }
        if rules.high_low {
            self.high = self.high.max(trade.price);
            self.low = self.low.min(trade.price);
        }
        self.set_open_close(trade, rules.open_close);
    }

    fn set_open_close(&mut self, trade: &Trade, rule: OpenClose) {
        let mark = Mark { price: trade.price, ts_ns: trade.ts_ns, weak: rule == OpenClose::IfUnset };
        let newest = self.close.is_none_or(|close| trade.ts_ns >= close.ts_ns);
        match rule {
            OpenClose::No => {}
            OpenClose::IfUnset => {
                self.open.get_or_insert(mark);
                self.close.get_or_insert(mark);
            }
            OpenClose::IfNewest | OpenClose::Yes => {
                let claims_open = rule == OpenClose::Yes || newest;
                if claims_open && self.open.is_none_or(|open| open.weak || trade.ts_ns < open.ts_ns) {
                    self.open = Some(mark);
                }
                if self.close.is_none_or(|close| close.weak) || newest {
                    self.close = Some(mark);
                }
            }
        }
    }

    /// The bar as it stands; `None` while no trade has moved a price, because such an interval has no bar.
    #[must_use]
    pub fn bar(&self, is_final: bool, revision: u32) -> Option<Bar> {
        let (open, close) = (self.open?, self.close?);
        let (high, low) = if self.high.is_finite() {
            (self.high, self.low)
        } else {
            (open.price.max(close.price), open.price.min(close.price))
        };
        Some(Bar {
            symbol: self.symbol,
            timeframe: self.timeframe,
            open: open.price,
            high,
            low,
            close: close.price,
            volume: self.volume,
            trade_count: Some(self.trade_count),
            vwap: (self.volume > 0.0).then(|| self.notional / self.volume),
            start_ms: self.start_ms,
            is_final,
            revision,
            source: self.source.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn trade(ms: i64, price: f64, conditions: &[&str]) -> Trade {
        Trade {
            symbol: Symbol::new("SPY").unwrap(),
            price,
            size: 100.0,
            ts_ns: (1_700_000_040_000 + ms) * crate::NS_PER_MS,
            trade_id: None,
            exchange: None,
            conditions: conditions.iter().map(|&code| code.into()).collect(),
            tape: Some("B".into()),
            source: Source::alpaca(),
        }
    }

    fn build(trades: &[Trade]) -> Option<Bar> {
        let mut builder = BarBuilder::for_trade(&trades[0], Timeframe::MINUTE);
        trades.iter().for_each(|trade| builder.add(trade));
        builder.bar(true, 0)
    }

    #[test]
    fn regular_trades_make_the_four_prices() {
        let bar = build(&[trade(0, 10.0, &[]), trade(1, 12.0, &[]), trade(2, 9.0, &[]), trade(3, 11.0, &[])]).unwrap();
        assert_eq!((bar.open, bar.high, bar.low, bar.close), (10.0, 12.0, 9.0, 11.0));
        assert_eq!((bar.volume, bar.trade_count, bar.vwap), (400.0, Some(4), Some(10.5)));
        assert_eq!(bar.start_ms, 1_700_000_040_000);
    }

    #[test]
    fn an_odd_lot_adds_volume_and_moves_no_price() {
        let bar = build(&[trade(0, 10.0, &[]), trade(1, 99.0, &["I"])]).unwrap();
        assert_eq!((bar.high, bar.close, bar.volume), (10.0, 10.0, 200.0));
        assert_eq!(build(&[trade(0, 10.0, &["I"])]), None, "a minute of odd lots has no bar");
    }

    #[test]
    fn a_late_trade_moves_high_and_low_but_not_an_open_or_close_that_is_set() {
        let bar = build(&[trade(0, 10.0, &[]), trade(1, 12.0, &["Z"]), trade(2, 11.0, &[])]).unwrap();
        assert_eq!((bar.open, bar.high, bar.close), (10.0, 12.0, 11.0));
        let bar = build(&[trade(0, 12.0, &["Z"]), trade(1, 10.0, &[])]).unwrap();
        assert_eq!((bar.open, bar.close), (10.0, 10.0), "a regular trade takes the place a late one held");
    }

    proptest! {
        #[test]
        fn the_order_of_arrival_does_not_matter_for_regular_trades(
            prices in prop::collection::vec(1_u32..1000, 1..40), seed in any::<u64>(),
        ) {
            let trades: Vec<Trade> = prices.iter().enumerate()
                .map(|(at, &price)| trade(i64::try_from(at).unwrap(), f64::from(price), &[]))
                .collect();
            let mut shuffled = trades.clone();
            let mut state = seed | 1;
            for at in (1..shuffled.len()).rev() {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                shuffled.swap(at, usize::try_from(state >> 33).unwrap() % (at + 1));
            }
            prop_assert_eq!(build(&trades), build(&shuffled));
        }
    }
}
