//! The one step that joins the rooms: a batch on its way to all who want it, and a client's subscriptions coming and going.
//!
//! One lock orders a subscribe against the live stream: it is acknowledged, painted and registered in one step, so a client can neither miss
//! a record between its snapshot and the live stream nor get one twice. Under the lock nothing is decoded, sorted, rendered or written to a
//! socket: what takes time is put into the outbox as references, and made into bytes when the client is flushed.

mod subscribe;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use market::Symbol;
use service::web::scope::Scope;

use crate::delivery::client::{Client, Cut};
use crate::delivery::flush::Flushers;
use crate::memory::symbol::Background;
use crate::memory::{Memories, Read};
use crate::records::batch::Batch;
use crate::records::channel::{Channel, Channels};
use crate::records::encoding::Encoding;
use crate::records::feed_state::FeedState;
use crate::sessions::{Session, Sessions};
use crate::subscriptions::registry::{Member, Registry};

/// What the hub keeps to.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Most symbols that one client follows.
    pub symbols_max: usize,
    /// What is kept to be sent again.
    pub memory: crate::memory::Settings,
    /// How long a client that makes no progress is kept.
    pub stalled_max: Duration,
    /// How long a client that went without a word may come back and find its subscriptions.
    pub session_max: Duration,
}

/// The rooms, behind one lock.
#[derive(Debug)]
pub struct Hub {
    settings: Settings,
    state: Mutex<State>,
    flushers: Flushers,
    next_id: AtomicU64,
    deliveries: AtomicU64,
}

#[derive(Debug)]
struct State {
    memories: Memories,
    registry: Registry,
    sessions: Sessions,
    /// Symbols that were subscribed and of which nobody has asked the background yet.
    wanted: Vec<Symbol>,
}

impl Hub {
    /// A hub without clients.
    #[must_use]
    pub fn new(settings: Settings) -> Arc<Self> {
        let state = State {
            memories: Memories::new(settings.memory),
            registry: Registry::default(),
            sessions: Sessions::default(),
            wanted: Vec::new(),
        };
        Arc::new(Self {
            settings,
            state: Mutex::new(state),
            flushers: Flushers::new(),
            next_id: AtomicU64::new(1),
            deliveries: AtomicU64::new(0),
        })
    }

