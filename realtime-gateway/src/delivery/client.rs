//! One connected client, whatever its transport.

use std::io::{self, IoSlice};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::outbox::{Limits, Outbox, Overflow};
use crate::memory::snapshot::Snapshot;
use crate::records::batch::Batch;
use crate::records::encoding::Encoding;

/// Most slices that one write takes.
const SLICES_MAX: usize = 32;

/// Why a client is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// No byte went out for too long.
    Stalled,
    /// It asked for every record and did not take them.
    Lossless,
    /// It did not read its answers.
    Unread,
    /// It did not answer pings.
    Silent,
    /// Its transport failed or ended.
    Gone,
    /// Its token ran out.
    Expired,
    /// It broke the protocol or a size limit.
    Misuse,
    /// It sent too many messages.
    Flood,
    /// The gateway stops; come back to another one.
    Draining,
    /// The client came back on another connection and took its session there.
    Replaced,
}

impl Cut {
    /// The metric label.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Stalled => "stalled",
            Self::Lossless => "lossless",
            Self::Unread => "unread",
            Self::Silent => "silent",
            Self::Gone => "gone",
            Self::Expired => "expired",
            Self::Misuse => "misuse",
            Self::Flood => "message_rate",
            Self::Draining => "draining",
            Self::Replaced => "replaced",
        }
    }

    /// WebSocket close code and reason.
    #[must_use]
    pub fn close(self) -> (u16, &'static str) {
        match self {
            Self::Stalled => (1013, "this connection made no progress; reconnect when you can keep up"),
            Self::Lossless => (1013, "you asked for every record and could not keep up; reconnect and resume"),
            Self::Unread => (1008, "too many unread answers"),
            Self::Silent => (1001, "no answer to pings"),
            Self::Gone => (1000, ""),
            Self::Expired => (4001, "token expired; get a new one and reconnect"),
            Self::Misuse => (1008, "protocol or size limit broken"),
            Self::Flood => (1008, "too many messages; subscribe with a list of symbols"),
            Self::Replaced => (4002, "this session was resumed on another connection"),
            Self::Draining => (1012, "the gateway restarts; reconnect"),
        }
    }
}

/// One client. Shared by its transport, which reads and ends it, and the hub, which fills its outbox.
#[derive(Debug)]
pub struct Client {
    id: u64,
    /// Written by whoever has something to write, without waiting. A client without one has its messages fetched.
    socket: OnceLock<TcpStream>,
    outbox: Mutex<Outbox>,
    /// In the hub's list of clients to flush.
    touched: AtomicBool,
    cut: OnceLock<Cut>,
    wake: Notify,
    born: Instant,
    heard_ms: AtomicU64,
    pinged_ms: AtomicU64,
    expires_ms: AtomicU64,
}

/// What a flush came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flushed {
    /// Everything is out.
    All,
    /// The kernel takes no more for now.
    Blocked,
}

impl Client {
    /// A client whose outbox is written to a socket at once.
    #[must_use]
    pub fn on_socket(id: u64, socket: TcpStream, encoding: Encoding, limits: Limits) -> Arc<Self> {
        Self::new(id, socket.into(), encoding, limits)
    }

    /// A client whose transport waits with [`Self::woken`] and takes messages with [`Self::pop`].
    #[must_use]
    pub fn on_task(id: u64, encoding: Encoding, limits: Limits) -> Arc<Self> {
        Self::new(id, OnceLock::new(), encoding, limits)
    }

