//! A seeded market in virtual time: the same seed, start, rate and symbols give the same batches, byte for byte.
//!
//! Arrivals are a Poisson process whose rate follows the day; each picks a symbol, moves its price and becomes a trade or a quote.
//! Some trades are reported late, a few are corrected or cancelled later, and minute marks bring bars.

mod history;
mod ids;
mod price;

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::sync::Arc;

pub use history::History;

use crate::bars::{MinuteBook, joined, rules};
use crate::conditions::Conditions;
use crate::dice::{Dice, whole};
use crate::hours::Day;
use crate::message::{BarKind, Cancel, Correction, Luld, Message, Report, Status, Trade};
use crate::source::{Batch, Pace, Source};
use crate::symbols::{SymbolId, SymbolTable, Tape};
use crate::units::{NS_PER_MINUTE, NS_PER_MS, NS_PER_SECOND, minute_of};
use ids::Ids;
use price::Price;

/// Most messages in one batch.
const BATCH_MESSAGES_MAX: usize = 500;
/// Messages of one such span of stream time leave together.
const SLOT_NS: i64 = NS_PER_MS;
/// When, after the half minute, changed bars are sent again.
const UPDATE_AFTER_NS: i64 = 30 * NS_PER_SECOND;

/// When the market trades.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Hours {
    /// Day and night, every day, at an even rate.
    AroundTheClock,
    /// 04:00–20:00 New York time on trading days, busiest at the open and the close.
    Market,
}

impl Hours {
    /// Activity at a moment, 1 on the average of regular hours and 0 while the market is closed.
    #[must_use]
    pub fn activity(self, day: &Day, ts_ns: i64) -> f64 {
        let Self::Market = self else { return 1.0 };
        let Some(session) = day.session.filter(|session| (session.pre..session.end).contains(&ts_ns)) else {
            return 0.0;
        };
        if !(session.open..session.close).contains(&ts_ns) {
            return 0.05;
        }
        // A U: twice the average at both ends, half of it at noon.
        let place = (ts_ns - session.open) as f64 / (session.close - session.open) as f64;
        0.5 + 1.5 * (2.0 * place - 1.0).powi(2)
    }
}

/// What a synthetic market is a function of.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The seed.
    pub seed: u64,
    /// Where stream time begins, in Unix nanoseconds.
    pub start_ns: i64,
    /// Trades and quotes a second, on the average of regular hours.
    pub rate: f64,
    /// When the market trades.
    pub hours: Hours,
    /// The symbols, the busiest first.
    pub symbols: Arc<SymbolTable>,
    /// Share of quotes among trades and quotes.
    pub quote_share: f64,
    /// Share of trades that are reported late.
    pub late_share: f64,
    /// By how much at most.
    pub late_max_ns: i64,
    /// Share of trades that are stamped ahead of the market.
    pub early_share: f64,
    /// By how much at most.
    pub early_max_ns: i64,
    /// Share of trades that are corrected or cancelled within a minute.
    pub correction_share: f64,
    /// Days of minute bars before the start.
    pub history_days: u32,
}

impl Settings {
    /// Each symbol's share of the activity.
    fn shares(&self) -> Vec<f64> {
        let weights: Vec<f64> = (0..self.symbols.len()).map(|rank| 1.0 / (rank as f64 + 3.0)).collect();
        let total: f64 = weights.iter().sum();
        weights.into_iter().map(|weight| weight / total).collect()
    }
}

/// The market.
#[derive(Debug)]
pub struct Synthetic {
    settings: Settings,
    dice: Dice,
    states: Vec<State>,
    /// Upper end of each symbol's part of [0, 1).
    shares_up_to: Vec<f64>,
    day: Day,
    next_arrival_ns: i64,
    next_close: Mark,
    next_update: Mark,
    later: BinaryHeap<Reverse<Later>>,
    later_count: u64,
    /// What the last batch had no room for, due at `carry_ns`.
    carry: Vec<Message>,
    carry_ns: i64,
}

#[derive(Debug)]
struct State {
    tape: Tape,
    price: Price,
    ids: Ids,
    book: MinuteBook,
}

/// A minute or half-minute mark, and when its bars leave (20 to 80 ms later).
#[derive(Clone, Copy, Debug)]
struct Mark {
    at_ns: i64,
    due_ns: i64,
}

/// Something that is only reported after it happened.
#[derive(Debug, PartialEq, Eq)]
struct Later {
    at_ns: i64,
    number: u64,
    what: What,
}

#[derive(Debug, PartialEq, Eq)]
enum What {
    LateTrade(Trade),
    Correct(Trade),
    Cancel(Trade),
}

impl Ord for Later {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at_ns, self.number).cmp(&(other.at_ns, other.number))
    }
}

