//! Kafka: variables, client settings, topics.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::{Context as _, bail};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::types::RDKafkaErrorCode;

use crate::config::Vars;

/// How long a broker may take to list its topics.
const METADATA_MAX: Duration = Duration::from_secs(10);

/// Where the bus is and what its topics are called.
#[derive(Clone, Debug)]
pub struct KafkaConfig {
    /// `host:port`, comma-separated.
    pub bootstrap_servers: String,
    /// Trades.
    pub topic_trades: String,
    /// Bars.
    pub topic_bars: String,
    /// Trades that do not hold as they were reported.
    pub topic_corrections: String,
    /// Outages of feeds.
    pub topic_gaps: String,
    /// Records that could not be stored, with the reason.
    pub topic_dead_letters: String,
    /// Partitions of a topic that has to be made.
    pub partitions: i32,
    /// Copies of each partition of a topic that has to be made.
    pub replication: i32,
}

impl KafkaConfig {
    /// Reads `KAFKA_BOOTSTRAP_SERVERS`, `TOPIC_TRADES`, `TOPIC_BARS`, `TOPIC_CORRECTIONS`, `TOPIC_GAPS`,
    /// `TOPIC_DEAD_LETTERS`, `TOPIC_PARTITIONS`, `TOPIC_REPLICATION`.
    pub fn from_vars(vars: &mut Vars) -> Self {
        let text = "text";
        Self {
            bootstrap_servers: vars.read(
                "KAFKA_BOOTSTRAP_SERVERS",
                "localhost:9093".to_owned(),
                "host:port, comma-separated",
            ),
            topic_trades: vars.read("TOPIC_TRADES", "stock_trades_realtime".to_owned(), text),
            topic_bars: vars.read("TOPIC_BARS", "stock_bars_staging".to_owned(), text),
            topic_corrections: vars.read("TOPIC_CORRECTIONS", "stock_trade_corrections".to_owned(), text),
            topic_gaps: vars.read("TOPIC_GAPS", "stock_feed_gaps".to_owned(), text),
            topic_dead_letters: vars.read("TOPIC_DEAD_LETTERS", "stock_dead_letters".to_owned(), text),
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
        client
    }

    /// Makes the topics where they are missing. Any number of services may do this at once.
    ///
    /// # Errors
    /// Where no broker answers within ten seconds or refuses; an existing topic is no error.
    pub async fn ensure_topics(&self) -> anyhow::Result<()> {
        let admin: AdminClient<DefaultClientContext> = self.client().create().context("cannot make a Kafka client")?;
        let missing = self.missing_topics().await?;
        if missing.is_empty() {
            return Ok(());
        }
        let topics: Vec<_> = missing
            .iter()
            .map(|name| NewTopic::new(name, self.partitions, TopicReplication::Fixed(self.replication)))
            .collect();
        let options = AdminOptions::new()
            .operation_timeout(Some(Duration::from_secs(10)))
            .request_timeout(Some(Duration::from_secs(10)));
        let made = admin
            .create_topics(&topics, &options)
            .await
            .with_context(|| format!("no Kafka broker answers at {}", self.bootstrap_servers))?;
        for outcome in made {
            match outcome {
                Ok(name) => tracing::info!(topic = name, partitions = self.partitions, "made topic"),
                Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((name, code)) => bail!("Kafka refuses to make topic {name}: {code}"),
            }
        }
        Ok(())
    }

    /// Asks first, so that a broker on which nobody may make topics is no problem where they are there.
    async fn missing_topics(&self) -> anyhow::Result<Vec<String>> {
        let client: BaseConsumer = self.client().create().context("cannot make a Kafka client")?;
        let asked = tokio::task::spawn_blocking(move || client.fetch_metadata(None, METADATA_MAX)).await?;
        let metadata = asked.with_context(|| format!("no Kafka broker answers at {}", self.bootstrap_servers))?;
        let there: HashSet<&str> = metadata.topics().iter().map(|topic| topic.name()).collect();
        let ours =
            [&self.topic_trades, &self.topic_bars, &self.topic_corrections, &self.topic_gaps, &self.topic_dead_letters];
        Ok(ours.into_iter().filter(|name| !there.contains(name.as_str())).cloned().collect())
    }
}
