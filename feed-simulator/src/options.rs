//! The command line: every option has a default, an environment variable, and a unit.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use jiff::civil::{Date, Time};

use crate::app::Plan;
use crate::replay::read::parse_date;
use crate::source::Pace;
use crate::symbols::{DEFAULT_SYMBOLS, expand};
use crate::synthetic::Hours;
use crate::wire::text::parse_time;

/// Speaks Alpaca's stream and REST protocols over a synthetic market or recorded days.
#[derive(Clone, Debug, Parser)]
#[command(name = "feed-simulator", version, about, max_term_width = 120)]
pub struct Options {
    /// Address to listen on; port 0 takes any free one.
    #[arg(long, env = "SIMULATOR_LISTEN", default_value = "127.0.0.1:8090")]
    pub listen: SocketAddr,
    /// The accepted API key.
    #[arg(long, env = "SIMULATOR_KEY", default_value = "demo", hide_env_values = true)]
    pub key: String,
    /// The accepted API secret.
    #[arg(long, env = "SIMULATOR_SECRET", default_value = "demo", hide_env_values = true)]
    pub secret: String,
    /// Data plan: free has no sip stream, 30 symbols and 200 REST requests a minute.
    #[arg(long, env = "SIMULATOR_PLAN", value_enum, default_value = "paid")]
    pub plan: Plan,
    /// Symbols that one connection may subscribe to; 0 means any number [default: 0, on the free plan 30].
    #[arg(long, env = "SIMULATOR_SYMBOL_LIMIT")]
    pub symbol_limit: Option<usize>,
    /// Connections per key and endpoint; 0 means any number.
    #[arg(long, env = "SIMULATOR_CONNECTIONS", default_value_t = 1)]
    pub connections: usize,
    /// Milliseconds for which a session still counts after its connection ended.
    #[arg(long, env = "SIMULATOR_SESSION_LINGER_MS", default_value_t = 0)]
    pub session_linger_ms: u64,
    /// Milliseconds that a client has to authenticate.
    #[arg(long, env = "SIMULATOR_AUTH_TIMEOUT_MS", default_value_t = 10_000)]
    pub auth_timeout_ms: u64,
    /// Milliseconds between the server's pings; a client that is silent for twice as long is dropped.
    #[arg(long, env = "SIMULATOR_PING_MS", default_value_t = 10_000)]
    pub ping_ms: u64,
    /// Messages that may wait for one client before it gets error 407 (slow client).
    #[arg(long, env = "SIMULATOR_CLIENT_BUFFER", default_value_t = 500_000)]
    pub client_buffer: usize,
    /// Seconds by which delayed_sip is late.
    #[arg(long, env = "SIMULATOR_DELAY_SECONDS", default_value_t = 900)]
    pub delay_seconds: u64,
    /// REST requests a minute, for data and for trading routes each [default: 10000, on the free plan 200].
    #[arg(long, env = "SIMULATOR_REST_PER_MINUTE")]
    pub rest_per_minute: Option<u32>,
    /// Trades kept for REST; a replay keeps all.
    #[arg(long, env = "SIMULATOR_RETAIN_TRADES", default_value_t = 5_000_000)]
    pub retain_trades: usize,

    /// Symbols of the synthetic market, the busiest first; * for 500, *8000 for that many. In a replay: which to play [default: all].
    #[arg(long, env = "SIMULATOR_SYMBOLS")]
    pub symbols: Option<String>,
    /// Trades and quotes a second of the synthetic market, 0.01 to 200000.
    #[arg(long, env = "SIMULATOR_RATE", default_value_t = 100.0)]
    pub rate: f64,
    /// Seed of the synthetic market: the same seed, start, rate and symbols give the same frames.
    #[arg(long, env = "SIMULATOR_SEED", default_value_t = 1)]
    pub seed: u64,
    /// When the synthetic market trades.
    #[arg(long, env = "SIMULATOR_HOURS", value_enum, default_value = "around-the-clock")]
    pub hours: Hours,
    /// Stream time at which the synthetic market begins, RFC 3339 [default: now].
    #[arg(long, env = "SIMULATOR_START")]
    pub start: Option<String>,
    /// Share of quotes among trades and quotes, 0 to 1.
    #[arg(long, env = "SIMULATOR_QUOTE_SHARE", default_value_t = 0.3)]
    pub quote_share: f64,
    /// Share of trades that are reported late, 0 to 1.
    #[arg(long, env = "SIMULATOR_LATE_SHARE", default_value_t = 0.002)]
    pub late_share: f64,
    /// Seconds by which they are late at most, 1 to 3600.
    #[arg(long, env = "SIMULATOR_LATE_MAX_SECONDS", default_value_t = 10)]
    pub late_max_seconds: u32,
    /// Share of trades that are stamped ahead of the market, 0 to 1.
    #[arg(long, env = "SIMULATOR_EARLY_SHARE", default_value_t = 0.0)]
    pub early_share: f64,
    /// Seconds by which they are ahead at most, 1 to 86400.
    #[arg(long, env = "SIMULATOR_EARLY_MAX_SECONDS", default_value_t = 60)]
    pub early_max_seconds: u32,
    /// Seconds by which the REST history of trades is behind the stream; 0 to 86400.
    #[arg(long, env = "SIMULATOR_HISTORY_BEHIND_SECONDS", default_value_t = 0)]
    pub history_behind_seconds: u32,
    /// Share of trades that are corrected or cancelled within a minute, 0 to 1.
    #[arg(long, env = "SIMULATOR_CORRECTION_SHARE", default_value_t = 0.0002)]
    pub correction_share: f64,
    /// Days of synthetic minute bars before the start, 0 to 60.
    #[arg(long, env = "SIMULATOR_HISTORY_DAYS", default_value_t = 5)]
    pub history_days: u32,
    /// Trades and quotes a second of FAKEPACA on the test endpoint.
    #[arg(long, env = "SIMULATOR_TEST_RATE", default_value_t = 2.0)]
    pub test_rate: f64,

