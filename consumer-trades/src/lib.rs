//! Stores the trades of the tape in `market_data_oltp.stock_trades_realtime`, each exactly once, and marks those that corrections
//! (`stock_trade_corrections`) say do not hold.
//!
//! Thin: everything but the rows is in [`sink`], which both consumers share.

pub mod config;
pub mod correction_row;
pub mod row;

pub use correction_row::CorrectionRow;
pub use row::TradeRow;
use service::CancellationToken;
use sink::SinkConfig;

/// Runs until `stop`.
///
/// # Errors
/// A sentence that says what went wrong and what to do.
pub async fn run(config: SinkConfig, stop: CancellationToken) -> anyhow::Result<()> {
    sink::run::<TradeRow, CorrectionRow>(config, stop).await
}
