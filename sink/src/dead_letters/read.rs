//! Out of the dead-letter topic, for people.

use std::time::Duration;

use anyhow::Context as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};
use service::kafka::KafkaConfig;

use super::DeadLetter;

/// How long the broker may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Gives every dead letter that is in the topic now to `each`, oldest first within a partition. Blocks; joins no group.
///
/// # Errors
/// Where no broker answers.
pub(crate) fn read(kafka: &KafkaConfig, mut each: impl FnMut(DeadLetter)) -> anyhow::Result<()> {
    let topic = &kafka.topic_dead_letters;
    let consumer: BaseConsumer = kafka
        .client()
        .set("group.id", "tapeline-dead-letters") // never joined: partitions are assigned by hand
        .set("enable.auto.commit", "false")
        .create()
        .context("cannot make a Kafka consumer")?;
    let no_answer = || format!("no Kafka broker answers at {}", kafka.bootstrap_servers);
    let metadata = consumer.fetch_metadata(Some(topic), ANSWER_MAX).with_context(no_answer)?;
    let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions()).map(|partition| partition.id());

    let mut list = TopicPartitionList::new();
    let mut ends = std::collections::HashMap::new();
    for partition in partitions {
        let (first, end) = consumer.fetch_watermarks(topic, partition, ANSWER_MAX).with_context(no_answer)?;
        if first < end {
            list.add_partition_offset(topic, partition, Offset::Offset(first))?;
            ends.insert(partition, end);
        }
    }
    consumer.assign(&list)?;
    while !ends.is_empty() {
        let message = consumer.poll(ANSWER_MAX).with_context(no_answer)??;
        match serde_json::from_slice(message.payload().unwrap_or_default()) {
            Ok(letter) => each(letter),
            Err(error) => {
                tracing::warn!(partition = message.partition(), offset = message.offset(), %error, "not a dead letter")
            }
        }
        if ends.get(&message.partition()).is_some_and(|end| message.offset() + 1 >= *end) {
            ends.remove(&message.partition());
        }
    }
    Ok(())
}
