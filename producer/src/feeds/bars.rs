//! Minute bars from trades, for a feed that sends none.
//!
//! Only minutes that were heard from beginning to end become bars: the one in which a connection begins or is lost has none, because
//! a bar of half a minute would be an invention.

use std::collections::BTreeMap;

use market::{Bar, BarBuilder, Conditions, MS_PER_MINUTE, Symbol, Timeframe, Trade};

/// A minute's bar is sent this long after its end, in milliseconds, so that most late trades are in it.
const GRACE_MS: i64 = 2_000;
/// Later trades raise its revision until this long after its start, in milliseconds.
const OPEN_MS: i64 = 15 * MS_PER_MINUTE;

/// The minutes of one connection.
#[derive(Debug, Default)]
pub struct MinuteBars {
    /// Start of the first minute that is heard whole; `None` until anything was heard.
    whole_from_ms: Option<i64>,
    minutes: BTreeMap<(i64, Symbol), Minute>,
}

#[derive(Debug)]
struct Minute {
    builder: BarBuilder,
    versions: u32,
    changed: bool,
}

impl MinuteBars {
    /// A new connection begins: what the last one had not finished is not whole.
    pub fn restart(&mut self) {
        *self = Self::default();
    }

    /// Adds a trade. `letters`: its sale conditions in the tapes' vocabulary, whose rules decide what it may move.
    pub fn add(&mut self, trade: &Trade, letters: Conditions) {
        let start_ms = Timeframe::MINUTE.start_of(trade.ts_ms());
        let whole_from_ms = *self.whole_from_ms.get_or_insert(start_ms.saturating_add(MS_PER_MINUTE));
        if start_ms < whole_from_ms {
            return;
        }
        let plain = Trade { conditions: letters, ..trade.clone() };
        let minute = self.minutes.entry((start_ms, trade.symbol)).or_insert_with(|| Minute {
            builder: BarBuilder::for_trade(&plain, Timeframe::MINUTE),
            versions: 0,
            changed: false,
        });
        minute.builder.add(&plain);
        minute.changed = true;
    }

    /// Gives out the bars that are due at `now_ms` (Unix milliseconds), oldest first: ended, and new or changed.
    pub fn due(&mut self, now_ms: i64, each: &mut dyn FnMut(Bar)) {
        self.minutes.retain(|(start_ms, _), _| now_ms.saturating_sub(*start_ms) <= OPEN_MS);
        for minute in self.minutes.values_mut().filter(|minute| minute.changed) {
            if now_ms.saturating_sub(minute.builder.start_ms()) < MS_PER_MINUTE + GRACE_MS {
                continue;
            }
            minute.changed = false;
            if let Some(bar) = minute.builder.bar(true, minute.versions) {
                minute.versions += 1;
                each(bar);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use market::{NS_PER_MS, Source};

    fn trade(second: i64, price: f64) -> Trade {
        Trade {
            symbol: Symbol::new("AAPL").unwrap(),
            price,
            size: 10.0,
            ts_ns: (1_700_000_040_000 + second * 1000) * NS_PER_MS, // a minute's start
            trade_id: None,
            exchange: None,
            conditions: ["7"].into_iter().map(Into::into).collect(), // means something else on the tapes
            tape: None,
            source: Source::finnhub(),
        }
    }

    fn due(bars: &mut MinuteBars, second: i64) -> Vec<(i64, f64, f64, u32)> {
        let mut due = Vec::new();
        bars.due(1_700_000_040_000 + second * 1000, &mut |bar| {
            due.push(((bar.start_ms - 1_700_000_040_000) / 1000, bar.close, bar.volume, bar.revision));
        });
        due
    }

    #[test]
    fn only_whole_minutes_become_bars_and_late_trades_raise_the_revision() {
        let mut bars = MinuteBars::default();
        bars.add(&trade(30, 1.0), Conditions::new());
        bars.add(&trade(61, 2.0), Conditions::new());
        bars.add(&trade(119, 3.0), Conditions::new());
        assert_eq!(due(&mut bars, 121), [], "late trades have two seconds");
        assert_eq!(due(&mut bars, 122), [(60, 3.0, 20.0, 0)], "the first minute was not heard whole");
        assert_eq!(due(&mut bars, 123), [], "nothing new");
        bars.add(&trade(100, 9.0), Conditions::new());
        assert_eq!(due(&mut bars, 124), [(60, 3.0, 30.0, 1)]);
        bars.add(&trade(125, 4.0), Conditions::new());
        bars.restart();
        bars.add(&trade(130, 4.0), Conditions::new());
        assert_eq!(due(&mut bars, 1000), [], "the minute of a reconnect has no bar");
    }

    #[test]
    fn an_odd_lot_adds_volume_and_moves_no_price() {
        let mut bars = MinuteBars::default();
        bars.add(&trade(0, 1.0), Conditions::new());
        bars.add(&trade(61, 2.0), Conditions::new());
        bars.add(&trade(62, 99.0), ["I"].into_iter().map(Into::into).collect());
        assert_eq!(due(&mut bars, 122), [(60, 2.0, 20.0, 0)]);
    }

    #[test]
    fn a_minute_is_forgotten_when_nothing_late_can_come_any_more() {
        let mut bars = MinuteBars::default();
        bars.add(&trade(0, 1.0), Conditions::new());
        bars.add(&trade(60, 1.0), Conditions::new());
        due(&mut bars, 60 + OPEN_MS / 1000);
        assert_eq!(bars.minutes.len(), 1);
        due(&mut bars, 61 + OPEN_MS / 1000);
        assert!(bars.minutes.is_empty());
    }
}
