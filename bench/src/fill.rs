//! Fills a Kafka topic as fast as it goes.

use std::time::Duration;

use anyhow::{Context as _, Result};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

/// How long Kafka may take to acknowledge what waits.
const LIMIT: Duration = Duration::from_secs(300);

/// Sends records to one topic; what waits for Kafka is bounded by the client's queue.
pub(crate) struct Filler {
    producer: BaseProducer,
    topic: &'static str,
}

impl Filler {
    pub(crate) fn new(bootstrap: &str, topic: &'static str) -> Result<Self> {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            .set("compression.type", "lz4")
            .set("linger.ms", "5")
            .set("partitioner", "murmur2_random")
            .set("queue.buffering.max.messages", "1000000")
            .create()?;
        Ok(Self { producer, topic })
    }

    /// Sends one record, and waits while the queue is full.
    pub(crate) fn send(&self, key: &str, payload: &[u8]) {
        let mut record = BaseRecord::to(self.topic).key(key).payload(payload);
        while let Err((_, unsent)) = self.producer.send(record) {
            self.producer.poll(Duration::from_millis(10));
            record = unsent;
        }
    }

    /// Waits until Kafka has acknowledged everything.
    pub(crate) fn finish(self) -> Result<()> {
        self.producer.flush(LIMIT).context("Kafka did not take the trades")
    }
}
