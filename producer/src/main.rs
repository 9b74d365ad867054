//! `producer`: from the feed to Redis and Kafka.

use std::process::ExitCode;

fn main() -> ExitCode {
    service::main("producer", producer::Config::from_vars, producer::run)
}
