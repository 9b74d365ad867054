//! The three servers that the pipeline needs: those the environment names, and our own for the rest.

use std::env;
use std::path::PathBuf;

use anyhow::{Context, Result};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

use crate::folder::Folder;
use crate::jars;
use crate::kafka::{self, Jvm, Kafka};
use crate::port;
use crate::postgres::{self, Postgres};
use crate::redis::Redis;

/// The topics of the pipeline, which a mock broker must be given by name.
const TOPICS: [(&str, &str); 5] = [
    ("TOPIC_TRADES", "stock_trades_realtime"),
    ("TOPIC_BARS", "stock_bars_staging"),
    ("TOPIC_GAPS", "stock_feed_gaps"),
    ("TOPIC_SENT", "stock_sent_counts"),
    ("TOPIC_DEAD_LETTERS", "stock_dead_letters"),
];

/// The database of the pipeline.
pub const DATABASE: &str = "market_data";

/// What to start, and how.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where data stay between starts; `None`: a fresh temporary folder for each server.
    pub folder: Option<PathBuf>,
    /// Take the usual ports (9093, 6379, 5432) where they are free.
    pub usual_ports: bool,
    /// How Kafka's JVM is tuned.
    pub jvm: Jvm,
    /// Without Java or its jars, go on with a broker that keeps nothing on disk.
    pub mock_allowed: bool,
    /// Told what happens, one line each.
    pub say: fn(&str),
}

/// Running servers, and the environment that names them.
pub struct Infra {
    broker: Broker,
    redis: Option<Redis>,
    postgres: Option<Postgres>,
    env: Vec<(String, String)>,
}

enum Broker {
    Named,
    Real(Kafka),
    Mock(
        #[expect(dead_code, reason = "held: dropping it ends the broker")] MockCluster<'static, DefaultProducerContext>,
    ),
}

impl Infra {
    /// Starts, at the same time, every server that the environment does not name.
    ///
    /// # Errors
    /// A server does not start; those already started are ended.
    pub async fn start(plan: &Plan) -> Result<Self> {
        let ((broker, kafka), (redis, cache), (postgres, store)) =
            tokio::try_join!(start_kafka(plan), start_redis(plan), start_postgres(plan))?;
        let env = [kafka, cache, store].concat();
        Ok(Self { broker, redis, postgres, env })
    }

    /// The variables that name the servers: `KAFKA_BOOTSTRAP_SERVERS`, `REDIS_…`, `POSTGRES_…`.
    #[must_use]
    pub fn env(&self) -> &[(String, String)] {
        &self.env
    }

    /// The value of one of [`Infra::env`]; empty for a name that is not among them.
    #[must_use]
    pub fn var(&self, name: &str) -> &str {
        self.env.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// True when Kafka is only a stand-in that keeps nothing on disk.
    #[must_use]
    pub fn forgets(&self) -> bool {
        matches!(self.broker, Broker::Mock(_))
    }

    /// Watches over what was started here, and starts again what dies. Never returns.
    pub async fn keep(&mut self, say: fn(&str)) {
        let kafka = async {
            if let Broker::Real(kafka) = &mut self.broker {
                kafka.keep(say).await;
            }
        };
        let redis = async {
            if let Some(redis) = &mut self.redis {
                redis.keep(say).await;
            }
        };
        let postgres = async {
            if let Some(postgres) = &mut self.postgres {
                postgres.keep(say).await;
            }
        };
        tokio::join!(kafka, redis, postgres);
        std::future::pending::<()>().await;
    }

    /// The Kafka that was started here.
    pub fn kafka(&mut self) -> Option<&mut Kafka> {
        match &mut self.broker {
            Broker::Real(kafka) => Some(kafka),
            Broker::Named | Broker::Mock(_) => None,
        }
    }

    /// The Redis that was started here.
    pub fn redis(&mut self) -> Option<&mut Redis> {
        self.redis.as_mut()
    }

    /// The PostgreSQL that was started here.
    pub fn postgres(&mut self) -> Option<&mut Postgres> {
        self.postgres.as_mut()
    }

    /// Stops what was started here, all at the same time.
    pub async fn stop(self) {
        let kafka = async {
            if let Broker::Real(kafka) = &self.broker {
                kafka.stop().await;
            }
        };
        let redis = async {
            if let Some(redis) = &self.redis {
                redis.stop().await;
            }
        };
        let postgres = async {
            if let Some(postgres) = &self.postgres {
                postgres.stop().await;
            }
        };
        tokio::join!(kafka, redis, postgres);
    }
}

type Env = Vec<(String, String)>;

/// Copies `names` from our environment, with defaults; `None` when the first is not set.
fn named(names: &[(&str, &str)]) -> Option<Env> {
    set(names.first()?.0)?;
    Some(names.iter().map(|&(name, default)| pair(name, set(name).unwrap_or_else(|| default.into()))).collect())
}

/// A variable that is set and not empty.
fn set(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.trim().is_empty())
}

