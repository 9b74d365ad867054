//! Reading a topic from outside any group, for people's commands.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::{Offset, TopicPartitionList};
use service::kafka::KafkaConfig;

/// How long the broker may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Which part of a topic to read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Part {
    /// Only records that were sent at or after this moment, Unix milliseconds.
    pub(crate) since_ms: Option<i64>,
    /// Only records before these offsets; partitions that are not named are read to their present end.
    pub(crate) before: BTreeMap<i32, i64>,
}

/// Gives every record to `each`, in order within a partition, and returns whether that was all that was ever in the topic. Blocks; joins
/// no group.
///
/// # Errors
/// Where no broker answers, or `each` fails.
pub(crate) fn read(
    kafka: &KafkaConfig,
    topic: &str,
    part: &Part,
    mut each: impl FnMut(&BorrowedMessage<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<bool> {
    let consumer: BaseConsumer = kafka
        .client()
        .set("group.id", "tapeline-commands") // never joined: partitions are assigned by hand
        .set("enable.auto.commit", "false")
        .create()
        .context("cannot make a Kafka consumer")?;
    let no_answer = || format!("no Kafka broker answers at {}", kafka.bootstrap_servers);
    let metadata = consumer.fetch_metadata(Some(topic), ANSWER_MAX).with_context(no_answer)?;
    let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions()).map(|partition| partition.id());

    let mut list = TopicPartitionList::new();
    let mut left = BTreeMap::new(); // partition → end
    let mut whole = true;
    for partition in partitions {
        let (first, end) = consumer.fetch_watermarks(topic, partition, ANSWER_MAX).with_context(no_answer)?;
        let end = part.before.get(&partition).map_or(end, |before| end.min(*before));
        let start = match part.since_ms {
            Some(since_ms) => {
                first_since(&consumer, topic, partition, since_ms).with_context(no_answer)?.unwrap_or(end)
            }
            None => first,
        };
        whole &= start == 0;
        if start < end {
            list.add_partition_offset(topic, partition, Offset::Offset(start))?;
            left.insert(partition, end);
        }
    }
    consumer.assign(&list)?;
    while !left.is_empty() {
        let message = consumer.poll(ANSWER_MAX).with_context(no_answer)??;
        let Some(end) = left.get(&message.partition()) else { continue };
        let last = message.offset() + 1 >= *end;
        if message.offset() < *end {
            each(&message)?;
        }
        if last {
            left.remove(&message.partition());
        }
    }
    Ok(whole)
}

/// The first offset that was sent at or after a moment; `None` where there is none.
fn first_since(
    consumer: &BaseConsumer,
    topic: &str,
    partition: i32,
    since_ms: i64,
) -> rdkafka::error::KafkaResult<Option<i64>> {
    let mut asked = TopicPartitionList::new();
    asked.add_partition_offset(topic, partition, Offset::Offset(since_ms))?;
    let found = consumer.offsets_for_times(asked, ANSWER_MAX)?;
    Ok(found.elements().first().and_then(|element| match element.offset() {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    }))
}
