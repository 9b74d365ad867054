//! Counts what Kafka holds, and reads what the producer says that it sent.

use std::collections::{BTreeMap, HashSet};

use market::{NS_PER_MS, SentReport};
use rdkafka::message::Message as _;

use super::counter::{Counter, Extent};
use super::sent::{Reports, Runs};
use super::{Minute, Tally};
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

/// What the producer says that it sent, from a moment on (Unix milliseconds) or at all. To be asked before Kafka is counted: a report comes when
/// all that it counts is in Kafka. Blocks.
///
/// # Errors
/// Where no broker answers.
pub(crate) fn sent<R: Audited>(config: &SinkConfig, since_ms: Option<i64>) -> anyhow::Result<Runs> {
    let mut reports = Reports::default();
    if R::IS_REPORTED {
        topic::read(&config.kafka, &config.kafka.topic_sent, &Part { since_ms, ..Part::default() }, |message| {
            match SentReport::decode(message.payload().unwrap_or_default()) {
                Ok(report) => reports.add(report),
                Err(error) => {
                    tracing::warn!(offset = message.offset(), "ignoring a message of {}: {error}", message.topic())
                }
            }
            Ok(())
        })?;
    }
    Ok(reports.runs())
}

/// Counts the service's topic from a moment on (Unix milliseconds), or all of it. Records behind the positions `stored` are lag: of them only
/// the numbers count. Blocks.
///
/// # Errors
/// Where no broker answers.
pub(crate) fn count<R: Audited>(
    config: &SinkConfig,
    since_ms: Option<i64>,
    stored: &BTreeMap<i32, i64>,
    runs: &Runs,
) -> anyhow::Result<Held> {
    let letters = dead_letters::read(config)?;
    let of_topic = letters.values().filter(|letter| letter.topic == config.topic);
    let letters: HashSet<Coordinates> = of_topic.map(DeadLetter::coordinates).collect();
    let (mut counter, mut dead_letters) = (Counter::default(), 0);
    let part = Part { since_ms, ..Part::default() };
    let whole = topic::read(&config.kafka, &config.topic, &part, |message| {
        let at = Coordinates { partition: message.partition(), offset: message.offset() };
        let is_letter = letters.contains(&at);
        dead_letters += u64::from(is_letter);
        if let Some(record) = R::identify(message.payload().unwrap_or_default(), at) {
            counter.add_number(&record);
            if !is_letter && stored.get(&at.partition).is_none_or(|stored| at.offset < *stored) {
                counter.add(&record);
            }
        }
        Ok(())
    })?;
    let since_ns = since_ms.map(|ms| ms.saturating_mul(NS_PER_MS));
    let extent = if whole { Extent::Whole } else { Extent::Since(since_ns) };
    Ok(Held { tallies: counter.finish(runs, extent), dead_letters })
}
