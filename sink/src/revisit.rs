//! Rows that wait for something else are tried again, beside the batches and never in their way.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_postgres::Error;
use tokio_postgres::types::Type;
use tokio_util::sync::CancellationToken;

use crate::connection::Connection;
use crate::store::{Shared, describe};

/// Between two looks at what is due.
const INTERVAL: Duration = Duration::from_millis(250);
/// Rows tried in one transaction: few, so that what it locks is free again within milliseconds.
const AT_MOST: i32 = 50;

/// Tries what is due until `stop`; `sql` is [`crate::row::Row::REVISIT`]. A look that fails is left out: whether PostgreSQL is well, the lanes know better.
pub(crate) async fn run(shared: Arc<Shared>, sql: &str, stop: CancellationToken) -> anyhow::Result<()> {
    let mut connection: Option<Connection> = None;
    let mut wait = INTERVAL;
    while stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_some() {
        let started = Instant::now();
        let looked = stop.run_until_cancelled(look(&shared, connection.take(), sql)).await;
        wait = INTERVAL;
        match looked {
            Some(Ok((open, tried))) => {
                connection = Some(open);
                if tried >= i64::from(AT_MOST) {
                    wait = started.elapsed(); // there is more: go on, but leave half of the time to others
                }
            }
            Some(Err(error)) => tracing::debug!(error = describe(&error), "did not try again what waits"),
            None => break,
        }
    }
    Ok(())
}

async fn look(shared: &Shared, open: Option<Connection>, sql: &str) -> Result<(Connection, i64), Error> {
    let connection = match open {
        Some(connection) => connection,
        None => Connection::open(&shared.config.postgres, shared.config.service).await?,
    };
    let rows = connection.in_transaction("", sql, &[(&AT_MOST, Type::INT4)]).await?;
    let tried = rows.first().map_or(0, |row| row.get(0));
    Ok((connection, tried))
}