    fn new(id: u64, socket: OnceLock<TcpStream>, encoding: Encoding, limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            id,
            socket,
            outbox: Mutex::new(Outbox::new(encoding, limits)),
            touched: AtomicBool::new(false),
            cut: OnceLock::new(),
            wake: Notify::new(),
            born: Instant::now(),
            heard_ms: AtomicU64::new(0),
            pinged_ms: AtomicU64::new(0),
            expires_ms: AtomicU64::new(u64::MAX),
        })
    }

    /// Its number in this run of the gateway.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Its socket, where it has one of its own.
    #[must_use]
    pub fn socket(&self) -> Option<&TcpStream> {
        self.socket.get()
    }

    /// Gives the client a socket of its own: from now on its outbox is written there, beginning with what is in it. Nobody fetches
    /// any more. A second socket is dropped.
    pub fn attach(&self, socket: TcpStream) {
        if self.socket.set(socket).is_ok() {
            self.flush();
        }
    }

    /// What it speaks.
    #[must_use]
    pub fn encoding(&self) -> Encoding {
        self.outbox().encoding()
    }

    /// Exclusive use of the outbox.
    pub fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner) // the queue is whole between any two statements
    }

    /// Adds a record; returns whether the client has to be put on the list of clients to flush.
    pub fn push(&self, batch: &Arc<Batch>, index: usize, now: Instant) -> bool {
        if self.cut.get().is_some() {
            return false; // its transport is about to take it out of the hub
        }
        if let Err(overflow) = self.outbox().push(batch, index, now) {
            self.cut_for(overflow);
        }
        !self.touched.load(Ordering::Relaxed) && !self.touched.swap(true, Ordering::Relaxed)
    }

    /// Adds a message in the client's encoding and sends it.
    pub fn say(&self, message: Bytes) {
        if let Err(overflow) = self.outbox().push_whole(message, Instant::now()) {
            self.cut_for(overflow);
        }
        self.flush();
    }

    /// Adds a first paint without sending it.
    pub fn paint(&self, snapshot: Snapshot) {
        if let Err(overflow) = self.outbox().push_paint(snapshot, Instant::now()) {
            self.cut_for(overflow);
        }
    }

    /// Puts an answer into the place that was reserved for it, and sends what waits.
    pub fn answer(&self, answer: Option<Bytes>) {
        if let Err(overflow) = self.outbox().fill(answer, Instant::now()) {
            self.cut_for(overflow);
        }
        self.flush();
    }

    /// Adds an event such as `status`, where the client knows such things, and sends it.
    pub fn notify(&self, name: &str, json: &str) {
        if let Some(message) = self.encoding().notice(name, json) {
            self.say(message);
        }
    }

    /// Writes as much as goes out without waiting.
    pub fn flush(&self) -> Flushed {
        self.touched.store(false, Ordering::Relaxed);
        match self.socket.get() {
            Some(socket) => self.write(socket),
            None => {
                self.wake.notify_one();
                Flushed::All
            }
        }
    }

    fn write(&self, socket: &TcpStream) -> Flushed {
        let mut outbox = self.outbox();
        loop {
            outbox.unfold();
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let count = outbox.slices(&mut slices);
            if count == 0 {
                return Flushed::All;
            }
            match socket.try_write_vectored(&slices[..count]) {
                Ok(written) => outbox.advance(written, Instant::now()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.wake.notify_one(); // the transport's task waits until it can go on
                    return Flushed::Blocked;
                }
                Err(_) => {
                    self.cut(Cut::Gone);
                    return Flushed::All;
                }
            }
        }
    }

    /// The next message, for transports that fetch.
    pub fn pop(&self) -> Option<Vec<u8>> {
        self.outbox().pop(Instant::now())
    }

    /// Waits until there is something to fetch, to write, or the client is cut.
    ///
    /// # Cancel safety
    /// Nothing is lost: a wake-up that nobody waited for is kept for the next call.
    pub async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Ends the client; the first reason stays.
    pub fn cut(&self, reason: Cut) {
        if self.cut.set(reason).is_ok() {
            self.wake.notify_one();
        }
    }

    fn cut_for(&self, overflow: Overflow) {
        self.cut(match overflow {
            Overflow::Lossless => Cut::Lossless,
            Overflow::Unread => Cut::Unread,
        });
    }

    /// Why it was cut; `None` while it lives.
    #[must_use]
    pub fn cut_reason(&self) -> Option<Cut> {
        self.cut.get().copied()
    }

    /// Notes that the client said something.
    pub fn heard(&self) {
        self.heard_ms.store(self.age_ms(), Ordering::Relaxed);
    }

    /// Whether it is time for a ping, given that one goes out every `interval`; notes that it does. Cuts a client that has said
    /// nothing for `interval` and `patience` together.
    pub fn ping_due(&self, interval: Duration, patience: Duration) -> bool {
        let age = self.age_ms();
        let silence = age.saturating_sub(self.heard_ms.load(Ordering::Relaxed));
        if u128::from(silence) > (interval + patience).as_millis() {
            self.cut(Cut::Silent);
            return false;
        }
        let due = u128::from(age.saturating_sub(self.pinged_ms.load(Ordering::Relaxed))) >= interval.as_millis();
        if due {
            self.pinged_ms.store(age, Ordering::Relaxed);
        }
        due
    }

    /// Sets when its token runs out, in Unix milliseconds.
    pub fn set_expiry(&self, unix_ms: u64) {
        self.expires_ms.store(unix_ms, Ordering::Relaxed);
    }

    /// Whether its token has run out.
    #[must_use]
    pub fn expired(&self, now_unix_ms: u64) -> bool {
        self.expires_ms.load(Ordering::Relaxed) <= now_unix_ms
    }

    fn age_ms(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
