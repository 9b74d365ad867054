//! What sets this consumer apart; all other settings are the sink's.

use std::path::PathBuf;

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

/// Settings of the archive.
#[derive(Clone, Debug)]
pub struct ArchiveConfig {
    /// The folder; `None` if there is no archive.
    pub folder: Option<PathBuf>,
}

impl ArchiveConfig {
    /// Reads `ARCHIVE_DIR`.
    pub fn from_vars(vars: &mut Vars) -> Self {
        Self { folder: vars.read_optional("ARCHIVE_DIR", "a folder") }
    }
}

/// Settings of this consumer.
#[derive(Clone, Debug)]
pub struct Config {
    /// What both consumers have.
    pub sink: SinkConfig,
    /// Where closed days go.
    pub archive: ArchiveConfig,
}

impl Config {
    /// Reads [`from_vars`]'s variables and `ARCHIVE_DIR`.
    pub fn from_vars(vars: &mut Vars) -> Self {
        Self { sink: from_vars(vars), archive: ArchiveConfig::from_vars(vars) }
    }
}
