//! What sets this consumer apart; all other settings are the sink's.

use service::Vars;
use sink::{Consumer, Side, SinkConfig};

/// Name, variables and topics.
pub const CONSUMER: Consumer = Consumer {
    service: "consumer-trades",
    prefix: "CONSUMER_TRADES",
    port: 9102,
    topic: |kafka| &kafka.topic_trades,
    side: Side { name: "corrections", topic: |kafka| &kafka.topic_corrections },
};

/// Reads the shared variables and `CONSUMER_TRADES_GROUP`, `CONSUMER_TRADES_PORT`.
pub fn from_vars(vars: &mut Vars) -> SinkConfig {
    SinkConfig::from_vars(vars, CONSUMER)
}
