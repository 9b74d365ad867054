//! Counts the versions of each symbol's minute bars. Alpaca says only "updated"; readers need to know which update is newer.

use std::collections::HashMap;

use market::{Bar, Symbol};

/// A late trade may change a bar for this many minutes after it began.
const REMEMBERED: usize = 4;

/// The last few minutes of each symbol with the revision that was given out.
#[derive(Debug, Default)]
pub struct Revisions {
    by_symbol: HashMap<Symbol, Vec<(i64, u32)>>,
}

impl Revisions {
    /// Gives an updated bar (revision above 0) a revision one above the last one of its minute. After a restart counting begins at 1
    /// again; the position in the stream then says which of two equal revisions is newer.
    pub fn apply(&mut self, bar: Bar) -> Bar {
        if bar.revision == 0 {
            return bar;
        }
        let minutes = self.by_symbol.entry(bar.symbol).or_default();
        let revision = match minutes.iter_mut().find(|(start_ms, _)| *start_ms == bar.start_ms) {
            Some((_, revision)) => {
                *revision = revision.saturating_add(1);
                *revision
            }
            None => {
                if minutes.len() == REMEMBERED {
                    minutes.remove(0);
                }
                minutes.push((bar.start_ms, 1));
                1
            }
        };
        Bar { revision, ..bar }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use market::{Source, Timeframe};

    #[test]
    fn each_update_of_a_minute_counts_up_and_minutes_do_not_mix() {
        let bar = |minute: i64, revision| Bar {
            symbol: Symbol::new("SPY").unwrap(),
            timeframe: Timeframe::MINUTE,
            open: 1.0,
            high: 1.0,
            low: 1.0,
            close: 1.0,
            volume: 1.0,
            trade_count: None,
            vwap: None,
            start_ms: minute * market::MS_PER_MINUTE,
            is_final: true,
            revision,
            source: Source::alpaca(),
        };
        let mut revisions = Revisions::default();
        let mut next = |minute, revision| revisions.apply(bar(minute, revision)).revision;
        assert_eq!([next(1, 0), next(1, 1), next(1, 1), next(2, 1), next(1, 1)], [0, 1, 2, 1, 3]);
    }
}
