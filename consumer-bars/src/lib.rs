//! Stores the bars of every symbol in `market_data_oltp.stock_bars_staging` and the outages of feeds in `stock_feed_gaps`, the newest
//! version of each.
//!
//! Thin: everything but the rows is in [`sink`], which both consumers share.

pub mod backfill;
pub mod config;
pub mod gap_row;
pub mod row;

pub use gap_row::GapRow;
pub use row::BarRow;
use service::CancellationToken;
use sink::SinkConfig;

/// Runs until `stop`.
///
/// # Errors
/// A sentence that says what went wrong and what to do.
pub async fn run(config: SinkConfig, stop: CancellationToken) -> anyhow::Result<()> {
    sink::run::<BarRow, GapRow>(config, stop).await
}
