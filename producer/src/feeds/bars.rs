//! Minute bars from trades, for a feed that sends none.
//!
//! Only minutes that were heard from beginning to end become bars: the one in which a connection begins or is lost has none, because
//! a bar of half a minute would be an invention.
//!
//! A bar follows its trades: a late one, or one that does not hold after all, raises its revision, also when the bar was final. If no trade
//! of a minute is left, its last bar stays, because a bar cannot be taken back; `tapeline_minutes` shows it.

use std::collections::BTreeMap;

use market::{Bar, BarBuilder, Conditions, MS_PER_MINUTE, Symbol, Timeframe, Trade, VoidTrade};

/// A minute's bar is sent this long after its end, in milliseconds, so that most late trades are in it.
const GRACE_MS: i64 = 2_000;
/// Later trades raise its revision until this long after its start, in milliseconds.
const OPEN_MS: i64 = 15 * MS_PER_MINUTE;
/// Trades that are kept in all, so that a void one can be taken out again.
const KEPT_MAX: usize = 500_000;

/// The minutes of one connection.
#[derive(Debug, Default)]
pub struct MinuteBars {
    /// Start of the first minute that is heard whole; `None` until anything was heard.
    whole_from_ms: Option<i64>,
    minutes: BTreeMap<(i64, Symbol), Minute>,
    /// How many trades are kept.
    kept: usize,
}

