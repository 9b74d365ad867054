//! The followers of every symbol, and what each client follows.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use market::Symbol;
use service::web::scope::Scope;

use super::contract::{Code, Options, Rejected, Request};
use super::gate::{Gate, Passage};
use crate::delivery::client::Client;
use crate::records::batch::Batch;
use crate::records::channel::Channels;

/// Clients and symbols.
#[derive(Debug, Default)]
pub struct Registry {
    followers: HashMap<Symbol, HashMap<u64, Follower>>,
    members: HashMap<u64, Member>,
    /// Gates at which a record waits, by the moment at which it may pass. Gates without one are not in here and are never visited.
    due: BTreeSet<(Instant, Symbol, u64)>,
    demand_changes: u64,
}

#[derive(Debug)]
struct Follower {
    client: Arc<Client>,
    options: Options,
    gate: Option<Box<Gate>>,
}

/// A client that is in.
#[derive(Debug)]
pub struct Member {
    /// The client.
    pub client: Arc<Client>,
    /// What it may follow.
    pub scope: Scope,
    /// Under which name its subscriptions wait after a break, and the id by which it knows its connection.
    pub session: Option<Box<(String, String)>>,
    symbols: Vec<Symbol>,
}

impl Member {
    /// The streams of `channels` that its scope covers.
    #[must_use]
    pub fn channels(&self, channels: Channels) -> Channels {
        Channels::within(self.scope.streams()).and(channels)
    }

    /// Everything that it follows, in the order in which it asked.
    #[must_use]
    pub fn symbols(&self) -> &[Symbol] {
        &self.symbols
    }
}

impl Registry {
    /// Lets a client in.
    pub fn join(&mut self, client: &Arc<Client>, scope: Scope) {
        let member = Member { client: Arc::clone(client), scope, session: None, symbols: Vec::new() };
        self.members.insert(client.id(), member);
    }

    /// Lets a client go; returns it and its subscriptions.
    pub fn leave(&mut self, id: u64) -> Option<(Member, Vec<(Symbol, Options)>)> {
        let member = self.members.remove(&id)?;
        let subscriptions =
            member.symbols.iter().filter_map(|symbol| Some((*symbol, self.forget(symbol, id)?))).collect();
        Some((member, subscriptions))
    }

    /// A client.
    #[must_use]
    pub fn member(&self, id: u64) -> Option<&Member> {
        self.members.get(&id)
    }

    /// A client, to be changed.
    pub fn member_mut(&mut self, id: u64) -> Option<&mut Member> {
        self.members.get_mut(&id)
    }

    /// Every client.
    pub fn members(&self) -> impl ExactSizeIterator<Item = &Member> {
        self.members.values()
    }

