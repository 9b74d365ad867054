//! Second looks that are owed behind healed gaps, so that a restart does not forget them.

use market::Gap;
use serde::{Deserialize, Serialize};

use super::Journal;
use crate::feeds::protocol::Feed;

/// Looks that are kept; the oldest go first. As many gaps may wait to be healed.
const LOOKS_MAX: usize = 1024;

/// What was stamped ahead of the end of an outage is read when its time has come: no history gives such trades before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Look {
    /// The feed.
    pub source: String,
    /// Start and end of the healed gap, Unix milliseconds of the feed's clock.
    pub from: i64,
    /// Its end: what is read begins here.
    pub to: i64,
    /// How far ahead this feed has stamped a record, in milliseconds: what is read ends so far behind `to`.
    pub ahead: i64,
    /// When to read, Unix milliseconds by the wall clock.
    pub due: i64,
}

impl Look {
    /// Behind the end of `gap`, when `ahead` milliseconds have passed from `now_ms` on.
    #[must_use]
    pub fn behind(gap: &Gap, ahead: i64, now_ms: i64) -> Self {
        let to = gap.to.unwrap_or(gap.from);
        Self { source: gap.source.clone(), from: gap.from, to, ahead, due: now_ms.saturating_add(ahead) }
    }

    fn key(&self) -> String {
        format!("{:020} {}", self.from, self.source)
    }
}

impl Journal {
    /// Looks that are owed for this feed, the oldest gap first.
    #[must_use]
    pub fn looks(&self, feed: Feed) -> Vec<Look> {
        self.0.page.lock().memory.looks.values().filter(|look| look.source == feed.name()).cloned().collect()
    }

    /// Remembers a look.
    pub fn note_look(&self, look: &Look) {
        self.change(|memory| {
            memory.looks.insert(look.key(), look.clone());
            if memory.looks.len() > LOOKS_MAX {
                memory.looks.pop_first();
            }
            true
        });
    }

    /// Forgets a look that was taken.
    pub fn forget_look(&self, look: &Look) {
        self.change(|memory| memory.looks.remove(&look.key()).is_some());
    }
}
