//! What every request needs.

use std::sync::Arc;
use std::time::Duration;

use market::Source;
use service::Health;
use service::telemetry::Metrics;
use service::web::request_id::Lines;

use crate::access::Admission;
use crate::config::Config;
use crate::db::Database;
use crate::db::archived::ArchivedTrades;
use crate::db::minutes::Minutes;
use crate::db::versions::Version;
use crate::remembered::Remembered;
use crate::reply::Answer;

/// All HTTP threads share everything but, where they are made with [`per_thread`](State::per_thread), the connections.
#[derive(Clone)]
pub struct State {
    /// The way to PostgreSQL.
    pub database: Database,
    /// Answers given before.
    pub remembered: Arc<Remembered<Version, Answer>>,
    /// Bars read before.
    pub minutes: Arc<Minutes>,
    /// Who may ask, for what, and how often.
    pub admission: Arc<Admission>,
    /// Paces the log of requests that failed.
    pub failures: Arc<Lines>,
    /// Whose records readers get unless they ask for another source.
    pub source: Source,
    /// What works.
    pub health: Health,
    /// All numbers.
    pub metrics: Metrics,
    /// Whether caches between here and the caller may keep answers: not where a key decides who gets them.
    pub shared_answers: bool,
    /// How long a caller waits at most, whatever happens.
    pub answer_time_max: Duration,
}

impl State {
    /// Makes the pool; connects to nothing yet.
    ///
    /// # Errors
    /// Where the settings do not make a pool.
    pub fn new(config: &Config, health: Health) -> anyhow::Result<Self> {
        // Answers are what is asked for most; their bars are less, and needed less often.
        let for_minutes = config.remembered_bytes_max / 4;
        let minutes = Arc::new(Minutes::new(for_minutes));
        let archive = config.archive_dir.as_deref().map(ArchivedTrades::new).transpose()?.map(Arc::new);
        Ok(Self {
            database: Database::new(config, "bars-api", config.connections_max, Arc::clone(&minutes), archive)?,
            remembered: Arc::new(Remembered::new(config.remembered_bytes_max - for_minutes)),
            minutes,
            admission: Arc::new(Admission::new(&config.access)),
            failures: Arc::default(),
            source: config.sources.first().cloned().unwrap_or_else(Source::alpaca),
            shared_answers: !config.access.access.required,
            health,
            metrics: Metrics::install(crate::metrics::METRICS),
            answer_time_max: config.pool_wait_max + config.statement_time_max + Duration::from_secs(1),
        })
    }

    /// One state for each HTTP thread, or for as many as there may be connections: the connections are divided among them. A connection
    /// lives on the thread that opened it; used from another one, every row that arrives would wake two threads instead of none.
    ///
    /// # Errors
    /// Where the settings do not make a pool.
    pub fn per_thread(&self, config: &Config) -> anyhow::Result<Vec<Self>> {
        let own = |connections| {
            let database =
                Database::new(config, "bars-api", connections, Arc::clone(&self.minutes), self.database.archive())?;
            Ok(Self { database, ..self.clone() })
        };
        shares(config.connections_max, config.workers).map(own).collect()
    }
}

/// Divides `connections` among at most `threads`, as evenly as may be and at least one for each.
fn shares(connections: usize, threads: usize) -> impl Iterator<Item = usize> {
    let threads = threads.min(connections);
    (0..threads).map(move |number| connections / threads + usize::from(number < connections % threads))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_share_all_connections_and_no_more() {
        for (connections, threads, expected) in
            [(16, 2, &[8, 8][..]), (7, 3, &[3, 2, 2]), (1, 4, &[1]), (3, 8, &[1, 1, 1])]
        {
            assert_eq!(shares(connections, threads).collect::<Vec<_>>(), expected);
        }
    }
}
