//! Which port a server listens on.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Result, bail};

/// Free ports are taken from here: below the range that Linux gives to outgoing connections, so
/// that a server which is stopped and started again still finds its port free.
const RANGE: std::ops::Range<u16> = 20_000..32_000;

/// True when a server could listen on `port` now, on whichever address.
#[must_use]
pub fn is_free(port: u16) -> bool {
    // Connections of a server that has just ended linger; SO_REUSEADDR, which std sets, allows for them.
    TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok()
}

/// A port that is free now.
///
/// # Errors
/// None of a thousand tries was free.
pub fn free() -> Result<u16> {
    for _ in 0..1_000 {
        let port = rand::random_range(RANGE);
        if is_free(port) {
            return Ok(port);
        }
    }
    bail!("no free port between {} and {}", RANGE.start, RANGE.end)
}

/// `usual` where it is free, else another.
///
/// # Errors
/// No port is free.
pub fn prefer(usual: u16) -> Result<u16> {
    if is_free(usual) { Ok(usual) } else { free() }
}

/// One sentence when `port` is taken, naming who should do what.
///
/// # Errors
/// The port is in use.
pub fn require_free(port: u16, what: &str) -> Result<()> {
    if is_free(port) {
        return Ok(());
    }
    bail!(
        "port {port} is in use, so {what} cannot start: stop the program that has it (`ss -ltnp 'sport = :{port}'` names it)"
    )
}
