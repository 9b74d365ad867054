//! What sets this consumer apart.

use service::Vars;
use sink::{Identity, SinkConfig};

/// Name in logs, metrics and `pg_stat_activity`.
pub const SERVICE: &str = "consumer-bars";

/// Reads the shared variables and `CONSUMER_BARS_GROUP`, `CONSUMER_BARS_PORT`.
pub fn from_vars(vars: &mut Vars) -> SinkConfig {
    let identity = Identity { service: SERVICE, prefix: "CONSUMER_BARS", port: 9103, topic: |kafka| &kafka.topic_bars };
    SinkConfig::from_vars(vars, identity)
}
