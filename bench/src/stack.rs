//! Real servers and services for one measurement.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use local_stack::infra::{Infra, Plan};
use local_stack::kafka::Jvm;
use local_stack::{Service, ServiceKind, http, port};

/// Servers tuned for throughput, with a folder for logs.
pub(crate) struct Stack {
    pub(crate) infra: Infra,
    pub(crate) folder: tempfile::TempDir,
}

impl Stack {
    pub(crate) async fn start() -> Result<Self> {
        let plan = Plan { folder: None, usual_ports: false, jvm: Jvm::Throughput, mock_allowed: false, say: |_| {} };
        Ok(Self { infra: Infra::start(&plan).await?, folder: tempfile::tempdir()? })
    }

    /// Starts one of our services with these variables on top of the servers' names.
    pub(crate) async fn service(&self, name: &str, port_variable: &str, env: &[(&str, String)]) -> Result<Running> {
        let port = port::free()?;
        let kind = ServiceKind::new(name, self.folder.path().join(format!("{name}.log")))?
            .envs(self.infra.env().iter().cloned())
            .env(port_variable, port)
            .env("SPOOL_DIR", self.folder.path().join("spool").display())
            .envs(env.iter().map(|(name, value)| ((*name).to_owned(), value.clone())))
            .ready_at(port, "/health");
        Ok(Running { service: Service::launch(kind).await?, port })
    }

    pub(crate) async fn database(&self, name: &str) -> Result<()> {
        let admin = self.connect(self.infra.var("POSTGRES_DB")).await?;
        admin.batch_execute(&format!("CREATE DATABASE {name}")).await.context("cannot make a database")
    }

    pub(crate) async fn connect(&self, database: &str) -> Result<tokio_postgres::Client> {
        let var = |name| self.infra.var(name);
        let mut config = tokio_postgres::Config::new();
        config.host(var("POSTGRES_HOST")).port(var("POSTGRES_PORT").parse()?).user(var("POSTGRES_USER"));
        config.password(var("POSTGRES_PASSWORD")).dbname(database);
        let (client, connection) = config.connect(tokio_postgres::NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    pub(crate) fn kafka(&self) -> &str {
        self.infra.var("KAFKA_BOOTSTRAP_SERVERS")
    }
}

/// A service and the port of its metrics.
pub(crate) struct Running {
    pub(crate) service: Service,
    pub(crate) port: u16,
}

impl Running {
    /// See [`metric`].
    pub(crate) async fn metric(&self, name: &str) -> Result<f64> {
        metric(self.port, name).await
    }

    /// Highest resident memory so far, in MiB.
    pub(crate) fn memory_mib(&self) -> Result<f64> {
        highest_memory_mib(self.service.pid())
    }
}

/// A metric of the service on a port: the sum over its labels, or the value of one series where `name` has its labels; 0 while it was never
/// counted.
pub(crate) async fn metric(port: u16, name: &str) -> Result<f64> {
    let text = http::get(port, "/metrics").await?.body;
    let of = |line: &str| {
        let rest = line.strip_prefix(name)?;
        if !(rest.starts_with(' ') || rest.starts_with('{')) {
            return None;
        }
        rest.rsplit(' ').next()?.parse::<f64>().ok()
    };
    Ok(text.lines().filter_map(of).sum())
}

/// Records that a consumer has stored into a database, by its positions.
pub(crate) async fn stored(client: &tokio_postgres::Client) -> Result<f64> {
    let row = client
        .query_one("SELECT coalesce(sum(next_offset), 0)::float8 FROM market_data_oltp.kafka_offsets", &[])
        .await?;
    Ok(row.get(0))
}

/// Highest resident memory of a process so far, in MiB.
pub(crate) fn highest_memory_mib(pid: i32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
}

/// Waits until a number reaches `wanted`.
pub(crate) async fn until(
    what: &str,
    wanted: f64,
    limit: Duration,
    mut read: impl AsyncFnMut() -> Result<f64>,
) -> Result<Instant> {
    let deadline = Instant::now() + limit;
    loop {
        let value = read().await?;
        if value >= wanted {
            return Ok(Instant::now());
        }
        if Instant::now() > deadline {
            bail!("{what}: {value} of {wanted} within {limit:?}");
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
