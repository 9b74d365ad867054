//! One market as everybody sees it: what it has said, who listens, how far it is.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use serde_json::{Map, Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::counts::Counts;
use crate::hub::Hub;
use crate::message::Bar;
use crate::source::Pace;
use crate::symbols::{SymbolId, SymbolTable};
use crate::synthetic::{History, Hours};
use crate::tape::Tape;
use crate::wire::text::time_text;

/// Commands to the engine.
#[derive(Debug)]
pub enum Command {
    /// Take another pace; the answer says whether the source has it.
    Pace(Pace, oneshot::Sender<Result<(), String>>),
    /// Stop the market.
    Pause,
    /// Let it go on.
    Resume,
}

/// What left through the sockets.
#[derive(Debug)]
pub struct Sent {
    /// Messages by type and symbol, summed over all clients.
    pub counts: Counts,
    /// Data frames.
    pub frames: u64,
    /// Bytes of data frames.
    pub bytes: u64,
}

/// How far a market is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// Whether a replay has sent its last message.
    pub done: bool,
    /// Whether the market stands still on demand.
    pub paused: bool,
    /// Whether it waits for its first subscriber.
    pub waiting: bool,
    /// The pace, or for a synthetic market its rate.
    pub pace: Pace,
    /// Messages that a mute client side never got.
    pub withheld: u64,
    /// How late the last batch left, in microseconds.
    pub behind_us: u64,
}

/// One market.
#[derive(Debug)]
pub struct Market {
    /// `synthetic`, `replay` or `test`.
    pub source: &'static str,
    /// Its symbols.
    pub symbols: Arc<SymbolTable>,
    /// When it trades; recorded days keep to the calendar.
    pub hours: Hours,
    /// Minute bars from before its start.
    pub history: Option<History>,
    /// Its connections.
    pub hub: Hub,
    /// Where its stream time comes from: it runs with the clock since this moment, or where `None`, with the messages.
    origin: Option<(Instant, i64)>,
    stream_ns: AtomicI64,
    tape: RwLock<Tape>,
    produced: Mutex<Counts>,
    sent: Mutex<Sent>,
    progress: Mutex<Progress>,
    commands: mpsc::Sender<Command>,
}

/// What a [`Market`] is made of.
#[derive(Debug)]
pub struct Parts {
    /// See [`Market::source`].
    pub source: &'static str,
    /// See [`Market::symbols`].
    pub symbols: Arc<SymbolTable>,
    /// See [`Market::hours`].
    pub hours: Hours,
    /// See [`Market::history`].
    pub history: Option<History>,
    /// Trades kept for REST.
    pub trades_max: usize,
    /// Messages buffered for one client.
    pub client_buffer: usize,
    /// Where stream time begins, in Unix nanoseconds.
    pub start_ns: i64,
    /// Whether stream time runs with the clock.
    pub live: bool,
    /// The first pace.
    pub pace: Pace,
}

impl Market {
    /// A market and the commands for its engine.
    #[must_use]
    pub fn new(parts: Parts) -> (Arc<Self>, mpsc::Receiver<Command>) {
        let (commands, receiver) = mpsc::channel(16);
        let counts = Counts::new(&parts.symbols);
        let market = Self {
            source: parts.source,
            hours: parts.hours,
            history: parts.history,
            hub: Hub::new(parts.client_buffer),
            origin: parts.live.then(|| (Instant::now(), parts.start_ns)),
            stream_ns: AtomicI64::new(parts.start_ns),
            tape: RwLock::new(Tape::new(parts.symbols.len(), parts.trades_max)),
            produced: Mutex::new(counts.clone()),
            sent: Mutex::new(Sent { counts, frames: 0, bytes: 0 }),
            progress: Mutex::new(Progress {
                done: false,
                paused: false,
                waiting: false,
                pace: parts.pace,
                withheld: 0,
                behind_us: 0,
            }),
            commands,
            symbols: parts.symbols,
        };
        (Arc::new(market), receiver)
    }

    /// The stream's time in Unix nanoseconds.
    #[must_use]
    pub fn now_ns(&self) -> i64 {
        match self.origin {
            Some((instant, start_ns)) => {
                start_ns.saturating_add(i64::try_from(instant.elapsed().as_nanos()).unwrap_or(i64::MAX))
            }
            None => self.stream_ns.load(Ordering::Relaxed),
        }
    }

    /// The moment and stream time at which a live market began.
    #[must_use]
    pub fn origin(&self) -> Option<(Instant, i64)> {
        self.origin
    }

    /// Says how far the stream is.
    pub fn reach(&self, ts_ns: i64) {
        self.stream_ns.fetch_max(ts_ns, Ordering::Relaxed);
    }

    /// What the market has said, to be read.
    pub fn tape(&self) -> std::sync::RwLockReadGuard<'_, Tape> {
        self.tape.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the market has said, to be added to.
    pub fn tape_mut(&self) -> std::sync::RwLockWriteGuard<'_, Tape> {
        self.tape.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts of all that the market said.
    pub fn produced(&self) -> MutexGuard<'_, Counts> {
        self.produced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts of what left through the sockets.
    pub fn sent(&self) -> MutexGuard<'_, Sent> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far it is.
    pub fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the engine something.
    ///
    /// # Errors
    /// A sentence when the engine has ended.
    pub async fn command(&self, command: Command) -> Result<(), String> {
        self.commands.send(command).await.map_err(|_| "the simulator is stopping".to_owned())
    }

    /// A symbol's minute bars that start in `from_ns..=to_ns`, from before the market's start and since then, ascending.
    #[must_use]
    pub fn minutes(&self, symbol: SymbolId, from_ns: i64, to_ns: i64) -> Vec<Bar> {
        let before = self.history.as_ref().map(|history| history.minutes(symbol, from_ns)).unwrap_or_default();
        let since = self.tape();
        let since = since.minutes(symbol, from_ns..=to_ns).copied();
        before.into_iter().filter(|bar| bar.start_ns <= to_ns).chain(since).collect()
    }

    /// The statistics of `GET /control/stats`.
    #[must_use]
    pub fn stats(&self) -> Map<String, Value> {
        let progress = *self.progress();
        let produced = self.produced().to_json(&self.symbols);
        let (mut sent, frames, bytes) = {
            let sent = self.sent();
            (sent.counts.to_json(&self.symbols), sent.frames, sent.bytes)
        };
        sent.insert("frames".into(), json!(frames));
        sent.insert("bytes".into(), json!(bytes));
        let fields = json!({
            "source": self.source,
            "stream_time": time_text(self.now_ns()),
            "pace": progress.pace.to_string(),
            "done": progress.done,
            "paused": progress.paused,
            "waiting_for_subscriber": progress.waiting,
            "behind_us": progress.behind_us,
            "withheld": progress.withheld,
            "queued": self.hub.queued(),
            "trades_kept": self.tape().trades_kept(),
            "clients": self.hub.to_json(),
            "market": produced,
            "sent": sent,
        });
        match fields {
            Value::Object(fields) => fields,
            _ => Map::new(),
        }
    }
}
