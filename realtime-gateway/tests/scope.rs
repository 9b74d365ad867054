//! Whatever a client does with whatever tokens, nothing outside its current scope is delivered to it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use market::{Position, Symbol};
use proptest::prelude::*;
use realtime_gateway::delivery::client::Client;
use realtime_gateway::delivery::outbox::Limits;
use realtime_gateway::hub::{Hub, Settings};
use realtime_gateway::memory;
use realtime_gateway::memory::log::Bounds;
use realtime_gateway::memory::since::Since;
use realtime_gateway::memory::symbol::Background;
use realtime_gateway::records::batch::Batch;
use realtime_gateway::records::channel::{Channel, Channels};
use realtime_gateway::records::encoding::Encoding;
use realtime_gateway::records::event::Event;
use realtime_gateway::subscriptions::contract::{Options, Request};
use service::web::scope::{Scope, Stream, Streams};

const SYMBOLS: [&str; 3] = ["AAAA", "BBBB", "CCCC"];

/// One step of a client, its peers, or the market.
#[derive(Clone, Debug)]
enum Step {
    Subscribe {
        symbols: u8,
        streams: u8,
        since: bool,
        rate: bool,
    },
    Unsubscribe {
        symbols: u8,
    },
    Refresh {
        symbols: Option<u8>,
        streams: u8,
    },
    /// The connection breaks, and the client resumes with another token.
    Resume {
        symbols: Option<u8>,
        streams: u8,
        offset: u64,
    },
    Publish {
        symbol: usize,
        stream: usize,
    },
    /// The history has told what it knows of a symbol.
    Background {
        symbol: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let scope = || (prop::option::of(0_u8..8), 0_u8..8);
    prop_oneof![
        3 => (0_u8..8, 1_u8..8, any::<bool>(), any::<bool>())
            .prop_map(|(symbols, streams, since, rate)| Step::Subscribe { symbols, streams, since, rate }),
        1 => (0_u8..8).prop_map(|symbols| Step::Unsubscribe { symbols }),
        2 => scope().prop_map(|(symbols, streams)| Step::Refresh { symbols, streams }),
        2 => (scope(), 0_u64..40).prop_map(|((symbols, streams), offset)| Step::Resume { symbols, streams, offset }),
        6 => (0_usize..3, 0_usize..3).prop_map(|(symbol, stream)| Step::Publish { symbol, stream }),
        1 => (0_usize..3).prop_map(|symbol| Step::Background { symbol }),
    ]
}

fn symbol(index: usize) -> Symbol {
    Symbol::new(SYMBOLS[index]).unwrap()
}

fn symbols(bits: u8) -> Vec<Symbol> {
    (0..3).filter(|index| bits & 1 << index != 0).map(symbol).collect()
}

fn streams(bits: u8) -> Vec<Stream> {
    Stream::ALL.into_iter().enumerate().filter(|(index, _)| bits & 1 << index != 0).map(|(_, stream)| stream).collect()
}

fn scope(bits: Option<u8>, of: u8) -> Scope {
    Scope::new(bits.map(|bits| symbols(bits).into_iter().collect::<BTreeSet<_>>()), Streams::of(&streams(of)), true)
}

/// A client of one dialect, with the scope that it has now.
struct Peer {
    hub: Arc<Hub>,
    client: Arc<Client>,
    encoding: Encoding,
    scope: Scope,
    seq: u64,
}

impl Peer {
    fn new(encoding: Encoding) -> Self {
        let hub = Hub::new(Settings {
            symbols_max: 50,
            memory: memory::Settings { log: Bounds { count: 100, age: Duration::from_secs(600) }, bytes_max: 1 << 20 },
            stalled_max: Duration::from_secs(10),
            session_max: Duration::from_secs(60),
        });
        let client = Self::visitor(&hub, encoding, &Scope::ALL);
        Self { hub, client, encoding, scope: Scope::ALL, seq: 0 }
    }

    fn visitor(hub: &Hub, encoding: Encoding, scope: &Scope) -> Arc<Client> {
        let client = Client::on_task(hub.next_id(), encoding, Limits { lossless_bytes: 1 << 20, held_max: 1_000 });
        hub.join(&client, scope.clone());
        client
    }

