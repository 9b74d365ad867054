//! Kafka: variables, client settings, topics.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

use crate::address::is_topic;
use crate::config::Vars;
pub use crate::kafka_security::KafkaSecurity;

/// How long a broker may take to list its topics.
const METADATA_MAX: Duration = Duration::from_secs(10);

/// Where the bus is and what its topics are called.
#[derive(Clone, Debug)]
pub struct KafkaConfig {
    /// `host:port`, comma-separated.
    pub bootstrap_servers: String,
    /// How clients log in, and whether the connection is encrypted.
    pub security: KafkaSecurity,
    /// Trades.
    pub topic_trades: String,
    /// Bars.
    pub topic_bars: String,
    /// Trades that do not hold as they were reported.
    pub topic_corrections: String,
    /// Outages of feeds.
    pub topic_gaps: String,
    /// What the producer says that it sent.
    pub topic_sent: String,
    /// Records that could not be stored, with the reason.
    pub topic_dead_letters: String,
    /// Partitions of a topic that has to be made.
    pub partitions: i32,
    /// Copies of each partition of a topic that has to be made.
    pub replication: i32,
}

impl KafkaConfig {
    /// Reads `KAFKA_BOOTSTRAP_SERVERS`, the variables of [`KafkaSecurity`], `TOPIC_TRADES`, `TOPIC_BARS`, `TOPIC_CORRECTIONS`, `TOPIC_GAPS`,
    /// `TOPIC_SENT`, `TOPIC_DEAD_LETTERS`, `TOPIC_PARTITIONS`, `TOPIC_REPLICATION`.
    pub fn from_vars(vars: &mut Vars) -> Self {
        let topics = [
            ("TOPIC_TRADES", "stock_trades_realtime"),
            ("TOPIC_BARS", "stock_bars_staging"),
            ("TOPIC_CORRECTIONS", "stock_trade_corrections"),
            ("TOPIC_GAPS", "stock_feed_gaps"),
            ("TOPIC_SENT", "stock_sent_counts"),
            ("TOPIC_DEAD_LETTERS", "stock_dead_letters"),
        ];
        let [topic_trades, topic_bars, topic_corrections, topic_gaps, topic_sent, topic_dead_letters] =
            vars.read_names(topics, "a topic name: letters, digits, ., _ and -", is_topic);
        Self {
            bootstrap_servers: vars.read_servers("KAFKA_BOOTSTRAP_SERVERS", "localhost:9093"),
            security: KafkaSecurity::from_vars(vars),
            topic_trades,
            topic_bars,
            topic_corrections,
            topic_gaps,
            topic_sent,
            topic_dead_letters,
            partitions: vars.read_within("TOPIC_PARTITIONS", 6, 1..=1000, "partitions"),
            replication: vars.read_within("TOPIC_REPLICATION", 1, 1..=9, "copies"),
        }
    }

    /// Settings that every client shares; a producer or consumer adds its own.
    #[must_use]
    pub fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client
            .set("bootstrap.servers", &self.bootstrap_servers)
            .set("client.id", "tapeline")
            .set("socket.keepalive.enable", "true")
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "2000");
        self.security.apply(&mut client);
        client
    }

    /// Creates the topics that are missing. Any number of services may do this at once.
    ///
    /// # Errors
    /// If no broker answers within ten seconds or refuses; the message names the broker. An existing topic is no error.
    pub async fn ensure_topics(&self) -> anyhow::Result<()> {
        let (missing, advertised) = self.missing_topics().await?;
        if missing.is_empty() {
            return Ok(());
        }
        let faults = Faults::default();
        let admin: AdminClient<Faults> =
            self.client().create_with_context(faults.clone()).context("cannot create a Kafka client")?;
        let topics: Vec<_> = missing
            .iter()
            .map(|name| NewTopic::new(name, self.partitions, TopicReplication::Fixed(self.replication)))
            .collect();
        let options = AdminOptions::new()
            .operation_timeout(Some(Duration::from_secs(10)))
            .request_timeout(Some(Duration::from_secs(10)));
        let created = admin.create_topics(&topics, &options).await.with_context(|| {
            format!(
                "Kafka answers at {}, but its brokers, which it names as {advertised}, cannot be reached from here{}: correct \
                 advertised.listeners of the brokers, or the name service of this machine",
                self.bootstrap_servers,
                faults.text()
            )
        })?;
        for outcome in created {
            match outcome {
                Ok(name) => tracing::info!(topic = name, partitions = self.partitions, "created topic"),
                Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((name, code)) => bail!("Kafka refuses to create topic {name}: {code}"),
            }
        }
        Ok(())
    }

    /// The topics that are missing, and the addresses by which the brokers call themselves. Asks first, so that a broker on which
    /// nobody may create topics is no problem if they are there.
    async fn missing_topics(&self) -> anyhow::Result<(Vec<String>, String)> {
        let faults = Faults::default();
        let client: BaseConsumer<Faults> =
            self.client().create_with_context(faults.clone()).context("cannot create a Kafka client")?;
        let asked = tokio::task::spawn_blocking(move || client.fetch_metadata(None, METADATA_MAX)).await?;
        let metadata =
            asked.with_context(|| format!("no Kafka broker answers at {}{}", self.bootstrap_servers, faults.text()))?;
        let there: HashSet<&str> = metadata.topics().iter().map(|topic| topic.name()).collect();
        let ours = [
            &self.topic_trades,
            &self.topic_bars,
            &self.topic_corrections,
            &self.topic_gaps,
            &self.topic_sent,
            &self.topic_dead_letters,
        ];
        let missing = ours.into_iter().filter(|name| !there.contains(name.as_str())).cloned().collect();
        let brokers = metadata.brokers().iter().map(|broker| format!("{}:{}", broker.host(), broker.port()));
        Ok((missing, brokers.collect::<Vec<_>>().join(", ")))
    }
}

/// What librdkafka says is wrong with a connection: each sentence once, the newest few.
#[derive(Clone, Default)]
struct Faults(Arc<Mutex<Vec<String>>>);

/// Most sentences that are kept.
const FAULTS_MAX: usize = 4;

impl Faults {
    /// In brackets, with a blank before them; empty if nothing was said.
    fn text(&self) -> String {
        let faults = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if faults.is_empty() { String::new() } else { format!(" ({})", faults.join("; ")) }
    }
}

impl ClientContext for Faults {
    fn error(&self, _: KafkaError, reason: &str) {
        let mut faults = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if faults.len() < FAULTS_MAX && !faults.iter().any(|known| known == reason) {
            faults.push(reason.to_owned());
        }
    }
}

impl ConsumerContext for Faults {}
