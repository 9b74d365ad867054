//! Minute bars from before the start, so that charts have something to show: a walk back in time from the start's price.
//!
//! Nothing is stored: the bars of a symbol are computed again from the seed whenever somebody asks.

use std::sync::Arc;

use super::{Hours, Settings};
use crate::dice::{Dice, whole};
use crate::hours::Day;
use crate::message::Bar;
use crate::symbols::{SymbolId, SymbolTable};
use crate::units::{NS_PER_MINUTE, minute_of};

/// Streams of the dice from this number on belong to the history, one a symbol.
const FIRST_STREAM: u64 = 1_000;
/// Standard deviation of the relative price change over a minute.
const VOLATILITY: f64 = 1.4e-3;
/// Mean shares of a trade.
const MEAN_SIZE: f64 = 330.0;

/// The market before its start.
#[derive(Clone, Debug)]
pub struct History {
    seed: u64,
    start_ns: i64,
    hours: Hours,
    days: u32,
    symbols: Arc<SymbolTable>,
    /// Trades a minute at an activity of 1, by symbol.
    trades_per_minute: Vec<f64>,
}

impl History {
    /// The history of the market that `settings` describe.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let trades = settings.rate * (1.0 - settings.quote_share) * 60.0;
        Self {
            seed: settings.seed,
            start_ns: settings.start_ns,
            hours: settings.hours,
            days: settings.history_days,
            symbols: Arc::clone(&settings.symbols),
            trades_per_minute: settings.shares().into_iter().map(|share| share * trades).collect(),
        }
    }

    /// A symbol's minute bars that start at or after `since_ns`, ascending. All end before the market's first minute.
    #[must_use]
    pub fn minutes(&self, symbol: SymbolId, since_ns: i64) -> Vec<Bar> {
        let anchor = self.symbols.info(symbol).price as f64;
        let mut dice = Dice::new(self.seed, FIRST_STREAM + u64::from(symbol));
        let mut close = anchor;
        let mut bars = Vec::new();
        for (start_ns, activity) in self.minutes_back().take_while(|(start_ns, _)| *start_ns >= since_ns) {
            // Every minute draws the same dice whether or not it gets a bar: a shorter request changes nothing.
            let moved = VOLATILITY * dice.normal() + (close / anchor - 1.0) / 120.0;
            let open = (close * (1.0 - moved)).max(1.0);
            let reach = [dice.unit(), dice.unit()].map(|unit| unit * VOLATILITY * 0.7 * close);
            let trades = self.trades_per_minute[symbol as usize] * activity * (0.5 + dice.unit());
            let size = MEAN_SIZE * (0.6 + 0.8 * dice.unit());
            let last = std::mem::replace(&mut close, open);
            let trade_count = whole(trades).max(i64::from(activity >= 0.5)).unsigned_abs();
            if trade_count == 0 {
                continue;
            }
            let cents = |price: f64| (whole(price) / 100 * 100).max(100);
            let (open, high, low) = (cents(open), open.max(last) + reach[0], open.min(last) - reach[1]);
            let (high, low, close) = (cents(high).max(open), cents(low).min(open), cents(last));
            bars.push(Bar {
                symbol,
                start_ns,
                open,
                high: high.max(close),
                low: low.min(close),
                close,
                volume: whole(trade_count as f64 * size).max(1).unsigned_abs(),
                trade_count,
                vwap: (open + high + low + close) * 25,
            });
        }
        bars.reverse();
        bars
    }

    /// Starts and activities of the minutes of the days before the start, the newest first.
    fn minutes_back(&self) -> impl Iterator<Item = (i64, f64)> {
        let first = minute_of(self.start_ns);
        let mut day = Day::of(first - 1);
        let mut days_left = self.days + 1;
        let oldest = first - i64::from(self.days) * 1_440 * NS_PER_MINUTE;
        let hours = self.hours;
        let mut start_ns = first;
        std::iter::from_fn(move || {
            loop {
                start_ns -= NS_PER_MINUTE;
                if hours == Hours::AroundTheClock {
                    return (start_ns >= oldest).then_some((start_ns, 1.0));
                }
                match day.session {
                    Some(session) if start_ns >= session.pre => {
                        start_ns = start_ns.min(session.end - NS_PER_MINUTE);
                        return Some((start_ns, hours.activity(&day, start_ns)));
                    }
                    session => {
                        days_left -= u32::from(session.is_some());
                        if days_left == 0 {
                            return None;
                        }
                        start_ns = day.start_ns;
                        day = day.before();
                    }
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::text::parse_time;

    fn history(hours: Hours) -> History {
        History::new(&Settings {
            seed: 7,
            start_ns: parse_time("2024-06-05T15:00:30Z").unwrap(),
            rate: 100.0,
            hours,
            symbols: Arc::new(SymbolTable::new(["AAPL", "SPY"])),
            quote_share: 0.3,
            late_share: 0.0,
            late_max_ns: 1,
            early_share: 0.0,
            early_max_ns: 1,
            correction_share: 0.0,
            history_days: 5,
        })
    }

    #[test]
    fn five_days_end_where_the_market_begins() {
        let bars = history(Hours::AroundTheClock).minutes(0, i64::MIN);
        assert_eq!(bars.len(), 5 * 1_440);
        let last = bars.last().unwrap();
        assert_eq!(last.start_ns, parse_time("2024-06-05T14:59:00Z").unwrap());
        assert_eq!(last.close, 2_300_000, "the last close is the first price");
        assert!(bars.windows(2).all(|pair| pair[0].start_ns < pair[1].start_ns));
        for bar in bars {
            assert!(bar.low <= bar.open.min(bar.close) && bar.high >= bar.open.max(bar.close) && bar.low > 0);
            assert!((bar.low * 100..=bar.high * 100).contains(&bar.vwap));
        }
    }

    #[test]
    fn market_hours_have_no_bars_at_night_and_on_weekends() {
        let bars = history(Hours::Market).minutes(1, i64::MIN);
        let days: std::collections::BTreeSet<_> = bars.iter().map(|bar| Day::of(bar.start_ns).date).collect();
        assert_eq!(days.len(), 6, "today and five trading days: {days:?}");
        for bar in &bars {
            let session = Day::of(bar.start_ns).session.expect("a trading day");
            assert!((session.pre..session.end).contains(&bar.start_ns));
        }
        let regular = bars.iter().filter(|bar| Day::of(bar.start_ns).is_regular(bar.start_ns)).count();
        assert_eq!(regular, 5 * 390 + 90);
    }

    #[test]
    fn a_shorter_request_gets_the_same_bars() {
        let history = history(Hours::Market);
        let all = history.minutes(0, i64::MIN);
        let since = all[all.len() - 100].start_ns;
        assert_eq!(history.minutes(0, since), all[all.len() - 100..]);
    }
}
