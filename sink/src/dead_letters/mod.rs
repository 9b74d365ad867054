//! Records that cannot be stored, kept in a topic of their own with the reason and everything needed to try again.

mod command;
mod deliver;
mod read;

pub(crate) use command::{Command, run};
pub(crate) use deliver::DeadLetters;
pub(crate) use read::read;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use crate::batch::{Coordinates, RawRecord};
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
        bytes_of(self.payload.as_deref(), self.payload_base64.as_deref())
    }

    /// The original Kafka key; `None` where there was none or the base64 is broken.
    #[must_use]
    pub fn key_bytes(&self) -> Option<Vec<u8>> {
        bytes_of(self.key.as_deref(), self.key_base64.as_deref())
    }

    /// Where the record stood.
    #[must_use]
    pub fn coordinates(&self) -> Coordinates {
        Coordinates { partition: self.partition, offset: self.offset }
    }

    /// Its key in the dead-letter topic, and its name for people; a record that is refused twice has the same.
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

fn bytes_of(text: Option<&str>, base64: Option<&str>) -> Option<Vec<u8>> {
    match (text, base64) {
        (Some(text), _) => Some(text.as_bytes().to_vec()),
        (None, Some(base64)) => BASE64.decode(base64).ok(),
        (None, None) => None,
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
            assert_eq!((back.id().as_str(), back.key_bytes()), ("topic-3-7", Some(b"AAPL".to_vec())));
        }
    }
}
