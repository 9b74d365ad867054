//! What sets this consumer apart.

use service::Vars;
use sink::{Identity, SinkConfig};

/// Name in logs, metrics and `pg_stat_activity`.
pub const SERVICE: &str = "consumer-trades";

/// Reads the shared variables and `CONSUMER_TRADES_GROUP`, `CONSUMER_TRADES_PORT`.
pub fn from_vars(vars: &mut Vars) -> SinkConfig {
    let identity =
        Identity { service: SERVICE, prefix: "CONSUMER_TRADES", port: 9102, topic: |kafka| &kafka.topic_trades };
    SinkConfig::from_vars(vars, identity)
}
