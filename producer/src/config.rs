//! The producer's settings.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use market::{Reject, Symbol};
use service::Vars;
use service::kafka::KafkaConfig;
use service::postgres::PostgresConfig;
use service::redis::RedisConfig;

use crate::connection::dial::{Internet, MESSAGE_BYTES_MAX};
use crate::fanout::cold::LIVE_BYTES_MAX;
use crate::feeds::FeedSettings;
use crate::feeds::alpaca::{AlpacaSettings, Authentication, Encoding};
use crate::feeds::finnhub::FinnhubSettings;
use crate::feeds::massive::MassiveSettings;
use crate::feeds::protocol::Feed;
use crate::gaps::healing::BackfillSettings;
use crate::leader::LeaderSettings;

/// Everything that the producer reads from its environment.
#[derive(Clone, Debug)]
pub struct Config {
    /// The feeds, the most important one first.
    pub feeds: Vec<FeedSettings>,
    /// How they are reached.
    pub internet: Internet,
    /// How long a symbol stays subscribed that no client wants any more.
    pub demand_grace: Duration,
    /// When and how gaps are filled.
    pub backfill: BackfillSettings,
    /// How many days of bars a symbol gets when it has its first records.
    pub past_days: u32,
    /// Which of several producers leads.
    pub leader: LeaderSettings,
    /// Cold path.
    pub kafka: KafkaConfig,
    /// Hot path.
    pub redis: RedisConfig,
    /// Folder for the journal, and for records while Kafka is away.
    pub spool_dir: PathBuf,
    /// Most bytes in that folder.
    pub spool_bytes_max: u64,
    /// Most bytes of live records that wait in memory for Kafka or the spool.
    pub cold_queue_bytes_max: usize,
    /// Most records a second of the past: histories of new symbols and heals. Live records go first.
    pub past_rate_max: u32,
    /// Where health and metrics are served.
    pub ops: SocketAddr,
}

impl Config {
    /// Reads all variables; see `.env.example`.
    pub fn from_vars(vars: &mut Vars) -> Self {
        let feeds = feeds(vars);
        Self {
            leader: leader(vars, &feeds),
            feeds,
            internet: internet(vars),
            demand_grace: Duration::from_secs(vars.read_within("DEMAND_GRACE_S", 60, 0..=86_400, "seconds")),
            backfill: BackfillSettings {
                hold_back: Duration::from_secs(vars.read_within("BACKFILL_HOLD_BACK_S", 60, 0..=3600, "seconds")),
                margin: Duration::from_secs(vars.read_within("BACKFILL_MARGIN_S", 60, 0..=86_400, "seconds")),
            },
            past_days: vars.read_within("PAST_BARS_DAYS", 5, 0..=3650, "days"),
            kafka: KafkaConfig::from_vars(vars),
            redis: RedisConfig::from_vars(vars),
            spool_dir: vars.read("SPOOL_DIR", PathBuf::from(".spool"), "folder"),
            spool_bytes_max: vars.read_within("SPOOL_BYTES_MAX", 4 << 30, 1 << 20..=1 << 50, "bytes"),
            cold_queue_bytes_max: cold_queue_bytes_max(vars),
            past_rate_max: vars.read_within("PAST_RATE_MAX", 20_000, 1..=10_000_000, "records a second"),
            ops: vars.read_listen("PRODUCER_HOST", "PRODUCER_PORT", 9101),
        }
    }
}

/// `auto` takes part in an election where PostgreSQL is named, and leads when it cannot be reached at the start.
fn leader(vars: &mut Vars, feeds: &[FeedSettings]) -> LeaderSettings {
    let mode = vars.read("LEADER_LEASE", "auto".to_owned(), "auto, postgres or off");
    let mut feeds: Vec<&str> = feeds.iter().map(|settings| settings.feed().name()).collect();
    feeds.sort_unstable();
    let group = vars.read("LEADER_GROUP", feeds.join("+"), "name");
    let is_named = vars.secret("POSTGRES_PASSWORD").is_some()
        || !vars.read("POSTGRES_HOST", String::new(), "host name").is_empty();
    match mode.as_str() {
        "off" => LeaderSettings::Off,
        "auto" if !is_named => LeaderSettings::Off,
        "auto" | "postgres" => {
            let postgres = PostgresConfig::from_vars(vars);
            LeaderSettings::Postgres { postgres, group, strict: mode == "postgres" }
        }
        other => {
            vars.problem("LEADER_LEASE", format_args!("`{other}` is unknown (expected auto, postgres or off)"));
            LeaderSettings::Off
        }
    }
}

