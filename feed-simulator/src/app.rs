//! What all connections and requests share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::faults::Faults;
use crate::protocol::StreamError;
use crate::rate_limit::RateLimit;
use crate::venue::Market;

/// A stream endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `/v2/iex`
    Iex,
    /// `/v2/sip`
    Sip,
    /// `/v2/delayed_sip`
    DelayedSip,
    /// `/v2/test`
    Test,
}

impl Endpoint {
    /// Reads the last part of the path.
    #[must_use]
    pub fn parse(feed: &str) -> Option<Self> {
        [Self::Iex, Self::Sip, Self::DelayedSip, Self::Test].into_iter().find(|endpoint| endpoint.as_str() == feed)
    }

    /// The last part of the path.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Iex => "iex",
            Self::Sip => "sip",
            Self::DelayedSip => "delayed_sip",
            Self::Test => "test",
        }
    }
}

/// A key with its secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Key id.
    pub key: String,
    /// Secret.
    pub secret: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials(…)")
    }
}

impl Credentials {
    /// The credentials in a request's headers: Alpaca's own two, or `Authorization: Basic`.
    #[must_use]
    pub fn of_headers(headers: &HeaderMap) -> Option<Self> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        if let (Some(key), Some(secret)) = (text("APCA-API-KEY-ID"), text("APCA-API-SECRET-KEY")) {
            return Some(Self { key: key.to_owned(), secret: secret.to_owned() });
        }
        let encoded = text("Authorization")?.strip_prefix("Basic ")?;
        let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
        let (key, secret) = decoded.split_once(':')?;
        Some(Self { key: key.to_owned(), secret: secret.to_owned() })
    }
}

/// What a data plan allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Plan {
    /// IEX only, 30 symbols, 200 requests a minute, SIP history only when it is older than 15 minutes.
    Free,
    /// Everything, 10,000 requests a minute.
    Paid,
}

/// The limits of connections.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The plan.
    pub plan: Plan,
    /// Symbols that one connection may subscribe to.
    pub symbols: Option<usize>,
    /// Connections per key and endpoint.
    pub connections: Option<usize>,
    /// How long a session counts after its connection ended.
    pub linger: Duration,
    /// Time to authenticate.
    pub auth_timeout: Duration,
    /// Time between the server's pings; a client that is silent for twice as long is gone.
    pub ping_every: Duration,
    /// How late `delayed_sip` is.
    pub delayed_by: Duration,
}

/// What all connections and requests share.
#[derive(Debug)]
pub struct App {
    /// The market behind `iex`, `sip` and `delayed_sip`.
    pub main: Arc<Market>,
    /// The market behind `test`.
    pub test: Arc<Market>,
    /// What is broken.
    pub faults: Arc<Faults>,
    /// Limits of connections.
    pub limits: Limits,
    /// Requests allowed for market data.
    pub data_requests: RateLimit,
    /// Requests allowed for clock and calendar.
    pub trading_requests: RateLimit,
    /// Cancelled when the program ends.
    pub stop: CancellationToken,
    /// The stream connections, whose goodbyes the end waits for.
    pub sessions: TaskTracker,
    /// The one accepted key.
    pub credentials: Credentials,
    /// Connections in use.
    pub seats: Arc<Seats>,
}

impl App {
    /// The market behind an endpoint.
    #[must_use]
    pub fn market(&self, endpoint: Endpoint) -> &Arc<Market> {
        if endpoint == Endpoint::Test { &self.test } else { &self.main }
    }

    /// Whether key and secret are right. An OAuth client sends `oauth` and its token, for which the secret counts here.
    #[must_use]
    pub fn accepts(&self, credentials: &Credentials) -> bool {
        let key = credentials.key == self.credentials.key || credentials.key == "oauth";
        key && credentials.secret == self.credentials.secret
    }

    /// Authenticates a stream connection and takes one of the plan's connections.
    ///
    /// # Errors
    /// 402 for wrong credentials, 409 when the plan lacks the endpoint, 406 when all connections are in use.
    pub fn take_seat(&self, credentials: &Credentials, endpoint: Endpoint) -> Result<Seat, StreamError> {
        if !self.accepts(credentials) {
            return Err(StreamError::AUTH_FAILED);
        }
        if self.limits.plan == Plan::Free && endpoint == Endpoint::Sip {
            return Err(StreamError::INSUFFICIENT_SUBSCRIPTION);
        }
        Seats::take(&self.seats, &credentials.key, endpoint, self.limits).ok_or(StreamError::CONNECTION_LIMIT)
    }
}

/// Connections in use, by key and endpoint.
#[derive(Debug, Default)]
pub struct Seats(Mutex<HashMap<(String, Endpoint), usize>>);

impl Seats {
    fn taken(&self) -> MutexGuard<'_, HashMap<(String, Endpoint), usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(seats: &Arc<Self>, key: &str, endpoint: Endpoint, limits: Limits) -> Option<Seat> {
        let place = (key.to_owned(), endpoint);
        let mut taken = seats.taken();
        let count = taken.entry(place.clone()).or_default();
        if limits.connections.is_some_and(|most| *count >= most) {
            return None;
        }
        *count += 1;
        Some(Seat { seats: Arc::clone(seats), place, linger: limits.linger })
    }
}

/// One connection of a plan, given back when dropped.
#[derive(Debug)]
pub struct Seat {
    seats: Arc<Seats>,
    place: (String, Endpoint),
    linger: Duration,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let (seats, place, linger) = (Arc::clone(&self.seats), self.place.clone(), self.linger);
        let give_back = move || {
            if let Some(count) = seats.taken().get_mut(&place) {
                *count = count.saturating_sub(1);
            }
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) if !linger.is_zero() => {
                runtime.spawn(async move {
                    tokio::time::sleep(linger).await;
                    give_back();
                });
            }
            _ => give_back(),
        }
    }
}
