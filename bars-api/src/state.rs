//! What every request needs.

use std::time::Duration;

use market::Source;
use service::Health;
use service::telemetry::Metrics;

use crate::access::Door;
use crate::config::Config;
use crate::db::Database;
use crate::remembered::Remembered;

/// Shared by all HTTP threads.
pub struct State {
    /// The way to PostgreSQL.
    pub database: Database,
    /// Answers given before.
    pub remembered: Remembered,
    /// Who may ask, and how often.
    pub door: Door,
    /// Whose records readers get unless they ask for another source.
    pub source: Source,
    /// What works.
    pub health: Health,
    /// All numbers.
    pub metrics: Metrics,
    /// How long a caller waits at most, whatever happens.
    pub answer_time_max: Duration,
}

impl State {
    /// Makes the pool; connects to nothing yet.
    ///
    /// # Errors
    /// Where the settings do not make a pool.
    pub fn new(config: &Config, health: Health) -> anyhow::Result<Self> {
        Ok(Self {
            database: Database::new(config, "bars-api", config.connections_max)?,
            remembered: Remembered::new(config.remembered_bytes_max),
            door: Door::new(config.access.clone()),
            source: config.sources.first().cloned().unwrap_or_else(Source::alpaca),
            health,
            metrics: Metrics::install(),
            answer_time_max: config.pool_wait_max + config.statement_time_max + Duration::from_secs(1),
        })
    }
}
