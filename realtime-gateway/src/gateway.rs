//! What all parts of a running gateway share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;

use crate::access::Access;
use crate::config::Config;
use crate::door::Door;
use crate::files::Files;
use crate::hub::Hub;

/// How long another service may be silent in the middle of an answer.
const SILENCE_MAX: Duration = Duration::from_secs(15);

/// One running gateway.
#[derive(Debug)]
pub struct Gateway {
    /// Its settings.
    pub config: Config,
    /// Its clients.
    pub hub: Arc<Hub>,
    /// Its keys and tokens.
    pub access: Access,
    /// Its door.
    pub door: Door,
    /// What it knows of the feed.
    pub feed: Feed,
    /// Asks other services.
    pub http: reqwest::Client,
}

/// How the records come in.
#[derive(Debug, Default)]
pub struct Feed {
    connected: AtomicBool,
    last_record_ms: AtomicU64,
    /// Whether some other service of the pipeline is not well.
    ailing: AtomicBool,
}

impl Feed {
    /// Notes whether Redis is there.
    pub fn set_connected(&self, connected: bool) {
        self.connected.store(connected, Ordering::Relaxed);
    }

    /// Whether Redis is there.
    #[must_use]
    pub fn connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
    }

    /// Notes whether every other service of the pipeline is well.
    pub fn set_well(&self, well: bool) {
        self.ailing.store(!well, Ordering::Relaxed);
    }

    /// Whether every other service of the pipeline is well.
    #[must_use]
    pub fn well(&self) -> bool {
        !self.ailing.load(Ordering::Relaxed)
    }

    /// Notes that a record came.
    pub fn record_at(&self, unix_ms: u64) {
        self.last_record_ms.store(unix_ms, Ordering::Relaxed);
    }

    /// Milliseconds since the last record; `None` before the first.
    #[must_use]
    pub fn age_ms(&self, now_unix_ms: u64) -> Option<u64> {
        let at = self.last_record_ms.load(Ordering::Relaxed);
        (at > 0).then(|| now_unix_ms.saturating_sub(at))
    }
}

impl Gateway {
    /// A gateway without clients.
    ///
    /// # Errors
    /// When the HTTP client cannot be made, or the system lets the process open too few files.
    pub fn new(config: Config) -> anyhow::Result<Arc<Self>> {
        let http =
            reqwest::Client::builder().connect_timeout(Duration::from_secs(2)).read_timeout(SILENCE_MAX).build()?;
        let files = Files::claim().map_err(anyhow::Error::msg)?;
        Ok(Arc::new(Self {
            hub: Hub::new(config.hub),
            access: Access::new(&config.access),
            door: Door::new(&config.door, files, config.proxies.clone()),
            feed: Feed::default(),
            http,
            config,
        }))
    }

    /// A question to the history API, with a key where this pipeline has keys: the API may ask for one, too.
    pub fn ask_history(&self, method: reqwest::Method, url: impl reqwest::IntoUrl) -> reqwest::RequestBuilder {
        let question = self.http.request(method, url);
        match self.config.access.keys.first() {
            Some(key) => question.header("x-api-key", key.expose()),
            None => question,
        }
    }
}

/// An id that nobody can guess: 20 characters of `A`–`Z`, `a`–`z`, `0`–`9`, `-`, `_`.
#[must_use]
pub fn random_id() -> String {
    let bytes: [u8; 15] = rand::random();
    BASE64.encode(bytes)
}
