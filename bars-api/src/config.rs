//! The API's variables; `.env.example` lists the same names.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::thread::available_parallelism;
use std::time::Duration;

use market::Source;
use service::Vars;
use service::postgres::PostgresConfig;
use service::web::access::AccessConfig;
use service::web::client_address::TrustedProxies;
use service::web::origin::Origins;

use crate::access::Rules;

/// Everything that can be set.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen.
    pub address: SocketAddr,
    /// HTTP threads.
    pub workers: usize,
    /// Where the database is.
    pub postgres: PostgresConfig,
    /// Most connections to the database, divided among the HTTP threads.
    pub connections_max: usize,
    /// How long a request waits for a free connection before it is sent away with 503.
    pub pool_wait_max: Duration,
    /// How long the database may work on one statement.
    pub statement_time_max: Duration,
    /// Web pages that may read this API from a browser.
    pub origins: Origins,
    /// The feeds, best first: readers get the first unless they ask for another.
    pub sources: Vec<Source>,
    /// Who may ask, and how often.
    pub access: Rules,
    /// How much memory remembered answers and the bars they are made of may take, in bytes; 0 remembers nothing.
    pub remembered_bytes_max: usize,
    /// Folder of the archive that consumer-trades writes; `None` if there is none.
    pub archive_dir: Option<PathBuf>,
}

impl Config {
    /// Reads all variables.
    pub fn from_vars(vars: &mut Vars) -> Self {
        let cores = available_parallelism().map_or(2, NonZeroUsize::get);
        let sources = sources(vars);
        Self {
            address: vars.read_listen("API_HOST", "API_PORT", 8000),
            workers: vars.read_within("API_WORKERS", cores, 1..=256, "threads"),
            postgres: PostgresConfig::from_vars(vars),
            connections_max: vars.read_within("API_CONNECTIONS_MAX", 16, 1..=1000, "connections"),
            pool_wait_max: millis(vars, "API_POOL_WAIT_MAX_MS", 1_000),
            statement_time_max: millis(vars, "API_STATEMENT_TIME_MAX_MS", 5_000),
            origins: Origins::from_vars(vars),
            sources,
            access: access(vars),
            remembered_bytes_max: vars.read_within("API_REMEMBERED_MAX_MB", 128, 0..=65_536, "megabytes") << 20,
            archive_dir: vars.read_optional("ARCHIVE_DIR", "a folder"),
        }
    }
}

fn access(vars: &mut Vars) -> Rules {
    let unit = "requests a minute from one caller, 0 for any number";
    Rules {
        access: AccessConfig::from_vars(vars),
        proxies: TrustedProxies::from_vars(vars),
        requests_per_minute: vars.read_within("API_RATE_LIMIT_PER_MINUTE", 0, 0..=100_000_000, unit),
    }
}

fn millis(vars: &mut Vars, name: &str, default: u64) -> Duration {
    Duration::from_millis(vars.read_within(name, default, 1..=600_000, "milliseconds"))
}

/// The names that records of our feeds carry.
const FEEDS: [&str; 3] = ["alpaca", "finnhub", "massive"];

fn sources(vars: &mut Vars) -> Vec<Source> {
    let names = vars.read_choices("FEED", "alpaca", &FEEDS);
    names.iter().filter_map(|name| Source::new(name).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_stand_where_nothing_is_set() {
        let config = Vars::from_pairs(&[]).load(Config::from_vars).unwrap();
        assert_eq!(config.address.port(), 8000);
        assert_eq!(config.sources, [Source::alpaca()]);
        assert!(config.origins.allow("http://localhost:5173", None) && !config.origins.is_any());
    }

    #[test]
    fn every_mistake_is_named_at_once() {
        let vars = Vars::from_pairs(&[
            ("API_PORT", "http"),
            ("FEED", "alpca"),
            ("FRONTEND_URL", "localhost:5000"),
            ("API_STATEMENT_TIME_MAX_MS", "0"),
            ("AUTH_REQUIRED", "true"),
        ]);
        let error = vars.load(Config::from_vars).unwrap_err().to_string();
        for name in [
            "API_PORT",
            "FEED: `alpca`: unknown, did you mean alpaca?",
            "FRONTEND_URL",
            "API_STATEMENT_TIME_MAX_MS",
            "API_KEYS",
        ] {
            assert!(error.contains(name), "{name} is missing in\n{error}");
        }
    }

    #[test]
    fn a_star_opens_the_api_to_every_page() {
        let config = Vars::from_pairs(&[("FRONTEND_URL", "*")]).load(Config::from_vars).unwrap();
        assert!(config.origins.is_any());
    }
}
