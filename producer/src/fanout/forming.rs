//! The minute that is still running: its bar after each change, at most a few times a second, for clients only.
//!
//! Built from the trades as they pass, by the rules of the tapes. A forming bar has no position and goes to Redis only: the next one is
//! worth more, and the final one, from the feed or from [`crate::feeds::bars`], replaces it. A minute that was not heard from its beginning has
//! none: half a minute would be an invention.

use std::collections::HashMap;
use std::time::Duration;

use market::{Bar, BarBuilder, Conditions, MS_PER_MINUTE, Symbol, Timeframe, Trade, VoidTrade};
use tokio::time::Instant;

/// A symbol's bar is sent at most this often.
const PACE: Duration = Duration::from_millis(250);
/// Bars a second over all symbols: with more of them, each is sent more seldom.
const BARS_PER_SECOND: u32 = 8_000;
/// Trades that are kept in all, so that a void one can be taken out again.
const KEPT_MAX: usize = 500_000;

/// The running minutes of one connection.
#[derive(Debug, Default)]
pub struct Forming {
    /// Start of the first minute that is heard whole.
    whole_from_ms: Option<i64>,
    minutes: HashMap<Symbol, Minute>,
    /// Symbols that changed since they were sent.
    changed: Vec<Symbol>,
    kept: usize,
    sent_at: Option<Instant>,
}

#[derive(Debug)]
struct Minute {
    builder: BarBuilder,
    revision: u32,
    is_changed: bool,
    /// Its final bar was sent: what comes later is that bar's business.
    is_over: bool,
    /// The minute's trades, for a correction; `None` when there were too many in all.
    trades: Option<Vec<Trade>>,
}

impl Forming {
    /// A new connection begins.
    pub fn restart(&mut self) {
        *self = Self::default();
    }

    /// Adds a trade. `letters`: its sale conditions in the tapes' vocabulary. Hands out the last state of a minute that it ends.
    pub fn add(&mut self, trade: &Trade, letters: Conditions, each: &mut dyn FnMut(Bar)) {
        let start_ms = Timeframe::MINUTE.start_of(trade.ts_ms());
        let whole_from_ms = *self.whole_from_ms.get_or_insert(start_ms.saturating_add(MS_PER_MINUTE));
        if start_ms < whole_from_ms {
            return;
        }
        let trade = Trade { conditions: letters, ..trade.clone() };
        match self.minutes.get_mut(&trade.symbol) {
            // A late report: the final bar has it.
            Some(minute) if minute.builder.start_ms() > start_ms => return,
            Some(minute) if minute.builder.start_ms() == start_ms && minute.is_over => return,
            Some(minute) if minute.builder.start_ms() < start_ms => {
                if let Some(bar) = minute.take_changed() {
                    each(bar);
                }
                self.kept -= minute.trades.take().map_or(0, |trades| trades.len());
                *minute = Minute::new(&trade);
            }
            Some(_) => {}
            None => drop(self.minutes.insert(trade.symbol, Minute::new(&trade))),
        }
        let Some(minute) = self.minutes.get_mut(&trade.symbol) else { return };
        minute.builder.add(&trade);
        if !std::mem::replace(&mut minute.is_changed, true) {
            self.changed.push(trade.symbol);
        }
        if self.kept >= KEPT_MAX {
            self.kept -= minute.trades.take().map_or(0, |trades| trades.len());
        } else if let Some(trades) = &mut minute.trades {
            trades.push(trade);
            self.kept += 1;
        }
    }

    /// Takes a void trade out of its minute, where that still runs.
    pub fn void(&mut self, void: &VoidTrade) {
        let Some(minute) = self.minutes.get_mut(&void.symbol) else { return };
        let Some(trades) = &mut minute.trades else { return };
        let Some(at) = trades.iter().position(|trade| void.means(trade)) else { return };
        let gone = trades.remove(at);
        self.kept -= 1;
        minute.builder = BarBuilder::for_trade(&gone, Timeframe::MINUTE);
        trades.iter().for_each(|trade| minute.builder.add(trade));
        if !std::mem::replace(&mut minute.is_changed, true) {
            self.changed.push(void.symbol);
        }
    }

    /// The final bar of a minute is about to be sent: hands out the last state before it, and ends the minute.
    pub fn end(&mut self, bar: &Bar, each: &mut dyn FnMut(Bar)) {
        if bar.timeframe != Timeframe::MINUTE || !bar.is_final {
            return;
        }
        let Some(minute) = self.minutes.get_mut(&bar.symbol) else { return };
        if minute.builder.start_ms() != bar.start_ms {
            return;
        }
        self.kept -= minute.trades.take().map_or(0, |trades| trades.len());
        minute.is_over = true;
        if let Some(last) = minute.take_changed() {
            each(last);
        }
    }

