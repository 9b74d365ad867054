//! Replay of recorded days: every trade once, merged in time order over all symbols, with the minute bars that they make.

pub mod agreement;
pub mod read;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use crate::bars::{MinuteBook, rules};
use crate::dice::whole;
use crate::hours::Day;
use crate::message::{BarKind, Message, Trade};
use crate::source::{Batch, Pace, Source};
use crate::symbols::SymbolTable;
use crate::units::{NS_PER_MINUTE, NS_PER_MS, minute_of};
use read::RecordedDay;

/// Messages in one batch at the fastest pace.
const BATCH_MESSAGES_MAX: usize = 500;

/// The replay of one or more recorded days.
#[derive(Debug)]
pub struct Replay {
    symbols: Arc<SymbolTable>,
    days: Vec<RecordedDay>,
    /// The next trade of each recorded day: its time, the day's place in `days`, the trade's place in the day.
    next: BinaryHeap<Reverse<(i64, usize, usize)>>,
    books: Vec<MinuteBook>,
    /// Added to every recorded time.
    shift_ns: i64,
    pace: Pace,
    /// The New York day that the stream is in.
    day: Day,
    /// The minute mark at which the running minutes end.
    mark_ns: Option<i64>,
    carry: Option<(i64, Vec<Message>)>,
}

impl Replay {
    /// A replay at `pace` with every time moved by `shift_ns`, beginning with the trades at or after `from_ns` (recorded time).
    /// Each [`RecordedDay`]'s symbol is one of `symbols`.
    #[must_use]
    pub fn new(symbols: Arc<SymbolTable>, days: Vec<RecordedDay>, pace: Pace, shift_ns: i64, from_ns: i64) -> Self {
        let firsts = days.iter().enumerate().filter_map(|(at, day)| {
            let first = day.trades.partition_point(|trade| day.ts_ns(trade) < from_ns);
            Some(Reverse((day.ts_ns(day.trades.get(first)?), at, first)))
        });
        let next: BinaryHeap<_> = firsts.collect();
        let begin_ns = next.peek().map_or(0, |Reverse((ts_ns, ..))| *ts_ns);
        let books = symbols.ids().map(|symbol| MinuteBook::new(symbol, None)).collect();
        Self {
            symbols,
            days,
            next,
            books,
            shift_ns,
            pace,
            day: Day::of(begin_ns + shift_ns),
            mark_ns: None,
            carry: None,
        }
    }

    /// Recorded times of the first and last trade that will be replayed; `None` when there is none.
    #[must_use]
    pub fn span_ns(&self) -> Option<(i64, i64)> {
        let Reverse((first_ns, ..)) = self.next.peek()?;
        let last_ns = self.days.iter().filter_map(|day| Some(day.ts_ns(day.trades.last()?))).max()?;
        Some((*first_ns, last_ns))
    }

    /// Moves every time by `shift_ns`. To be called before the first batch.
    pub fn shift(&mut self, shift_ns: i64) {
        self.shift_ns = shift_ns;
        if let Some((first_ns, _)) = self.span_ns() {
            self.day = Day::of(first_ns + shift_ns);
        }
    }

    /// What is added to every recorded time.
    #[must_use]
    pub fn shift_ns(&self) -> i64 {
        self.shift_ns
    }

    /// The stream time of the next trade.
    fn next_trade_ns(&self) -> Option<i64> {
        self.next.peek().map(|Reverse((ts_ns, ..))| ts_ns + self.shift_ns)
    }

    /// Fills `out` with what happens next, and says when that is; `None` at the end.
    fn step(&mut self, out: &mut Vec<Message>) -> Option<i64> {
        match (self.next_trade_ns(), self.mark_ns) {
            (Some(ts_ns), mark_ns) if mark_ns.is_none_or(|mark_ns| ts_ns < mark_ns) => {
                self.trade(ts_ns, out);
                Some(ts_ns)
            }
            (_, Some(mark_ns)) => {
                self.close_minute(mark_ns, out);
                Some(mark_ns)
            }
            (_, None) => None,
        }
    }

    fn trade(&mut self, ts_ns: i64, out: &mut Vec<Message>) {
        let Some(Reverse((recorded_ns, at, line))) = self.next.pop() else { return };
        let day = &self.days[at];
        if let Some(following) = day.trades.get(line + 1) {
            self.next.push(Reverse((day.ts_ns(following), at, line + 1)));
        }
        let recorded = &day.trades[line];
        let tape = self.symbols.info(day.symbol).tape;
        let trade = Trade {
            symbol: day.symbol,
            ts_ns: recorded_ns + self.shift_ns,
            id: u64::try_from(line).unwrap_or(u64::MAX) + 1,
            price: recorded.price,
            size: recorded.size,
            exchange: recorded.exchange,
            conditions: recorded.conditions,
        };
        if !self.day.holds(ts_ns) {
            self.day = Day::of(ts_ns);
            let start_ns = self.day.start_ns;
            self.books.iter_mut().for_each(|book| book.begin_day(start_ns));
        }
        // Regular hours are those of the recorded day, wherever its times are moved to.
        let extended = !day.hours.is_regular(recorded_ns);
        self.books[day.symbol as usize].add(&trade, rules(trade.conditions, tape, extended));
        self.mark_ns = Some(minute_of(ts_ns) + NS_PER_MINUTE);
        out.push(Message::Trade(trade));
    }

    /// The minute mark: a bar of every symbol that traded, and its running day.
    fn close_minute(&mut self, mark_ns: i64, out: &mut Vec<Message>) {
        let mut days = Vec::new();
        let day = Day::of(mark_ns - 1);
        for book in &mut self.books {
            let before = out.len();
            book.close_minutes(mark_ns, out);
            if out.len() > before {
                days.extend(book.day_bar(day.start_ns).map(|bar| Message::Bar(BarKind::Daily, bar)));
            }
        }
        out.append(&mut days);
        self.mark_ns = None;
    }

    /// Whether a message at `at_ns` may join a batch of `count` messages that began at `began_ns`.
    fn joins(&self, began_ns: i64, at_ns: i64, count: usize) -> bool {
        match self.pace {
            Pace::Speed(speed) => at_ns - began_ns < whole(speed * NS_PER_MS as f64).max(1),
            Pace::Rate(rate) => count < usize::try_from(whole(rate / 1000.0)).unwrap_or(1).max(1),
            Pace::Max => true,
        }
    }
}

impl Source for Replay {
    fn next_batch(&mut self) -> Option<Batch> {
        let (mut began_ns, mut messages) = self.carry.take().unwrap_or_default();
        loop {
            if messages.len() >= BATCH_MESSAGES_MAX {
                let rest = messages.split_off(BATCH_MESSAGES_MAX);
                self.carry = (!rest.is_empty()).then_some((began_ns, rest));
                return Some(Batch { due_ns: began_ns, messages });
            }
            let before = messages.len();
            let Some(at_ns) = self.step(&mut messages) else {
                return (before > 0).then_some(Batch { due_ns: began_ns, messages });
            };
            if before > 0 && messages.len() > before && !self.joins(began_ns, at_ns, before) {
                self.carry = Some((at_ns, messages.split_off(before)));
                return Some(Batch { due_ns: began_ns, messages });
            }
            if before == 0 {
                began_ns = at_ns;
            }
        }
    }

    fn set_pace(&mut self, pace: Pace) -> Result<(), String> {
        self.pace = pace;
        Ok(())
    }

    fn skip_to(&mut self, _ts_ns: i64) {} // a recording leaves nothing out
}

#[cfg(test)]
mod tests;
