//! The whole pipeline: the three servers, the simulator, and every service.

use std::path::{Path, PathBuf};

use anyhow::Result;
use futures_util::future::{join_all, try_join_all};

use crate::folder::Folder;
use crate::infra::{Infra, Plan};
use crate::path;
use crate::service::{Service, ServiceKind};

/// What the simulator plays. Everything else about it comes from `SIMULATOR_…` variables.
#[derive(Debug, Clone, Default)]
pub struct Feed {
    /// Command-line options of `feed-simulator`.
    pub options: Vec<String>,
    /// `SUBSCRIBED_SYMBOLS`; without it whatever the environment says, else everything there is (`*`).
    pub symbols: Option<String>,
}

/// Ports of our own services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// Dashboard, Socket.IO, `/api/bars`.
    pub gateway: u16,
    /// History API.
    pub api: u16,
    /// Simulator: stream, REST, control.
    pub simulator: u16,
    /// Health and metrics of the producer.
    pub producer: u16,
    /// Health and metrics of consumer-trades.
    pub trades: u16,
    /// Health and metrics of consumer-bars.
    pub bars: u16,
}

/// Everything, running.
///
/// Dropping it kills everything; [`Stack::stop`] is the friendly way.
pub struct Stack {
    /// In the order in which they stop: [`STAGES`].
    services: Vec<Service>,
    infra: Infra,
    ports: Ports,
    logs: PathBuf,
    /// Removed with the stack, where nothing was to be kept.
    _folder: Folder,
}

/// What stops together, in this order: the source first, so that every record it sent goes all the way.
const STAGES: [&[&str]; 4] =
    [&["feed-simulator"], &["producer"], &["consumer-trades", "consumer-bars"], &["bars-api", "realtime-gateway"]];

impl Stack {
    /// Starts everything, and waits until every part says that it is healthy.
    ///
    /// # Errors
    /// A part cannot be started or does not get healthy; the rest is ended.
    pub async fn start(plan: &Plan, feed: &Feed) -> Result<Self> {
        let folder = plan.folder()?;
        let ports = Ports::choose(plan)?;
        let logs = folder.path().join("logs");
        // A missing binary is said at once, not after the servers are up.
        let (vars, kinds) = (ports.vars(folder.path()), all(&ports, &logs)?);
        let infra = Infra::start(plan).await?;
        let starts = kinds.into_iter().map(|kind| {
            let mut kind = kind.envs(vars.clone()).envs(infra.env().to_vec());
            kind = match kind.label() {
                "feed-simulator" => kind.args(feed.options.clone()),
                "producer" => kind.env("SUBSCRIBED_SYMBOLS", feed.subscribed()),
                "realtime-gateway" => kind.env("DATA_KIND", feed.data_kind()),
                _ => kind,
            };
            async move {
                let service = Service::launch(kind).await?;
                (plan.say)(&format!("{}: healthy", service.kind().label()));
                Ok::<_, anyhow::Error>(service)
            }
        });
        let services = try_join_all(starts).await?;
        Ok(Self { services, infra, ports, logs, _folder: folder })
    }

    /// Ports of our own services.
    #[must_use]
    pub fn ports(&self) -> Ports {
        self.ports
    }

    /// Where the services' logs are.
    #[must_use]
    pub fn logs(&self) -> &Path {
        &self.logs
    }

    /// The servers underneath.
    pub fn infra(&mut self) -> &mut Infra {
        &mut self.infra
    }

    /// One service by its name, to kill, freeze or restart it.
    pub fn service(&mut self, name: &str) -> Option<&mut Service> {
        self.services.iter_mut().find(|service| service.kind().label() == name)
    }

    /// What a program needs to find everything: the servers' variables, `TAPELINE_URL` (gateway),
    /// `TAPELINE_API_URL` and `TAPELINE_SIMULATOR_URL`.
    #[must_use]
    pub fn env(&self) -> Vec<(String, String)> {
        let Ports { gateway, api, simulator, .. } = self.ports;
        let ours = [("TAPELINE_URL", gateway), ("TAPELINE_API_URL", api), ("TAPELINE_SIMULATOR_URL", simulator)];
        let mut env = self.infra.env().to_vec();
        env.extend(ours.map(|(name, port)| (name.to_owned(), format!("http://127.0.0.1:{port}"))));
        env
    }

    /// Watches over everything, and starts again what dies. Never returns.
    pub async fn keep(&mut self, say: fn(&str)) {
        let services = join_all(self.services.iter_mut().map(|service| service.keep(say)));
        tokio::join!(services, self.infra.keep(say));
    }

    /// Stops everything, from the source to the stores. What does not end in time is killed, and said.
    pub async fn stop(self, say: fn(&str)) {
        for stage in STAGES {
            let members = self.services.iter().filter(|service| stage.contains(&service.kind().label()));
            join_all(members.map(async |service| {
                if !service.stop().await {
                    say(&format!(
                        "{} did not stop in time and was killed; its log: {}",
                        service.kind().label(),
                        self.logs.display()
                    ));
                }
            }))
            .await;
        }
        self.infra.stop().await;
    }
}

