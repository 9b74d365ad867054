//! A day comes back: filled beside the table, compared, then attached in one step.

use anyhow::{Context as _, ensure};
use archive::{Archive, Digest};
use jiff::civil::Date;
use sink::Connection;

use super::table::{self, SCHEMA};

/// Brings a day back from the archive. Until the last step readers see nothing of it, and afterwards all of it.
///
/// # Errors
/// If the day is not archived, its file is damaged, or a server fails; the filled table is then removed by the next attempt.
pub(super) async fn restore(archive: &Archive, mut database: Connection, day: Date) -> anyhow::Result<Digest> {
    let archived = archive.open(day).await?.with_context(|| {
        format!("{day} is not in the archive; `consumer-trades archive list` shows the days that are")
    })?;
    let filled = format!("restored_trades_p{}", day.strftime("%Y%m%d"));
    database
        .batch_execute(&format!(
            "SET statement_timeout = 0;
             DROP TABLE IF EXISTS {SCHEMA}.{filled};
             CREATE TABLE {SCHEMA}.{filled} (LIKE {SCHEMA}.stock_trades_realtime
                 INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES INCLUDING COMMENTS)"
        ))
        .await?;
    let groups = Archive::groups(&archived);
    for group in 0..groups {
        let trades = archive.group(&archived, group).await?;
        table::append(database.client_mut(), &filled, &trades).await?;
        tracing::info!(%day, row_group = group + 1, of = groups, "restoring");
    }
    let found = table::digest(&database, &filled).await?;
    ensure!(
        found == archived.digest(),
        "{day}: the restored table holds {found:?}, the archive {:?}; nothing was changed",
        archived.digest()
    );
    database.batch_execute(&format!("ANALYZE {SCHEMA}.{filled}; SET lock_timeout = '5s'")).await?;
    database
        .execute("SELECT market_data_oltp.attach_restored_day($1, $2)", &[&day, &filled])
        .await
        .with_context(|| format!("{day} is filled but cannot be attached now; run the command again"))?;
    Ok(found)
}
