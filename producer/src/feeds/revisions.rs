//! Counts the versions of each symbol's minute bars. Feeds say at most "updated"; readers need to know which update is newer.

use std::collections::{HashMap, VecDeque};

use market::Symbol;

/// The last minutes of each symbol with the revision that was given out last.
#[derive(Debug)]
pub struct Revisions {
    minutes_max: usize,
    by_symbol: HashMap<Symbol, VecDeque<(i64, u32)>>,
}

impl Revisions {
    /// Remembers `minutes_max` minutes a symbol: as long as the feed may send a bar again.
    #[must_use]
    pub fn new(minutes_max: usize) -> Self {
        Self { minutes_max, by_symbol: HashMap::new() }
    }

    /// The revision of one more version of the bar that starts at `start_ms`; `first` where none was counted. After a restart
    /// counting begins again; the position in the stream then says which of two equal revisions is newer.
    pub fn next(&mut self, symbol: Symbol, start_ms: i64, first: u32) -> u32 {
        let minutes = self.by_symbol.entry(symbol).or_default();
        if let Some((_, revision)) = minutes.iter_mut().find(|(known_ms, _)| *known_ms == start_ms) {
            *revision = revision.saturating_add(1);
            return *revision;
        }
        if minutes.len() == self.minutes_max {
            minutes.pop_front();
        }
        minutes.push_back((start_ms, first));
        first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_of_a_minute_counts_up_and_minutes_do_not_mix() {
        let mut revisions = Revisions::new(2);
        let mut next = |minute| revisions.next(Symbol::new("SPY").unwrap(), minute, 1);
        assert_eq!([next(1), next(1), next(2), next(1)], [1, 2, 1, 3]);
        assert_eq!([next(3), next(2), next(1)], [1, 2, 1], "only the last two minutes are remembered");
    }
}
