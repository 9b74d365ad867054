//! The thread that polls Kafka: fills the lanes' batches, answers the group, and never waits long enough to be thrown out of it.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use service::Part;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::batch::{Batch, Coordinates, RawRecord};
use crate::batcher::Batcher;
use crate::lag::Seen;
use crate::lane::Finished;
use crate::membership::{Change, Membership};
use crate::ownership::Ownership;
use crate::positions::{self, Extent};
use crate::store::Shared;

/// Records read in one go before anything else gets a look.
const READ_MAX: usize = 1_000;
/// Longest wait for a record; also how late a request of the group may be noticed.
const POLL_MAX: Duration = Duration::from_millis(100);
/// Writers that are behind for longer make Kafka pause; shorter delays do not, because pausing throws away what was fetched ahead.
const PAUSE_AFTER: Duration = Duration::from_secs(1);
/// A partition is given back after this time even if its last records are not stored. They are then the next owner's, and ours
/// roll back.
const GIVE_BACK_MAX: Duration = Duration::from_secs(10);
/// The same at the end of the process.
const DRAIN_MAX: Duration = Duration::from_secs(8);
/// How long leaving the group may take.
const LEAVE_MAX: Duration = Duration::from_secs(5);
/// How long a question to the broker may take.
const ASK_MAX: Duration = Duration::from_secs(2);
/// Between two looks at lag, commits and questions that failed.
const CHORE_INTERVAL: Duration = Duration::from_secs(1);

/// The reader's end of a lane.
pub(crate) struct LaneEnd {
    pub(crate) batches: mpsc::Sender<Batch>,
    pub(crate) batcher: Batcher,
    /// Batches handed over so far.
    pub(crate) sent: u64,
    /// Batches that the lane has reported back.
    pub(crate) finished: u64,
}

impl LaneEnd {
    /// Hands over what there is; `false` where the lane has no room. A lane that has failed takes everything and keeps nothing.
    fn hand_over(&mut self) -> bool {
        if self.batcher.is_empty() {
            return true;
        }
        if self.batches.is_closed() {
            drop(self.batcher.take());
            return true;
        }
        let Ok(room) = self.batches.try_reserve() else { return false };
        room.send(self.batcher.take());
        self.sent += 1;
        true
    }

    /// Whether everything up to the `sent`-th batch is reported.
    fn has_finished(&self, sent: u64) -> bool {
        self.finished >= sent || self.batches.is_closed()
    }
}

/// A request of the group that is being answered.
enum Answer {
    /// Where the partitions start is being found out.
    Take(Vec<i32>, Option<Load>),
    /// The last records are being stored, up to these batches of each lane.
    GiveBack { partitions: Vec<i32>, up_to: Option<Vec<u64>>, deadline: Instant },
}

impl Answer {
    /// The request itself.
    fn into_change(self) -> Change {
        match self {
            Self::Take(partitions, _) => Change::Assigned(partitions),
            Self::GiveBack { partitions, .. } => Change::Revoked(partitions),
        }
    }
}

