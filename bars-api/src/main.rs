//! The history API's entry point.

use std::process::ExitCode;

fn main() -> ExitCode {
    service::program("bars-api", "Serves stored bars and trades over HTTP.", bars_api::Config::from_vars, bars_api::run)
}
