//! How many clients may come.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{ConnectInfo, Request};
use service::web::admission::{Admission, Admitted, Limits, Refused};
use service::web::client_address::TrustedProxies;

use crate::config::DoorLimits;
use crate::files::Files;

/// Holds a session's place in the counts, whatever its transport.
pub type Place = Admitted;

/// Two counts: of connections, which cost a file each, and of sessions, which cost memory. One polling session may use many connections,
/// and one connection may carry many sessions.
#[derive(Debug)]
pub struct Door {
    connections: Admission,
    sessions: Admission,
    proxies: TrustedProxies,
    files: Files,
}

impl Door {
    /// Nobody has come yet.
    #[must_use]
    pub fn new(limits: &DoorLimits, files: Files, proxies: TrustedProxies) -> Self {
        let sessions_max = limits.connections_max.min(files.connections_max);
        if sessions_max < limits.connections_max {
            tracing::warn!(
                CONNECTIONS_MAX = limits.connections_max,
                taken = sessions_max,
                "CONNECTIONS_MAX is above what the limit on open files allows; raise that limit (`ulimit -n`, LimitNOFILE=) to take more"
            );
        }
        let counted = |total_max| Limits {
            total_max,
            per_address_max: limits.connections_per_address_max,
            per_address_rate: limits.connects_per_address_rate,
        };
        Self {
            connections: Admission::new(counted(files.connections_max)),
            sessions: Admission::new(counted(sessions_max)),
            proxies,
            files,
        }
    }

    /// Admits a connection. Those of a trusted proxy count in all, not for its address: they belong to many clients.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn connect(&self, peer: IpAddr, now: Instant) -> Result<Admitted, Refused> {
        if self.proxies.trust(peer) { self.connections.admit_shared() } else { self.connections.admit(peer, now) }
    }

    /// Admits a session, counted for the client's address.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn begin(&self, request: &Request, now: Instant) -> Result<Arc<Place>, Refused> {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip());
        let Some(peer) = peer else { return self.sessions.admit_shared().map(Arc::new) };
        let values = |name: &'static str| request.headers().get_all(name).iter().map(|value| value.as_bytes());
        self.sessions.admit(self.proxies.client(peer, values), now).map(Arc::new)
    }

    /// Every few seconds: forgets addresses that nobody uses.
    pub fn sweep(&self, now: Instant) {
        self.connections.sweep(now);
        self.sessions.sweep(now);
    }

    /// How many connections beyond the limit get an answer that says so.
    #[must_use]
    pub fn refusals_max(&self) -> usize {
        self.files.refusals_max
    }

    /// Connections now.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.count()
    }

    /// Sessions now.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.sessions.count()
    }
}
