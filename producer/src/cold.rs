//! The cold path: records to Kafka, none lost.
//!
//! The feed queues records here ([`Cold`]); one thread ([`writer`]) sends them, keeps a copy of each until Kafka has acknowledged it
//! ([`window`]), and writes them to disk ([`spool`]) while Kafka is away; [`progress`]
//! notes how far the feed's records are safe. Where even the disk is full the queue fills and the feed is
//! not read any more.

pub mod progress;
pub mod spool;
pub mod window;
pub mod writer;

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::record::Encoded;

/// Records that may wait for the writer, about 32 MB. It only fills where neither Kafka nor the disk takes records.
const QUEUE_MAX: usize = 1 << 17;

/// The feed's end of the queue. Clones share it.
#[derive(Clone, Default)]
pub struct Cold {
    queue: Arc<Queue>,
}

#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    filled: Condvar,
    emptied: Notify,
}

#[derive(Default)]
struct Waiting {
    records: VecDeque<Encoded>,
    closed: bool,
}

impl Cold {
    /// Takes all records; never waits. Call [`Cold::room`] before reading what may bring more.
    pub fn accept(&self, records: &mut Vec<Encoded>) {
        self.lock().records.extend(records.drain(..));
        self.queue.filled.notify_one();
    }

    /// Waits until the queue is below its bound. Cancel safe.
    pub async fn room(&self) {
        loop {
            let emptied = self.queue.emptied.notified();
            if self.lock().records.len() < QUEUE_MAX {
                return;
            }
            emptied.await;
        }
    }

    /// Says that no more records will come.
    pub fn close(&self) {
        self.lock().closed = true;
        self.queue.filled.notify_one();
    }

    /// Moves up to `max` records into `batch`, waiting up to `wait` for the first. Returns whether the queue is closed and empty.
    pub(crate) fn take(&self, batch: &mut Vec<Encoded>, max: usize, wait: Duration) -> bool {
        let waiting = self.lock();
        let idle = |waiting: &mut Waiting| waiting.records.is_empty() && !waiting.closed;
        let (mut waiting, _) =
            self.queue.filled.wait_timeout_while(waiting, wait, idle).unwrap_or_else(PoisonError::into_inner);
        let count = waiting.records.len().min(max);
        batch.extend(waiting.records.drain(..count));
        let done = waiting.closed && waiting.records.is_empty();
        drop(waiting);
        if count > 0 {
            self.queue.emptied.notify_waiters();
        }
        done
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.queue.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
