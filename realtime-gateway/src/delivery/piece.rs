//! What waits in an outbox: ready bytes, or something small that bytes are made of when the client takes them.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::budget::Permit;
use crate::memory::log::Entry;
use crate::memory::snapshot::{Snapshot, batch_of};
use crate::records::batch::Batch;
use crate::records::encoding::Encoding;

/// Bytes of records that are sent again, encoded at once.
const CHUNK_BYTES: usize = 64 << 10;

/// One place in the queue.
#[derive(Debug)]
pub(super) enum Piece {
    /// Records that all clients share.
    Records { batch: Arc<Batch>, range: Range<usize> },
    /// A message of this client alone.
    Whole(Bytes),
    /// The place of an answer that is being made. Nothing behind it leaves before it.
    Reserved,
    /// Records that are sent again.
    Again(Box<Again>),
    /// A first paint.
    Paint(Box<Snapshot>),
}

/// Records that a client missed: references into the logs until the client takes them.
#[derive(Debug)]
pub(super) struct Again {
    records: Vec<Entry>,
    next: usize,
    permit: Permit,
}

impl Piece {
    /// Bytes ready to write; none for what has to be made first.
    pub(super) fn bytes(&self, encoding: Encoding) -> &[u8] {
        match self {
            Self::Records { batch, range } => batch.encoded(encoding, range.clone()),
            Self::Whole(bytes) => bytes,
            Self::Reserved | Self::Again(_) | Self::Paint(_) => &[],
        }
    }

    /// Whether it is bytes.
    pub(super) fn is_ready(&self) -> bool {
        matches!(self, Self::Records { .. } | Self::Whole(_))
    }
}

impl Again {
    pub(super) fn new(records: Vec<Entry>, permit: Permit) -> Self {
        Self { records, next: 0, permit }
    }

    /// The next records, oldest first, as many as are encoded at once; `None` after the last.
    pub(super) fn take(&mut self) -> Option<Arc<Batch>> {
        if self.next == 0 {
            self.records.sort_by_key(|entry| entry.event.offset); // a few sorted runs, one per stream: linear
        }
        let rest = &self.records[self.next..];
        let mut bytes = 0;
        let fits = |entry: &&Entry| {
            let fits = bytes < CHUNK_BYTES;
            bytes += entry.payload.len();
            fits
        };
        let count = rest.iter().take_while(fits).count();
        let chunk = &rest[..count];
        if chunk.is_empty() {
            return None;
        }
        self.permit.shrink(chunk.iter().map(|entry| entry.payload.len()).sum());
        self.next += count;
        Some(Arc::new(batch_of(chunk)))
    }

    pub(super) fn is_done(&self) -> bool {
        self.next == self.records.len()
    }
}
