//! Into the dead-letter topic.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::producer::{FutureProducer, FutureRecord};
use service::kafka::KafkaConfig;
use tokio::sync::OnceCell;

use super::DeadLetter;
use crate::batch::RawRecord;
use crate::membership::quietly;
use crate::row::Refusal;

/// A client whose troubles show as failed deliveries and need no lines of their own.
struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, _level: RDKafkaLogLevel, _facility: &str, message: &str) {
        quietly(message);
    }

    fn error(&self, _error: KafkaError, reason: &str) {
        quietly(reason);
    }
}

/// Sends dead letters. The client is made for the first one: its threads cost a consumer that never needs them several per cent of its
/// processor time.
pub(crate) struct DeadLetters {
    client: ClientConfig,
    producer: OnceCell<FutureProducer<Quiet>>,
    topic: String,
    service: &'static str,
    source_topic: String,
}

/// How long one delivery may take before it counts as failed and the batch waits.
const DELIVERY_MAX: Duration = Duration::from_secs(10);

impl DeadLetters {
    pub(crate) fn new(kafka: &KafkaConfig, service: &'static str, source_topic: &str) -> Self {
        let mut client = kafka.client();
        client
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("compression.type", "lz4")
            .set("message.timeout.ms", DELIVERY_MAX.as_millis().to_string());
        let (topic, source_topic) = (kafka.topic_dead_letters.clone(), source_topic.to_owned());
        Self { client, producer: OnceCell::new(), topic, service, source_topic }
    }

    /// Sends letters and waits until all brokers that must have them do.
    ///
    /// # Errors
    /// Where one was not delivered; some of the others may have been.
    pub(crate) async fn deliver<'a>(
        &self,
        letters: impl IntoIterator<Item = (RawRecord<'a>, &'a Refusal)>,
    ) -> Result<(), KafkaError> {
        let producer = self.producer.get_or_try_init(async || self.client.create_with_context(Quiet)).await?;
        let mut deliveries = Vec::new();
        for (record, refusal) in letters {
            let letter = DeadLetter::new(self.service, &self.source_topic, &record, refusal);
            tracing::warn!(partition = letter.partition, offset = letter.offset, reason = letter.reason, "dead letter");
            deliveries.push(self.send(producer, letter));
        }
        futures_util::future::try_join_all(deliveries).await.map(drop)
    }

    async fn send(&self, producer: &FutureProducer<Quiet>, letter: DeadLetter) -> Result<(), KafkaError> {
        let id = letter.id();
        let json = serde_json::to_vec(&letter).expect("a dead letter is plain text and numbers");
        let record = FutureRecord::to(&self.topic).key(&id).payload(&json);
        producer.send(record, DELIVERY_MAX).await.map(drop).map_err(|(error, _)| error)
    }
}
