//! Counts what Kafka holds.

use std::collections::{BTreeMap, HashSet};

use rdkafka::message::Message as _;

use super::{Counter, Minute, Tally};
use crate::batch::Coordinates;
use crate::config::SinkConfig;
use crate::dead_letters::{self, DeadLetter};
use crate::row::Audited;
use crate::topic::{self, Part};

/// What a topic holds.
pub(crate) struct Held {
    /// By symbol and minute.
    pub(crate) tallies: BTreeMap<Minute, Tally>,
    /// Records that are dead letters.
    pub(crate) dead_letters: u64,
}

/// Counts a part of the service's topic. Blocks.
///
/// # Errors
/// Where no broker answers.
pub(crate) fn count<R: Audited>(config: &SinkConfig, part: &Part) -> anyhow::Result<Held> {
    let letters = dead_letters::read(config)?;
    let of_topic = letters.values().filter(|letter| letter.topic == config.topic);
    let letters: HashSet<Coordinates> = of_topic.map(DeadLetter::coordinates).collect();
    let (mut counter, mut dead_letters) = (Counter::default(), 0);
    topic::read(&config.kafka, &config.topic, part, |message| {
        let at = Coordinates { partition: message.partition(), offset: message.offset() };
        if letters.contains(&at) {
            dead_letters += 1;
        } else if let Some(record) = R::identify(message.payload().unwrap_or_default(), at) {
            counter.add(&record);
        }
        Ok(())
    })?;
    Ok(Held { tallies: counter.finish(), dead_letters })
}
