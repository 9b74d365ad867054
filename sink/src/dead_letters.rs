//! Records that cannot be stored, kept in a topic of their own with the reason and everything needed to try again.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde::{Deserialize, Serialize};
use service::kafka::KafkaConfig;

use crate::batch::RawRecord;
use crate::membership::quietly;
use crate::row::Refusal;

/// One dead letter, as it stands in the topic (JSON). Texts are kept readable where they are UTF-8, and in base64 where not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Why it was refused.
    pub reason: String,
    /// Which service refused it.
    pub service: String,
    /// When, RFC 3339.
    pub refused_at: jiff::Timestamp,
    /// Where it stood.
    pub topic: String,
    /// Where it stood.
    pub partition: i32,
    /// Where it stood.
    pub offset: i64,
    /// When its producer sent it, Unix milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent_ms: Option<i64>,
    /// Kafka key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Kafka key where it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_base64: Option<String>,
    /// Kafka value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
    /// Kafka value where it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload_base64: Option<String>,
}

impl DeadLetter {
    /// Writes down a record and why it was refused.
    #[must_use]
    pub fn new(service: &str, topic: &str, record: &RawRecord<'_>, refusal: &Refusal) -> Self {
        let (key, key_base64) = text_or_base64(record.key);
        let (payload, payload_base64) = text_or_base64(record.payload);
        Self {
            reason: refusal.to_string(),
            service: service.to_owned(),
            refused_at: jiff::Timestamp::now(),
            topic: topic.to_owned(),
            partition: record.at.partition,
            offset: record.at.offset,
            sent_ms: record.sent_ms,
            key,
            key_base64,
            payload,
            payload_base64,
        }
    }

    /// The original Kafka value; `None` where there was none or the base64 is broken.
    #[must_use]
    pub fn payload_bytes(&self) -> Option<Vec<u8>> {
        let text = self.payload.as_ref().map(|text| text.clone().into_bytes());
        text.or_else(|| BASE64.decode(self.payload_base64.as_ref()?).ok())
    }

    /// Its key in the dead-letter topic; a record that is refused twice has the same.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}-{}-{}", self.topic, self.partition, self.offset)
    }
}

fn text_or_base64(bytes: Option<&[u8]>) -> (Option<String>, Option<String>) {
    match bytes.map(|bytes| (std::str::from_utf8(bytes), bytes)) {
        None => (None, None),
        Some((Ok(text), _)) => (Some(text.to_owned()), None),
        Some((Err(_), bytes)) => (None, Some(BASE64.encode(bytes))),
    }
}

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

/// Sends dead letters.
pub(crate) struct DeadLetters {
    producer: FutureProducer<Quiet>,
    topic: String,
    service: &'static str,
    source_topic: String,
}

/// How long one delivery may take before it counts as failed and the batch waits.
const DELIVERY_MAX: Duration = Duration::from_secs(10);

impl DeadLetters {
    pub(crate) fn new(kafka: &KafkaConfig, service: &'static str, source_topic: &str) -> anyhow::Result<Self> {
        let producer = kafka
            .client()
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("compression.type", "lz4")
            .set("message.timeout.ms", DELIVERY_MAX.as_millis().to_string())
            .create_with_context(Quiet)?;
        Ok(Self { producer, topic: kafka.topic_dead_letters.clone(), service, source_topic: source_topic.to_owned() })
    }

    /// Sends letters and waits until all brokers that must have them do.
    ///
    /// # Errors
    /// Where one was not delivered; some of the others may have been.
    pub(crate) async fn deliver<'a>(
        &self,
        letters: impl IntoIterator<Item = (RawRecord<'a>, &'a Refusal)>,
    ) -> Result<(), KafkaError> {
        let mut deliveries = Vec::new();
        for (record, refusal) in letters {
            let letter = DeadLetter::new(self.service, &self.source_topic, &record, refusal);
            tracing::warn!(partition = letter.partition, offset = letter.offset, reason = letter.reason, "dead letter");
            deliveries.push(self.send(letter));
        }
        futures_util::future::try_join_all(deliveries).await.map(drop)
    }

    async fn send(&self, letter: DeadLetter) -> Result<(), KafkaError> {
        let id = letter.id();
        let json = serde_json::to_vec(&letter).expect("a dead letter is plain text and numbers");
        let record = FutureRecord::to(&self.topic).key(&id).payload(&json);
        self.producer.send(record, DELIVERY_MAX).await.map(drop).map_err(|(error, _)| error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Coordinates;

    #[test]
    fn a_dead_letter_gives_the_original_bytes_back() {
        for payload in [b"{\"half\":".as_slice(), b"\xff\x00binary", b""] {
            let at = Coordinates { partition: 3, offset: 7 };
            let record = RawRecord { at, sent_ms: Some(1), key: Some(b"AAPL"), payload: Some(payload) };
            let letter = DeadLetter::new("consumer-trades", "topic", &record, &Refusal("no".into()));
            let json = serde_json::to_string(&letter).unwrap();
            let back: DeadLetter = serde_json::from_str(&json).unwrap();
            assert_eq!(back.payload_bytes().as_deref(), Some(payload));
            assert_eq!((back.id().as_str(), back.key.as_deref()), ("topic-3-7", Some("AAPL")));
        }
    }
}
