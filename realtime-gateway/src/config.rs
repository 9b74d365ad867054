//! Settings of the gateway.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration;

use service::Vars;
use service::redis::RedisConfig;
use service::web::access::AccessConfig;
use service::web::client_address::TrustedProxies;
use service::web::origin::Origins;

use crate::data_kind::DataKind;
use crate::delivery::outbox;
use crate::hub;
use crate::memory::log::Bounds;

/// Everything that can be set.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where records come from.
    pub redis: RedisConfig,
    /// Address to listen on; `::` takes IPv4 too.
    pub host: IpAddr,
    /// Port to listen on.
    pub port: u16,
    /// Base URL of the history API.
    pub bars_api_url: String,
    /// Where the built dashboard lies.
    pub dashboard_dir: PathBuf,
    /// What the records are.
    pub data: DataKind,
    /// Which other origins browsers may come from.
    pub origins: Origins,
    /// Health endpoints that `/api/pipeline` puts together.
    pub pipeline: Vec<Target>,
    /// What the hub keeps to.
    pub hub: hub::Settings,
    /// What one client's outbox keeps to.
    pub outbox: outbox::Limits,
    /// Proxies that say whose request they pass on.
    pub proxies: TrustedProxies,
    /// Limits at the door.
    pub door: DoorLimits,
    /// Tokens.
    pub access: AccessConfig,
    /// Time over which clients are asked to reconnect when the gateway stops.
    pub drain: Duration,
}

/// A service whose health the dashboard shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its name on the page.
    pub name: String,
    /// Base URL of its `/health` and `/metrics`.
    pub url: String,
}

impl std::str::FromStr for Target {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, url) = text.split_once('=').ok_or("not of the form name=url")?;
        Ok(Self { name: name.trim().to_owned(), url: read_url(url)? })
    }
}

/// Limits on what comes in.
#[derive(Clone, Copy, Debug)]
pub struct DoorLimits {
    /// Clients at once, whatever their transport.
    pub connections_max: usize,
    /// Clients at once from one address.
    pub connections_per_address_max: usize,
    /// New clients a second from one address.
    pub connects_per_address_rate: u32,
    /// Largest message from a client in bytes.
    pub message_bytes_max: usize,
    /// Messages a second from one client.
    pub messages_rate: u32,
    /// Time for a request's head and for the Socket.IO connect.
    pub handshake_max: Duration,
    /// Time between pings.
    pub ping_interval: Duration,
    /// Time for the answer.
    pub ping_timeout: Duration,
}