fn cold_queue_bytes_max(vars: &mut Vars) -> usize {
    let default = LIVE_BYTES_MAX as u64;
    let bytes = vars.read_within("COLD_QUEUE_BYTES_MAX", default, 1 << 16..=1 << 36, "bytes");
    usize::try_from(bytes).unwrap_or(LIVE_BYTES_MAX)
}

/// The feeds and how they are reached. This is all that the tools for people read.
pub fn upstream(vars: &mut Vars) -> (Vec<FeedSettings>, Internet) {
    (feeds(vars), internet(vars))
}

fn internet(vars: &mut Vars) -> Internet {
    let default = MESSAGE_BYTES_MAX as u64;
    let message_bytes_max = vars.read_within("FEED_MESSAGE_BYTES_MAX", default, 1 << 16..=1 << 30, "bytes");
    Internet { message_bytes_max: usize::try_from(message_bytes_max).unwrap_or(MESSAGE_BYTES_MAX) }
}

/// The feeds that `FEED` names, with the variables of each.
fn feeds(vars: &mut Vars) -> Vec<FeedSettings> {
    let chosen = vars.read_list::<Feed>("FEED", "alpaca", "alpaca, finnhub, massive");
    let twice = chosen.iter().enumerate().any(|(at, feed)| chosen[..at].contains(feed));
    if chosen.is_empty() || twice {
        vars.problem("FEED", "name each feed once (expected alpaca, finnhub, massive)");
    }
    let symbols = symbols(vars);
    let settings = |feed: &Feed| match feed {
        Feed::Alpaca => FeedSettings::Alpaca(alpaca(vars, symbols.clone())),
        Feed::Finnhub => FeedSettings::Finnhub(finnhub(vars, symbols.clone())),
        Feed::Massive => FeedSettings::Massive(massive(vars, symbols.clone())),
    };
    chosen.iter().map(settings).collect()
}

/// Schemes of a live stream's address.
const STREAM: [&str; 2] = ["ws", "wss"];
/// Schemes of a history's address.
const HISTORY: [&str; 2] = ["http", "https"];
const ALPACA_CHANNELS: [&str; 7] = ["trades", "quotes", "bars", "updatedBars", "dailyBars", "statuses", "lulds"];
const MASSIVE_CHANNELS: [&str; 4] = ["T", "Q", "AM", "A"];

fn alpaca(vars: &mut Vars, symbols: Option<Vec<Symbol>>) -> AlpacaSettings {
    AlpacaSettings {
        url: vars.read_url("ALPACA_DATA_WS_URL", "wss://stream.data.alpaca.markets/v2/iex", &STREAM),
        key: vars.require_secret("ALPACA_API_KEY", "the key id of your Alpaca account; `make demo` needs none"),
        secret: vars
            .require_secret("ALPACA_API_SECRET", "the secret key of your Alpaca account; `make demo` needs none"),
        symbols,
        symbols_max: symbols_max(vars, "ALPACA_SYMBOLS_MAX"),
        channels: vars.read_choices("ALPACA_CHANNELS", "trades,quotes,bars,updatedBars", &ALPACA_CHANNELS),
        encoding: vars.read("ALPACA_ENCODING", Encoding::Json, "json or msgpack"),
        authentication: vars.read("ALPACA_AUTH", Authentication::Message, "message or header"),
        rest_url: vars.read_url("ALPACA_DATA_REST_URL", "https://data.alpaca.markets", &HISTORY),
    }
}

fn finnhub(vars: &mut Vars, symbols: Option<Vec<Symbol>>) -> FinnhubSettings {
    if symbols.is_none() {
        vars.problem("SUBSCRIBED_SYMBOLS", "Finnhub does not offer * (expected symbols, comma-separated)");
    }
    FinnhubSettings {
        url: vars.read_url("FINNHUB_WS_URL", "wss://ws.finnhub.io", &STREAM),
        rest_url: vars.read_url("FINNHUB_REST_URL", "https://finnhub.io/api/v1", &HISTORY),
        key: vars.require_secret("FINNHUB_API_KEY", "the API key of your Finnhub account"),
        symbols: symbols.unwrap_or_default(),
        symbols_max: symbols_max(vars, "FINNHUB_SYMBOLS_MAX"),
    }
}

