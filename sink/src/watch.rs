//! A number that only the table knows, as a gauge.

use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::Error;
use tokio_util::sync::CancellationToken;

use crate::connection::Connection;
use crate::row::Watched;
use crate::store::{Shared, describe};

/// Between two looks.
const INTERVAL: Duration = Duration::from_secs(10);

/// Looks until `stop`. A look that fails is left out: whether PostgreSQL is well, the lanes know better.
pub(crate) async fn run(shared: Arc<Shared>, watched: Watched, stop: CancellationToken) -> anyhow::Result<()> {
    let name = format!("{}_{}", shared.config.name.replace('-', "_"), watched.gauge);
    metrics::describe_gauge!(name.clone(), watched.help);
    let gauge = metrics::gauge!(name);
    while stop.run_until_cancelled(tokio::time::sleep(INTERVAL)).await.is_some() {
        match stop.run_until_cancelled(look(&shared, watched.sql)).await {
            #[expect(clippy::cast_precision_loss, reason = "a gauge")]
            Some(Ok(value)) => gauge.set(value as f64),
            Some(Err(error)) => tracing::debug!(error = describe(&error), gauge = watched.gauge, "not measured"),
            None => break,
        }
    }
    Ok(())
}

async fn look(shared: &Shared, sql: &str) -> Result<i64, Error> {
    let connection = Connection::open(&shared.config.postgres, shared.config.service).await?;
    let rows = connection.in_transaction("", sql, &[]).await?;
    Ok(rows.first().map_or(0, |row| row.get(0)))
}
