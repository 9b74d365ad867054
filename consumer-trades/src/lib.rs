//! Stores the trades of the tape in `market_data_oltp.stock_trades_realtime`, each exactly once.
//!
//! Thin: everything but the row is in [`sink`], which both consumers share.

pub mod config;
pub mod row;

pub use row::TradeRow;
use service::CancellationToken;
use sink::SinkConfig;

/// Runs until `stop`.
///
/// # Errors
/// A sentence that says what went wrong and what to do.
pub async fn run(config: SinkConfig, stop: CancellationToken) -> anyhow::Result<()> {
    sink::run::<TradeRow>(config, stop).await
}
