//! Out of the dead-letter topic, for people.

use std::collections::BTreeMap;

use rdkafka::message::Message as _;

use super::DeadLetter;
use crate::config::SinkConfig;
use crate::topic;

/// This service's dead letters by id: where a record was refused more than once, the last time counts. Blocks.
///
/// # Errors
/// Where no broker answers.
pub(crate) fn read(config: &SinkConfig) -> anyhow::Result<BTreeMap<String, DeadLetter>> {
    let mut letters = BTreeMap::new();
    let topics = [&config.topic, &config.of_side().topic];
    topic::read(&config.kafka, &config.kafka.topic_dead_letters, &topic::Part::default(), |message| {
        match serde_json::from_slice::<DeadLetter>(message.payload().unwrap_or_default()) {
            Ok(letter) if topics.contains(&&letter.topic) => {
                letters.insert(letter.id(), letter);
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(partition = message.partition(), offset = message.offset(), %error, "not a dead letter");
            }
        }
        Ok(())
    })?;
    Ok(letters)
}
