//! Starts the consumer, or one of its commands.

use std::process::ExitCode;

use consumer_bars::{BarRow, GapRow, backfill, config};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|command| command == "backfill") {
        return backfill::main(arguments);
    }
    sink::main::<BarRow, GapRow>(config::CONSUMER)
}
