//! What the next leader must know of this one: the journal without its long lists, and the lists apart, because they seldom change.

use std::collections::{BTreeMap, BTreeSet};

use super::{Journal, Memory};

/// Symbols of one feed, as [`super::Known`] has them: those that had records, and those with a past.
type Lists = (BTreeSet<String>, BTreeSet<String>);

impl Journal {
    /// How far everything is safe and what is not settled, as JSON, and how many symbols [`Journal::known_symbols`] would name.
    #[must_use]
    pub fn frontier(&self) -> (String, usize) {
        let mut memory = self.0.page.lock().memory.clone();
        let mut count = 0;
        for known in memory.feeds.values_mut() {
            count += std::mem::take(&mut known.symbols).len() + std::mem::take(&mut known.with_past).len();
        }
        (serde_json::to_string(&memory).unwrap_or_default(), count) // texts and numbers always encode
    }

    /// The lists of symbols, as JSON.
    #[must_use]
    pub fn known_symbols(&self) -> String {
        let memory = &self.0.page.lock().memory;
        let lists: BTreeMap<_, _> =
            memory.feeds.iter().map(|(feed, known)| (feed, (&known.symbols, &known.with_past))).collect();
        serde_json::to_string(&lists).unwrap_or_default()
    }

    /// Takes over what another producer knew, where it knew more: from [`Journal::frontier`] and [`Journal::known_symbols`].
    pub fn adopt(&self, frontier: &str, symbols: Option<&str>) {
        let (Ok(theirs), Ok(mut lists)) = (
            serde_json::from_str::<Memory>(frontier),
            symbols.map_or(Ok(BTreeMap::new()), serde_json::from_str::<BTreeMap<String, Lists>>),
        ) else {
            return tracing::error!("cannot read what the last leader left; this producer's own journal decides");
        };
        self.change(|memory| {
            for (feed, theirs) in theirs.feeds {
                let ours = memory.feeds.entry(feed.clone()).or_default();
                let (mut symbols, mut with_past) = lists.remove(&feed).unwrap_or_default();
                symbols.append(&mut ours.symbols);
                with_past.append(&mut ours.with_past);
                if theirs.safe_ns > ours.safe_ns {
                    *ours = theirs;
                }
                (ours.symbols, ours.with_past) = (symbols, with_past);
            }
            memory.gaps.extend(theirs.gaps);
            memory.looks.extend(theirs.looks);
            memory.wanted.extend(theirs.wanted);
            true
        });
    }
}

#[cfg(test)]
mod tests {
    use market::{Gap, Source, Symbol};

    use super::*;
    use crate::feeds::protocol::Feed;

    #[test]
    fn a_successor_knows_what_the_leader_knew_and_never_less_than_before() {
        let folder = tempfile::tempdir().unwrap();
        let journal = |name: &str| Journal::open(folder.path().join(name)).unwrap();
        let (leader, standby) = (journal("leader"), journal("standby"));
        let symbols = |names: &[&str]| names.iter().map(|name| Symbol::new(name).unwrap()).collect::<Vec<_>>();
        leader.advance(Feed::Alpaca, 500, symbols(&["AAPL", "MSFT"]));
        leader.advance(Feed::Massive, 3, []);
        leader.note_past(Feed::Alpaca, &symbols(&["AAPL"]));
        let gap = Gap::open(&Source::alpaca(), 7, "cut");
        leader.note(&gap);
        standby.advance(Feed::Alpaca, 20, symbols(&["TSLA"]));
        standby.advance(Feed::Massive, 90, []);

        standby.adopt(&leader.frontier().0, Some(&leader.known_symbols()));
        assert_eq!((standby.safe_ns(Feed::Alpaca), standby.safe_ns(Feed::Massive)), (Some(500), Some(90)));
        assert_eq!(standby.symbols(Feed::Alpaca), symbols(&["AAPL", "MSFT", "TSLA"]));
        assert_eq!(standby.gaps(Feed::Alpaca), [gap]);
        assert!(!leader.frontier().0.contains("AAPL"), "the beat stays small");
        standby.adopt("nonsense", None);
        assert_eq!(standby.safe_ns(Feed::Alpaca), Some(500));
    }
}
