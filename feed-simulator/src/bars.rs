//! Trades to minute bars, and minute bars to longer ones.

use std::collections::VecDeque;

use market::conditions::{Eligibility, OpenClose, eligibility};

use crate::conditions::Conditions;
use crate::message::{Bar, BarKind, Message, Trade};
use crate::symbols::{SymbolId, Tape};
use crate::units::{NS_PER_MINUTE, minute_of};

/// How many minutes stay open for late trades, the running one included.
const MINUTES_KEPT: usize = 3;

/// What a trade with these conditions may change in its bar.
#[must_use]
pub fn rules(conditions: Conditions, tape: Tape, extended_hours: bool) -> Eligibility {
    eligibility(conditions.codes(), Some(tape.letter()), extended_hours)
}

/// A price, and the trade time that earned it its place. A weak one was set for want of anything better.
#[derive(Clone, Copy, Debug)]
struct Mark {
    price: i64,
    ts_ns: i64,
    weak: bool,
}

/// One minute in the making.
#[derive(Clone, Debug)]
struct Minute {
    start_ns: i64,
    open: Option<Mark>,
    close: Option<Mark>,
    high: i64,
    low: i64,
    volume: u64,
    /// Σ price × size in 1/10,000 dollar.
    notional: i128,
    trade_count: u64,
    /// Whether its `b` (or `u`) is out.
    sent: bool,
    /// Whether it changed after that.
    changed: bool,
}

impl Minute {
    fn new(start_ns: i64) -> Self {
        Self {
            start_ns,
            open: None,
            close: None,
            high: i64::MIN,
            low: i64::MAX,
            volume: 0,
            notional: 0,
            trade_count: 0,
            sent: false,
            changed: false,
        }
    }

    fn add(&mut self, trade: &Trade, rules: Eligibility) {
        self.changed = true;
        if rules.volume {
            self.volume += u64::from(trade.size);
            self.notional += i128::from(trade.price) * i128::from(trade.size);
            self.trade_count += 1;
        }
        if rules.high_low {
            self.high = self.high.max(trade.price);
            self.low = self.low.min(trade.price);
        }
        let mark = Mark { price: trade.price, ts_ns: trade.ts_ns, weak: rules.open_close == OpenClose::IfUnset };
        let newest = self.close.is_none_or(|close| trade.ts_ns >= close.ts_ns);
        match rules.open_close {
            OpenClose::No => {}
            OpenClose::IfUnset => {
                self.open.get_or_insert(mark);
                self.close.get_or_insert(mark);
            }
            OpenClose::IfNewest | OpenClose::Yes => {
                let may_open = rules.open_close == OpenClose::Yes || newest;
                if may_open && self.open.is_none_or(|open| open.weak || trade.ts_ns < open.ts_ns) {
                    self.open = Some(mark);
                }
                if newest || self.close.is_some_and(|close| close.weak) {
                    self.close = Some(mark);
                }
            }
        }
    }

    /// `None` while no trade has set a price: such a minute has no bar.
    fn bar(&self, symbol: SymbolId) -> Option<Bar> {
        let (open, close) = (self.open?.price, self.close?.price);
        let (high, low) =
            if self.high == i64::MIN { (open.max(close), open.min(close)) } else { (self.high, self.low) };
        Some(Bar {
            symbol,
            start_ns: self.start_ns,
            open,
            high,
            low,
            close,
            volume: self.volume,
            trade_count: self.trade_count,
            vwap: vwap(self.notional * 100, self.volume),
        })
    }
}

/// Millionths of a dollar per share, rounded; 0 where there is no volume.
fn vwap(notional_millionths: i128, volume: u64) -> i64 {
    let volume = i128::from(volume);
    if volume == 0 { 0 } else { i64::try_from((notional_millionths + volume / 2) / volume).unwrap_or(i64::MAX) }
}

/// One symbol's latest minutes and running day.
#[derive(Clone, Debug)]
pub struct MinuteBook {
    symbol: SymbolId,
    minutes: VecDeque<Minute>,
    day: Option<Bar>,
}

impl MinuteBook {
    /// An empty book. `day`: what the running day already holds.
    #[must_use]
    pub fn new(symbol: SymbolId, day: Option<Bar>) -> Self {
        Self { symbol, minutes: VecDeque::with_capacity(MINUTES_KEPT), day }
    }