impl Config {
    /// Reads every variable.
    pub fn from_vars(vars: &mut Vars) -> Self {
        let config = Self {
            redis: RedisConfig::from_vars(vars),
            host: vars.read("GATEWAY_HOST", IpAddr::V6(Ipv6Addr::UNSPECIFIED), "IP address to listen on"),
            port: vars.read_within("GATEWAY_PORT", 5000, 1..=65535, "port"),
            bars_api_url: vars.read_url("BARS_API_URL", "http://localhost:8000", &["http", "https"]),
            dashboard_dir: vars.read("DASHBOARD_DIR", PathBuf::from("dashboard/dist"), "a folder"),
            data: vars.read("DATA_KIND", DataKind::Live, "live, delayed, simulated or replay"),
            origins: Origins::from_vars(vars),
            pipeline: vars.read_list(
                "PIPELINE_TARGETS",
                "producer=http://localhost:9101,consumer-trades=http://localhost:9102,consumer-bars=http://localhost:9103,bars-api=http://localhost:8000",
                "name=url",
            ),
            hub: hub::Settings {
                symbols_max: vars.read_within("MAX_SYMBOLS_PER_CLIENT", 50, 1..=100_000, "symbols"),
                memory: crate::memory::Settings {
                    log: Bounds {
                    count: vars.read_within("REPLAY_RECORDS_MAX", 20_000, 1..=10_000_000, "records of one symbol and stream"),
                    age: seconds(vars, "REPLAY_AGE_MAX_S", 120, 1..=86_400),
                },
                bytes_max: vars.read_within::<usize>("REPLAY_MEMORY_MAX_MB", 256, 1..=65_536, "megabytes") << 20,
                },
                stalled_max: seconds(vars, "SLOW_CLIENT_CUT_S", 20, 1..=600),
                session_max: seconds(vars, "RECOVERY_MAX_S", 120, 1..=3_600),
            },
            outbox: outbox::Limits {
                lossless_bytes: vars.read_within::<usize>("CLIENT_BUFFER_KB", 4096, 16..=65_536, "kilobytes") << 10,
                held_max: 20_000,
            },
            proxies: TrustedProxies::from_vars(vars),
            door: DoorLimits {
                connections_max: vars.read_within("CONNECTIONS_MAX", 100_000, 1..=10_000_000, "connections"),
                connections_per_address_max: vars.read_within("CONNECTIONS_PER_ADDRESS_MAX", 20_000, 1..=10_000_000, "connections"),
                connects_per_address_rate: vars.read_within("CONNECTS_PER_ADDRESS_RATE", 5_000, 1..=1_000_000, "connections a second"),
                message_bytes_max: vars.read_within("MESSAGE_BYTES_MAX", 100_000, 1_000..=16_777_216, "bytes"),
                messages_rate: vars.read_within("MESSAGES_PER_CLIENT_RATE", 100, 1..=100_000, "messages a second"),
                handshake_max: seconds(vars, "HANDSHAKE_MAX_S", 10, 1..=120),
                ping_interval: seconds(vars, "PING_INTERVAL_S", 25, 1..=300),
                ping_timeout: seconds(vars, "PING_TIMEOUT_S", 20, 1..=300),
            },
            access: AccessConfig::from_vars(vars),
            drain: seconds(vars, "DRAIN_S", 5, 0..=120),
        };
        config.check(vars);
        config
    }

    fn check(&self, vars: &mut Vars) {
        let names: HashSet<_> = self.pipeline.iter().map(|target| &target.name).collect();
        if names.len() < self.pipeline.len() {
            vars.problem("PIPELINE_TARGETS", "a name occurs twice");
        }
    }
}

fn seconds(vars: &mut Vars, name: &str, default: u64, bounds: std::ops::RangeInclusive<u64>) -> Duration {
    Duration::from_secs(vars.read_within(name, default, bounds, "seconds"))
}

fn read_url(text: &str) -> Result<String, &'static str> {
    let text = text.trim();
    let host = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    match host {
        Some(host) if !host.is_empty() && !host.starts_with('/') => Ok(text.trim_end_matches('/').to_owned()),
        _ => Err("not an http:// or https:// URL"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(pairs: &[(&str, &str)]) -> Result<Config, String> {
        Vars::from_pairs(pairs).load(Config::from_vars).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_needs_to_be_set() {
        let config = load(&[]).unwrap();
        assert_eq!((config.port, config.hub.symbols_max), (5000, 50));
        assert_eq!(config.pipeline[3], Target { name: "bars-api".to_owned(), url: "http://localhost:8000".to_owned() });
    }

    #[test]
    fn mistakes_are_named_together() {
        let error = load(&[
            ("BARS_API_URL", "localhost:8000"),
            ("PIPELINE_TARGETS", "producer"),
            ("AUTH_REQUIRED", "on"),
            ("TOKEN_SIGNING_KEY", "short"),
            ("FRONTEND_URL", "app.example.com"),
        ])
        .unwrap_err();
        for name in ["BARS_API_URL", "PIPELINE_TARGETS", "API_KEYS", "TOKEN_SIGNING_KEY", "FRONTEND_URL"] {
            assert!(error.contains(name), "{name} is missing in {error}");
        }
    }
}