fn pair(name: &str, value: impl ToString) -> (String, String) {
    (name.to_owned(), value.to_string())
}

impl Plan {
    pub(crate) fn folder(&self) -> Result<Folder> {
        match &self.folder {
            Some(path) => Folder::lasting(path),
            None => Folder::temporary(),
        }
    }

    /// The port to use for `what`: where usual ports are wanted, `usual` if it is free.
    pub(crate) fn port(&self, usual: u16, what: &str) -> Result<u16> {
        if !self.usual_ports {
            return port::free();
        }
        let port = port::prefer(usual)?;
        if port != usual {
            (self.say)(&format!("{what}: port {usual} is in use, taking {port} instead"));
        }
        Ok(port)
    }
}

async fn start_kafka(plan: &Plan) -> Result<(Broker, Env)> {
    if let Some(env) = named(&[("KAFKA_BOOTSTRAP_SERVERS", "")]) {
        (plan.say)(&format!("Kafka: using {}, named by KAFKA_BOOTSTRAP_SERVERS", env[0].1));
        return Ok((Broker::Named, env));
    }
    if !jars::known() {
        (plan.say)("Kafka: fetching its jars from Maven Central (43 MB, once)");
    }
    let possible = tokio::task::spawn_blocking(kafka::available).await?;
    if let (Err(reason), true) = (&possible, plan.mock_allowed) {
        (plan.say)(&format!("Kafka: {reason:#}"));
        (plan.say)(
            "Kafka: using librdkafka's mock broker instead: IT KEEPS NOTHING ON DISK, what is not yet in PostgreSQL is lost at the end",
        );
        let cluster = MockCluster::new(1).context("cannot start the mock broker")?;
        for (variable, default) in TOPICS {
            cluster.create_topic(&set(variable).unwrap_or_else(|| default.into()), 6, 1)?;
        }
        let env = vec![pair("KAFKA_BOOTSTRAP_SERVERS", cluster.bootstrap_servers())];
        return Ok((Broker::Mock(cluster), env));
    }
    possible?;
    let port = plan.port(9093, "Kafka")?;
    (plan.say)("Kafka: starting");
    let kafka = Kafka::start(plan.folder()?, port, plan.jvm).await?;
    (plan.say)(&format!("Kafka: ready on {}", kafka.bootstrap()));
    let env = vec![pair("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap())];
    Ok((Broker::Real(kafka), env))
}

async fn start_redis(plan: &Plan) -> Result<(Option<Redis>, Env)> {
    if let Some(env) = named(&[("REDIS_HOST", ""), ("REDIS_PORT", "6379"), ("REDIS_PASSWORD", "")]) {
        (plan.say)(&format!("Redis: using {}:{}, named by REDIS_HOST", env[0].1, env[1].1));
        return Ok((None, env));
    }
    let port = plan.port(6379, "Redis")?;
    let redis = Redis::start(plan.folder()?, port).await?;
    (plan.say)(&format!("Redis: ready on 127.0.0.1:{port}"));
    // Empty counts as not set, and keeps a password in `.env` away from a server that has none.
    let env = vec![pair("REDIS_HOST", "127.0.0.1"), pair("REDIS_PORT", port), pair("REDIS_PASSWORD", "")];
    Ok((Some(redis), env))
}

async fn start_postgres(plan: &Plan) -> Result<(Option<Postgres>, Env)> {
    let names = [
        ("POSTGRES_HOST", ""),
        ("POSTGRES_PORT", "5432"),
        ("POSTGRES_DB", DATABASE),
        ("POSTGRES_USER", postgres::USER),
        ("POSTGRES_PASSWORD", ""),
    ];
    if let Some(env) = named(&names) {
        (plan.say)(&format!("PostgreSQL: using {}:{}, named by POSTGRES_HOST", env[0].1, env[1].1));
        return Ok((None, env));
    }
    let port = plan.port(5432, "PostgreSQL")?;
    let folder = match &plan.folder {
        None => Folder::temporary()?,
        Some(wanted) => {
            let reachable = postgres::reachable(wanted)?;
            if reachable != *wanted {
                (plan.say)(&format!(
                    "PostgreSQL: its data go to {}, because the user postgres cannot reach {}",
                    reachable.display(),
                    wanted.display()
                ));
            }
            Folder::lasting(reachable)?
        }
    };
    let postgres = Postgres::start(folder, port).await?;
    postgres.create_database(DATABASE).await?;
    (plan.say)(&format!("PostgreSQL: ready on 127.0.0.1:{port}"));
    let env = vec![
        pair("POSTGRES_HOST", "127.0.0.1"),
        pair("POSTGRES_PORT", port),
        pair("POSTGRES_DB", DATABASE),
        pair("POSTGRES_USER", postgres::USER),
        // Not asked for: the server trusts whoever connects on this machine. Services want one set.
        pair("POSTGRES_PASSWORD", postgres::USER),
    ];
    Ok((Some(postgres), env))
}
