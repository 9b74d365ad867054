//! Which port a server listens on.
//!
//! Between the moment a port is found free and the moment its server listens, another stack on the
//! same machine could choose it too. So whoever takes a port here also leases it: it holds a socket
//! in the abstract Unix namespace with the port in its name, which the kernel lets only one process
//! bind and takes back when that process ends, however it ends.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::{LazyLock, Mutex, PoisonError};

use anyhow::{Result, bail};
use tokio::net::TcpSocket;

/// Free ports are taken from here: below the range that Linux gives to outgoing connections, so
/// that a server which is stopped and started again still finds its port free.
const RANGE: std::ops::Range<u16> = 20_000..32_000;

/// What this process has leased; it is let go at the end of the process, never before, because a
/// server that is stopped may be started again.
static LEASES: LazyLock<Mutex<HashMap<u16, UnixListener>>> = LazyLock::new(Mutex::default);

/// True when a server could listen on `port` now, on whichever address.
#[must_use]
pub fn is_free(port: u16) -> bool {
    probe(port).is_ok()
}

/// Takes the address of `port` without listening. A process that is being started at this moment by another thread holds a copy of
/// every socket until it becomes its program: the copy of one that listens would be a server that nobody can find.
fn probe(port: u16) -> std::io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?; // connections of a server that has just ended linger
    socket.bind((Ipv4Addr::UNSPECIFIED, port).into())?;
    Ok(socket)
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
    use std::net::TcpListener;

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
    fn a_server_can_listen_though_the_copy_of_a_probe_is_still_around() {
        let port = free().unwrap();
        let _copy = probe(port).unwrap();
        assert!(is_free(port));
        let _server = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        assert!(!is_free(port));
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
