//! Starts the consumer, or one of its commands.

use std::process::ExitCode;

use clap::Subcommand;
use consumer_bars::{BarRow, GapRow, backfill, config};

#[derive(Debug, Subcommand)]
enum Command {
    Backfill(backfill::Arguments),
}

fn main() -> ExitCode {
    sink::main::<BarRow, GapRow, _>(config::CONSUMER, |Command::Backfill(arguments)| backfill::main(arguments))
}
