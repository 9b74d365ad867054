//! A market that never was: every minute of regular hours, the same for the same seed, symbol and day, in whatever order days are made.

use jiff::ToSpan as _;
use jiff::civil::Date;
use market::calendar::Session;
use market::{Bar, MS_PER_MINUTE, Source, Symbol, Timeframe, wire};

pub(crate) struct Synthetic {
    seed: u64,
}

impl Synthetic {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// The bars of some New York days, the last included.
    pub(crate) fn bars(&self, symbol: &Symbol, first: Date, last: Date) -> Vec<Vec<u8>> {
        let days = first.series(1.day()).take_while(|day| *day <= last).filter_map(Session::of);
        days.flat_map(|session| self.day(symbol, &session)).collect()
    }

    fn day(&self, symbol: &Symbol, session: &Session) -> Vec<Vec<u8>> {
        let named = symbol.as_bytes().iter().fold(self.seed, |seed, byte| mix(seed ^ u64::from(*byte)));
        let mut random = Random(mix(named ^ session.open_ms.unsigned_abs()));
        // A level that is the symbol's own, and a walk around it that begins anew each day.
        let mut cents = 2_000 + named % 40_000;
        let minutes = (session.close_ms - session.open_ms) / MS_PER_MINUTE;
        (0..minutes)
            .map(|minute| {
                let open = cents;
                let close = (open + random.below(41)).saturating_sub(20).max(100);
                let (high, low) = (open.max(close) + random.below(10), open.min(close) - random.below(10));
                cents = close;
                let price = |cents: u64| f64::from(u32::try_from(cents).unwrap_or(u32::MAX)) / 100.0;
                let count = 1 + random.below(200);
                let bar = Bar {
                    symbol: *symbol,
                    timeframe: Timeframe::MINUTE,
                    open: price(open),
                    high: price(high),
                    low: price(low),
                    close: price(close),
                    volume: f64::from(u32::try_from(count * 100).unwrap_or(u32::MAX)),
                    trade_count: Some(count),
                    vwap: Some(price((high + low) / 2)),
                    start_ms: session.open_ms + minute * MS_PER_MINUTE,
                    is_final: true,
                    revision: 0,
                    source: Source::alpaca(),
                };
                let mut out = Vec::with_capacity(280);
                wire::encode_bar(&bar, None, &mut out);
                out
            })
            .collect()
    }
}

/// Numbers that look like chance and are none (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0) % limit
    }
}

fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    #[test]
    fn days_are_the_same_alone_and_together_and_all_bars_are_valid() {
        let (market, symbol) = (Synthetic::new(7), Symbol::new("AAPL").unwrap());
        let both = market.bars(&symbol, date(2024, 7, 3), date(2024, 7, 5));
        assert_eq!(both.len(), 210 + 390, "a half day, a holiday, a whole day");
        let apart = [date(2024, 7, 3), date(2024, 7, 5)].map(|day| market.bars(&symbol, day, day)).concat();
        assert_eq!(both, apart);
        for bar in &both {
            let (bar, position) = wire::decode_bar(bar).unwrap();
            assert!(position.is_none() && bar.low <= bar.high && bar.is_final);
        }
        assert_ne!(both, Synthetic::new(8).bars(&symbol, date(2024, 7, 3), date(2024, 7, 5)));
    }
}
