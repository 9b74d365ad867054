//! Brings the database to the newest schema. Any number of services may do so at once.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use refinery::Migration;
use service::Part;
use service::postgres::{BEGIN, PostgresConfig};
use tokio_postgres::types::Type;
use tokio_util::sync::CancellationToken;

use crate::connection::{Connection, Parameter};
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

/// All that is missing, in one transaction and under a lock that ends with it: that holds through any pooler, and a database is never
/// left between two versions. Under READ COMMITTED each statement sees what the previous holder of the lock has committed.
async fn migrate_once(connection: Connection) -> anyhow::Result<()> {
    let result = apply_missing(&connection).await;
    if result.is_err() {
        drop(connection.batch_execute("ROLLBACK").await); // a connection that is lost has rolled back
    }
    for migration in result? {
        tracing::info!(migration = %migration, "migrated");
    }
    Ok(())
}

async fn apply_missing(connection: &Connection) -> anyhow::Result<Vec<Migration>> {
    let lock = "SELECT pg_advisory_xact_lock(hashtextextended('tapeline.schema', 0))";
    let unlimited = "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0";
    connection.batch_execute(&format!("{BEGIN}; {unlimited}; {lock}")).await?;
    connection
        .batch_execute(&format!(
            "CREATE SCHEMA IF NOT EXISTS market_data_oltp;
             CREATE TABLE IF NOT EXISTS {HISTORY_TABLE}
                 (version int4 PRIMARY KEY, name varchar(255), applied_on varchar(255), checksum varchar(255))"
        ))
        .await?;
    let sql = format!("SELECT version, name, checksum FROM {HISTORY_TABLE}");
    let rows = connection.query_typed(&sql, &[]).await?;
    let applied: BTreeMap<i32, (String, String)> =
        rows.iter().map(|row| (row.get(0), (row.get(1), row.get(2)))).collect();
    let missing = missing(embedded::migrations::runner().get_migrations(), &applied)?;
    for migration in &missing {
        let sql = migration.sql().context("a migration without text")?;
        connection.batch_execute(sql).await.with_context(|| format!("migration {migration} failed"))?;
        let record =
            format!("INSERT INTO {HISTORY_TABLE} (version, name, applied_on, checksum) VALUES ($1, $2, $3, $4)");
        let (version, name) = (migration.version(), migration.name());
        let (now, checksum) = (jiff::Timestamp::now().to_string(), migration.checksum().to_string());
        let values: [Parameter<'_>; 4] =
            [(&version, Type::INT4), (&name, Type::TEXT), (&now, Type::TEXT), (&checksum, Type::TEXT)];
        connection.query_typed(&record, &values).await?;
    }
    connection.batch_execute("COMMIT").await?;
    Ok(missing)
}

/// The migrations that have not run, in their order.
///
/// # Errors
/// Where one has run whose text or name is another now. A database that is ahead of this program is none: migrations keep what older
/// programs use, so that an upgrade can be rolled back.
fn missing(known: &[Migration], applied: &BTreeMap<i32, (String, String)>) -> anyhow::Result<Vec<Migration>> {
    let mut known = known.to_vec();
    known.sort();
    for migration in &known {
        if let Some((name, checksum)) = applied.get(&migration.version()) {
            ensure!(
                name == migration.name() && *checksum == migration.checksum().to_string(),
                "migration {migration} has run with another text, as `V{}__{name}`: this database belongs to another version of \
                 Tapeline, or the file was edited after it ran",
                migration.version(),
            );
        }
    }
    for version in applied.keys().filter(|version| known.iter().all(|migration| migration.version() != **version)) {
        tracing::warn!(
            version,
            "this database has a migration that this program does not know; it is of a newer version"
        );
    }
    known.retain(|migration| !applied.contains_key(&migration.version()));
    Ok(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_migration_that_has_changed_since_it_ran_is_an_error_and_one_that_is_not_known_is_none() {
        let known = [Migration::unapplied("V2__b", "b").unwrap(), Migration::unapplied("V1__a", "a").unwrap()];
        let ran = |migration: &Migration| (migration.name().to_owned(), migration.checksum().to_string());
        let names = |applied: &BTreeMap<i32, (String, String)>| {
            missing(&known, applied).map(|missing| missing.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        assert_eq!(names(&BTreeMap::new()).unwrap(), ["V1__a", "V2__b"]);
        let mut applied = BTreeMap::from([(1, ran(&known[1])), (9, ("later".to_owned(), "7".to_owned()))]);
        assert_eq!(names(&applied).unwrap(), ["V2__b"]);
        applied.insert(2, ("b".to_owned(), "7".to_owned()));
        assert!(names(&applied).unwrap_err().to_string().contains("V2__b has run with another text"));
    }
}
