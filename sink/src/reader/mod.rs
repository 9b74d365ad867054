//! The thread that polls Kafka: fills the lanes' batches, answers the group, and never waits long enough to be thrown out of it.
//!
//! | module | job |
//! | --- | --- |
//! | `lane_end` | hands batches to a lane and knows which are stored |
//! | `group` | takes partitions and gives them back |
//! | `place` | where each partition is read on |
//! | `leave` | the last batches, and out of the group |

mod group;
mod lane_end;
mod leave;
mod place;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use service::Part;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use self::group::Answer;
pub(crate) use self::lane_end::LaneEnd;
use self::place::Load;
use crate::batch::{Coordinates, RawRecord};
use crate::lag::Seen;
use crate::lane::Finished;
use crate::membership::Membership;
use crate::ownership::Ownership;
use crate::store::Shared;

/// Records read in one go before anything else gets a look.
const READ_MAX: usize = 1_000;
/// Longest wait for a record; also how late a request of the group may be noticed.
const POLL_MAX: Duration = Duration::from_millis(100);
/// Writers that are behind for longer make Kafka pause; shorter delays do not, because pausing throws away what was fetched ahead.
const PAUSE_AFTER: Duration = Duration::from_secs(1);
/// Between two looks at lag, commits and questions that failed.
const CHORE_INTERVAL: Duration = Duration::from_secs(1);

/// See the module.
pub(crate) struct Reader {
    shared: Arc<Shared>,
    consumer: BaseConsumer<Membership>,
    kafka: Part,
    runtime: Handle,
    stop: CancellationToken,
    lanes: Vec<LaneEnd>,
    finished: mpsc::Receiver<Finished>,
    seen: watch::Sender<Vec<Seen>>,
    ownership: Ownership,
    answer: Option<Answer>,
    /// Partitions whose position turned out to be elsewhere.
    lost: Vec<i32>,
    relocation: Option<Load>,
    full_since: Option<Instant>,
    paused: bool,
    chores_at: Instant,
}

