//! At most so many records a second; the newest wins.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::records::batch::Batch;
use crate::records::channel::Channel;

/// Lets one trade (and one quote) of a subscription pass per interval and keeps the newest of the others for the next turn.
#[derive(Debug)]
pub struct Gate {
    interval: Duration,
    lanes: [Lane; 2],
}

/// What a gate does with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// It passes.
    Open,
    /// It is the first to wait, until then.
    Waits(Instant),
    /// It takes the place of one that waits.
    Replaces,
}

#[derive(Debug, Default)]
struct Lane {
    open_at: Option<Instant>,
    waiting: Option<Arc<Batch>>,
}

impl Gate {
    /// A gate that is open.
    #[must_use]
    pub fn new(interval: Duration) -> Self {
        Self { interval, lanes: Default::default() }
    }

    /// Whether a record may pass now; if not, it waits, and takes the place of one that waits already. Bars always pass.
    pub fn pass(&mut self, batch: &Batch, index: usize, now: Instant) -> Passage {
        let interval = self.interval;
        let Some(lane) = self.lane(batch.events()[index].channel) else { return Passage::Open };
        if let Some(open_at) = lane.open_at.filter(|open_at| now < *open_at) {
            let first = lane.waiting.replace(Arc::new(batch.isolate(index))).is_none();
            return if first { Passage::Waits(open_at) } else { Passage::Replaces };
        }
        lane.waiting = None; // an older one: `batch` is newer
        lane.open_at = Some(now + interval);
        Passage::Open
    }

    /// When records that wait now may pass.
    pub fn waiting(&self) -> impl Iterator<Item = Instant> {
        self.lanes.iter().filter(|lane| lane.waiting.is_some()).filter_map(|lane| lane.open_at)
    }

    /// The records whose turn has come, each a batch of one.
    pub fn due(&mut self, now: Instant) -> impl Iterator<Item = Arc<Batch>> {
        let interval = self.interval;
        self.lanes.iter_mut().filter_map(move |lane| {
            let open = lane.open_at.is_none_or(|open_at| now >= open_at);
            let due = lane.waiting.take_if(|_| open)?;
            lane.open_at = Some(now + interval);
            Some(due)
        })
    }

    fn lane(&mut self, channel: Channel) -> Option<&mut Lane> {
        match channel {
            Channel::Trades => Some(&mut self.lanes[0]),
            Channel::Quotes => Some(&mut self.lanes[1]),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::batch::tests::batch;

    #[test]
    fn the_newest_record_waits_for_its_turn_and_bars_do_not_wait() {
        let all = batch(&[
            ("A", Channel::Trades, 1),
            ("A", Channel::Trades, 2),
            ("A", Channel::Trades, 3),
            ("A", Channel::Bars, 4),
        ]);
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut gate = Gate::new(second);
        let passed: Vec<Passage> = (0..4).map(|index| gate.pass(&all, index, start)).collect();
        assert_eq!(passed, [Passage::Open, Passage::Waits(start + second), Passage::Replaces, Passage::Open]);
        assert_eq!(gate.waiting().count(), 1);
        assert_eq!(gate.due(start).count(), 0);
        let due: Vec<u64> = gate.due(start + second).map(|batch| batch.events()[0].offset).collect();
        assert_eq!(due, [3]);
        assert_eq!(gate.due(start + 2 * second).count(), 0, "sent once");
        assert_ne!(gate.pass(&all, 0, start + second), Passage::Open, "the turn counts from what was sent last");
    }
}
