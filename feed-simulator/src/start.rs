//! Puts a simulator together, starts it, and stops it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use axum::serve::ListenerExt as _;
use jiff::civil::Time;
use market::calendar::new_york;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::{App, Credentials, Limits, Seats};
use crate::engine::Engine;
use crate::faults::{Fault, Faults};
use crate::options::{MarketKind, Options, Settings};
use crate::rate_limit::RateLimit;
use crate::recording;
use crate::replay::{Replay, read};
use crate::server::router;
use crate::source::{Pace, Source};
use crate::symbols::{SymbolTable, TEST_SYMBOL};
use crate::synthetic::{self, History, Hours, Synthetic};
use crate::units::NS_PER_SECOND;
use crate::venue::{Command, Market, Parts};

/// How long the end may take.
const STOP_MAX: Duration = Duration::from_secs(3);

/// A running simulator.
#[derive(Debug)]
pub struct Simulator {
    address: SocketAddr,
    app: Arc<App>,
    tasks: JoinSet<()>,
}

/// A market before its engine runs.
struct Prepared {
    market: Arc<Market>,
    source: Box<dyn Source>,
    commands: tokio::sync::mpsc::Receiver<Command>,
    wait_for_subscriber: bool,
}

/// Reads recorded days where asked to, listens, and lets the markets run.
///
/// # Errors
/// When recorded days cannot be read (the message names file and line) or the address cannot be listened on.
pub async fn start(settings: Settings) -> anyhow::Result<Simulator> {
    let options = settings.options.clone();
    let main = match settings.market.clone() {
        MarketKind::Synthetic { start_ns } => synthetic_market(&options, &settings.symbols, start_ns),
        replay @ MarketKind::Replay { .. } => {
            let options = options.clone();
            // Unpacking and checking a day takes a moment and must not hold up the runtime.
            tokio::task::spawn_blocking(move || replay_market(&options, replay)).await??
        }
    };
    let test = test_market(&options);
    let listener = TcpListener::bind(options.listen).await.with_context(|| {
        format!("cannot listen on {}: choose another address with --listen, or port 0 for any free one", options.listen)
    })?;
    let address = listener.local_addr()?;

    let faults = Arc::new(Faults::default());
    faults.begin(&Fault::HistoryBehind { seconds: options.history_behind_seconds.into() });
    let app = Arc::new(App {
        main: Arc::clone(&main.market),
        test: Arc::clone(&test.market),
        faults: Arc::clone(&faults),
        limits: Limits {
            plan: options.plan,
            symbols: options.symbols_max(),
            connections: Some(options.connections).filter(|&most| most > 0),
            linger: Duration::from_millis(options.session_linger_ms),
            auth_timeout: options.auth_timeout(),
            ping_every: options.ping_every(),
            delayed_by: Duration::from_secs(options.delay_seconds),
        },
        data_requests: RateLimit::new(options.requests_per_minute()),
        trading_requests: RateLimit::new(options.requests_per_minute()),
        stop: CancellationToken::new(),
        sessions: TaskTracker::new(),
        credentials: Credentials { key: options.key, secret: options.secret },
        seats: Arc::new(Seats::default()),
    });
    let mut tasks = JoinSet::new();
    for (Prepared { market, source, commands, wait_for_subscriber }, shapes) in [(main, true), (test, false)] {
        let engine = Engine { market, source, faults: Arc::clone(&faults), shapes, commands, wait_for_subscriber };
        tasks.spawn(engine.run(app.stop.clone()));
    }
    let server = axum::serve(listener.tap_io(send_at_once), router(&app));
    let server = server.with_graceful_shutdown(app.stop.clone().cancelled_owned());
    tasks.spawn(async move {
        if let Err(error) = server.await {
            eprintln!("feed-simulator: the server ended: {error}");
        }
    });
    Ok(Simulator { address, app, tasks })
}

/// Small frames must not wait for more.
fn send_at_once(stream: &mut tokio::net::TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        eprintln!("feed-simulator: cannot turn Nagle's algorithm off: {error}");
    }
}

impl Simulator {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The shared state, for tests that look inside.
    #[must_use]
    pub fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// What it plays, in one line.
    #[must_use]
    pub fn description(&self) -> String {
        let market = &self.app.main;
        format!("{} market of {} symbols at {}", market.source, market.symbols.len(), market.progress().pace)
    }

    /// Closes all connections and ends all tasks; returns what was sent, in one line.
    pub async fn stop(mut self) -> String {
        self.app.stop.cancel();
        self.app.sessions.close();
        let ended = async {
            while self.tasks.join_next().await.is_some() {}
            self.app.sessions.wait().await;
        };
        if tokio::time::timeout(STOP_MAX, ended).await.is_err() {
            self.tasks.abort_all();
        }
        let sent = self.app.main.sent().counts.summary();
        let produced = self.app.main.produced().summary();
        format!("sent {sent}; the market made {produced}")
    }
}