    /// Adds a trade; one that is older than the minutes kept changes no bar any more.
    pub fn add(&mut self, trade: &Trade, rules: Eligibility) {
        let start_ns = minute_of(trade.ts_ns);
        let newest = self.minutes.back().map_or(i64::MIN, |minute| minute.start_ns);
        if start_ns > newest {
            self.minutes.push_back(Minute::new(start_ns));
            if self.minutes.len() > MINUTES_KEPT
                && let Some(settled) = self.minutes.pop_front()
                && let Some(bar) = settled.bar(self.symbol).filter(|_| settled.sent)
            {
                self.day = Some(self.day.map_or(bar, |day| joined(&day, &bar)));
            }
        } else if self.minutes.iter().all(|minute| minute.start_ns != start_ns) {
            let at = self.minutes.partition_point(|minute| minute.start_ns < start_ns);
            if at == 0 {
                return;
            }
            self.minutes.insert(at, Minute::new(start_ns));
        }
        if let Some(minute) = self.minutes.iter_mut().find(|minute| minute.start_ns == start_ns) {
            minute.add(trade, rules);
        }
    }

    /// Whether a minute that ended by `mark_ns` waits for its bar.
    #[must_use]
    pub fn has_due(&self, mark_ns: i64) -> bool {
        self.minutes.iter().any(|minute| !minute.sent && minute.changed && minute.start_ns + NS_PER_MINUTE <= mark_ns)
    }

    /// The bars (`b`) of the minutes that ended by `mark_ns`, each once.
    pub fn close_minutes(&mut self, mark_ns: i64, out: &mut Vec<Message>) {
        self.take(mark_ns, false, BarKind::Minute, out);
    }

    /// The new values (`u`) of minutes whose bar is out and was changed by a late trade.
    pub fn update_minutes(&mut self, mark_ns: i64, out: &mut Vec<Message>) {
        self.take(mark_ns, true, BarKind::Updated, out);
    }

    fn take(&mut self, mark_ns: i64, sent: bool, kind: BarKind, out: &mut Vec<Message>) {
        let due =
            |minute: &&mut Minute| minute.changed && minute.sent == sent && minute.start_ns + NS_PER_MINUTE <= mark_ns;
        for minute in self.minutes.iter_mut().filter(due) {
            minute.sent = true;
            minute.changed = false;
            out.extend(minute.bar(self.symbol).map(|bar| Message::Bar(kind, bar)));
        }
    }

    /// The running day's bar (`d`) from the minute bars that are out, with `t` = `day_start_ns`.
    #[must_use]
    pub fn day_bar(&self, day_start_ns: i64) -> Option<Bar> {
        let recent = self.minutes.iter().filter(|minute| minute.sent && minute.start_ns >= day_start_ns);
        let recent = recent.filter_map(|minute| minute.bar(self.symbol));
        let day = self.day.iter().copied().chain(recent).reduce(|day, bar| joined(&day, &bar))?;
        Some(Bar { start_ns: day_start_ns, ..day })
    }

    /// Forgets what came before `day_start_ns`.
    pub fn begin_day(&mut self, day_start_ns: i64) {
        self.day = None;
        self.minutes.retain(|minute| minute.start_ns >= day_start_ns);
    }
}

