//! PostgreSQL: variables and connection pool.

use std::time::Duration;

use anyhow::Context as _;
use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use tokio_postgres::NoTls;

use crate::config::{Secret, Vars};

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
}

impl PostgresConfig {
    /// Reads `POSTGRES_HOST`, `POSTGRES_PORT`, `POSTGRES_DB`, `POSTGRES_USER`, `POSTGRES_PASSWORD`.
    pub fn from_vars(vars: &mut Vars) -> Self {
        Self {
            host: vars.read("POSTGRES_HOST", "localhost".to_owned(), "host name"),
            port: vars.read_within("POSTGRES_PORT", 5432, 1..=65535, "port"),
            database: vars.read("POSTGRES_DB", "market_data".to_owned(), "database name"),
            user: vars.read("POSTGRES_USER", "postgres".to_owned(), "user name"),
            password: vars.secret("POSTGRES_PASSWORD"),
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
        let manager = Manager::from_config(config, NoTls, ManagerConfig { recycling_method: RecyclingMethod::Fast });
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
