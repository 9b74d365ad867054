//! A plain connection to PostgreSQL. It relies on no state of the server's session, so that it works through a pooler in transaction mode.

use std::ops::Deref;

use service::postgres::{BEGIN, PostgresConfig};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error, Row};
use tokio_util::task::AbortOnDropHandle;

/// A parameter and its type.
pub(crate) type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

/// A connection; dropping it closes it, and the server then rolls back what it had begun.
pub struct Connection {
    client: Client,
    _driver: AbortOnDropHandle<()>,
}

impl Connection {
    /// Connects as `application`, which is the name in `pg_stat_activity`.
    ///
    /// # Errors
    /// As PostgreSQL answers, or if it does not.
    pub async fn open(config: &PostgresConfig, application: &str) -> Result<Self, Error> {
        let (client, connection) = config.connection(application).connect(config.tls.clone()).await?;
        let driver = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to PostgreSQL ended"); // whoever uses it gets the error too
            }
        });
        Ok(Self { client, _driver: AbortOnDropHandle::new(driver) })
    }

    /// For whoever wants to own transactions.
    pub fn client_mut(&mut self) -> &mut Client {
        &mut self.client
    }

    /// Runs one statement in a transaction of its own. `local` holds settings for it, such as `SET LOCAL lock_timeout = '2s'`; empty for
    /// none.
    ///
    /// # Errors
    /// One of PostgreSQL; nothing has changed then.
    pub(crate) async fn in_transaction(
        &self,
        local: &str,
        sql: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<Row>, Error> {
        // A limit that an operator sets for people must not end the work of a service.
        let begin = format!("{BEGIN}; SET LOCAL statement_timeout = 0; {local}");
        let work = async {
            // One flight: where the first fails, the transaction is aborted and the second fails too.
            let ((), rows) =
                tokio::try_join!(self.client.batch_execute(&begin), self.client.query_typed(sql, parameters))?;
            self.client.batch_execute("COMMIT").await?;
            Ok(rows)
        };
        let result = work.await;
        if result.is_err() {
            drop(self.client.batch_execute("ROLLBACK").await); // a connection that is lost has rolled back
        }
        result
    }
}

impl Deref for Connection {
    type Target = Client;
    fn deref(&self) -> &Client {
        &self.client
    }
}
