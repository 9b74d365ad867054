//! The lease in PostgreSQL: one row a group.

use std::error::Error as _;
use std::io;
use std::time::Duration;

use anyhow::Context as _;
use deadpool_postgres::{Client, Pool};
use service::postgres::PostgresConfig;
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use crate::journal::Journal;

/// A statement that takes longer than this is a lost one.
const ANSWER_MAX: Duration = Duration::from_secs(1);
/// What is written in the migration too.
const TABLE: &str = include_str!("../../../sql/V14__producer_leases.sql");

/// The row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Who leads; empty when nobody does.
    pub holder: String,
    /// Counts the leaders.
    pub epoch: i64,
    /// Counts the renewals.
    pub beats: i64,
    /// What the leader knew last, as JSON of the journal.
    pub frontier: Option<String>,
    /// Its symbols.
    pub symbols: Option<String>,
}

/// What a renewal says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beat {
    /// Still the leader.
    Held {
        /// Whether another producer stood by within the last half minute.
        standby: bool,
    },
    /// Not known as yet.
    Undecided,
    /// Another leads.
    Lost,
}

/// A connection to the row.
pub struct Lease {
    pool: Pool,
    name: String,
    holder: String,
    epoch: i64,
    /// How many symbols were written.
    symbols: usize,
}

impl Lease {
    /// Of the group `name`, for the producer `holder`.
    ///
    /// # Errors
    /// Where the settings do not make a connection.
    pub fn new(postgres: &PostgresConfig, name: String, holder: String) -> anyhow::Result<Self> {
        let pool = postgres.pool("producer-leader", 1, ANSWER_MAX, "")?;
        Ok(Self { pool, name, holder, epoch: 0, symbols: 0 })
    }

    /// This producer's name.
    #[must_use]
    pub fn holder(&self) -> &str {
        &self.holder
    }

    /// Of the lease that is held.
    #[must_use]
    pub fn epoch(&self) -> i64 {
        self.epoch
    }

    /// Looks at the row as a standby, and leaves a trace of having done so.
    ///
    /// # Errors
    /// Where PostgreSQL refuses or does not answer.
    pub async fn look(&self) -> anyhow::Result<Option<Row>> {
        const LOOK: &str = "UPDATE market_data_oltp.producer_leases SET standby_at = clock_timestamp() WHERE name = $1
             RETURNING holder, epoch, beats, frontier, symbols";
        let rows = match self.query(LOOK, &[(&self.name, Type::TEXT)]).await {
            Err(error) if is_missing(&error) => {
                self.create().await?;
                return Ok(None);
            }
            rows => rows?,
        };
        Ok(rows.first().map(|row| Row {
            holder: row.get(0),
            epoch: row.get(1),
            beats: row.get(2),
            frontier: row.get(3),
            symbols: row.get(4),
        }))
    }

