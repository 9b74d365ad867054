//! The reader's end of a lane.

use tokio::sync::mpsc;

use crate::batch::Batch;
use crate::batcher::Batcher;

/// The reader's end of a lane.
pub(crate) struct LaneEnd {
    pub(crate) batches: mpsc::Sender<Batch>,
    pub(crate) batcher: Batcher,
    /// Batches handed over so far.
    pub(crate) sent: u64,
    /// Batches that the lane has reported back.
    pub(crate) finished: u64,
}

impl LaneEnd {
    /// Hands over what there is; `false` where the lane has no room. A lane that has failed takes everything and keeps nothing.
    pub(super) fn hand_over(&mut self) -> bool {
        if self.batcher.is_empty() {
            return true;
        }
        if self.batches.is_closed() {
            drop(self.batcher.take());
            return true;
        }
        let Ok(room) = self.batches.try_reserve() else { return false };
        room.send(self.batcher.take());
        self.sent += 1;
        true
    }

    /// Whether everything up to the `sent`-th batch is reported.
    pub(super) fn has_finished(&self, sent: u64) -> bool {
        self.finished >= sent || self.batches.is_closed()
    }
}
