//! Answers what the group asks: take these partitions, give those back.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rdkafka::consumer::{CommitMode, Consumer as _};

use super::Reader;
use super::lane_end::LaneEnd;
use super::place::{Load, received};
use crate::membership::Change;

/// A partition is given back after this time even if its last records are not stored. They are then the next owner's, and ours
/// roll back.
const GIVE_BACK_MAX: Duration = Duration::from_secs(10);

/// A request of the group that is being answered.
pub(super) enum Answer {
    /// Where the partitions start is being found out.
    Take(Vec<i32>, Option<Load>),
    /// The last records are being stored, up to these batches of each lane.
    GiveBack { partitions: Vec<i32>, up_to: Option<Vec<u64>>, deadline: Instant },
}

impl Answer {
    /// The request itself.
    pub(super) fn into_change(self) -> Change {
        match self {
            Self::Take(partitions, _) => Change::Assigned(partitions),
            Self::GiveBack { partitions, .. } => Change::Revoked(partitions),
        }
    }
}

impl Reader {
    pub(super) fn answer_group(&mut self) -> anyhow::Result<()> {
        if self.answer.is_none() {
            self.answer = self.consumer.context().next_change().map(|change| match change {
                Change::Assigned(partitions) => Answer::Take(partitions, None),
                Change::Revoked(partitions) => {
                    let deadline = Instant::now() + GIVE_BACK_MAX;
                    Answer::GiveBack { partitions, up_to: None, deadline }
                }
            });
        }
        self.answer = match self.answer.take() {
            None => None,
            Some(Answer::Take(partitions, load)) => self.take_partitions(partitions, load)?,
            Some(Answer::GiveBack { partitions, up_to, deadline }) => self.give_back(partitions, up_to, deadline)?,
        };
        Ok(())
    }

    fn take_partitions(&mut self, partitions: Vec<i32>, load: Option<Load>) -> anyhow::Result<Option<Answer>> {
        let mut positions = BTreeMap::new();
        if !partitions.is_empty() {
            let Some(mut load) = load.or_else(|| self.load(&partitions)) else {
                return Ok(Some(Answer::Take(partitions, None)));
            };
            match received(&mut load, &self.shared.log)? {
                Some(received) => positions = received,
                None => return Ok(Some(Answer::Take(partitions, Some(load)))),
            }
            tracing::info!(?positions, "reading on where PostgreSQL stands");
        }
        let list = self.list(positions.iter().map(|(partition, position)| (*partition, Some(*position))));
        self.consumer.incremental_assign(&list).context("Kafka does not accept the assignment it made")?;
        for (partition, position) in &positions {
            self.ownership.begin(*partition, *position);
        }
        if self.paused {
            self.set_paused(true); // the new ones too
        }
        Ok(None)
    }

    fn give_back(
        &mut self,
        partitions: Vec<i32>,
        up_to: Option<Vec<u64>>,
        deadline: Instant,
    ) -> anyhow::Result<Option<Answer>> {
        self.ownership.stop_reading(&partitions);
        let late = Instant::now() >= deadline;
        // All lanes hand over what they have before their numbers are taken.
        let handed_over = self.hand_over_all();
        let up_to = up_to.or_else(|| handed_over.then(|| self.lanes.iter().map(|lane| lane.sent).collect()));
        let stored = up_to
            .as_ref()
            .is_some_and(|up_to| self.lanes.iter().zip(up_to).all(|(lane, sent)| lane.has_finished(*sent)));
        if !stored && !late {
            return Ok(Some(Answer::GiveBack { partitions, up_to, deadline }));
        }
        if !self.consumer.assignment_lost() {
            self.commit(CommitMode::Async);
        }
        for lane in &mut self.lanes {
            lane.batcher.drop_tenures(|tenure| partitions.contains(&tenure.partition));
        }
        self.ownership.end(&partitions);
        self.lost.retain(|partition| !partitions.contains(partition));
        let list = self.list(partitions.iter().map(|partition| (*partition, None)));
        self.consumer.incremental_unassign(&list).context("Kafka does not take partitions back")?;
        tracing::info!(?partitions, drained = stored, "gave partitions back");
        Ok(None)
    }

    /// Hands over what every lane has; `false` where one has no room.
    pub(super) fn hand_over_all(&mut self) -> bool {
        let without_room = self.lanes.iter_mut().map(LaneEnd::hand_over).filter(|done| !done).count();
        without_room == 0
    }
}
