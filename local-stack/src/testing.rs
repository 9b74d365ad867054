//! Servers for integration tests, with something fresh for every test on them.
//!
//! A server that the environment names is used (`make test` starts all three once and names them);
//! otherwise the test program starts one of its own when the first test asks, and keeps it to its end.
//! Either way the tests share it, so each takes its own topics, key prefixes and databases. Tests that
//! stop or kill a server start one for themselves: [`crate::Kafka::start_temporary`] and its like.
//!
//! These functions panic with the reason when a server cannot be had: there is no test without it.

use std::env;

use tokio::sync::OnceCell;
use tokio_postgres::Config;

use crate::infra::DATABASE;
use crate::{Kafka, Postgres, Redis, kafka, postgres};

/// `host:port` of a real Kafka.
pub async fn kafka() -> String {
    static OWN: OnceCell<Kafka> = OnceCell::const_new();
    match set("KAFKA_BOOTSTRAP_SERVERS") {
        Some(named) => named,
        None => OWN.get_or_init(|| async { must(Kafka::start_temporary().await) }).await.bootstrap(),
    }
}

/// A new topic with a random name, on [`kafka()`].
pub async fn topic(partitions: u16) -> String {
    let name = unique("topic");
    must(kafka::create_topic(&kafka().await, &name, partitions).await);
    name
}

/// Where a Redis is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisAddress {
    /// `REDIS_HOST`.
    pub host: String,
    /// `REDIS_PORT`.
    pub port: u16,
}

impl RedisAddress {
    /// `redis://host:port/`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://{}:{}/", self.host, self.port)
    }
}

/// A real Redis.
pub async fn redis() -> RedisAddress {
    static OWN: OnceCell<Redis> = OnceCell::const_new();
    match set("REDIS_HOST") {
        Some(host) => RedisAddress { host, port: port("REDIS_PORT", 6379) },
        None => {
            let own = OWN.get_or_init(|| async { must(Redis::start_temporary().await) }).await;
            RedisAddress { host: "127.0.0.1".into(), port: own.port() }
        }
    }
}

/// Where a PostgreSQL database is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Database {
    /// `POSTGRES_HOST`.
    pub host: String,
    /// `POSTGRES_PORT`.
    pub port: u16,
    /// `POSTGRES_USER`; may make databases.
    pub user: String,
    /// `POSTGRES_PASSWORD`.
    pub password: String,
    /// `POSTGRES_DB`.
    pub name: String,
}

impl Database {
    /// The same for tokio-postgres.
    #[must_use]
    pub fn config(&self) -> Config {
        let mut config = Config::new();
        config.host(&self.host).port(self.port).user(&self.user).password(&self.password).dbname(&self.name);
        config
    }

    /// Opens a connection.
    pub async fn connect(&self) -> tokio_postgres::Client {
        must(postgres::connect(&self.config()).await)
    }

    /// The five `POSTGRES_…` variables that name it to a service.
    #[must_use]
    pub fn env(&self) -> [(&'static str, String); 5] {
        [
            ("POSTGRES_HOST", self.host.clone()),
            ("POSTGRES_PORT", self.port.to_string()),
            ("POSTGRES_USER", self.user.clone()),
            ("POSTGRES_PASSWORD", self.password.clone()),
            ("POSTGRES_DB", self.name.clone()),
        ]
    }
}

/// A new, empty database with a random name on a real PostgreSQL.
pub async fn database() -> Database {
    static OWN: OnceCell<Postgres> = OnceCell::const_new();
    let mut database = match set("POSTGRES_HOST") {
        Some(host) => Database {
            host,
            port: port("POSTGRES_PORT", 5432),
            user: set("POSTGRES_USER").unwrap_or_else(|| postgres::USER.into()),
            password: set("POSTGRES_PASSWORD").unwrap_or_default(),
            name: DATABASE.into(),
        },
        None => {
            let own = OWN.get_or_init(|| async { must(Postgres::start_temporary().await) }).await;
            of(own, DATABASE)
        }
    };
    database.name = unique("test");
    must(postgres::create_database(&database.config(), &database.name).await);
    database
}

/// The address of the database `name` on a server that the test started for itself.
#[must_use]
pub fn of(server: &Postgres, name: &str) -> Database {
    Database {
        host: "127.0.0.1".into(),
        port: server.port(),
        user: postgres::USER.into(),
        // Not asked for, but a setting that every service wants.
        password: postgres::USER.into(),
        name: name.into(),
    }
}

/// A name that nobody else has: `prefix_` and 16 random hexadecimal digits.
#[must_use]
pub fn unique(prefix: &str) -> String {
    format!("{prefix}_{:016x}", rand::random::<u64>())
}

fn set(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.trim().is_empty())
}

fn port(name: &str, default: u16) -> u16 {
    let parse = |text: String| text.parse().unwrap_or_else(|_| panic!("{name} is `{text}`, not a port number"));
    set(name).map_or(default, parse)
}

fn must<T>(result: anyhow::Result<T>) -> T {
    result.unwrap_or_else(|error| panic!("{error:#}"))
}
