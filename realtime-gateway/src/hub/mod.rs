//! Who follows what, and the way of a batch to all of them.
//!
//! One lock orders everything: a subscribe is answered, painted and registered in one step, so a client can neither miss a record
//! between its snapshot and the live stream nor get one twice. Nothing waits while the lock is held.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use market::Symbol;
use service::web::scope::{Scope, Stream, Streams};

use crate::delivery::client::{Client, Cut};
use crate::delivery::flush::Flushers;
use crate::memory::log::Bounds;
use crate::memory::since::Since;
use crate::memory::symbol::{Background, Memory, replay};
use crate::records::batch::Batch;
use crate::records::channel::{Channel, Channels};
use crate::records::encoding::Encoding;
use crate::records::feed_state::FeedState;
use crate::sessions::Sessions;
use crate::subscriptions::contract::{Answer, Code, Options, Rejected, Request};
use crate::subscriptions::gate::Gate;

/// What the hub keeps to.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Most symbols that one client follows.
    pub symbols_max: usize,
    /// What is kept of each symbol and stream.
    pub log: Bounds,
    /// Bytes that all logs together may hold.
    pub log_bytes_max: usize,
    /// How long a client that makes no progress is kept.
    pub stalled_max: Duration,
    /// How long a client that went without a word may come back and find its subscriptions.
    pub session_max: Duration,
}

/// The registry of clients and symbols.
#[derive(Debug)]
pub struct Hub {
    settings: Settings,
    state: Mutex<State>,
    flushers: Flushers,
    next_id: AtomicU64,
    deliveries: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    symbols: HashMap<Symbol, Entry>,
    members: HashMap<u64, Member>,
    sessions: Sessions,
    gated: HashSet<(Symbol, u64)>,
    /// Symbols that were subscribed and of which nobody has asked the background yet.
    wanted: Vec<Symbol>,
    /// Counts how often a symbol got its first follower or lost its last.
    demand_changes: u64,
    last_offset: u64,
    /// Offsets up to here may have been followed by records that never arrived.
    broken_through: Option<u64>,
    log_bytes: usize,
}

#[derive(Debug, Default)]
struct Entry {
    followers: HashMap<u64, Follower>,
    memory: Memory,
}

#[derive(Debug)]
struct Follower {
    client: Arc<Client>,
    channels: Channels,
    gate: Option<Box<Gate>>,
}

#[derive(Debug)]
struct Member {
    client: Arc<Client>,
    scope: Scope,
    symbols: Vec<(Symbol, Options)>,
}

