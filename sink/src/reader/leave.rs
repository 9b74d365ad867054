//! The end: what is held is stored, and the group is left.

use std::convert::Infallible;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use rdkafka::consumer::{CommitMode, Consumer as _};

use super::Reader;
use super::group::Answer;

/// The same at the end of the process.
const DRAIN_MAX: Duration = Duration::from_secs(8);
/// How long leaving the group may take.
const LEAVE_MAX: Duration = Duration::from_secs(5);

impl Reader {
    /// Stores what is held, then leaves the group.
    pub(super) fn drain(mut self) {
        let partitions = self.ownership.partitions();
        tracing::info!(?partitions, "stopping: storing what is held");
        self.set_paused(true);
        self.ownership.stop_reading(&partitions);
        let deadline = Instant::now() + DRAIN_MAX;
        loop {
            let handed_over = self.hand_over_all();
            if handed_over && self.lanes.iter().all(|lane| lane.has_finished(lane.sent)) {
                break;
            }
            if Instant::now() >= deadline {
                tracing::warn!("stopping without having stored everything; the rest stays in Kafka for the next start");
                break;
            }
            if let Some(Err(error)) = self.consumer.poll(Duration::from_millis(5)) {
                tracing::debug!(%error, "while draining");
            }
            self.hear_writers();
        }
        self.shared.abandon.cancel();
        self.lanes.clear(); // the lanes see that nothing more will come
        self.leave_group();
    }

    /// Tells Kafka how far PostgreSQL is and leaves the group; both only where Kafka answers, and nothing depends on them: positions are
    /// in PostgreSQL, and a member that is silent is taken out of the group after its session time-out.
    fn leave_group(mut self) {
        let (left, end) = std::sync::mpsc::channel::<Infallible>();
        let leave = move || {
            self.commit(CommitMode::Sync);
            self.consumer.context().leave(&self.consumer, self.answer.take().map(Answer::into_change));
            drop(self.consumer); // waits for the broker's answer
            drop(left);
        };
        // A thread of its own, because the client library cannot be told how long to wait; it ends with the process.
        if let Err(error) = std::thread::Builder::new().name("leaving".to_owned()).spawn(leave) {
            tracing::warn!(%error, "cannot leave the group");
        } else if end.recv_timeout(LEAVE_MAX) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("Kafka does not answer: the group finds out by itself that this member is gone");
        } else {
            tracing::info!("left the group");
        }
    }
}