    /// Takes the lease where it still is as it was `seen`; `None` where it is not.
    ///
    /// # Errors
    /// Where PostgreSQL refuses or does not answer.
    pub async fn take(&mut self, seen: Option<&Row>) -> anyhow::Result<Option<Row>> {
        const TAKE: &str =
            "INSERT INTO market_data_oltp.producer_leases AS lease (name, holder, epoch, beats) VALUES ($1, $2, 1, 0)
             ON CONFLICT (name) DO UPDATE
             SET holder = $2, epoch = lease.epoch + 1, beats = 0, renewed_at = clock_timestamp(), standby_at = NULL
             WHERE lease.epoch = $3 AND lease.beats = $4
             RETURNING epoch";
        let (epoch, beats) = seen.map_or((-1, -1), |row| (row.epoch, row.beats));
        let parameters: &[Parameter<'_>] =
            &[(&self.name, Type::TEXT), (&self.holder, Type::TEXT), (&epoch, Type::INT8), (&beats, Type::INT8)];
        let rows = self.query(TAKE, parameters).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        self.epoch = row.get(0);
        let nothing = || Row { holder: String::new(), epoch: 0, beats: 0, frontier: None, symbols: None };
        Ok(Some(seen.cloned().unwrap_or_else(nothing)))
    }

    /// Says that the leader is alive, and what its successor must know.
    ///
    /// # Errors
    /// Where PostgreSQL refuses or does not answer.
    pub async fn renew(&mut self, journal: &Journal) -> anyhow::Result<Beat> {
        const RENEW: &str = "UPDATE market_data_oltp.producer_leases
             SET beats = beats + 1, renewed_at = clock_timestamp(), frontier = $4, symbols = coalesce($5, symbols)
             WHERE name = $1 AND holder = $2 AND epoch = $3
             RETURNING coalesce(standby_at > clock_timestamp() - interval '30 seconds', false)";
        let (frontier, count) = journal.frontier();
        let symbols = (count != self.symbols).then(|| journal.known_symbols());
        let parameters: &[Parameter<'_>] = &[
            (&self.name, Type::TEXT),
            (&self.holder, Type::TEXT),
            (&self.epoch, Type::INT8),
            (&frontier, Type::TEXT),
            (&symbols, Type::TEXT),
        ];
        let rows = self.query(RENEW, parameters).await?;
        self.symbols = count;
        Ok(rows.first().map_or(Beat::Lost, |row| Beat::Held { standby: row.get(0) }))
    }

    /// Ends the lease in order: the next leader need not wait.
    pub async fn give_up(&mut self, journal: &Journal) {
        const GIVE_UP: &str =
            "UPDATE market_data_oltp.producer_leases SET holder = '' WHERE name = $1 AND holder = $2 AND epoch = $3";
        let renewed = self.renew(journal).await;
        let parameters: &[Parameter<'_>] =
            &[(&self.name, Type::TEXT), (&self.holder, Type::TEXT), (&self.epoch, Type::INT8)];
        let given_up = match renewed {
            Ok(_) => self.query(GIVE_UP, parameters).await,
            Err(error) => Err(error),
        };
        if let Err(error) = given_up {
            tracing::info!("the lease was not given up, a standby waits for its end: {error:#}");
        }
    }

    async fn create(&self) -> anyhow::Result<()> {
        let client = self.client().await?;
        let schema = "CREATE SCHEMA IF NOT EXISTS market_data_oltp;";
        client.batch_execute(&format!("{schema}{TABLE}")).await.context("cannot make the table of leases")
    }

    async fn query(&self, statement: &str, parameters: &[Parameter<'_>]) -> anyhow::Result<Vec<tokio_postgres::Row>> {
        let client = self.client().await?;
        let answered = timeout(ANSWER_MAX, client.query_typed(statement, parameters)).await;
        match answered {
            Ok(rows) => Ok(rows?),
            Err(_) => {
                drop(deadpool_postgres::Object::take(client)); // its answer may still come
                anyhow::bail!("PostgreSQL did not answer within {ANSWER_MAX:?}")
            }
        }
    }

    async fn client(&self) -> anyhow::Result<Client> {
        Ok(timeout(ANSWER_MAX, self.pool.get()).await.context("PostgreSQL did not answer in time")??)
    }
}

type Parameter<'a> = (&'a (dyn tokio_postgres::types::ToSql + Sync), Type);

fn of_postgres(error: &anyhow::Error) -> Option<&tokio_postgres::Error> {
    error.chain().find_map(|cause| cause.downcast_ref::<tokio_postgres::Error>())
}

fn is_missing(error: &anyhow::Error) -> bool {
    let code = of_postgres(error).and_then(tokio_postgres::Error::code);
    code.is_some_and(|code| *code == SqlState::UNDEFINED_TABLE || *code == SqlState::INVALID_SCHEMA_NAME)
}

/// Whether PostgreSQL itself is down, for everybody: its machine refuses connections, or it says that it starts or stops.
#[must_use]
pub fn is_down(error: &anyhow::Error) -> bool {
    let refused = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    };
    let Some(error) = of_postgres(error) else { return error.chain().any(refused) };
    let ends = [SqlState::ADMIN_SHUTDOWN, SqlState::CRASH_SHUTDOWN, SqlState::CANNOT_CONNECT_NOW];
    error.code().is_some_and(|code| ends.contains(code)) || error.source().is_some_and(refused)
}
