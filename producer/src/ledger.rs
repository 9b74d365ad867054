//! The producer's own account of what it sent: how many trades of each symbol and minute got a number (decision 0042).
//!
//! Whoever asks Kafka what the producer sent cannot see a loss at the end of a run. So each numbered trade is noted here before anybody
//! knows what becomes of it ([`entry`]), in a file that outlives a killed process ([`files`]). Every few seconds a [`keeper::Keeper`] makes a
//! report of the file and sends it down the cold path, once the records that it counts are safe; the reports that a killed run could not
//! send are sent by the next one. `consumer-trades audit` adds them up and compares them with Kafka.

pub mod entry;
pub mod files;
pub mod keeper;

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Bytes of entries that may wait for the keeper: some 300,000 trades. A disk that stands still for longer costs the account, never the feed.
const WAITING_BYTES_MAX: usize = 8 << 20;

/// The feed's end. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Ledger(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    filled: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    entries: Vec<u8>,
    /// Trades that found no room.
    uncounted: u64,
    closed: bool,
    /// The keeper has ended.
    ended: bool,
}

impl Ledger {
    /// Notes trades that were numbered and handed on: `count` entries, which are taken out. Never waits for the disk.
    pub fn note(&self, entries: &mut Vec<u8>, count: u64) {
        let mut waiting = self.0.lock();
        if waiting.entries.len() + entries.len() > WAITING_BYTES_MAX {
            waiting.uncounted += count;
            entries.clear();
            metrics::counter!("producer_ledger_uncounted_total").increment(count);
            return;
        }
        let was_empty = waiting.entries.is_empty();
        waiting.entries.append(entries);
        drop(waiting);
        if was_empty {
            self.0.filled.notify_all();
        }
    }

    /// Says that no more trades will come, and waits until the keeper has handed on its last report.
    pub fn close(&self) {
        let mut waiting = self.0.lock();
        waiting.closed = true;
        self.0.filled.notify_all();
        let ended = |waiting: &mut Waiting| !waiting.ended;
        drop(self.0.filled.wait_timeout_while(waiting, CLOSE_MAX, ended));
    }
}

/// How long a stop waits for the last report; the next run sends what was not sent.
const CLOSE_MAX: Duration = Duration::from_secs(2);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
