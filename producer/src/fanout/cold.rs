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

use tokio::sync::{Notify, oneshot};

use crate::fanout::record::Encoded;

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
    /// Counts all records, from the first one.
    accepted: u64,
    /// What is to be done once so many of them are safe.
    promises: VecDeque<(u64, Promise)>,
}

type Promise = Box<dyn FnOnce() + Send>;

impl Cold {
    /// Takes all records; never waits. Call [`Cold::room`] before reading what may bring more.
    pub fn accept(&self, records: &mut Vec<Encoded>) {
        let mut waiting = self.lock();
        waiting.accepted += records.len() as u64;
        waiting.records.extend(records.drain(..));
        drop(waiting);
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

    /// Does `act`, on the writer's thread, once all records accepted before are safe: acknowledged by Kafka, or on disk. Where the
    /// producer ends first, it is never done.
    pub fn when_safe(&self, act: impl FnOnce() + Send + 'static) {
        let mut waiting = self.lock();
        let accepted = waiting.accepted;
        waiting.promises.push_back((accepted, Box::new(act)));
    }

    /// Waits until all records accepted before the call are safe. Cancel safe.
    pub async fn safe(&self) {
        let (tell, told) = oneshot::channel();
        self.when_safe(move || {
            let _ = tell.send(()); // nobody waits any more
        });
        if told.await.is_err() {
            std::future::pending::<()>().await; // the writer has ended, and nothing becomes safe any more
        }
    }

    /// Keeps the promises that waited for the first `count` records.
    pub(crate) fn settled(&self, count: u64) {
        let mut waiting = self.lock();
        let kept = waiting.promises.partition_point(|(accepted, _)| *accepted <= count);
        let kept: Vec<_> = waiting.promises.drain(..kept).collect();
        drop(waiting);
        kept.into_iter().for_each(|(_, act)| act());
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
