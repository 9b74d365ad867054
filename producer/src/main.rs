//! `producer`: from the feeds to Redis and Kafka.

use std::process::ExitCode;

fn main() -> ExitCode {
    producer::tools::cli::main()
}
