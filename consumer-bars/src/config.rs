//! What sets this consumer apart; all other settings are the sink's.

use service::Vars;
use sink::{Consumer, Side, SinkConfig};

/// Name, variables and topics.
pub const CONSUMER: Consumer = Consumer {
    service: "consumer-bars",
    prefix: "CONSUMER_BARS",
    port: 9103,
    topic: |kafka| &kafka.topic_bars,
    side: Side { name: "gaps", topic: |kafka| &kafka.topic_gaps },
};

/// Reads the shared variables and `CONSUMER_BARS_GROUP`, `CONSUMER_BARS_PORT`.
pub fn from_vars(vars: &mut Vars) -> SinkConfig {
    SinkConfig::from_vars(vars, CONSUMER)
}
