//! Symbols whose history was asked for and is empty: names that the feed does not carry, or that nobody has traded. They are left alone for
//! a while, in memory only, so that junk neither fills the journal nor stands before a real symbol.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use market::Symbol;
use tokio::time::Instant;

/// An empty history is asked for again after this long.
const LEFT_ALONE: Duration = Duration::from_secs(3600);
/// Names that are remembered; the oldest go first.
const NAMES_MAX: usize = 20_000;

/// The names, with the time when each was asked for.
#[derive(Debug, Default)]
pub struct Barren {
    asked: HashMap<Symbol, Instant>,
    order: VecDeque<Symbol>,
}

impl Barren {
    /// The histories of these were empty.
    pub fn note(&mut self, symbols: impl IntoIterator<Item = Symbol>, now: Instant) {
        for symbol in symbols {
            if self.asked.insert(symbol, now).is_none() {
                self.order.push_back(symbol);
            }
        }
        while self.order.len() > NAMES_MAX {
            if let Some(oldest) = self.order.pop_front() {
                self.asked.remove(&oldest);
            }
        }
    }

    /// Whether this one is to be left alone.
    #[must_use]
    pub fn holds(&self, symbol: &Symbol, now: Instant) -> bool {
        self.asked.get(symbol).is_some_and(|asked| now < *asked + LEFT_ALONE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_a_history_is_left_alone_for_an_hour_and_many_are_bounded() {
        let (mut barren, now) = (Barren::default(), Instant::now());
        let name = |at: usize| Symbol::new(&format!("JUNK{at}")).unwrap();
        barren.note((0..500_000).map(name), now);
        assert!(barren.asked.len() == NAMES_MAX && barren.order.len() == NAMES_MAX);
        assert!(barren.holds(&name(499_999), now) && !barren.holds(&name(0), now));
        assert!(!barren.holds(&name(499_999), now + LEFT_ALONE));
    }
}
