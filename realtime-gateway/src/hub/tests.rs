use super::*;
use crate::delivery::outbox::Limits;
use crate::memory::log::Bounds;
use crate::records::batch::tests::batch;
use crate::subscriptions::contract::Request;

fn hub() -> Arc<Hub> {
    Hub::new(Settings {
        symbols_max: 50,
        memory: crate::memory::Settings {
            log: Bounds { count: 100, age: Duration::from_mins(10) },
            bytes_max: 1 << 20,
        },
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
    assert_eq!(hub.state().memories.symbols(), 2, "both are followed");
    hub.hold_session(client.id(), "session".to_owned(), "connection".to_owned());
    hub.leave(client.id(), true);
    hub.sweep(Instant::now());
    assert_eq!(hub.state().memories.symbols(), 1, "JUNK is forgotten");

    let back = visitor(&hub);
    hub.publish(batch(&[("AAPL", Channel::Trades, 2)]));
    assert!(hub.resume(back.id(), "session", 1, |_| None), "what was forgotten cannot have been missed");
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
    hub.leave(first.id(), false);
    assert!(!changed());
    hub.leave(second.id(), false);
    assert!(changed());
}

#[test]
fn a_resume_ends_the_connection_that_nobody_noticed_to_be_broken() {
    let hub = hub();
    let old = visitor(&hub);
    subscribe(&hub, &old, &["AAPL"]);
    hub.hold_session(old.id(), "session".to_owned(), "connection".to_owned());
    hub.publish(batch(&[("AAPL", Channel::Trades, 1), ("AAPL", Channel::Trades, 2)]));
    let back = visitor(&hub);
    let mut known = String::new();
    assert!(hub.resume(back.id(), "session", 1, |id| {
        id.clone_into(&mut known);
        None
    }));
    assert_eq!((known.as_str(), old.cut_reason()), ("connection", Some(Cut::Replaced)));
    assert_eq!(hub.clients(), 1);
    let received = String::from_utf8_lossy(&back.pop().unwrap()).into_owned();
    assert!(received.contains(r#""n":2"#), "{received}");
    assert_eq!(back.pop(), None, "each once");
}

#[test]
fn while_a_replay_is_unsent_another_is_not_promised() {
    let hub = hub();
    let client = visitor(&hub);
    let mut records = Batch::default();
    for seq in 1..=50 {
        let position = Some(market::Position { epoch: 5, seq });
        let symbol = Symbol::new("AAPL").unwrap();
        let event = crate::records::event::Event { symbol, channel: Channel::Trades, offset: 0, position, day: None };
        records.push(event, br#"{"symbol":"AAPL","price":1,"size":1}"#);
    }
    hub.publish(records);
    let request = crate::subscriptions::contract::read_request(
        &serde_json::json!({"symbols": "AAPL", "since": {"epoch": 5, "seq": 1}}),
    )
    .unwrap();
    let recovered = || {
        let mut recovered = None;
        hub.subscribe(client.id(), &request, |answer| {
            recovered = answer.recovered;
            None
        });
        recovered
    };
    assert_eq!((recovered(), recovered()), (Some(true), Some(false)));
    while client.pop().is_some() {}
    assert_eq!(recovered(), Some(true), "once it is taken, the next one is");
}
