//! Subscribing, unsubscribing, and taking up again where a client broke off.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use market::Symbol;
use service::web::scope::Scope;

use super::{Hub, State};
use crate::delivery::budget::{Permit, REPLAYS};
use crate::delivery::client::{Client, Cut};
use crate::memory::log::Entry;
use crate::records::channel::Channels;
use crate::subscriptions::contract::{Answer, Options, Rejected, Request};

/// Bytes of records that one client is sent again at most; one that missed more is better off with a snapshot and the history API.
const AGAIN_BYTES_MAX: usize = 8 << 20;

/// What a subscribe came to, before it is written down.
struct Taken {
    client: Arc<Client>,
    accepted: Vec<Symbol>,
    rejected: Vec<Rejected>,
    followed: Vec<Symbol>,
    recovery: Vec<(Symbol, bool)>,
}

impl Hub {
    /// Changes what a client may follow, after a new token. What the new scope does not cover ends at once; returns the symbols whose
    /// subscriptions ended altogether, and tells the client in a `status` event.
    pub fn set_scope(&self, id: u64, scope: Scope) -> Vec<Symbol> {
        let (client, ended) = {
            let mut state = self.state();
            let Some(member) = state.registry.member_mut(id) else { return Vec::new() };
            member.scope = scope;
            (Arc::clone(&member.client), state.narrow(id))
        };
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

    /// Subscribes a client. `reply` turns the answer into a message; what was asked for follows it: a snapshot of each symbol, or
    /// what the client missed.
    pub fn subscribe(&self, id: u64, request: &Request, reply: impl FnOnce(&Answer) -> Option<Bytes>) {
        let Some(taken) = self.state().subscribe(id, request, self.settings.symbols_max) else { return };
        let recovery: Vec<bool> = taken.recovery.iter().map(|(_, recovered)| *recovered).collect();
        let answer = Answer {
            ok: taken.rejected.is_empty(),
            subscribed: Some(names(&taken.accepted)),
            rejected: taken.rejected,
            normalized: request.normalized.clone(),
            symbols: names(&taken.followed),
            recovered: (!recovery.is_empty() || !request.since.is_empty())
                .then(|| recovery.iter().all(|recovered| *recovered)),
            recovery: taken.recovery.into_iter().map(|(symbol, recovered)| (symbol.to_string(), recovered)).collect(),
            ..Answer::default()
        };
        taken.client.answer(reply(&answer));
    }

    /// Unsubscribes a client; symbols that it does not follow are no mistake.
    pub fn unsubscribe(&self, id: u64, request: &Request, reply: impl FnOnce(&Answer) -> Option<Bytes>) {
        let (client, followed) = {
            let mut state = self.state();
            state.registry.unregister(id, &request.symbols);
            let Some(member) = state.registry.member(id) else { return };
            let (client, followed) = (Arc::clone(&member.client), member.symbols().to_vec());
            client.outbox().reserve(Instant::now());
            (client, followed)
        };
        let answer = Answer {
            ok: request.rejected.is_empty(),
            unsubscribed: Some(names(&request.symbols)),
            rejected: request.rejected.clone(),
            normalized: request.normalized.clone(),
            symbols: names(&followed),
            ..Answer::default()
        };
        client.answer(reply(&answer));
    }

    /// Takes a client's session up again after the record with `offset`, and ends the connection that it had, if nobody noticed yet that
    /// it broke. `hello` makes the message that goes before the records, of the id by which the client knows its connection. Returns
    /// false if the session is not known or some record is gone.
    pub fn resume(&self, id: u64, session: &str, offset: u64, hello: impl FnOnce(&str) -> Option<Bytes>) -> bool {
        let taken = {
            let mut state = self.state();
            if let Some(old) = state.sessions.holder(session).filter(|old| *old != id) {
                let client = state.registry.member(old).map(|member| Arc::clone(&member.client));
                state.leave(old, true, self.settings.session_max);
                if let Some(client) = client {
                    client.cut(Cut::Replaced);
                }
            }
            state.resume(id, session, offset)
        };
        let Some((client, connection_id)) = taken else { return false };
        client.answer(hello(&connection_id));
        true
    }
}

impl State {
    fn subscribe(&mut self, id: u64, request: &Request, symbols_max: usize) -> Option<Taken> {
        let member = self.registry.member(id)?;
        let client = Arc::clone(&member.client);
        let (accepted, rejected) = self.registry.sort_out(member, request, symbols_max);
        let options = Options { channels: member.channels(request.options.channels), ..request.options };
        let (mut missed, mut recovery) = (HashMap::new(), Vec::new());
        // One replay at a time: what is asked for again before the first is taken is a snapshot.
        let mut bytes_left = if client.outbox().is_replaying() { 0 } else { AGAIN_BYTES_MAX };
        for symbol in accepted.iter().filter(|_| !request.since.is_empty() || request.since_offset.is_some()) {
            let records = match (request.since.get(symbol), request.since_offset) {
                (Some(since), _) => self.memories.after(symbol, since, options.channels, bytes_left),
                (None, Some(offset)) => self.memories.after_offset(symbol, offset, options.channels, bytes_left),
                (None, None) => continue,
            };
            let permitted = records.and_then(|records| Some((permit(&records)?, records)));
            recovery.push((*symbol, permitted.is_some()));
            if let Some((permit, records)) = permitted {
                bytes_left -= permit.bytes();
                missed.insert(*symbol, (permit, records));
            }
        }
        for symbol in &accepted {
            self.register(id, *symbol, options);
        }
        let followed = self.registry.member(id)?.symbols().to_vec();
        let now = Instant::now();
        {
            let mut outbox = client.outbox();
            if request.options.lossless {
                outbox.set_lossless(true);
            }
            outbox.reserve(now);
        }
        for symbol in &accepted {
            match missed.remove(symbol) {
                Some((permit, records)) => client.outbox().push_again(records, permit, now),
                None => self.paint(&client, *symbol),
            }
        }
        Some(Taken { client, accepted, rejected, followed, recovery })
    }

