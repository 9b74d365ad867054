//! Starts the consumer, or one of its commands.

use std::process::ExitCode;

use clap::Subcommand;
use consumer_trades::{CorrectionRow, TradeRow, archive, config};

#[derive(Debug, Subcommand)]
enum Command {
    Archive(archive::Arguments),
}

fn main() -> ExitCode {
    sink::main::<TradeRow, CorrectionRow, _, _, _>(
        config::CONSUMER,
        config::Config::from_vars,
        consumer_trades::run,
        |Command::Archive(arguments)| archive::main(arguments),
    )
}
