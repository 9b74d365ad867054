//! Starts the consumer, or one of its commands.

use std::process::ExitCode;

use consumer_bars::{BarRow, config};

fn main() -> ExitCode {
    sink::main::<BarRow>(config::CONSUMER)
}