impl Feed {
    /// Whether the market is made up, and not a recorded day.
    #[must_use]
    pub fn is_simulated(&self) -> bool {
        !self.options.iter().any(|option| option == "--replay" || option.starts_with("--replay="))
    }

    /// What the gateway calls the data.
    fn data_kind(&self) -> String {
        if self.is_simulated() { "simulated" } else { "replay" }.into()
    }

    fn subscribed(&self) -> String {
        let set = || std::env::var("SUBSCRIBED_SYMBOLS").ok().filter(|list| !list.trim().is_empty());
        self.symbols.clone().or_else(set).unwrap_or_else(|| "*".into())
    }
}

impl Ports {
    fn choose(plan: &Plan) -> Result<Self> {
        Ok(Self {
            gateway: plan.port(5000, "realtime-gateway")?,
            api: plan.port(8000, "bars-api")?,
            simulator: plan.port(8090, "feed-simulator")?,
            producer: plan.port(9101, "producer")?,
            trades: plan.port(9102, "consumer-trades")?,
            bars: plan.port(9103, "consumer-bars")?,
        })
    }

    /// The variables that tell the services of one another.
    fn vars(&self, folder: &Path) -> Vec<(String, String)> {
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let Self { gateway, api, simulator, producer, trades, bars } = *self;
        let targets = format!(
            "producer={},consumer-trades={},consumer-bars={},bars-api={}",
            url(producer),
            url(trades),
            url(bars),
            url(api)
        );
        [
            // Always the simulator: whoever has a real key starts the services themselves.
            ("FEED", "alpaca".to_owned()),
            ("ALPACA_API_KEY", "demo".to_owned()),
            ("ALPACA_API_SECRET", "demo".to_owned()),
            ("ALPACA_API_BASE_URL", url(simulator)),
            ("ALPACA_DATA_WS_URL", format!("ws://127.0.0.1:{simulator}/v2/iex")),
            ("ALPACA_DATA_REST_URL", url(simulator)),
            ("SIMULATOR_LISTEN", format!("127.0.0.1:{simulator}")),
            ("SIMULATOR_KEY", "demo".to_owned()),
            ("SIMULATOR_SECRET", "demo".to_owned()),
            ("SPOOL_DIR", folder.join("spool").display().to_string()),
            // A demo is for this machine alone.
            ("PRODUCER_HOST", "127.0.0.1".to_owned()),
            ("CONSUMER_TRADES_HOST", "127.0.0.1".to_owned()),
            ("CONSUMER_BARS_HOST", "127.0.0.1".to_owned()),
            ("API_HOST", "127.0.0.1".to_owned()),
            ("GATEWAY_HOST", "127.0.0.1".to_owned()),
            ("PRODUCER_PORT", producer.to_string()),
            ("CONSUMER_TRADES_PORT", trades.to_string()),
            ("CONSUMER_BARS_PORT", bars.to_string()),
            ("API_PORT", api.to_string()),
            ("GATEWAY_PORT", gateway.to_string()),
            // A demo is for this machine alone, and for whatever page a developer serves on it.
            ("GATEWAY_HOST", "127.0.0.1".to_owned()),
            ("API_HOST", "127.0.0.1".to_owned()),
            ("FRONTEND_URL", "http://localhost:*,http://127.0.0.1:*".to_owned()),
            ("BARS_API_URL", url(api)),
            ("PIPELINE_TARGETS", targets),
            ("DASHBOARD_DIR", path::project().join("dashboard/dist").display().to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }
}

/// Every service, without its environment.
fn all(ports: &Ports, logs: &Path) -> Result<Vec<ServiceKind>> {
    let services = [
        ("feed-simulator", ports.simulator),
        ("producer", ports.producer),
        ("consumer-trades", ports.trades),
        ("consumer-bars", ports.bars),
        ("bars-api", ports.api),
        ("realtime-gateway", ports.gateway),
    ];
    services
        .into_iter()
        .map(|(name, port)| {
            Ok(ServiceKind::new(name, logs.join(format!("{name}.log")))?.inherits().ready_at(port, "/health"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_service_stops_in_one_stage() {
        let ports = Ports { gateway: 1, api: 2, simulator: 3, producer: 4, trades: 5, bars: 6 };
        let staged: Vec<&str> = STAGES.concat();
        // The binaries may not be built when only this crate is tested; their names are what counts.
        if let Ok(kinds) = all(&ports, Path::new("logs")) {
            let names: Vec<&str> = kinds.iter().map(ServiceKind::label).collect();
            assert_eq!(names, staged);
        }
        assert_eq!(staged.len(), 6);
    }

    #[test]
    fn the_services_are_told_of_one_another() {
        let ports = Ports { gateway: 5000, api: 8001, simulator: 8090, producer: 9101, trades: 9102, bars: 9103 };
        let vars = ports.vars(Path::new("/data"));
        let get = |name: &str| vars.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        assert_eq!(get("ALPACA_DATA_WS_URL"), Some("ws://127.0.0.1:8090/v2/iex"));
        assert_eq!(get("BARS_API_URL"), Some("http://127.0.0.1:8001"));
        assert!(get("PIPELINE_TARGETS").is_some_and(|targets| targets.ends_with("bars-api=http://127.0.0.1:8001")));
    }
}