/// Two adjacent bars as one.
#[must_use]
pub fn joined(earlier: &Bar, later: &Bar) -> Bar {
    let volume = earlier.volume + later.volume;
    let notional = [earlier, later].iter().map(|bar| i128::from(bar.vwap) * i128::from(bar.volume)).sum();
    Bar {
        symbol: earlier.symbol,
        start_ns: earlier.start_ns,
        open: earlier.open,
        high: earlier.high.max(later.high),
        low: earlier.low.min(later.low),
        close: later.close,
        volume,
        trade_count: earlier.trade_count + later.trade_count,
        vwap: vwap(notional, volume),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use market::{BarBuilder, Source, Symbol, Timeframe};
    use proptest::prelude::*;

    fn trade(ts_ns: i64, price: i64, size: u32, code: u8) -> Trade {
        Trade { symbol: 0, ts_ns, id: 1, price, size, exchange: b'N', conditions: Conditions::new([b' ', 0, 0, code]) }
    }

    fn add(book: &mut MinuteBook, trade: &Trade) {
        book.add(trade, rules(trade.conditions, Tape::A, false));
    }

    #[test]
    fn a_minute_of_odd_lots_has_no_bar() {
        let mut book = MinuteBook::new(0, None);
        add(&mut book, &trade(1, 10, 5, b'I'));
        let mut out = Vec::new();
        book.close_minutes(NS_PER_MINUTE, &mut out);
        assert!(out.is_empty());
    }

    #[test]
    fn a_late_trade_changes_a_sent_bar_once() {
        let mut book = MinuteBook::new(0, None);
        add(&mut book, &trade(1, 100, 10, 0));
        let mut out = Vec::new();
        book.close_minutes(NS_PER_MINUTE, &mut out);
        book.close_minutes(NS_PER_MINUTE, &mut out);
        assert_eq!(out.len(), 1);
        add(&mut book, &trade(NS_PER_MINUTE + 5, 101, 10, 0));
        add(&mut book, &trade(2, 300, 10, 0));
        out.clear();
        book.update_minutes(NS_PER_MINUTE, &mut out);
        book.update_minutes(NS_PER_MINUTE, &mut out);
        let [Message::Bar(BarKind::Updated, bar)] = out[..] else { panic!("{out:?}") };
        assert_eq!((bar.start_ns, bar.open, bar.high, bar.close, bar.volume), (0, 100, 300, 300, 20));
        assert_eq!(bar.vwap, 200 * 100);
    }

    #[test]
    fn the_day_is_the_sum_of_the_bars_that_are_out() {
        let mut book = MinuteBook::new(0, None);
        let mut out = Vec::new();
        for minute in 0..10 {
            add(&mut book, &trade(minute * NS_PER_MINUTE, 100 + minute, 10, 0));
            book.close_minutes((minute + 1) * NS_PER_MINUTE, &mut out);
        }
        let day = book.day_bar(0).unwrap();
        assert_eq!((day.open, day.high, day.low, day.close), (100, 109, 100, 109));
        assert_eq!((day.volume, day.trade_count), (100, 10));
    }

    proptest! {
        /// The producer's library builds bars on its own; both must agree on every minute.
        #[test]
        fn bars_agree_with_the_domain_library(
            trades in prop::collection::vec((0_i64..60_000, 1_i64..1_000, 1_u32..500, prop::sample::select(vec![0_u8, b'I', b'Z', b'L', b'B', b'M'])), 1..60)
        ) {
            let mut book = MinuteBook::new(0, None);
            let mut builder: Option<BarBuilder> = None;
            for (at, (ms, price, size, code)) in trades.into_iter().enumerate() {
                let at = i64::try_from(at).unwrap();
                let mut ours = trade(ms * 1_000_000 + at, price, size, 0);
                ours.conditions = Conditions::new([b' ', 0, code, 0]);
                add(&mut book, &ours);
                let theirs = market::Trade {
                    symbol: Symbol::new("A").unwrap(),
                    price: price as f64,
                    size: f64::from(size),
                    ts_ns: ours.ts_ns,
                    trade_id: None,
                    exchange: None,
                    conditions: ours.conditions.codes().map(Into::into).collect(),
                    tape: Some("A".into()),
                    source: Source::alpaca(),
                };
                builder.get_or_insert_with(|| BarBuilder::for_trade(&theirs, Timeframe::MINUTE)).add(&theirs);
            }
            let mut out = Vec::new();
            book.close_minutes(NS_PER_MINUTE, &mut out);
            let theirs = builder.unwrap().bar(true, 0);
            let ours = out.first().map(|message| match message { Message::Bar(_, bar) => *bar, _ => unreachable!() });
            prop_assert_eq!(ours.is_some(), theirs.is_some());
            if let (Some(ours), Some(theirs)) = (ours, theirs) {
                prop_assert_eq!(
                    [ours.open as f64, ours.high as f64, ours.low as f64, ours.close as f64],
                    [theirs.open, theirs.high, theirs.low, theirs.close]
                );
                prop_assert_eq!(ours.volume as f64, theirs.volume);
                prop_assert_eq!(Some(ours.trade_count), theirs.trade_count);
            }
        }
    }
}