    /// Hands out what has changed, when it is time.
    pub fn due(&mut self, now: Instant, each: &mut dyn FnMut(Bar)) {
        let symbols = u32::try_from(self.changed.len()).unwrap_or(u32::MAX);
        let pace = PACE.max(Duration::from_secs(1) * symbols / BARS_PER_SECOND);
        if self.changed.is_empty() || self.sent_at.is_some_and(|at| now < at + pace) {
            return;
        }
        self.sent_at = Some(now);
        for symbol in self.changed.drain(..) {
            if let Some(bar) = self.minutes.get_mut(&symbol).and_then(Minute::take_changed) {
                each(bar);
            }
        }
    }
}

impl Minute {
    fn new(trade: &Trade) -> Self {
        let builder = BarBuilder::for_trade(trade, Timeframe::MINUTE);
        Self { builder, revision: 0, is_changed: false, is_over: false, trades: Some(Vec::new()) }
    }

    fn take_changed(&mut self) -> Option<Bar> {
        if !std::mem::take(&mut self.is_changed) {
            return None;
        }
        let bar = self.builder.bar(false, self.revision)?;
        self.revision += 1;
        Some(bar)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use market::{NS_PER_MS, Source};

    const START_MS: i64 = 1_700_000_040_000;

    fn trade(ms: i64, price: f64, id: &str) -> Trade {
        Trade {
            symbol: Symbol::new("AAPL").unwrap(),
            price,
            size: 10.0,
            ts_ns: (START_MS + ms) * NS_PER_MS,
            trade_id: Some(id.into()),
            exchange: None,
            conditions: Conditions::new(),
            tape: None,
            source: Source::alpaca(),
        }
    }

    fn add(forming: &mut Forming, trade: &Trade) -> Vec<Bar> {
        let mut bars = Vec::new();
        forming.add(trade, Conditions::new(), &mut |bar| bars.push(bar));
        bars
    }

    fn due(forming: &mut Forming, now: Instant) -> Vec<(f64, f64, f64, u32)> {
        let mut bars = Vec::new();
        forming.due(now, &mut |bar| {
            assert!(!bar.is_final);
            bars.push((bar.high, bar.close, bar.volume, bar.revision));
        });
        bars
    }

    #[test]
    fn a_running_minute_is_sent_four_times_a_second_at_most_and_its_last_state_always() {
        let (mut forming, now) = (Forming::default(), Instant::now());
        add(&mut forming, &trade(30_000, 1.0, "a"));
        assert_eq!(due(&mut forming, now), [], "half a minute is no bar");
        add(&mut forming, &trade(60_000, 2.0, "b"));
        assert_eq!(due(&mut forming, now), [(2.0, 2.0, 10.0, 0)]);
        add(&mut forming, &trade(60_100, 3.0, "c"));
        assert_eq!(due(&mut forming, now + PACE / 2), []);
        add(&mut forming, &trade(60_200, 2.5, "d"));
        assert_eq!(due(&mut forming, now + PACE), [(3.0, 2.5, 30.0, 1)]);
        assert_eq!(due(&mut forming, now + 2 * PACE), [], "nothing new");
        add(&mut forming, &trade(119_999, 2.6, "e"));
        let last = add(&mut forming, &trade(120_001, 9.0, "f"));
        assert_eq!(
            last.iter().map(|bar| (bar.start_ms, bar.close, bar.revision)).collect::<Vec<_>>(),
            [(START_MS + 60_000, 2.6, 2)]
        );
        let mut before_final = Vec::new();
        let feeds_own =
            Bar { is_final: true, ..forming.minutes.values().next().unwrap().builder.bar(true, 0).unwrap() };
        forming.end(&feeds_own, &mut |bar| before_final.push((bar.start_ms, bar.close, bar.is_final)));
        assert_eq!(before_final, [(START_MS + 120_000, 9.0, false)]);
        assert_eq!(due(&mut forming, now + 9 * PACE), []);
        assert_eq!(forming.kept, 0);
    }

    #[test]
    fn a_void_trade_leaves_the_running_minute() {
        let (mut forming, now) = (Forming::default(), Instant::now());
        add(&mut forming, &trade(0, 1.0, "a"));
        for (ms, price, id) in [(60_000, 2.0, "b"), (60_100, 99.0, "c"), (60_200, 2.5, "d")] {
            add(&mut forming, &trade(ms, price, id));
        }
        assert_eq!(due(&mut forming, now), [(99.0, 2.5, 30.0, 0)]);
        let wrong = trade(60_100, 99.0, "c");
        forming.void(&VoidTrade {
            symbol: wrong.symbol,
            price: wrong.price,
            size: wrong.size,
            ts_ns: wrong.ts_ns,
            trade_id: wrong.trade_id,
            exchange: None,
        });
        assert_eq!(due(&mut forming, now + PACE), [(2.5, 2.5, 20.0, 1)]);
    }
}
