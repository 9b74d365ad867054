//! Stores the bars of every symbol in `market_data_oltp.stock_bars_staging`, the newest version of each.
//!
//! Thin: everything but the row is in [`sink`], which both consumers share.

pub mod config;
pub mod row;

pub use row::BarRow;
use service::CancellationToken;
use sink::SinkConfig;

/// Runs until `stop`.
///
/// # Errors
/// A sentence that says what went wrong and what to do.
pub async fn run(config: SinkConfig, stop: CancellationToken) -> anyhow::Result<()> {
    sink::run::<BarRow>(config, stop).await
}
