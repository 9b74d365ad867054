//! Names that a feed has refused: they are left alone for a while, longer each time, in memory only, so that junk is neither asked for again
//! and again nor kept in the journal.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use market::Symbol;
use tokio::time::Instant;

/// A name is left alone for this long after its first refusal, twice as long after the next, and so on.
const WAIT_MIN: Duration = Duration::from_secs(60);
const WAIT_MAX: Duration = Duration::from_secs(6 * 3600);
/// Names that are remembered; the oldest go first.
const NAMES_MAX: usize = 20_000;

/// What one feed has refused. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Refusals(Arc<Mutex<Memory>>);

#[derive(Debug, Default)]
struct Memory {
    names: HashMap<Symbol, Refused>,
    order: VecDeque<Symbol>,
    /// Counts the changes.
    version: u64,
}

#[derive(Debug)]
struct Refused {
    reason: String,
    times: u32,
    again_at: Instant,
    /// Its time has come, and somebody was told so.
    is_due: bool,
}

impl Refusals {
    /// The feed refuses these now.
    pub fn note(&self, symbols: impl IntoIterator<Item = Symbol>, reason: &str, now: Instant) {
        let mut memory = self.lock();
        for symbol in symbols {
            let times = memory.names.get(&symbol).map_or(0, |known| known.times);
            let wait = WAIT_MIN.saturating_mul(1 << times.min(16)).min(WAIT_MAX);
            let refused = Refused { reason: reason.to_owned(), times: times + 1, again_at: now + wait, is_due: false };
            if memory.names.insert(symbol, refused).is_none() {
                memory.order.push_back(symbol);
            }
            memory.version += 1;
        }
        while memory.names.len() > NAMES_MAX {
            let Some(oldest) = memory.order.pop_front() else { break };
            memory.names.remove(&oldest);
        }
        if memory.order.len() > 2 * NAMES_MAX {
            let Memory { names, order, .. } = &mut *memory;
            order.retain(|symbol| names.contains_key(symbol));
        }
    }

    /// The feed carries this one after all.
    pub fn forgive(&self, symbol: &Symbol) {
        let mut memory = self.lock();
        if memory.names.remove(symbol).is_some() {
            memory.version += 1;
        }
    }

    /// Why this one is left alone; `None` if it may be asked for.
    #[must_use]
    pub fn reason(&self, symbol: &Symbol, now: Instant) -> Option<String> {
        let memory = self.lock();
        memory.names.get(symbol).filter(|known| now < known.again_at).map(|known| known.reason.clone())
    }

    /// Whether the feed refused this one when it was last asked, however long ago.
    #[must_use]
    pub fn holds(&self, symbol: &Symbol) -> bool {
        self.lock().names.contains_key(symbol)
    }

    /// Whether a name may be asked for again since the last call.
    #[must_use]
    pub fn are_due(&self, now: Instant) -> bool {
        let mut memory = self.lock();
        let due = memory.names.values_mut().filter(|known| !known.is_due && known.again_at <= now);
        due.map(|known| known.is_due = true).count() > 0
    }

    /// Counts what has changed.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.lock().version
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(at: usize) -> Symbol {
        Symbol::new(&format!("JUNK{at}")).unwrap()
    }

    #[test]
    fn a_refused_name_is_left_alone_for_longer_each_time() {
        let (refusals, mut now) = (Refusals::default(), Instant::now());
        let mut waits = Vec::new();
        for _ in 0..12 {
            refusals.note([name(1)], "invalid", now);
            assert!(!refusals.are_due(now) && refusals.reason(&name(1), now).is_some());
            let began = now;
            while refusals.reason(&name(1), now).is_some() {
                now += WAIT_MIN;
            }
            assert!(refusals.are_due(now) && !refusals.are_due(now), "told once");
            assert!(refusals.holds(&name(1)), "it may be asked for, and is still not one to keep");
            waits.push((now - began).as_secs() / 60);
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 360, 360, 360]);
        refusals.forgive(&name(1));
        assert!(!refusals.holds(&name(1)));
    }

    #[test]
    fn any_number_of_refused_names_is_bounded() {
        let (refusals, now) = (Refusals::default(), Instant::now());
        for at in 0..200_000 {
            refusals.note([name(at)], "invalid", now);
            if at % 2 == 0 {
                refusals.forgive(&name(at));
            }
        }
        let memory = refusals.lock();
        assert!(memory.names.len() <= NAMES_MAX && memory.order.len() <= 2 * NAMES_MAX, "{}", memory.order.len());
        drop(memory);
        assert!(refusals.holds(&name(199_999)) && !refusals.holds(&name(1)));
    }
}
