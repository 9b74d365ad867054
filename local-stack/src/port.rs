//! Which port a server listens on.
//!
//! Between the moment a port is found free and the moment its server listens, another stack on the
//! same machine could choose it too. So whoever takes a port here also leases it: it holds a socket
//! in the abstract Unix namespace with the port in its name, which the kernel lets only one process
//! bind and takes back when that process ends, however it ends.

use std::collections::HashMap;
use std::net::{Ipv4Addr, TcpListener};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::{LazyLock, Mutex, PoisonError};

use anyhow::{Result, bail};

/// Free ports are taken from here: below the range that Linux gives to outgoing connections, so
/// that a server which is stopped and started again still finds its port free.
const RANGE: std::ops::Range<u16> = 20_000..32_000;

/// What this process has leased; it is let go at the end of the process, never before, because a
/// server that is stopped may be started again.
static LEASES: LazyLock<Mutex<HashMap<u16, UnixListener>>> = LazyLock::new(Mutex::default);

/// True when a server could listen on `port` now, on whichever address.
#[must_use]
pub fn is_free(port: u16) -> bool {
    // Connections of a server that has just ended linger; SO_REUSEADDR, which std sets, allows for them.
    TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok()
}

/// A port that is free, and that nobody else who asks here will get before this process ends.
///
/// # Errors
/// None of a thousand tries was free.
pub fn free() -> Result<u16> {
    for _ in 0..1_000 {
        let port = rand::random_range(RANGE);
        if lease(port) && is_free(port) {
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
    if lease(usual) && is_free(usual) { Ok(usual) } else { free() }
}

/// True when nobody had leased `port`, neither here nor in another process; now this process has.
fn lease(port: u16) -> bool {
    let mut leases = LEASES.lock().unwrap_or_else(PoisonError::into_inner);
    if leases.contains_key(&port) {
        return false;
    }
    let Ok(held) = SocketAddr::from_abstract_name(name(port)).and_then(|name| UnixListener::bind_addr(&name)) else {
        return false;
    };
    leases.insert(port, held);
    true
}

/// The name of the socket that stands for `port`. The JavaScript tests use the same
/// (`realtime-gateway/tests/js/port.mjs`); it fills all the 107 bytes there are, because Node fills
/// a shorter one with zeros, which would make it another name.
fn name(port: u16) -> String {
    format!("{:.<107}", format!("tapeline-port-{port}"))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_given_once_though_no_server_listens_on_it_yet() {
        let given = free().unwrap();
        assert!(is_free(given));
        assert!(!lease(given), "the same process");
        assert_ne!(prefer(given).unwrap(), given);

        let address = SocketAddr::from_abstract_name(name(given)).unwrap();
        assert!(UnixListener::bind_addr(&address).is_err(), "another process");
    }

    #[test]
    fn a_port_that_another_process_leased_is_not_given() {
        let theirs = 19_999;
        let address = SocketAddr::from_abstract_name(name(theirs)).unwrap();
        let held = UnixListener::bind_addr(&address).unwrap();
        assert!(!lease(theirs));
        assert_ne!(prefer(theirs).unwrap(), theirs);
        drop(held);
        assert!(lease(theirs), "its process has ended");
    }
}
