//! Which symbols are wanted: those of `SUBSCRIBED_SYMBOLS` always, and those that clients of some gateway want now.
//!
//! Gateways publish what their clients want ([`listener`]). This is the pure core: the union, who has fallen silent, how long a symbol
//! that nobody wants any more is kept, and who comes first where a plan does not carry all. What one connection makes of it is in [`roster`].

pub mod barren;
pub mod listener;
pub mod past;
pub mod refusals;
pub mod roster;

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use market::Symbol;
use tokio::sync::watch;
use tokio::time::Instant;

/// A gateway that was silent for this long is gone: each says what it wants every five seconds.
const SILENCE_MAX: Duration = Duration::from_secs(20);
/// Gateways that are heard at once.
const GATEWAYS_MAX: usize = 1000;
/// Symbols that may be wanted in all. What nobody wants any more goes first; then new ones are not taken.
const WANTED_MAX: usize = 50_000;

/// A symbol that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The symbol.
    pub symbol: Symbol,
    /// The number of the last time that a gateway began to want it, counted over all symbols, so that each can be told what cannot be had.
    pub asked: u64,
    /// Nobody wants it any more; it is kept while there is room, in case somebody comes back.
    pub idle: bool,
}

/// All wishes, the most important one first.
pub type Wishes = Arc<[Wish]>;

/// Wishes of symbols that no gateway has asked for.
#[must_use]
pub fn always(symbols: &[Symbol]) -> Wishes {
    symbols.iter().map(|&symbol| Wish { symbol, asked: 0, idle: false }).collect()
}

/// What gateways want, over time.
#[derive(Debug)]
pub struct Demand {
    always: Vec<Symbol>,
    grace: Duration,
    gateways: HashMap<String, Gateway>,
    wanted: HashMap<Symbol, Wanted>,
    /// How often a gateway began to want something.
    asked: u64,
}

#[derive(Debug)]
struct Gateway {
    heard: Instant,
    symbols: BTreeSet<Symbol>,
}

#[derive(Debug)]
struct Wanted {
    /// How many gateways want it; 0 while it lives in its grace time.
    gateways: usize,
    /// The first and the last time that a gateway asked for it.
    first_asked: u64,
    asked: u64,
    idle_since: Option<Instant>,
}

impl Demand {
    /// Nobody heard yet. `always`: symbols that are wanted whoever asks; `grace`: how long a symbol is kept that nobody wants any more.
    #[must_use]
    pub fn new(always: Vec<Symbol>, grace: Duration) -> Self {
        Self { always, grace, gateways: HashMap::new(), wanted: HashMap::new(), asked: 0 }
    }

    /// A gateway says what all its clients want: the whole set, empty when it stops.
    pub fn hear(&mut self, now: Instant, gateway: &str, symbols: BTreeSet<Symbol>) {
        let before = self.gateways.remove(gateway).map(|known| known.symbols).unwrap_or_default();
        if self.gateways.len() >= GATEWAYS_MAX {
            tracing::warn!(gateway, "more than {GATEWAYS_MAX} gateways say what they want; this one is not heard");
            return;
        }
        let symbols = self.bounded(symbols, &before);
        for &symbol in symbols.difference(&before) {
            self.ask(symbol);
        }
        for symbol in before.difference(&symbols) {
            self.release(now, symbol);
        }
        if !symbols.is_empty() {
            self.gateways.insert(gateway.to_owned(), Gateway { heard: now, symbols });
        }
    }

    /// Leaves out what would be too much; makes room by letting idle symbols go.
    fn bounded(&mut self, mut symbols: BTreeSet<Symbol>, before: &BTreeSet<Symbol>) -> BTreeSet<Symbol> {
        let is_new = |wanted: &HashMap<Symbol, Wanted>, symbol: &Symbol| {
            !before.contains(symbol) && !wanted.contains_key(symbol)
        };
        let new = symbols.iter().filter(|symbol| is_new(&self.wanted, symbol)).count();
        if self.wanted.len() + new <= WANTED_MAX {
            return symbols;
        }
        self.wanted.retain(|symbol, wanted| wanted.gateways > 0 || symbols.contains(symbol));
        let mut room = WANTED_MAX.saturating_sub(self.wanted.len());
        let count = symbols.len();
        symbols.retain(|symbol| {
            if !is_new(&self.wanted, symbol) {
                return true;
            }
            let fits = room > 0;
            room = room.saturating_sub(1);
            fits
        });
        metrics::counter!("producer_demand_refused_total").increment((count - symbols.len()) as u64);
        symbols
    }

