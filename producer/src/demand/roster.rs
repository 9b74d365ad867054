//! What one connection carries and what it should: works out the changes, and learns from refusals what the plan takes.
//!
//! Pure: the protocols send what comes out of it and report the answers. A refused change is tried again in halves until the culprit is
//! found: one symbol too many, or one that the feed does not know.

use std::collections::{BTreeMap, HashSet};

use market::{Availability, Source, Symbol};
use tokio::time::Instant;

use super::refusals::Refusals;
use super::{Wishes, always};

/// Symbols whose absence is remembered although nobody wants them any more, so that their return can be told.
const TOLD_MAX: usize = 10_000;

/// One message to the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Adds these.
    Subscribe(Vec<Symbol>),
    /// Takes these away.
    Unsubscribe(Vec<Symbol>),
}

/// Why a change was refused as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal<'a> {
    /// The plan carries fewer symbols.
    Limit,
    /// Something is wrong with one of the symbols; the feed's own words.
    Symbol(&'a str),
}

/// The symbols of one connection.
#[derive(Debug)]
pub struct Roster {
    source: Source,
    /// Symbols of the settings, which come first.
    always: Vec<Symbol>,
    /// Most symbols by the settings, and as the server has let us know.
    cap_set: Option<usize>,
    cap_learned: Option<usize>,
    wishes: Wishes,
    /// What the server carries for us, in the order it was asked for.
    held: Vec<Symbol>,
    /// Symbols that the feed does not take, and why.
    refusals: Refusals,
    /// Most symbols in the next message: less after a refusal.
    at_once: usize,
    outstanding: Option<Change>,
    /// Whether there may be something to change.
    pending: bool,
    /// What was told to be unavailable, and [`Wish::asked`](super::Wish::asked) by then.
    told: BTreeMap<Symbol, u64>,
}

impl Roster {
    /// Nothing carried yet. `cap`: most symbols by the settings.
    #[must_use]
    pub fn new(source: Source, always_wanted: &[Symbol], cap: Option<usize>) -> Self {
        Self {
            source,
            always: always_wanted.to_vec(),
            cap_set: cap,
            cap_learned: None,
            wishes: always(always_wanted),
            held: Vec::new(),
            refusals: Refusals::default(),
            at_once: usize::MAX,
            outstanding: None,
            pending: true,
            told: BTreeMap::new(),
        }
    }

    /// Shares what the feed has refused, and is going to refuse, with others.
    pub fn share(&mut self, refusals: Refusals) {
        self.refusals = refusals;
    }

    /// What was refused a while ago may be asked for again: there may be something to change.
    pub fn look_again(&mut self) {
        self.pending |= self.refusals.are_due(Instant::now());
    }

    /// What is wanted has changed.
    pub fn want(&mut self, wishes: &Wishes) {
        self.wishes = wishes.clone();
        let wanted: HashSet<Symbol> = wishes.iter().map(|wish| wish.symbol).collect();
        if self.told.len() > TOLD_MAX {
            self.told.retain(|symbol, _| wanted.contains(symbol));
        }
        self.pending = true;
    }

    /// A new connection carries nothing yet.
    pub fn restart(&mut self) {
        self.held.clear();
        self.outstanding = None;
        self.at_once = usize::MAX;
        self.pending = true;
    }

    /// What to ask for when a connection begins: the symbols of the settings, as many as fit.
    #[must_use]
    pub fn first(&self) -> &[Symbol] {
        &self.always[..self.always.len().min(self.cap())]
    }

    /// The first subscription stands; `carries` says of each symbol whether it is in it.
    pub fn begun(&mut self, carries: impl Fn(&Symbol) -> bool) {
        let first = self.first().to_vec();
        self.settle(first, carries);
    }

    /// The first subscription was refused because of its size: [`Roster::next`] begins with half of it.
    pub fn first_refused(&mut self) {
        self.at_once = (self.first().len() / 2).max(1);
        self.pending = true;
    }

