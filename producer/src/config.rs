//! The producer's settings.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use market::Symbol;
use service::Vars;
use service::kafka::KafkaConfig;
use service::redis::RedisConfig;

use crate::alpaca::AlpacaSettings;
use crate::backfill::BackfillSettings;

/// Everything that the producer reads from its environment.
#[derive(Clone, Debug)]
pub struct Config {
    /// Alpaca's stream.
    pub alpaca: AlpacaSettings,
    /// Alpaca's REST history, without a path.
    pub alpaca_rest_url: String,
    /// When and how gaps are filled.
    pub backfill: BackfillSettings,
    /// Cold path.
    pub kafka: KafkaConfig,
    /// Hot path.
    pub redis: RedisConfig,
    /// Folder for the journal, and for records while Kafka is away.
    pub spool_dir: PathBuf,
    /// Most bytes in that folder.
    pub spool_bytes_max: u64,
    /// Where health and metrics are served.
    pub ops: SocketAddr,
}

impl Config {
    /// Reads all variables; see `.env.example`.
    pub fn from_vars(vars: &mut Vars) -> Self {
        let feeds = vars.read_list::<String>("FEED", "alpaca", "alpaca");
        if let Some(unknown) = feeds.iter().find(|feed| *feed != "alpaca") {
            vars.problem("FEED", format_args!("`{unknown}` is no feed (expected alpaca)"));
        }
        Self {
            alpaca: alpaca(vars),
            alpaca_rest_url: vars.read(
                "ALPACA_DATA_REST_URL",
                "https://data.alpaca.markets".to_owned(),
                "http:// or https:// address without a path",
            ),
            backfill: BackfillSettings {
                hold_back: Duration::from_secs(vars.read_within("BACKFILL_HOLD_BACK_S", 60, 0..=3600, "seconds")),
                margin: Duration::from_secs(vars.read_within("BACKFILL_MARGIN_S", 60, 0..=86_400, "seconds")),
            },
            kafka: KafkaConfig::from_vars(vars),
            redis: RedisConfig::from_vars(vars),
            spool_dir: vars.read("SPOOL_DIR", PathBuf::from(".spool"), "folder"),
            spool_bytes_max: vars.read_within("SPOOL_BYTES_MAX", 4 << 30, 1 << 20..=1 << 50, "bytes"),
            ops: SocketAddr::from(([0, 0, 0, 0], vars.read_within("PRODUCER_PORT", 9101, 1..=65535, "port"))),
        }
    }
}

fn alpaca(vars: &mut Vars) -> AlpacaSettings {
    AlpacaSettings {
        url: vars.read(
            "ALPACA_DATA_WS_URL",
            "wss://stream.data.alpaca.markets/v2/iex".to_owned(),
            "ws:// or wss:// address with version and feed",
        ),
        key: vars.require_secret("ALPACA_API_KEY", "the key id of your Alpaca account; `make demo` needs none"),
        secret: vars
            .require_secret("ALPACA_API_SECRET", "the secret key of your Alpaca account; `make demo` needs none"),
        symbols: symbols(vars),
        channels: vars.read_list("ALPACA_CHANNELS", "trades,quotes,bars,updatedBars", "channel names, comma-separated"),
    }
}

/// `SUBSCRIBED_SYMBOLS`; `None` where it is `*`.
fn symbols(vars: &mut Vars) -> Option<Vec<Symbol>> {
    let symbols = vars.read_list::<Symbol>("SUBSCRIBED_SYMBOLS", "AAPL,MSFT,GOOGL", "symbols, comma-separated, or *");
    let all = symbols.iter().any(|symbol| symbol.as_str() == "*");
    (!all).then_some(symbols)
}
