//! What the stream delivered around an outage: the history must know these trades, or it is not this feed's, or not complete. Pure.

use std::collections::VecDeque;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use market::Trade;

/// Trades that are remembered on each side of an outage.
const EACH_SIDE: usize = 1024;

/// A delivered trade: its time and a fingerprint of what it is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Witness {
    /// Its stamp, Unix nanoseconds.
    pub ts_ns: i64,
    /// Fingerprint of symbol, time, exchange and id; without an id of price and size.
    pub key: u64,
}

impl Witness {
    /// Of a trade as the stream or the history has it. Ids that this program makes are not looked at: they depend on the order.
    #[must_use]
    pub fn of(trade: &Trade) -> Self {
        let mut hasher = DefaultHasher::new();
        (trade.symbol.as_str(), trade.ts_ns, trade.exchange.as_deref().unwrap_or_default()).hash(&mut hasher);
        match trade.trade_id.as_deref().filter(|id| !id.starts_with("none:")) {
            Some(id) => id.hash(&mut hasher),
            None => (trade.price.to_bits(), trade.size.to_bits()).hash(&mut hasher),
        }
        Self { ts_ns: trade.ts_ns, key: hasher.finish() }
    }
}

/// The trades around one outage. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Witnesses(Arc<Mutex<Sides>>);

#[derive(Debug, Default)]
struct Sides {
    before: Vec<Witness>,
    after: Vec<Witness>,
}

impl Witnesses {
    /// What was delivered last before the outage and first after it.
    #[must_use]
    pub fn sides(&self) -> [Vec<Witness>; 2] {
        let sides = self.lock();
        [sides.before.clone(), sides.after.clone()]
    }

    fn lock(&self) -> MutexGuard<'_, Sides> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Collects witnesses from the stream.
#[derive(Debug, Default)]
pub struct Bystander {
    last: VecDeque<Witness>,
    /// The outage that ended last, while trades after it are still collected.
    after: Option<Witnesses>,
}

impl Bystander {
    /// A trade was delivered.
    pub fn saw(&mut self, trade: &Trade) {
        let witness = Witness::of(trade);
        if let Some(witnesses) = &self.after {
            let mut sides = witnesses.lock();
            sides.after.push(witness);
            let full = sides.after.len() >= EACH_SIDE;
            drop(sides);
            if full {
                self.after = None;
            }
        }
        if self.last.len() == EACH_SIDE {
            self.last.pop_front();
        }
        self.last.push_back(witness);
    }

    /// An outage begins: what was delivered last.
    pub fn began(&mut self) -> Witnesses {
        let witnesses = Witnesses::default();
        witnesses.lock().before = self.last.drain(..).collect();
        witnesses
    }

    /// It ended: what comes from now on was delivered after it. What came while its end was being settled counts too.
    pub fn ended(&mut self, witnesses: &Witnesses) {
        witnesses.lock().after = self.last.iter().copied().collect();
        self.after = Some(witnesses.clone());
    }
}