    fn take(&mut self, step: &Step) {
        let id = self.client.id();
        match *step {
            Step::Subscribe { symbols: bits, streams: of, since, rate } => {
                let position = Some(Position { epoch: 1, seq: self.seq / 2 });
                let since_all = Since { trades: position, bars: position, quotes: position };
                let since: BTreeMap<_, _> =
                    symbols(bits).into_iter().filter(|_| since).map(|symbol| (symbol, since_all)).collect();
                let options = Options {
                    channels: Channels::of(streams(of).into_iter().map(Channel::from)),
                    interval: rate.then_some(Duration::from_millis(1)),
                    lossless: false,
                };
                let request = Request { symbols: symbols(bits), options, since, ..Request::default() };
                self.hub.subscribe(id, &request, |_| None);
            }
            Step::Unsubscribe { symbols: bits } => {
                let request = Request { symbols: symbols(bits), ..Request::default() };
                self.hub.unsubscribe(id, &request, |_| None);
            }
            Step::Refresh { symbols: bits, streams: of } => {
                self.scope = scope(bits, of);
                self.hub.set_scope(id, self.scope.clone());
            }
            Step::Resume { symbols: bits, streams: of, offset } => {
                self.hub.hold_session(id, "session".to_owned(), "connection".to_owned());
                self.hub.leave(id, true);
                self.scope = scope(bits, of);
                self.client = Self::visitor(&self.hub, self.encoding, &self.scope);
                self.hub.resume(self.client.id(), "session", offset, |_| None);
            }
            Step::Publish { symbol: index, stream } => self.publish(index, Stream::ALL[stream]),
            Step::Background { symbol: index } => {
                let bar = format!(r#"{{"symbol":"{}","mark":"mark-bars","close":1}}"#, SYMBOLS[index]);
                let background = Background { previous_close: Some(77.25), volume: 1.0, bar: Some(bar) };
                self.hub.set_background(symbol(index), background);
            }
        }
        self.hub.open_gates(std::time::Instant::now() + Duration::from_secs(5));
    }

    fn publish(&mut self, index: usize, stream: Stream) {
        self.seq += 1;
        let position = Position { epoch: 1, seq: self.seq };
        let payload = format!(
            r#"{{"symbol":"{}","price":10,"size":1,"timestamp":1700000000000,"mark":"mark-{}","epoch":1,"seq":{}}}"#,
            SYMBOLS[index],
            stream.name(),
            self.seq
        );
        let mut batch = Batch::default();
        let channel = Channel::from(stream);
        let event = Event { symbol: symbol(index), channel, offset: 0, position: Some(position), day: None };
        batch.push(event, payload.as_bytes());
        self.hub.publish(batch);
    }

    /// Everything that waits for the client is within its scope.
    fn check(&self, step: &Step) -> Result<usize, TestCaseError> {
        let mut records = 0;
        while let Some(message) = self.client.pop() {
            let text = String::from_utf8_lossy(&message);
            if text.contains("\"scope\"") || text.contains("scope") && text.contains("subscriptions have ended") {
                continue; // says which subscriptions ended, and holds no record
            }
            records += 1;
            for name in SYMBOLS {
                let allowed = self.scope.allows(&Symbol::new(name).unwrap());
                prop_assert!(allowed || !text.contains(name), "{:?}: {text} in {:?}", step, self.scope);
            }
            for stream in Stream::ALL {
                let mark = format!("mark-{}", stream.name());
                let allowed = self.scope.allows_stream(stream);
                prop_assert!(allowed || !text.contains(&mark), "{:?}: {text} in {:?}", step, self.scope);
            }
            let bars = self.scope.allows_stream(Stream::Bars);
            prop_assert!(bars || !text.contains("\"bar\"") && !text.contains("77.25"), "{:?}: {text}", step);
            let trades = self.scope.allows_stream(Stream::Trades);
            // These dialects write trades anew, without the mark.
            prop_assert!(trades || !text.contains("price_update") && !text.contains("notification"), "{text}");
        }
        Ok(records)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn nothing_outside_the_current_scope_is_ever_delivered(steps in prop::collection::vec(step(), 1..40)) {
        let encodings = [
            Encoding::DIRECT, Encoding::DIRECT.marked(), Encoding::ENGINE, Encoding::DIRECT.msgpack(), Encoding::Action,
            Encoding::Type, Encoding::Notification, Encoding::Sse,
        ];
        for encoding in encodings {
            let mut peer = Peer::new(encoding);
            for step in &steps {
                peer.take(step);
                peer.check(step)?;
            }
        }
    }
}

/// What a scope covers does arrive: the property above would hold for a gateway that says nothing.
#[test]
fn what_the_scope_covers_arrives_before_and_after_a_refresh() {
    let mut peer = Peer::new(Encoding::DIRECT);
    let records = |peer: &mut Peer, step: Step| {
        peer.take(&step);
        peer.check(&step).unwrap()
    };
    records(&mut peer, Step::Subscribe { symbols: 7, streams: 7, since: false, rate: false });
    assert_eq!(records(&mut peer, Step::Publish { symbol: 0, stream: 0 }), 1);
    assert_eq!(records(&mut peer, Step::Publish { symbol: 1, stream: 2 }), 1);
    records(&mut peer, Step::Refresh { symbols: Some(1), streams: 1 });
    assert_eq!(records(&mut peer, Step::Publish { symbol: 0, stream: 0 }), 1);
    assert_eq!(records(&mut peer, Step::Publish { symbol: 0, stream: 1 }), 0);
    assert_eq!(records(&mut peer, Step::Publish { symbol: 1, stream: 0 }), 0);
    let resumed = Step::Resume { symbols: Some(1), streams: 1, offset: 5 };
    assert_eq!(records(&mut peer, resumed), 0);
    assert_eq!(records(&mut peer, Step::Publish { symbol: 0, stream: 0 }), 1, "a session within the scope is resumed");
}
