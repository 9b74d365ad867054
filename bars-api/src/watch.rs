//! Keeps `/health` true: asks the database every second whether it is there and has the tables.

use std::time::Duration;

use service::{CancellationToken, Part};

use crate::db::Database;
use crate::problem::Problem;

/// How often, and therefore how long `/health` may be behind.
const INTERVAL: Duration = Duration::from_secs(1);

const TABLES: &str =
    "SELECT name FROM unnest(ARRAY['stock_bars_staging', 'stock_trades_realtime', 'stock_bar_versions', 'stock_feed_gaps']) AS name
     WHERE to_regclass('market_data_oltp.' || name) IS NULL";

/// Watches until `stop`. `database` should be a pool of its own, so that a busy API still knows how it is.
///
/// # Errors
/// Never; it returns when it is asked to.
pub async fn watch(database: Database, part: Part, stop: CancellationToken) -> anyhow::Result<()> {
    let mut tick = tokio::time::interval(INTERVAL);
    while stop.run_until_cancelled(tick.tick()).await.is_some() {
        match missing(&database).await {
            Ok(tables) if tables.is_empty() => part.ok(),
            Ok(tables) => part.down(format!("tables that a consumer has yet to make: {}", tables.join(", "))),
            Err(problem) => part.down(problem.detail()),
        }
    }
    part.down("stopping");
    Ok(())
}

async fn missing(database: &Database) -> Result<Vec<String>, Problem> {
    let connection = database.connect().await?;
    let rows = connection.query(TABLES, &[]).await?;
    connection.release();
    Ok(rows.iter().map(|row| row.get(0)).collect())
}
