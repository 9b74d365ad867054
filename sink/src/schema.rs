//! Brings the database to the newest schema. Any number of services may do so at once.

use anyhow::Context as _;
use service::Part;
use service::postgres::PostgresConfig;
use tokio_util::sync::CancellationToken;

use crate::connection::Connection;
use crate::retry;

mod embedded {
    refinery::embed_migrations!("../sql");
}

/// Where the runner keeps its history; within our schema, because not every user may write to `public`.
const HISTORY_TABLE: &str = "market_data_oltp.schema_history";

/// Runs every migration that is missing, waiting for PostgreSQL where it is away.
///
/// # Errors
/// Where a migration fails, or one that ran earlier has changed since; returns early without error when `stop` is cancelled.
pub async fn migrate(
    config: &PostgresConfig,
    application: &str,
    part: &Part,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    retry::with_postgres(config, application, part, stop, migrate_once).await.with_context(|| {
        format!("cannot bring database {} on {} to the newest schema", config.database, config.host)
    })?;
    Ok(())
}

async fn migrate_once(mut connection: Connection) -> anyhow::Result<()> {
    // One runner at a time; the lock ends with the connection. Making the schema is not atomic in PostgreSQL, so it waits its turn too.
    connection.execute("SELECT pg_advisory_lock(hashtextextended('tapeline.schema', 0))", &[]).await?;
    connection.batch_execute("CREATE SCHEMA IF NOT EXISTS market_data_oltp").await?;
    let mut runner = embedded::migrations::runner();
    runner.set_migration_table_name(HISTORY_TABLE);
    let report = runner.run_async(connection.client_mut()).await?;
    for migration in report.applied_migrations() {
        tracing::info!(migration = %migration, "migrated");
    }
    Ok(())
}
