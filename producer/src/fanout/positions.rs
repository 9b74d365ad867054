//! Counts the records of each symbol and stream, over all feeds of this run.
//!
//! Readers know one count for each symbol and stream, whoever reported the record, so several feeds share the counters. A feed
//! holds the lock for one frame: its records are counted and queued before another feed's, and no reader ever sees two places swapped.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use market::{Position, Symbol};

use crate::fanout::record::Stream;

/// The counters. Clones share them.
#[derive(Clone)]
pub struct Positions {
    counters: Arc<Mutex<Counters>>,
}

/// The counters while one feed has them.
pub struct Counters {
    epoch: i64,
    last: [HashMap<Symbol, u64>; Stream::ALL.len()],
}

impl Positions {
    /// Nothing counted yet. `epoch`: this run's start in Unix milliseconds.
    #[must_use]
    pub fn new(epoch: i64) -> Self {
        Self { counters: Arc::new(Mutex::new(Counters { epoch, last: Default::default() })) }
    }

    /// Takes the counters for one frame.
    pub fn lock(&self) -> MutexGuard<'_, Counters> {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counters {
    /// This run.
    #[must_use]
    pub fn epoch(&self) -> i64 {
        self.epoch
    }

    /// The next place of this symbol in this stream.
    pub fn next(&mut self, stream: Stream, symbol: Symbol) -> Position {
        let last = self.last[stream as usize].entry(symbol).or_default();
        *last += 1;
        Position { epoch: self.epoch, seq: *last }
    }
}
