//! This process as a member of its Kafka consumer group: what the group asks of it, and what the client library knows.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientConfig, TopicPartitionList};
use service::Part;

use crate::config::SinkConfig;

/// A request of the group that must be answered, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// These partitions are ours as soon as we say from where we read them.
    Assigned(Vec<i32>),
    /// These partitions are ours until we say that we are done with them.
    Revoked(Vec<i32>),
}

/// Receives the client library's callbacks, all on the thread that polls.
///
/// A change is only noted here and answered by the reader when it is ready: positions are to be read from PostgreSQL before, and
/// batches stored, and meanwhile polling must go on or the group gives up on this member.
pub(crate) struct Membership {
    kafka: Part,
    topic: String,
    changes: Mutex<VecDeque<Change>>,
    log_ends: Mutex<BTreeMap<i32, i64>>,
    /// Whether a broker has ever answered; before that the silence of a new client says nothing.
    connected: AtomicBool,
    leaving: AtomicBool,
}

impl Membership {
    pub(crate) fn new(kafka: Part, topic: &str) -> Self {
        Self {
            kafka,
            topic: topic.to_owned(),
            changes: Mutex::default(),
            log_ends: Mutex::default(),
            connected: AtomicBool::new(false),
            leaving: AtomicBool::new(false),
        }
    }

    /// The next request, if there is one.
    pub(crate) fn next_change(&self) -> Option<Change> {
        lock(&self.changes).pop_front()
    }

    /// Where each partition's log ends, as far as the client library knows.
    pub(crate) fn log_ends(&self) -> BTreeMap<i32, i64> {
        lock(&self.log_ends).clone()
    }

    /// The process is about to leave the group: grants the request that the reader has begun to answer, any that it has not yet looked
    /// at, and from now on every one at once. The client library does not end as long as one is without an answer.
    pub(crate) fn leave(&self, consumer: &BaseConsumer<Self>, begun: Option<Change>) {
        self.leaving.store(true, Ordering::Relaxed);
        let waiting = std::mem::take(&mut *lock(&self.changes));
        for change in begun.into_iter().chain(waiting) {
            self.grant(consumer, &change);
        }
    }

    /// Answers without reading what is given, nor storing what is taken.
    fn grant(&self, consumer: &BaseConsumer<Self>, change: &Change) {
        let mut list = TopicPartitionList::new();
        let answered = match change {
            Change::Assigned(_) => consumer.incremental_assign(&list), // none of them: nothing is to be fetched any more
            Change::Revoked(partitions) => {
                for partition in partitions {
                    list.add_partition(&self.topic, *partition);
                }
                consumer.incremental_unassign(&list)
            }
        };
        if let Err(error) = answered {
            tracing::debug!(%error, ?change, "while leaving the group");
        }
    }
}

impl ClientContext for Membership {
    fn stats(&self, statistics: Statistics) {
        let any_up = statistics.brokers.values().any(|broker| broker.nodeid >= 0 && broker.state == "UP");
        if any_up {
            self.connected.store(true, Ordering::Relaxed);
            self.kafka.ok();
        } else if self.connected.load(Ordering::Relaxed) {
            self.kafka.down("no broker answers");
        }
        if let Some(topic) = statistics.topics.get(&self.topic) {
            let ends = topic.partitions.values().filter(|partition| partition.hi_offset >= 0);
            *lock(&self.log_ends) = ends.map(|partition| (partition.partition, partition.hi_offset)).collect();
        }
    }

    fn log(&self, _level: RDKafkaLogLevel, _facility: &str, message: &str) {
        quietly(message);
    }

    fn error(&self, _error: KafkaError, reason: &str) {
        quietly(reason);
    }
}

/// The client library says the same thing many times a second while a broker is away; `/health` and one line of ours say it once.
pub(crate) fn quietly(message: &str) {
    tracing::debug!(target: "kafka", "{message}");
}

impl ConsumerContext for Membership {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, code: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let partitions: Vec<i32> =
            list.elements().iter().map(rdkafka::topic_partition_list::TopicPartitionListElem::partition).collect();
        let assigned = code == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        let change = if assigned { Change::Assigned(partitions) } else { Change::Revoked(partitions) };
        if self.leaving.load(Ordering::Relaxed) {
            self.grant(consumer, &change);
            return;
        }
        tracing::info!(?change, "the group changes");
        lock(&self.changes).push_back(change);
    }

    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        if let Err(error) = result {
            tracing::debug!(%error, "the offsets that lag displays show were not updated");
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner) // both values are whole after every statement
}

