//! Closed days move from PostgreSQL to the archive and back.
//!
//! ```text
//!  partition ──▶ file ──▶ uploaded, read back, compared ──▶ partition detached, day recorded (one transaction)
//!                                                       ──▶ detached table compared with the file once more, dropped
//! ```
//!
//! Stopped or killed at any step, the next run continues: the file replaces a day only after it was verified, and a detached table is
//! dropped only when the archive holds each of its rows.

mod command;
mod export;
mod restore;
mod table;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use archive::{Archive, Digest};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use service::CancellationToken;
use sink::{Connection, SinkConfig};

pub use command::{Arguments, main};

/// Between two rounds of the service.
const INTERVAL: Duration = Duration::from_secs(3600);
/// A detach that cannot get its lock in this time is left to the next round, because writers wait behind it.
const LOCK_MAX: &str = "SET lock_timeout = '2s'; SET statement_timeout = 0";

/// Archives what is older than `RETENTION_DAYS`, once an hour, until `stop`. A failure is logged and tried again in the next round: the rows
/// stay in PostgreSQL meanwhile.
pub(crate) async fn keep(sink: SinkConfig, folder: PathBuf, keep_days: u32, stop: CancellationToken) {
    let mut tick = tokio::time::interval(INTERVAL);
    while stop.run_until_cancelled(tick.tick()).await.is_some() {
        let round = async {
            let archive = Archive::in_folder(&folder)?;
            let database = Connection::open(&sink.postgres, sink.service).await?;
            archive_older(&archive, database, keep_days).await
        };
        if let Some(Err(error)) = stop.run_until_cancelled(round).await {
            tracing::warn!("cannot archive now, trying again in an hour: {error:#}");
        }
    }
}

/// Archives every day that is more than `keep_days` old; returns how many. Days that were restored stay until somebody names them.
///
/// # Errors
/// If a server or the disk fails. What is archived by then stays archived.
async fn archive_older(archive: &Archive, database: Connection, keep_days: u32) -> anyhow::Result<usize> {
    let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
    let first_kept = today.saturating_sub(i64::from(keep_days).days());
    let restored: Vec<Date> = database
        .query("SELECT day FROM market_data_oltp.archived_days WHERE restored_at IS NOT NULL", &[])
        .await?
        .iter()
        .map(|row| row.get(0))
        .collect();
    let mut days = table::tables(&database, "archived_trades_p").await?; // a run was stopped before it dropped these
    days.extend(table::tables(&database, "stock_trades_realtime_p").await?.iter().filter(|day| **day < first_kept));
    days.retain(|day| !restored.contains(day));
    days.sort_unstable();
    days.dedup();
    for day in &days {
        archive_day(archive, &database, *day).await?;
    }
    Ok(days.len())
}

/// Archives one day and drops its partition.
///
/// # Errors
/// If there is no such day, or a server or the disk fails.
async fn archive_day(archive: &Archive, database: &Connection, day: Date) -> anyhow::Result<()> {
    database.batch_execute(LOCK_MAX).await?;
    drop_detached(archive, database, day).await?;
    let partition = table::partition_of(day);
    if !table::tables(database, &partition).await?.contains(&day) {
        return Ok(());
    }
    let archived = export::export(database, archive, day, &partition).await?;
    detach(database, day, archived.digest(), archived.bytes).await?;
    drop_detached(archive, database, day).await?;
    let Digest { rows, void, .. } = archived.digest();
    tracing::info!(%day, rows, void, bytes = archived.bytes, "archived and removed from PostgreSQL");
    Ok(())
}

async fn detach(database: &Connection, day: Date, digest: Digest, bytes: u64) -> anyhow::Result<()> {
    let (rows, void) = (i64::try_from(digest.rows)?, i64::try_from(digest.void)?);
    let sql = "SELECT market_data_oltp.detach_archived_day($1, $2, $3, $4, $5)";
    let values = (digest.hash.cast_signed(), i64::try_from(bytes)?);
    database
        .execute(sql, &[&day, &rows, &void, &values.0, &values.1])
        .await
        .with_context(|| format!("{day} is archived, but its partition cannot be detached"))?;
    Ok(())
}

/// Drops a detached table after comparing it with the archive. Rows that came between the snapshot and the detach are added to the archive first.
async fn drop_detached(archive: &Archive, database: &Connection, day: Date) -> anyhow::Result<()> {
    let detached = table::detached_of(day);
    if !table::tables(database, &detached).await?.contains(&day) {
        return Ok(());
    }
    let known = archive.open(day).await?.map(|archived| archived.digest());
    if known != Some(table::digest(database, &detached).await?) {
        let merged = export::export(database, archive, day, &detached).await?;
        let Digest { rows, void, hash } = merged.digest();
        let sql =
            "UPDATE market_data_oltp.archived_days SET (rows, void, hash, bytes) = ($2, $3, $4, $5) WHERE day = $1";
        let (rows, void) = (i64::try_from(rows)?, i64::try_from(void)?);
        database.execute(sql, &[&day, &rows, &void, &hash.cast_signed(), &i64::try_from(merged.bytes)?]).await?;
    }
    database.batch_execute(&format!("DROP TABLE {}.{detached}", table::SCHEMA)).await?;
    Ok(())
}