impl PartialOrd for Later {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Synthetic {
    /// A market that begins at `settings.start_ns`, its running day being what `history` says.
    #[must_use]
    pub fn new(settings: Settings, history: &History) -> Self {
        let start_ns = settings.start_ns;
        let day = Day::of(start_ns);
        let states = settings.symbols.ids().map(|symbol| {
            let info = settings.symbols.info(symbol);
            let today = history.minutes(symbol, day.start_ns);
            let today = today.into_iter().reduce(|day, bar| joined(&day, &bar));
            State {
                tape: info.tape,
                price: Price::new(info.price, start_ns),
                ids: Ids::default(),
                book: MinuteBook::new(symbol, today),
            }
        });
        let states = states.collect();
        let shares_up_to = settings.shares().into_iter().scan(0.0, |sum, share| {
            *sum += share;
            Some(*sum)
        });
        let shares_up_to = shares_up_to.collect();
        let mut dice = Dice::new(settings.seed, 0);
        let mark = |at_ns: i64, dice: &mut Dice| Mark { at_ns, due_ns: at_ns + dice.between(20, 80) * NS_PER_MS };
        let next_close = mark(minute_of(start_ns) + NS_PER_MINUTE, &mut dice);
        let next_update = mark(minute_of(start_ns) + NS_PER_MINUTE + UPDATE_AFTER_NS, &mut dice);
        let mut market = Self {
            settings,
            dice,
            states,
            shares_up_to,
            day,
            next_arrival_ns: start_ns,
            next_close,
            next_update,
            later: BinaryHeap::new(),
            later_count: 0,
            carry: Vec::new(),
            carry_ns: start_ns,
        };
        market.schedule_arrival(start_ns);
        market
    }

    /// Draws the first arrival after `from_ns`, in the next session where the market is closed then.
    fn schedule_arrival(&mut self, from_ns: i64) {
        if !self.day.holds(from_ns) {
            self.day = Day::of(from_ns);
        }
        let mut from_ns = from_ns;
        let mut day = self.day;
        let mut activity = self.settings.hours.activity(&day, from_ns);
        while activity == 0.0 {
            match day.session {
                Some(session) if from_ns < session.pre => from_ns = session.pre,
                _ => {
                    day = day.after();
                    from_ns = day.start_ns;
                }
            }
            activity = self.settings.hours.activity(&day, from_ns);
        }
        let wait_s = self.dice.exponential() / (self.settings.rate * activity);
        self.next_arrival_ns = from_ns + whole(wait_s * 1e9).max(1);
    }

    /// Fills `out` with what happens next, and says when that is.
    fn step(&mut self, out: &mut Vec<Message>) -> i64 {
        let later_ns = self.later.peek().map_or(i64::MAX, |Reverse(later)| later.at_ns);
        let marks_ns = self.next_close.due_ns.min(self.next_update.due_ns);
        let now_ns = self.next_arrival_ns.min(later_ns).min(marks_ns);
        if now_ns == self.next_close.due_ns {
            self.close_minute(out);
        } else if now_ns == self.next_update.due_ns {
            let mark_ns = self.next_update.at_ns;
            self.states.iter_mut().for_each(|state| state.book.update_minutes(mark_ns - UPDATE_AFTER_NS, out));
            self.next_update = self.mark(mark_ns + NS_PER_MINUTE);
        } else if now_ns == later_ns {
            if let Some(Reverse(later)) = self.later.pop() {
                let message = self.report(later.what);
                out.push(message);
            }
        } else {
            self.arrive(now_ns, out);
            self.schedule_arrival(now_ns);
        }
        now_ns
    }

    fn mark(&mut self, at_ns: i64) -> Mark {
        Mark { at_ns, due_ns: at_ns + self.dice.between(20, 80) * NS_PER_MS }
    }

    /// One arrival: a quote or a trade of some symbol.
    fn arrive(&mut self, now_ns: i64, out: &mut Vec<Message>) {
        let ticket = self.dice.unit();
        let chosen = self.shares_up_to.partition_point(|&upper| upper <= ticket).min(self.states.len() - 1);
        let symbol = SymbolId::try_from(chosen).unwrap_or(0);
        let extended = self.settings.hours == Hours::Market && !self.day.is_regular(now_ns);
        let state = &mut self.states[chosen];
        state.price.advance(now_ns, &mut self.dice);
        if self.dice.chance(self.settings.quote_share) {
            out.push(Message::Quote(state.price.quote(symbol, now_ns, state.tape, &mut self.dice)));
            return;
        }
        let mut trade = state.price.trade(symbol, now_ns, state.tape, extended, &mut self.dice);
        trade.id = state.ids.next(trade.exchange);
        if self.dice.chance(self.settings.late_share) {
            if self.dice.chance(0.5) {
                trade.conditions = trade.conditions.out_of_sequence(extended);
            }
            let delay_ns = self.dice.between(NS_PER_SECOND / 2, self.settings.late_max_ns);
            self.put_off(now_ns + delay_ns, What::LateTrade(trade));
            return;
        }
        // No dice are rolled for a habit that this market does not have: the same seed gives the same frames as ever.
        if self.settings.early_share > 0.0 && self.dice.chance(self.settings.early_share) {
            trade.ts_ns += self.dice.between(NS_PER_SECOND, self.settings.early_max_ns.max(NS_PER_SECOND + 1));
            out.push(Message::Trade(trade)); // its minute has no book yet, so no bar counts it
            return;
        }
        if self.dice.chance(self.settings.correction_share) {
            let delay_ns = self.dice.between(NS_PER_SECOND, NS_PER_MINUTE);
            let what = if self.dice.chance(0.5) { What::Correct(trade) } else { What::Cancel(trade) };
            self.put_off(now_ns + delay_ns, what);
        }
        self.enter(&trade);
        out.push(Message::Trade(trade));
    }

