//! `realtime-gateway`: see `lib.rs`.

use std::process::ExitCode;

fn main() -> ExitCode {
    service::program(
        "realtime-gateway",
        "Carries live records from Redis to Socket.IO, WebSocket and SSE clients, and serves the dashboard.",
        realtime_gateway::Config::from_vars,
        realtime_gateway::run,
    )
}