impl Hub {
    /// A hub without clients.
    #[must_use]
    pub fn new(settings: Settings) -> Arc<Self> {
        Arc::new(Self {
            settings,
            state: Mutex::default(),
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
        self.state().members.len()
    }

    /// Records handed to clients so far.
    #[must_use]
    pub fn deliveries(&self) -> u64 {
        self.deliveries.load(Ordering::Relaxed)
    }

    /// Bytes that the logs hold.
    #[must_use]
    pub fn log_bytes(&self) -> usize {
        self.state().log_bytes
    }

    /// Lets a client in. Without this, it can neither subscribe nor be told anything.
    pub fn join(&self, client: &Arc<Client>, scope: Scope) {
        let member = Member { client: Arc::clone(client), scope, symbols: Vec::new() };
        self.state().members.insert(client.id(), member);
    }

    /// Changes what a client may follow, after a new token. What the new scope does not cover ends at once; returns the symbols whose
    /// subscriptions ended altogether, and tells the client in a `status` event.
    pub fn set_scope(&self, id: u64, scope: Scope) -> Vec<Symbol> {
        let mut state = self.state();
        let Some(member) = state.members.get_mut(&id) else { return Vec::new() };
        let client = Arc::clone(&member.client);
        let (kept, ended): (Vec<_>, Vec<_>) =
            std::mem::take(&mut member.symbols).into_iter().partition(|(symbol, options)| {
                scope.allows(symbol) && options.channels.and(Channels::within(scope.streams())).carries_market_data()
            });
        let ended: Vec<Symbol> = ended.into_iter().map(|(symbol, _)| symbol).collect();
        let within = Channels::within(scope.streams());
        member.scope = scope;
        for symbol in &ended {
            state.forget(symbol, id);
        }
        for (symbol, options) in kept {
            state.register(id, &client, symbol, Options { channels: options.channels.and(within), ..options });
        }
        drop(state);
        if !ended.is_empty() {
            let notice = serde_json::json!({
                "type": "scope",
                "detail": "your new token does not cover these symbols; their subscriptions have ended",
                "symbols": ended.iter().map(Symbol::as_str).collect::<Vec<_>>(),
            });
            client.notify("status", &notice.to_string());
        }
        ended
    }

    /// Lets a client go. With a `session` its subscriptions wait for it under that name.
    pub fn leave(&self, id: u64, session: Option<String>) {
        let mut state = self.state();
        let Some(member) = state.members.remove(&id) else { return };
        for (symbol, _) in &member.symbols {
            state.forget(symbol, id);
        }
        if let Some(session) = session {
            state.sessions.keep(session, member.symbols, Instant::now() + self.settings.session_max);
        }
    }

    /// Sends a batch to everybody who follows what is in it.
    pub fn publish(&self, mut batch: Batch) {
        let now = Instant::now();
        let mut touched: Vec<Arc<Client>> = Vec::new();
        let mut deliveries = 0;
        let first_offset = {
            let mut state = self.state();
            state.remember(&mut batch, now, &self.settings);
            let batch = Arc::new(batch);
            for (index, event) in batch.events().iter().enumerate() {
                let Some(entry) = state.symbols.get_mut(&event.symbol) else { continue };
                for follower in entry.followers.values_mut().filter(|follower| follower.channels.has(event.channel)) {
                    if follower.gate.as_mut().is_some_and(|gate| !gate.pass(&batch, index, now)) {
                        continue;
                    }
                    deliveries += 1;
                    if follower.client.push(&batch, index, now) {
                        touched.push(Arc::clone(&follower.client));
                    }
                }
            }
            state.last_offset
        };
        self.deliveries.fetch_add(deliveries, Ordering::Relaxed);
        // Each time another client is first, so that nobody is always last.
        let first = usize::try_from(first_offset).unwrap_or(0) % touched.len().max(1);
        touched.rotate_left(first);
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
        self.state().members.values().map(|member| Arc::clone(&member.client)).collect()
    }

    /// Notes that records may have been missed: from here on nobody is told that nothing was.
    pub fn break_off(&self) {
        let mut state = self.state();
        state.broken_through = Some(state.last_offset);
    }

    /// Subscribes a client. `reply` turns the answer into a message; what was asked for follows it: a snapshot of each symbol, or
    /// what the client missed.
    pub fn subscribe(&self, id: u64, request: &Request, reply: impl FnOnce(&Answer) -> Option<Bytes>) {
        let client = {
            let mut state = self.state();
            let Some(member) = state.members.get(&id) else { return };
            let client = Arc::clone(&member.client);
            let (accepted, rejected) = member.sort_out(request, self.settings.symbols_max);
            let within = Channels::within(member.scope.streams());
            let options = Options { channels: request.options.channels.and(within), ..request.options };
            let mut answer = Answer { rejected, normalized: request.normalized.clone(), ..Answer::default() };
            let mut recovered = HashMap::new();
            for symbol in &accepted {
                let missed = match (request.since.get(symbol), request.since_offset) {
                    (Some(since), _) => state.missed(symbol, since, options.channels),
                    (None, Some(offset)) => state.missed_after(symbol, offset, options.channels),
                    (None, None) => continue,
                };
                let missed = missed.filter(|missed| !too_many(missed));
                answer.recovery.insert(symbol.to_string(), missed.is_some());
                recovered.extend(missed.map(|missed| (*symbol, missed)));
            }
            answer.ok = answer.rejected.is_empty();
            answer.recovered = (!answer.recovery.is_empty() || !request.since.is_empty())
                .then(|| answer.recovery.values().all(|recovered| *recovered));
            answer.subscribed = Some(accepted.iter().map(Symbol::to_string).collect());
            for symbol in &accepted {
                state.register(id, &client, *symbol, options);
            }
            answer.symbols = state.followed(id);
            if request.options.lossless {
                client.outbox().set_lossless(true);
            }
            if let Some(message) = reply(&answer) {
                client.say(message);
            }
            for symbol in &accepted {
                match recovered.remove(symbol) {
                    Some(missed) => state.send_again(&client, &missed),
                    None => state.paint(&client, symbol),
                }
            }
            client
        };
        client.flush();
    }

    /// Unsubscribes a client; symbols that it does not follow are no mistake.
    pub fn unsubscribe(&self, id: u64, request: &Request, reply: impl FnOnce(&Answer) -> Option<Bytes>) {
        let mut state = self.state();
        let Some(member) = state.members.get_mut(&id) else { return };
        let client = Arc::clone(&member.client);
        member.symbols.retain(|(symbol, _)| !request.symbols.contains(symbol));
        for symbol in &request.symbols {
            state.forget(symbol, id);
        }
        let answer = Answer {
            ok: request.rejected.is_empty(),
            unsubscribed: Some(request.symbols.iter().map(Symbol::to_string).collect()),
            rejected: request.rejected.clone(),
            normalized: request.normalized.clone(),
            symbols: state.followed(id),
            ..Answer::default()
        };
        if let Some(message) = reply(&answer) {
            client.say(message);
        }
    }

    /// Takes a client's session up again after the record with `offset`. `hello` makes the message that goes before the records.
    /// Returns false, and does nothing, where the session is not known or some record is gone.
    pub fn resume(&self, id: u64, session: &str, offset: u64, hello: impl FnOnce() -> Option<Bytes>) -> bool {
        let mut state = self.state();
        if !state.vouches_for(offset) {
            return false;
        }
        let (Some(member), Some(kept)) = (state.members.get(&id), state.sessions.get(session)) else { return false };
        let client = Arc::clone(&member.client);
        let symbols = kept.to_vec();
        // What the new token does not cover is not revived: the client subscribes again and is told what it may have.
        let within = Channels::within(member.scope.streams());
        let covered = |(symbol, options): &(Symbol, Options)| {
            member.scope.allows(symbol) && options.channels.and(within) == options.channels
        };
        if !symbols.iter().all(covered) {
            return false;
        }
        let mut missed = Vec::new();
        for (symbol, options) in &symbols {
            let Some(entry) = state.symbols.get(symbol) else { continue }; // swept: it never had a record
            let Some(some) = entry.memory.after_offset(offset, |channel| options.channels.has(channel)) else {
                return false;
            };
            missed.extend(some);
        }
        if too_many(&missed) {
            return false;
        }
        missed.sort_unstable_by_key(|entry| entry.event.offset);
        state.sessions.remove(session);
        if let Some(hello) = hello() {
            client.say(hello);
        }
        for (symbol, options) in symbols {
            state.register(id, &client, symbol, options);
        }
        state.send_again(&client, &missed);
        drop(state);
        client.flush();
        true
    }

    /// Symbols that were subscribed for the first time since the last call.
    #[must_use]
    pub fn take_wanted(&self) -> Vec<Symbol> {
        std::mem::take(&mut self.state().wanted)
    }

    /// Whether anybody follows `symbol`.
    #[must_use]
    pub fn is_followed(&self, symbol: &Symbol) -> bool {
        self.state().symbols.get(symbol).is_some_and(|entry| !entry.followers.is_empty())
    }

    /// Changes whenever [`Self::followed_symbols`] does: much cheaper to ask.
    #[must_use]
    pub fn demand_changes(&self) -> u64 {
        self.state().demand_changes
    }

    /// Every symbol that anybody follows.
    #[must_use]
    pub fn followed_symbols(&self) -> Vec<Symbol> {
        let state = self.state();
        state.symbols.iter().filter(|(_, entry)| !entry.followers.is_empty()).map(|(symbol, _)| *symbol).collect()
    }

    /// Sets what an outside source knows of a symbol's day, and shows it to those who follow it.
    pub fn set_background(&self, symbol: Symbol, background: Background) {
        let mut state = self.state();
        let State { symbols, members, .. } = &mut *state;
        let entry = symbols.entry(symbol).or_default();
        entry.memory.set_background(background);
        let mut snapshots: Vec<(Streams, String)> = Vec::new();
        let mut told = Vec::new();
        for (id, follower) in &entry.followers {
            let streams = members.get(id).map_or(Streams::NONE, |member| member.scope.streams());
            if !snapshots.iter().any(|(known, _)| *known == streams) {
                snapshots.push((streams, entry.memory.snapshot(symbol.as_str(), streams)));
            }
            told.push((Arc::clone(&follower.client), streams));
        }
        drop(state);
        for (client, streams) in told {
            if let Some((_, json)) = snapshots.iter().find(|(known, _)| *known == streams) {
                client.notify("snapshot", json);
            }
        }
    }

    /// Looks at one symbol's memory.
    pub fn with_memory<T>(&self, symbol: &Symbol, look: impl FnOnce(&mut Memory) -> T) -> Option<T> {
        self.state().symbols.get_mut(symbol).map(|entry| look(&mut entry.memory))
    }

    /// Every few milliseconds: sends what waited at a gate.
    pub fn open_gates(&self, now: Instant) {
        let mut state = self.state();
        let State { gated, symbols, .. } = &mut *state;
        let mut touched = Vec::new();
        for (symbol, id) in gated.iter() {
            let Some(follower) = symbols.get_mut(symbol).and_then(|entry| entry.followers.get_mut(id)) else {
                continue;
            };
            let Some(gate) = &mut follower.gate else { continue };
            for batch in gate.due(now) {
                self.deliveries.fetch_add(1, Ordering::Relaxed);
                if follower.client.push(&batch, 0, now) {
                    touched.push(Arc::clone(&follower.client));
                }
            }
        }
        drop(state);
        for client in touched {
            client.flush();
        }
    }

    /// Every few seconds: drops what is too old.
    pub fn sweep(&self, now: Instant) {
        let mut state = self.state();
        state.sessions.expire(now);
        // Anybody may ask for symbols that do not exist, and for other ones the next moment.
        state.symbols.retain(|_, entry| !(entry.followers.is_empty() && entry.memory.is_blank()));
        let freed: usize = state.symbols.values_mut().map(|entry| entry.memory.expire(now, self.settings.log)).sum();
        state.log_bytes -= freed;
    }

    /// Every second: cuts clients that make no progress or whose token ran out.
    pub fn cut_the_hopeless(&self, now: Instant, now_unix_ms: u64) {
        for client in self.everybody() {
            let stalled = client
                .outbox()
                .waiting_since()
                .is_some_and(|since| now.duration_since(since) > self.settings.stalled_max);
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
    /// Numbers the records of a batch and keeps them.
    fn remember(&mut self, batch: &mut Batch, now: Instant, settings: &Settings) {
        for index in 0..batch.len() {
            self.last_offset += 1;
            let event = &mut batch.events_mut()[index];
            event.offset = self.last_offset;
            let (symbol, channel) = (event.symbol, event.channel);
            let memory = &mut self.symbols.entry(symbol).or_default().memory;
            if channel == Channel::Status {
                if let Some(carried) = FeedState::read(batch.payload(index)).carried() {
                    memory.set_carried(carried);
                }
                continue;
            }
            if channel == Channel::Trades && memory.has_background() {
                batch.events_mut()[index].day = memory.day(size_of_trade(batch.payload(index)));
            }
            let grown = memory.keep(&batch.events()[index], batch.payload(index), now, settings.log);
            self.log_bytes = self.log_bytes.saturating_add_signed(grown);
            for _ in 0..2 {
                if self.log_bytes > settings.log_bytes_max {
                    self.log_bytes -= memory.shrink(channel);
                }
            }
        }
    }

    fn register(&mut self, id: u64, client: &Arc<Client>, symbol: Symbol, options: Options) {
        let entry = self.symbols.entry(symbol).or_default();
        let gate = options.interval.map(|interval| Box::new(Gate::new(interval)));
        if gate.is_some() {
            self.gated.insert((symbol, id));
        } else {
            self.gated.remove(&(symbol, id));
        }
        self.demand_changes += u64::from(entry.followers.is_empty());
        entry.followers.insert(id, Follower { client: Arc::clone(client), channels: options.channels, gate });
        if !entry.memory.has_background() {
            self.wanted.push(symbol);
        }
        let Some(member) = self.members.get_mut(&id) else { return };
        match member.symbols.iter_mut().find(|(followed, _)| *followed == symbol) {
            Some((_, before)) => *before = options,
            None => member.symbols.push((symbol, options)),
        }
    }

    fn forget(&mut self, symbol: &Symbol, id: u64) {
        if let Some(entry) = self.symbols.get_mut(symbol) {
            let left = entry.followers.remove(&id).is_some();
            self.demand_changes += u64::from(left && entry.followers.is_empty());
        }
        self.gated.remove(&(*symbol, id));
    }

    fn followed(&self, id: u64) -> Vec<String> {
        self.members
            .get(&id)
            .into_iter()
            .flat_map(|member| &member.symbols)
            .map(|(symbol, _)| symbol.to_string())
            .collect()
    }

    fn missed(&self, symbol: &Symbol, since: &Since, channels: Channels) -> Option<Vec<crate::memory::log::Entry>> {
        self.symbols.get(symbol)?.memory.after(since, |channel| channels.has(channel))
    }

    fn missed_after(&self, symbol: &Symbol, offset: u64, channels: Channels) -> Option<Vec<crate::memory::log::Entry>> {
        if !self.vouches_for(offset) {
            return None;
        }
        match self.symbols.get(symbol) {
            Some(entry) => entry.memory.after_offset(offset, |channel| channels.has(channel)),
            None => Some(Vec::new()), // no record ever came
        }
    }

    /// Whether every record after `offset` came by here.
    fn vouches_for(&self, offset: u64) -> bool {
        offset <= self.last_offset && self.broken_through.is_none_or(|broken| offset > broken)
    }

    fn send_again(&self, client: &Arc<Client>, missed: &[crate::memory::log::Entry]) {
        client.outbox().push_again(&replay(missed), Instant::now());
    }

    /// The first paint: what is known of the symbol now.
    fn paint(&mut self, client: &Arc<Client>, symbol: &Symbol) {
        let streams = self.members.get(&client.id()).map_or(Streams::NONE, |member| member.scope.streams());
        let Some(entry) = self.symbols.get_mut(symbol) else { return };
        match client.encoding() {
            Encoding::Action | Encoding::Type | Encoding::Notification => {
                if !streams.has(Stream::Trades) {
                    return;
                }
                if let Some(batch) = entry.memory.newest_trade() {
                    client.push(&batch, 0, Instant::now());
                }
            }
            encoding => {
                if let Some(message) = encoding.notice("snapshot", &entry.memory.snapshot(symbol.as_str(), streams)) {
                    client.say(message);
                }
            }
        }
    }
}

/// Bytes that are sent again at most; a client that missed more is better off with a snapshot and the history API.
const AGAIN_BYTES_MAX: usize = 8 << 20;

fn too_many(missed: &[crate::memory::log::Entry]) -> bool {
    missed.iter().map(|entry| entry.payload.len()).sum::<usize>() > AGAIN_BYTES_MAX
}

/// The size of a trade in shares, for the day's volume; 0 where it has none.
fn size_of_trade(payload: &[u8]) -> f64 {
    #[derive(serde::Deserialize)]
    struct Sized {
        size: f64,
    }
    serde_json::from_slice(payload).map_or(0.0, |trade: Sized| trade.size)
}

impl Member {
    /// Which symbols of a request the client may have, and which not, and why.
    fn sort_out(&self, request: &Request, symbols_max: usize) -> (Vec<Symbol>, Vec<Rejected>) {
        let mut rejected = request.rejected.clone();
        let mut accepted = Vec::new();
        let within = Channels::within(self.scope.streams());
        let mut count = self.symbols.len();
        for symbol in &request.symbols {
            let known = self.symbols.iter().any(|(followed, _)| followed == symbol);
            let (code, reason) = if !self.scope.allows(symbol) {
                (Code::NotInScope, "your token does not cover this symbol".to_owned())
            } else if !request.options.channels.and(within).carries_market_data() {
                (Code::NotInScope, "your token does not cover these streams".to_owned())
            } else if !known && count >= symbols_max {
                (Code::TooManySymbols, format!("at most {symbols_max} symbols a client; unsubscribe from others first"))
            } else {
                count += usize::from(!known);
                accepted.push(*symbol);
                continue;
            };
            rejected.push(Rejected { symbol: symbol.to_string(), code, reason });
        }
        (accepted, rejected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::outbox::Limits;
    use crate::records::batch::tests::batch;

    fn hub() -> Arc<Hub> {
        Hub::new(Settings {
            symbols_max: 50,
            log: Bounds { count: 100, age: Duration::from_mins(10) },
            log_bytes_max: 1 << 20,
            stalled_max: Duration::from_secs(10),
            session_max: Duration::from_secs(60),
        })
    }

    fn visitor(hub: &Hub) -> Arc<Client> {
        let limits = Limits { lossless_bytes: 1 << 16, held_max: 100 };
        let client = Client::on_task(hub.next_id(), Encoding::DIRECT, limits);
        hub.join(&client, Scope::ALL);
        client
    }

    fn subscribe(hub: &Hub, client: &Client, symbols: &[&str]) {
        let symbols = symbols.iter().map(|name| Symbol::new(name).unwrap()).collect();
        hub.subscribe(client.id(), &Request { symbols, ..Request::default() }, |_| None);
    }

    #[test]
    fn a_symbol_without_followers_is_kept_only_for_its_records() {
        let hub = hub();
        let client = visitor(&hub);
        subscribe(&hub, &client, &["AAPL", "JUNK"]);
        hub.publish(batch(&[("AAPL", Channel::Trades, 1)]));
        hub.sweep(Instant::now());
        assert_eq!(hub.state().symbols.len(), 2, "both are followed");
        hub.leave(client.id(), Some("session".to_owned()));
        hub.sweep(Instant::now());
        let known: Vec<String> = hub.state().symbols.keys().map(ToString::to_string).collect();
        assert_eq!(known, ["AAPL"]);

        let back = visitor(&hub);
        hub.publish(batch(&[("AAPL", Channel::Trades, 2)]));
        assert!(hub.resume(back.id(), "session", 1, || None), "what was forgotten cannot have been missed");
        assert_eq!(hub.followed_symbols().len(), 2);
        let received = String::from_utf8_lossy(&back.pop().unwrap()).into_owned();
        assert!(received.contains(r#""n":2"#) && !received.contains(r#""n":1"#), "{received}");
    }

    #[test]
    fn demand_changes_with_the_first_and_the_last_follower_only() {
        let hub = hub();
        let (first, second) = (visitor(&hub), visitor(&hub));
        let mut seen = hub.demand_changes();
        let mut changed = || std::mem::replace(&mut seen, hub.demand_changes()) != hub.demand_changes();
        subscribe(&hub, &first, &["AAPL"]);
        assert!(changed());
        subscribe(&hub, &second, &["AAPL"]);
        assert!(!changed());
        hub.leave(first.id(), None);
        assert!(!changed());
        hub.leave(second.id(), None);
        assert!(changed());
    }
}