    /// Recorded days to replay instead: a folder (with trades/ in it, or the files themselves) or one file SYMBOL_YYYYMMDD.zip.
    #[arg(long, env = "SIMULATOR_REPLAY")]
    pub replay: Option<PathBuf>,
    /// Days to replay, as 20131007,20131008 [default: all].
    #[arg(long, env = "SIMULATOR_DAYS", requires = "replay")]
    pub days: Option<String>,
    /// Pace of the replay: 1x, 20x (times as fast), 10000/s (messages a second), max (as fast as clients read).
    #[arg(long, env = "SIMULATOR_PACE", default_value = "1x")]
    pub pace: String,
    /// New York time of day at which the first replayed day begins, HH:MM.
    #[arg(long, env = "SIMULATOR_FROM")]
    pub from: Option<String>,
    /// Move the replay's times: at 1x it begins now, at any other pace its last trade is now.
    #[arg(long, env = "SIMULATOR_SHIFT_TO_NOW")]
    pub shift_to_now: bool,
    /// Begin the replay with the first subscription [default: true at pace max, else false].
    #[arg(long, env = "SIMULATOR_WAIT_FOR_SUBSCRIBER", num_args = 0..=1, default_missing_value = "true")]
    pub wait_for_subscriber: Option<bool>,
}

/// Options that have been checked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The options as given.
    pub options: Options,
    /// Symbols of a synthetic market.
    pub symbols: Vec<String>,
    /// What the market is.
    pub market: MarketKind,
}

/// What the main market is.
#[derive(Clone, Debug)]
pub enum MarketKind {
    /// Generated, from this stream time on (Unix nanoseconds); now where `None`.
    Synthetic {
        /// Start.
        start_ns: Option<i64>,
    },
    /// Recorded.
    Replay {
        /// Folder or file.
        path: PathBuf,
        /// Which symbols; all where empty.
        symbols: Vec<String>,
        /// Which days; all where empty.
        days: Vec<Date>,
        /// How fast.
        pace: Pace,
        /// Where the first day begins.
        from: Option<Time>,
        /// Whether it waits for the first subscription.
        wait: bool,
    },
}

impl Options {
    /// Checks what the command line's grammar cannot.
    ///
    /// # Errors
    /// One message that names every mistake.
    pub fn check(self) -> Result<Settings, String> {
        let mut mistakes = Vec::new();
        let mut note = |option: &str, problem: String| mistakes.push(format!("  --{option}: {problem}"));
        for (option, share) in [
            ("quote-share", self.quote_share),
            ("late-share", self.late_share),
            ("early-share", self.early_share),
            ("correction-share", self.correction_share),
        ] {
            if !(0.0..=1.0).contains(&share) {
                note(option, format!("{share} must be from 0 to 1"));
            }
        }
        for (option, rate) in [("rate", self.rate), ("test-rate", self.test_rate)] {
            if !(0.01..=200_000.0).contains(&rate) {
                note(option, format!("{rate} must be from 0.01 to 200000 messages a second"));
            }
        }
        for (option, seconds, least, most) in [
            ("late-max-seconds", self.late_max_seconds, 1, 3_600),
            ("early-max-seconds", self.early_max_seconds, 1, 86_400),
            ("history-behind-seconds", self.history_behind_seconds, 0, 86_400),
        ] {
            if !(least..=most).contains(&seconds) {
                note(option, format!("{seconds} must be from {least} to {most} seconds"));
            }
        }
        if self.history_days > 60 {
            note("history-days", format!("{} must be from 0 to 60", self.history_days));
        }
        if self.client_buffer == 0 || self.client_buffer > 100_000_000 {
            note("client-buffer", format!("{} must be from 1 to 100000000 messages", self.client_buffer));
        }
        if self.ping_ms == 0 {
            note("ping-ms", "must be at least 1".into());
        }
        if self.rest_per_minute == Some(0) {
            note("rest-per-minute", "must be at least 1".into());
        }
        let symbols = expand(self.symbols.as_deref().unwrap_or(DEFAULT_SYMBOLS)).unwrap_or_else(|problem| {
            note("symbols", problem);
            Vec::new()
        });
        let market = match &self.replay {
            None => MarketKind::Synthetic { start_ns: checked(&self.start, "start", moment, &mut note) },
            Some(path) => {
                let pace = self.pace.parse::<Pace>().unwrap_or_else(|problem| {
                    note("pace", problem);
                    Pace::Max
                });
                let all = self.symbols.as_deref().is_none_or(|list| list == "*");
                MarketKind::Replay {
                    path: path.clone(),
                    symbols: if all { Vec::new() } else { symbols.clone() },
                    days: checked(&self.days, "days", days, &mut note).unwrap_or_default(),
                    pace,
                    from: checked(&self.from, "from", time_of_day, &mut note),
                    wait: self.wait_for_subscriber.unwrap_or(pace == Pace::Max),
                }
            }
        };
        if mistakes.is_empty() {
            return Ok(Settings { options: self, symbols, market });
        }
        Err(format!("these options cannot be used:\n{}", mistakes.join("\n")))
    }

