//! A real Kafka keeps what it acknowledged, whatever happens to it.

#![allow(clippy::unwrap_used, reason = "a helper that fails is a failing test")]

use std::collections::BTreeSet;
use std::time::Duration;

use local_stack::Kafka;
use local_stack::testing::unique;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};

const PARTITIONS: u16 = 3;

/// Sends records until the broker stops answering, and returns those it acknowledged.
async fn produce(bootstrap: &str, topic: &str, names: impl Iterator<Item = u32>) -> BTreeSet<u32> {
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("delivery.timeout.ms", "3000")
        .create()
        .unwrap();
    let mut acknowledged = BTreeSet::new();
    for name in names {
        let (key, payload) = ((name % 7).to_string(), name.to_string());
        let record = FutureRecord::to(topic).key(&key).payload(&payload);
        match producer.send(record, Duration::from_secs(5)).await {
            Ok(_) => acknowledged.insert(name),
            Err(_) => break,
        };
    }
    acknowledged
}

/// Everything in `topic`, read from its beginning to its end.
fn read_all(bootstrap: &str, topic: &str) -> Vec<u32> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", unique("reader"))
        .set("enable.auto.commit", "false")
        .create()
        .unwrap();
    let mut list = TopicPartitionList::new();
    let mut left = 0;
    for partition in 0..i32::from(PARTITIONS) {
        let (low, high) = consumer.fetch_watermarks(topic, partition, Duration::from_secs(10)).unwrap();
        left += high - low;
        list.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&list).unwrap();
    let mut found = Vec::new();
    while left > 0 {
        let message = consumer.poll(Duration::from_secs(10)).expect("a record that the watermarks promise").unwrap();
        found.push(std::str::from_utf8(message.payload().unwrap()).unwrap().parse().unwrap());
        left -= 1;
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_in_the_middle_of_a_stream_loses_nothing_that_was_acknowledged() {
    let mut kafka = Kafka::start_temporary().await.unwrap();
    let (bootstrap, topic) = (kafka.bootstrap(), unique("trades"));
    kafka.create_topic(&topic, PARTITIONS).await.unwrap();

    let sending = tokio::spawn({
        let (bootstrap, topic) = (bootstrap.clone(), topic.clone());
        async move { produce(&bootstrap, &topic, 0..u32::MAX).await }
    });
    // The facts to wait for: records are flowing.
    loop {
        let (bootstrap, topic) = (bootstrap.clone(), topic.clone());
        if tokio::task::spawn_blocking(move || read_all(&bootstrap, &topic).len()).await.unwrap() > 200 {
            break;
        }
    }
    kafka.kill().await;
    let acknowledged = sending.await.unwrap();
    assert!(acknowledged.len() > 200, "only {} records were acknowledged", acknowledged.len());

    kafka.restart().await.unwrap();
    assert_eq!(kafka.bootstrap(), bootstrap, "the address stays");
    let more = produce(&bootstrap, &topic, 1_000_000_000..1_000_000_010).await;
    assert_eq!(more.len(), 10, "it takes records again");
    let found = read_all(&bootstrap, &topic);
    let distinct: BTreeSet<u32> = found.iter().copied().collect();
    assert_eq!(distinct.len(), found.len(), "no record is there twice");
    let lost: Vec<&u32> = acknowledged.union(&more).filter(|name| !distinct.contains(name)).collect();
    assert!(lost.is_empty(), "acknowledged, and gone: {lost:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_broker_answers_again_when_it_is_thawed() {
    let kafka = Kafka::start_temporary().await.unwrap();
    let (bootstrap, topic) = (kafka.bootstrap(), unique("trades"));
    kafka.create_topic(&topic, PARTITIONS).await.unwrap();
    kafka.pause();
    assert!(produce(&bootstrap, &topic, 0..1).await.is_empty(), "a frozen broker acknowledged a record");
    kafka.resume();
    kafka.ready().await.unwrap();
    assert_eq!(produce(&bootstrap, &topic, 10..20).await.len(), 10);
    assert!(kafka.stop().await, "it ended by itself when asked");
}
