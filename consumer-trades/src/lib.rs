//! Stores the trades of the tape in `market_data_oltp.stock_trades_realtime`, each exactly once, and marks those that corrections
//! (`stock_trade_corrections`) say do not hold.
//!
//! Thin: everything but the rows is in [`sink`], which both consumers share.

pub mod archive;
pub mod config;
pub mod correction_row;
pub mod row;

pub use correction_row::CorrectionRow;
pub use row::TradeRow;

use config::Config;
use service::CancellationToken;

/// Runs until `stop`.
///
/// # Errors
/// A sentence that says what went wrong and what to do.
pub async fn run(config: Config, stop: CancellationToken) -> anyhow::Result<()> {
    let Config { mut sink, archive } = config;
    let archived = match (archive.folder, sink.retention_days) {
        (Some(folder), Some(keep_days)) => {
            sink.expires = false; // the archive removes days, and only those that it holds
            Some(archive::keep(sink.clone(), folder, keep_days, stop.child_token()))
        }
        _ => None,
    };
    let archiving = async {
        if let Some(archived) = archived {
            archived.await;
        }
        std::future::pending().await
    };
    tokio::select! {
        ended = sink::run::<TradeRow, CorrectionRow>(sink, stop) => ended,
        never = archiving => never,
    }
}
