//! Redis: variables, channels, client.

use anyhow::Context as _;
use redis::{Client, ClientTlsConfig, ConnectionAddr, IntoConnectionInfo as _, RedisConnectionInfo, TlsCertificates};
use rustls::crypto::aws_lc_rs;

use crate::address::is_channel;
use crate::config::{Secret, Vars};
use crate::tls::TlsFiles;

/// Where Redis is and what its channels are called.
#[derive(Clone, Debug)]
pub struct RedisConfig {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// User of Redis's access list; `None`: the default user.
    pub user: Option<String>,
    /// Password, if one is needed.
    pub password: Option<Secret>,
    /// The certificates of an encrypted connection; `None`: it is not encrypted.
    pub tls: Option<RedisTls>,
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

/// What an encrypted connection needs.
#[derive(Clone, Debug)]
pub struct RedisTls(TlsCertificates);

impl RedisTls {
    fn from_vars(vars: &mut Vars) -> Option<Self> {
        let wanted = vars.read_switch("REDIS_TLS", false);
        let files = TlsFiles::from_vars(vars, ["REDIS_TLS_CA", "REDIS_TLS_CERT", "REDIS_TLS_KEY"]);
        if !wanted {
            if files != TlsFiles::default() {
                vars.problem("REDIS_TLS", "is off although certificates are named (expected true, or none of them)");
            }
            return None;
        }
        let certificates = || {
            let client_tls =
                files.client_pem()?.map(|(client_cert, client_key)| ClientTlsConfig { client_cert, client_key });
            anyhow::Ok(TlsCertificates { client_tls, root_cert: files.ca_pem()? })
        };
        certificates()
            .map(Self)
            .map_err(|error| vars.problem("REDIS_TLS", format_args!("TLS cannot be set up: {error:#}")))
            .ok()
    }
}

impl RedisConfig {
    /// Reads `REDIS_HOST`, `REDIS_PORT`, `REDIS_USER`, `REDIS_PASSWORD`, `REDIS_TLS…` and `REDIS_CHANNEL_{TRADES,BARS,QUOTES,STATUS,DEMAND}`.
    pub fn from_vars(vars: &mut Vars) -> Self {
        let channels = [
            ("REDIS_CHANNEL_TRADES", "stock:trades:pubsub"),
            ("REDIS_CHANNEL_BARS", "stock:bars:pubsub"),
            ("REDIS_CHANNEL_QUOTES", "stock:quotes:pubsub"),
            ("REDIS_CHANNEL_STATUS", "stock:status:pubsub"),
            ("REDIS_CHANNEL_DEMAND", "stock:demand:pubsub"),
        ];
        let [channel_trades, channel_bars, channel_quotes, channel_status, channel_demand] =
            vars.read_names(channels, "a channel name without blanks", is_channel);
        Self {
            host: vars.read_host("REDIS_HOST", "localhost"),
            port: vars.read_within("REDIS_PORT", 6379, 1..=65535, "port"),
            user: vars.read_optional("REDIS_USER", "user of Redis's access list"),
            password: vars.secret("REDIS_PASSWORD"),
            tls: RedisTls::from_vars(vars),
            channel_trades,
            channel_bars,
            channel_quotes,
            channel_status,
            channel_demand,
        }
    }

    /// A client that connects when it is first asked to.
    ///
    /// # Errors
    /// Where the address is malformed.
    pub fn client(&self) -> anyhow::Result<Client> {
        let mut login = RedisConnectionInfo::default();
        if let Some(user) = &self.user {
            login = login.set_username(user);
        }
        if let Some(password) = &self.password {
            login = login.set_password(password.expose());
        }
        let (host, port) = (self.host.clone(), self.port);
        let address = match &self.tls {
            None => ConnectionAddr::Tcp(host, port),
            Some(_) => ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None },
        };
        let invalid = || format!("REDIS_HOST `{}` and REDIS_PORT `{port}` do not form a valid address", self.host);
        let info = address.into_connection_info().with_context(invalid)?.set_redis_settings(login);
        match &self.tls {
            None => Client::open(info).with_context(invalid),
            Some(RedisTls(certificates)) => {
                let _ = aws_lc_rs::default_provider().install_default(); // another one that is installed serves as well
                Client::build_with_tls(info, certificates.clone()).context("Redis's certificates cannot be used")
            }
        }
    }
}
