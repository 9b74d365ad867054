//! The way to PostgreSQL: one pool, one snapshot per answer, one module of SQL per table.

pub mod archived;
pub mod bars;
pub mod gaps;
pub mod minutes;
pub mod trades;
pub mod versions;

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Client, Pool};

use self::archived::ArchivedTrades;
use self::minutes::Minutes;
use crate::config::Config;
use crate::problem::Problem;

/// In which order of time bars or trades are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    /// Oldest first.
    Ascending,
    /// Newest first.
    Descending,
}

/// A pool of connections that can only read, bounded in number, in waiting and in working time.
#[derive(Clone)]
pub struct Database {
    pool: Pool,
    minutes: Arc<Minutes>,
    archive: Option<Arc<ArchivedTrades>>,
}

impl Database {
    /// A pool that connects when it is first asked to. Pools that share `minutes` spare each other reading them.
    ///
    /// # Errors
    /// Where the settings do not make a pool.
    pub fn new(
        config: &Config,
        application: &str,
        connections_max: usize,
        minutes: Arc<Minutes>,
        archive: Option<Arc<ArchivedTrades>>,
    ) -> anyhow::Result<Self> {
        let options = server_settings(config.statement_time_max);
        let pool = config.postgres.pool(application, connections_max, config.pool_wait_max, &options)?;
        Ok(Self { pool, minutes, archive })
    }

    /// Closed days that lie in files, for another pool.
    #[must_use]
    pub fn archive(&self) -> Option<Arc<ArchivedTrades>> {
        self.archive.clone()
    }

    /// A connection.
    ///
    /// # Errors
    /// 503 where none is free in time, or the database cannot be reached.
    pub async fn connect(&self) -> Result<Connection, Problem> {
        let client = self.pool.get().await?;
        let (minutes, archive) = (Arc::clone(&self.minutes), self.archive.clone());
        Ok(Connection { client: Some(client), minutes, archive, reuse: false })
    }
}

/// `force_generic_plan` halves the work on small queries; without JIT a cold plan stays cheap; the rest is a bound on harm.
fn server_settings(statement_time_max: Duration) -> String {
    let timeout_ms = statement_time_max.as_millis();
    format!(
        "-c plan_cache_mode=force_generic_plan -c jit=off -c default_transaction_read_only=on -c timezone=UTC \
         -c statement_timeout={timeout_ms} -c idle_in_transaction_session_timeout={timeout_ms}"
    )
}

/// A borrowed connection. It goes back to the pool only after [`release`](Self::release): one that was left in the middle of
/// something (an error, a caller who hung up, a deadline) is closed instead, so that nobody waits behind its leftovers.
pub struct Connection {
    client: Option<Client>,
    minutes: Arc<Minutes>,
    archive: Option<Arc<ArchivedTrades>>,
    reuse: bool,
}

impl Connection {
    /// What `read` finds in one snapshot: all that it reads is the same committed state. Costs no way to the server of its own: the
    /// beginning goes ahead of the first question, and nobody waits for the end.
    ///
    /// # Errors
    /// What `read` says, or 503 where the database does not answer.
    pub async fn snapshot<T>(self, read: impl AsyncFnOnce(&Snapshot<'_>) -> Result<T, Problem>) -> Result<T, Problem> {
        let snapshot = Snapshot(&self);
        let begin =
            async { Ok(snapshot.batch_execute("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY").await?) };
        let ((), found) = tokio::try_join!(biased; begin, read(&snapshot))?; // in this order they are sent
        // Bounded by the pool and the time of a statement; a connection whose transaction does not end is closed.
        tokio::spawn(async move {
            if self.batch_execute("COMMIT").await.is_ok() {
                self.release();
            }
        });
        Ok(found)
    }

    /// Gives the connection back for reuse.
    pub fn release(mut self) {
        self.reuse = true;
    }
}

impl Deref for Connection {
    type Target = Client;
    fn deref(&self) -> &Client {
        self.client.as_ref().expect("only taken when dropped")
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let (Some(client), false) = (self.client.take(), self.reuse) {
            drop(Client::take(client));
        }
    }
}

/// A connection within a read-only transaction. Made by [`Connection::snapshot`].
pub struct Snapshot<'a>(&'a Connection);

impl Snapshot<'_> {
    /// The minutes that were read before.
    fn minutes(&self) -> &Minutes {
        &self.0.minutes
    }

    /// Closed days that lie in files, if there is an archive.
    fn archive(&self) -> Option<&ArchivedTrades> {
        self.0.archive.as_deref()
    }
}

impl Deref for Snapshot<'_> {
    type Target = Client;
    fn deref(&self) -> &Client {
        self.0
    }
}