    fn put_off(&mut self, at_ns: i64, what: What) {
        self.later_count += 1;
        self.later.push(Reverse(Later { at_ns, number: self.later_count, what }));
    }

    /// Books a trade into its minute.
    fn enter(&mut self, trade: &Trade) {
        let state = &mut self.states[trade.symbol as usize];
        let extended = !self.day.is_regular(trade.ts_ns);
        state.book.add(trade, rules(trade.conditions, state.tape, extended));
    }

    fn report(&mut self, what: What) -> Message {
        match what {
            What::LateTrade(trade) => {
                self.enter(&trade);
                Message::Trade(trade)
            }
            What::Cancel(trade) => {
                let action = if self.dice.chance(0.8) { b'C' } else { b'E' };
                Message::Cancel(Cancel { trade, action })
            }
            What::Correct(trade) => {
                let original = Report::from(&trade);
                let id = self.states[trade.symbol as usize].ids.next(trade.exchange);
                let price = trade.price + 100 * self.dice.between(-3, 4);
                let corrected = Report { id, price: price.max(100), ..original };
                Message::Correction(Correction {
                    symbol: trade.symbol,
                    ts_ns: trade.ts_ns,
                    exchange: trade.exchange,
                    original,
                    corrected,
                })
            }
        }
    }

    /// The minute mark: bars, running days, every five minutes price bands, and the day's turn.
    fn close_minute(&mut self, out: &mut Vec<Message>) {
        let mark_ns = self.next_close.at_ns;
        // The mark at midnight still belongs to the day that ends.
        let day = Day::of(mark_ns - 1);
        let around_the_clock = self.settings.hours == Hours::AroundTheClock;
        let open = around_the_clock || day.is_regular(mark_ns - 1);
        let bands = open && mark_ns % (5 * NS_PER_MINUTE) == 0;
        let mut days = Vec::new();
        for (symbol, state) in (0..).zip(&mut self.states) {
            let before = out.len();
            state.book.close_minutes(mark_ns, out);
            if open && out.len() > before {
                days.extend(state.book.day_bar(day.start_ns).map(|bar| Message::Bar(BarKind::Daily, bar)));
            }
            if bands {
                let (up, down) = state.price.band();
                days.push(Message::Luld(Luld { symbol, ts_ns: mark_ns, up, down }));
            }
            if mark_ns >= day.end_ns {
                state.book.begin_day(day.end_ns);
                state.ids = Ids::default();
            }
        }
        out.append(&mut days);
        if !around_the_clock && day.session.is_some_and(|session| session.open == mark_ns) {
            out.extend((0..).zip(&self.states).map(|(symbol, state)| {
                let (code, text) = match state.tape {
                    Tape::C => ("T", "Trading Resumption"),
                    Tape::A | Tape::B => ("3", "Resume"),
                };
                Message::Status(Status { symbol, ts_ns: mark_ns, code, text })
            }));
        }
        self.next_close = self.mark(mark_ns + NS_PER_MINUTE);
    }
}

impl Source for Synthetic {
    fn next_batch(&mut self) -> Option<Batch> {
        let mut messages = std::mem::take(&mut self.carry);
        let mut due_ns = self.carry_ns;
        loop {
            if messages.len() >= BATCH_MESSAGES_MAX {
                self.carry = messages.split_off(BATCH_MESSAGES_MAX);
                self.carry_ns = due_ns;
                return Some(Batch { due_ns, messages });
            }
            let before = messages.len();
            let at_ns = self.step(&mut messages);
            if before > 0 && messages.len() > before && slot_of(at_ns) != slot_of(due_ns) {
                self.carry = messages.split_off(before);
                self.carry_ns = at_ns;
                return Some(Batch { due_ns, messages });
            }
            if messages.len() > before {
                due_ns = at_ns;
            }
        }
    }

    fn set_pace(&mut self, pace: Pace) -> Result<(), String> {
        match pace {
            Pace::Rate(rate) => {
                self.settings.rate = rate;
                Ok(())
            }
            Pace::Speed(_) | Pace::Max => Err("a synthetic market has only a rate, in messages a second".into()),
        }
    }

    fn skip_to(&mut self, ts_ns: i64) {
        if self.next_arrival_ns < ts_ns {
            self.schedule_arrival(ts_ns);
        }
    }
}

fn slot_of(ts_ns: i64) -> i64 {
    ts_ns.div_euclid(SLOT_NS)
}

impl Conditions {
    /// The same with the code of a late report: `Z`, or `U` outside regular hours.
    fn out_of_sequence(self, extended: bool) -> Self {
        let mut positions = self.positions();
        positions[2] = if extended { b'U' } else { b'Z' };
        Self::new(positions)
    }
}

#[cfg(test)]
mod tests;
