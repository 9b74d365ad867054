//! PostgreSQL: variables and connection pool.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Error, SimpleQueryMessage};

use crate::config::{Secret, Vars};
pub use crate::postgres_tls::PostgresTls;
use crate::tls::{TlsFiles, Verify};

/// How a transaction that writes begins. It states what it relies on, because `default_transaction_isolation` and
/// `default_transaction_read_only` may be set for a database or a user. Two statements, because `BEGIN READ WRITE` fails on a standby
/// without beginning anything, and what was sent after it would then run without a transaction.
pub const BEGIN: &str = "BEGIN; SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE";

/// Whether a pooler in transaction mode stands between two open connections and the server: then both are served by the same session
/// of the server in turn, and no state of a session (prepared statements, temporary tables, `SET`, session locks) may be relied on.
/// `true` is certain. `false` may be wrong while other clients keep the pool busy.
///
/// # Errors
/// One of PostgreSQL.
pub async fn share_a_session(one: &Client, other: &Client) -> Result<bool, Error> {
    const ROUNDS: usize = 4;
    let first = backend_pid(one).await?;
    for _ in 0..ROUNDS {
        if backend_pid(other).await? == first || backend_pid(one).await? != first {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The server's process. A simple query, which every pooler passes on.
async fn backend_pid(client: &Client) -> Result<Option<String>, Error> {
    let messages = client.simple_query("SELECT pg_backend_pid()").await?;
    Ok(messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    }))
}

/// Where the database is.
#[derive(Clone, Debug)]
pub struct PostgresConfig {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Database.
    pub database: String,
    /// User.
    pub user: String,
    /// Password; none where the server trusts the connection.
    pub password: Option<Secret>,
    /// Whether the connection is encrypted, and what is verified.
    pub tls_mode: TlsMode,
    /// How, with the files that `POSTGRES_SSLROOTCERT`, `POSTGRES_SSLCERT` and `POSTGRES_SSLKEY` name.
    pub tls: PostgresTls,
}

/// `POSTGRES_SSLMODE`, with the meanings of libpq's `sslmode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsMode {
    /// Never encrypted.
    Disable,
    /// Encrypted if the server offers it; nothing is verified.
    Prefer,
    /// Always encrypted. The authority is verified if `POSTGRES_SSLROOTCERT` names one.
    Require,
    /// Always encrypted, by a server with a certificate of a known authority.
    VerifyCa,
    /// The same, and the certificate is for the host.
    VerifyFull,
}

impl FromStr for TlsMode {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "disable" => Ok(Self::Disable),
            "prefer" => Ok(Self::Prefer),
            "require" => Ok(Self::Require),
            "verify-ca" => Ok(Self::VerifyCa),
            "verify-full" => Ok(Self::VerifyFull),
            "allow" => Err("is not supported; use prefer"),
            _ => Err("unknown mode"),
        }
    }
}

impl TlsMode {
    fn verify(self, files: &TlsFiles) -> Verify {
        match self {
            Self::VerifyFull => Verify::Full,
            Self::VerifyCa => Verify::Authority,
            Self::Require if files.ca.is_some() => Verify::Authority,
            Self::Disable | Self::Prefer | Self::Require => Verify::Nothing,
        }
    }

    fn ssl_mode(self) -> SslMode {
        match self {
            Self::Disable => SslMode::Disable,
            Self::Prefer => SslMode::Prefer,
            Self::Require | Self::VerifyCa | Self::VerifyFull => SslMode::Require,
        }
    }
}

fn tls(vars: &mut Vars) -> (TlsMode, PostgresTls) {
    let mode = vars.read("POSTGRES_SSLMODE", TlsMode::Prefer, "disable, prefer, require, verify-ca or verify-full");
    let files = TlsFiles::from_vars(vars, ["POSTGRES_SSLROOTCERT", "POSTGRES_SSLCERT", "POSTGRES_SSLKEY"]);
    if mode == TlsMode::Disable {
        if files != TlsFiles::default() {
            vars.problem(
                "POSTGRES_SSLMODE",
                "is disable although certificates are named (expected verify-full, or none of them)",
            );
        }
        return (mode, PostgresTls(None));
    }
    match files.client_config(mode.verify(&files)) {
        Ok(config) => (mode, PostgresTls(Some(Arc::new(config)))),
        Err(error) => {
            vars.problem("POSTGRES_SSLMODE", format_args!("TLS cannot be set up: {error:#}"));
            (mode, PostgresTls(None))
        }
    }
}

impl PostgresConfig {
    /// Reads `POSTGRES_HOST`, `POSTGRES_PORT`, `POSTGRES_DB`, `POSTGRES_USER`, `POSTGRES_PASSWORD`, `POSTGRES_SSL…`.
    pub fn from_vars(vars: &mut Vars) -> Self {
        let (tls_mode, tls) = tls(vars);
        Self {
            host: vars.read_host("POSTGRES_HOST", "localhost"),
            port: vars.read_within("POSTGRES_PORT", 5432, 1..=65535, "port"),
            database: vars.read("POSTGRES_DB", "market_data".to_owned(), "database name"),
            user: vars.read("POSTGRES_USER", "postgres".to_owned(), "user name"),
            password: vars.secret("POSTGRES_PASSWORD"),
            tls_mode,
            tls,
        }
    }

    /// Connection settings for one client that calls itself `application` in `pg_stat_activity`.
    #[must_use]
    pub fn connection(&self, application: &str) -> tokio_postgres::Config {
        let mut config = tokio_postgres::Config::new();
        config
            .host(&self.host)
            .port(self.port)
            .dbname(&self.database)
            .user(&self.user)
            .application_name(application)
            .ssl_mode(self.tls_mode.ssl_mode())
            .connect_timeout(Duration::from_secs(5))
            .keepalives_idle(Duration::from_secs(30))
            .tcp_user_timeout(Duration::from_secs(30));
        if let Some(password) = &self.password {
            config.password(password.expose());
        }
        config
    }

    /// A pool of at most `connections_max` connections that waits `wait_max` for a free one. `options` are server settings
    /// such as `-c statement_timeout=5000`; empty for none.
    ///
    /// # Errors
    /// Where the settings do not make a pool.
    pub fn pool(
        &self,
        application: &str,
        connections_max: usize,
        wait_max: Duration,
        options: &str,
    ) -> anyhow::Result<Pool> {
        let mut config = self.connection(application);
        if !options.is_empty() {
            config.options(options);
        }
        let manager =
            Manager::from_config(config, self.tls.clone(), ManagerConfig { recycling_method: RecyclingMethod::Fast });
        Pool::builder(manager)
            .max_size(connections_max)
            .wait_timeout(Some(wait_max))
            .create_timeout(Some(Duration::from_secs(5)))
            .recycle_timeout(Some(Duration::from_secs(5)))
            .runtime(Runtime::Tokio1)
            .build()
            .context("the connection pool cannot be made")
    }
}
