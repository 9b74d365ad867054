//! Where partitions are read on: at the position that PostgreSQL has stored.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use rdkafka::Offset;
use rdkafka::consumer::Consumer as _;
use tokio::sync::oneshot;

use super::Reader;
use crate::positions::{self, Extent};

/// How long a question to the broker may take.
const ASK_MAX: Duration = Duration::from_secs(2);

/// Positions that are being read from PostgreSQL.
pub(super) struct Load {
    extents: BTreeMap<i32, Extent>,
    positions: oneshot::Receiver<anyhow::Result<Option<BTreeMap<i32, i64>>>>,
}

impl Reader {
    /// Reads on elsewhere in partitions whose stored position turned out to be another.
    pub(super) fn relocate(&mut self) -> anyhow::Result<()> {
        if self.relocation.is_none() && !self.lost.is_empty() {
            let lost = std::mem::take(&mut self.lost);
            self.relocation = self.load(&lost);
            if self.relocation.is_none() {
                self.lost = lost;
            }
        }
        let Some(mut load) = self.relocation.take() else { return Ok(()) };
        let Some(positions) = received(&mut load, &self.shared.log)? else {
            self.relocation = Some(load);
            return Ok(());
        };
        let held = self.ownership.partitions();
        for (partition, position) in positions.into_iter().filter(|(partition, _)| held.contains(partition)) {
            match self.consumer.seek(&self.shared.log.topic, partition, Offset::Offset(position), ASK_MAX) {
                Ok(()) => {
                    tracing::info!(partition, position, "reading on where PostgreSQL stands");
                    self.ownership.begin(partition, position);
                }
                Err(error) => {
                    tracing::warn!(partition, %error, "cannot move to the stored position; trying again");
                    self.lost.push(partition);
                }
            }
        }
        Ok(())
    }

    /// Starts to read positions; `None` while Kafka does not say where the logs begin and end.
    pub(super) fn load(&self, partitions: &[i32]) -> Option<Load> {
        let topic = &self.shared.log.topic;
        let mut extents = BTreeMap::new();
        for partition in partitions {
            match self.consumer.fetch_watermarks(topic, *partition, ASK_MAX) {
                Ok((first, end)) => extents.insert(*partition, Extent { first, end }),
                Err(error) => {
                    self.kafka.down(format!("does not say where partition {partition} of {topic} begins: {error}"));
                    return None;
                }
            };
        }
        let (answer, positions) = oneshot::channel();
        let (shared, stop, asked) = (Arc::clone(&self.shared), self.stop.clone(), extents.clone());
        self.runtime.spawn(async move {
            let (config, part) = (&shared.config, &shared.postgres);
            let loaded = positions::load(&config.postgres, config.service, part, &stop, &shared.log, &asked).await;
            drop(answer.send(loaded)); // a reader that has ended wants no answer
        });
        Some(Load { extents, positions })
    }
}

/// The positions, if they have come, each checked against what Kafka still has.
pub(super) fn received(load: &mut Load, log: &positions::Log) -> anyhow::Result<Option<BTreeMap<i32, i64>>> {
    let positions = match load.positions.try_recv() {
        Ok(loaded) => loaded?,
        Err(oneshot::error::TryRecvError::Empty) => None,
        Err(oneshot::error::TryRecvError::Closed) => bail!("the task that reads positions has ended"),
    };
    let Some(mut positions) = positions else { return Ok(None) };
    positions.retain(|partition, _| load.extents.contains_key(partition));
    for (partition, extent) in &load.extents {
        let stored =
            positions.get(partition).with_context(|| format!("partition {partition} has no stored position"))?;
        positions::check(log, *partition, *stored, *extent)?;
    }
    Ok(Some(positions))
}