    fn ask(&mut self, symbol: Symbol) {
        self.asked += 1;
        let asked = self.asked;
        let new = Wanted { gateways: 0, first_asked: asked, asked, idle_since: None };
        let wanted = self.wanted.entry(symbol).or_insert(new);
        wanted.gateways += 1;
        wanted.asked = asked;
        wanted.idle_since = None;
    }

    fn release(&mut self, now: Instant, symbol: &Symbol) {
        let Some(wanted) = self.wanted.get_mut(symbol) else { return };
        wanted.gateways = wanted.gateways.saturating_sub(1);
        if wanted.gateways == 0 {
            wanted.idle_since = Some(now);
        }
    }

    /// Forgets gateways that fell silent and symbols whose grace time is over.
    pub fn expire(&mut self, now: Instant) {
        let silent = self.gateways.iter().filter(|(_, gateway)| gateway.heard + SILENCE_MAX <= now);
        let silent: Vec<String> = silent.map(|(name, _)| name.clone()).collect();
        for gateway in &silent {
            tracing::warn!(gateway, "a gateway has fallen silent; what only its clients wanted is let go");
            self.hear(now, gateway, BTreeSet::new());
        }
        let grace = self.grace;
        self.wanted.retain(|_, wanted| wanted.idle_since.is_none_or(|since| since + grace > now));
    }

    /// When [`Demand::expire`] has something to do next.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        let silent = self.gateways.values().map(|gateway| gateway.heard + SILENCE_MAX);
        let idle = self.wanted.values().filter_map(|wanted| Some(wanted.idle_since? + self.grace));
        silent.chain(idle).min()
    }

    /// Nobody could be heard until now, so nobody was silent.
    pub fn resume(&mut self, now: Instant) {
        self.gateways.values_mut().for_each(|gateway| gateway.heard = now);
    }

    /// Everything that is wanted: first what always is, then what most gateways want, then what was wanted first.
    #[must_use]
    pub fn wishes(&self) -> Wishes {
        let asked = |symbol| self.wanted.get(symbol).map_or(0, |wanted| wanted.asked);
        let first = self.always.iter().map(|symbol| Wish { symbol: *symbol, asked: asked(symbol), idle: false });
        let mut others: Vec<_> = self.wanted.iter().filter(|(symbol, _)| !self.always.contains(symbol)).collect();
        others.sort_unstable_by_key(|(_, wanted)| (Reverse(wanted.gateways), wanted.first_asked));
        let others = others.into_iter().map(|(&symbol, Wanted { asked, idle_since, .. })| Wish {
            symbol,
            asked: *asked,
            idle: idle_since.is_some(),
        });
        first.chain(others).collect()
    }
}

/// A connection's view of the wishes; without a sender, or where everything is subscribed, they never change.
#[derive(Clone, Debug, Default)]
pub struct Watched(Option<watch::Receiver<Wishes>>);

impl Watched {
    /// Follows the wishes.
    #[must_use]
    pub fn new(wishes: watch::Receiver<Wishes>) -> Self {
        Self(Some(wishes))
    }

    /// The wishes as they are now; `None` where there are none to follow.
    pub fn latest(&mut self) -> Option<Wishes> {
        self.0.as_mut().map(|wishes| wishes.borrow_and_update().clone())
    }

