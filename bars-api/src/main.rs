//! The history API's entry point.

use std::process::ExitCode;

fn main() -> ExitCode {
    service::main("bars-api", bars_api::Config::from_vars, bars_api::run)
}
