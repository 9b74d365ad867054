//! The way to PostgreSQL: one pool, one snapshot per answer, one module of SQL per table.

pub mod bars;
pub mod gaps;
pub mod trades;
pub mod versions;

use std::ops::Deref;
use std::time::Duration;

use deadpool_postgres::{Object, Pool, Transaction};
use tokio_postgres::IsolationLevel;

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
}

impl Database {
    /// A pool that connects when it is first asked to.
    ///
    /// # Errors
    /// Where the settings do not make a pool.
    pub fn new(config: &Config, application: &str, connections_max: usize) -> anyhow::Result<Self> {
        let options = server_settings(config.statement_time_max);
        let pool = config.postgres.pool(application, connections_max, config.pool_wait_max, &options)?;
        Ok(Self { pool })
    }

    /// A connection.
    ///
    /// # Errors
    /// 503 where none is free in time, or the database cannot be reached.
    pub async fn connect(&self) -> Result<Connection, Problem> {
        Ok(Connection { object: Some(self.pool.get().await?), reuse: false })
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
    object: Option<Object>,
    reuse: bool,
}

impl Connection {
    /// Opens a snapshot: all reads in it see the same committed state.
    ///
    /// # Errors
    /// 503 where the database does not answer.
    pub async fn snapshot(&mut self) -> Result<Transaction<'_>, Problem> {
        let object = self.object.as_mut().ok_or_else(Problem::internal)?;
        let builder = object.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true);
        Ok(builder.start().await?)
    }

    /// Gives the connection back for reuse.
    pub fn release(mut self) {
        self.reuse = true;
    }
}

impl Deref for Connection {
    type Target = Object;
    fn deref(&self) -> &Object {
        self.object.as_ref().expect("only taken when dropped")
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let (Some(object), false) = (self.object.take(), self.reuse) {
            drop(Object::take(object));
        }
    }
}
