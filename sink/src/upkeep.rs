//! Work that no batch should wait for: partitions ahead of need, and the end of what is too old.

use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use tokio_util::sync::CancellationToken;

use crate::connection::Connection;
use crate::encode::Day;
use crate::retry;
use crate::row::Row;
use crate::store::Shared;

/// Between two rounds.
const INTERVAL: Duration = Duration::from_secs(3600);
/// Partitions are made this many days ahead.
const DAYS_AHEAD: i64 = 3;

/// Looks after the table until `stop`.
///
/// # Errors
/// One that would repeat for ever.
pub(crate) async fn run<R: Row>(shared: Arc<Shared>, stop: CancellationToken) -> anyhow::Result<()> {
    let config = &shared.config;
    let mut tick = tokio::time::interval(INTERVAL);
    while stop.run_until_cancelled(tick.tick()).await.is_some() {
        let round = |connection: Connection| async move {
            ensure_ahead::<R>(&connection).await?;
            if !config.expires {
                return Ok(());
            }
            expire::<R>(&connection, config.retention_days).await
        };
        retry::with_postgres(&config.postgres, config.service, &shared.postgres, &stop, round).await?;
    }
    Ok(())
}

async fn ensure_ahead<R: Row>(connection: &Connection) -> anyhow::Result<()> {
    let Some(sql) = R::ENSURE_PARTITIONS else { return Ok(()) };
    let today = Day::of_second(jiff::Timestamp::now().as_second());
    let days: Vec<_> = (0..=DAYS_AHEAD).map(|ahead| Day(today.0 + ahead).date()).collect();
    connection.in_transaction("", sql, &[(&days, Type::DATE_ARRAY)]).await?;
    Ok(())
}

async fn expire<R: Row>(connection: &Connection, retention_days: Option<u32>) -> anyhow::Result<()> {
    let (Some(days), Some(sql)) = (retention_days.map(i32::try_from).transpose()?, R::EXPIRE) else { return Ok(()) };
    // A removal that cannot get its lock soon is left to the next round, or the writers that queue behind it would wait.
    const LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '2s'";
    loop {
        let removed = match connection.in_transaction(LOCK_TIMEOUT, sql, &[(&days, Type::INT4)]).await {
            Ok(rows) => rows.first().and_then(|row| row.get::<_, Option<String>>(0)),
            Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {
                tracing::warn!("what is older than RETENTION_DAYS is in use; trying again in an hour");
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let Some(removed) = removed else { return Ok(()) };
        tracing::info!(removed, keep_days = days, "removed what is older than RETENTION_DAYS");
    }
}