impl Reader {
    pub(crate) fn new(
        shared: Arc<Shared>,
        consumer: BaseConsumer<Membership>,
        kafka: Part,
        lanes: Vec<LaneEnd>,
        finished: mpsc::Receiver<Finished>,
        seen: watch::Sender<Vec<Seen>>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            ownership: Ownership::new(lanes.len()),
            shared,
            consumer,
            kafka,
            runtime: Handle::current(),
            stop,
            lanes,
            finished,
            seen,
            answer: None,
            lost: Vec::new(),
            relocation: None,
            full_since: None,
            paused: false,
            chores_at: Instant::now(),
        }
    }

    /// Reads until asked to stop, then drains.
    ///
    /// # Errors
    /// A sentence, where going on would skip records or cannot work.
    pub(crate) fn run(mut self) -> anyhow::Result<()> {
        let topic = self.shared.log.topic.clone();
        self.consumer.subscribe(&[&topic]).with_context(|| format!("cannot subscribe to {topic}"))?;
        let mut result = Ok(());
        while result.is_ok() && !self.stop.is_cancelled() {
            result = self.turn();
        }
        self.stop.cancel(); // on a failure the others stop too, and say nothing about it
        self.drain();
        result
    }

    fn turn(&mut self) -> anyhow::Result<()> {
        self.hear_writers();
        self.answer_group()?;
        self.relocate()?;
        let now = Instant::now();
        if now >= self.chores_at {
            self.chores_at = now + CHORE_INTERVAL;
            self.commit(CommitMode::Async);
            self.show_lag();
        }
        for lane in &mut self.lanes {
            if lane.batcher.is_due(now) {
                lane.hand_over();
            }
        }
        if self.lanes.iter().any(|lane| lane.batcher.is_full()) {
            self.wait_for_writers(now)
        } else {
            self.full_since = None;
            if self.paused {
                self.set_paused(false);
            }
            self.read(now)
        }
    }

    /// Takes what there is, up to the point where a batch is due.
    fn read(&mut self, now: Instant) -> anyhow::Result<()> {
        let mut wait = self.poll_wait(now);
        let mut read = 0;
        while read < READ_MAX {
            let Some(polled) = self.consumer.poll(wait) else { break };
            wait = Duration::ZERO;
            match polled {
                Ok(message) => {
                    read += 1;
                    if keep(&message, &mut self.ownership, &mut self.lanes, now) {
                        break;
                    }
                }
                Err(error) => trouble(&error, &self.kafka, &self.shared.log.topic)?,
            }
        }
        self.shared.metrics.records_read.increment(read as u64);
        Ok(())
    }

    /// Until the next batch is due; briefly where one is due and its writer busy, or the group waits for an answer.
    fn poll_wait(&self, now: Instant) -> Duration {
        const BRIEF: Duration = Duration::from_millis(5);
        if self.answer.is_some() || self.relocation.is_some() {
            return BRIEF;
        }
        let due_at = self.lanes.iter().filter_map(|lane| lane.batcher.due_at()).min();
        due_at
            .map_or(POLL_MAX, |due_at| due_at.saturating_duration_since(now).clamp(Duration::from_millis(1), POLL_MAX))
    }

    /// A batch has grown to its bound. For a moment nothing is polled; after that fetching is paused and polling goes on.
    fn wait_for_writers(&mut self, now: Instant) -> anyhow::Result<()> {
        if now - *self.full_since.get_or_insert(now) > PAUSE_AFTER && !self.paused {
            self.set_paused(true);
        }
        if self.paused {
            return self.read_nothing(POLL_MAX);
        }
        let full = self.lanes.iter().find(|lane| lane.batcher.is_full());
        if let Some(lane) = full {
            // Either way the next turn looks again.
            let wait = async { tokio::time::timeout(POLL_MAX, lane.batches.reserve()).await.is_ok() };
            self.runtime.block_on(wait);
        }
        Ok(())
    }

    /// Serves the client library while everything is paused. A record that comes all the same is kept: batches have room for it.
    fn read_nothing(&mut self, wait: Duration) -> anyhow::Result<()> {
        match self.consumer.poll(wait) {
            Some(Ok(message)) => {
                keep(&message, &mut self.ownership, &mut self.lanes, Instant::now());
                Ok(())
            }
            Some(Err(error)) => trouble(&error, &self.kafka, &self.shared.log.topic),
            None => Ok(()),
        }
    }

    fn set_paused(&mut self, paused: bool) {
        let list = self.list(self.ownership.partitions().into_iter().map(|partition| (partition, None)));
        let done = if paused { self.consumer.pause(&list) } else { self.consumer.resume(&list) };
        match done {
            Ok(()) => {
                if self.paused != paused {
                    tracing::info!(paused, "reading from Kafka");
                }
                self.paused = paused;
                self.shared.metrics.paused.set(f64::from(u8::from(paused)));
            }
            Err(error) => tracing::warn!(%error, paused, "Kafka does not pause or resume; trying again"),
        }
    }

    fn hear_writers(&mut self) {
        while let Ok(Finished { lane, stored, over }) = self.finished.try_recv() {
            self.lanes[lane].finished += 1;
            self.ownership.stored(&stored);
            for tenure in over {
                if self.ownership.interrupt(tenure) {
                    self.lanes[lane].batcher.drop_tenures(|held| held == tenure);
                    self.lost.push(tenure.partition);
                }
            }
        }
    }

    /// Tells Kafka how far PostgreSQL is, for whoever looks at the group's lag there.
    fn commit(&self, mode: CommitMode) {
        let list = self.list(self.ownership.held().map(|held| (held.tenure.partition, Some(held.stored))));
        if list.count() == 0 {
            return;
        }
        if let Err(error) = self.consumer.commit(&list, mode) {
            tracing::debug!(%error, "the offsets that lag displays show were not updated");
        }
    }

    fn show_lag(&self) {
        let now_ms = jiff::Timestamp::now().as_millisecond();
        let log_ends = self.consumer.context().log_ends();
        self.seen.send_replace(self.ownership.seen(&log_ends));
        let (records, age_ms) = self.ownership.lag(&log_ends, now_ms);
        let metrics = &self.shared.metrics;
        #[expect(clippy::cast_precision_loss, reason = "shown to people")]
        {
            metrics.lag_records.set(records as f64);
            metrics.lag_seconds.set(age_ms as f64 / 1000.0);
            metrics.partitions.set(self.ownership.held().count() as f64);
        }
    }

    fn list(&self, partitions: impl IntoIterator<Item = (i32, Option<i64>)>) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in partitions {
            let mut element = list.add_partition(&self.shared.log.topic, partition);
            if let Some(offset) = offset {
                drop(element.set_offset(Offset::Offset(offset))); // every offset of Kafka's own can be represented
            }
        }
        list
    }
}

/// Puts a record into its lane's batch; `true` where that made the batch due or full. A batch that was due already grows on in peace:
/// its lane is busy, and looking at everything else after each record would cost as much as reading it.
fn keep(message: &BorrowedMessage<'_>, ownership: &mut Ownership, lanes: &mut [LaneEnd], now: Instant) -> bool {
    let at = Coordinates { partition: message.partition(), offset: message.offset() };
    let Some(held) = ownership.reading(at.partition).filter(|held| at.offset >= held.next) else { return false };
    let record =
        RawRecord { at, sent_ms: message.timestamp().to_millis(), key: message.key(), payload: message.payload() };
    let batcher = &mut lanes[held.lane].batcher;
    let was_due = batcher.is_due(now);
    batcher.push(record, held.tenure, held.next, now);
    held.read(at.offset, record.sent_ms);
    (batcher.is_due(now) && !was_due) || batcher.is_full()
}

/// What an error of the client library means.
fn trouble(error: &KafkaError, part: &Part, topic: &str) -> anyhow::Result<()> {
    match error {
        KafkaError::MessageConsumption(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
            bail!(
                "Kafka no longer has the records that come next in topic {topic} (deleted by its retention, or the topic was made anew); \
             start again to see which partition and what to do"
            )
        }
        KafkaError::MessageConsumptionFatal(code) => bail!("the Kafka client cannot go on: {code}"),
        KafkaError::MessageConsumption(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
            part.down(format!("topic {topic} does not exist"));
        }
        KafkaError::MessageConsumption(
            code @ (RDKafkaErrorCode::AllBrokersDown | RDKafkaErrorCode::BrokerTransportFailure),
        ) => {
            part.down(format!("no connection: {code}"));
        }
        other => tracing::debug!(error = %other, "Kafka client"),
    }
    Ok(())
}
