//! Starts the consumer.

use std::process::ExitCode;

use consumer_bars::config;

fn main() -> ExitCode {
    service::main(config::SERVICE, config::from_vars, consumer_bars::run)
}
