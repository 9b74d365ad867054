//! Starts the consumer, or one of its commands.

use std::convert::Infallible;
use std::process::ExitCode;

use consumer_trades::{CorrectionRow, TradeRow, config};

fn main() -> ExitCode {
    sink::main::<TradeRow, CorrectionRow, _>(config::CONSUMER, |none: Infallible| match none {})
}
