//! Counts what Kafka holds.

use std::collections::BTreeMap;

use rdkafka::message::Message as _;

use super::{Counter, Minute, Tally};
use crate::batch::Coordinates;
use crate::config::SinkConfig;
use crate::dead_letters;
use crate::row::Row;
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
pub(crate) fn count<R: Row>(config: &SinkConfig, part: &Part) -> anyhow::Result<Held> {
    let letters = dead_letters::read(config)?;
    let is_letter = |at| letters.values().any(|letter| letter.coordinates() == at);
    let (mut counter, mut dead_letters) = (Counter::default(), 0);
    topic::read(&config.kafka, &config.topic, part, |message| {
        let at = Coordinates { partition: message.partition(), offset: message.offset() };
        match R::identify(message.payload().unwrap_or_default(), at) {
            Some(_) if is_letter(at) => dead_letters += 1,
            Some(record) => counter.add(&record),
            None => {}
        }
        Ok(())
    })?;
    Ok(Held { tallies: counter.finish(), dead_letters })
}