    /// Whether [`Roster::next`] may have something to say.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.pending && self.outstanding.is_none()
    }

    /// The next message, none while one is outstanding. Its symbols with `overhead` bytes each stay within `bytes_max`.
    pub fn next(&mut self, bytes_max: usize, overhead: usize) -> Option<Change> {
        if !self.is_pending() {
            return None;
        }
        let target = self.target();
        let wanted: HashSet<&Symbol> = target.iter().collect();
        let leaving: Vec<Symbol> = self.held.iter().filter(|symbol| !wanted.contains(symbol)).copied().collect();
        let change = if leaving.is_empty() {
            let held: HashSet<&Symbol> = self.held.iter().collect();
            let mut joining: Vec<Symbol> = target.iter().filter(|symbol| !held.contains(symbol)).copied().collect();
            if joining.is_empty() {
                self.pending = false;
                self.at_once = usize::MAX;
                return None;
            }
            joining.truncate(fitting(&joining, bytes_max, overhead).min(self.at_once));
            Change::Subscribe(joining)
        } else {
            let mut leaving = leaving;
            leaving.truncate(fitting(&leaving, bytes_max, overhead));
            Change::Unsubscribe(leaving) // first, so that there is room for others
        };
        self.outstanding = Some(change.clone());
        Some(change)
    }

    /// The outstanding change stands; `carries` says of each symbol whether the server has it now.
    pub fn acknowledged(&mut self, carries: impl Fn(&Symbol) -> bool) {
        match self.outstanding.take() {
            Some(Change::Subscribe(symbols)) => {
                self.at_once = self.at_once.saturating_mul(2);
                self.settle(symbols, carries);
            }
            Some(Change::Unsubscribe(symbols)) => self.let_go(&symbols),
            None => {}
        }
    }

    /// The server has reported the whole set that it carries, which is the truth: what is no longer in it gets no data, and is reported
    /// as unavailable instead of being requested again and again.
    pub fn carried(&mut self, carries: impl Fn(&Symbol) -> bool) {
        let (held, dropped): (Vec<_>, Vec<_>) = self.held.drain(..).partition(|symbol| carries(symbol));
        self.held = held;
        self.refuse(dropped, "the feed has stopped to carry it");
    }

    /// The outstanding change was refused as a whole.
    pub fn refused(&mut self, refusal: Refusal<'_>) {
        match self.outstanding.take() {
            Some(Change::Subscribe(symbols)) if symbols.len() > 1 => self.at_once = symbols.len() / 2,
            Some(Change::Subscribe(symbols)) => match refusal {
                Refusal::Limit => self.cap_learned = Some(self.held.len()),
                Refusal::Symbol(words) => {
                    let reason = format!("the feed refuses it: {words}");
                    self.refusals.note(symbols, &reason, Instant::now());
                }
            },
            Some(Change::Unsubscribe(symbols)) => self.let_go(&symbols),
            None => {}
        }
    }

    /// The server carries one symbol less than it was asked for, the last one: from now on that is the limit.
    pub fn one_too_many(&mut self) {
        self.held.pop();
        self.cap_learned = Some(self.held.len().max(1));
        self.pending = true;
    }

    /// What people have to be told: symbols that became unavailable, were asked for again and still are, or became available.
    pub fn news(&mut self) -> Vec<Availability> {
        let source = self.source.as_str();
        let held: HashSet<&Symbol> = self.held.iter().collect();
        let mut news = Vec::new();
        let mut room = self.cap();
        let mut unavailable = 0_u32;
        let now = Instant::now();
        for wish in self.wishes.iter() {
            let symbol = wish.symbol.to_string();
            let reason = match self.refusals.reason(&wish.symbol, now) {
                Some(reason) => Some(reason),
                None if room == 0 => Some(format!(
                    "the plan of this key carries {} symbols; others that more clients want, or want for longer, come first",
                    self.cap()
                )),
                None => {
                    room -= 1;
                    None
                }
            };
            if let Some(reason) = reason.filter(|_| !wish.idle) {
                unavailable += 1;
                if self.told.insert(wish.symbol, wish.asked) != Some(wish.asked) {
                    news.push(Availability::Unavailable { symbol, source: source.to_owned(), reason });
                }
            } else if held.contains(&wish.symbol) && self.told.remove(&wish.symbol).is_some() {
                news.push(Availability::Available { symbol, source: source.to_owned() });
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "a gauge")]
        metrics::gauge!("producer_symbols_subscribed", "feed" => source.to_owned()).set(self.held.len() as f64);
        metrics::gauge!("producer_symbols_unavailable", "feed" => source.to_owned()).set(unavailable);
        news
    }

    /// A symbol that is carried, or should be, for a question that changes nothing.
    #[must_use]
    pub fn any(&self) -> Option<Symbol> {
        self.held.first().or(self.always.first()).copied()
    }

    fn cap(&self) -> usize {
        self.cap_set.unwrap_or(usize::MAX).min(self.cap_learned.unwrap_or(usize::MAX))
    }

    /// What should be carried.
    fn target(&self) -> Vec<Symbol> {
        let now = Instant::now();
        let wanted =
            self.wishes.iter().map(|wish| wish.symbol).filter(|symbol| self.refusals.reason(symbol, now).is_none());
        wanted.take(self.cap()).collect()
    }

    fn settle(&mut self, asked: Vec<Symbol>, carries: impl Fn(&Symbol) -> bool) {
        let (carried, missing): (Vec<_>, Vec<_>) = asked.into_iter().partition(|symbol| carries(symbol));
        for symbol in &carried {
            self.refusals.forgive(symbol);
        }
        self.held.extend(carried);
        self.refuse(missing, "the feed did not accept it");
    }

    fn refuse(&mut self, symbols: Vec<Symbol>, reason: &str) {
        if symbols.is_empty() {
            return;
        }
        metrics::counter!("producer_subscriptions_refused_total").increment(symbols.len() as u64);
        tracing::warn!(feed = self.source.as_str(), ?symbols, reason, "these symbols get no data");
        self.refusals.note(symbols, reason, Instant::now());
        self.pending = true;
    }

    fn let_go(&mut self, symbols: &[Symbol]) {
        let gone: HashSet<&Symbol> = symbols.iter().collect();
        self.held.retain(|symbol| !gone.contains(symbol));
    }
}

/// How many of the first symbols fit into a message of `bytes_max`, with `overhead` bytes each; at least one.
#[must_use]
pub fn fitting(symbols: &[Symbol], bytes_max: usize, overhead: usize) -> usize {
    let mut bytes = 0;
    let fits = |symbol: &&Symbol| {
        bytes += symbol.as_str().len() + overhead;
        bytes <= bytes_max
    };
    symbols.iter().take_while(fits).count().max(1)
}

#[cfg(test)]
mod tests;
