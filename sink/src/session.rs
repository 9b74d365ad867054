//! A connection that is ready to store batches.

use std::ops::Deref;
use std::sync::atomic::{AtomicI32, AtomicU8, Ordering};

use service::postgres::{self, PostgresConfig};
use tokio_postgres::{Client, Error, SimpleQueryMessage, Statement};

use crate::connection::Connection;
use crate::row::{Awaited, Row};

/// Whether a pooler in transaction mode stands before PostgreSQL. The first session finds it out.
#[derive(Debug, Default)]
pub(crate) struct Pooler(AtomicU8);

impl Pooler {
    const UNKNOWN: u8 = 0;
    const ABSENT: u8 = 1;
    const PRESENT: u8 = 2;

    /// A session has lost what it had prepared: there is a pooler, although at first nothing showed it.
    pub(crate) fn suspect(&self) {
        if self.0.swap(Self::PRESENT, Ordering::Relaxed) != Self::PRESENT {
            tracing::warn!("PostgreSQL lost the statements of a session: taking it for a pooler in transaction mode");
        }
    }

    async fn is_present(
        &self,
        connection: &Connection,
        config: &PostgresConfig,
        application: &str,
    ) -> Result<bool, Error> {
        if self.0.load(Ordering::Relaxed) == Self::UNKNOWN {
            let other = Connection::open(config, application).await?;
            let found = postgres::share_a_session(connection, &other).await?;
            let new = if found { Self::PRESENT } else { Self::ABSENT };
            let known = self.0.compare_exchange(Self::UNKNOWN, new, Ordering::Relaxed, Ordering::Relaxed);
            if found && known.is_ok() {
                tracing::info!(
                    "PostgreSQL is behind a pooler in transaction mode: statements are prepared anew for each batch"
                );
            }
        }
        Ok(self.0.load(Ordering::Relaxed) == Self::PRESENT)
    }
}

/// A connection with everything that storing a batch needs.
pub(crate) struct Session {
    connection: Connection,
    /// What stays prepared; nothing behind a pooler in transaction mode, where each transaction may meet another session of the server.
    pub(crate) kept: Option<Prepared>,
    backend_pid: AtomicI32,
}

/// The statements of a batch.
pub(crate) struct Prepared {
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
    /// Connects and, if the session of the server is ours alone, prepares.
    pub(crate) async fn open<R: Row>(
        config: &PostgresConfig,
        application: &str,
        pooler: &Pooler,
    ) -> Result<Self, Error> {
        let connection = Connection::open(config, application).await?;
        let kept = if pooler.is_present(&connection, config, application).await? {
            None
        } else {
            let create = format!("{}; {} ON COMMIT DELETE ROWS; COMMIT", postgres::BEGIN, create_batch::<R>());
            connection.batch_execute(&create).await?;
            Some(Prepared::new::<R>(&connection).await?)
        };
        Ok(Self { connection, kept, backend_pid: AtomicI32::new(0) })
    }

    /// Begins a transaction that may write.
    pub(crate) async fn begin<R: Row>(&self) -> Result<(), Error> {
        // A limit that an operator sets for people must not end a COPY that waits for a slow disk.
        let mut sql = format!("{}; SET LOCAL statement_timeout = 0; SELECT pg_backend_pid()", postgres::BEGIN);
        if self.kept.is_none() {
            sql = format!("{sql}; {} ON COMMIT DROP", create_batch::<R>());
        }
        let messages = self.connection.simple_query(&sql).await?;
        let pid = messages.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0)?.parse().ok(),
            _ => None,
        });
        self.backend_pid.store(pid.unwrap_or_default(), Ordering::Relaxed);
        Ok(())
    }

    /// The server's process of the transaction that began last, to find out what it waits for.
    pub(crate) fn backend_pid(&self) -> i32 {
        self.backend_pid.load(Ordering::Relaxed)
    }
}

fn create_batch<R: Row>() -> String {
    format!("CREATE TEMPORARY TABLE batch (LIKE {} INCLUDING DEFAULTS)", R::TABLE)
}

impl Prepared {
    /// Prepares on a session that has the temporary table.
    pub(crate) async fn new<R: Row>(client: &Client) -> Result<Self, Error> {
        let (table, columns) = (R::TABLE, R::COLUMNS.join(", "));
        let copy_into = |table: &str| format!("COPY {table} ({columns}) FROM STDIN (FORMAT binary)");
        let (copy, copy_aside) = (copy_into(table), copy_into("pg_temp.batch"));
        let maybe = async |sql: Option<&str>| match sql {
            Some(sql) => client.prepare(sql).await.map(Some),
            None => Ok(None),
        };
        let (step, copy, copy_aside, merge, follow_up, settle) = tokio::try_join!(
            client.prepare(STEP),
            client.prepare(&copy),
            client.prepare(&copy_aside),
            client.prepare(R::STORE.merge_sql()),
            maybe(R::FOLLOW_UP),
            maybe(R::AWAITED.map(|Awaited { settle, .. }| settle)),
        )?;
        Ok(Self { step, copy, copy_aside, merge, follow_up, settle })
    }
}

impl Deref for Session {
    type Target = Connection;
    fn deref(&self) -> &Connection {
        &self.connection
    }
}
