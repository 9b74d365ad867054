//! Starts the consumer, or one of its commands.

use std::process::ExitCode;

use clap::Subcommand;
use consumer_bars::{BarRow, GapRow, backfill, config};

#[derive(Debug, Subcommand)]
enum Command {
    Backfill(backfill::Arguments),
}

fn main() -> ExitCode {
    sink::main::<BarRow, GapRow, _, _, _>(
        config::CONSUMER,
        config::from_vars,
        consumer_bars::run,
        |Command::Backfill(arguments)| backfill::main(arguments),
    )
}
