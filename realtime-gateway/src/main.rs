//! `realtime-gateway`: see `lib.rs`.

use std::process::ExitCode;

fn main() -> ExitCode {
    service::main("realtime-gateway", realtime_gateway::Config::from_vars, realtime_gateway::run)
}