    /// Waits until the wishes have changed. Cancel safe.
    pub async fn changed(&mut self) -> Wishes {
        if let Some(wishes) = &mut self.0 {
            if wishes.changed().await.is_ok() {
                return wishes.borrow_and_update().clone();
            }
            self.0 = None; // the listener has ended; so will everything else
        }
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> BTreeSet<Symbol> {
        names.iter().map(|name| Symbol::new(name).unwrap()).collect()
    }

    fn wishes(demand: &Demand) -> Vec<String> {
        demand.wishes().iter().map(|wish| wish.symbol.to_string()).collect()
    }

    fn demand() -> (Demand, Instant) {
        (Demand::new(set(&["SPY", "AAPL"]).into_iter().collect(), Duration::from_secs(60)), Instant::now())
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_union_in_order_of_importance() {
        let (mut demand, now) = demand();
        assert_eq!(wishes(&demand), ["AAPL", "SPY"]);
        demand.hear(now, "a", set(&["TSLA", "AAPL"]));
        demand.hear(now, "b", set(&["NVDA"]));
        assert_eq!(wishes(&demand), ["AAPL", "SPY", "TSLA", "NVDA"], "the older wish first");
        demand.hear(now, "c", set(&["NVDA"]));
        assert_eq!(wishes(&demand), ["AAPL", "SPY", "NVDA", "TSLA"], "two gateways outweigh one");
        let asked: Vec<_> = demand.wishes().iter().map(|wish| wish.asked).collect();
        assert_eq!(asked, [1, 0, 4, 2]);
    }

    #[test]
    fn a_symbol_that_nobody_wants_is_kept_for_its_grace_time_behind_all_others() {
        let (mut demand, now) = demand();
        demand.hear(now, "a", set(&["TSLA", "NVDA"]));
        demand.hear(now, "a", set(&["NVDA"]));
        assert_eq!(wishes(&demand), ["AAPL", "SPY", "NVDA", "TSLA"]);
        demand.hear(now + 10 * SECOND, "a", set(&["NVDA"])); // it goes on saying so
        demand.hear(now + 25 * SECOND, "a", set(&["NVDA"]));
        demand.hear(now + 44 * SECOND, "a", set(&["NVDA"]));
        assert_eq!(demand.due(), Some(now + 60 * SECOND));
        demand.expire(now + 59 * SECOND);
        assert_eq!(wishes(&demand).len(), 4);
        demand.expire(now + 60 * SECOND);
        assert_eq!(wishes(&demand), ["AAPL", "SPY", "NVDA"]);
    }

    #[test]
    fn a_client_that_comes_back_within_the_grace_time_finds_its_symbol_still_there() {
        let (mut demand, now) = demand();
        demand.hear(now, "a", set(&["TSLA"]));
        demand.hear(now + SECOND, "a", set(&[]));
        demand.hear(now + 30 * SECOND, "b", set(&["TSLA"]));
        demand.expire(now + 49 * SECOND);
        assert_eq!(wishes(&demand), ["AAPL", "SPY", "TSLA"]);
    }

    #[test]
    fn a_gateway_that_falls_silent_is_forgotten_after_twenty_seconds() {
        let (mut demand, now) = demand();
        demand.hear(now, "a", set(&["TSLA"]));
        demand.hear(now + 15 * SECOND, "b", set(&["TSLA", "NVDA"]));
        demand.expire(now + 20 * SECOND);
        assert_eq!(demand.due(), Some(now + 35 * SECOND), "only b is left");
        demand.expire(now + 35 * SECOND);
        assert_eq!(wishes(&demand).len(), 4, "the grace time of both symbols has begun");
        demand.expire(now + 95 * SECOND);
        assert_eq!((wishes(&demand).len(), demand.due()), (2, None));
    }

    #[test]
    fn any_number_of_junk_symbols_is_bounded_and_lets_a_real_one_in() {
        let (mut demand, now) = demand();
        let junk = |from: usize| (from..from + 20_000).map(|at| Symbol::new(&format!("J{at}")).unwrap()).collect();
        for round in 0..25 {
            demand.hear(now, "a", junk(round * 20_000));
            assert!(demand.wanted.len() <= WANTED_MAX);
        }
        demand.hear(now, "b", set(&["TSLA"]));
        assert!(wishes(&demand).contains(&"TSLA".to_owned()));
    }

    #[test]
    fn time_in_which_nobody_could_be_heard_does_not_count() {
        let (mut demand, now) = demand();
        demand.hear(now, "a", set(&["TSLA"]));
        demand.resume(now + 100 * SECOND);
        demand.expire(now + 100 * SECOND);
        assert_eq!(demand.due(), Some(now + 120 * SECOND));
        assert_eq!(wishes(&demand), ["AAPL", "SPY", "TSLA"]);
    }
}