    /// Which symbols of a request a client may have, and which not, and why.
    #[must_use]
    pub fn sort_out(&self, member: &Member, request: &Request, symbols_max: usize) -> (Vec<Symbol>, Vec<Rejected>) {
        let mut rejected = request.rejected.clone();
        let mut accepted = Vec::new();
        let mut count = member.symbols.len();
        for symbol in &request.symbols {
            let known = self.follows(member.client.id(), symbol);
            let (code, reason) = if !member.scope.allows(symbol) {
                (Code::NotInScope, "your token does not cover this symbol".to_owned())
            } else if !member.channels(request.options.channels).carries_market_data() {
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

    /// Subscribes a client, or changes how it is subscribed.
    pub fn register(&mut self, id: u64, symbol: Symbol, options: Options) {
        let Some(member) = self.members.get_mut(&id) else { return };
        let followers = self.followers.entry(symbol).or_default();
        self.demand_changes += u64::from(followers.is_empty());
        let gate = options.interval.map(|interval| Box::new(Gate::new(interval)));
        let follower = Follower { client: Arc::clone(&member.client), options, gate };
        match followers.insert(id, follower) {
            Some(before) => forget_gate(&mut self.due, &before, symbol, id),
            None => member.symbols.push(symbol),
        }
    }

    /// Unsubscribes a client; symbols that it does not follow are no mistake.
    pub fn unregister(&mut self, id: u64, symbols: &[Symbol]) {
        for symbol in symbols {
            self.forget(symbol, id);
        }
        let Self { followers, members, .. } = self;
        if let Some(member) = members.get_mut(&id) {
            let follows = |symbol: &Symbol| followers.get(symbol).is_some_and(|followers| followers.contains_key(&id));
            member.symbols.retain(follows);
        }
    }

    /// Narrows a subscription to the streams in `channels`; returns whether any market data is left.
    pub fn restrict(&mut self, id: u64, symbol: &Symbol, channels: Channels) -> bool {
        let follower = self.followers.get_mut(symbol).and_then(|followers| followers.get_mut(&id));
        let Some(follower) = follower else { return false };
        follower.options.channels = follower.options.channels.and(channels);
        follower.options.channels.carries_market_data()
    }

    fn forget(&mut self, symbol: &Symbol, id: u64) -> Option<Options> {
        let followers = self.followers.get_mut(symbol)?;
        let follower = followers.remove(&id)?;
        forget_gate(&mut self.due, &follower, *symbol, id);
        if followers.is_empty() {
            self.followers.remove(symbol);
            self.demand_changes += 1;
        }
        Some(follower.options)
    }

    /// Whether a client follows a symbol.
    #[must_use]
    pub fn follows(&self, id: u64, symbol: &Symbol) -> bool {
        self.followers.get(symbol).is_some_and(|followers| followers.contains_key(&id))
    }

    /// Whether anybody follows a symbol.
    #[must_use]
    pub fn is_followed(&self, symbol: &Symbol) -> bool {
        self.followers.contains_key(symbol)
    }

    /// Every symbol that anybody follows.
    pub fn followed(&self) -> impl Iterator<Item = Symbol> {
        self.followers.keys().copied()
    }

    /// Those who follow a symbol.
    pub fn followers(&self, symbol: &Symbol) -> impl Iterator<Item = &Arc<Client>> {
        self.followers.get(symbol).into_iter().flat_map(|followers| followers.values().map(|follower| &follower.client))
    }

    /// Counts how often a symbol got its first follower or lost its last.
    #[must_use]
    pub fn demand_changes(&self) -> u64 {
        self.demand_changes
    }

    /// Gates at which a record waits.
    #[must_use]
    pub fn waiting_gates(&self) -> usize {
        self.due.len()
    }

    /// Puts every record of a batch into the outboxes of those who want it. Adds clients to be flushed to `touched`; returns how many
    /// records were handed out.
    pub fn fan_out(&mut self, batch: &Arc<Batch>, now: Instant, touched: &mut Vec<Arc<Client>>) -> u64 {
        let mut deliveries = 0;
        for (index, event) in batch.events().iter().enumerate() {
            let Some(followers) = self.followers.get_mut(&event.symbol) else { continue };
            for (id, follower) in followers.iter_mut() {
                if !follower.options.channels.has(event.channel) {
                    continue;
                }
                match follower.gate.as_mut().map_or(Passage::Open, |gate| gate.pass(batch, index, now)) {
                    Passage::Open => {}
                    Passage::Waits(until) => {
                        self.due.insert((until, event.symbol, *id));
                        continue;
                    }
                    Passage::Replaces => continue,
                }
                deliveries += 1;
                if follower.client.push(batch, index, now) {
                    touched.push(Arc::clone(&follower.client));
                }
            }
        }
        deliveries
    }

    /// Hands out what waited at a gate and may pass now. Visits no other gate.
    pub fn open_gates(&mut self, now: Instant, touched: &mut Vec<Arc<Client>>) -> u64 {
        let mut deliveries = 0;
        while let Some((_, symbol, id)) = self.due.first().filter(|(until, ..)| *until <= now).copied() {
            self.due.pop_first();
            let follower = self.followers.get_mut(&symbol).and_then(|followers| followers.get_mut(&id));
            let Some((client, gate)) = follower.and_then(|follower| Some((&follower.client, follower.gate.as_mut()?)))
            else {
                continue;
            };
            for batch in gate.due(now) {
                deliveries += 1;
                if client.push(&batch, 0, now) {
                    touched.push(Arc::clone(client));
                }
            }
        }
        deliveries
    }
}

fn forget_gate(due: &mut BTreeSet<(Instant, Symbol, u64)>, follower: &Follower, symbol: Symbol, id: u64) {
    for until in follower.gate.iter().flat_map(|gate| gate.waiting()) {
        due.remove(&(until, symbol, id));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::delivery::outbox::Limits;
    use crate::records::batch::tests::batch;
    use crate::records::channel::Channel;
    use crate::records::encoding::Encoding;

    #[test]
    fn only_gates_at_which_something_waits_are_visited() {
        let mut registry = Registry::default();
        let client = Client::on_task(1, Encoding::DIRECT, Limits { lossless_bytes: 1 << 16, held_max: 100 });
        registry.join(&client, Scope::ALL);
        let symbols: Vec<Symbol> = (0..1_000).map(|n| Symbol::new(&format!("S{n}")).unwrap()).collect();
        let options = Options { interval: Some(Duration::from_secs(1)), ..Options::default() };
        for symbol in &symbols {
            registry.register(1, *symbol, options);
        }
        assert_eq!(registry.waiting_gates(), 0, "idle subscriptions cost nothing");
        let (now, mut touched) = (Instant::now(), Vec::new());
        let records = [("S7", Channel::Trades, 1), ("S7", Channel::Trades, 2), ("S7", Channel::Trades, 3)];
        let trades = Arc::new(batch(&records));
        assert_eq!(registry.fan_out(&trades, now, &mut touched), 1);
        assert_eq!(registry.waiting_gates(), 1);
        assert_eq!(registry.open_gates(now, &mut touched), 0);
        assert_eq!(registry.open_gates(now + Duration::from_secs(1), &mut touched), 1);
        assert_eq!(registry.waiting_gates(), 0);

        registry.fan_out(&trades, now + Duration::from_secs(1), &mut touched);
        assert_eq!(registry.waiting_gates(), 1);
        registry.unregister(1, &symbols);
        assert_eq!((registry.waiting_gates(), registry.member(1).unwrap().symbols().len()), (0, 0));
    }
}