    fn resume(&mut self, id: u64, session: &str, offset: u64) -> Option<(Arc<Client>, String)> {
        if !self.memories.vouches_for(offset) {
            return None;
        }
        let (member, kept) = (self.registry.member(id)?, self.sessions.get(session)?);
        let client = Arc::clone(&member.client);
        // What the new token does not cover is not revived: the client subscribes again and learns what its token allows.
        let covered = |(symbol, options): &(Symbol, Options)| {
            member.scope.allows(symbol) && member.channels(options.channels) == options.channels
        };
        if !kept.symbols.iter().all(covered) {
            return None;
        }
        let (mut records, mut bytes_left) = (Vec::new(), AGAIN_BYTES_MAX);
        for (symbol, options) in &kept.symbols {
            let some = self.memories.after_offset(symbol, offset, options.channels, bytes_left)?;
            bytes_left -= bytes_of(&some);
            records.extend(some);
        }
        let permit = permit(&records)?;
        let kept = self.sessions.take(session)?;
        client.outbox().reserve(Instant::now());
        for (symbol, options) in kept.symbols {
            self.register(id, symbol, options);
        }
        client.outbox().push_again(records, permit, Instant::now());
        Some((client, kept.connection_id))
    }

    fn register(&mut self, id: u64, symbol: Symbol, options: Options) {
        self.registry.register(id, symbol, options);
        if !self.memories.entry(symbol).has_background() {
            self.wanted.push(symbol);
        }
    }

    /// Ends or narrows the subscriptions that a client's scope does not cover; returns those that ended.
    fn narrow(&mut self, id: u64) -> Vec<Symbol> {
        let Some(member) = self.registry.member(id) else { return Vec::new() };
        let (scope, within) = (member.scope.clone(), member.channels(Channels::ALL));
        let symbols = member.symbols().to_vec();
        let mut ended = Vec::new();
        for symbol in symbols {
            if !scope.allows(&symbol) || !self.registry.restrict(id, &symbol, within) {
                ended.push(symbol);
            }
        }
        self.registry.unregister(id, &ended);
        ended
    }
}

fn bytes_of(records: &[Entry]) -> usize {
    records.iter().map(|entry| entry.payload.len()).sum()
}

fn permit(records: &[Entry]) -> Option<Permit> {
    REPLAYS.take(bytes_of(records))
}

fn names(symbols: &[Symbol]) -> Vec<String> {
    symbols.iter().map(Symbol::to_string).collect()
}
