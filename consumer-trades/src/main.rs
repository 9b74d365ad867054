//! Starts the consumer, or one of its commands.

use std::process::ExitCode;

use consumer_trades::{CorrectionRow, TradeRow, config};

fn main() -> ExitCode {
    sink::main::<TradeRow, CorrectionRow>(config::CONSUMER)
}