    /// Symbols per connection, where limited.
    #[must_use]
    pub fn symbols_max(&self) -> Option<usize> {
        let default = if self.plan == Plan::Free { 30 } else { 0 };
        Some(self.symbol_limit.unwrap_or(default)).filter(|&limit| limit > 0)
    }

    /// REST requests a minute.
    #[must_use]
    pub fn requests_per_minute(&self) -> u32 {
        self.rest_per_minute.unwrap_or(if self.plan == Plan::Free { 200 } else { 10_000 })
    }

    /// Time between pings.
    #[must_use]
    pub fn ping_every(&self) -> Duration {
        Duration::from_millis(self.ping_ms)
    }

    /// Time to authenticate.
    #[must_use]
    pub fn auth_timeout(&self) -> Duration {
        Duration::from_millis(self.auth_timeout_ms)
    }
}

fn checked<T>(
    text: &Option<String>,
    option: &str,
    read: impl Fn(&str) -> Result<T, String>,
    note: &mut impl FnMut(&str, String),
) -> Option<T> {
    match read(text.as_deref()?) {
        Ok(value) => Some(value),
        Err(problem) => {
            note(option, problem);
            None
        }
    }
}

fn moment(text: &str) -> Result<i64, String> {
    parse_time(text).ok_or_else(|| format!("{text:?} is no time such as 2026-03-02T14:30:00Z"))
}

fn days(text: &str) -> Result<Vec<Date>, String> {
    let day = |day: &str| parse_date(day.trim()).ok_or_else(|| format!("{day:?} is no day such as 20131007"));
    text.split(',').map(day).collect()
}

fn time_of_day(text: &str) -> Result<Time, String> {
    Time::strptime("%H:%M", text).map_err(|_| format!("{text:?} is no time of day such as 09:30"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    fn check(arguments: &[&str]) -> Result<Settings, String> {
        let options = Options::try_parse_from(["feed-simulator"].iter().chain(arguments));
        options.map_err(|error| error.to_string())?.check()
    }

    #[test]
    fn the_grammar_is_sound_and_the_defaults_are_a_demo() {
        Options::command().debug_assert();
        let settings = check(&[]).unwrap();
        assert_eq!(settings.symbols.len(), 8);
        assert!(matches!(settings.market, MarketKind::Synthetic { start_ns: None }));
        assert_eq!(settings.options.symbols_max(), None);
        assert_eq!(check(&["--plan", "free"]).unwrap().options.symbols_max(), Some(30));
    }

    #[test]
    fn one_message_names_every_mistake() {
        let problem = check(&["--rate", "0", "--symbols", "A B", "--late-share", "2", "--start", "soon"]).unwrap_err();
        for name in ["--rate", "--symbols", "--late-share", "--start"] {
            assert!(problem.contains(name), "{problem}");
        }
        let problem = check(&["--replay", "x", "--pace", "warp", "--days", "monday", "--from", "noon"]).unwrap_err();
        for name in ["--pace", "--days", "--from"] {
            assert!(problem.contains(name), "{problem}");
        }
    }

    #[test]
    fn a_replay_at_full_speed_waits_for_its_first_reader() {
        let wait = |arguments: &[&str]| match check(arguments).unwrap().market {
            MarketKind::Replay { wait, .. } => wait,
            MarketKind::Synthetic { .. } => panic!("no replay"),
        };
        assert!(wait(&["--replay", "x", "--pace", "max"]));
        assert!(!wait(&["--replay", "x"]));
        assert!(!wait(&["--replay", "x", "--pace", "max", "--wait-for-subscriber", "false"]));
        assert!(wait(&["--replay", "x", "--wait-for-subscriber"]));
    }
}