/// Positions that are being read from PostgreSQL.
struct Load {
    extents: BTreeMap<i32, Extent>,
    positions: oneshot::Receiver<anyhow::Result<Option<BTreeMap<i32, i64>>>>,
}

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

    /// A batch has grown to its bound. For a moment nothing is polled; after that Kafka is told to send nothing and polling goes on.
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

    fn answer_group(&mut self) -> anyhow::Result<()> {
        if self.answer.is_none() {
            self.answer = self.consumer.context().next_change().map(|change| match change {
                Change::Assigned(partitions) => Answer::Take(partitions, None),
                Change::Revoked(partitions) => {
                    let deadline = Instant::now() + GIVE_BACK_MAX;
                    Answer::GiveBack { partitions, up_to: None, deadline }
                }
            });
        }
        self.answer = match self.answer.take() {
            None => None,
            Some(Answer::Take(partitions, load)) => self.take_partitions(partitions, load)?,
            Some(Answer::GiveBack { partitions, up_to, deadline }) => self.give_back(partitions, up_to, deadline)?,
        };
        Ok(())
    }

    fn take_partitions(&mut self, partitions: Vec<i32>, load: Option<Load>) -> anyhow::Result<Option<Answer>> {
        let mut positions = BTreeMap::new();
        if !partitions.is_empty() {
            let Some(mut load) = load.or_else(|| self.load(&partitions)) else {
                return Ok(Some(Answer::Take(partitions, None)));
            };
            match received(&mut load, &self.shared.log)? {
                Some(received) => positions = received,
                None => return Ok(Some(Answer::Take(partitions, Some(load)))),
            }
            tracing::info!(?positions, "reading on where PostgreSQL stands");
        }
        let list = self.list(positions.iter().map(|(partition, position)| (*partition, Some(*position))));
        self.consumer.incremental_assign(&list).context("Kafka does not accept the assignment it made")?;
        for (partition, position) in &positions {
            self.ownership.begin(*partition, *position);
        }
        if self.paused {
            self.set_paused(true); // the new ones too
        }
        Ok(None)
    }

    fn give_back(
        &mut self,
        partitions: Vec<i32>,
        up_to: Option<Vec<u64>>,
        deadline: Instant,
    ) -> anyhow::Result<Option<Answer>> {
        self.ownership.stop_reading(&partitions);
        let late = Instant::now() >= deadline;
        // All lanes hand over what they have before their numbers are taken.
        let handed_over = self.hand_over_all();
        let up_to = up_to.or_else(|| handed_over.then(|| self.lanes.iter().map(|lane| lane.sent).collect()));
        let stored = up_to
            .as_ref()
            .is_some_and(|up_to| self.lanes.iter().zip(up_to).all(|(lane, sent)| lane.has_finished(*sent)));
        if !stored && !late {
            return Ok(Some(Answer::GiveBack { partitions, up_to, deadline }));
        }
        if !self.consumer.assignment_lost() {
            self.commit(CommitMode::Async);
        }
        for lane in &mut self.lanes {
            lane.batcher.drop_tenures(|tenure| partitions.contains(&tenure.partition));
        }
        self.ownership.end(&partitions);
        self.lost.retain(|partition| !partitions.contains(partition));
        let list = self.list(partitions.iter().map(|partition| (*partition, None)));
        self.consumer.incremental_unassign(&list).context("Kafka does not take partitions back")?;
        tracing::info!(?partitions, drained = stored, "gave partitions back");
        Ok(None)
    }

    /// Hands over what every lane has; `false` where one has no room.
    fn hand_over_all(&mut self) -> bool {
        let without_room = self.lanes.iter_mut().map(LaneEnd::hand_over).filter(|done| !done).count();
        without_room == 0
    }

    /// Reads on elsewhere in partitions whose stored position turned out to be another.
    fn relocate(&mut self) -> anyhow::Result<()> {
        if self.relocation.is_none() && !self.lost.is_empty() {
            let lost = std::mem::take(&mut self.lost);
            self.relocation = self.load(&lost);
            if self.relocation.is_none() {
                self.lost = lost;
            }
        }
        let Some(mut load) = self.relocation.take() else { return Ok(()) };
        let Some(positions) = received(&mut load, &self.shared.log)? else {
            self.relocation = Some(load);
            return Ok(());
        };
        let held = self.ownership.partitions();
        for (partition, position) in positions.into_iter().filter(|(partition, _)| held.contains(partition)) {
            match self.consumer.seek(&self.shared.log.topic, partition, Offset::Offset(position), ASK_MAX) {
                Ok(()) => {
                    tracing::info!(partition, position, "reading on where PostgreSQL stands");
                    self.ownership.begin(partition, position);
                }
                Err(error) => {
                    tracing::warn!(partition, %error, "cannot move to the stored position; trying again");
                    self.lost.push(partition);
                }
            }
        }
        Ok(())
    }

    /// Starts to read positions; `None` while Kafka does not say where the logs begin and end.
    fn load(&self, partitions: &[i32]) -> Option<Load> {
        let topic = &self.shared.log.topic;
        let mut extents = BTreeMap::new();
        for partition in partitions {
            match self.consumer.fetch_watermarks(topic, *partition, ASK_MAX) {
                Ok((first, end)) => extents.insert(*partition, Extent { first, end }),
                Err(error) => {
                    self.kafka.down(format!("does not say where partition {partition} of {topic} begins: {error}"));
                    return None;
                }
            };
        }
        let (answer, positions) = oneshot::channel();
        let (shared, stop, asked) = (Arc::clone(&self.shared), self.stop.clone(), extents.clone());
        self.runtime.spawn(async move {
            let (config, part) = (&shared.config, &shared.postgres);
            let loaded = positions::load(&config.postgres, config.service, part, &stop, &shared.log, &asked).await;
            drop(answer.send(loaded)); // a reader that has ended wants no answer
        });
        Some(Load { extents, positions })
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

    /// Stores what is held, then leaves the group.
    fn drain(mut self) {
        let partitions = self.ownership.partitions();
        tracing::info!(?partitions, "stopping: storing what is held");
        self.set_paused(true);
        self.ownership.stop_reading(&partitions);
        let deadline = Instant::now() + DRAIN_MAX;
        loop {
            let handed_over = self.hand_over_all();
            if handed_over && self.lanes.iter().all(|lane| lane.has_finished(lane.sent)) {
                break;
            }
            if Instant::now() >= deadline {
                tracing::warn!("stopping without having stored everything; the rest stays in Kafka for the next start");
                break;
            }
            if let Some(Err(error)) = self.consumer.poll(Duration::from_millis(5)) {
                tracing::debug!(%error, "while draining");
            }
            self.hear_writers();
        }
        self.shared.abandon.cancel();
        self.lanes.clear(); // the lanes see that nothing more will come
        self.leave_group();
    }

    /// Tells Kafka how far PostgreSQL is and leaves the group; both only where Kafka answers, and nothing depends on them: positions are
    /// in PostgreSQL, and a member that is silent is taken out of the group after its session time-out.
    fn leave_group(mut self) {
        let (left, end) = std::sync::mpsc::channel::<Infallible>();
        let leave = move || {
            self.commit(CommitMode::Sync);
            self.consumer.context().leave(&self.consumer, self.answer.take().map(Answer::into_change));
            drop(self.consumer); // waits for the broker's answer
            drop(left);
        };
        // A thread of its own, because the client library cannot be told how long to wait; it ends with the process.
        if let Err(error) = std::thread::Builder::new().name("leaving".to_owned()).spawn(leave) {
            tracing::warn!(%error, "cannot leave the group");
        } else if end.recv_timeout(LEAVE_MAX) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("Kafka does not answer: the group finds out by itself that this member is gone");
        } else {
            tracing::info!("left the group");
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

/// The positions, if they have come, each checked against what Kafka still has.
fn received(load: &mut Load, log: &positions::Log) -> anyhow::Result<Option<BTreeMap<i32, i64>>> {
    let positions = match load.positions.try_recv() {
        Ok(loaded) => loaded?,
        Err(oneshot::error::TryRecvError::Empty) => None,
        Err(oneshot::error::TryRecvError::Closed) => bail!("the task that reads positions has ended"),
    };
    let Some(mut positions) = positions else { return Ok(None) };
    positions.retain(|partition, _| load.extents.contains_key(partition));
    for (partition, extent) in &load.extents {
        let stored =
            positions.get(partition).with_context(|| format!("partition {partition} has no stored position"))?;
        positions::check(log, *partition, *stored, *extent)?;
    }
    Ok(Some(positions))
}