fn now_ns() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_nanos()).unwrap_or(i64::MAX)
}

fn synthetic_market(options: &Options, symbols: &[String], start_ns: Option<i64>) -> Prepared {
    let settings = synthetic::Settings {
        seed: options.seed,
        start_ns: start_ns.unwrap_or_else(now_ns),
        rate: options.rate,
        hours: options.hours,
        symbols: Arc::new(SymbolTable::new(symbols)),
        quote_share: options.quote_share,
        late_share: options.late_share,
        late_max_ns: i64::from(options.late_max_seconds) * NS_PER_SECOND,
        early_share: options.early_share,
        early_max_ns: i64::from(options.early_max_seconds) * NS_PER_SECOND,
        correction_share: options.correction_share,
        history_days: options.history_days,
    };
    prepare_synthetic("synthetic", options, settings)
}

/// The always-on market of `FAKEPACA`.
fn test_market(options: &Options) -> Prepared {
    let settings = synthetic::Settings {
        seed: options.seed,
        start_ns: now_ns(),
        rate: options.test_rate,
        hours: Hours::AroundTheClock,
        symbols: Arc::new(SymbolTable::new([TEST_SYMBOL])),
        quote_share: options.quote_share,
        late_share: 0.0,
        late_max_ns: NS_PER_SECOND,
        early_share: 0.0,
        early_max_ns: NS_PER_SECOND,
        correction_share: 0.0,
        history_days: options.history_days,
    };
    prepare_synthetic("test", options, settings)
}

fn prepare_synthetic(source: &'static str, options: &Options, settings: synthetic::Settings) -> Prepared {
    let history = History::new(&settings);
    let (market, commands) = Market::new(Parts {
        source,
        symbols: Arc::clone(&settings.symbols),
        hours: settings.hours,
        history: Some(history.clone()),
        trades_max: options.retain_trades,
        client_buffer: options.client_buffer,
        start_ns: settings.start_ns,
        live: true,
        pace: Pace::Rate(settings.rate),
    });
    let source = Box::new(Synthetic::new(settings, &history));
    Prepared { market, source, commands, wait_for_subscriber: false }
}

fn replay_market(options: &Options, kind: MarketKind) -> anyhow::Result<Prepared> {
    let MarketKind::Replay { path, symbols, days, pace, from, wait } = kind else {
        anyhow::bail!("not a replay");
    };
    if path.is_file() && path.extension().is_none_or(|extension| extension != "zip") {
        anyhow::ensure!(
            symbols.is_empty() && days.is_empty() && from.is_none() && !options.shift_to_now,
            "a recording is played as it was: --symbols, --days, --from and --shift-to-now go with recorded days only"
        );
        return recorded_frames(options, &path, pace, wait);
    }
    let files = read::find(&path, &symbols, &days)?;
    let table = Arc::new(SymbolTable::new(files.iter().map(|file| file.symbol.as_str())));
    let recorded = files.iter().map(|file| read::load(file, &table)).collect::<Result<Vec<_>, _>>()?;
    let from_ns = match (from, files.first()) {
        (Some(time), Some(first)) => moment_ns(first.date, time)?,
        _ => i64::MIN,
    };
    let mut replay = Replay::new(Arc::clone(&table), recorded, pace, 0, from_ns);
    let (first_ns, last_ns) = replay.span_ns().context("no recorded trade is left after --from")?;
    if options.shift_to_now {
        let anchor_ns = if pace == Pace::Speed(1.0) { first_ns } else { last_ns };
        replay.shift(now_ns() - anchor_ns);
    }
    let (market, commands) = Market::new(Parts {
        source: "replay",
        symbols: table,
        hours: Hours::Market,
        history: None,
        trades_max: usize::MAX,
        client_buffer: options.client_buffer,
        start_ns: first_ns + replay.shift_ns(),
        live: false,
        pace,
    });
    Ok(Prepared { market, source: Box::new(replay), commands, wait_for_subscriber: wait })
}

/// A file of `producer record`.
fn recorded_frames(options: &Options, path: &std::path::Path, pace: Pace, wait: bool) -> anyhow::Result<Prepared> {
    let (symbols, recording) = recording::load(path)?;
    if recording.left_out > 0 {
        eprintln!("feed-simulator: {} recorded elements cannot be played and are left out", recording.left_out);
    }
    let (market, commands) = Market::new(Parts {
        source: "recording",
        symbols: Arc::new(symbols),
        hours: Hours::Market,
        history: None,
        trades_max: usize::MAX,
        client_buffer: options.client_buffer,
        start_ns: recording.first_ns,
        live: false,
        pace,
    });
    Ok(Prepared { market, source: Box::new(recording), commands, wait_for_subscriber: wait })
}

fn moment_ns(date: jiff::civil::Date, time: Time) -> anyhow::Result<i64> {
    let zoned = date.to_datetime(time).to_zoned(new_york())?;
    Ok(zoned.timestamp().as_millisecond() * crate::units::NS_PER_MS)
}
