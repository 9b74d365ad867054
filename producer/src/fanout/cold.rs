//! The cold path: records to Kafka.
//!
//! The feed queues records here ([`Cold`]); one thread ([`writer`]) sends them, keeps a copy of each until Kafka has acknowledged it
//! ([`window`]), and writes them to disk ([`spool`]) while Kafka is away; [`pace`] tells a Kafka that is away from a slow
//! one and keeps the past to its share; [`progress`] notes how far the feed's records are safe.
//!
//! The feed never waits. Live records and the past (history, heals) have a lane each ([`lanes`]): the live lane goes first, and who brings
//! the past waits for room. Where even the disk is full, the live lane overflows: what does not fit any more is counted exactly
//! ([`overflow`]) and becomes a gap of our own making, which is healed from the feed's history later.

pub mod lanes;
pub mod overflow;
pub mod pace;
pub mod progress;
pub mod spool;
pub mod window;
pub mod writer;

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

use self::lanes::{Counts, Lanes};
use self::overflow::Shortage;
use super::record::Encoded;
use crate::feeds::protocol::Feed;

/// Bytes that may wait for the writer in the live lane, unless configured.
pub const LIVE_BYTES_MAX: usize = 64 << 20;

/// The feed's end of the queue. Clones share it.
#[derive(Clone)]
pub struct Cold {
    queue: Arc<Queue>,
}

struct Queue {
    lanes: Mutex<Lanes>,
    filled: Condvar,
    /// The past lane has room again.
    emptied: Notify,
}

impl Default for Cold {
    fn default() -> Self {
        Self::new(LIVE_BYTES_MAX)
    }
}

impl Cold {
    /// An empty queue. `live_bytes_max`: bytes of live records that may wait for the writer.
    #[must_use]
    pub fn new(live_bytes_max: usize) -> Self {
        let lanes = Mutex::new(Lanes::new(live_bytes_max));
        Self { queue: Arc::new(Queue { lanes, filled: Condvar::new(), emptied: Notify::new() }) }
    }

    /// Takes records; never waits. Live records that find no room are noted as missed ([`Cold::shortage`]). Call [`Cold::room`] before
    /// handing on what belongs to the past.
    pub fn accept(&self, records: &mut Vec<Encoded>) {
        self.lock().accept(records);
        self.queue.filled.notify_one();
    }

    /// Waits until the past lane is below its bound. Cancel safe.
    pub async fn room(&self) {
        loop {
            let emptied = self.queue.emptied.notified();
            if self.lock().past_has_room() {
                return;
            }
            emptied.await;
        }
    }

    /// What of this feed did not fit since the last call: that a shortage began, or its whole extent once it is over.
    #[must_use]
    pub fn shortage(&self, feed: Feed) -> Option<Shortage> {
        self.lock().shortage(feed)
    }

    /// Does `act`, on the writer's thread, once all records accepted before are safe: acknowledged by Kafka, or on disk. Where the
    /// producer ends first, it is never done.
    pub fn when_safe(&self, act: impl FnOnce() + Send + 'static) {
        self.lock().promise(Box::new(act));
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

    /// Keeps the promises that waited for the first `counts` records of each lane.
    pub(crate) fn settled(&self, counts: Counts) {
        let kept = self.lock().kept(counts);
        kept.into_iter().for_each(|act| act());
    }

    /// Says that no more records will come. The past that still waits is given up: it was never called safe.
    pub fn close(&self) {
        self.lock().close();
        self.queue.filled.notify_one();
    }

    /// Moves up to `max` records into `batch`, live ones first and at most `past_max` of the past, waiting up to `wait` for the first.
    /// Returns whether the queue is closed and empty.
    pub(crate) fn take(&self, batch: &mut Vec<Encoded>, max: usize, past_max: usize, wait: Duration) -> bool {
        let idle = |lanes: &mut Lanes| lanes.is_idle(past_max);
        let waited = self.queue.filled.wait_timeout_while(self.lock(), wait, idle);
        let (mut lanes, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let past = lanes.take(batch, max, past_max);
        let done = lanes.is_done();
        drop(lanes);
        if past > 0 {
            self.queue.emptied.notify_waiters();
        }
        done
    }

    /// Whether the live lane is more than half full: Kafka takes less than the feed brings.
    pub(crate) fn is_pressed(&self) -> bool {
        self.lock().is_pressed()
    }

    /// Bytes that wait: live, past.
    pub(crate) fn waiting_bytes(&self) -> [usize; 2] {
        self.lock().bytes()
    }

    fn lock(&self) -> MutexGuard<'_, Lanes> {
        self.queue.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
