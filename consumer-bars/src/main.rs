//! Starts the consumer, or one of its commands.

use std::process::ExitCode;

use consumer_bars::{BarRow, GapRow, config};

fn main() -> ExitCode {
    sink::main::<BarRow, GapRow>(config::CONSUMER)
}
