//! Connections to PostgreSQL: one plain, one that is prepared for storing batches.

use std::ops::Deref;

use service::postgres::PostgresConfig;
use tokio_postgres::{Client, Error, NoTls, Statement};
use tokio_util::task::AbortOnDropHandle;

use crate::row::{Awaited, Row};

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
        let (client, connection) = config.connection(application).connect(NoTls).await?;
        let driver = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to PostgreSQL ended"); // whoever uses it gets the error too
            }
        });
        Ok(Self { client, _driver: AbortOnDropHandle::new(driver) })
    }

    /// For whoever wants to own transactions, as the migration runner does.
    pub fn client_mut(&mut self) -> &mut Client {
        &mut self.client
    }
}

impl Deref for Connection {
    type Target = Client;
    fn deref(&self) -> &Client {
        &self.client
    }
}

/// A connection with everything prepared that storing a batch needs.
pub(crate) struct Session {
    connection: Connection,
    /// The server's process, to find out what it waits for.
    pub(crate) backend_pid: i32,
    /// Moves positions, each from where it must stand.
    pub(crate) step: Statement,
    /// Into the table.
    pub(crate) copy: Statement,
    /// Into the temporary table.
    pub(crate) copy_aside: Statement,
    /// From the temporary table into the table.
    pub(crate) merge: Statement,
    /// After rows were merged.
    pub(crate) follow_up: Option<Statement>,
    /// Settles what waits for rows of a batch.
    pub(crate) settle: Option<Statement>,
}

/// The compare-and-set of all positions of a batch.
const STEP: &str = "
    UPDATE market_data_oltp.kafka_offsets AS held
    SET next_offset = step.next_offset, updated_at = now()
    FROM unnest($3::integer[], $4::bigint[], $5::bigint[]) AS step (partition, expected, next_offset)
    WHERE held.cluster_id = $1 AND held.topic = $2
      AND held.partition = step.partition AND held.next_offset = step.expected";

impl Session {
    /// Connects and prepares.
    pub(crate) async fn open<R: Row>(config: &PostgresConfig, application: &str) -> Result<Self, Error> {
        let connection = Connection::open(config, application).await?;
        let (table, columns) = (R::TABLE, R::COLUMNS.join(", "));
        // A limit that an operator sets for people must not end a COPY that waits for a slow disk.
        connection
            .batch_execute(&format!(
                "SET statement_timeout = 0;
                 CREATE TEMPORARY TABLE batch (LIKE {table} INCLUDING DEFAULTS) ON COMMIT DELETE ROWS"
            ))
            .await?;
        let backend_pid = connection.query_one("SELECT pg_backend_pid()", &[]).await?.get(0);
        let copy_into = |table: &str| format!("COPY {table} ({columns}) FROM STDIN (FORMAT binary)");
        let (copy, copy_aside) = (copy_into(table), copy_into("pg_temp.batch"));
        let (step, copy, copy_aside, merge) = tokio::try_join!(
            connection.prepare(STEP),
            connection.prepare(&copy),
            connection.prepare(&copy_aside),
            connection.prepare(R::STORE.merge_sql()),
        )?;
        let follow_up = match R::FOLLOW_UP {
            Some(sql) => Some(connection.prepare(sql).await?),
            None => None,
        };
        let settle = match R::AWAITED {
            Some(Awaited { settle, .. }) => Some(connection.prepare(settle).await?),
            None => None,
        };
        Ok(Self { connection, backend_pid, step, copy, copy_aside, merge, follow_up, settle })
    }
}

impl Deref for Session {
    type Target = Client;
    fn deref(&self) -> &Client {
        &self.connection
    }
}
