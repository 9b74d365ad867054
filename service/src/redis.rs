//! Redis: variables, channels, client.

use anyhow::Context as _;
use redis::{Client, ConnectionAddr, IntoConnectionInfo as _, RedisConnectionInfo};

use crate::config::{Secret, Vars};

/// Where Redis is and what its channels are called.
#[derive(Clone, Debug)]
pub struct RedisConfig {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Password, where one is needed.
    pub password: Option<Secret>,
    /// Trades.
    pub channel_trades: String,
    /// Bars.
    pub channel_bars: String,
    /// Quotes.
    pub channel_quotes: String,
    /// Gaps and other states of the feed.
    pub channel_status: String,
    /// Symbols that the clients of the gateways want.
    pub channel_demand: String,
}

impl RedisConfig {
    /// Reads `REDIS_HOST`, `REDIS_PORT`, `REDIS_PASSWORD` and `REDIS_CHANNEL_{TRADES,BARS,QUOTES,STATUS,DEMAND}`.
    pub fn from_vars(vars: &mut Vars) -> Self {
        let text = "text";
        Self {
            host: vars.read("REDIS_HOST", "localhost".to_owned(), "host name"),
            port: vars.read_within("REDIS_PORT", 6379, 1..=65535, "port"),
            password: vars.secret("REDIS_PASSWORD"),
            channel_trades: vars.read("REDIS_CHANNEL_TRADES", "stock:trades:pubsub".to_owned(), text),
            channel_bars: vars.read("REDIS_CHANNEL_BARS", "stock:bars:pubsub".to_owned(), text),
            channel_quotes: vars.read("REDIS_CHANNEL_QUOTES", "stock:quotes:pubsub".to_owned(), text),
            channel_status: vars.read("REDIS_CHANNEL_STATUS", "stock:status:pubsub".to_owned(), text),
            channel_demand: vars.read("REDIS_CHANNEL_DEMAND", "stock:demand:pubsub".to_owned(), text),
        }
    }

    /// A client that connects when it is first asked to.
    ///
    /// # Errors
    /// Where the address is malformed.
    pub fn client(&self) -> anyhow::Result<Client> {
        let mut login = RedisConnectionInfo::default();
        if let Some(password) = &self.password {
            login = login.set_password(password.expose());
        }
        let info = ConnectionAddr::Tcp(self.host.clone(), self.port)
            .into_connection_info()
            .context("REDIS_HOST and REDIS_PORT do not make an address")?
            .set_redis_settings(login);
        Client::open(info).context("REDIS_HOST and REDIS_PORT do not make an address")
    }
}
