//! Starts the consumer.

use std::process::ExitCode;

use consumer_trades::config;

fn main() -> ExitCode {
    service::main(config::SERVICE, config::from_vars, consumer_trades::run)
}
