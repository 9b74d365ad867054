//! Settings that both consumers share.

use std::net::SocketAddr;
use std::time::Duration;

use service::Vars;
use service::kafka::KafkaConfig;
use service::postgres::PostgresConfig;

use crate::batcher::Limits;

/// What sets one consumer apart from the other.
#[derive(Clone, Copy, Debug)]
pub struct Consumer {
    /// `consumer-trades`
    pub service: &'static str,
    /// Start of its own variables: `CONSUMER_TRADES`.
    pub prefix: &'static str,
    /// Default port of `/health` and `/metrics`.
    pub port: u16,
    /// Its topic.
    pub topic: fn(&KafkaConfig) -> &str,
    /// The quiet topic that it stores too.
    pub side: Side,
}

/// A topic of few records that a consumer stores beside its own, through one connection.
#[derive(Clone, Copy, Debug)]
pub struct Side {
    /// What its records are called: `corrections`.
    pub name: &'static str,
    /// Where they are.
    pub topic: fn(&KafkaConfig) -> &str,
}

/// Settings of one consumer.
#[derive(Clone, Debug)]
pub struct SinkConfig {
    /// Name in logs and `pg_stat_activity`.
    pub service: &'static str,
    /// Name in metrics: the service's, followed by the side's on the side.
    pub name: String,
    /// The bus.
    pub kafka: KafkaConfig,
    /// The database.
    pub postgres: PostgresConfig,
    /// The topic to store.
    pub topic: String,
    /// Kafka consumer group; its committed offsets are for lag displays only.
    pub group: String,
    /// Kafka gives this process's partitions to others when it has been silent for so long.
    pub session_timeout: Duration,
    /// What makes a batch due.
    pub limits: Limits,
    /// Batches that are written at once, each on its own connection.
    pub connections: usize,
    /// Rows older than this many days are removed; `None` keeps everything.
    pub retention_days: Option<u32>,
    /// Whether the consumer removes older rows itself; `false` if something else does, such as an archive.
    pub expires: bool,
    /// Where `/health` and `/metrics` listen.
    pub ops_address: SocketAddr,
    side: Side,
}

/// A side's transaction may hold others up, so it has few rows.
const SIDE_ROWS: usize = 100;

impl SinkConfig {
    /// Reads the shared variables (`KAFKA_…`, `POSTGRES_…`, `BATCH_SIZE`, `BATCH_WAIT_MAX_MS`, `BATCH_BYTES_MAX`, `SINK_CONNECTIONS`,
    /// `RETENTION_DAYS`, `KAFKA_SESSION_TIMEOUT_MS`) and the consumer's own (`<PREFIX>_GROUP`, `<PREFIX>_HOST`, `<PREFIX>_PORT`).
    pub fn from_vars(vars: &mut Vars, consumer: Consumer) -> Self {
        let Consumer { service, prefix, port, topic, side } = consumer;
        let kafka = KafkaConfig::from_vars(vars);
        let batch_wait_ms = vars.read_within("BATCH_WAIT_MAX_MS", 100, 1..=60_000, "milliseconds");
        let session_ms = vars.read_within("KAFKA_SESSION_TIMEOUT_MS", 10_000, 6_000..=300_000, "milliseconds");
        let retention_days: Option<u32> = vars.read_optional("RETENTION_DAYS", "days, 1 or more");
        if retention_days == Some(0) {
            vars.problem(
                "RETENTION_DAYS",
                "0 days would keep nothing (expected days, 1 or more; unset keeps everything)",
            );
        }
        Self {
            service,
            name: service.to_owned(),
            side,
            topic: topic(&kafka).to_owned(),
            kafka,
            postgres: PostgresConfig::from_vars(vars),
            group: vars.read(&format!("{prefix}_GROUP"), format!("tapeline-{service}"), "text"),
            session_timeout: Duration::from_millis(session_ms),
            limits: Limits {
                rows: vars.read_within("BATCH_SIZE", 5_000, 1..=100_000, "rows"),
                bytes: vars.read_within("BATCH_BYTES_MAX", 8 << 20, 1 << 10..=64 << 20, "bytes"),
                wait: Duration::from_millis(batch_wait_ms),
            },
            connections: vars.read_within("SINK_CONNECTIONS", 2, 1..=32, "connections"),
            retention_days,
            expires: true,
            ops_address: vars.read_listen(&format!("{prefix}_HOST"), &format!("{prefix}_PORT"), port),
        }
    }

    /// The settings for the side topic, which has a consumer group of its own.
    #[must_use]
    pub fn of_side(&self) -> Self {
        let Side { name, topic } = self.side;
        Self {
            name: format!("{}-{name}", self.service),
            topic: topic(&self.kafka).to_owned(),
            group: format!("{}-{name}", self.group),
            limits: Limits { rows: self.limits.rows.min(SIDE_ROWS), ..self.limits },
            connections: 1,
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRADES: Consumer = Consumer {
        service: "consumer-trades",
        prefix: "CONSUMER_TRADES",
        port: 9102,
        topic: |kafka| &kafka.topic_trades,
        side: Side { name: "corrections", topic: |kafka| &kafka.topic_corrections },
    };

    #[test]
    fn defaults_are_the_documented_ones() {
        let config = Vars::from_pairs(&[]).load(|vars| SinkConfig::from_vars(vars, TRADES)).unwrap();
        assert_eq!(config.limits.rows, 5_000);
        assert_eq!(config.limits.wait, Duration::from_millis(100));
        assert_eq!((config.group.as_str(), config.ops_address.port()), ("tapeline-consumer-trades", 9102));
        assert_eq!((config.topic.as_str(), config.retention_days), ("stock_trades_realtime", None));
        let side = config.of_side();
        assert_eq!((side.topic.as_str(), side.connections), ("stock_trade_corrections", 1));
        assert_eq!(side.group, "tapeline-consumer-trades-corrections");
    }

    #[test]
    fn every_mistake_is_named_at_once() {
        let vars = Vars::from_pairs(&[("BATCH_SIZE", "0"), ("RETENTION_DAYS", "0"), ("CONSUMER_TRADES_PORT", "x")]);
        let message = vars.load(|vars| SinkConfig::from_vars(vars, TRADES)).unwrap_err().to_string();
        for part in ["BATCH_SIZE", "RETENTION_DAYS", "CONSUMER_TRADES_PORT"] {
            assert!(message.contains(part), "{part} is missing in {message}");
        }
    }
}