    /// A number for a new client.
    pub fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Clients now.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.state().registry.members().len()
    }

    /// Records handed to clients so far.
    #[must_use]
    pub fn deliveries(&self) -> u64 {
        self.deliveries.load(Ordering::Relaxed)
    }

    /// Bytes that the logs hold.
    #[must_use]
    pub fn log_bytes(&self) -> usize {
        self.state().memories.bytes()
    }

    /// Subscriptions with a `maxRate` of which a record waits.
    #[must_use]
    pub fn waiting_gates(&self) -> usize {
        self.state().registry.waiting_gates()
    }

    /// Lets a client in. Without this, it can neither subscribe nor be told anything.
    pub fn join(&self, client: &Arc<Client>, scope: Scope) {
        self.state().registry.join(client, scope);
    }

    /// Names the session that a client leaves behind when it breaks off, and its connection as the client knows it.
    pub fn hold_session(&self, id: u64, session: String, connection_id: String) {
        let mut state = self.state();
        let Some(member) = state.registry.member_mut(id) else { return };
        member.session = Some(Box::new((session.clone(), connection_id)));
        state.sessions.hold(session, id);
    }

    /// Lets a client go. With `keep`, its subscriptions wait for it under the name of its session.
    pub fn leave(&self, id: u64, keep: bool) {
        self.state().leave(id, keep, self.settings.session_max);
    }

    /// Sends a batch to everybody who follows what is in it.
    pub fn publish(&self, mut batch: Batch) {
        let now = Instant::now();
        let read = read(&batch);
        let mut touched: Vec<Arc<Client>> = Vec::new();
        let (deliveries, last_offset) = {
            let mut state = self.state();
            let State { memories, registry, .. } = &mut *state;
            memories.remember(&mut batch, read, now);
            (registry.fan_out(&Arc::new(batch), now, &mut touched), memories.last_offset())
        };
        self.deliveries.fetch_add(deliveries, Ordering::Relaxed);
        // Each time another client is first, so that nobody is always last.
        let first = usize::try_from(last_offset).unwrap_or(0) % touched.len().max(1);
        touched.rotate_left(first);
        self.flushers.flush(touched);
    }

    /// Every few milliseconds: sends what waited at a gate.
    pub fn open_gates(&self, now: Instant) {
        let mut touched = Vec::new();
        let deliveries = self.state().registry.open_gates(now, &mut touched);
        self.deliveries.fetch_add(deliveries, Ordering::Relaxed);
        self.flushers.flush(touched);
    }

    /// Tells every client about something; `fleeting` is left out for clients that cannot keep up.
    pub fn announce(&self, name: &str, json: &str, fleeting: bool) {
        let clients = self.everybody();
        let mut made: [Option<Option<Bytes>>; Encoding::COUNT] = [const { None }; Encoding::COUNT];
        for client in clients {
            let encoding = client.encoding();
            let message = made[encoding.index()].get_or_insert_with(|| encoding.notice(name, json));
            let Some(message) = message.clone() else { continue };
            if fleeting {
                client.outbox().push_fleeting(message, Instant::now());
                client.flush();
            } else {
                client.say(message);
            }
        }
    }

    /// Every client, to go through without holding anybody up.
    #[must_use]
    pub fn everybody(&self) -> Vec<Arc<Client>> {
        self.state().registry.members().map(|member| Arc::clone(&member.client)).collect()
    }

    /// Notes that records may have been missed: from here on no recovery is complete.
    pub fn break_off(&self) {
        self.state().memories.break_off();
    }

    /// Symbols that were subscribed for the first time since the last call.
    #[must_use]
    pub fn take_wanted(&self) -> Vec<Symbol> {
        std::mem::take(&mut self.state().wanted)
    }

    /// Whether anybody follows `symbol`.
    #[must_use]
    pub fn is_followed(&self, symbol: &Symbol) -> bool {
        self.state().registry.is_followed(symbol)
    }

    /// Changes whenever [`Self::followed_symbols`] does: much cheaper to ask.
    #[must_use]
    pub fn demand_changes(&self) -> u64 {
        self.state().registry.demand_changes()
    }

    /// Every symbol that anybody follows.
    #[must_use]
    pub fn followed_symbols(&self) -> Vec<Symbol> {
        self.state().registry.followed().collect()
    }

    /// Sets what an outside source knows of a symbol's day, and shows it to those who follow it.
    pub fn set_background(&self, symbol: Symbol, background: Background) {
        let clients: Vec<Arc<Client>> = {
            let mut state = self.state();
            state.memories.entry(symbol).set_background(background);
            let clients: Vec<Arc<Client>> = state.registry.followers(&symbol).cloned().collect();
            // The other dialects are painted with a trade, which their clients have already.
            for client in clients.iter().filter(|client| client.encoding().knows_snapshots()) {
                state.paint(client, symbol);
            }
            clients
        };
        self.flushers.flush(clients);
    }

    /// Every few seconds: drops what is too old.
    pub fn sweep(&self, now: Instant) {
        let mut state = self.state();
        let State { memories, registry, sessions, .. } = &mut *state;
        sessions.expire(now);
        memories.sweep(now, |symbol| registry.is_followed(symbol));
    }

    /// Every second: cuts clients that make no progress or whose token ran out.
    pub fn cut_the_hopeless(&self, now: Instant, now_unix_ms: u64) {
        for client in self.everybody() {
            let stalled = client
                .outbox()
                .waiting_since()
                .is_some_and(|since| now.saturating_duration_since(since) > self.settings.stalled_max);
            if stalled {
                client.cut(Cut::Stalled);
            } else if client.expired(now_unix_ms) {
                client.cut(Cut::Expired);
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn leave(&mut self, id: u64, keep: bool, session_max: Duration) {
        let Some((Member { session, .. }, symbols)) = self.registry.leave(id) else { return };
        let Some((session, connection_id)) = session.map(|session| *session) else { return };
        self.sessions.release(&session, id);
        if keep {
            let until = Instant::now() + session_max;
            self.sessions.keep(session, Session { connection_id, symbols, until });
        }
    }

    /// The first paint: what is known of the symbol now, as far as the client may see it.
    fn paint(&mut self, client: &Arc<Client>, symbol: Symbol) {
        let Some(member) = self.registry.member(client.id()) else { return };
        let channels = member.channels(Channels::ALL);
        let memory = self.memories.entry(symbol);
        match client.encoding() {
            Encoding::Action | Encoding::Type | Encoding::Notification => {
                if let Some(batch) = memory.newest_trade().filter(|_| channels.has(Channel::Trades)) {
                    client.push(&batch, 0, Instant::now());
                }
            }
            _ => client.paint(memory.snapshot(symbol, channels)),
        }
    }
}

/// Reads what the memory wants to know of a batch.
fn read(batch: &Batch) -> Read {
    let mut read = Read { sizes: vec![0.0; batch.len()], carried: Vec::new() };
    for (index, event) in batch.events().iter().enumerate() {
        match event.channel {
            Channel::Trades => read.sizes[index] = size_of_trade(batch.payload(index)),
            Channel::Status => {
                let carried = FeedState::read(batch.payload(index)).carried();
                read.carried.extend(carried.map(|carried| (event.symbol, carried)));
            }
            _ => {}
        }
    }
    read
}

/// The size of a trade in shares, for the day's volume; 0 where it has none.
fn size_of_trade(payload: &[u8]) -> f64 {
    #[derive(serde::Deserialize)]
    struct Sized {
        size: f64,
    }
    serde_json::from_slice(payload).map_or(0.0, |trade: Sized| trade.size)
}

#[cfg(test)]
mod tests;