#[derive(Debug)]
struct Minute {
    builder: BarBuilder,
    versions: u32,
    changed: bool,
    /// Its trades; `None` when there were too many in all.
    trades: Option<Vec<Trade>>,
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
            trades: Some(Vec::new()),
        });
        minute.builder.add(&plain);
        minute.changed = true;
        if self.kept >= KEPT_MAX {
            self.kept -= minute.trades.take().map_or(0, |trades| trades.len());
        } else if let Some(trades) = &mut minute.trades {
            trades.push(plain);
            self.kept += 1;
        }
    }

    /// Takes out a trade that does not hold. What holds in its place is added as any other trade.
    pub fn void(&mut self, void: &VoidTrade) {
        let of_symbol = self.minutes.iter_mut().rev().filter(|((_, symbol), _)| *symbol == void.symbol);
        for (_, minute) in of_symbol {
            let Some(trades) = &mut minute.trades else {
                metrics::counter!("producer_bars_not_revised_total").increment(1);
                continue;
            };
            let Some(at) = trades.iter().rposition(|trade| void.means(trade)) else { continue };
            let gone = trades.remove(at);
            self.kept -= 1;
            minute.builder = BarBuilder::for_trade(&gone, Timeframe::MINUTE);
            trades.iter().for_each(|trade| minute.builder.add(trade));
            minute.changed = true;
            return;
        }
    }

    /// Gives out the bars that are due at `now_ms` (Unix milliseconds), oldest first: ended, and new or changed.
    pub fn due(&mut self, now_ms: i64, each: &mut dyn FnMut(Bar)) {
        let kept = &mut self.kept;
        self.minutes.retain(|(start_ms, _), minute| {
            let stays = now_ms.saturating_sub(*start_ms) <= OPEN_MS;
            *kept -= if stays { 0 } else { minute.trades.as_ref().map_or(0, Vec::len) };
            stays
        });
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
    use proptest::prelude::*;

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
        assert!(bars.minutes.is_empty() && bars.kept == 0);
    }

    fn void_of(trade: &Trade) -> VoidTrade {
        VoidTrade {
            symbol: trade.symbol,
            price: trade.price,
            size: trade.size,
            ts_ns: trade.ts_ns + 1, // the message's time is another
            trade_id: trade.trade_id.clone(),
            exchange: trade.exchange.clone(),
        }
    }

    #[test]
    fn a_trade_that_does_not_hold_revises_its_bar_also_after_it_was_final() {
        let mut bars = MinuteBars::default();
        bars.add(&trade(0, 1.0), Conditions::new());
        for (second, price) in [(61, 2.0), (62, 99.0), (63, 3.0)] {
            bars.add(&trade(second, price), Conditions::new());
        }
        assert_eq!(due(&mut bars, 122), [(60, 3.0, 30.0, 0)]);
        bars.void(&void_of(&trade(62, 99.0)));
        let mut revised = Vec::new();
        bars.due(1_700_000_040_000 + 123_000, &mut |bar| {
            revised.push((bar.high, bar.trade_count, bar.revision, bar.is_final))
        });
        assert_eq!(revised, [(3.0, Some(2), 1, true)]);
        bars.void(&void_of(&trade(62, 99.0)));
        assert_eq!(due(&mut bars, 124), [], "it was taken out already");
        // Corrected: the other trade takes its place.
        bars.void(&void_of(&trade(63, 3.0)));
        bars.add(&trade(63, 4.0), Conditions::new());
        assert_eq!(due(&mut bars, 125), [(60, 4.0, 20.0, 2)]);
        bars.void(&void_of(&trade(61, 2.0)));
        bars.void(&void_of(&trade(63, 4.0)));
        assert_eq!(due(&mut bars, 126), [], "a bar of no trade cannot be said");
    }

    proptest! {
        /// Trades of every kind, corrected and cancelled before and after their bar was sent: the last bar is that of the trades that hold.
        #[test]
        fn the_last_revision_is_the_bar_of_the_trades_that_hold(
            trades in prop::collection::vec((60_i64..180, 1_u32..50, 0_usize..5, any::<Option<bool>>(), any::<bool>()), 1..40),
            looks in prop::collection::vec(122_i64..200, 0..4),
        ) {
            let letters = |at: usize| -> Conditions { ["", "I", "Z", "W", "T"][at].split_terminator(' ').filter(|code| !code.is_empty()).map(Into::into).collect() };
            let mut bars = MinuteBars::default();
            bars.add(&trade(0, 1.0), Conditions::new());
            let mut sent: BTreeMap<i64, Bar> = BTreeMap::new();
            let mut look = |bars: &mut MinuteBars, second: i64| {
                bars.due(1_700_000_040_000 + second * 1000, &mut |bar| {
                    let before = sent.insert(bar.start_ms, bar.clone());
                    assert!(before.is_none_or(|before| before.revision + 1 == bar.revision));
                });
                sent.clone()
            };
            let one = |at: usize, (second, price, ..): (i64, u32, usize, Option<bool>, bool)| {
                Trade { trade_id: Some(at.to_string().into()), ..trade(second, f64::from(price)) }
            };
            let mut holding: Vec<(Trade, Conditions)> = Vec::new();
            let mut later = Vec::new();
            for (at, given) in trades.iter().enumerate() {
                let (trade, codes) = (one(at, *given), letters(given.2));
                bars.add(&trade, codes.clone());
                match given.3 {
                    None => holding.push((trade, codes)),
                    Some(corrected) => {
                        let instead = corrected.then(|| Trade { price: trade.price + 1.0, trade_id: Some(format!("c{at}").into()), ..trade.clone() });
                        if given.4 {
                            later.push((trade, instead.clone()));
                        } else {
                            bars.void(&void_of(&trade));
                            instead.iter().for_each(|instead| bars.add(instead, Conditions::new()));
                        }
                        holding.extend(instead.map(|instead| (instead, Conditions::new())));
                    }
                }
            }
            let mut looks = looks;
            looks.sort_unstable();
            looks.iter().for_each(|second| drop(look(&mut bars, *second)));
            for (void, instead) in later {
                bars.void(&void_of(&void));
                instead.iter().for_each(|instead| bars.add(instead, Conditions::new()));
            }
            let sent = look(&mut bars, 300);
            for start in [60, 120] {
                let start_ms = 1_700_000_040_000 + start * 1000;
                let of_minute: Vec<_> = holding.iter().filter(|(trade, _)| Timeframe::MINUTE.start_of(trade.ts_ms()) == start_ms).collect();
                let Some((first, _)) = of_minute.first() else { continue };
                let mut expected = BarBuilder::for_trade(first, Timeframe::MINUTE);
                of_minute.iter().for_each(|(trade, codes)| expected.add(&Trade { conditions: codes.clone(), ..trade.clone() }));
                let Some(expected) = expected.bar(true, 0) else { continue };
                let last = &sent[&start_ms];
                let volume = |bar: &Bar| (bar.volume, bar.trade_count, bar.high, bar.low);
                prop_assert_eq!(volume(last), volume(&expected));
            }
        }
    }
}