fn massive(vars: &mut Vars, symbols: Option<Vec<Symbol>>) -> MassiveSettings {
    MassiveSettings {
        url: vars.read_url("MASSIVE_WS_URL", "wss://socket.massive.com/stocks", &STREAM),
        rest_url: vars.read_url("MASSIVE_REST_URL", "https://api.massive.com", &HISTORY),
        key: vars.require_secret("MASSIVE_API_KEY", "the API key of your Massive (formerly Polygon) account"),
        symbols,
        symbols_max: symbols_max(vars, "MASSIVE_SYMBOLS_MAX"),
        channels: vars.read_choices("MASSIVE_CHANNELS", "T,Q,AM", &MASSIVE_CHANNELS),
    }
}

/// Most symbols of a plan; 0 stands for what the feed itself says.
fn symbols_max(vars: &mut Vars, name: &str) -> Option<usize> {
    Some(vars.read_within(name, 0, 0..=1_000_000, "symbols")).filter(|max| *max > 0)
}

/// `SUBSCRIBED_SYMBOLS`; `None` where it is `*`.
fn symbols(vars: &mut Vars) -> Option<Vec<Symbol>> {
    let named = vars.read_list::<Named>("SUBSCRIBED_SYMBOLS", "AAPL,MSFT,GOOGL", "symbols, comma-separated, or *");
    let mut symbols = Vec::with_capacity(named.len());
    for named in named {
        match named {
            Named::All => return None,
            Named::One(symbol) if symbols.contains(&symbol) => {}
            Named::One(symbol) => symbols.push(symbol),
        }
    }
    Some(symbols)
}

/// One element of `SUBSCRIBED_SYMBOLS`.
enum Named {
    All,
    One(Symbol),
}

impl FromStr for Named {
    type Err = Reject;

    fn from_str(text: &str) -> Result<Self, Reject> {
        if text == "*" { Ok(Self::All) } else { Ok(Self::One(Symbol::parse(text)?.symbol)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use service::ConfigError;

    fn chosen(pairs: &[(&str, &str)]) -> Result<Vec<Feed>, ConfigError> {
        let feeds = Vars::from_pairs(pairs).load(feeds)?;
        Ok(feeds.iter().map(FeedSettings::feed).collect())
    }

    #[test]
    fn each_feed_asks_for_its_own_keys_only() {
        let several = [("FEED", "massive, finnhub"), ("MASSIVE_API_KEY", "m"), ("FINNHUB_API_KEY", "f")];
        assert_eq!(chosen(&several).unwrap(), [Feed::Massive, Feed::Finnhub]);
        let error = chosen(&[]).unwrap_err().to_string();
        assert!(error.contains("ALPACA_API_KEY") && error.contains("ALPACA_API_SECRET") && !error.contains("FINNHUB"));
    }

    #[test]
    fn subscribed_symbols_go_through_the_door_once_each() {
        let read = |text: &str| Vars::from_pairs(&[("SUBSCRIBED_SYMBOLS", text)]).load(symbols);
        let names = |text| read(text).unwrap().unwrap().iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(names("aapl, BRK.B,AAPL"), ["AAPL", "BRK.B"]);
        assert_eq!(read("AAPL,*"), Ok(None));
        let error = read("AAPL,!!!,A B").unwrap_err().to_string();
        assert!(error.contains("`!!!`: symbol must be") && error.contains("`A B`"), "{error}");
    }

    #[test]
    fn what_cannot_work_is_named() {
        let finnhub = ("FINNHUB_API_KEY", "f");
        for (pairs, word) in [
            (&[("FEED", "reuters")][..], "no such feed"),
            (&[("FEED", "finnhub,finnhub"), finnhub], "once"),
            (&[("FEED", ","), finnhub], "once"),
            (&[("FEED", "finnhub"), finnhub, ("SUBSCRIBED_SYMBOLS", "*")], "does not offer *"),
            (&[("ALPACA_API_KEY", "k"), ("ALPACA_API_SECRET", "s"), ("ALPACA_ENCODING", "xml")], "json or msgpack"),
            (&[("ALPACA_CHANNELS", "trades,foo")], "ALPACA_CHANNELS: `foo`: unknown"),
            (
                &[("ALPACA_DATA_REST_URL", "foo")],
                "ALPACA_DATA_REST_URL: `foo`: does not begin with http:// or https://",
            ),
            (&[("ALPACA_DATA_WS_URL", "https://stream.example")], "does not begin with ws:// or wss://"),
        ] {
            let error = chosen(pairs).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