/// The client library's settings.
pub(crate) fn client_config(config: &SinkConfig) -> ClientConfig {
    let session_ms = config.session_timeout.as_millis();
    let mut client = config.kafka.client();
    client
        .set("group.id", &config.group)
        .set("client.id", config.service)
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", session_ms.to_string())
        .set("heartbeat.interval.ms", (session_ms / 4).to_string())
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error") // positions come from PostgreSQL; one that is not there any more is for a person to judge
        // Kafka answers after so many bytes or so long. Answers of a few records each cost both sides more than all their records,
        // also while nothing is sent; a batch waits longer than that in any case.
        .set("fetch.min.bytes", "65536")
        .set("fetch.wait.max.ms", "50")
        .set("queued.max.messages.kbytes", "32768")
        .set("queued.min.messages", "50000")
        .set("fetch.queue.backoff.ms", "5") // the default is a second, in which a full queue is long empty again
        .set("statistics.interval.ms", "1000");
    client
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::{Duration, Instant};

    use local_stack::testing;
    use service::Health;
    use service::kafka::KafkaConfig;

    use super::*;

    /// A member of `group` that notes requests and does not answer. What Kafka waits for in vain it forgets after six seconds.
    fn member(kafka: &str, group: &str, topic: &str) -> BaseConsumer<Membership> {
        let member: BaseConsumer<Membership> = ClientConfig::new()
            .set("bootstrap.servers", kafka)
            .set("group.id", group)
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", "6000")
            .set("heartbeat.interval.ms", "500")
            .set("enable.auto.commit", "false")
            .create_with_context(Membership::new(Health::new("test").part("kafka"), topic))
            .unwrap();
        member.subscribe(&[topic]).unwrap();
        member
    }

    /// Waits until the group has a request for `member`, which nobody answers; `holder` answers all of its own.
    fn asked(member: &BaseConsumer<Membership>, holder: &BaseConsumer<Membership>) {
        let give_up = Instant::now() + Duration::from_secs(60);
        while lock(&member.context().changes).is_empty() {
            assert!(Instant::now() < give_up, "the group asks for nothing");
            drop(member.poll(Duration::from_millis(20)));
            holds(holder);
        }
    }

    /// Polls once, and takes and gives back whatever the group wants.
    fn holds(holder: &BaseConsumer<Membership>) {
        drop(holder.poll(Duration::from_millis(20)));
        while let Some(change) = holder.context().next_change() {
            let mut list = TopicPartitionList::new();
            let (Change::Assigned(partitions) | Change::Revoked(partitions)) = &change;
            for partition in partitions {
                list.add_partition(&holder.context().topic, *partition);
            }
            match change {
                Change::Assigned(_) => holder.incremental_assign(&list).unwrap(),
                Change::Revoked(_) => holder.incremental_unassign(&list).unwrap(),
            }
        }
    }

    /// A topic with one partition: a second member of its group is assigned none.
    async fn topic(kafka: &str) -> String {
        let topic = testing::unique("left");
        let vars = [("KAFKA_BOOTSTRAP_SERVERS", kafka), ("TOPIC_TRADES", &topic), ("TOPIC_PARTITIONS", "1")];
        let config = service::Vars::from_pairs(&vars).load(KafkaConfig::from_vars).unwrap();
        config.ensure_topics().await.unwrap();
        topic
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_request_that_came_in_the_last_moment_does_not_keep_a_member_from_leaving() {
        let kafka = testing::kafka().await;
        let (topic, group) = (topic(&kafka).await, testing::unique("group"));
        let (done, end) = mpsc::channel();
        // A thread of its own, because a member that cannot leave blocks for ever.
        std::thread::spawn(move || {
            let holder = member(&kafka, &group, &topic);
            while holder.assignment().unwrap().count() == 0 {
                holds(&holder);
            }
            for has_begun in [false, true] {
                let member = member(&kafka, &group, &topic);
                asked(&member, &holder);
                let begun = if has_begun { member.context().next_change() } else { None };
                member.context().leave(&member, begun);
                drop(member);
                done.send(()).unwrap();
            }
            holder.context().leave(&holder, None);
            drop(holder);
            done.send(()).unwrap();
        });
        for left in 0..3 {
            end.recv_timeout(Duration::from_secs(90)).unwrap_or_else(|_| panic!("only {left} of three members left"));
        }
    }
}
